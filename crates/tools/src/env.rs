//! What every call of a tool needs besides its own request.

use crate::error::ToolError;
use crate::log::RunLog;
use mykeeper_domain::Clock;
use mykeeper_supervise::{Exit, SuperviseError, Supervisor};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The surroundings of a tool's run.
#[derive(Clone)]
pub struct ToolEnv<'a> {
    /// Starts children.
    pub supervisor: &'a Supervisor,
    /// Ends whatever is under way.
    pub cancel: CancellationToken,
    /// The run's log.
    pub log: &'a dyn RunLog,
    /// Now.
    pub clock: &'a dyn Clock,
}

impl std::fmt::Debug for ToolEnv<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolEnv")
            .field("cancelled", &self.cancel.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// A child that could not be started or watched, as this crate's error.
pub(crate) fn run_error(program: &Path, hint: &str, error: &SuperviseError) -> ToolError {
    let name = program.display().to_string();
    match error {
        SuperviseError::NotFound { .. } => ToolError::NotInstalled {
            program: name,
            hint: hint.to_owned(),
        },
        other => {
            let mut cause = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(inner) = source {
                cause.push_str(&format!(": {inner}"));
                source = inner.source();
            }
            ToolError::Run { program: name, cause }
        }
    }
}

/// The error of a child that was ended from here; `None` when it ended by itself.
pub(crate) fn ended_from_here(program: &str, exit: &Exit) -> Option<ToolError> {
    let program = program.to_owned();
    match exit {
        Exit::TimedOut { after } => Some(ToolError::TimedOut {
            program,
            after: *after,
        }),
        Exit::Stalled { after } => Some(ToolError::Stalled {
            program,
            after: *after,
        }),
        Exit::Cancelled => Some(ToolError::Cancelled { program }),
        Exit::Success | Exit::Failed { .. } | Exit::Signaled { .. } => None,
    }
}
