//! One sending, or checking, of one set to one destination.

use crate::ids::{AttemptId, BackupId, DestinationName, NodeName, RunId};
use crate::run::{RunState, words};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a transfer attempt is for.
    TransferPurpose {
        /// To bring the set there.
        Send = "send",
        /// To compare what is there with the set.
        Verify = "verify",
        /// To send finished files while the others are still dumped. What the set is worth there, a `send` tells.
        Ahead = "ahead",
        /// To remove what went ahead of a set that never became complete; or that retention has removed the copy there.
        Clear = "clear",
    }
}

impl TransferPurpose {
    /// Whether it says of a set that it is there, or is not.
    pub fn tells_of_arrival(self) -> bool {
        matches!(self, Self::Send | Self::Verify)
    }
}

/// One row of the transfers table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Identity.
    pub id: AttemptId,
    /// The run that does it; `None` when a person does it by hand.
    pub run_id: Option<RunId>,
    /// The set.
    pub bk_id: BackupId,
    /// The machine that sends.
    pub node: NodeName,
    /// Where to, by name.
    pub destination: DestinationName,
    /// Where to: the set's own folder there, without secrets.
    pub target: String,
    /// 1 is the first of this run.
    pub number: u32,
    /// See [`TransferPurpose`].
    pub purpose: TransferPurpose,
    /// Where it stands. A `send` that succeeded has been verified at the other end.
    pub state: RunState,
    /// Why it ended so.
    pub reason: Option<String>,
    /// Bytes that went over the wire.
    pub sent_bytes: Option<u64>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}
