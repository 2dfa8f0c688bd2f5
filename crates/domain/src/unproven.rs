//! Why a set is not proven yet.

use crate::counted;
use crate::ids::{DestinationName, JobName, NodeName, RunId};
use crate::run::RunState;
use crate::selection::Refusal;
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use std::fmt;

/// A validation job that does not ask for a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Its node.
    pub node: NodeName,
    /// The job.
    pub job: JobName,
    /// Why not.
    #[serde(serialize_with = "as_text")]
    pub refusal: Refusal,
}

fn as_text<S: Serializer>(refusal: &Refusal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(refusal)
}

/// A try that came to no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastTry {
    /// The machine.
    pub node: NodeName,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub state: RunState,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
}

/// Why a set is not proven yet. A change of a word in JSON breaks what others have built on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Unproven {
    /// A part of it is not there.
    NotComplete {
        /// Why.
        reason: Option<String>,
    },
    /// A retention job is about to remove it.
    BeingRemoved,
    /// It has not arrived where it is to be sent.
    NotArrived {
        /// Where.
        destinations: Vec<DestinationName>,
    },
    /// Its last proof failed; pybackup's tests of restoring tell neither when nor why.
    Failed {
        /// When.
        at: Option<DateTime<Utc>>,
        /// Why.
        reason: Option<String>,
    },
    /// It was proven, and every copy that anyone has looked at differs or is missing by now.
    Damaged {
        /// Each copy in a line.
        copies: Vec<String>,
    },
    /// A run is at it.
    Proving {
        /// The machine.
        node: String,
        /// The run.
        run: Option<RunId>,
        /// When that run began.
        since: Option<DateTime<Utc>>,
    },
    /// No node has a validation job.
    NoJob,
    /// No validation job of any node asks for it.
    NotAskedFor {
        /// Each with its reason.
        jobs: Vec<PassedOver>,
    },
    /// Only jobs of this machine ask for it, and it does not lie here.
    NotHere {
        /// This machine.
        node: NodeName,
    },
    /// It will be proven.
    Waits {
        /// Where.
        node: NodeName,
        /// By which job: the one that has the fewest before it.
        job: JobName,
        /// How many sets the job takes before it; of a job that takes any, how many wait besides it.
        before: u64,
        /// There may be more than `before`: they are not counted to the end.
        or_more: bool,
        /// The job's next slot: it takes one set in each.
        next_at: Option<DateTime<Utc>>,
        /// No daemon runs on that machine, as far as this one can tell: nothing fires there until one does.
        no_daemon: bool,
        /// The last try, where there was one.
        last_try: Option<LastTry>,
    },
}

impl Unproven {
    /// For people, with times in `zone`.
    pub fn shown(&self, zone: Tz) -> impl fmt::Display {
        Shown { reason: self, zone }
    }
}

/// In UTC.
impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown(Tz::UTC).fmt(f)
    }
}

struct Shown<'a> {
    reason: &'a Unproven,
    zone: Tz,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: DateTime<Utc>| time(at, self.zone);
        match self.reason {
            Unproven::NotComplete { reason } => {
                write!(f, "it is not complete{}", because(reason.as_deref()))
            }
            Unproven::BeingRemoved => f.write_str("it is being removed"),
            Unproven::NotArrived { destinations } => {
                let names: Vec<&str> = destinations.iter().map(DestinationName::as_str).collect();
                write!(f, "it has not arrived at {}", names.join(", "))
            }
            Unproven::Failed { at, reason } => match at {
                Some(at) => write!(
                    f,
                    "its proof failed at {}{}",
                    time(*at),
                    because(reason.as_deref())
                ),
                None => write!(f, "its proof failed{}", because(reason.as_deref())),
            },
            Unproven::Damaged { copies } => {
                write!(f, "it was proven, and is damaged now: {}", copies.join("; "))
            }
            Unproven::Proving { node, since, .. } => match since {
                Some(since) => write!(f, "it is being proven by {node} since {}", time(*since)),
                None => write!(f, "it is being proven by {node}"),
            },
            Unproven::NoJob => {
                f.write_str("no node has a validation job (cron's \"pybackup validate-backup\" needs none)")
            }
            Unproven::NotAskedFor { jobs } => {
                let jobs: Vec<String> = jobs
                    .iter()
                    .map(|passed| format!("{} on {}: {}", passed.job, passed.node, passed.refusal))
                    .collect();
                write!(f, "no validation job asks for it ({})", jobs.join("; "))
            }
            Unproven::NotHere { node } => write!(
                f,
                "no validation job has it: it does not lie on {node} (\"mykeeper paths add\" tells where it does)"
            ),
            Unproven::Waits {
                node,
                job,
                before,
                or_more,
                next_at,
                no_daemon,
                last_try,
            } => {
                match (before, or_more) {
                    (0, false) => write!(f, "it waits for {job} on {node}, and is next")?,
                    (count, false) => write!(
                        f,
                        "it waits for {job} on {node}: {} before it",
                        counted(*count, "set", "sets")
                    )?,
                    (count, true) => {
                        write!(f, "it waits for {job} on {node}: at least {count} sets before it")?;
                    }
                }
                if let Some(at) = next_at {
                    write!(f, "; next slot at {}", time(*at))?;
                }
                if *no_daemon {
                    write!(f, "; no daemon runs on {node}, so that nothing fires there")?;
                }
                match last_try {
                    Some(last) => write!(
                        f,
                        "; the last try, on {}, ended {} at {}{}",
                        last.node,
                        last.state,
                        time(last.at),
                        because(last.reason.as_deref())
                    ),
                    None => Ok(()),
                }
            }
        }
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)
}
