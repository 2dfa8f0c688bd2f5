//! `mykeeper import`: pybackup's conf, the crontab around it and its scripts, as `mykeeper.toml` and `schedule.toml`.
//!
//! Texts in, texts out. What cannot be told is said; where it is about removing sets, nothing is removed.

mod crontab;
mod dumps;
mod find;
mod keeper;
mod page;
mod removals;
mod schedule;
mod script;
mod shell;
mod word;

use super::PASSWORD_SHOWN;
use super::conf::PybackupConf;
use chrono_tz::Tz;
use crontab::{CronLine, read_crontab};
use dumps::Dump;
use mykeeper_domain::schedule::Schedule;
use script::{Act, Found, Reading};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::path::{Path, PathBuf};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something that a person should know of what was read. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// It could not be translated; otherwise it was left out, or changed, on purpose.
    pub is_gap: bool,
    /// Where it stands.
    pub place: Place,
    /// One sentence without a full stop.
    pub text: String,
}

impl Remark {
    fn gap(place: Place, text: String) -> Self {
        let is_gap = true;
        Self { is_gap, place, text }
    }

    fn note(place: Place, text: String) -> Self {
        let is_gap = false;
        Self { is_gap, place, text }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// What is read.
#[derive(Clone, Copy)]
pub struct ImportFrom<'a> {
    /// The conf.
    pub conf: &'a PybackupConf,
    /// Crontabs: path and text.
    pub crontabs: &'a [(PathBuf, String)],
    /// The host's zone, which is that of cron and of pybackup's times.
    pub zone: Tz,
    /// Whether a user of this host is called so: a system's crontab names one in each line.
    pub is_user: &'a dyn Fn(&str) -> bool,
    /// The text of a script, where it can be had.
    pub files: &'a dyn Fn(&Path) -> Option<String>,
}

/// A password's file.
#[derive(Clone, Debug)]
pub struct PasswordFile {
    /// Its name beside `mykeeper.toml`.
    pub name: String,
    /// What stands in it.
    pub password: SecretString,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The text of `mykeeper.toml`.
    pub keeper: String,
    /// The text of `schedule.toml`.
    pub schedule: String,
    /// Files that it names.
    pub passwords: Vec<PasswordFile>,
    /// In the order of the files and their lines, what could not be translated first.
    pub remarks: Vec<Remark>,
    /// How many jobs there are.
    pub jobs: usize,
}

/// A line of a crontab that has to do with backups.
struct Entry {
    place: Place,
    /// Five fields, or a nickname.
    when: String,
    /// Where it is not the host's.
    zone: Option<Tz>,
    found: Vec<Found>,
}

/// Reads everything and writes both files.
pub fn import(from: ImportFrom<'_>) -> Imported {
    let mut remarks = Vec::new();
    let mut entries = Vec::new();
    for (file, text) in from.crontabs {
        read_entries(&from, (file, text), &mut entries, &mut remarks);
    }
    let mut dumps: Vec<Dump> = Vec::new();
    for entry in &entries {
        for found in &entry.found {
            let dump = Dump::read(&from, entry, found, &mut remarks);
            // `pybackup ... || pybackup ...`: a job tries again by itself.
            dumps.extend(dump.filter(|dump| !dumps.iter().any(|other| other.is_same(dump))));
        }
    }
    // A line that only removes is about sets when it looks where sets are made.
    entries.retain(|entry| {
        let removes_alone = entry
            .found
            .iter()
            .all(|found| matches!(found.act, Act::Remove(_)));
        !removes_alone || removals::looks_into(entry, &dumps)
    });
    let (keeper, passwords) = keeper::write(&from, &dumps, &mut remarks);
    let (mut schedule, jobs) = schedule::write(&from, &entries, &dumps, &mut remarks);
    hide(&mut remarks, &passwords);
    remarks.sort_by(|one, other| (!one.is_gap, &one.place).cmp(&(!other.is_gap, &other.place)));
    remarks.dedup();
    schedule.gap();
    for (is_gap, title) in [
        (true, "Could not be translated:"),
        (false, "Left out, or otherwise than it was:"),
    ] {
        let of_kind: Vec<&Remark> = remarks.iter().filter(|remark| remark.is_gap == is_gap).collect();
        if !of_kind.is_empty() {
            schedule.gap();
            schedule.remark(title);
            of_kind
                .iter()
                .for_each(|remark| schedule.remark(&format!("  {remark}")));
        }
    }
    Imported {
        keeper,
        schedule: format!("{}\n", schedule.into_text().trim_end()),
        passwords,
        remarks,
        jobs,
    }
}

fn read_entries(
    from: &ImportFrom<'_>,
    file: (&Path, &str),
    entries: &mut Vec<Entry>,
    remarks: &mut Vec<Remark>,
) {
    let (path, text) = file;
    let at = |line: usize| Place {
        file: path.to_owned(),
        line,
    };
    let (lines, unreadable) = read_crontab(text, from.is_user);
    let speaks_of_backups = |text: &str| text.to_lowercase().contains("backup");
    for line in unreadable
        .into_iter()
        .filter(|line| speaks_of_backups(&line.text))
    {
        remarks.push(Remark::gap(
            at(line.line),
            "this line of the crontab cannot be read".to_owned(),
        ));
    }
    for line in lines {
        let place = at(line.line);
        let mut reading = Reading::new(from.files);
        reading.line(&line.command, &place);
        if reading.found.is_empty() {
            if speaks_of_backups(&line.command) {
                let text = "nothing of pybackup's is found in what this line runs, or it cannot be read; if it makes, \
                            checks or removes backups, write a job for it"
                    .to_owned();
                remarks.push(Remark::gap(place, text));
            }
            continue;
        }
        let acts_on_sets = reading
            .found
            .iter()
            .any(|found| !matches!(found.act, Act::Remove(_)));
        if acts_on_sets {
            remarks.append(&mut reading.remarks);
        }
        match read_time(from, &line) {
            Ok(zone) => entries.push(Entry {
                place,
                when: line.when,
                zone,
                found: reading.found,
            }),
            Err(problem) if acts_on_sets => remarks.push(Remark::gap(place, problem)),
            Err(_) => {}
        }
    }
}

/// The line's own zone. Refuses times that no schedule has.
fn read_time(from: &ImportFrom<'_>, line: &CronLine) -> Result<Option<Tz>, String> {
    let zone = match &line.zone {
        None => None,
        Some(name) => Some(name.trim_start_matches(':').parse::<Tz>().map_err(|_| {
            format!("CRON_TZ={name} is no time zone: no job is written for what this line does")
        })?),
    };
    match Schedule::parse(&line.when, zone.unwrap_or(from.zone)) {
        Ok(_) => Ok(zone.filter(|zone| *zone != from.zone)),
        Err(error) => Err(format!("{error}: no job is written for what this line does")),
    }
}

/// No password is told, wherever somebody has written it.
fn hide(remarks: &mut [Remark], passwords: &[PasswordFile]) {
    for remark in remarks {
        for secret in passwords.iter().map(|file| file.password.expose_secret()) {
            if secret.chars().count() >= 4 && remark.text.contains(secret) {
                remark.text = remark.text.replace(secret, PASSWORD_SHOWN);
            }
        }
    }
}

#[cfg(test)]
mod tests;
