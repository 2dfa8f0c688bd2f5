//! What a list is asked for.

use crate::backups::Stream;
use chrono::{DateTime, Utc};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::job::JobKind;
use mykeeper_domain::run::RunState;
use mykeeper_domain::{DestinationName, JobName, NodeName, RunId};
use std::sync::Arc;

/// Which runs to list. Newest first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this job.
    pub job: Option<JobName>,
    /// Of this node.
    pub node: Option<NodeName>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// In one of these states; empty: any.
    pub states: Vec<RunState>,
    /// Requested at or after.
    pub since: Option<DateTime<Utc>>,
    /// Doing this one again.
    pub retry_of: Option<RunId>,
    /// At most so many; 0 is none.
    pub limit: u32,
}

/// What a set can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetState {
    /// Every part of it is there.
    Complete,
    /// Some part of it is not.
    Incomplete,
    /// Its last transfer succeeded.
    Transferred,
    /// Proven restorable, by whomever, and not damaged.
    Validated,
    /// The same, with a proof of ours that says so: pybackup calls a set passed whose loader exited with 0.
    Proven,
    /// With a proof of ours that passed, whatever has become of it since.
    ProvenOnce,
    /// Its proof failed.
    Failed,
    /// Not deleted, and every copy that anyone has looked at differs from what was written.
    Damaged,
    /// Not proven, or proven and damaged by now, and not deleted.
    Unproven,
    /// Marked as deleted.
    Deleted,
}

/// Which sets to list. Newest first; of more sets with one `id_prefix` than `limit` it is not said which are given.
#[derive(Clone, Debug, Default)]
pub struct BackupFilter {
    /// With this tag.
    pub tag: Option<String>,
    /// With this `bk_server`.
    pub server: Option<String>,
    /// Made by this node.
    pub node: Option<NodeName>,
    /// Made by this job, of any node.
    pub job: Option<JobName>,
    /// Whose `bk_id` begins so; hexadecimal digits and dashes.
    pub id_prefix: Option<String>,
    /// Started at or after.
    pub since: Option<DateTime<Utc>>,
    /// Only sets that are not marked deleted; those whose removal has begun are among them.
    pub present_only: bool,
    /// Only sets in this state.
    pub state: Option<SetState>,
    /// At most so many; 0 is none.
    pub limit: u32,
}

/// What may lie on a node: sets that it made, or that pybackup did, which does not say where, and copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The node.
    pub node: NodeName,
    /// Copies of sets with one of these tags lie on it.
    pub tags_here: Vec<String>,
    /// These destinations lie on it.
    pub destinations: Vec<DestinationName>,
}

/// Which sets that wait for their proof: complete, not deleted nor about to be, arrived where they are sent, not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingScope {
    /// Those that may lie there; `None`: wherever they lie.
    pub reach: Option<Reach>,
    /// With one of these tags alone, in large letters or small; empty: any.
    pub tags: Vec<String>,
    /// Started at or after, or a few hours before.
    pub since: Option<DateTime<Utc>>,
    /// The one that was started last comes first, else the one that was started first.
    pub newest_first: bool,
}

/// Which sets a node reads again: complete ones, not deleted, that may lie on it.
#[derive(Clone, Debug)]
pub struct VerificationScope {
    /// The node, and what may lie on it; a copy once it has arrived.
    pub reach: Reach,
    /// With one of these tags alone; empty: any.
    pub tags: Vec<String>,
    /// Started at or after, or a few hours before.
    pub since: Option<DateTime<Utc>>,
    /// Whose last look ended before this instant, or that were never looked at.
    pub before: DateTime<Utc>,
}

/// Where a page of sets ended. Only the question that gave it can go on from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark(pub(crate) Mark);

/// What a page ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// In the order of time, of what stands at these places of an index: `start_time` and `id`.
    Time {
        start: String,
        id: i64,
        streams: Arc<[Stream]>,
    },
    /// The oldest first, of what waits to be sent: `start_time` and `id`.
    Pending { start: String, id: i64 },
    /// Nothing yet of those that were never looked at.
    NeverLooked,
    /// In the order of the last look.
    Looked { looked_ms: i64, bk_id: String },
    /// The same, of those that were found to differ.
    Differing { looked_ms: i64, bk_id: String },
}

/// Some sets of many.
#[derive(Clone, Debug)]
pub struct Page {
    /// In their order. A page may have none where others follow: the catalog goes through so many rows at a time.
    pub sets: Vec<Backup>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Bookmark>,
}
