//! What a node tells the others of itself, again and again while its daemon lives.

use crate::ids::{JobName, NodeName, RunId};
use crate::job::JobKind;
use crate::run::RunState;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So many runs that are under way are named; the others are counted.
pub const MOST_NAMED: usize = 20;

/// A node that has missed so many of its own reports is not heard of.
const MISSED_REPORTS: u32 = 4;
/// It is given so long at least.
const SHORTEST: Duration = Duration::from_secs(2);

/// A run that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningRun {
    /// The job.
    pub job: JobName,
    /// Its kind.
    pub kind: JobKind,
    /// The run.
    pub run: RunId,
    /// `running` or `queued`.
    pub state: RunState,
    /// When work began, or when it was asked for.
    pub since: DateTime<Utc>,
    /// What it waits for.
    pub waits: Option<String>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextSlot {
    /// The job.
    pub job: JobName,
    /// When it is due.
    pub slot_at: DateTime<Utc>,
}

/// The last run that did not do what it was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub state: RunState,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in short.
    pub reason: String,
}

/// How a node's daemon is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The machine.
    pub node: NodeName,
    /// Its `state_dir`, so that two daemons under one name can be told apart.
    pub state_dir: String,
    /// `running` or `stopped`.
    pub state: String,
    /// Of mykeeper.
    pub version: String,
    /// Since when it lives.
    pub alive_since: DateTime<Utc>,
    /// When it was last heard of.
    pub heard_at: DateTime<Utc>,
    /// How often it tells, in seconds.
    pub every_seconds: f64,
    /// How many jobs it has.
    pub jobs: usize,
    /// How many runs are under way.
    pub under_way: usize,
    /// The oldest of them, at most [`MOST_NAMED`].
    pub running: Vec<RunningRun>,
    /// `None` without jobs.
    pub next: Option<NextSlot>,
    /// `None` where none is known.
    pub last_failure: Option<LastFailure>,
    /// Who cannot be told of failures there, one sentence each.
    #[serde(default)]
    pub untold: Vec<String>,
}

/// Whether a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vitality {
    /// It was heard of a moment ago.
    Alive,
    /// It has said that it stops.
    Stopped,
    /// It is heard of no more: it died, or cannot reach the catalog.
    Silent,
}

impl NodeReport {
    /// By what it said last.
    pub fn vitality(&self, now: DateTime<Utc>) -> Vitality {
        if self.state == "stopped" {
            return Vitality::Stopped;
        }
        let every = Duration::try_from_secs_f64(self.every_seconds).unwrap_or(SHORTEST);
        let patience = TimeDelta::from_std((every * MISSED_REPORTS).max(SHORTEST)).unwrap_or(TimeDelta::MAX);
        match now - self.heard_at > patience {
            true => Vitality::Silent,
            false => Vitality::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_misses_four_of_its_reports_is_silent_and_one_that_stopped_is_not() {
        let at = |seconds: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let mut report = NodeReport {
            node: NodeName::new("db1").unwrap(),
            state_dir: "/var/lib/mykeeper".to_owned(),
            state: "running".to_owned(),
            version: "1".to_owned(),
            alive_since: at(0),
            heard_at: at(100),
            every_seconds: 15.0,
            jobs: 0,
            under_way: 0,
            running: Vec::new(),
            next: None,
            last_failure: None,
            untold: Vec::new(),
        };
        assert_eq!(report.vitality(at(160)), Vitality::Alive);
        assert_eq!(report.vitality(at(161)), Vitality::Silent);
        report.state = "stopped".to_owned();
        assert_eq!(report.vitality(at(99_999)), Vitality::Stopped);
    }
}
