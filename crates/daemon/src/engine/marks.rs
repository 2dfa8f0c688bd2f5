//! What the engine knows of its runs beside the catalog, for as long as each lasts.

use super::Shared;
use chrono::{DateTime, Utc};
use mykeeper_domain::run::Run;
use mykeeper_domain::{JobName, RunId};
use std::sync::{Arc, PoisonError};

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

/// Marks a slot as being taken, until it is dropped.
pub(super) struct ClaimingMark {
    shared: Arc<Shared>,
    slot: (JobName, DateTime<Utc>),
}

impl ClaimingMark {
    pub(super) fn set(shared: &Arc<Shared>, job: &JobName, slot_at: DateTime<Utc>) -> Self {
        let slot = (job.clone(), slot_at);
        shared
            .claiming
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(slot.clone());
        Self {
            shared: Arc::clone(shared),
            slot,
        }
    }
}

impl Drop for ClaimingMark {
    fn drop(&mut self) {
        self.shared
            .claiming
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.slot);
    }
}
