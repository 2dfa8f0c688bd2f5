//! `mykeeper import`: pybackup's conf, the crontab around it and its scripts, as `mykeeper.toml` and `schedule.toml`.
//!
//! Texts in, texts out. What cannot be told is said; where it is about removing sets, nothing is removed.

mod closed;
mod crontab;
mod dumps;
mod find;
mod hide;
mod keeper;
mod lexical;
mod lost;
mod moved;
mod page;
mod removals;
mod report;
mod schedule;
mod script;
mod shell;
mod unknown;
mod word;

use super::conf::PybackupConf;
use crate::mistake::Mistake;
use chrono_tz::Tz;
use crontab::{CronLine, read_crontab};
use dumps::Dump;
use hide::hide;
use lexical::Telling;
use lost::Lost;
use mykeeper_domain::schedule::Schedule;
use report::OtherLine;
pub use report::told_once;
use script::{Act, Found, Reading};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// A line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
    /// What is wrong with it: no value of such a line is taken.
    pub mistakes: &'a [Mistake],
    /// Crontabs: path and text.
    pub crontabs: &'a [(PathBuf, String)],
    /// The host's zone, which is that of cron and of pybackup's times.
    pub zone: Tz,
    /// The socket at which this host's own clients look for a server, where there is one.
    pub local_socket: Option<&'a Path>,
    /// Whether a user of this host is called so: a system's crontab names one in each line.
    pub is_user: &'a dyn Fn(&str) -> bool,
    /// A script, where it can be had.
    pub files: &'a dyn Fn(&Path) -> Option<Script>,
    /// Whether a program that is no text lies at a path.
    pub is_program: &'a dyn Fn(&Path) -> bool,
    /// Whether a path is a symbolic link.
    pub is_link: &'a dyn Fn(&Path) -> bool,
}

/// A script as it lies there.
#[derive(Clone, Debug)]
pub struct Script {
    /// What stands in it; bytes that are no UTF-8 are U+FFFD.
    pub text: String,
    /// Whether anybody may execute it.
    pub is_executable: bool,
}

/// A password's file.
#[derive(Clone, Debug)]
pub struct PasswordFile {
    /// Its name beside `mykeeper.toml`.
    pub name: String,
    /// What stands in it.
    pub password: SecretString,
}

/// What has become of a line of a crontab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronReport {
    /// The line.
    pub place: Place,
    /// See [`Fate`].
    pub fate: Fate,
    /// One line, for people. Holds no password.
    pub text: String,
}

/// How much of a line of a crontab is in the schedule now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of what it does with backups.
    Translated,
    /// Some of it; the remarks tell what is not.
    InPart,
    /// It has nothing to do with backups.
    LeftAlone,
    /// It may have, and nothing of it is.
    NotUnderstood,
}

impl Fate {
    /// As it is called in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Translated => "translated",
            Self::InPart => "translated in part",
            Self::LeftAlone => "left alone",
            Self::NotUnderstood => "not understood",
        }
    }
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
    /// Every line of the crontabs that is a job or cannot be read, in their order.
    pub lines: Vec<CronReport>,
    /// How many jobs run that come of lines of the crontabs.
    pub jobs: usize,
    /// How many run besides.
    pub added: usize,
    /// The names of those that remove.
    pub removing: Vec<String>,
    /// The folders that backup jobs write to.
    pub folders: Vec<String>,
    /// Lines of the crontabs that jobs run in place of, and how they look as comments: `None` for one that may hold a
    /// password.
    pub moved: Vec<(Place, Option<String>)>,
}

/// A line of a crontab that has to do with backups.
struct Entry {
    place: Place,
    /// Five fields, or a nickname.
    when: String,
    /// Where it is not the host's.
    zone: Option<Tz>,
    found: Vec<Found>,
    /// Whom cron mails what it prints, and where that stands.
    mail: Option<(String, usize)>,
    /// What was met on the way.
    remarks: Vec<Remark>,
    /// The first program that it runs.
    program: Option<String>,
    /// The scripts that it calls.
    scripts: BTreeSet<PathBuf>,
    /// Why none of its removals becomes a job that runs: a subordinate clause.
    doubt: Option<String>,
    /// What is told of it where it turns out to have nothing to do with sets.
    otherwise: Option<OtherLine>,
    /// What must not be passed over, in it and in the scripts that it calls.
    telling: Vec<(PathBuf, Telling)>,
    /// How much of that is understood or told of, and where.
    told: Vec<(Place, usize)>,
}

/// Reads everything and writes both files.
pub fn import(from: ImportFrom<'_>) -> Imported {
    let mut remarks: Vec<Remark> = from.mistakes.iter().map(of_mistake).collect();
    let mut read = Lines::default();
    for (file, text) in from.crontabs {
        read_entries(&from, (file, text), &mut read);
    }
    let Lines {
        mut entries,
        others: mut lines,
        doubts,
        mut lost,
        mut open,
        changes_conf,
    } = read;
    remarks.extend(doubts);
    let mut dumps: Vec<Dump> = Vec::new();
    if !changes_conf.is_empty() {
        remarks.extend(without_conf(&mut entries, &changes_conf));
    }
    for entry in &entries {
        for found in entry.found.iter().filter(|_| changes_conf.is_empty()) {
            let Some(dump) = Dump::read(&from, entry, found, &mut remarks) else {
                continue;
            };
            // `pybackup ... || pybackup ...`: a job tries again by itself.
            match dumps.iter_mut().find(|other| other.is_same(&dump)) {
                Some(same) => {
                    let gap = same.repeat(dump);
                    open.extend(gap.iter().map(|gap| gap.place.clone()));
                    remarks.extend(gap);
                }
                None => dumps.push(dump),
            }
        }
    }
    remarks.extend(dumps.iter().filter_map(|dump| dump.is_one_of(&dumps)));
    // What removes sets beside a call of which no job comes may remove the last of them.
    let without_job = lost::places_without_job(&entries, &dumps);
    for entry in &mut entries {
        let mut made = entry
            .found
            .iter()
            .filter(|found| matches!(found.act, Act::Dump(_)));
        if let Some(lost) = made.find(|found| without_job.contains(&found.place)) {
            let doubt = format!("no job is written for the sets that are made at {}", lost.place);
            entry.doubt.get_or_insert(doubt);
        }
    }
    lost.extend(lost::of_entries(&entries, &dumps));
    // A line that only removes is about sets when it looks where sets are made.
    let (mut entries, others): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| {
        let removes_alone = entry
            .found
            .iter()
            .all(|found| matches!(found.act, Act::Remove(_)));
        !removes_alone || removals::looks_into(entry, &dumps) || removals::looks_like_sets(entry).is_some()
    });
    let seeming: Vec<(Place, Remark)> = entries
        .iter_mut()
        .filter_map(|entry| removals::doubt_that_it_is_of_sets(entry, &dumps))
        .collect();
    lines.extend(others.into_iter().map(OtherLine::of_entry));
    let folders: BTreeSet<&str> = dumps.iter().map(|dump| dump.directory.as_str()).collect();
    lines
        .iter_mut()
        .for_each(|line| line.tell_of_sets(&folders, from.files));
    let of_entries = entries
        .iter()
        .flat_map(|entry| report::untold(&entry.telling, &entry.told));
    let unknown = lines.iter().filter(|line| !line.is_elsewhere);
    let untold: Vec<Remark> = of_entries.chain(unknown.flat_map(OtherLine::untold)).collect();
    open.extend(untold.iter().map(|gap| gap.place.clone()));
    let whole = lines.iter().filter(|line| line.is_open);
    open.extend(whole.map(|line| line.report.place.clone()));
    remarks.extend(untold);
    let elsewhere = lines.iter().filter(|line| line.is_elsewhere);
    remarks.extend(elsewhere.flat_map(OtherLine::untold));
    let (keeper, passwords) = keeper::write(&from, &dumps, &moved::mails(&entries), &mut remarks);
    let schedule::Schedule {
        page: mut schedule,
        jobs,
        added,
    } = schedule::write(&from, &entries, (&dumps, &lost, &open), &mut remarks);
    let is_written = |place: &Place| jobs.iter().any(|job| job.entry == *place);
    let seeming = seeming.into_iter().filter(|(place, _)| !is_written(place));
    remarks.extend(seeming.map(|(_, gap)| gap));
    let of_entries = entries.iter().flat_map(|entry| entry.remarks.iter().cloned());
    remarks.extend(of_entries);
    remarks.extend(
        lines
            .iter_mut()
            .flat_map(|line| std::mem::take(&mut line.remarks)),
    );
    let mut lines = report::lines(lines, &entries, &jobs, &remarks);
    hide(remarks.iter_mut().map(|remark| &mut remark.text), &passwords);
    remarks.sort_by(|one, other| (!one.is_gap, &one.place).cmp(&(!other.is_gap, &other.place)));
    remarks.dedup();
    hide(lines.iter_mut().map(|line| &mut line.text), &passwords);
    report::write(&mut schedule, &remarks, &lines);
    let schedule = hide::in_comments(schedule.into_text().trim_end());
    Imported {
        keeper,
        schedule: format!("{schedule}\n"),
        moved: moved::commented(&from, &lines, (&jobs, &passwords)),
        folders: dumps::folders(&dumps),
        passwords,
        remarks,
        lines,
        jobs: jobs.iter().filter(|job| job.runs).count(),
        added,
        removing: schedule::removing(&jobs),
    }
}

/// A mistake of the conf, told where it stands.
fn of_mistake(mistake: &Mistake) -> Remark {
    let place = Place {
        file: mistake.file.clone(),
        line: mistake.line.max(1),
    };
    let text = match &mistake.help {
        Some(help) => format!("{}: {help}", mistake.message),
        None => mistake.message.clone(),
    };
    Remark::gap(place, text)
}

/// The lines of crontabs.
#[derive(Default)]
struct Lines {
    /// Those that have to do with backups.
    entries: Vec<Entry>,
    /// Those that have not, or cannot be read.
    others: Vec<OtherLine>,
    /// How lines are read that may be read otherwise.
    doubts: Vec<Remark>,
    /// Sets that are made by other tools, or at times that no job has.
    lost: Vec<Lost>,
    /// What is not understood, or not followed.
    open: BTreeSet<Place>,
    /// Where the conf may be changed.
    changes_conf: BTreeSet<Place>,
}

/// Calls that read a conf which is changed while the scripts run: only validations and transfers go, since sets that are
/// made count as lost.
fn without_conf(entries: &mut [Entry], changes_conf: &BTreeSet<Place>) -> Vec<Remark> {
    let places: Vec<String> = changes_conf.iter().map(Place::to_string).collect();
    let text = format!(
        "no job is written for this call: the conf that it reads may be changed at {}, and what stands in it then is not \
         known",
        places.join(", ")
    );
    let reads = |found: &Found| matches!(found.act, Act::Dump(_) | Act::Validate(_) | Act::Send(_));
    let mut gaps = Vec::new();
    for entry in entries {
        let calls = entry.found.iter().filter(|found| reads(found));
        gaps.extend(calls.map(|found| Remark::gap(found.place.clone(), text.clone())));
        entry
            .found
            .retain(|found| !reads(found) || matches!(found.act, Act::Dump(_)));
    }
    gaps
}

/// Sorts the lines of a crontab.
fn read_entries(from: &ImportFrom<'_>, (path, text): (&Path, &str), sorted: &mut Lines) {
    let at = |line: usize| Place {
        file: path.to_owned(),
        line,
    };
    let (lines, unreadable) = read_crontab(path, text, from.is_user);
    for line in unreadable {
        let gap = "this line of the crontab cannot be read".to_owned();
        sorted.open.insert(at(line.line));
        sorted.others.push(OtherLine::not_understood(
            at(line.line),
            vec![Remark::gap(at(line.line), gap)],
        ));
    }
    for line in lines {
        let place = at(line.line);
        let mut reading = Reading::new(from);
        reading.line(&line, &place);
        sorted.lost.extend(lost::of_reading(from, &reading));
        sorted.open.extend(reading.places_open());
        let is_of_conf = |gap: &&Remark| reading.changes_conf.contains(&gap.place);
        let of_conf = reading.remarks.iter().filter(is_of_conf);
        sorted.doubts.extend(of_conf.cloned());
        sorted.changes_conf.extend(reading.changes_conf.iter().cloned());
        if !reading.found.is_empty() || !reading.telling.is_empty() {
            sorted.open.extend(line.doubts.first().map(|_| place.clone()));
            let doubts = line.doubts.iter().cloned();
            sorted
                .doubts
                .extend(doubts.map(|doubt| Remark::gap(place.clone(), doubt)));
        }
        let acts_on_sets = reading
            .found
            .iter()
            .any(|found| !matches!(found.act, Act::Remove(_)));
        if reading.found.is_empty() || !acts_on_sets && !reading.tools.is_empty() {
            sorted.others.push(OtherLine::of(place, &line.command, reading));
            continue;
        }
        let (found, program) = (std::mem::take(&mut reading.found), reading.program.clone());
        let scripts = reading.scripts.clone();
        let (telling, told) = (reading.telling.clone(), report::told_of(&reading.told));
        let doubt = doubt_of(&line, &place, &found, from);
        let unclear = reading.unclear.clone();
        let remarks_read = [unclear.as_slice(), &reading.remarks].concat();
        let otherwise = (!acts_on_sets).then(|| OtherLine::of(place.clone(), &line.command, reading));
        let mut remarks = match acts_on_sets {
            true => remarks_read,
            false => unclear,
        };
        match read_time(from, &line) {
            Ok(zone) => {
                if let Some((name, line)) = line.zone.filter(|_| zone.is_some()) {
                    let text = format!(
                        "CRON_TZ={name} is heeded by cronie alone: Debian's cron runs the lines after it in the host's \
                         zone; where that is what runs them, take `timezone` from their jobs"
                    );
                    remarks.push(Remark::gap(at(line), text));
                }
                sorted.entries.push(Entry {
                    place,
                    when: line.when,
                    mail: line.mail,
                    zone,
                    found,
                    remarks,
                    program,
                    scripts,
                    doubt,
                    otherwise,
                    telling,
                    told,
                });
            }
            Err(problem) => {
                remarks.push(Remark::gap(place.clone(), problem));
                sorted.lost.extend(found.iter().filter_map(lost::of_call));
                // One that only removes may remove anything.
                match acts_on_sets {
                    true => sorted.others.push(OtherLine::not_understood(place, remarks)),
                    false => sorted.others.extend(otherwise),
                }
            }
        }
    }
}

/// Why what a line removes becomes no job that runs; `None` where all of it, and of the scripts that it calls, is of the
/// closed set, and both readings of it agree.
fn doubt_of(line: &CronLine, place: &Place, found: &[Found], from: &ImportFrom<'_>) -> Option<String> {
    let removed = found.iter().filter_map(|found| match &found.act {
        Act::Remove(word) => Some(word),
        _ => None,
    });
    match closed::read_removals(line, place, from) {
        Ok(again) if removed.eq(&again) => found.iter().find_map(Found::is_unclear),
        Ok(_) => Some(format!("what {place} removes can be read in two ways")),
        Err(odd) => Some(odd.doubt()),
    }
}

/// The line's own zone. Refuses times that no schedule has.
fn read_time(from: &ImportFrom<'_>, line: &CronLine) -> Result<Option<Tz>, String> {
    if line.when == "@reboot" {
        return Err("\"@reboot\" is when the host starts, and a job has a time: none is written for what this line does".to_owned());
    }
    let zone = match &line.zone {
        None => None,
        Some((name, _)) => Some(name.trim_start_matches(':').parse::<Tz>().map_err(|_| {
            format!("CRON_TZ={name} is no time zone: no job is written for what this line does")
        })?),
    };
    match Schedule::parse(&line.when, zone.unwrap_or(from.zone)) {
        Ok(_) => Ok(zone.filter(|zone| *zone != from.zone)),
        Err(error) => Err(format!("{error}: no job is written for what this line does")),
    }
}

#[cfg(test)]
mod tests;
