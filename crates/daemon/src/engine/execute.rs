//! One run from its first line to its last: begun, bounded, judged, recorded.

use super::{END_WITHIN, Engine, FinishedRun, LAST_LINE, LATE, RUN_EVENTS, Work};
use crate::jobs::{JobError, JobReport, JobResult, Resumed, RunContext};
use crate::notices::EndedRun;
use crate::recovery::close_attempts;
use crate::resume::resumed_of;
use crate::run_log::RunLogFile;
use crate::state_dir::HeldLock;
use chrono::{DateTime, Utc};
use mykeeper_domain::humane;
use mykeeper_domain::job::{Job, JobKind};
use mykeeper_domain::run::{Run, RunEnd, RunState};
use mykeeper_tools::RunLog;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// How long the attempts of a run that has failed may take to be looked at.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);

impl Engine {
    /// Records the end of a run that has never begun.
    pub(crate) async fn end_unbegun(&self, run: &Run, (state, reason): (RunState, &str)) {
        let environment = &self.shared.environment;
        tracing::warn!(target: RUN_EVENTS, job = %run.job, run = %run.id, %state, reason, "a run does not begin");
        let end = RunEnd {
            state,
            reason: Some(reason.to_owned()),
            bk_id: None,
            finished_at: environment.clock.now(),
        };
        let written = environment
            .persist("record the end of a run", &self.shared.stopping, |catalog| {
                let (id, end) = (run.id, end.clone());
                async move { catalog.finish_run(id, &end).await }
            })
            .await;
        if let Err(error) = written {
            tracing::error!(job = %run.job, run = %run.id, %error, "the end of a run is not recorded; the next start settles it");
        }
        environment.run_ended(&EndedRun {
            job: &run.job,
            run: run.id,
            state,
            reason,
        });
    }

    /// Runs to the end, with its record. The lock is held until the record is written. What is logged meanwhile knows
    /// which run it belongs to.
    pub(super) async fn execute(&self, job: Arc<Job>, run: Run, lock: HeldLock, work: Work) -> FinishedRun {
        let span = tracing::info_span!("run", job = %job.name, run = %run.id, bk_id = tracing::field::Empty);
        self.execute_within(job, run, lock, work).instrument(span).await
    }

    async fn execute_within(&self, job: Arc<Job>, run: Run, mut lock: HeldLock, work: Work) -> FinishedRun {
        let environment = &self.shared.environment;
        environment.state.sign(&mut lock, Some(run.id));
        let path = environment.state.run_log(run.id);
        let (log, log_path) = match RunLogFile::create(
            &path,
            Arc::clone(&environment.clock),
            self.shared.observer.clone(),
        ) {
            Ok(log) => (log, Some(path)),
            Err(error) => {
                tracing::error!(run = %run.id, path = %path.display(), %error, "the run has no log file");
                let clock = Arc::clone(&environment.clock);
                (
                    RunLogFile::without_file(clock, self.shared.observer.clone()),
                    None,
                )
            }
        };
        let log = Arc::new(log);
        let started_at = environment.clock.now();
        tracing::info!(target: RUN_EVENTS, job = %job.name, run = %run.id, kind = %job.kind(), trigger = %run.trigger, "run begins");
        log.line("mykeeper", &begin_line(&job, &run, started_at));
        if let Some(warning) = late_line(&run, started_at) {
            tracing::warn!(job = %job.name, run = %run.id, warning, "a late start");
            log.line("mykeeper", &warning);
        }
        let begun = environment
            .persist("record the start of a run", &self.shared.ending, |catalog| {
                let (id, log_path) = (run.id, log_path.clone());
                async move { catalog.start_run(id, started_at, log_path).await }
            })
            .await;
        let result = match begun {
            Ok(true) => {
                environment.run_begun(&job);
                self.work(&job, &run, &log, work).await
            }
            Ok(false) => Err(JobError::fatal(
                "the run was ended in the catalog before it began",
            )),
            Err(error) => Err(JobError::passing(format!(
                "the start of the run cannot be recorded: {error}"
            ))),
        };
        let finished = self.record_end(&job, &run, &log, result).await;
        drop(lock);
        finished
    }

    /// The work itself, within its timeout, ended when the engine is.
    async fn work(&self, job: &Arc<Job>, run: &Run, log: &Arc<RunLogFile>, work: Work) -> JobResult {
        let environment = &self.shared.environment;
        let private = environment
            .state
            .private_dir(run.id)
            .map_err(|error| JobError::fatal(error.to_string()))?;
        let cancel = self.shared.ending.child_token();
        let resumed = match run.retry_of {
            // Nothing is tried for ever: what cannot be asked is counted as one attempt.
            Some(interrupted) => resumed_of(environment, interrupted)
                .await
                .unwrap_or_else(|error| {
                    tracing::warn!(run = %run.id, %error, "what an interrupted run has left cannot be told");
                    Resumed {
                        attempts: 1,
                        set: None,
                    }
                }),
            None => Resumed::default(),
        };
        let context = RunContext {
            engine: self.clone(),
            environment: Arc::clone(environment),
            settings: environment.settings(),
            job: Arc::clone(job),
            run: run.id,
            cancel: cancel.clone(),
            log: Arc::clone(log),
            private: Arc::new(private),
            deadline: job
                .timeout
                .and_then(|timeout| tokio::time::Instant::now().checked_add(timeout)),
            resumed,
            supervisor: environment.supervisor.on_behalf_of(&run.id.to_string()),
            ended_as: self.shared.ended_as,
        };
        let began = tokio::time::Instant::now();
        // A task of its own: a panic in it ends this run with a record, and nothing else.
        let mut work = tokio::spawn(async move { work(&context).await }.in_current_span());
        let timeout = async {
            match job.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let timed_out = tokio::select! {
            result = &mut work => return self.judge(joined(result), false, (job, began)),
            () = timeout => true,
            () = self.shared.ending.cancelled() => false,
        };
        cancel.cancel();
        let end_within = END_WITHIN + environment.settings().daemon.kill_grace;
        match tokio::time::timeout(end_within, &mut work).await {
            Ok(result) => self.judge(joined(result), timed_out, (job, began)),
            Err(_) => {
                work.abort();
                let error = JobError {
                    reason: "the run did not end in time and was left".into(),
                    ..JobError::cancelled()
                };
                self.judge(Err(error), timed_out, (job, began))
            }
        }
    }

    /// Gives a run that was ended from outside the state that says by what.
    fn judge(
        &self,
        result: JobResult,
        timed_out: bool,
        (job, began): (&Job, tokio::time::Instant),
    ) -> JobResult {
        let over = timed_out || job.timeout.is_some_and(|timeout| began.elapsed() >= timeout);
        result.map_err(|error| match error.state {
            RunState::Cancelled if timed_out => JobError {
                state: RunState::TimedOut,
                reason: format!(
                    "it took longer than its timeout of {}",
                    humane(job.timeout.unwrap_or_default())
                ),
                ..error
            },
            // A tool may have a shorter limit of its own: one that is asked its version, say.
            RunState::TimedOut if !over => JobError {
                state: RunState::Failed,
                ..error
            },
            RunState::TimedOut => JobError {
                reason: format!(
                    "it took longer than its timeout of {}: {}",
                    humane(job.timeout.unwrap_or_default()),
                    error.reason
                ),
                ..error
            },
            RunState::Cancelled => {
                let (state, reason) = self.shared.ended_as;
                JobError {
                    state,
                    reason: reason.to_owned(),
                    ..error
                }
            }
            // What fails once everything is being ended has most likely been ended: a tool that was asked its
            // version, say. Its own words stay, in case it was not.
            RunState::Failed if timed_out || self.shared.ending.is_cancelled() => {
                let (state, reason) = if timed_out {
                    (RunState::TimedOut, "it took longer than its timeout")
                } else {
                    self.shared.ended_as
                };
                JobError {
                    state,
                    reason: format!("{reason}: {}", error.reason),
                    ..error
                }
            }
            _ => error,
        })
    }

    async fn record_end(&self, job: &Job, run: &Run, log: &RunLogFile, result: JobResult) -> FinishedRun {
        let environment = &self.shared.environment;
        let (state, reason, bk_id) = match result {
            Ok(JobReport {
                state,
                summary,
                bk_id,
            }) => (state, summary, bk_id),
            Err(JobError {
                state, reason, bk_id, ..
            }) => (state, reason, bk_id),
        };
        log.line("mykeeper", &format!("{LAST_LINE}{state}: {reason}"));
        if let Some(bk_id) = bk_id {
            tracing::Span::current().record("bk_id", tracing::field::display(bk_id));
        }
        match state {
            RunState::Succeeded => {
                tracing::info!(target: RUN_EVENTS, job = %job.name, run = %run.id, %state, reason, "run ended");
            }
            RunState::Failed | RunState::TimedOut | RunState::Stalled => {
                tracing::error!(target: RUN_EVENTS, job = %job.name, run = %run.id, %state, reason, "run ended");
            }
            _ => {
                tracing::warn!(target: RUN_EVENTS, job = %job.name, run = %run.id, %state, reason, "run ended");
            }
        }
        let end = RunEnd {
            state,
            reason: Some(reason.clone()),
            bk_id,
            finished_at: environment.clock.now(),
        };
        // A backup that went well at last may have had attempts whose sets are not recorded.
        if !state.is_success() || run.kind == JobKind::Backup {
            self.close_what_is_open(run, &end).await;
        }
        let written = environment
            .persist("record the end of a run", &self.shared.ending, |catalog| {
                let (id, end) = (run.id, end.clone());
                async move { catalog.finish_run(id, &end).await }
            })
            .await;
        if let Err(error) = written {
            tracing::error!(job = %job.name, run = %run.id, %error, "the end of a run is not recorded; the next start will call it interrupted");
        }
        let ended = EndedRun {
            job: &job.name,
            run: run.id,
            state,
            reason: &reason,
        };
        environment.tell_end(&ended, bk_id).await;
        FinishedRun {
            id: run.id,
            state,
            reason,
            bk_id,
            followed_by: Vec::new(),
        }
    }
}

impl Engine {
    /// What was ended by a defect, or did not end in time, has not ended its attempts. Nothing stays open behind a run
    /// that has ended; what cannot be closed now is settled by the next look of a daemon, or by its next start.
    async fn close_what_is_open(&self, run: &Run, end: &RunEnd) {
        let closing = close_attempts(self, run, end);
        match tokio::time::timeout(CLOSED_WITHIN, closing).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(run = %run.id, %error, "the attempts of a run are not looked at");
            }
            Err(_) => tracing::warn!(run = %run.id, "the attempts of a run are not looked at in time"),
        }
    }
}

fn joined(result: Result<JobResult, tokio::task::JoinError>) -> JobResult {
    result.unwrap_or_else(|error| {
        Err(JobError::fatal(format!(
            "a defect in mykeeper ended the run: {error}"
        )))
    })
}

fn begin_line(job: &Job, run: &Run, now: DateTime<Utc>) -> String {
    let stands_for = match (run.slot_at, run.retry_of) {
        (Some(slot), _) => format!(
            " for the slot of {}",
            slot.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        ),
        (None, Some(interrupted)) => format!(", which does run {interrupted} again"),
        (None, None) => String::new(),
    };
    let late = lateness(run, now).filter(|late| late.as_secs() > 0);
    let late = late.map_or_else(String::new, |late| format!(", {} late", humane(late)));
    format!(
        "{} job {} begins as run {}{stands_for}{late} ({})",
        job.kind(),
        job.name,
        run.id,
        run.trigger
    )
}

fn lateness(run: &Run, now: DateTime<Utc>) -> Option<Duration> {
    let begun = Run {
        started_at: Some(now),
        ..run.clone()
    };
    begun.late()?.to_std().ok()
}

/// Said where a run begins so late that somebody may have to look why.
fn late_line(run: &Run, now: DateTime<Utc>) -> Option<String> {
    let late = lateness(run, now).filter(|late| *late >= LATE)?;
    Some(format!(
        "warning: it begins {} after its planned time",
        humane(late)
    ))
}
