//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// What `--config` names where it is not given.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/mykeeper/mykeeper.toml";

/// Keeps MySQL and MariaDB backups: made on schedule, sent, restored and compared, marked when obsolete.
#[derive(Debug, Parser)]
#[command(name = "mykeeper", version, about, max_term_width = 110)]
#[command(
    after_help = "Exit status: 0 done; 1 the job ran and failed; 2 the command line or the configuration is \
wrong, nothing was touched; 3 something it needs cannot be had; 4 done, with warnings worth a look; \
130/143 interrupted."
)]
pub(crate) struct Cli {
    /// The configuration file, which names the schedule file; for looks and restores also a pybackup.conf.
    #[arg(
        long,
        global = true,
        default_value = DEFAULT_CONFIG,
        value_name = "FILE"
    )]
    pub(crate) config: PathBuf,
    /// Print data as JSON: times RFC 3339 UTC, sizes in bytes, durations in seconds.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Schedule and supervise until SIGTERM; SIGHUP reloads both files.
    Daemon,
    /// Have the daemon read both files again, and say what came of it: in force, or refused and why.
    Reload,
    /// Report every mistake of the configuration, then try every tool, server, destination and the catalog.
    Check {
        /// Read the files alone; try nothing.
        #[arg(long)]
        offline: bool,
    },
    /// Every job, its next firings and its last run.
    Jobs {
        /// How many firings to show, across clock changes.
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        next: u16,
    },
    /// One run of a job now, in the foreground.
    Run {
        /// The job's name.
        job: String,
        /// Show every line that the tools say.
        #[arg(long, short)]
        verbose: bool,
    },
    /// The history of runs with the reason of each end.
    Runs(RunsArgs),
    /// One run's log.
    RunLog {
        /// The run's identity, or its first characters.
        run: String,
    },
    /// The sets.
    Backups(BackupsArgs),
    /// One set with its files, databases, transfers and proofs.
    Show {
        /// Its bk_id, the first characters of it, "newest", or "newest:NAME" of a server or a job.
        bk_id: String,
        /// Print every file, not the first ten.
        #[arg(long)]
        files: bool,
    },
    /// Send a finished set; updates the catalog when the id is given.
    Transfer {
        /// The set's own folder, or a folder with sets in it.
        #[arg(long, value_name = "DIR")]
        backup_dir: PathBuf,
        /// The set's bk_id, or what "mykeeper show" takes for one.
        #[arg(long, value_name = "ID")]
        bk_id: Option<String>,
        /// Which destination; not needed when there is only one.
        #[arg(long, value_name = "DESTINATION")]
        to: Option<String>,
    },
    /// Prove one set now: restore it into a throwaway server and compare.
    Validate {
        /// The set's bk_id, or what "mykeeper show" takes for one; default: the newest that waits for its proof.
        #[arg(long, value_name = "ID")]
        bk_id: Option<String>,
    },
    /// Read every copy of a set that lies on this machine, and name each file that is not as it was written.
    Verify {
        /// The set's bk_id, or what "mykeeper show" takes for one; default: the newest complete one that lies here.
        #[arg(long, value_name = "ID")]
        bk_id: Option<String>,
    },
    /// A set's newest proof as one JSON document that can be kept, or: whether kept ones are as they were made.
    Proof(ProofArgs),
    /// Mark sets as deleted in the catalog. Removes nothing.
    MarkDeleted(MarkDeletedArgs),
    /// Run a retention job now: what it condemns is marked or removed. With --dry-run only show what would stay and go, and
    /// the rule for each.
    Retention {
        /// The job's name.
        job: String,
        /// Only show; without it the job runs, as "mykeeper run JOB" does.
        #[arg(long)]
        dry_run: bool,
    },
    /// Restore a set into a server.
    Restore(RestoreArgs),
    /// Where the sets of a server lie on a backup host: the user_backup_path table.
    Paths {
        #[command(subcommand)]
        action: PathsAction,
    },
    /// Write the first two files and the password files of what is answered, and say how the first backup is made.
    Init(InitArgs),
    /// Every node that shares the catalog: alive since when, its version, what runs and comes next, its last failure.
    Status {
        /// Forget this node, which is gone for good and is shown as not heard of until then.
        #[arg(long, value_name = "NODE")]
        forget: Option<String>,
    },
    /// Who is told of failures, what waits for them, and since when they cannot be told.
    Notify {
        #[command(subcommand)]
        action: Option<NotifyAction>,
    },
    /// The catalog's tables.
    Catalog {
        #[command(subcommand)]
        action: CatalogAction,
    },
    /// pybackup's own command line and conf file, as a link named pybackup or pybackup.py takes them.
    #[command(disable_help_flag = true)]
    Pybackup {
        /// As pybackup takes them; "mykeeper pybackup --help" prints them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
        words: Vec<std::ffi::OsString>,
    },
    /// The configuration files.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Write mykeeper.toml, schedule.toml and password files from pybackup's conf, a crontab and its scripts.
    Import(ImportArgs),
    /// What a shell completes mykeeper's words by, on standard output.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The manual: one page for "man -l -", on standard output, or all of them as files.
    Man {
        /// Which page: mykeeper, mykeeper-restore, mykeeper.toml.
        #[arg(default_value = "mykeeper")]
        page: String,
        /// Instead: all of them, into this folder.
        #[arg(long, value_name = "DIR", conflicts_with = "page")]
        out: Option<PathBuf>,
    },
    /// Stands between the daemon and one tool.
    #[command(hide = true, disable_help_flag = true)]
    RunShim {
        /// Its own protocol.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Only this job.
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// Only this state: queued, running, succeeded, warned, failed, timed-out, stalled, cancelled, interrupted, skipped.
    #[arg(long)]
    pub(crate) state: Vec<String>,
    /// Only runs asked for since then: a time (2026-11-22, 2026-11-22T04:00:00Z) or a span (36h, 7d).
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Instead: every slot that has passed and has no row, and why. Exit status 4 where there is one.
    #[arg(long, conflicts_with = "state")]
    pub(crate) missing: bool,
    /// Instead: what has come of the promises of servers (proven_within), on every node.
    #[arg(long, conflicts_with_all = ["state", "missing", "job"])]
    pub(crate) events: bool,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct BackupsArgs {
    /// Only this tag.
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only this server: its name in the configuration, or its address.
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// Only sets started since then: a time (2026-11-22, in this machine's zone) or a span (36h, 7d).
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Only sets in this state: complete, incomplete, transferred, validated, failed, damaged (every copy that was
    /// read differs), unproven (each with its reason), deleted.
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<BackupState>,
    /// Those that are marked deleted, too.
    #[arg(long)]
    pub(crate) all: bool,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BackupState {
    Complete,
    Incomplete,
    Transferred,
    Validated,
    Failed,
    Damaged,
    Unproven,
    Deleted,
}

/// What is not given is asked for on a terminal, and has its default elsewhere. The files go to the folder of --config;
/// none is overwritten.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// This machine's name in a catalog that several share. Default: the host's.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Where mykeeper keeps locks, logs and the embedded catalog. Default: as the documented example says.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// A name for the server that is backed up. Default: shop.
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// Its socket. Default: the one that is there.
    #[arg(long, value_name = "PATH", conflicts_with = "host")]
    pub(crate) socket: Option<PathBuf>,
    /// Its host.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Its port. Default: 3306.
    #[arg(long, value_name = "PORT", requires = "host")]
    pub(crate) port: Option<u16>,
    /// The account that dumps. Default: backup.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// A file, mode 0600, whose first line is its password; "-" is standard input. Default: one is made up.
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    pub(crate) password_from: Option<PathBuf>,
    /// The account logs in without a password.
    #[arg(long)]
    pub(crate) no_password: bool,
    /// LIKE patterns of the databases. Default: "%", all.
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub(crate) databases: Vec<String>,
    /// The folder for sets, an absolute path; made where only it is missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Where sets are sent: rsync://user@host/module/path, user@host:/path or /path. Default: nowhere.
    #[arg(long, value_name = "URL")]
    pub(crate) destination: Option<String>,
    /// As --password-from, for an rsync daemon's account.
    #[arg(long, value_name = "FILE", requires = "destination")]
    pub(crate) destination_password_from: Option<PathBuf>,
    /// The job's name. Default: the server's with "-nightly" behind it.
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// When. Default: "0 4 * * *".
    #[arg(long, value_name = "CRON")]
    pub(crate) cron: Option<String>,
    /// The zone of the schedule. Default: this host's.
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<chrono_tz::Tz>,
    /// Restore each set into a throwaway server here, and compare; the default.
    #[arg(long, conflicts_with = "no_prove")]
    pub(crate) prove: bool,
    /// Do not: another node does.
    #[arg(long)]
    pub(crate) no_prove: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// pybackup's conf.
    #[arg(value_name = "PYBACKUP_CONF")]
    pub(crate) conf: PathBuf,
    /// A crontab: /var/spool/cron/crontabs/root, /etc/cron.d/backup. The scripts that it calls are read; none is run.
    #[arg(long, value_name = "FILE")]
    pub(crate) crontab: Vec<PathBuf>,
    /// The zone of the crontab and of pybackup's times, Asia/Shanghai. Default: this host's.
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<chrono_tz::Tz>,
    /// The folder to write to; nothing in it is overwritten. Default: that of --config, /etc/mykeeper without it.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(false)))]
pub(crate) struct MarkDeletedArgs {
    /// Folders that are, or hold, sets: the bk_ids are the folders' names.
    #[arg(long, group = "which", num_args = 1.., value_name = "DIR")]
    pub(crate) backup_dir: Vec<PathBuf>,
    /// bk_ids.
    #[arg(long, group = "which", num_args = 1.., value_name = "ID")]
    pub(crate) bk_id: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    /// The set's bk_id, or what "mykeeper show" takes for one.
    #[arg(required_unless_present = "verify")]
    pub(crate) bk_id: Option<String>,
    /// Every proof of the set, as a list, the newest first.
    #[arg(long, conflicts_with = "verify")]
    pub(crate) all: bool,
    /// Written to this file, which must not be there yet, instead of to standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    pub(crate) output: Option<PathBuf>,
    /// Instead: recompute the digests of documents that were written before, and look whether each follows the one
    /// before it. Exit status 1 where one was edited, 4 where one between two is not among them.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "bk_id")]
    pub(crate) verify: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The set's bk_id, or what "mykeeper show" takes for one.
    pub(crate) bk_id: String,
    /// The server, by its name in the configuration.
    #[arg(long, value_name = "SERVER")]
    pub(crate) into: String,
    /// Only these databases of the set.
    #[arg(long, value_name = "DB")]
    pub(crate) database: Vec<String>,
    /// Restore the one database under another name; what names it in bodies of views and programs goes on doing so.
    #[arg(long = "as", value_name = "NEW")]
    pub(crate) new_name: Option<String>,
    /// Only these tables of their databases, with their rows and triggers: DB.TABLE, or `DB`.`TABLE` where names hold dots.
    #[arg(long, value_name = "DB.TABLE")]
    pub(crate) table: Vec<String>,
    /// Drop and replace the databases, or with --table the tables, that are there already.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Where the set is taken from: "original" (its own folder), "destination" (a copy), or a folder that is the set's or
    /// holds it. Default: the first of all that is as it was written, copies first.
    #[arg(long, value_name = "PATH|original|destination")]
    pub(crate) from: Option<PathBuf>,
    /// Go on although the account lacks rights: what it may not make stays away, and the restore ends as failed.
    #[arg(long)]
    pub(crate) despite_missing_rights: bool,
    /// Show what would be written.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PathsAction {
    /// All rows.
    List,
    /// Adds a row; a row that is there already stays.
    Add {
        /// Address of the server that is backed up.
        #[arg(long)]
        bk_server: String,
        /// Address of the backup host.
        #[arg(long)]
        remote_server: String,
        /// The folder there; sets lie at REAL_PATH/YYYY-MM-DD/BK_ID/.
        #[arg(long)]
        real_path: String,
        /// The server's tag.
        #[arg(long)]
        tag: String,
    },
    /// Removes a row.
    Remove {
        /// Its id.
        id: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotifyAction {
    /// Deliver a test message now, once, and say who has taken it. Pings of jobs are not called.
    Test {
        /// webhook.NAME, mail.NAME, command.NAME; default: all.
        #[arg(value_name = "WHO")]
        who: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogAction {
    /// Creates the tables, or brings them up; adopts those that are there already.
    Migrate,
    /// How far they are.
    Status,
    /// Makes the rows of sets from the sets' own records, where the catalog is gone. Rows that are there stay.
    Rebuild {
        /// Folders that are, or hold, sets, four levels deep.
        #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
        from: Vec<PathBuf>,
        /// Only show.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Prints the documented examples of both files.
    Example {
        /// Only mykeeper.toml.
        #[arg(long, conflicts_with = "schedule")]
        keeper: bool,
        /// Only schedule.toml.
        #[arg(long)]
        schedule: bool,
    },
}
