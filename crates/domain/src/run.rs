//! What became of each slot: runs and their attempts.

use crate::ids::{AttemptId, BackupId, JobName, NodeName, RunId};
use crate::job::JobKind;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in the catalog, in JSON and on the terminal.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    format!("{text:?} is none of {}", Self::ALL.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(", "))
                })
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Where a run, or an attempt of it, stands or how it ended.
    RunState {
        /// Its slot is taken; it waits for the run before it.
        Queued = "queued",
        /// It runs.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Done, with something worth a look: see the reason.
        Warned = "warned",
        /// It ran and failed: see the reason.
        Failed = "failed",
        /// Ended because it took longer than `timeout`.
        TimedOut = "timed-out",
        /// Ended because nothing was said or written for `stall`.
        Stalled = "stalled",
        /// Ended by the person who started it.
        Cancelled = "cancelled",
        /// Ended by the end of the daemon or of the machine.
        Interrupted = "interrupted",
        /// It never ran: see the reason.
        Skipped = "skipped",
    }
}

impl RunState {
    /// Whether this state is final.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether the run did what it was for.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Succeeded | Self::Warned)
    }
}

words! {
    /// Why a run was asked for.
    Trigger {
        /// Its slot was due.
        Schedule = "schedule",
        /// Its slot had passed while nobody was there.
        CatchUp = "catch-up",
        /// A person asked for it.
        Manual = "manual",
        /// The backup asked for it that has made its set.
        Backup = "backup",
        /// It does again, or goes on with, what the end of the daemon or of the machine interrupted.
        Retry = "retry",
    }
}

/// Slots that passed long ago and have no row of their own: more were missed at once than are recorded one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredSlots {
    /// Every slot after this instant, up to the row's own, is among them.
    pub after: DateTime<Utc>,
    /// How many they are, without the row's own.
    pub slots: u64,
}

/// One run of one job, or the record of why there was none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Identity.
    pub id: RunId,
    /// The machine that runs it.
    pub node: NodeName,
    /// The job.
    pub job: JobName,
    /// Its kind.
    pub kind: JobKind,
    /// Why it was asked for.
    pub trigger: Trigger,
    /// The slot it stands for; `None` when a person asked.
    pub slot_at: Option<DateTime<Utc>>,
    /// When it is to begin; `None`: at its slot. Jitter puts it off, and is no lateness.
    pub planned_at: Option<DateTime<Utc>>,
    /// The earlier slots that it stands for as well.
    pub covers: Option<CoveredSlots>,
    /// The interrupted run that this one does again, or goes on with.
    pub retry_of: Option<RunId>,
    /// Where it stands.
    pub state: RunState,
    /// Why it ended so; for people. Never holds a secret.
    pub reason: Option<String>,
    /// The set it made, sent, proved.
    pub bk_id: Option<BackupId>,
    /// When the row was written.
    pub requested_at: DateTime<Utc>,
    /// When work began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its log file on the node.
    pub log_path: Option<PathBuf>,
}

impl Run {
    /// How long after its planned time it began; `None` where it has none, or has not begun.
    pub fn late(&self) -> Option<TimeDelta> {
        let planned_at = self.planned_at.or(self.slot_at)?;
        Some(self.started_at? - planned_at)
    }
}

/// How a run, or an attempt, ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// A final state.
    pub state: RunState,
    /// Why.
    pub reason: Option<String>,
    /// The set concerned.
    pub bk_id: Option<BackupId>,
    /// When.
    pub finished_at: DateTime<Utc>,
}

/// One try within a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Identity.
    pub id: AttemptId,
    /// The run.
    pub run_id: RunId,
    /// 1 is the first.
    pub number: u32,
    /// The set that it works on.
    pub bk_id: Option<BackupId>,
    /// The folder that it writes to: what a crash leaves behind is looked for here.
    pub work_dir: Option<PathBuf>,
    /// Where it stands.
    pub state: RunState,
    /// Why it ended so.
    pub reason: Option<String>,
    /// What the tool said with its exit: `exit 1`, `signal 9`.
    pub exit_status: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}
