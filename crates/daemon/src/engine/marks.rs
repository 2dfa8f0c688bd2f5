//! What the engine knows of its runs beside the catalog, for as long as each lasts.

use super::Shared;
use chrono::{DateTime, Utc};
use mykeeper_domain::run::Run;
use mykeeper_domain::{JobName, RunId};
use std::collections::HashSet;
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

/// The slots that are being taken.
#[derive(Default)]
pub(super) struct Claiming {
    slots: Mutex<HashSet<(JobName, DateTime<Utc>)>>,
    /// One has been taken, or could not be.
    ended: Notify,
}

/// Marks a slot as being taken, until it is dropped.
pub(super) struct ClaimingMark {
    claiming: Arc<Claiming>,
    slot: (JobName, DateTime<Utc>),
}

impl Claiming {
    pub(super) fn begin(self: &Arc<Self>, job: &JobName, slot_at: DateTime<Utc>) -> ClaimingMark {
        let slot = (job.clone(), slot_at);
        self.lock().insert(slot.clone());
        ClaimingMark {
            claiming: Arc::clone(self),
            slot,
        }
    }

    pub(super) fn has(&self, job: &JobName, slot_at: DateTime<Utc>) -> bool {
        self.lock().contains(&(job.clone(), slot_at))
    }

    pub(super) fn jobs(&self) -> HashSet<JobName> {
        self.lock().iter().map(|(job, _)| job.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(JobName, DateTime<Utc>)>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimingMark {
    /// Returns when no earlier slot of the job is being taken any more.
    pub(super) async fn turn(&self) {
        loop {
            let ended = self.claiming.ended.notified();
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
        let (job, slot_at) = &self.slot;
        self.claiming
            .lock()
            .iter()
            .any(|(other, earlier)| other == job && earlier < slot_at)
    }
}

impl Drop for ClaimingMark {
    fn drop(&mut self) {
        self.claiming.lock().remove(&self.slot);
        self.claiming.ended.notify_waiters();
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
