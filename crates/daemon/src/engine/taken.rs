//! What is told of a slot that was taken before.

use super::Engine;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::RunFilter;
use mykeeper_domain::run::Run;

/// A run that was asked for so long after now shows that the clock was ahead.
const AHEAD: TimeDelta = TimeDelta::seconds(60);
/// Among how many runs of a time to come the one is looked for that took a slot.
const LOOKED_THROUGH: u32 = 1_000;

impl Engine {
    /// A slot that was taken before is nothing to speak of, unless that was by a clock that was ahead of this one.
    pub(super) async fn tell_taken(&self, run: &Run, slot_at: DateTime<Utc>) {
        let filter = RunFilter {
            job: Some(run.job.clone()),
            node: Some(run.node.clone()),
            since: Some(run.requested_at + AHEAD),
            limit: LOOKED_THROUGH,
            ..Default::default()
        };
        let ahead = match self.shared.environment.catalog.runs(&filter).await {
            Ok(runs) => runs.into_iter().find(|run| run.slot_at == Some(slot_at)),
            Err(error) => {
                tracing::debug!(job = %run.job, %error, "who took a slot before cannot be asked");
                None
            }
        };
        match ahead {
            Some(ahead) => tracing::error!(
                job = %run.job, slot = %slot_at, run = %ahead.id, state = %ahead.state, at = %ahead.requested_at,
                "a slot that is due was taken by a run of a time to come: the clock was ahead then, or is behind now"
            ),
            None => tracing::debug!(job = %run.job, slot = %slot_at, "the slot was taken before"),
        }
    }
}
