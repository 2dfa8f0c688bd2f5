//! What this node tells the others of itself while it lives, for `mykeeper status` on any of them.

use crate::engine::Engine;
use crate::environment::Environment;
use crate::notices;
use chrono::{DateTime, Utc};
use mykeeper_catalog::{CatalogError, RunFilter};
use mykeeper_domain::node::{LastFailure, MOST_NAMED, NextSlot, NodeReport, RunningRun};
use mykeeper_domain::run::{Run, RunState};
use std::sync::Arc;
use std::time::Duration;

/// How often; oftener where leases are short, so that who takes over and who looks agree on who lives.
const EVERY: Duration = Duration::from_secs(15);
const SHORTEST: Duration = Duration::from_millis(200);
/// How long the last report may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(3);
/// A reason is told up to so many characters.
const LONGEST_REASON: usize = 300;

/// Tells again and again. While the catalog is away there is nobody to tell.
pub(crate) async fn beat(engine: Engine, alive_since: DateTime<Utc>, version: String) {
    let environment = Arc::clone(engine.environment());
    loop {
        let told = tell(&engine, ("running", alive_since), &version).await;
        if let Err(error) = told {
            tracing::debug!(%error, "other nodes are not told that this one lives");
        }
        tokio::time::sleep(interval(&environment)).await;
    }
}

/// Says that this node goes, so that nobody takes it for lost.
pub(crate) async fn stop(engine: &Engine, alive_since: DateTime<Utc>, version: &str) {
    let told = tell(engine, ("stopped", alive_since), version);
    match tokio::time::timeout(STOPPED_WITHIN, told).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "other nodes are not told that this one stops"),
        Err(_) => {
            tracing::debug!("other nodes are not told that this one stops: the catalog does not answer");
        }
    }
}

fn interval(environment: &Environment) -> Duration {
    (environment.settings().daemon.lease / 5).clamp(SHORTEST, EVERY)
}

async fn tell(
    engine: &Engine,
    (state, alive_since): (&str, DateTime<Utc>),
    version: &str,
) -> Result<(), CatalogError> {
    let environment = engine.environment();
    let catalog = &environment.catalog;
    let unfinished = catalog.unfinished_runs(&environment.node).await?;
    let settings = environment.settings();
    let next = match state {
        "running" => engine.next_slot().map(|(slot_at, job)| NextSlot { job, slot_at }),
        _ => None,
    };
    let report = NodeReport {
        node: environment.node.clone(),
        state_dir: settings.state_dir.display().to_string(),
        state: state.to_owned(),
        version: version.to_owned(),
        alive_since,
        heard_at: environment.clock.now(),
        every_seconds: interval(environment).as_secs_f64(),
        jobs: settings.jobs.len(),
        under_way: unfinished.len(),
        running: unfinished.into_iter().take(MOST_NAMED).map(running).collect(),
        next,
        last_failure: last_failure(environment).await?,
        untold: untold(environment),
    };
    catalog.report_node(&report).await
}

fn running(run: Run) -> RunningRun {
    RunningRun {
        since: run.started_at.unwrap_or(run.requested_at),
        waits: run.reason.map(short),
        job: run.job,
        kind: run.kind,
        run: run.id,
        state: run.state,
    }
}

async fn last_failure(environment: &Environment) -> Result<Option<LastFailure>, CatalogError> {
    let filter = RunFilter {
        node: Some(environment.node.clone()),
        states: vec![RunState::Failed, RunState::TimedOut, RunState::Stalled],
        limit: 1,
        ..RunFilter::default()
    };
    let last = environment.catalog.runs(&filter).await?.into_iter().next();
    Ok(last.map(|run| LastFailure {
        at: run.finished_at.unwrap_or(run.requested_at),
        reason: run.reason.map(short).unwrap_or_default(),
        job: run.job,
        run: run.id,
        state: run.state,
    }))
}

fn short(reason: String) -> String {
    match reason.char_indices().nth(LONGEST_REASON) {
        None => reason,
        Some((at, _)) => format!("{}…", &reason[..at]),
    }
}

/// Who is to be told of failures and cannot be.
fn untold(environment: &Environment) -> Vec<String> {
    let failing = notices::outcomes(&environment.state)
        .into_iter()
        .filter_map(|(name, outcome)| {
            let since = outcome.failing_since?;
            let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            Some(format!(
                "{name} since {since}: {}",
                outcome.error.unwrap_or_default()
            ))
        });
    failing.take(MOST_NAMED).collect()
}
