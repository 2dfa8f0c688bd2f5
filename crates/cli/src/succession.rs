//! Which run came after one that was interrupted.

use mykeeper_catalog::{Catalog, CatalogError, RunFilter};
use mykeeper_domain::RunId;
use mykeeper_domain::run::{Run, RunState};

/// How many runs of a job are looked through for the one after an interrupted one.
const LOOKED_THROUGH: u32 = 1_000;

/// Of runs that are shown: each that was interrupted, and the one that does it again, or the next of its job.
pub(crate) struct Succession {
    pairs: Vec<(RunId, RunId)>,
}

impl Succession {
    pub(crate) async fn of(catalog: &dyn Catalog, runs: &[Run]) -> Result<Self, CatalogError> {
        let mut pairs = Vec::new();
        for run in runs.iter().filter(|run| run.state == RunState::Interrupted) {
            pairs.extend(successor(catalog, run).await?.map(|next| (run.id, next.id)));
        }
        Ok(Self { pairs })
    }

    /// The run after an interrupted one.
    pub(crate) fn after(&self, run: &Run) -> Option<RunId> {
        let pair = self
            .pairs
            .iter()
            .find(|(interrupted, _)| *interrupted == run.id)?;
        Some(pair.1)
    }

    /// The interrupted run before one, where that is shown too.
    pub(crate) fn before(&self, run: &Run) -> Option<RunId> {
        let pair = self.pairs.iter().find(|(_, next)| *next == run.id)?;
        Some(pair.0)
    }

    /// A run's reason, and which came after or before it, for people.
    pub(crate) fn told(&self, run: &Run, reason: String) -> String {
        // A run that does another again says so itself.
        let before = self.before(run).filter(|_| run.retry_of.is_none());
        let links = [
            (!reason.is_empty()).then_some(reason),
            self.after(run).map(|next| format!("after it came run {next}")),
            before.map(|before| format!("before it run {before} was interrupted")),
        ];
        links.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

async fn successor(catalog: &dyn Catalog, run: &Run) -> Result<Option<Run>, CatalogError> {
    let again = RunFilter {
        retry_of: Some(run.id),
        limit: 1,
        ..Default::default()
    };
    if let Some(again) = catalog.runs(&again).await?.pop() {
        return Ok(Some(again));
    }
    let later = RunFilter {
        job: Some(run.job.clone()),
        node: Some(run.node.clone()),
        since: Some(run.requested_at),
        limit: LOOKED_THROUGH,
        ..Default::default()
    };
    let mut later = catalog.runs(&later).await?;
    later.retain(|later| later.id != run.id && later.state != RunState::Skipped);
    // The newest comes first.
    Ok(later.pop())
}
