//! A child that runs beside its caller.

use std::path::PathBuf;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::SuperviseError;
use crate::identity::ProcessIdentity;
use crate::outcome::{Finished, LineHandler};
use crate::watch::Watch;

/// A running child. Dropped, it ends the whole tree in the background: SIGTERM, grace, SIGKILL.
#[derive(Debug)]
pub struct Child {
    identity: ProcessIdentity,
    program: PathBuf,
    exited: CancellationToken,
    stop: CancellationToken,
    task: JoinHandle<Result<Finished, SuperviseError>>,
    outcome: Option<Result<Finished, SuperviseError>>,
}

impl Child {
    pub(crate) fn follow(
        watch: Watch,
        program: PathBuf,
        cancel: &CancellationToken,
        mut on_line: LineHandler,
    ) -> Self {
        let identity = watch.identity.clone();
        let exited = watch.exited.clone();
        let stop = cancel.child_token();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { watch.follow(&stopped, &mut *on_line).await });
        Self {
            identity,
            program,
            exited,
            stop,
            task,
            outcome: None,
        }
    }

    /// The process that was started.
    #[must_use]
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Whether the child has ended. Its tree may be about to.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        self.exited.is_cancelled()
    }

    /// Waits until [`has_exited`](Self::has_exited), without taking the outcome.
    pub async fn exited(&self) {
        self.exited.cancelled().await;
    }

    /// Waits until nothing of the tree is left. May be dropped while it waits, and called again also afterwards.
    ///
    /// # Errors
    /// The child could not be watched to its end.
    pub async fn wait(&mut self) -> Result<Finished, SuperviseError> {
        if let Some(outcome) = &self.outcome {
            return outcome.clone();
        }
        let outcome = (&mut self.task).await.unwrap_or_else(|error| {
            tracing::error!(%error, program = %self.program.display(), "task of a child ended early");
            Err(SuperviseError::Unwatched {
                program: self.program.clone(),
            })
        });
        self.outcome = Some(outcome.clone());
        outcome
    }

    /// SIGTERM, grace, SIGKILL, and waits until nothing of the tree is left. A child that had already ended keeps
    /// its own exit.
    ///
    /// # Errors
    /// The child could not be watched to its end.
    pub async fn stop(mut self) -> Result<Finished, SuperviseError> {
        self.stop.cancel();
        self.wait().await
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.task.abort();
    }
}
