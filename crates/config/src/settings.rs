//! Both files, read and found sound.

use chrono_tz::Tz;
use mykeeper_domain::destination::Destination;
use mykeeper_domain::job::Job;
use mykeeper_domain::notify::NotifySettings;
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_domain::server::{PasswordSource, Server};
use mykeeper_domain::{DestinationName, JobName, NodeName, ServerName};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the process's surroundings say; gathered by the cli, which alone reads the environment.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The host's name.
    pub host_name: String,
    /// An address of this host that others can reach, for `bk_server`.
    pub host_address: String,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// `$STATE_DIRECTORY`
    pub state_directory: Option<PathBuf>,
    /// `$XDG_STATE_HOME`, or `$HOME/.local/state`
    pub xdg_state_home: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`
    pub credentials_directory: Option<PathBuf>,
}

/// Everything that a person wrote, with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file itself, absolute.
    pub keeper_file: PathBuf,
    /// The schedule file, absolute.
    pub schedule_file: PathBuf,
    /// This machine's name.
    pub node: NodeName,
    /// Where the daemon keeps what it must not forget: locks, run logs, the embedded catalog.
    pub state_dir: PathBuf,
    /// `[catalog]`
    pub catalog: CatalogSettings,
    /// `[servers.*]`
    pub servers: BTreeMap<ServerName, Arc<Server>>,
    /// `[destinations.*]`
    pub destinations: BTreeMap<DestinationName, Arc<Destination>>,
    /// `[sandbox]`
    pub sandbox: Sandbox,
    /// `[tools]`
    pub tools: ToolPrograms,
    /// `[daemon]`
    pub daemon: DaemonSettings,
    /// `[limits]`
    pub limits: LimitSettings,
    /// `[logs]`
    pub logs: LogSettings,
    /// `[notify]`, and the pings of jobs.
    pub notify: NotifySettings,
    /// Every job of the schedule file.
    pub jobs: BTreeMap<JobName, Arc<Job>>,
}

impl Settings {
    /// Whether they are pybackup's conf's, which has neither jobs nor a schedule.
    pub fn is_by_conf(&self) -> bool {
        self.keeper_file == self.schedule_file
    }
}

/// `[catalog]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogSettings {
    /// `sqlite:/absolute/path` or `mysql://user@host:port/database?socket=...`; never holds a password.
    pub url: String,
    /// Its password.
    pub password: PasswordSource,
    /// Zone of the DATETIME columns of the seed's three tables.
    pub timezone: Tz,
}

/// `[tools]`: the programs, by name (looked up on PATH) or by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPrograms {
    /// Default `mydumper`.
    pub mydumper: PathBuf,
    /// Default `myloader`.
    pub myloader: PathBuf,
    /// Default `rsync`.
    pub rsync: PathBuf,
    /// Default `ssh`.
    pub ssh: PathBuf,
}

/// `[daemon]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// How long running jobs may go on after SIGTERM; default 30 s.
    pub grace: Duration,
    /// How long a tool has between SIGTERM and SIGKILL; default 10 s.
    pub kill_grace: Duration,
    /// How long a hold on a set lasts in the catalog without being renewed; default 10 minutes.
    pub lease: Duration,
}

/// `[limits]`: how many at a time, over the daemon and every command on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Dumps of one server, and restores into it; default 1.
    pub per_server: u32,
    /// Transfers to one destination; default 2.
    pub per_destination: u32,
    /// Proofs; default 1.
    pub validations: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            per_server: 1,
            per_destination: 2,
            validations: 1,
        }
    }
}

/// `[logs]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How long the log of a run is kept after its last line; `None`: for ever. Default 90 days.
    pub keep: Option<Duration>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            keep: Some(Duration::from_secs(90 * 24 * 3600)),
        }
    }
}
