//! Runs that are asked for by name: by a person, who waits for them, or by a run before them.

use super::marks::OwnMark;
use super::{Engine, FinishedRun, Work, work_of_job};
use crate::error::DaemonError;
use crate::state_dir::LockAttempt;
use mykeeper_domain::job::Job;
use mykeeper_domain::run::{RunState, Trigger};
use std::sync::{Arc, PoisonError};

impl Engine {
    /// One run of a job now, in the foreground, never beside another of the same job.
    pub async fn run_now(&self, job: Arc<Job>) -> Result<FinishedRun, DaemonError> {
        self.do_now(job, work_of_job()).await
    }

    /// One run now, in the foreground, of work that no job describes; `job` gives its name, kind and limits.
    ///
    /// It ends when what follows upon it has ended too.
    pub async fn do_now(&self, job: Arc<Job>, work: Work) -> Result<FinishedRun, DaemonError> {
        let finished = self.do_as(job, Trigger::Manual, work).await?;
        if !self.is_foreground() {
            return Ok(finished);
        }
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
        let mut followed = self
            .shared
            .followed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(FinishedRun {
            followed_by: std::mem::take(&mut *followed),
            ..finished
        })
    }

    /// A run that another has begin, in the background. Where one of its name is under way still, none does.
    pub(crate) fn follow(&self, job: Arc<Job>, work: Work) {
        let engine = self.clone();
        self.shared.tracker.spawn(async move {
            let name = job.name.clone();
            match engine.do_as(job, Trigger::Backup, work).await {
                // In a daemon nobody asks.
                Ok(finished) if engine.is_foreground() => engine
                    .shared
                    .followed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(finished),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(job = %name, %error, "a run that follows upon another does not begin");
                }
            }
        });
    }

    async fn do_as(&self, job: Arc<Job>, trigger: Trigger, work: Work) -> Result<FinishedRun, DaemonError> {
        let environment = &self.shared.environment;
        let mut lock = match environment.state.lock_job(&job.name)? {
            LockAttempt::Held(lock) => lock,
            LockAttempt::Busy(owner) => {
                let mut run = self.new_run(&job, None, trigger, RunState::Skipped);
                let owner = owner.map(|owner| owner.to_string()).unwrap_or_default();
                run.reason = Some(format!("another run of this job was under way{owner}"));
                run.finished_at = Some(run.requested_at);
                environment.catalog.insert_run(&run).await?;
                return Err(DaemonError::JobBusy {
                    job: job.name.to_string(),
                    owner,
                });
            }
        };
        let run = self.new_run(&job, None, trigger, RunState::Running);
        let _own = OwnMark::set(&self.shared, &run);
        environment.state.sign(&mut lock, Some(run.id));
        environment.catalog.insert_run(&run).await?;
        Ok(self.execute(job, run, lock, work).await)
    }
}
