//! How the daemon is, for other processes on this machine: `daemon.json` in `state_dir`.

use crate::state_dir::StateDir;
use chrono::{DateTime, Utc};
use mykeeper_catalog::Backlog;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// What became of a SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRecord {
    /// When.
    pub at: DateTime<Utc>,
    /// Whether the new files are in force.
    pub accepted: bool,
    /// What changed, or why nothing did.
    pub message: String,
}

/// One job as the daemon runs it, which after a refused reload is not what the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Expression.
    pub cron: String,
    /// Zone.
    pub timezone: String,
}

/// The daemon's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// `running` or `stopping`.
    pub state: String,
    /// Since when it stops.
    #[serde(default)]
    pub stopping_since: Option<DateTime<Utc>>,
    /// The configuration file.
    pub keeper_file: PathBuf,
    /// The jobs in force.
    pub jobs: Vec<JobStatus>,
    /// The last SIGHUP.
    pub last_reload: Option<ReloadRecord>,
    /// Where a command may ask it something.
    #[serde(default)]
    pub control: Option<PathBuf>,
    /// What waits on this machine for a catalog that is away.
    #[serde(default)]
    pub journal: Backlog,
}

impl DaemonStatus {
    /// Since when it is as `state` says.
    pub fn since(&self) -> DateTime<Utc> {
        self.stopping_since.unwrap_or(self.started_at)
    }

    /// Writes it whole or not at all.
    pub fn write(&self, state: &StateDir) -> std::io::Result<()> {
        let target = state.status_file();
        let draft = target.with_extension("json.new");
        let mut file = std::fs::File::create(&draft)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.flush()?;
        std::fs::rename(&draft, &target)
    }

    /// Reads it; `None` where no daemon lives, whatever file it has left, or one that has not told yet.
    pub fn read(state: &StateDir) -> Option<Self> {
        if !state.daemon_lives() {
            return None;
        }
        let text = std::fs::read_to_string(state.status_file()).ok()?;
        serde_json::from_str(&text).ok()
    }
}
