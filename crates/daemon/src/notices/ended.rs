//! What people hear of a run that is over, and who waits for its end by a ping.

use super::{job_topic, slots_topic};
use crate::environment::Environment;
use crate::owed::{Owed, owed_by};
use mykeeper_catalog::CatalogError;
use mykeeper_domain::arrival::arrivals;
use mykeeper_domain::immediate::proof_of;
use mykeeper_domain::job::{Job, Task};
use mykeeper_domain::notice::{Notice, NoticeKind};
use mykeeper_domain::run::{Run, RunState};
use mykeeper_domain::{BackupId, DestinationName, JobName, RunId};
use mykeeper_notify::Signal;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the catalog may take to say what a run that went well has left.
const ASKED_WITHIN: Duration = Duration::from_secs(30);

/// What a run is told by.
pub(crate) struct EndedRun<'a> {
    pub(crate) job: &'a JobName,
    pub(crate) run: RunId,
    pub(crate) state: RunState,
    pub(crate) reason: &'a str,
}

impl Environment {
    /// A run of a job that the schedule has begins.
    pub(crate) fn run_begun(&self, job: &Job) {
        self.ping(&job.name, Signal::Start, "");
    }

    /// The same as [`Environment::run_ended`], at the end of a run of this process, which made `set`: a backup that is in
    /// trouble is not out of it while that has not arrived where it is to go, nor while what it has made waits for a
    /// destination that nothing will send it to. Where the catalog does not say whether, a later run tells.
    pub(crate) async fn tell_end(&self, ended: &EndedRun<'_>, set: Option<BackupId>) {
        if !ended.state.is_success() || !self.is_told_of(ended.job) {
            return self.run_ended(ended);
        }
        // Who waits for it waits for nothing else.
        self.ping(ended.job, Signal::Success, ended.reason);
        self.tell_slots_over(ended);
        let topic = job_topic(ended.job);
        if !self.notices.is_in_trouble(&topic) {
            return;
        }
        let asked = tokio::time::timeout(ASKED_WITHIN, self.left_by(ended.job, set));
        let (waiting, unreached) = match asked.await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => {
                tracing::warn!(job = %ended.job, %error, "whether its trouble is over is not known: sets of it may wait to be sent");
                return;
            }
            Err(_) => {
                tracing::warn!(job = %ended.job, "whether its trouble is over is not known: the catalog does not answer in time");
                return;
            }
        };
        let lines: Vec<String> = waiting.iter().map(Owed::to_string).collect();
        let lines = lines.join("; ");
        let is_left = |owed: &Owed| owed.sender.is_none() || unreached.contains(&owed.destination);
        if waiting.iter().any(is_left) {
            let went = match ended.state {
                RunState::Succeeded => "succeeded",
                _ => "ended with warnings",
            };
            self.tell_notice(Notice {
                at: self.clock.now(),
                kind: NoticeKind::Failure,
                topic,
                message: format!("this run {went}, and it is not over: {lines}"),
                run: Some(ended.run),
                bk_id: None,
            });
            return;
        }
        let waits = if lines.is_empty() { "" } else { "; " };
        self.tell_over(
            &topic,
            format!("it succeeded again: {}{waits}{lines}", ended.reason),
        );
    }

    /// What destinations wait for of a job's sets, and where that of its last run did not arrive.
    async fn left_by(
        &self,
        job: &JobName,
        set: Option<BackupId>,
    ) -> Result<(Vec<Owed>, BTreeSet<DestinationName>), CatalogError> {
        let settings = self.settings();
        let Some(Task::Backup(task)) = settings.jobs.get(job).map(|job| &job.task) else {
            return Ok(Default::default());
        };
        if task.transfer_to.is_empty() {
            return Ok(Default::default());
        }
        let waiting = owed_by(self.catalog.as_ref(), &settings, job).await?;
        let mut unreached: BTreeSet<DestinationName> = BTreeSet::new();
        if let Some(id) = set
            && let Some(backup) = self.catalog.backup(id).await?
        {
            unreached.extend(task.transfer_to.iter().cloned());
            for arrived in arrivals(&backup, &self.catalog.transfers(id).await?) {
                unreached.retain(|name| name.as_str() != arrived.destination);
            }
        }
        Ok((waiting, unreached))
    }

    /// Slots that passed are made good by a run that comes after them, whoever asked for it.
    fn tell_slots_over(&self, ended: &EndedRun<'_>) {
        let over = format!("a run of this job has succeeded since: {}", ended.reason);
        self.tell_over(&slots_topic(ended.job), over);
    }

    /// What a command does on its own account bears the name of no job, or is looked at by who called it.
    fn is_told_of(&self, job: &JobName) -> bool {
        let settings = self.settings();
        let mut jobs = settings.jobs.keys();
        settings.jobs.contains_key(job) || jobs.any(|known| proof_of(known).as_ref() == Ok(job))
    }

    /// A run of a job that the schedule has is over. One that was ended from outside says nothing of its job.
    pub(crate) fn run_ended(&self, ended: &EndedRun<'_>) {
        if !self.is_told_of(ended.job) {
            return;
        }
        let topic = job_topic(ended.job);
        match ended.state {
            RunState::Succeeded | RunState::Warned => {
                self.ping(ended.job, Signal::Success, ended.reason);
                self.tell_over(&topic, format!("it succeeded again: {}", ended.reason));
            }
            RunState::Failed | RunState::TimedOut | RunState::Stalled => {
                self.ping(ended.job, Signal::Fail, ended.reason);
                self.tell_notice(Notice {
                    at: self.clock.now(),
                    kind: NoticeKind::Failure,
                    topic,
                    message: format!("{}: {}", ended.state, ended.reason),
                    run: Some(ended.run),
                    bk_id: None,
                });
            }
            _ => {}
        }
    }

    /// A run whose process has gone is over, and is not done again.
    pub(crate) fn run_given_up(&self, run: &Run, reason: &str) {
        self.run_ended(&EndedRun {
            job: &run.job,
            run: run.id,
            state: RunState::Failed,
            reason,
        });
    }

    /// The same, where its job's next run does what it has left: its end belongs to its begin.
    pub(crate) fn ping_given_up(&self, run: &Run, reason: &str) {
        if run.started_at.is_some() && self.settings().jobs.contains_key(&run.job) {
            self.ping(&run.job, Signal::Fail, reason);
        }
    }
}
