//! One file per kind of job. Each says what is done; how a run begins and ends is the engine's business.

mod ahead;
pub use ahead::{Fate, Leftover, noted_ahead};
pub mod backup;
mod immediate;
pub mod restore;
pub mod retention;
pub mod transfer;
pub mod validation;
pub mod verify;

use crate::engine::Engine;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::run_log::RunLogFile;
use crate::state_dir::PrivateDir;
use futures::future::BoxFuture;
use mykeeper_catalog::CatalogError;
use mykeeper_config::{PasswordError, Settings};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::humane;
use mykeeper_domain::job::Job;
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_domain::run::{Attempt, RunEnd, RunState};
use mykeeper_domain::{AttemptId, BackupId, Clock, RunId};
use mykeeper_supervise::{Limits, Supervisor};
use mykeeper_tools::{RunLog, ToolEnv, ToolError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Lines of what went wrong that stand in the reason of a run.
const SHOWN: usize = 3;

/// What a run works with. A clone is for a part of its work that is a task of its own.
#[derive(Clone)]
pub struct RunContext {
    /// What runs it, for a run that follows upon it.
    pub engine: Engine,
    /// Outside systems.
    pub environment: Arc<Environment>,
    /// The settings that were in force when the run began.
    pub settings: Arc<Settings>,
    /// The job as it was then.
    pub job: Arc<Job>,
    /// The run.
    pub run: RunId,
    /// Cancelled when the run must end.
    pub cancel: CancellationToken,
    /// Its log.
    pub log: Arc<RunLogFile>,
    /// A folder for files that no one else may read.
    pub private: Arc<PrivateDir>,
    /// When the run's timeout is over.
    pub deadline: Option<tokio::time::Instant>,
    /// What it goes on with, where it does an interrupted run again.
    pub resumed: Resumed,
    /// Starts this run's children.
    pub supervisor: Supervisor,
    /// What a run is called that is ended from outside before its deadline, and why.
    pub ended_as: (RunState, &'static str),
}

/// What an interrupted run, and the ones that it had done again itself, leave to the run that does it again.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// The attempts that have been made: they count.
    pub attempts: u32,
    /// The set that was complete already; it is not made again.
    pub set: Option<Backup>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobReport {
    /// `Succeeded` or `Warned`.
    pub state: RunState,
    /// For people: what was done, or what is worth a look.
    pub summary: String,
    /// The set concerned.
    pub bk_id: Option<BackupId>,
}

impl JobReport {
    /// All went well.
    pub fn done(summary: impl Into<String>, bk_id: Option<BackupId>) -> Self {
        Self {
            state: RunState::Succeeded,
            summary: summary.into(),
            bk_id,
        }
    }

    /// Done, with something worth a look.
    pub fn warned(summary: impl Into<String>, bk_id: Option<BackupId>) -> Self {
        Self {
            state: RunState::Warned,
            summary: summary.into(),
            bk_id,
        }
    }
}

/// Why a run, or an attempt of it, did not do what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    /// The final state.
    pub state: RunState,
    /// For people; a whole sentence without a secret.
    pub reason: String,
    /// Whether another attempt may help.
    pub retry: bool,
    /// The set concerned.
    pub bk_id: Option<BackupId>,
}

impl JobError {
    /// A failure that another attempt does not mend.
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self {
            state: RunState::Failed,
            reason: reason.into(),
            retry: false,
            bk_id: None,
        }
    }

    /// A failure that may pass.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self {
            state: RunState::Failed,
            reason: reason.into(),
            retry: true,
            bk_id: None,
        }
    }

    /// The run was ended from outside; the engine knows by whom.
    pub fn cancelled() -> Self {
        Self {
            state: RunState::Cancelled,
            reason: "the run was ended".to_owned(),
            retry: false,
            bk_id: None,
        }
    }

    /// The same, about a set.
    #[must_use]
    pub fn about(mut self, set: BackupId) -> Self {
        self.bk_id = Some(set);
        self
    }
}

impl From<ToolError> for JobError {
    fn from(error: ToolError) -> Self {
        let state = match &error {
            ToolError::TimedOut { .. } => RunState::TimedOut,
            ToolError::Stalled { .. } => RunState::Stalled,
            ToolError::Cancelled { .. } => RunState::Cancelled,
            _ => RunState::Failed,
        };
        Self {
            state,
            retry: error.is_passing(),
            reason: error.to_string(),
            bk_id: None,
        }
    }
}

impl From<CatalogError> for JobError {
    fn from(error: CatalogError) -> Self {
        match error.is_away() {
            true => Self::passing(error.to_string()),
            false => Self::fatal(error.to_string()),
        }
    }
}

impl From<DaemonError> for JobError {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Catalog(error) => error.into(),
            DaemonError::Disk(error) => error.into(),
            error => Self::fatal(error.to_string()),
        }
    }
}

impl From<PasswordError> for JobError {
    fn from(error: PasswordError) -> Self {
        Self::fatal(password_problem(&error))
    }
}

/// A password that cannot be read, as a sentence: what, why, what to do.
pub fn password_problem(error: &PasswordError) -> String {
    let mut text = format!("cannot {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// How a job ends.
pub type JobResult = Result<JobReport, JobError>;

impl RunContext {
    /// A line of ours in the run's log.
    pub fn say(&self, text: impl AsRef<str>) {
        self.log.line("mykeeper", text.as_ref());
    }

    /// Of what went wrong the first lines, for the run's reason. Where there are more, each of the others is a line of its
    /// log: nothing is said twice, since the log ends with the reason.
    pub fn tell_first(&self, lines: &[String]) -> String {
        for line in lines.iter().skip(SHOWN) {
            self.say(line);
        }
        first_few(lines)
    }

    /// Time.
    pub fn clock(&self) -> &dyn Clock {
        self.environment.clock.as_ref()
    }

    /// What a tool may use of this run.
    pub fn tools(&self) -> ToolEnv<'_> {
        ToolEnv {
            supervisor: &self.supervisor,
            cancel: self.cancel.clone(),
            log: self.log.as_ref(),
            clock: self.environment.clock.as_ref(),
        }
    }

    /// The limits of the next child: what is left of the run's timeout, and the job's stall.
    pub fn limits(&self) -> Limits {
        let left = self.deadline.map(|deadline| {
            deadline
                .saturating_duration_since(tokio::time::Instant::now())
                .max(Duration::from_millis(1))
        });
        Limits {
            timeout: left,
            stall: self.job.stall,
            grace: self.settings.daemon.kill_grace,
        }
    }

    /// Waits before another attempt; an error when the run is ended meanwhile.
    pub async fn wait(&self, delay: Duration) -> Result<(), JobError> {
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.cancel.cancelled() => Err(JobError::cancelled()),
        }
    }

    /// Writes that an attempt begins.
    pub async fn begin_attempt(
        &self,
        number: u32,
        work: Option<(BackupId, PathBuf)>,
    ) -> Result<AttemptId, JobError> {
        let (bk_id, work_dir) = work.unzip();
        if let Some(bk_id) = bk_id {
            tracing::Span::current().record("bk_id", tracing::field::display(bk_id));
        }
        let attempt = Attempt {
            id: AttemptId::generate(),
            run_id: self.run,
            number,
            bk_id,
            work_dir,
            state: RunState::Running,
            reason: None,
            exit_status: None,
            started_at: self.clock().now(),
            finished_at: None,
        };
        self.environment
            .persist("record an attempt", &self.cancel, |catalog| {
                let attempt = attempt.clone();
                async move { catalog.start_attempt(&attempt).await }
            })
            .await?;
        Ok(attempt.id)
    }

    /// The state of what ended with `error`: who was ended from outside is called as the whole run is.
    pub fn state_of(&self, error: &JobError) -> RunState {
        let over = self
            .deadline
            .is_some_and(|deadline| tokio::time::Instant::now() >= deadline);
        match error.state {
            RunState::Cancelled if over => RunState::TimedOut,
            RunState::Cancelled => self.ended_as.0,
            RunState::TimedOut if !over => RunState::Failed,
            state => state,
        }
    }

    /// Writes how an attempt ended. A catalog that cannot be written is logged; the run goes on.
    pub async fn end_attempt(&self, id: AttemptId, result: &JobResult, exit_status: Option<String>) {
        let end = match result {
            Ok(report) => RunEnd {
                state: report.state,
                reason: Some(report.summary.clone()),
                bk_id: report.bk_id,
                finished_at: self.clock().now(),
            },
            Err(error) => RunEnd {
                state: self.state_of(error),
                reason: Some(error.reason.clone()),
                bk_id: error.bk_id,
                finished_at: self.clock().now(),
            },
        };
        let written = self
            .environment
            .persist("record the end of an attempt", &self.cancel, |catalog| {
                let (end, exit_status) = (end.clone(), exit_status.clone());
                async move { catalog.finish_attempt(id, &end, exit_status.as_deref()).await }
            })
            .await;
        if let Err(error) = written {
            tracing::error!(attempt = %id, %error, "the end of an attempt is not recorded");
            self.say(format!("the end of this attempt is not recorded: {error}"));
        }
    }

    /// The number of this run's first attempt: 1, or what follows those of the interrupted runs before it.
    pub fn first_attempt(&self) -> u32 {
        self.resumed.attempts.saturating_add(1)
    }

    /// Tries as often as the job's policy says. `attempt` is given its number and keeps its own record.
    pub async fn attempts<'a, T: Send>(
        &'a self,
        first: u32,
        attempt: impl FnMut(u32) -> BoxFuture<'a, Result<T, JobError>> + Send,
    ) -> Result<T, JobError> {
        self.attempts_by(&self.job.retry, first, attempt).await
    }

    /// Tries as often as `policy` says.
    pub async fn attempts_by<'a, T: Send>(
        &'a self,
        policy: &RetryPolicy,
        first: u32,
        mut attempt: impl FnMut(u32) -> BoxFuture<'a, Result<T, JobError>> + Send,
    ) -> Result<T, JobError> {
        let mut number = first;
        loop {
            match attempt(number).await {
                Ok(done) => return Ok(done),
                Err(error) => self.before_next_attempt(policy, number, error).await?,
            }
            number += 1;
        }
    }

    /// The same for work that is a whole attempt by itself: each gets its row.
    pub async fn recorded_attempts<'a>(
        &'a self,
        mut work: impl FnMut() -> BoxFuture<'a, JobResult> + Send,
    ) -> JobResult {
        self.attempts(self.first_attempt(), |number| {
            let work = work();
            Box::pin(async move {
                let attempt = self.begin_attempt(number, None).await?;
                let result = work.await;
                self.end_attempt(attempt, &result, None).await;
                result
            })
        })
        .await
    }

    /// Says why an attempt failed and waits for the next; gives the error back when there is none.
    async fn before_next_attempt(
        &self,
        policy: &RetryPolicy,
        number: u32,
        error: JobError,
    ) -> Result<(), JobError> {
        let delay = policy
            .delay_after(number, rand::random())
            .filter(|_| error.retry && !self.cancel.is_cancelled());
        let Some(delay) = delay else { return Err(error) };
        if self
            .deadline
            .is_some_and(|deadline| tokio::time::Instant::now() + delay >= deadline)
        {
            self.say("no time is left for another attempt");
            return Err(error);
        }
        self.say(format!(
            "attempt {number} of {} failed: {}; the next begins in {}",
            policy.attempts,
            error.reason,
            humane(delay)
        ));
        tracing::warn!(target: crate::engine::RUN_EVENTS, run = %self.run, job = %self.job.name, attempt = number, reason = %error.reason, "an attempt failed");
        self.wait(delay).await
    }
}

/// The first of many lines, for people.
pub(crate) fn first_few(lines: &[String]) -> String {
    let more = match lines.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more in the run's log"),
    };
    let shown = &lines[..lines.len().min(SHOWN)];
    format!("{}{more}", shown.join("; "))
}

/// Does what the job is for.
pub async fn run_job(context: &RunContext) -> JobResult {
    use mykeeper_domain::job::Task;
    match &context.job.task {
        Task::Backup(task) => backup::run(context, task).await,
        Task::Transfer(task) => transfer::run(context, task).await,
        Task::Validation(task) => validation::run(context, task).await,
        Task::Retention(task) => retention::run(context, task).await,
        Task::Restore(task) => restore::run(context, task).await,
    }
}
