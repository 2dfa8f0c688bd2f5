//! What `schedule.toml` describes: jobs.

use crate::checksum::ChecksumLimit;
use crate::databases::DatabaseSelection;
use crate::ids::{BackupId, DestinationName, JobName, ServerName};
use crate::immediate::Prove;
use crate::packing::Packing;
use crate::retention::KeepPolicy;
use crate::retry::RetryPolicy;
use crate::schedule::Schedule;
use crate::selection::{Choice, Select};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The four kinds of job that a schedule has, and what is only ever done by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Makes a set.
    Backup,
    /// Sends sets that have not arrived.
    Transfer,
    /// Proves a set restorable.
    Validation,
    /// Marks or removes sets that are obsolete.
    Retention,
    /// Puts a set into a server; by hand alone.
    Restore,
}

impl JobKind {
    /// The word used in the schedule file, the catalog and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Transfer => "transfer",
            Self::Validation => "validation",
            Self::Retention => "retention",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [
            Self::Backup,
            Self::Transfer,
            Self::Validation,
            Self::Retention,
            Self::Restore,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| format!("{text:?} is no kind of job"))
    }
}

/// What to do about slots that passed while nobody was there to take them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missed {
    /// Run once for the newest; the others are recorded as merged into it.
    #[default]
    RunOnce,
    /// Record them as skipped.
    Skip,
}

/// What to do when a slot comes while the last run of the job still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// Record it as skipped.
    #[default]
    Skip,
    /// Run it after; at most one waits.
    Queue,
}

/// One job of the schedule file.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Unique among all jobs, whatever their kind.
    pub name: JobName,
    /// When it is due.
    pub schedule: Schedule,
    /// The whole run ends after so long.
    pub timeout: Option<Duration>,
    /// A tool that neither says nor writes anything for so long is ended.
    pub stall: Option<Duration>,
    /// How often it is tried.
    pub retry: RetryPolicy,
    /// See [`Missed`].
    pub missed: Missed,
    /// See [`Overlap`].
    pub overlap: Overlap,
    /// Each scheduled start is put off by a random time up to this.
    pub jitter: Duration,
    /// What it does.
    pub task: Task,
}

impl Job {
    /// Its kind.
    pub fn kind(&self) -> JobKind {
        match self.task {
            Task::Backup(_) => JobKind::Backup,
            Task::Transfer(_) => JobKind::Transfer,
            Task::Validation(_) => JobKind::Validation,
            Task::Retention(_) => JobKind::Retention,
            Task::Restore(_) => JobKind::Restore,
        }
    }
}

/// What a job does.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// `[backup.NAME]`
    Backup(BackupTask),
    /// `[transfer.NAME]`
    Transfer(TransferTask),
    /// `[validation.NAME]`
    Validation(ValidationTask),
    /// `[retention.NAME]`
    Retention(RetentionTask),
    /// `mykeeper restore`
    Restore(RestoreTask),
}

/// Over what one snapshot reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// One mydumper over all databases: one point in time.
    #[default]
    All,
    /// One mydumper after another, one for each database.
    PerDatabase,
}

/// One long option of mydumper, as the job gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MydumperOption {
    /// Without the leading dashes.
    pub name: String,
    /// What follows the `=`.
    pub value: Option<String>,
}

impl fmt::Display for MydumperOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What is done about queries of others that would hold up the lock of a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LongQueries {
    /// The dump waits for their end before it starts.
    #[default]
    Wait,
    /// The dump is not made.
    Abort,
    /// The dump is made: its lock may have to wait, and whoever writes meanwhile with it.
    Ignore,
}

/// How a dump goes about its lock on a server that others work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockPolicy {
    /// A dump that holds its lock, or waits for it, for longer is ended; `None`: no limit but the run's.
    pub budget: Option<Duration>,
    /// See [`LongQueries`].
    pub long_queries: LongQueries,
    /// A query that has been running for longer is a long one.
    pub long_query_limit: Duration,
    /// The longest that [`LongQueries::Wait`] waits.
    pub long_query_wait: Duration,
}

impl Default for LockPolicy {
    fn default() -> Self {
        Self {
            budget: None,
            long_queries: LongQueries::default(),
            long_query_limit: Duration::from_secs(60),
            long_query_wait: Duration::from_secs(600),
        }
    }
}

/// `[backup.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupTask {
    /// Which server.
    pub server: ServerName,
    /// Which of its databases.
    pub databases: DatabaseSelection,
    /// See [`Consistency`].
    pub consistency: Consistency,
    /// Sets go to `<directory>/<YYYY-MM-DD>/<bk_id>/`.
    pub directory: PathBuf,
    /// Where the set is sent; empty: it stays where it is. The seed's columns tell of the first.
    pub transfer_to: Vec<DestinationName>,
    /// Files are sent there as they finish, while the others are dumped; else when the set is complete.
    pub stream: bool,
    /// See [`Prove`].
    pub prove: Prove,
    /// Options handed to mydumper.
    pub mydumper: Vec<MydumperOption>,
    /// A dump that would leave less than so many bytes free in `directory`, by the estimate, is not begun; `None`: no
    /// estimate is made.
    pub reserve: Option<u64>,
    /// Of which tables `CHECKSUM TABLE` is asked on the server.
    pub checksum: ChecksumLimit,
    /// See [`LockPolicy`].
    pub lock: LockPolicy,
    /// How mykeeper compresses the files as they finish; `None`: they are as mydumper writes them.
    pub packing: Option<Packing>,
    /// About how many bytes of a table's rows go into one file; `None`: as mydumper's options say.
    pub chunk: Option<u64>,
    /// See [`AsPybackup`]; `None` for every job of a schedule.
    pub as_pybackup: Option<AsPybackup>,
}

/// What makes a set one of pybackup's, for its command line alone: the set goes to `<directory>/<bk_id>/` with a folder
/// for each database, its `bk_id` is a UUID of version 1, `bk_dir` is `directory`, and the dump is tried once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsPybackup {
    /// `bk_command`, the password masked; the databases are added to it where nothing in it names them.
    pub command: String,
    /// What `backuped_db` says in place of the databases: the `regex=` or `tables-list=` that chose them.
    pub selected_by: Option<String>,
    /// A regular expression of mydumper's that chooses among the tables of the job's databases.
    pub regex: Option<String>,
}

/// `[transfer.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferTask {
    /// What should be there, and is not yet, is sent there.
    pub destination: DestinationName,
    /// How often a copy that has arrived is compared with the set again, by checksum; `None`: never.
    pub verify_every: Option<Duration>,
    /// Whether the files of sets and copies that lie on this machine are read as often.
    pub verify: bool,
}

/// `[validation.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationTask {
    /// Which of the candidates is taken.
    pub select: Select,
    /// Only sets that were started within so long.
    pub within: Option<Duration>,
    /// Only sets with one of these tags; empty: all.
    pub tags: Vec<String>,
    /// Statements whose value must be true after the restore.
    pub asserts: Vec<Assertion>,
    /// A set that takes longer to come back is proven with a warning; `None`: however long it takes.
    pub max_restore_time: Option<Duration>,
    /// How often the files of the sets that lie on this machine are read after the proof; `None`: never.
    pub verify_every: Option<Duration>,
}

impl ValidationTask {
    /// What it chooses from, and how.
    pub fn choice(&self) -> Choice {
        Choice {
            select: self.select,
            within: self.within,
            tags: self.tags.clone(),
        }
    }
}

/// A statement that must yield a true value (non-zero, non-NULL) in the restored database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// The database that is current for the statement.
    pub database: String,
    /// One SELECT that yields one value.
    pub sql: String,
}

/// What a retention job does with a condemned set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetentionAction {
    /// Marks it in the catalog; the disk is another tool's business.
    #[default]
    Mark,
    /// Removes its folder, then marks it.
    Delete,
}

/// What the newest set must meet to be kept whatever else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Proven restorable.
    #[default]
    Validated,
    /// Arrived at its destination.
    Transferred,
    /// Complete.
    Complete,
}

/// Where in its directory a retention job looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetentionDepth {
    /// At any depth.
    #[default]
    Any,
    /// `<directory>/<YYYY-MM-DD>/<bk_id>` alone.
    Day,
}

/// `[retention.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionTask {
    /// Only sets in this folder are looked at.
    pub directory: PathBuf,
    /// How deep in it.
    pub depth: RetentionDepth,
    /// What is kept.
    pub keep: KeepPolicy,
    /// See [`RetentionAction`].
    pub action: RetentionAction,
    /// See [`Require`].
    pub require: Require,
}

/// Which of its copies a set is restored from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RestoreFrom {
    /// The first that is whole: copies at destinations and of `user_backup_path`, then the set's own folder.
    #[default]
    Any,
    /// The set's own folder.
    Original,
    /// One of the copies.
    Destination,
    /// This folder, or the set's within it.
    Folder(PathBuf),
}

/// `mykeeper restore`: no section of the schedule file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTask {
    /// Which set.
    pub set: BackupId,
    /// The server that it is put into.
    pub into: ServerName,
    /// Only these databases of the set; empty, and no tables either: all but the server's own.
    pub databases: Vec<String>,
    /// What the one database is called in the server, if not as in the set.
    pub new_name: Option<String>,
    /// Only these tables of their databases, `database.table` each.
    pub tables: Vec<String>,
    /// Whether databases or tables that are there with content are dropped and replaced.
    pub overwrite: bool,
    /// Where the set is taken from.
    pub from: RestoreFrom,
    /// Whether it is tried although the account is known to lack rights for some of it.
    pub despite_missing_rights: bool,
}
