//! myloader: loads tables and their rows into the throwaway server.
//!
//! It is given less than it could do. It takes database and table names from file names, splits them at the wrong
//! dot, takes part of a name for a kind of file, and cannot be given an argument that is not ASCII. So it gets a
//! folder of links with plain names, one database at a time: the statements within the files name the tables.
//! Views, triggers, routines and events are not given to it (see [`prove`](crate::prove)).
//!
//! Nor may it read what this machine's files say of servers: 0.10 holds a `host` of `[client]` in `/etc/mysql` or
//! `~/.my.cnf` for more than the socket it is given, and would load the set there.

use crate::env::{ToolEnv, ended_from_here, run_error};
use crate::error::ToolError;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits, Stream, Supervisor};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What to do about a missing myloader.
const HINT: &str = "install it with \"apt-get install mydumper\"";
/// How many complaints are kept.
const KEPT_COMPLAINTS: usize = 5;
/// HUP, INT, KILL and TERM: signals that others send.
const KILLS: [i32; 4] = [1, 2, 9, 15];
/// The prefix of linked files where the database is named by an argument.
const ALIAS: &str = "d";
/// Below the load's folder: the links, and what is myloader's own: its home, its temporary files, its option file.
const LINKS: &str = "set";
const OWN: &str = "own";
const OPTION_FILE: &str = "none.cnf";

/// The installed myloader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MyloaderInfo {
    /// As it is called.
    pub program: PathBuf,
    /// `myloader 0.10.0, built against MySQL 10.11.14`
    pub banner: String,
    /// Read from the banner.
    pub version: (u32, u32, u32),
}

/// Asks myloader for its version.
///
/// # Errors
/// It is not there, or does not answer as myloader does.
pub async fn detect_myloader(supervisor: &Supervisor, program: &Path) -> Result<MyloaderInfo, ToolError> {
    let limits = Limits {
        timeout: Some(Duration::from_secs(20)),
        ..Limits::default()
    };
    let spec = ChildSpec::new(program).arg("--version").limits(limits);
    let mut banner = String::new();
    supervisor
        .run(spec, CancellationToken::new(), Activity::new(), &mut |_, line| {
            let line = String::from_utf8_lossy(line);
            if banner.is_empty() && line.starts_with("myloader") {
                banner = line.trim().to_owned();
            }
        })
        .await
        .map_err(|error| run_error(program, HINT, &error))?;
    let version = parse_version(&banner).ok_or_else(|| ToolError::Run {
        program: program.display().to_string(),
        cause: format!("its version is not understood: {banner:?}"),
    })?;
    Ok(MyloaderInfo {
        program: program.to_owned(),
        banner,
        version,
    })
}

fn parse_version(banner: &str) -> Option<(u32, u32, u32)> {
    let word = banner.strip_prefix("myloader")?.split_whitespace().next()?;
    let mut numbers = word
        .trim_start_matches('v')
        .split(['.', '-', ','])
        .map(str::parse::<u32>);
    Some((
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
    ))
}

/// A file for myloader: a table's definition, or rows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoaderFile {
    pub(crate) path: PathBuf,
    /// The table it belongs to, in whatever words: files of one table have the same.
    pub(crate) table: String,
    pub(crate) is_schema: bool,
    /// `.gz`, `.zst` or nothing.
    pub(crate) ending: &'static str,
}

/// How a database is named to myloader.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Naming {
    /// By an argument.
    Argument,
    /// By the names of the links.
    FileNames,
}

fn naming(database: &str) -> Option<Naming> {
    if database.contains(['`', '/', '\0']) {
        None
    } else if database.is_ascii() {
        Some(Naming::Argument)
    } else if !database.contains('.') && !database.contains("-schema") && database.len() < 200 {
        Some(Naming::FileNames)
    } else {
        None
    }
}

/// Whether this myloader can load these files into a database of this name.
pub(crate) fn can_load(info: &MyloaderInfo, database: &str, files: &[LoaderFile]) -> bool {
    let knows_zstd = info.version >= (0, 11, 0);
    naming(database).is_some() && (knows_zstd || files.iter().all(|file| file.ending != ".zst"))
}

/// Makes what is myloader's own, and the folder that it loads from.
fn make_folders(folder: &Path, database: &str, files: &[LoaderFile]) -> Result<(), ToolError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| ToolError::Io {
            action: "create",
            path,
            source,
        }
    };
    let own = folder.join(OWN);
    std::fs::create_dir(&own).map_err(fail(&own))?;
    let options = own.join(OPTION_FILE);
    std::fs::write(&options, "").map_err(fail(&options))?;
    let folder = &folder.join(LINKS);
    std::fs::create_dir(folder).map_err(fail(folder))?;
    // All that it wants of the file is that it is there; later versions read settings from it.
    let metadata = folder.join("metadata");
    std::fs::write(
        &metadata,
        "# Started dump at: 1970-01-01 00:00:00\n[config]\nquote-character = BACKTICK\n",
    )
    .map_err(fail(&metadata))?;
    for (name, file) in link_names(database, files).into_iter().zip(files) {
        let link = folder.join(name);
        std::os::unix::fs::symlink(&file.path, &link).map_err(fail(&link))?;
    }
    Ok(())
}

/// `d.t00001-schema.sql.gz`, `d.t00001.00003.sql.gz`: one for each file.
fn link_names(database: &str, files: &[LoaderFile]) -> Vec<String> {
    let prefix = if naming(database) == Some(Naming::FileNames) {
        database
    } else {
        ALIAS
    };
    // How many chunks each number has, and whether it has its definition.
    let mut tables: Vec<(u32, bool)> = Vec::new();
    let mut numbers = std::collections::HashMap::new();
    files
        .iter()
        .map(|file| {
            let known = numbers.get(file.table.as_str()).copied();
            // A second definition of the same name gets a number of its own: the server will say what it thinks.
            let number = known
                .filter(|number: &usize| !(file.is_schema && tables[*number].1))
                .unwrap_or_else(|| {
                    tables.push((0, false));
                    tables.len() - 1
                });
            numbers.insert(file.table.as_str(), number);
            let ending = file.ending;
            if file.is_schema {
                tables[number].1 = true;
                return format!("{prefix}.t{number:05}-schema.sql{ending}");
            }
            let chunk = tables[number].0;
            tables[number].0 += 1;
            format!("{prefix}.t{number:05}.{chunk:05}.sql{ending}")
        })
        .collect()
}

fn myloader_argv(folder: &Path, socket: &Path, database: &str, threads: u32) -> Vec<OsString> {
    let with = |option: &str, path: &Path| {
        let mut text = OsString::from(option);
        text.push(path);
        text
    };
    let mut args = vec![
        with("--defaults-file=", &folder.join(OWN).join(OPTION_FILE)),
        with("--directory=", &folder.join(LINKS)),
        // By this word alone the client library takes the socket, whatever else says otherwise.
        "--host=localhost".into(),
        with("--socket=", socket),
        "--user=root".into(),
        format!("--threads={}", threads.clamp(2, 64)).into(),
        "--verbose=3".into(),
    ];
    if naming(database) == Some(Naming::Argument) {
        args.push(format!("--database={database}").into());
    }
    args
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadRequest<'a> {
    pub(crate) info: &'a MyloaderInfo,
    /// An empty folder, for the links.
    pub(crate) folder: &'a Path,
    pub(crate) socket: &'a Path,
    /// It exists.
    pub(crate) database: &'a str,
    pub(crate) files: &'a [LoaderFile],
    pub(crate) threads: u32,
    pub(crate) nice: i32,
    pub(crate) limits: &'a Limits,
}

/// Loads definitions and rows. Yields what it complains about: none means that nothing is known against it, no more.
///
/// # Errors
/// It could not be run, or was ended from here.
pub(crate) async fn load(
    request: LoadRequest<'_>,
    activity: Activity,
    env: &ToolEnv<'_>,
) -> Result<Vec<String>, ToolError> {
    make_folders(request.folder, request.database, request.files)?;
    let own = request.folder.join(OWN);
    let args = myloader_argv(request.folder, request.socket, request.database, request.threads);
    // Without a locale it takes every name for ASCII when it logs.
    let spec = ChildSpec::new(&request.info.program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        // MySQL's library reads a login file in its home, whatever option file it is given.
        .env("HOME", &own)
        // Ended, 1.0 leaves folders for its pipes behind: here they go with the server.
        .env("TMPDIR", &own)
        .current_dir(request.folder.join(LINKS))
        .nice(request.nice)
        .limits(request.limits.clone());
    let mut complaints: Vec<String> = Vec::new();
    let finished = env
        .supervisor
        .run(spec, env.cancel.clone(), activity, &mut |stream, line| {
            let line = String::from_utf8_lossy(line);
            let line = line.trim();
            if line.is_empty() {
                return;
            }
            env.log.line("myloader", line);
            let complains =
                line.contains("CRITICAL") || line.contains("ERROR") || line.contains("option parsing");
            if stream == Stream::Stderr && complains && complaints.len() < KEPT_COMPLAINTS {
                complaints.push(line.trim_start_matches("** ").to_owned());
            }
        })
        .await
        .map_err(|error| run_error(&request.info.program, HINT, &error))?;
    if let Some(error) = ended_from_here("myloader", &finished.exit) {
        return Err(error);
    }
    // Someone's signal says nothing of the set, as a crash of its own may.
    if let Exit::Signaled { signal } = finished.exit
        && KILLS.contains(&signal)
    {
        return Err(ToolError::Failed {
            message: format!("cannot load the set: myloader {}; try again", finished.exit),
            passing: true,
        });
    }
    if finished.exit != Exit::Success {
        complaints.push(format!("myloader {}", finished.exit));
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(table: &str, is_schema: bool) -> LoaderFile {
        LoaderFile {
            path: "/x".into(),
            table: table.into(),
            is_schema,
            ending: ".gz",
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_version("myloader 0.10.0, built against MySQL 10.11.14"),
            Some((0, 10, 0))
        );
        assert_eq!(
            parse_version("myloader v1.0.1-3, built against MariaDB 10.11.19 with SSL support"),
            Some((1, 0, 1))
        );
        assert_eq!(parse_version("ls"), None);
    }

    #[test]
    fn links_have_names_that_cannot_be_misread() {
        let files = [
            file("a.b", true),
            file("t-schema", true),
            file("a.b", false),
            file("a.b", false),
        ];
        assert_eq!(
            link_names("shop.eu", &files),
            [
                "d.t00000-schema.sql.gz",
                "d.t00001-schema.sql.gz",
                "d.t00000.00000.sql.gz",
                "d.t00000.00001.sql.gz"
            ]
        );
        assert_eq!(
            link_names("日志 库-1", &files[..1]),
            ["日志 库-1.t00000-schema.sql.gz"]
        );
    }

    #[test]
    fn a_name_is_given_as_an_argument_only_when_it_is_ascii() {
        let argv = |database| {
            let args = myloader_argv(Path::new("/f"), Path::new("/s"), database, 4);
            args.iter()
                .map(|arg| arg.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            argv("a$b"),
            "--defaults-file=/f/own/none.cnf --directory=/f/set --host=localhost --socket=/s --user=root --threads=4 \
             --verbose=3 --database=a$b"
        );
        assert_eq!(
            argv("日志"),
            "--defaults-file=/f/own/none.cnf --directory=/f/set --host=localhost --socket=/s --user=root --threads=4 \
             --verbose=3"
        );
        assert_eq!(naming("日志.库"), None);
        assert_eq!(naming("a`b"), None);
    }
}
