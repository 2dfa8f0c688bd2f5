//! What the engine knows of its runs beside the catalog, for as long as each lasts.

use super::Shared;
use chrono::{DateTime, Utc};
use mykeeper_domain::run::Run;
use mykeeper_domain::{JobName, RunId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Marks a run as this engine's, until it is dropped.
pub(super) struct OwnMark {
    shared: Arc<Shared>,
    run: RunId,
}

impl OwnMark {
    pub(super) fn set(shared: &Arc<Shared>, run: &Run) -> Self {
        shared
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run.id, run.job.clone());
        Self {
            shared: Arc::clone(shared),
            run: run.id,
        }
    }
}

impl Drop for OwnMark {
    fn drop(&mut self) {
        self.shared
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.run);
    }
}

/// Marks a job's lock as held to settle something, until it is dropped.
pub(crate) struct SettlingMark {
    shared: Arc<Shared>,
    job: JobName,
}

impl SettlingMark {
    pub(super) fn set(shared: &Arc<Shared>, job: &JobName) -> Self {
        shared
            .settling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job.clone());
        Self {
            shared: Arc::clone(shared),
            job: job.clone(),
        }
    }
}

impl Drop for SettlingMark {
    fn drop(&mut self) {
        self.shared
            .settling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.job);
    }
}

/// Marks a job as having a run that waits, until it is dropped.
pub(super) struct WaitingMark {
    shared: Arc<Shared>,
    job: JobName,
}

impl WaitingMark {
    /// `None` when the job has one already.
    pub(super) fn set(shared: &Arc<Shared>, job: &JobName) -> Option<Self> {
        let is_first = shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job.clone());
        is_first.then(|| Self {
            shared: Arc::clone(shared),
            job: job.clone(),
        })
    }
}

impl Drop for WaitingMark {
    fn drop(&mut self) {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.job);
    }
}

/// The slots that are being taken, by job: a thousand jobs that are due at one instant have nothing to do with each other.
#[derive(Default)]
pub(super) struct Claiming {
    jobs: Mutex<HashMap<JobName, Slots>>,
}

/// Of one job.
#[derive(Default)]
struct Slots {
    at: BTreeSet<DateTime<Utc>>,
    /// One has been taken, or could not be.
    ended: Arc<Notify>,
}

/// Marks a slot as being taken, until it is dropped.
pub(super) struct ClaimingMark {
    claiming: Arc<Claiming>,
    job: JobName,
    slot_at: DateTime<Utc>,
    ended: Arc<Notify>,
}

impl Claiming {
    pub(super) fn begin(self: &Arc<Self>, job: &JobName, slot_at: DateTime<Utc>) -> ClaimingMark {
        let mut jobs = self.lock();
        let slots = jobs.entry(job.clone()).or_default();
        slots.at.insert(slot_at);
        ClaimingMark {
            ended: Arc::clone(&slots.ended),
            claiming: Arc::clone(self),
            job: job.clone(),
            slot_at,
        }
    }

    pub(super) fn has(&self, job: &JobName, slot_at: DateTime<Utc>) -> bool {
        self.lock()
            .get(job)
            .is_some_and(|slots| slots.at.contains(&slot_at))
    }

    pub(super) fn jobs(&self) -> HashSet<JobName> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobName, Slots>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimingMark {
    /// Returns when no earlier slot of the job is being taken any more.
    pub(super) async fn turn(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // From here on none is missed.
            ended.as_mut().enable();
            if !self.has_earlier() {
                return;
            }
            ended.await;
        }
    }

    fn has_earlier(&self) -> bool {
        let jobs = self.claiming.lock();
        let first = jobs.get(&self.job).and_then(|slots| slots.at.first());
        first.is_some_and(|first| *first < self.slot_at)
    }
}

impl Drop for ClaimingMark {
    fn drop(&mut self) {
        let mut jobs = self.claiming.lock();
        if let Some(slots) = jobs.get_mut(&self.job) {
            slots.at.remove(&self.slot_at);
            // Whoever waits for its end is among its slots.
            if slots.at.is_empty() {
                jobs.remove(&self.job);
            }
        }
        drop(jobs);
        self.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_slot_is_not_taken_before_an_earlier_one_of_its_job() {
        let claiming = Arc::new(Claiming::default());
        let (job, other) = ("a".parse().unwrap(), "b".parse().unwrap());
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let earlier = claiming.begin(&job, at(1));
        let later = claiming.begin(&job, at(2));
        claiming.begin(&other, at(3)).turn().await;
        earlier.turn().await;
        let waits = tokio::time::timeout(Duration::from_millis(50), later.turn()).await;
        assert!(waits.is_err(), "the earlier slot may yet come to nothing");
        let turn = tokio::spawn(async move { later.turn().await });
        tokio::task::yield_now().await;
        drop(earlier);
        turn.await.unwrap();
        assert!(!claiming.has(&job, at(1)) && !claiming.has(&job, at(2)));
    }
}
