//! All catalog SQL, for both engines, behind one trait. Migrations are embedded.

mod attempts;
mod backups;
mod clock;
mod contents;
mod db;
mod error;
mod filter;
mod jobs;
mod journal;
mod leases;
mod migrate;
mod nodes;
mod open;
mod paths;
#[cfg(test)]
mod plans;
mod probe;
mod promises;
mod proofs;
mod removals;
mod row;
mod runs;
mod slots;
mod store;
mod transfers;
mod verifications;
mod ways;
mod zone;

pub use error::CatalogError;
pub use filter::{BackupFilter, Bookmark, Page, Reach, RunFilter, SetState, VerificationScope, WaitingScope};
pub use journal::{journal_backlog, open_copy, open_journaled};
pub use leases::{Lease, LeaseClock, LeaseTerm};
pub use open::{OpenCatalog, embedded_file, is_shared, open, open_empty, open_known};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::{Damage, IntactCopy};
use mykeeper_domain::event::Event;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::job::JobKind;
use mykeeper_domain::manifest::{FileEntry, Manifest};
use mykeeper_domain::node::{HeardNode, NodeReport};
use mykeeper_domain::promise::{Promise, PromiseState};
use mykeeper_domain::proof::{Link, Proof};
use mykeeper_domain::removal::{Removal, SetRemoval};
use mykeeper_domain::run::{Attempt, Run, RunEnd};
use mykeeper_domain::selection::Choice;
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::verification::Verification;
use mykeeper_domain::{AttemptId, BackupId, DestinationName, JobName, NodeName, RunId};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// What came of trying to take a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours: the slot and the run are written.
    Won,
    /// Someone took it before: nothing was written.
    Taken,
}

/// A slot that has its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedSlot {
    /// The slot.
    pub slot_at: DateTime<Utc>,
    /// Every slot after this instant is decided by the same row.
    pub covers_after: Option<DateTime<Utc>>,
}

/// One row of `user_backup_path`: where the sets of a server lie on a backup host.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BackupPath {
    /// The table's id; 0 for one that is not yet written.
    pub id: i64,
    /// Address of the server that is backed up.
    pub bk_server: String,
    /// Address of the backup host.
    pub remote_server: String,
    /// The folder there; sets lie at `<real_path>/<YYYY-MM-DD>/<bk_id>/`.
    pub real_path: String,
    /// The server's tag.
    pub tag: String,
    /// The backup host is out of service: its sets cannot be looked at.
    pub is_offline: bool,
}

/// How long a proven set took to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTime {
    /// The set.
    pub bk_id: BackupId,
    /// From the begin of the load until the last definition was there.
    pub load: std::time::Duration,
    /// Decompressed.
    pub bytes_loaded: u64,
    /// What it holds, as `backuped_db` has it.
    pub databases: String,
    /// When the set was started.
    pub set_started_at: DateTime<Utc>,
    /// When the proof ended.
    pub proven_at: DateTime<Utc>,
}

/// A proof as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedProof {
    /// As its columns and those of its databases have it.
    pub proof: Proof,
    /// The verdict as its own column has it.
    pub passed: bool,
    /// The text that its digest is of (see `mykeeper_domain::proof::document`), where it has one.
    pub document: Option<String>,
}

/// A job as this node knows it; keeps slots from being missed silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// Node.
    pub node: NodeName,
    /// Name.
    pub job: JobName,
    /// Kind.
    pub kind: JobKind,
    /// When this job was first seen, or seen again after it had been removed: no slot before it is missed.
    pub since: DateTime<Utc>,
    /// The newest slot that has been decided.
    pub last_slot_at: Option<DateTime<Utc>>,
    /// The schedule that was noted, as [`JobDefinition::schedule`] has it; empty where none was.
    pub schedule: String,
}

/// What a node's file says of a job, as far as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JobDefinition {
    /// Name.
    pub job: JobName,
    /// Kind.
    pub kind: JobKind,
    /// Cron expression and zone, in the form of the caller's choice, at most 1,000 characters.
    pub schedule: String,
    /// Of a validation job: what it chooses from.
    #[serde(default)]
    pub choice: Option<Choice>,
}

/// A validation job of some node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The node.
    pub node: NodeName,
    /// The job.
    pub job: JobName,
    /// As [`JobDefinition::schedule`] has it.
    pub schedule: String,
    /// `None` where an older program has noted it.
    pub choice: Option<Choice>,
}

/// A promise, as the node that gave it has noted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromiseRecord {
    /// The server's tag.
    pub tag: String,
    /// When it was first noted.
    pub noted_at: DateTime<Utc>,
    /// How it stood when that was last looked at.
    pub state: PromiseState,
}

/// How far the catalog's tables are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MigrationStatus {
    /// `SQLite 3.51.3`, `10.11.14-MariaDB`.
    pub engine: String,
    /// Without secrets.
    pub url: String,
    /// Highest version applied; 0 for none.
    pub applied: i64,
    /// Highest version known to this program.
    pub latest: i64,
    /// Rows of `user_backup`; `None` where there is no such table.
    pub backups: Option<u64>,
}

/// So many sets are counted that are deleted or wait, at most: a history has a million of them.
pub const MOST_COUNTED: u64 = 1_000;

/// A journal is given up to so many bytes of `state_dir`: weeks of runs. Beyond them the catalog counts as away.
pub const MAX_JOURNAL_BYTES: u64 = 4 << 30;

/// What waits for a catalog that is away.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Backlog {
    /// Records that are to be written to it.
    pub waiting: u64,
    /// When the oldest of them was noted.
    pub since: Option<DateTime<Utc>>,
    /// Records that it has refused for what they hold: they need a person.
    pub refused: u64,
    /// In which words, of one of them.
    pub refusal: Option<String>,
    /// Why it is away, where this process has found it so.
    pub away: Option<String>,
    /// Its server answers, and does not let this account in: that does not pass by itself.
    #[serde(default)]
    pub is_shut_out: bool,
}

/// The catalog. Each method is one transaction. Times are UTC.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Creates or brings up the tables; adopts the seed's where they are there already.
    async fn migrate(&self) -> Result<MigrationStatus, CatalogError>;
    /// Changes nothing.
    async fn status(&self) -> Result<MigrationStatus, CatalogError>;
    /// That the catalog is reached by another way than the first of its URL, and why, in a sentence without secrets; `None`
    /// where that one leads there, or there is no other.
    fn other_way(&self) -> Option<String> {
        None
    }
    /// What waits in this machine's journal; nothing where there is none.
    async fn backlog(&self) -> Result<Backlog, CatalogError> {
        Ok(Backlog::default())
    }

    /// Notes that `node` has this job now. A job that comes back after `forget_job` starts afresh at `now`.
    async fn know_job(
        &self,
        node: &NodeName,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<JobRecord, CatalogError>;
    /// Of these jobs of `node` those that are known as they are defined but for their schedule, and that no clock was ahead
    /// of: of whom [`Catalog::know_job`] would change nothing. One that is left out is to be asked for by itself.
    async fn known_as_defined(
        &self,
        node: &NodeName,
        definitions: &[&JobDefinition],
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<JobName, JobRecord>, CatalogError>;
    /// Notes that a job's schedule is another from `now` on. Decide what was missed of the one before first.
    async fn reschedule_job(
        &self,
        node: &NodeName,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError>;
    /// Notes that `node` no longer has this job.
    async fn forget_job(
        &self,
        node: &NodeName,
        job: &JobName,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError>;
    /// The jobs that `node` has.
    async fn known_jobs(&self, node: &NodeName) -> Result<Vec<JobRecord>, CatalogError>;

    /// The validation jobs that nodes have, each as its node last noted it; by node and job.
    async fn validators(&self) -> Result<Vec<Validator>, CatalogError>;

    /// Takes the slot `run.slot_at` of (`run.node`, `run.job`) and writes the run, both or neither. The same run asking
    /// again (its first answer was lost) is told `Won` again.
    async fn claim_slot(&self, run: &Run) -> Result<Claim, CatalogError>;
    /// Takes the slots of `runs`, of one job of one node, which pass without having run, and writes the runs; gives how
    /// many were not taken before, by the same runs or by others. The runs are final; at most a thousand at a time.
    async fn skip_slots(&self, runs: &[Run]) -> Result<u64, CatalogError>;
    /// The slots of a job of a node in `(after, until]` that have a run, oldest first, at most so many.
    async fn decided_slots(
        &self,
        of: (&NodeName, &JobName),
        span: (DateTime<Utc>, DateTime<Utc>),
        limit: u32,
    ) -> Result<Vec<DecidedSlot>, CatalogError>;
    /// Says in the reason of a run that has not ended what it waits for; `None`: nothing any more. False when it has
    /// ended. Worth a look only while it is true: it need not be repeated where it could not be written.
    async fn note_run(&self, id: RunId, note: Option<&str>) -> Result<bool, CatalogError>;
    /// Writes a run that stands for no slot. One that is there already, or another of the same `retry_of`, stays as it is.
    async fn insert_run(&self, run: &Run) -> Result<(), CatalogError>;
    /// A queued run begins: `queued` or `running` to `running`. False when the run is final already.
    async fn start_run(
        &self,
        id: RunId,
        started_at: DateTime<Utc>,
        log_path: Option<PathBuf>,
    ) -> Result<bool, CatalogError>;
    /// Ends a run. False when it was final already (then nothing changes).
    async fn finish_run(&self, id: RunId, end: &RunEnd) -> Result<bool, CatalogError>;
    /// One run.
    async fn run(&self, id: RunId) -> Result<Option<Run>, CatalogError>;
    /// Several runs.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, CatalogError>;
    /// The runs of `node` that are not final, oldest first.
    async fn unfinished_runs(&self, node: &NodeName) -> Result<Vec<Run>, CatalogError>;
    /// The runs of `node` that are final and have attempts that are not, oldest first.
    async fn runs_with_open_attempts(&self, node: &NodeName) -> Result<Vec<Run>, CatalogError>;
    /// The last run of each job of `node`, skipped ones and forgotten jobs left out; ordered by job. One that was asked
    /// for after `now`, by a clock that was ahead, counts from its end, where that is not ahead too.
    async fn last_runs(&self, node: &NodeName, now: DateTime<Utc>) -> Result<Vec<Run>, CatalogError>;

    /// Writes an attempt that begins. One that is there already stays as it is.
    async fn start_attempt(&self, attempt: &Attempt) -> Result<(), CatalogError>;
    /// Ends an attempt. False when it was final already.
    async fn finish_attempt(
        &self,
        id: AttemptId,
        end: &RunEnd,
        exit_status: Option<&str>,
    ) -> Result<bool, CatalogError>;
    /// The attempts of a run in order.
    async fn attempts(&self, run: RunId) -> Result<Vec<Attempt>, CatalogError>;

    /// Writes a finished set: its row of `user_backup`, files and evidence, all or none. A set that is there already stays as it is (false).
    async fn insert_backup(
        &self,
        backup: &Backup,
        manifest: &Manifest,
        evidence: &Evidence,
    ) -> Result<bool, CatalogError>;
    /// One set.
    async fn backup(&self, id: BackupId) -> Result<Option<Backup>, CatalogError>;
    /// One set as every node knows it: never from this machine's copy, which knows no proofs.
    async fn shared_backup(&self, id: BackupId) -> Result<Option<Backup>, CatalogError> {
        self.backup(id).await
    }
    /// Several sets.
    async fn backups(&self, filter: &BackupFilter) -> Result<Vec<Backup>, CatalogError>;
    /// A page of the sets that are not deleted and may lie on a node, or are about to be deleted, in the order of their start.
    async fn sets_here(&self, reach: &Reach, after: Option<&Bookmark>) -> Result<Page, CatalogError>;
    /// How many sets that a filter finds are marked deleted, whatever its `present_only` and `limit` say; at most
    /// [`MOST_COUNTED`].
    async fn count_deleted(&self, filter: &BackupFilter) -> Result<u64, CatalogError>;
    /// The files of a set, sorted by path.
    async fn files(&self, id: BackupId) -> Result<Vec<FileEntry>, CatalogError>;
    /// The evidence of a set; `None` for one that pybackup made.
    async fn evidence(&self, id: BackupId) -> Result<Option<Evidence>, CatalogError>;

    /// Writes a transfer attempt that begins; one that is there already stays as it is. A `send` sets `transfer_start`, where it is still empty, and `remote_dest`.
    async fn start_transfer(&self, transfer: &Transfer, remote_dest: &str) -> Result<(), CatalogError>;
    /// Ends a transfer attempt. A `send` appends `Y` or `N` to `transfer_complete` and sets `transfer_end` and `transfer_elapsed` (of this attempt);
    /// a `verify` that ends `failed`, which means that the copy differs, appends `N`, so that the set counts as not arrived: one
    /// that could not look must end in another state. False when it was final already.
    async fn finish_transfer(
        &self,
        id: AttemptId,
        end: &RunEnd,
        sent_bytes: Option<u64>,
    ) -> Result<bool, CatalogError>;
    /// The transfer attempts of a set, oldest first.
    async fn transfers(&self, id: BackupId) -> Result<Vec<Transfer>, CatalogError>;
    /// Transfer attempts of `node` left unfinished, oldest first.
    async fn unfinished_transfers(&self, node: &NodeName) -> Result<Vec<Transfer>, CatalogError>;
    /// Complete, present sets of `node` that should be at `destination` and are not (no successful `send` since the last failed `verify`), oldest first: a page of so many after `after`.
    async fn pending_transfers(
        &self,
        node: &NodeName,
        destination: &DestinationName,
        (after, limit): (Option<&Bookmark>, u32),
    ) -> Result<Page, CatalogError>;
    /// The names of destinations that sets of `node` were meant for or sent to, ascending, a hundred at most.
    async fn delivery_names(&self, node: &NodeName) -> Result<Vec<DestinationName>, CatalogError>;
    /// Present sets of `node` that have arrived at `destination` and whose last `send` or `verify` ended before `before`,
    /// that one first, and, whatever `before` is, those whose copies were found to differ since.
    async fn due_verifications(
        &self,
        node: &NodeName,
        destination: &DestinationName,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Backup>, CatalogError>;

    /// A page of the sets that wait for their proof, after `after`, in the order of their start. The caller narrows them further.
    async fn validation_candidates(
        &self,
        scope: &WaitingScope,
        after: Option<&Bookmark>,
        limit: u32,
    ) -> Result<Page, CatalogError>;
    /// Writes a proof, once for each run and start: our own tables, one row per database in `user_recover_info`, and `validate_status`, all or none.
    /// One that knows its set follows the last proof of the set's tag, whoever else records at the same time; its `link` is not read.
    async fn record_proof(&self, proof: &Proof) -> Result<(), CatalogError>;
    /// The proofs of a set, newest first.
    async fn proofs(&self, id: BackupId) -> Result<Vec<Proof>, CatalogError>;
    /// The copies of a set that proofs which passed have restored, the newest first.
    async fn proven_copies(&self, id: BackupId) -> Result<Vec<IntactCopy>, CatalogError>;
    /// The proofs of a set, each with its document.
    async fn proof_documents(&self, id: BackupId) -> Result<Vec<RecordedProof>, CatalogError>;
    /// How long the sets of a job with this tag took to come back, `None` being those that no job of ours made: proofs
    /// that passed, the last recorded first, at most so many.
    async fn restore_times(
        &self,
        tag: &str,
        job: Option<&JobName>,
        limit: u32,
    ) -> Result<Vec<RestoreTime>, CatalogError>;
    /// The links of the proofs with this tag that are numbered one less and one more.
    async fn neighbours(&self, tag: &str, number: u64) -> Result<Vec<Link>, CatalogError>;

    /// Writes what a node found when it read what it has of a set; in place of what it found before. With a copy that is
    /// whole, a set whose last proof failed for its files alone is untried again; as with one that is sent anew.
    async fn record_verification(&self, found: &Verification) -> Result<(), CatalogError>;
    /// The newest of each node, the newest first.
    async fn verifications(&self, id: BackupId) -> Result<Vec<Verification>, CatalogError>;
    /// The sets of which a copy differs by what nodes and proofs have found last: of these, also where they are deleted;
    /// else of all those, not deleted, that were written last, at most ten thousand.
    async fn damages(&self, of: Option<&[BackupId]>) -> Result<HashMap<BackupId, Damage>, CatalogError>;
    /// A page of the sets to be read again: those that a person has found to differ, or that were sent again since, then those
    /// that the node never looked at by their start, then the one whose last look is oldest. A set may come twice.
    async fn due_for_reading(
        &self,
        scope: &VerificationScope,
        after: Option<&Bookmark>,
        limit: u32,
    ) -> Result<Page, CatalogError>;

    /// Notes that `node` promises this from `now` on; one that is noted already stays as it is.
    async fn know_promise(
        &self,
        node: &NodeName,
        promise: &Promise,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError>;
    /// What `node` promises.
    async fn promises(&self, node: &NodeName) -> Result<Vec<PromiseRecord>, CatalogError>;
    /// Notes that the promise about `event.subject` stands so now, with the event, both or neither. False when it has
    /// been noted before: then nothing changes.
    async fn turn_promise(
        &self,
        node: &NodeName,
        state: PromiseState,
        event: &Event,
    ) -> Result<bool, CatalogError>;
    /// Notes that `node` promises it no more.
    async fn forget_promise(&self, node: &NodeName, tag: &str) -> Result<(), CatalogError>;
    /// What has happened at or after `since` on any node, oldest first, at most so many.
    async fn events(&self, since: DateTime<Utc>, limit: u32) -> Result<Vec<Event>, CatalogError>;
    /// The same, newest first.
    async fn newest_events(&self, since: DateTime<Utc>, limit: u32) -> Result<Vec<Event>, CatalogError>;
    /// Forgets what `node` noticed before that instant; gives how many events that were.
    async fn prune_events(&self, node: &NodeName, before: DateTime<Utc>) -> Result<u64, CatalogError>;

    /// Writes what a node tells of itself, in place of what it told before. Never kept for later: what was is of no use.
    async fn report_node(&self, report: &NodeReport) -> Result<(), CatalogError>;
    /// What every node told last, by node, and how long ago that was by the clock that they share; `now` is that of an
    /// embedded catalog.
    async fn nodes(&self, now: DateTime<Utc>) -> Result<Vec<HeardNode>, CatalogError>;
    /// The time by the clock of those that share this catalog; of an embedded one `now`.
    async fn shared_now(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, CatalogError>;
    /// Forgets what a node told, where it was last heard of before that instant of the shared clock; gives how many daemons
    /// that were.
    async fn forget_node(&self, node: &NodeName, before: DateTime<Utc>) -> Result<u64, CatalogError>;

    /// Takes a lease (`set:<bk_id>:validate`) for that term unless another holder has it and it has not run out. True when it is
    /// ours.
    async fn acquire_lease(&self, name: &str, holder: &str, term: LeaseTerm) -> Result<bool, CatalogError>;
    /// Gives it back; nothing happens when it is not ours.
    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), CatalogError>;
    /// The leases whose names have this prefix and that have not run out, by name. Those of [`LeaseClock::Shared`] run out
    /// by the shared clock; `now` is then that of an embedded catalog alone.
    async fn leases(&self, prefix: &str, at: (LeaseClock, DateTime<Utc>))
    -> Result<Vec<Lease>, CatalogError>;

    /// `none` to `deleting`, with the reason; another reason where it is so already. False when the set is not there or is deleted.
    async fn mark_deleting(&self, id: BackupId, reason: &str) -> Result<bool, CatalogError>;
    /// `deleting` back to `none`: nothing of it was removed. False when it is not marked so.
    async fn unmark_deleting(&self, id: BackupId) -> Result<bool, CatalogError>;
    /// Records what a run has removed of a set, all or none: its folders, the destinations that have nothing of it any more, and
    /// what is left. Where that is nothing it is deleted; else the mark for deletion of the same `why` goes, and with the
    /// original it is no more sent or held against that. False where that changes nothing of the set.
    async fn record_removal(&self, removal: &SetRemoval) -> Result<bool, CatalogError>;
    /// What was removed of a set. [`Catalog::verifications`], `proven_copies` and `damages` tell nothing that was known of it
    /// before.
    async fn removals(&self, id: BackupId) -> Result<Vec<Removal>, CatalogError>;
    /// Sets `is_deleted` to `Y`. False when there is no such set.
    async fn mark_deleted(
        &self,
        id: BackupId,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError>;

    /// `user_backup_path`, ordered by id.
    async fn paths(&self) -> Result<Vec<BackupPath>, CatalogError>;
    /// Adds a row and gives its id; an equal row gives the id that it has.
    async fn add_path(&self, path: &BackupPath) -> Result<i64, CatalogError>;
    /// Removes a row. False when there is none.
    async fn remove_path(&self, id: i64) -> Result<bool, CatalogError>;

    /// Closes the connections.
    async fn close(&self);
}
