//! A slot that is due: taken, run, put off or skipped.

use super::marks::{ClaimingMark, OwnMark, WaitingMark};
use super::{Engine, JOB_REMOVED, work_of_job};
use crate::error::DaemonError;
use crate::notices::slots_topic;
use crate::state_dir::{LockAttempt, LockOwner};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::Claim;
use mykeeper_domain::JobName;
use mykeeper_domain::humane;
use mykeeper_domain::job::{Job, Overlap};
use mykeeper_domain::notice::NoticeKind;
use mykeeper_domain::run::{Run, RunState, Trigger};
use std::sync::Arc;
use std::time::Duration;

/// How often a run that waits for the one before it looks whether that has ended.
const LOCK_POLL: Duration = Duration::from_millis(500);
/// How long a slot waits at most until a run that is over has been settled, and how often it looks.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const SETTLING_POLL: Duration = Duration::from_millis(20);
/// How long the catalog may take to say what the run in the way is at: only a message depends on it.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A slot that is due.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub(super) slot_at: DateTime<Utc>,
    pub(super) trigger: Trigger,
    /// When the scheduler saw it.
    pub(super) asked_at: DateTime<Utc>,
}

impl Engine {
    /// Takes `claiming` away once the slot has its row. Where it could not be taken the mark is left: whose turn comes
    /// after it must find the slot among those that are undecided.
    pub(super) async fn take_slot(
        &self,
        job: Arc<Job>,
        due: Due,
        claiming: &mut Option<ClaimingMark>,
    ) -> Result<(), DaemonError> {
        let Due {
            slot_at,
            trigger,
            asked_at,
        } = due;
        let environment = &self.shared.environment;
        let mut run = Run {
            requested_at: asked_at,
            ..self.new_run(&job, Some(slot_at), trigger, RunState::Queued)
        };
        if trigger == Trigger::Schedule && !job.jitter.is_zero() {
            let put_off = job.jitter.mul_f64(rand::random::<f64>());
            run.planned_at = TimeDelta::from_std(put_off).ok().map(|put_off| slot_at + put_off);
        }
        let _own = OwnMark::set(&self.shared, &run);
        // Set before the catalog is asked: while it is away, slots come that must see that one waits already.
        let mut waiting = None;
        let lock = match self.lock_job(&job.name).await? {
            LockAttempt::Held(mut lock) => {
                if run.planned_at.is_some() {
                    waiting = WaitingMark::set(&self.shared, &job.name);
                }
                // Before the row says so: whoever settles what is left takes a running row whose lock another run
                // has signed for one that is over.
                environment.state.sign(&mut lock, Some(run.id));
                Some(lock)
            }
            LockAttempt::Busy(owner) => {
                let waits = self.lock_waiting().contains(&job.name);
                if job.overlap == Overlap::Queue {
                    waiting = WaitingMark::set(&self.shared, &job.name);
                }
                if waiting.is_none() {
                    run.state = RunState::Skipped;
                    run.finished_at = Some(run.requested_at);
                    let waits = waits || job.overlap == Overlap::Queue;
                    run.reason = Some(self.overlap(owner.as_ref(), waits).await);
                }
                None
            }
        };
        if lock.is_some() && run.planned_at.is_none() {
            run.state = RunState::Running;
        }
        let claim = environment
            .persist("take a slot", &self.shared.stopping, |catalog| {
                let run = run.clone();
                async move { catalog.claim_slot(&run).await }
            })
            .await?;
        drop(claiming.take());
        if claim == Claim::Taken {
            self.tell_taken(&run, slot_at).await;
            return Ok(());
        }
        match (run.state, lock) {
            (RunState::Skipped, _) => {
                tracing::warn!(job = %job.name, slot = %slot_at, reason = run.reason, "a slot is skipped");
                let reason = run.reason.as_deref().unwrap_or_default();
                let slot = slot_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                environment.tell(
                    NoticeKind::Missed,
                    slots_topic(&job.name),
                    format!("the slot of {slot} is skipped: {reason}"),
                );
                Ok(())
            }
            (RunState::Running, Some(lock)) => {
                self.execute(job, run, lock, work_of_job()).await;
                Ok(())
            }
            (_, lock) => {
                // With jitter, others may have the job until this run begins.
                drop(lock);
                self.wait_and_execute(job, run, waiting).await;
                Ok(())
            }
        }
    }

    /// Tries for the lock of a job; one that is held only to settle a run that is over is waited for.
    async fn lock_job(&self, job: &JobName) -> Result<LockAttempt, DaemonError> {
        let give_up_at = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            let attempt = self.shared.environment.state.lock_job(job)?;
            let settles = matches!(attempt, LockAttempt::Busy(_)) && self.lock_settling().contains(job);
            if !settles || tokio::time::Instant::now() >= give_up_at {
                return Ok(attempt);
            }
            drop(attempt);
            tokio::time::sleep(SETTLING_POLL).await;
        }
    }

    /// Waits out the jitter and the run before, then runs. A run that does not come to that because the daemon stops
    /// stays queued in the catalog; the next start takes it up.
    pub(super) async fn wait_and_execute(&self, job: Arc<Job>, run: Run, waiting: Option<WaitingMark>) {
        let environment = &self.shared.environment;
        let left = run
            .planned_at
            .and_then(|planned_at| (planned_at - environment.clock.now()).to_std().ok());
        // A clock that has stepped back makes nobody wait longer than the jitter.
        if let Some(left) = left.map(|left| left.min(job.jitter)) {
            tracing::info!(job = %job.name, run = %run.id, delay = %humane(left), "the start is put off");
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.shared.stopping.cancelled() => return,
            }
        }
        let lock = loop {
            match self.lock_job(&job.name).await {
                Ok(LockAttempt::Held(lock)) => break lock,
                Ok(LockAttempt::Busy(_)) => tokio::select! {
                    () = tokio::time::sleep(LOCK_POLL) => {}
                    () = self.shared.stopping.cancelled() => return,
                },
                Err(error) => {
                    self.end_unbegun(&run, (RunState::Failed, &error.to_string()))
                        .await;
                    return;
                }
            }
        };
        drop(waiting);
        if !environment.settings().jobs.contains_key(&job.name) {
            self.end_unbegun(&run, (RunState::Skipped, JOB_REMOVED)).await;
            return;
        }
        self.execute(job, run, lock, work_of_job()).await;
    }

    /// Why a slot passes whose job has a run already, and what keeps that run.
    async fn overlap(&self, owner: Option<&LockOwner>, waits: bool) -> String {
        let named = owner.map(ToString::to_string).unwrap_or_default();
        if waits {
            return format!(
                "overlap: a run of this job is waiting already for the one that is under way{named}"
            );
        }
        let asked = async {
            let run = owner?.run?;
            self.environment().catalog.run(run).await.ok()?
        };
        let in_the_way = tokio::time::timeout(TOLD_WITHIN, asked).await.ok().flatten();
        let begun = match &in_the_way {
            Some(run) if run.trigger == Trigger::Manual => "a run of this job that was asked for by hand",
            _ => "the last run of this job",
        };
        let at = match in_the_way {
            Some(run) if run.state == RunState::Queued => "; it is queued, and has not begun".to_owned(),
            // While it runs, its reason is what it waits for.
            Some(Run {
                state: RunState::Running,
                reason: Some(waits),
                ..
            }) => format!("; it {waits}"),
            _ => String::new(),
        };
        format!("overlap: {begun} is still under way{named}{at}")
    }
}
