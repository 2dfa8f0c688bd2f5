//! `mykeeper import`: pybackup's conf and the crontab around it become mykeeper's two files.

use super::crontab;
use super::init::made::{Made, give_all};
use super::new_files::{self, NewFile};
use crate::acting_user::service_user;
use crate::args::ImportArgs;
use crate::failure::{Failure, Status};
use crate::output::{print, print_json, say};
use crate::surroundings::{client_socket, host_zone};
use mykeeper_config::pybackup::{
    CronReport, ImportFrom, Imported, Place, Remark, Script, import, read_pybackup_conf, told_once,
};
use mykeeper_domain::counted;
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Of a file that holds a password.
const PRIVATE: u32 = 0o600;
/// No crontab and no script that is worth reading is larger. Bytes.
const MOST_BYTES: u64 = 1 << 20;
/// A program has a zero among its first. Bytes.
const BEGIN_BYTES: u64 = 4096;

pub(crate) fn run(config: &Path, args: &ImportArgs, json: bool) -> anyhow::Result<Status> {
    let conf = read_pybackup_conf(&absolute(&args.conf)?, &[]).map_err(Failure::usage)?;
    let mut crontabs = Vec::new();
    for file in &args.crontab {
        let file = absolute(file)?;
        let text = read_text(&file).map_err(|cause| {
            Failure::usage(format!("cannot read the crontab {}: {cause}", file.display()))
        })?;
        crontabs.push((file, text));
    }
    let zone = match args.timezone {
        Some(zone) => zone,
        None => host_zone().map_err(|problem| Failure::usage(format!("{problem}, or give --timezone")))?,
    };
    let users = users();
    let local_socket = client_socket();
    let imported = import(ImportFrom {
        conf: &conf.conf,
        mistakes: &conf.warnings,
        crontabs: &crontabs,
        zone,
        local_socket: local_socket.as_deref(),
        is_user: &|name| users.contains(name),
        files: &|path| read_script(path),
        is_program: &|path| is_program(path),
        is_link: &|path| path.is_symlink(),
    });
    let default = config.parent().unwrap_or(Path::new("/"));
    let out = absolute(args.out.as_deref().unwrap_or(default))?;
    if conf.conf.is_empty() && imported.jobs == 0 {
        // No file will hold them.
        for warning in &conf.warnings {
            say(&warning.to_string());
        }
        return Err(Failure::usage(format!(
            "nothing of pybackup's is found in {}, and no job in {}: nothing was written to {}{}; name pybackup's own \
             conf, and with --crontab the crontab that calls it",
            conf.conf.file.display(),
            match crontabs.len() {
                0 => "a crontab, since none was given",
                _ => "what the crontab runs",
            },
            out.display(),
            match args.out {
                Some(_) => "",
                None => ", the folder of --config, where files go without --out",
            },
        )));
    }
    let mut files = files(&imported);
    files.extend(crontab::remember(
        imported.moved.iter().map(|(place, _)| place),
        &crontabs,
    )?);
    new_files::write(&out, &files, "choose another folder with --out")?;
    give_passwords(&out, &files);
    report(&out, &files, &imported, json)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Failure::usage(format!("cannot tell where {} is: {error}", path.display())))
}

/// A text file of reasonable size; what is not UTF-8 in it is replaced.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("it is larger than a megabyte".to_owned());
    }
    if bytes.contains(&0) {
        return Err("it is no text".to_owned());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_script(path: &Path) -> Option<Script> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    Some(Script {
        text: read_text(path).ok()?,
        is_executable: mode & 0o111 != 0,
    })
}

/// Whether a program lies there that is no text.
fn is_program(path: &Path) -> bool {
    let mut begin = Vec::new();
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file
        && std::fs::File::open(path)
            .and_then(|file| file.take(BEGIN_BYTES).read_to_end(&mut begin))
            .is_ok()
        && begin.contains(&0)
}

/// The names of this host's own users.
pub(super) fn users() -> BTreeSet<String> {
    let text = read_text(Path::new("/etc/passwd")).unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split(':').next());
    names.map(str::to_owned).collect()
}

fn files(imported: &Imported) -> Vec<NewFile> {
    let text = |name: &str, text: &str| NewFile {
        name: name.to_owned(),
        text: Zeroizing::new(text.to_owned()),
        mode: 0o644,
    };
    let mut files = vec![
        text("mykeeper.toml", &imported.keeper),
        text("schedule.toml", &imported.schedule),
    ];
    files.extend(imported.passwords.iter().map(|file| NewFile {
        name: file.name.clone(),
        text: Zeroizing::new(format!("{}\n", file.password.expose_secret())),
        mode: PRIVATE,
    }));
    files
}

/// The service reads them as a user of its own.
fn give_passwords(out: &Path, files: &[NewFile]) {
    let Some(service) = service_user(&out.join("mykeeper.toml")) else {
        return;
    };
    let private = files.iter().filter(|file| file.mode == PRIVATE);
    let made = private
        .clone()
        .map(|file| Made::file(&out.join(&file.name), &file.text));
    let has_passwords = private.clone().any(|file| file.name != crontab::IMPORTED);
    if give_all(&service, made) && has_passwords {
        say(&format!(
            "the password files were given to user {}, as whom the service runs",
            service.user
        ));
    }
}

fn report(out: &Path, files: &[NewFile], imported: &Imported, json: bool) -> anyhow::Result<Status> {
    let (gaps, notes): (Vec<&Remark>, Vec<&Remark>) =
        imported.remarks.iter().partition(|remark| remark.is_gap);
    let status = if gaps.is_empty() {
        Status::Done
    } else {
        Status::Warnings
    };
    if json {
        let told = |remarks: &[&Remark]| -> Vec<serde_json::Value> {
            let one = |remark: &&Remark| serde_json::json!({ "file": remark.place.file, "line": remark.place.line, "text": remark.text });
            remarks.iter().map(one).collect()
        };
        let written: Vec<PathBuf> = files.iter().map(|file| out.join(&file.name)).collect();
        print_json(&serde_json::json!({
            "written": written,
            "jobs": imported.jobs,
            "jobs_added": imported.added,
            "untranslated": told(&gaps),
            "left_out": told(&notes),
            "crontab": imported.lines.iter().map(line_told).collect::<Vec<_>>(),
            "comment_out": imported.moved.iter().map(moved_told).collect::<Vec<_>>(),
        }))?;
        return Ok(status);
    }
    for file in files {
        let what = match file.name.as_str() {
            "schedule.toml" => format!(" ({})", counted(imported.jobs + imported.added, "job", "jobs")),
            _ => String::new(),
        };
        print(&format!("wrote {}{what}", out.join(&file.name).display()))?;
    }
    for (title, remarks) in [
        ("could not be translated; look at these:", &gaps),
        ("left out, or otherwise than it was:", &notes),
    ] {
        if !remarks.is_empty() {
            print(&format!("\n{title}"))?;
        }
        for line in told_once(remarks.iter().copied()) {
            print(&format!("  {line}"))?;
        }
    }
    if !imported.lines.is_empty() {
        print("\nthe lines of the crontab:")?;
    }
    for line in &imported.lines {
        print(&format!(
            "  {}: {}: {}",
            line.place,
            line.fate.as_str(),
            line.text
        ))?;
    }
    let keeper = out.join("mykeeper.toml");
    let missing: Vec<&str> = imported
        .folders
        .iter()
        .map(String::as_str)
        .filter(|folder| !Path::new(folder).is_dir())
        .collect();
    if !missing.is_empty() {
        print(&format!(
            "\nbefore the daemon runs, create these folders, or mount them, since a job makes none of its own: {}",
            missing.join(", ")
        ))?;
    }
    print(&format!("\nnext: mykeeper --config {} check", keeper.display()))?;
    if !imported.removing.is_empty() {
        print(
            "then what would go at the first run of each job that removes, whatever the script has removed until now:",
        )?;
    }
    for job in &imported.removing {
        let keeper = keeper.display();
        print(&format!("  mykeeper --config {keeper} retention {job} --dry-run"))?;
    }
    print_moved(imported)?;
    Ok(status)
}

/// Cron and the daemon must not both do it: a script that removes today's folder removes what a job is writing there.
fn print_moved(imported: &Imported) -> anyhow::Result<()> {
    if imported.moved.is_empty() {
        return Ok(());
    }
    print(
        "\nbefore the daemon runs, take these lines out of the crontab (\"crontab -e\"): else both do what they say, and a \
         script that removes the day's folder removes the sets of the jobs; what was translated in part goes on only in \
         a line of its own. As comments, to be put in their place:",
    )?;
    for (place, text) in &imported.moved {
        print(&format!("  {place}:"))?;
        match text {
            Some(text) => print(text)?,
            None => print("  (not shown, since it may hold a password: put a # before it)")?,
        }
    }
    Ok(())
}

fn moved_told((place, text): &(Place, Option<String>)) -> serde_json::Value {
    serde_json::json!({ "file": place.file, "line": place.line, "text": text })
}

fn line_told(line: &CronReport) -> serde_json::Value {
    serde_json::json!({
        "file": line.place.file, "line": line.place.line, "fate": line.fate.as_str(), "text": line.text,
    })
}
