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
    /// When its job last succeeded since then.
    #[serde(default)]
    pub over_at: Option<DateTime<Utc>>,
}

/// Which process a daemon is, as far as others can tell it from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProcess {
    /// What its machine calls itself.
    pub host: String,
    /// The kernel's id of this boot, and of the numbers that processes have: of two machines, or containers, one at least differs.
    pub seat: String,
    /// Its number there.
    pub pid: u32,
    /// Clock ticks from boot to its start: numbers are given again.
    pub start_time_ticks: u64,
}

/// How a node's daemon is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The machine.
    pub node: NodeName,
    /// Its `state_dir`, so that two daemons under one name can be told apart.
    pub state_dir: String,
    /// Which process; `None` where an older mykeeper told it, or the kernel does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<NodeProcess>,
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

/// What was last heard of a node, by the clock that all judge by: that of the catalog's server, where nodes share one.
#[derive(Clone, Debug, PartialEq)]
pub struct HeardNode {
    /// What it told; its `heard_at` is by that clock, all its other times by its own.
    pub report: NodeReport,
    /// How long ago.
    pub heard_ago: TimeDelta,
    /// How far the node's own clock goes ahead of that one, as far as it took to tell; negative where it is behind.
    pub clock_ahead: TimeDelta,
}

/// A clock that is wrong by less may only have been slow to tell.
const WRONG_BY: TimeDelta = TimeDelta::seconds(30);

impl HeardNode {
    /// By what it said last, and when.
    pub fn vitality(&self) -> Vitality {
        let report = &self.report;
        if report.state == "stopped" {
            return Vitality::Stopped;
        }
        let every = Duration::try_from_secs_f64(report.every_seconds).unwrap_or(SHORTEST);
        let patience = TimeDelta::from_std((every * MISSED_REPORTS).max(SHORTEST)).unwrap_or(TimeDelta::MAX);
        match self.heard_ago > patience {
            true => Vitality::Silent,
            false => Vitality::Alive,
        }
    }

    /// What is wrong with its clock, as the end of a sentence; `None` where nothing is.
    pub fn wrong_clock(&self) -> Option<String> {
        clock_is_off(self.clock_ahead)
    }
}

/// What is wrong with a clock that goes ahead of the catalog's by so much, negative where it is behind: `clock is 45 d 0 h ahead
/// of the catalog's`; `None` where that may only have taken time to tell.
pub fn clock_is_off(ahead: TimeDelta) -> Option<String> {
    let off = ahead.abs();
    let way = match ahead < TimeDelta::zero() {
        true => "behind",
        false => "ahead of",
    };
    (off >= WRONG_BY).then(|| format!("clock is {} {way} the catalog's", rounded(off)))
}

/// In its two largest units.
fn rounded(span: TimeDelta) -> String {
    let seconds = (span.num_milliseconds() + 500) / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, 10..) => format!("{minutes} min"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_misses_four_of_its_reports_is_silent_and_one_that_stopped_is_not() {
        let at = |seconds: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let report = NodeReport {
            node: NodeName::new("db1").unwrap(),
            state_dir: "/var/lib/mykeeper".to_owned(),
            process: None,
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
        let mut heard = HeardNode {
            report,
            heard_ago: TimeDelta::seconds(60),
            clock_ahead: TimeDelta::zero(),
        };
        assert_eq!(heard.vitality(), Vitality::Alive);
        heard.heard_ago = TimeDelta::seconds(61);
        assert_eq!(heard.vitality(), Vitality::Silent);
        heard.report.state = "stopped".to_owned();
        heard.heard_ago = TimeDelta::seconds(99_999);
        assert_eq!(heard.vitality(), Vitality::Stopped);

        for (seconds, said) in [
            (0, None),
            (-29, None),
            (45, Some("clock is 45 s ahead of the catalog's")),
            (125, Some("clock is 2 min 5 s ahead of the catalog's")),
            (-601, Some("clock is 10 min behind the catalog's")),
            (7_300, Some("clock is 2 h 1 min ahead of the catalog's")),
            (-90_000, Some("clock is 1 d 1 h behind the catalog's")),
        ] {
            heard.clock_ahead = TimeDelta::seconds(seconds);
            assert_eq!(heard.wrong_clock().as_deref(), said);
        }
    }
}
