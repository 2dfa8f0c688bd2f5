//! `schedule.toml`: what happens when.

use crate::backup;
use crate::document::{Document, Spot, complaint};
use crate::immediate;
use crate::job;
use crate::keeper::Keeper;
use crate::layout;
use crate::nearest::nearest;
use crate::notify;
use crate::retention;
use crate::section::{Entry, Section};
use crate::transfer;
use crate::validation;
use chrono_tz::Tz;
use mykeeper_domain::job::{Job, JobKind};
use mykeeper_domain::notify::Ping;
use mykeeper_domain::{JobName, ServerName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::DeTable;

/// A folder that a job names.
pub(crate) struct NamedFolder<'d> {
    pub(crate) job: String,
    pub(crate) path: PathBuf,
    pub(crate) spot: Spot<'d>,
}

/// A destination that a backup job names.
pub(crate) struct Send<'d> {
    pub(crate) job: String,
    /// The job's, where that could be read.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) destination: String,
    /// Where it is named.
    pub(crate) spot: Spot<'d>,
}

/// What the jobs say of each other's things; judged when all are read.
#[derive(Default)]
pub(crate) struct Mentions<'d> {
    /// `directory` of each backup job.
    pub(crate) backups: Vec<NamedFolder<'d>>,
    /// `directory` of each retention job.
    pub(crate) retentions: Vec<NamedFolder<'d>>,
    /// Each destination of each backup job.
    pub(crate) sends: Vec<Send<'d>>,
    /// Whether `directory` of any backup job could not be read.
    pub(crate) lacks_folder: bool,
    /// The destination of each transfer job.
    pub(crate) transfers: Vec<(Spot<'d>, String)>,
    /// `prove` of each backup job that asks for a proof itself, with the server.
    pub(crate) proofs: Vec<(Spot<'d>, ServerName)>,
}

/// What a job's section is read with.
pub(crate) struct Reading<'d, 'k> {
    pub(crate) keeper: &'k Keeper,
    pub(crate) zone: Tz,
    pub(crate) mentions: Mentions<'d>,
    pub(crate) pings: BTreeMap<JobName, Ping>,
}

const KINDS: [JobKind; 4] = [
    JobKind::Backup,
    JobKind::Transfer,
    JobKind::Validation,
    JobKind::Retention,
];

/// Walks the tree of `schedule.toml`: its jobs, and what is called when they run.
pub(crate) fn read<'d>(
    document: &'d Document,
    tree: &'d DeTable<'d>,
    keeper: &Keeper,
) -> (BTreeMap<JobName, Arc<Job>>, BTreeMap<JobName, Ping>) {
    let mut top = Section::top(document, tree);
    let zone = top
        .take("timezone")
        .and_then(|entry| entry.zone())
        .unwrap_or(Tz::UTC);
    let mut reading = Reading {
        keeper,
        zone,
        mentions: Mentions::default(),
        pings: BTreeMap::new(),
    };
    let mut jobs = BTreeMap::new();
    let mut names = Names::default();
    let mut has_unread_validation = false;
    for kind in KINDS {
        for entry in top.named(kind.as_str()) {
            names.meet(kind, &entry);
            match read_job(kind, &entry, &mut reading) {
                Some(job) => {
                    jobs.insert(job.name.clone(), Arc::new(job));
                }
                None => has_unread_validation |= kind == JobKind::Validation,
            }
        }
    }
    top.finish(|key| {
        [
            "node",
            "state_dir",
            "catalog",
            "servers",
            "destinations",
            "sandbox",
            "tools",
            "daemon",
            "notify",
        ]
        .contains(&key)
        .then(|| format!("`{key}` belongs into mykeeper.toml"))
    });
    layout::check(&reading.mentions, keeper);
    // One with a mistake may be the one that is meant.
    if !has_unread_validation {
        immediate::check(&reading.mentions.proofs, keeper, &jobs);
    }
    (jobs, reading.pings)
}

fn read_job<'d>(kind: JobKind, entry: &Entry<'d>, reading: &mut Reading<'d, '_>) -> Option<Job> {
    let mut section = Section::of(entry)?;
    let name = crate::keeper::table_name::<JobName>(entry);
    let common = job::read_common(&mut section, kind, reading.zone);
    if let (Some(ping), Some(name)) = (notify::read_ping(&mut section, &reading.keeper.base), &name) {
        reading.pings.insert(name.clone(), ping);
    }
    let task = match kind {
        JobKind::Backup => backup::read(&mut section, entry, reading),
        JobKind::Transfer => transfer::read(&mut section, reading),
        JobKind::Validation => validation::read(&mut section),
        JobKind::Retention => retention::read(&mut section, entry, reading),
        // Not among KINDS: nothing in a file describes one.
        JobKind::Restore => None,
    };
    section.finish(|key| hint(kind, key));
    common?.into_job(name?, task?)
}

/// Says of which other kind of job `key` is.
fn hint(kind: JobKind, key: &str) -> Option<String> {
    let owner = match key {
        "server" | "databases" | "consistency" | "transfer_to" | "stream" | "mydumper" | "compression"
        | "level" | "chunk" | "prove" | "reserve" | "checksum" | "lock_budget" | "long_queries"
        | "long_query_limit" | "long_query_wait" => JobKind::Backup,
        "verify" | "verify_every" if kind != JobKind::Transfer && kind != JobKind::Validation => {
            return Some(format!(
                "`{key}` is a key of [transfer.NAME] and of [validation.NAME]"
            ));
        }
        "destination" => JobKind::Transfer,
        "select" | "within" | "tags" | "assert" | "max_restore_time" => JobKind::Validation,
        "keep" | "action" | "require" => JobKind::Retention,
        _ => return None,
    };
    if kind == JobKind::Backup && key == "destination" {
        return Some("a backup job names its destination with `transfer_to`".to_owned());
    }
    if kind == JobKind::Retention && key == "within" {
        return Some("write it inside `keep`: keep = { within = \"31d\" }".to_owned());
    }
    (owner != kind).then(|| format!("`{key}` is a key of [{owner}.NAME]"))
}

impl Reading<'_, '_> {
    /// The server that `entry` names, when there is one.
    pub(crate) fn check_server(&self, entry: &Entry<'_>, name: &str) -> bool {
        self.check_name(entry, name, "server", &self.keeper.server_names)
    }

    /// The destination that `entry` names, when there is one.
    pub(crate) fn check_destination(&self, entry: &Entry<'_>, name: &str) -> bool {
        self.check_name(entry, name, "destination", &self.keeper.destination_names)
    }

    fn check_name(&self, entry: &Entry<'_>, name: &str, what: &str, known: &BTreeSet<String>) -> bool {
        if known.contains(name) || self.keeper.is_damaged {
            return true;
        }
        let help = match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if known.is_empty() => {
                format!(
                    "no {what}s are configured: add [{what}s.{}] to mykeeper.toml",
                    table_key(name)
                )
            }
            None => {
                let all: Vec<_> = known.iter().map(|name| format!("\"{name}\"")).collect();
                format!("configured {what}s: {}", all.join(", "))
            }
        };
        entry
            .spot
            .mistake(complaint(format!("there is no {what} {name:?}")).help(help));
        false
    }
}

/// A name as a TOML key: bare when it can be.
fn table_key(name: &str) -> String {
    let is_bare = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_bare {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// The names of all jobs, whatever their kind.
#[derive(Default)]
struct Names(BTreeMap<String, (JobKind, String)>);

impl Names {
    /// A catalog may compare names without regard to case: two that differ in nothing else are alike.
    fn meet(&mut self, kind: JobKind, entry: &Entry<'_>) {
        match self.0.get(&entry.key.to_lowercase()) {
            None => {
                self.0.insert(entry.key.to_lowercase(), (kind, entry.key.clone()));
            }
            Some((other_kind, other)) => {
                let how = if *other == entry.key {
                    "the same name"
                } else {
                    "names that differ only in case"
                };
                entry.key_spot.mistake(
                    complaint(format!(
                        "[{other_kind}.{}] and [{kind}.{}] have {how}",
                        table_key(other),
                        table_key(&entry.key)
                    ))
                    .help(format!(
                        "rename one of them, to \"{}-{kind}\" for example: `mykeeper run` and the catalog know jobs by their name",
                        entry.key
                    )),
                );
            }
        }
    }
}
