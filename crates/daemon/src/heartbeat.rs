//! What this node tells the others of itself while it lives, for `mykeeper status` on any of them.

use crate::engine::Engine;
use crate::environment::Environment;
use crate::namesake::{Namesakes, this_process};
use crate::notices;
use chrono::{DateTime, Utc};
use mykeeper_catalog::{CatalogError, RunFilter};
use mykeeper_domain::node::{HeardNode, LastFailure, MOST_NAMED, NextSlot, NodeReport, RunningRun, Vitality};
use mykeeper_domain::run::{Run, RunState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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
    let began = Instant::now();
    let (mut namesakes, mut is_clock_wrong) = (Namesakes::default(), false);
    loop {
        match environment.catalog.nodes(environment.clock.now()).await {
            Ok(nodes) => {
                let named = nodes.iter().filter(|heard| heard.report.node == environment.node);
                let named = named.filter(|heard| is_heard_since(heard, began));
                let (own, others): (Vec<_>, Vec<_>) =
                    named.partition(|heard| heard.report.alive_since == alive_since);
                if let Some(heard) = own.first() {
                    say_of_clock(heard, &mut is_clock_wrong);
                }
                let others: Vec<_> = others.into_iter().map(|heard| &heard.report).collect();
                namesakes.met(&environment, &others);
            }
            Err(error) => tracing::debug!(%error, "other nodes cannot be looked at"),
        }
        let told = tell(&engine, ("running", alive_since), &version).await;
        if let Err(error) = told {
            tracing::debug!(%error, "other nodes are not told that this one lives");
        }
        tokio::time::sleep(interval(&environment)).await;
    }
}

/// Whether a daemon has told of itself since this one lives. Another that has the same name and the same `state_dir`, on
/// another machine, shows between two reports of ours.
fn is_heard_since(heard: &HeardNode, began: Instant) -> bool {
    let ago = heard.heard_ago.to_std().unwrap_or_default();
    heard.vitality() == Vitality::Alive && ago < began.elapsed()
}

/// Once for each time that it goes wrong.
fn say_of_clock(heard: &HeardNode, is_wrong: &mut bool) {
    match heard.wrong_clock() {
        Some(wrong) if !*is_wrong => tracing::warn!(
            "this machine's {wrong}: jobs start by it, and what they record bears its time; set it right (NTP)"
        ),
        None if *is_wrong => tracing::info!("this machine's clock agrees with the catalog's again"),
        _ => {}
    }
    *is_wrong = heard.wrong_clock().is_some();
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
    let (last_failure, untold) = (last_failure(environment).await?, untold(environment));
    let report = NodeReport {
        node: environment.node.clone(),
        state_dir: settings.state_dir.display().to_string(),
        process: this_process(),
        state: state.to_owned(),
        version: version.to_owned(),
        alive_since,
        heard_at: environment.clock.now(),
        every_seconds: interval(environment).as_secs_f64(),
        jobs: settings.jobs.len(),
        under_way: unfinished.len(),
        running: unfinished.into_iter().take(MOST_NAMED).map(running).collect(),
        next,
        last_failure,
        untold,
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
    let Some(run) = environment.catalog.runs(&filter).await?.into_iter().next() else {
        return Ok(None);
    };
    let later = RunFilter {
        job: Some(run.job.clone()),
        states: vec![RunState::Succeeded, RunState::Warned],
        since: Some(run.requested_at),
        ..filter
    };
    let later = environment.catalog.runs(&later).await?.into_iter().next();
    let at = run.finished_at.unwrap_or(run.requested_at);
    Ok(Some(LastFailure {
        at,
        over_at: later
            .and_then(|later| later.finished_at)
            .filter(|ended| *ended >= at),
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

/// Who is to be told of failures and cannot be, and when that is tried next.
fn untold(environment: &Environment) -> Vec<String> {
    let mut outcomes = notices::outcomes(&environment.state);
    let settings = environment.settings();
    outcomes.retain(|name, outcome| outcome.failing_since.is_some() && notices::is_told(&settings, name));
    if outcomes.is_empty() {
        return Vec::new();
    }
    let waiting = notices::waiting(&environment.state);
    let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let failing = outcomes.into_iter().filter_map(|(name, outcome)| {
        let next = notices::next_try(&name, &waiting);
        Some(format!(
            "{name} since {}{}: {}",
            shown(outcome.failing_since?),
            next.map_or_else(String::new, |at| format!(", tried again at {}", shown(at))),
            outcome.error.unwrap_or_default()
        ))
    });
    failing.take(MOST_NAMED).collect()
}
