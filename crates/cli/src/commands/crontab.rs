//! The lines of crontabs that jobs were made of, and whether cron still has them: then both make sets at 04:00, and a
//! script that removes the day's folder removes what a job is writing there.

mod called;

use super::import::{read_text, users};
use super::new_files::NewFile;
use called::{Known, UserColumn, digest};
use mykeeper_config::Settings;
use mykeeper_config::pybackup::Place;
use mykeeper_domain::counted;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file beside `mykeeper.toml` that remembers them.
pub(super) const IMPORTED: &str = "imported.json";
/// Where cron looks: the system's, whose lines name a user each, and those of users, which are called as the users are.
const SYSTEMS: &str = "/etc/crontab";
const SYSTEMS_FOLDER: &str = "/etc/cron.d";
const USERS_FOLDERS: [&str; 2] = ["/var/spool/cron", "/var/spool/cron/crontabs"];
/// No host has more crontabs that are worth reading.
const MOST_FILES: usize = 1000;
/// So many lines are named.
const MOST_NAMED: usize = 10;

#[derive(Serialize, Deserialize)]
struct Imported {
    crontab: Vec<Line>,
}

/// One line, without what it says: that may hold a password.
#[derive(Serialize, Deserialize)]
struct Line {
    file: PathBuf,
    line: usize,
    /// The whole line's; all that earlier versions wrote.
    blake3: String,
    #[serde(default)]
    commands: BTreeSet<String>,
    #[serde(default)]
    called: BTreeSet<String>,
}

/// What there is to say of lines that were imported.
pub(super) enum Cron {
    /// It has some of them.
    Has(String),
    /// Whether it has cannot be seen.
    Unseen(String),
}

fn digest_of_line(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    digest(&words.join(" "))
}

/// The file that remembers these lines of the crontabs; `None` where there are none.
pub(super) fn remember<'p>(
    moved: impl Iterator<Item = &'p Place>,
    crontabs: &[(PathBuf, String)],
) -> anyhow::Result<Option<NewFile>> {
    let users = users();
    let is_user = |name: &str| users.contains(name);
    let moved: Vec<&Place> = moved.collect();
    // What stays with cron may call the same script, for something else.
    let mut staying = BTreeSet::new();
    for (file, text) in crontabs {
        for (at, line) in text.lines().enumerate() {
            let is_moved = moved
                .iter()
                .any(|place| place.file == *file && place.line == at + 1);
            let known = Known::of(line, UserColumn::Perhaps, &is_user).filter(|_| !is_moved);
            staying.extend(known.into_iter().flat_map(|known| known.called));
        }
    }
    let lines = moved.into_iter().filter_map(|place| {
        let (_, text) = crontabs.iter().find(|(file, _)| *file == place.file)?;
        let line = text.lines().nth(place.line.checked_sub(1)?)?;
        let mut known = Known::of(line, UserColumn::Perhaps, &is_user).unwrap_or_default();
        known.called.retain(|called| !staying.contains(called));
        Some(Line {
            file: place.file.clone(),
            line: place.line,
            blake3: digest_of_line(line),
            commands: known.commands,
            called: known.called,
        })
    });
    let imported = Imported {
        crontab: lines.collect(),
    };
    if imported.crontab.is_empty() {
        return Ok(None);
    }
    Ok(Some(NewFile {
        name: IMPORTED.to_owned(),
        text: Zeroizing::new(format!("{}\n", serde_json::to_string_pretty(&imported)?)),
        // A short line is soon guessed.
        mode: 0o600,
    }))
}

/// What to be warned of where cron still has lines that were imported, or that cannot be seen; `None` where it has none.
pub(super) fn look(settings: &Settings) -> Option<Cron> {
    let remembered = settings.keeper_file.parent()?.join(IMPORTED);
    let imported: Imported = match std::fs::metadata(&remembered) {
        Err(_) => return None,
        Ok(_) => match read_text(&remembered) {
            Ok(text) => serde_json::from_str(&text).ok()?,
            Err(cause) => {
                let (file, user) = (remembered.display(), whoami());
                return Some(Cron::Unseen(format!(
                    "whether cron still has what jobs were made of cannot be told as user {user}, since {file} cannot be \
                     read ({cause}): chown {user} {file}"
                )));
            }
        },
    };
    let users = users();
    let is_user = |name: &str| users.contains(name);
    let whole: BTreeSet<&str> = imported.crontab.iter().map(|line| line.blake3.as_str()).collect();
    let known = Known {
        commands: all(&imported, |line| &line.commands),
        called: all(&imported, |line| &line.called),
    };
    let (mut there, mut unseen) = (Vec::new(), BTreeSet::new());
    for (file, column) in crontabs(&is_user, &mut unseen) {
        let Ok(text) = read_text(&file) else {
            if is_closed(std::fs::File::open(&file)) {
                unseen.insert(file);
            }
            continue;
        };
        let is_same = |line: &str| {
            whole.contains(digest_of_line(line).as_str())
                || Known::of(line, column, &is_user).is_some_and(|line| known.meets(&line))
        };
        let lines = text.lines().enumerate().filter(|(_, line)| is_same(line));
        there.extend(lines.map(|(at, _)| format!("{}:{}", file.display(), at + 1)));
    }
    match there.is_empty() {
        false => Some(Cron::Has(format!(
            "cron still has what jobs were made of: {}; both make sets then, and a script that removes the day's folder \
             removes what a job is writing: put a # before these lines",
            named(&there)
        ))),
        true => told_of_unseen(&imported, &unseen).map(Cron::Unseen),
    }
}

fn all(imported: &Imported, of: impl Fn(&Line) -> &BTreeSet<String>) -> BTreeSet<String> {
    imported
        .crontab
        .iter()
        .flat_map(|line| of(line).clone())
        .collect()
}

/// `None` where the lines stood where everybody may look.
fn told_of_unseen(imported: &Imported, unseen: &BTreeSet<PathBuf>) -> Option<String> {
    let is_open = |line: &Line| {
        let is_systems = line.file == Path::new(SYSTEMS) || line.file.starts_with(SYSTEMS_FOLDER);
        is_systems && !unseen.iter().any(|place| line.file.starts_with(place))
    };
    if unseen.is_empty() || imported.crontab.iter().all(is_open) {
        return None;
    }
    let places: Vec<String> = unseen.iter().map(|place| place.display().to_string()).collect();
    let lines = imported.crontab.iter();
    let lines: Vec<String> = lines
        .map(|line| format!("{}:{}", line.file.display(), line.line))
        .collect();
    Some(format!(
        "whether cron still has what jobs were made of cannot be seen as user {}, who may not read {}: look with \"sudo \
         crontab -l\" for {}, which are to be out of force",
        whoami(),
        named(&places),
        named(&lines)
    ))
}

fn named(all: &[String]) -> String {
    let first: Vec<&str> = all.iter().take(MOST_NAMED).map(String::as_str).collect();
    let more = match all.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {}", counted(more, "other", "others")),
    };
    format!("{}{more}", first.join(", "))
}

/// This process's user, by name where one is known.
fn whoami() -> String {
    let id = rustix::process::geteuid().as_raw().to_string();
    let text = read_text(Path::new("/etc/passwd")).unwrap_or_default();
    let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = users.find(|fields| fields.get(2) == Some(&id.as_str()));
    own.and_then(|fields| fields.first().map(|name| (*name).to_owned()))
        .unwrap_or(id)
}

fn is_closed<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Those that cron reads, of the system and of users, as far as they can be seen; what cannot is put to `unseen`.
fn crontabs(is_user: &dyn Fn(&str) -> bool, unseen: &mut BTreeSet<PathBuf>) -> Vec<(PathBuf, UserColumn)> {
    let mut files = vec![(PathBuf::from(SYSTEMS), UserColumn::Yes)];
    let mut take = |folder: &str, column: UserColumn, is_read: &dyn Fn(&str) -> bool| {
        let folder = Path::new(folder);
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                unseen.extend((error.kind() == ErrorKind::PermissionDenied).then(|| folder.to_owned()));
                return;
            }
        };
        let read = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(is_read));
        let mut found: Vec<PathBuf> = read
            .take(MOST_FILES)
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        files.extend(found.into_iter().map(|file| (file, column)));
    };
    take(SYSTEMS_FOLDER, UserColumn::Yes, &is_run_parts_name);
    for folder in USERS_FOLDERS {
        take(folder, UserColumn::No, is_user);
    }
    files
}

/// Whether cron reads a file of its folder that is called so: `x.disabled`, `x.dpkg-old` and `x~` are none.
fn is_run_parts_name(name: &str) -> bool {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-');
    !name.is_empty() && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::is_run_parts_name;

    #[test]
    fn names_that_cron_passes_over_are_no_crontabs() {
        for (name, is_read) in [
            ("pybackup", true),
            ("0-Pybackup_2", true),
            ("pybackup.disabled", false),
            ("pybackup.dpkg-old", false),
            ("pybackup~", false),
            (".pybackup", false),
        ] {
            assert_eq!(is_run_parts_name(name), is_read, "{name}");
        }
    }
}
