//! What can go wrong around a child.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a child could not be started, or could not be watched to its end. A child that ran and failed is an
/// [`Exit`](crate::Exit).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// There is no such program (or the interpreter its first line names is missing).
    #[error("find program {}", program.display())]
    NotFound {
        /// As given in the spec.
        program: PathBuf,
    },
    /// The program exists and cannot be executed.
    #[error("execute program {}", program.display())]
    NotExecutable {
        /// As given in the spec.
        program: PathBuf,
        /// The kernel's reason.
        #[source]
        source: Arc<io::Error>,
    },
    /// The folder to run in cannot be entered.
    #[error("enter folder {} to run {}", folder.display(), program.display())]
    WorkingFolder {
        /// The folder given in the spec.
        folder: PathBuf,
        /// As given in the spec.
        program: PathBuf,
        /// The kernel's reason.
        #[source]
        source: Arc<io::Error>,
    },
    /// Priority, limits or user could not be set, or the process could not be made at all.
    #[error("prepare process for {}: {act}", program.display())]
    Prepare {
        /// As given in the spec.
        program: PathBuf,
        /// What was attempted.
        act: &'static str,
        /// The kernel's reason.
        #[source]
        source: Arc<io::Error>,
    },
    /// The shim could not be started.
    #[error("start shim {}", program.display())]
    Shim {
        /// The shim's program.
        program: PathBuf,
        /// The kernel's reason.
        #[source]
        source: Arc<io::Error>,
    },
    /// The shim ended or stopped answering before it told how the child ended. What could be found of the tree
    /// has been killed; how the child itself would have ended is unknown.
    #[error("follow {}: its shim was lost", program.display())]
    ShimLost {
        /// As given in the spec.
        program: PathBuf,
        /// The child's process id, if it had been started.
        pid: Option<u32>,
    },
    /// Processes of the tree survived SIGKILL, for instance in an uninterruptible read from a hung disk.
    #[error("end {}: processes survive SIGKILL", program.display())]
    Unkillable {
        /// As given in the spec.
        program: PathBuf,
        /// The child's process id.
        pid: u32,
    },
    /// The task that followed the child ended early (it panicked, or its runtime shut down).
    #[error("follow {}: its task ended early", program.display())]
    Unwatched {
        /// As given in the spec.
        program: PathBuf,
    },
}
