//! What keeps a daemon from starting, or a run from being asked for.

use std::path::PathBuf;
use thiserror::Error;

/// The daemon, or one run in the foreground, cannot do what was asked.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// `state_dir` cannot be used.
    #[error(
        "cannot {action} {path}: {source}; state_dir, with all in it, must be this user's to write to, on a disk with room"
    )]
    StateDir {
        /// `create`, `lock`, `write`.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Another daemon has it.
    #[error(
        "another mykeeper daemon{owner} works on {path}; stop it first, or give this one a state_dir of its own"
    )]
    SecondDaemon {
        /// ` (pid 123)`, or nothing where that cannot be told.
        owner: String,
        /// The state directory.
        path: PathBuf,
    },
    /// Another daemon, on another folder, has its node's name.
    #[error(
        "another daemon called {node} lives{place}: each would take the other's runs for its own, so this one does not \
         start; give this machine a \"node\" of its own in {}, or stop that daemon first",
        keeper_file.display()
    )]
    Namesake {
        /// The name.
        node: String,
        /// ` on host db1 (pid 123), with its state in /...`
        place: String,
        /// The file that says how this one is called.
        keeper_file: PathBuf,
    },
    /// The job is running already.
    #[error("job {job} is running already{owner}; wait for that run to end, or stop it")]
    JobBusy {
        /// Its name.
        job: String,
        /// ` (pid 123, run ...)`, or nothing.
        owner: String,
    },
    /// The catalog did not do what was asked.
    #[error(transparent)]
    Catalog(#[from] mykeeper_catalog::CatalogError),
    /// A file system does not answer.
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
    /// The pulse cannot be started.
    #[error("cannot start the scheduler's pulse: {0}")]
    Pulse(String),
    /// The daemon that lives cannot be asked.
    #[error("cannot ask the daemon at {}: {cause}; \"mykeeper jobs\" tells whether one lives", socket.display())]
    Control {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        cause: String,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
}
