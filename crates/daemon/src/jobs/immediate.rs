//! `prove = "immediately"`: a throwaway server that is started while a set is dumped, and the proof that follows upon the
//! set.
//!
//! The proof is a run of its own, with its own row, log and limits: the backup has ended when its set is sent. Nothing
//! depends on it: what cannot be proven at once is left to the validation job that would choose it.

use crate::engine::Work;
use crate::jobs::validation::prove_made;
use crate::jobs::{JobError, JobResult, RunContext};
use crate::limits::{Limited, Permit};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::immediate::{Demands, Prove, proof_of};
use mykeeper_domain::job::{BackupTask, Job, Missed, Overlap, Task};
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_tools::sandbox::{Likeness, ThrowawayServer};
use mykeeper_tools::{ToolEnv, ToolError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What comes of the start of a throwaway server.
type Started = Result<ThrowawayServer, ToolError>;

/// A throwaway server that is started while a set is dumped. Dropped, it is killed and its folder removed.
pub(crate) struct Ready {
    starting: AbortOnDropHandle<Started>,
    stop: CancellationToken,
    /// Of those that lie ready there are no more than there may be proofs.
    _permit: Permit,
}

impl Ready {
    /// Begins to start one that is like the server of the dump; its start is told of in the backup's log. `None` where the
    /// job asks for none, or as many lie ready as may: then the proof starts its own.
    ///
    /// It does not end with the backup's run, but with whoever ends all runs: whoever takes it over may have more time.
    pub(super) fn begin(context: &RunContext, task: &BackupTask, names: Option<u8>) -> Option<Self> {
        if task.prove != Prove::Immediately || context.engine.stopping().is_cancelled() {
            return None;
        }
        let permit = match context.permit_now(&Limited::ReadyServer) {
            Ok(permit) => permit?,
            Err(error) => {
                context.say(format!(
                    "warning: no throwaway server is started yet: {}",
                    error.reason
                ));
                return None;
            }
        };
        let stop = context.engine.ending().child_token();
        let (context, cancel) = (context.clone(), stop.clone());
        let starting = tokio::spawn(async move {
            let tools = ToolEnv {
                cancel,
                ..context.tools()
            };
            let likeness = Likeness::by_names(names);
            let started = ThrowawayServer::start_like(&likeness, &context.settings.sandbox, &tools).await;
            if let Err(error) = &started
                && !tools.cancel.is_cancelled()
            {
                context.say(format!("warning: the set will not be proven at once: {error}"));
            }
            started
        });
        Some(Self {
            starting: AbortOnDropHandle::new(starting),
            stop,
            _permit: permit,
        })
    }

    /// The server, once it has started; whoever takes it has the permit for a proof.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) async fn server(self) -> Started {
        self.starting.await.unwrap_or_else(|error| {
            Err(ToolError::Failed {
                message: format!("a defect in mykeeper ended the start of the throwaway server: {error}"),
                passing: false,
            })
        })
    }

    /// There will be no set to prove.
    pub(super) async fn put_away(self) {
        self.stop.cancel();
        if let Ok(server) = self.server().await {
            server.stop().await;
        }
    }
}

/// Has the set proven that was just made, by a run of its own in the background.
pub(super) async fn begin_proof(
    context: &RunContext,
    (task, backup): (&BackupTask, &Backup),
    ready: Option<Ready>,
) {
    let is_wanted = task.prove == Prove::Immediately
        && backup.deletion == Deletion::None
        && backup.validate_status == ValidateStatus::NotTried;
    let proof = match is_wanted {
        true => proof_job(context, backup),
        false => Err(None),
    };
    match proof {
        Ok((job, demands)) => {
            context.say(format!("its proof begins, as job {}", job.name));
            let backup = backup.clone();
            let work: Work = Box::new(move |context| Box::pin(prove_made(context, (backup, demands), ready)));
            context.engine.follow(Arc::new(job), work);
        }
        Err(why) => {
            if let Some(ready) = ready {
                ready.put_away().await;
            }
            if let Some(why) = why {
                context.say(format!("it is not proven at once: {why}"));
            }
        }
    }
}

/// The frame of that run; what is to be said where there is none.
fn proof_job(context: &RunContext, backup: &Backup) -> Result<(Job, Demands), Option<String>> {
    let jobs = context.settings.jobs.values().map(Arc::as_ref);
    let demands = Demands::of(jobs, &backup.tag)
        .ok_or_else(|| Some("no validation job asks for sets of this server".to_owned()))?;
    if context.engine.stopping().is_cancelled() {
        return Err(Some(format!(
            "nothing new begins any more; it is left to {demands}"
        )));
    }
    let name = proof_of(&context.job.name).map_err(|error| Some(error.to_string()))?;
    let job = Job {
        name,
        schedule: context.job.schedule.clone(),
        timeout: demands.timeout,
        stall: demands.stall,
        retry: RetryPolicy::NONE,
        missed: Missed::Skip,
        overlap: Overlap::Skip,
        jitter: Duration::ZERO,
        task: Task::Validation(demands.task.clone()),
    };
    Ok((job, demands))
}

/// What comes of a proof that could not be made: the set is as good as before. A run that was ended says so instead.
pub(crate) fn left(
    context: &RunContext,
    (backup, demands): (&Backup, &Demands),
    error: JobError,
) -> JobResult {
    let is_over = context
        .deadline
        .is_some_and(|deadline| tokio::time::Instant::now() >= deadline);
    if is_over || context.cancel.is_cancelled() {
        return Err(error.about(backup.id));
    }
    Ok(super::JobReport::warned(
        format!(
            "set {} could not be proven at once, and is left to {demands}: {}",
            backup.id, error.reason
        ),
        Some(backup.id),
    ))
}
