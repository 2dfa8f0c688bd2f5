//! `[backup.NAME]`

use crate::document::complaint;
use crate::mydumper;
use crate::packing;
use crate::schedule::{NamedFolder, Reading, Send};
use crate::section::{Entry, Section};
use mykeeper_domain::checksum::ChecksumLimit;
use mykeeper_domain::databases::{DatabaseSelection, VIRTUAL_SCHEMAS};
use mykeeper_domain::immediate::Prove;
use mykeeper_domain::job::{BackupTask, Consistency, LockPolicy, LongQueries, MydumperOption, Task};
use mykeeper_domain::{DestinationName, ServerName};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

const CONSISTENCY: [(&str, Consistency); 2] = [
    ("all", Consistency::All),
    ("per-database", Consistency::PerDatabase),
];

/// What is left out is [`Prove::InTurn`].
const PROVE: [(&str, Prove); 1] = [("immediately", Prove::Immediately)];

/// Bytes.
const DEFAULT_RESERVE: u64 = 256 << 20;

const LONG_QUERIES: [(&str, LongQueries); 3] = [
    ("wait", LongQueries::Wait),
    ("abort", LongQueries::Abort),
    ("ignore", LongQueries::Ignore),
];

/// Options by which mydumper itself goes about long queries. How often it looks decides nothing by itself.
const OF_LONG_QUERIES: [&str; 2] = ["long-query-guard", "kill-long-queries"];

/// What mydumper has to say for its lock to be measured; it is what mykeeper asks for.
const LEAST_VERBOSE: u64 = 3;

const DATABASES: &str = "databases = [\"shop\", \"log_%\"]; [\"%\"] is all, [\"!mysql\"] all but mysql";

/// Reads the keys that only a backup job has.
pub(crate) fn read<'d>(
    section: &mut Section<'d>,
    job: &Entry<'d>,
    reading: &mut Reading<'d, '_>,
) -> Option<Task> {
    let server = section
        .require("server", "server = \"NAME\", a [servers.NAME] of mykeeper.toml")
        .and_then(|entry| {
            let name = entry.text()?;
            reading
                .check_server(&entry, name)
                .then(|| ServerName::new(name).ok())
                .flatten()
        });
    let databases = section
        .require("databases", DATABASES)
        .and_then(|entry| read_databases(&entry));
    let consistency = section
        .take("consistency")
        .and_then(|entry| entry.choice(&CONSISTENCY));
    let directory_entry = section.require("directory", "directory = \"/an/absolute/path\"");
    let directory = directory_entry.as_ref().and_then(Entry::absolute_path);
    reading.mentions.lacks_folder |= directory.is_none();
    if let (Some(entry), Some(path)) = (&directory_entry, &directory) {
        reading.mentions.backups.push(NamedFolder {
            job: job.key.clone(),
            path: path.clone(),
            spot: entry.spot.clone(),
        });
    }
    let transfer_to = section.take("transfer_to").map_or_else(
        || Some(Vec::new()),
        |entry| read_destinations(&entry, job, directory.as_ref(), reading),
    );
    let stream = section
        .take("stream")
        .map_or(Some(true), |entry| entry.yes_or_no());
    let mut mydumper = section
        .take("mydumper")
        .map_or_else(|| Some(mydumper::defaults()), |entry| mydumper::read(&entry));
    let (packing, chunk) = packing::read(section, mydumper.get_or_insert_default());
    let prove = section
        .take("prove")
        .and_then(|entry| read_prove(&entry, server.as_ref(), reading));
    let reserve = section
        .take("reserve")
        .map_or(Some(Some(DEFAULT_RESERVE)), |entry| entry.size_or_off());
    let checksum = section
        .take("checksum")
        .map_or(Some(ChecksumLimit::default()), |entry| read_checksum(&entry));
    let lock = read_lock(section, mydumper.as_deref().unwrap_or_default());
    Some(Task::Backup(BackupTask {
        server: server?,
        databases: databases?,
        consistency: consistency.unwrap_or_default(),
        directory: directory?,
        transfer_to: transfer_to?,
        stream: stream?,
        mydumper: mydumper?,
        reserve: reserve?,
        checksum: checksum?,
        lock,
        packing,
        chunk,
        prove: prove.unwrap_or_default(),
        as_pybackup: None,
    }))
}

/// What decides on the proofs is for the validation jobs to say: which they are is known when all are read.
fn read_prove<'d>(
    entry: &Entry<'d>,
    server: Option<&ServerName>,
    reading: &mut Reading<'d, '_>,
) -> Option<Prove> {
    let prove = entry.choice(&PROVE)?;
    if let Some(server) = server {
        reading.mentions.proofs.push((entry.spot.clone(), server.clone()));
    }
    Some(prove)
}

/// `"all"`, `"off"`, or the size of the largest tables that are asked.
fn read_checksum(entry: &Entry<'_>) -> Option<ChecksumLimit> {
    if matches!(&entry.value, DeValue::String(text) if text.as_ref() == "all") {
        return Some(ChecksumLimit::All);
    }
    let size = entry.size_all_or_off()?;
    Some(size.map_or(ChecksumLimit::Off, ChecksumLimit::UpTo))
}

/// Reads how the dump goes about its lock. A mistake leaves the default.
fn read_lock(section: &mut Section<'_>, options: &[MydumperOption]) -> LockPolicy {
    let mut lock = LockPolicy::default();
    if let Some(entry) = section.take("lock_budget") {
        lock.budget = read_budget(&entry);
        let verbose = options.iter().find(|option| option.name == "verbose");
        let quiet = verbose
            .and_then(|option| option.value.as_ref()?.parse::<u64>().ok())
            .is_some_and(|level| level < LEAST_VERBOSE);
        if quiet {
            entry.spot.mistake(
                complaint(
                    "with so little \"verbose\" mydumper does not say when it has the lock, and `lock_budget` cannot be kept",
                )
                .help("take \"verbose\" out of `mydumper`: mykeeper asks for \"verbose=3\""),
            );
        }
    }
    let theirs = options
        .iter()
        .find(|option| OF_LONG_QUERIES.contains(&option.name.as_str()));
    let entry = section.take("long_queries");
    match (theirs, &entry) {
        (Some(option), Some(entry)) => entry.spot.mistake(
            complaint(format!(
                "mydumper's option {:?} and `long_queries` both say what is done about long queries",
                option.name
            ))
            .help("keep one of the two"),
        ),
        // It is left to mydumper.
        (Some(_), None) => lock.long_queries = LongQueries::Ignore,
        (None, _) => {}
    }
    if let Some(chosen) = entry.and_then(|entry| entry.choice(&LONG_QUERIES)) {
        lock.long_queries = chosen;
    }
    if let Some(limit) = section
        .take("long_query_limit")
        .and_then(|entry| entry.positive_duration("every query would be one that takes too long"))
    {
        lock.long_query_limit = limit;
    }
    if let Some(wait) = section.take("long_query_wait").and_then(|entry| {
        entry.positive_duration("no query would be waited for; long_queries = \"fail\" is for that")
    }) {
        lock.long_query_wait = wait;
    }
    lock
}

fn read_budget(entry: &Entry<'_>) -> Option<Duration> {
    let budget = entry.duration()?;
    if budget.is_zero() {
        entry.spot.mistake(
            complaint("`lock_budget` cannot be zero: every dump would be ended as soon as it has its lock")
                .help("write how long others may be kept waiting, such as \"30s\", or leave the key out: no limit"),
        );
        return None;
    }
    Some(budget)
}

fn read_databases(entry: &Entry<'_>) -> Option<DatabaseSelection> {
    let items = entry.items("a list of patterns: [\"shop\", \"log_%\"]")?;
    if items.is_empty() {
        entry.spot.mistake(
            complaint("`databases` is empty: nothing would be backed up").help(format!("write {DATABASES}")),
        );
        return None;
    }
    let mut included = Vec::new();
    let mut excluded = Vec::new();
    let mut seen = BTreeSet::new();
    for item in &items {
        let Some(text) = item.text() else { continue };
        if !seen.insert(text) {
            item.spot
                .mistake(complaint(format!("{text:?} stands here twice")).help("keep one of the two"));
        }
        let pattern = text.strip_prefix('!').unwrap_or(text);
        check_pattern(item, pattern);
        if text.starts_with('!') {
            excluded.push((pattern.to_owned(), item));
        } else {
            included.push(pattern.to_owned());
        }
    }
    match (included.is_empty(), excluded.first()) {
        (false, Some((_, item))) => {
            item.spot.mistake(
                complaint("`databases` mixes patterns that include with patterns that exclude").help(
                    "either name what is backed up, [\"shop\", \"log_%\"], or what is not, [\"!mysql\", \"!tmp_%\"]",
                ),
            );
            None
        }
        (false, None) => Some(DatabaseSelection::Include(included)),
        (true, _) => Some(DatabaseSelection::Exclude(
            excluded.into_iter().map(|(pattern, _)| pattern).collect(),
        )),
    }
}

fn check_pattern(item: &Entry<'_>, pattern: &str) {
    if pattern.trim() != pattern || pattern.is_empty() {
        item.spot.mistake(
            complaint("a pattern is a database's name, without spaces around it").help(DATABASES.to_owned()),
        );
    } else if pattern.contains(',') {
        item.spot.warning(
            complaint("this is one pattern with a comma in it")
                .help("for several databases write several texts: [\"shop\", \"blog\"]"),
        );
    } else if VIRTUAL_SCHEMAS
        .iter()
        .any(|schema| schema.eq_ignore_ascii_case(pattern))
    {
        item.spot.warning(
            complaint(format!(
                "{pattern:?} is made by the server from memory and never backed up"
            ))
            .help("take it out"),
        );
    }
}

fn read_destinations<'d>(
    entry: &Entry<'d>,
    job: &Entry<'d>,
    directory: Option<&PathBuf>,
    reading: &mut Reading<'d, '_>,
) -> Option<Vec<DestinationName>> {
    let items = match entry.value {
        DeValue::String(_) => vec![entry.clone()],
        _ => entry.items("a destination's name in quotes")?,
    };
    if items.is_empty() {
        entry.spot.warning(
            complaint("`transfer_to` names no destination: the sets stay in their folder alone")
                .help("name one of [destinations], or leave it out"),
        );
    }
    let mut destinations = Vec::new();
    for item in &items {
        let Some(name) = item.text() else { continue };
        if !reading.check_destination(item, name) {
            continue;
        }
        reading.mentions.sends.push(Send {
            job: job.key.clone(),
            directory: directory.cloned(),
            destination: name.to_owned(),
            spot: item.spot.clone(),
        });
        let Ok(destination) = DestinationName::new(name) else {
            continue;
        };
        if destinations.contains(&destination) {
            item.spot
                .mistake(complaint(format!("{name:?} stands here twice")).help("keep one of the two"));
        } else {
            destinations.push(destination);
        }
    }
    Some(destinations)
}
