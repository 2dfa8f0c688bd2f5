//! Sets that could not be tried: they hold up no other, and come last as long as that is remembered.
//!
//! Each is noted under a name of its own beside the leases of this node; nobody works under it, and it runs out by
//! itself.

use crate::jobs::{JobError, JobReport, JobResult, RunContext, first_few};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{CatalogError, Lease, LeaseClock, LeaseTerm};
use mykeeper_domain::run::{Run, RunState};
use mykeeper_domain::{BackupId, NodeName};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// How long it is remembered.
const REMEMBERED: TimeDelta = TimeDelta::days(7);
/// What stands in the way of so many may stand in the way of all, each of which is read before it shows.
const MOST: usize = 5;

/// What its notes of all nodes begin with.
pub(crate) const PREFIX: &str = "untried:";

/// What could not be tried, before and in this run.
#[derive(Debug, Default)]
pub(crate) struct Untried {
    /// Until when it is remembered of which set.
    before: BTreeMap<BackupId, DateTime<Utc>>,
    now: Vec<(BackupId, JobError)>,
}

impl Untried {
    /// # Errors
    /// The catalog does not answer.
    pub(super) async fn remembered(context: &RunContext) -> Result<Self, CatalogError> {
        let node = &context.environment.node;
        let leases = context
            .environment
            .catalog
            .leases(&prefix(node), (LeaseClock::Own, context.clock().now()))
            .await?;
        Ok(Self::of_node(node, &leases))
    }

    /// What one node has noted.
    pub(crate) fn of_node(node: &NodeName, leases: &[Lease]) -> Self {
        let prefix = prefix(node);
        let before = leases
            .iter()
            .filter_map(|lease| Some((lease.name.strip_prefix(&prefix)?.parse().ok()?, lease.until)));
        Self {
            before: before.collect(),
            now: Vec::new(),
        }
    }

    /// Those that were remembered before, the one that was tried last at the end: they come behind all others.
    pub(crate) fn remembered_last(&self) -> Vec<BackupId> {
        let mut before: Vec<(DateTime<Utc>, BackupId)> =
            self.before.iter().map(|(id, until)| (*until, *id)).collect();
        before.sort_unstable();
        before.into_iter().map(|(_, id)| id).collect()
    }

    /// Enters one of this run.
    ///
    /// # Errors
    /// No other can be tried in this run.
    pub(super) async fn enter(
        &mut self,
        context: &RunContext,
        id: BackupId,
        error: JobError,
    ) -> Result<(), JobError> {
        let is_over = context
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        if context.cancel.is_cancelled() && !is_over {
            return Err(error);
        }
        note(context, id).await;
        context.say(format!("set {id} could not be tried: {}", error.reason));
        self.now.push((id, error));
        if is_over || self.now.len() >= MOST {
            return self.take().map_or(Ok(()), Err);
        }
        Ok(())
    }

    /// What comes of a run that ended with `result`.
    pub(super) fn join(self, result: JobResult) -> JobResult {
        if self.now.is_empty() {
            return result;
        }
        let notes = first_few(&self.now.iter().map(told).collect::<Vec<_>>());
        match result {
            Ok(report) => Ok(JobReport {
                state: RunState::Warned,
                summary: format!("{}; {notes}", report.summary),
                bk_id: report.bk_id,
            }),
            Err(error) => Err(JobError {
                reason: format!("{}; {notes}", error.reason),
                ..error
            }),
        }
    }

    /// All of this run as one error: the first, with what there is to say of the others.
    pub(super) fn take(&mut self) -> Option<JobError> {
        let retry = self.now.iter().any(|(_, error)| error.retry);
        let mut all = std::mem::take(&mut self.now).into_iter();
        let (_, first) = all.next()?;
        let others: Vec<String> = all.map(|other| told(&other)).collect();
        let reason = match others.as_slice() {
            [] => first.reason,
            others => format!("{}; {}", first.reason, first_few(others)),
        };
        Some(JobError {
            reason,
            retry,
            ..first
        })
    }
}

fn told((id, error): &(BackupId, JobError)) -> String {
    format!("set {id} could not be tried: {}", error.reason)
}

fn prefix(node: &NodeName) -> String {
    format!("{PREFIX}{node}:")
}

/// Whether it was in this run that its node last noted that a set could not be tried.
pub(crate) fn untried_in(run: &Run, id: BackupId, notes: &[Lease]) -> bool {
    let name = format!("{}{id}", prefix(&run.node));
    let mut noted = notes.iter().filter(|note| note.name == name);
    noted.any(|note| {
        let at = note.until - REMEMBERED;
        run.started_at.is_some_and(|started| started <= at) && run.finished_at.is_none_or(|ended| at <= ended)
    })
}

/// Notes that a set could not be tried. Without the note it is tried in its turn.
async fn note(context: &RunContext, id: BackupId) {
    let now = context.clock().now();
    let until = now
        .checked_add_signed(REMEMBERED)
        .unwrap_or(DateTime::<Utc>::MAX_UTC);
    let name = format!("{}{id}", prefix(&context.environment.node));
    let holder = context.environment.node.to_string();
    // It is held against the times of this node's runs.
    let (clock, from) = (LeaseClock::Own, now);
    let noted = context
        .environment
        .catalog
        .acquire_lease(&name, &holder, LeaseTerm { clock, from, until })
        .await;
    if let Err(error) = noted {
        tracing::warn!(set = %id, %error, "that a set could not be tried is not noted");
    }
}

/// Forgets it: the set has a verdict.
pub(super) async fn forget(context: &RunContext, id: BackupId) {
    let name = format!("{}{id}", prefix(&context.environment.node));
    let holder = context.environment.node.to_string();
    if let Err(error) = context.environment.catalog.release_lease(&name, &holder).await {
        tracing::warn!(set = %id, %error, "a note of a set that could not be tried stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untried(errors: Vec<JobError>) -> Untried {
        Untried {
            before: BTreeMap::new(),
            now: errors
                .into_iter()
                .map(|error| (BackupId::generate(), error))
                .collect(),
        }
    }

    #[test]
    fn what_could_not_be_tried_is_told_beside_what_was() {
        let report = JobReport::done("set a is proven", None);
        let none = untried(Vec::new());
        assert_eq!(none.join(Ok(report.clone())), Ok(report.clone()));
        let one = untried(vec![JobError::fatal("no room")]);
        let joined = one.join(Ok(report)).unwrap();
        assert_eq!(joined.state, RunState::Warned);
        assert!(joined.summary.starts_with("set a is proven; set ") && joined.summary.ends_with("no room"));
    }

    #[test]
    fn where_none_could_be_tried_one_that_may_pass_is_enough_for_another_attempt() {
        assert_eq!(untried(Vec::new()).take(), None);
        let error = untried(vec![JobError::fatal("no room"), JobError::passing("hung")])
            .take()
            .unwrap();
        assert!(error.retry);
        assert!(error.reason.starts_with("no room; set ") && error.reason.ends_with("hung"));
    }
}
