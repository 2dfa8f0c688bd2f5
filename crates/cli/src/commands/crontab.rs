//! The lines of crontabs that jobs were made of, and whether cron still has them: then both make sets at 04:00, and a
//! script that removes the day's folder removes what a job is writing there.

use super::import::read_text;
use super::new_files::NewFile;
use mykeeper_config::Settings;
use mykeeper_config::pybackup::Place;
use mykeeper_domain::counted;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The file beside `mykeeper.toml` that remembers them.
pub(super) const IMPORTED: &str = "imported.json";
/// Where cron looks, besides the files of these folders themselves.
const SYSTEMS: &str = "/etc/crontab";
const FOLDERS: [&str; 3] = ["/etc/cron.d", "/var/spool/cron", "/var/spool/cron/crontabs"];
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
    blake3: String,
}

fn digest(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    blake3::hash(words.join(" ").as_bytes()).to_hex().to_string()
}

/// The file that remembers these lines of the crontabs; `None` where there are none.
pub(super) fn remember<'p>(
    moved: impl Iterator<Item = &'p Place>,
    crontabs: &[(PathBuf, String)],
) -> anyhow::Result<Option<NewFile>> {
    let lines = moved.filter_map(|place| {
        let (_, text) = crontabs.iter().find(|(file, _)| *file == place.file)?;
        let line = text.lines().nth(place.line.checked_sub(1)?)?;
        Some(Line {
            file: place.file.clone(),
            line: place.line,
            blake3: digest(line),
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

/// What to be warned of where cron still has lines that were imported; `None` where it has none, or that cannot be seen.
pub(super) fn still_there(settings: &Settings) -> Option<String> {
    let remembered = settings.keeper_file.parent()?.join(IMPORTED);
    let imported: Imported = serde_json::from_str(&read_text(&remembered).ok()?).ok()?;
    let digests: BTreeSet<&str> = imported.crontab.iter().map(|line| line.blake3.as_str()).collect();
    let mut there = Vec::new();
    for file in crontabs() {
        let text = read_text(&file).unwrap_or_default();
        let lines = text.lines().enumerate();
        let same = lines.filter(|(_, line)| digests.contains(digest(line).as_str()));
        there.extend(same.map(|(at, _)| format!("{}:{}", file.display(), at + 1)));
    }
    let named = there
        .iter()
        .take(MOST_NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = match there.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {}", counted(more, "other", "others")),
    };
    (!there.is_empty()).then(|| {
        format!(
            "cron still has what jobs were made of: {named}{more}; both make sets then, and a script that removes the day's \
             folder removes what a job is writing: put a # before these lines"
        )
    })
}

/// Those of the system and of users, as far as they can be seen.
fn crontabs() -> Vec<PathBuf> {
    let within = |folder: &&str| {
        std::fs::read_dir(Path::new(folder))
            .into_iter()
            .flatten()
            .flatten()
    };
    let files = FOLDERS.iter().flat_map(within).take(MOST_FILES);
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files.insert(0, PathBuf::from(SYSTEMS));
    files
}
