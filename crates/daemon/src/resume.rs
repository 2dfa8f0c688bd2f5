//! What the end of the daemon or of the machine interrupted is done again, as far as the job's policy goes.

use crate::engine::Engine;
use crate::environment::Environment;
use crate::jobs::Resumed;
use mykeeper_catalog::CatalogError;
use mykeeper_domain::RunId;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::{Job, Missed, Task};
use mykeeper_domain::run::{Run, RunState, Trigger};
use std::sync::Arc;

/// A chain of interrupted runs is followed back so far; a policy allows fewer attempts.
const LONGEST_CHAIN: usize = 1_000;

/// Does again what was interrupted: the last run of each job that is still there and has `missed = "run-once"`, where
/// attempts are left and nothing else of the job is under way. After what was missed has been decided: a run that
/// catches up does as much.
///
/// A run of a person's is left to the person. One interrupted run is done again once, whoever asks.
pub async fn retry_interrupted(engine: &Engine) -> Result<(), CatalogError> {
    let environment = engine.environment();
    let settings = environment.settings();
    // Asked first: what is recorded in between is among the last runs.
    let busy = engine.busy_jobs();
    for last in environment
        .catalog
        .last_runs(&environment.node, environment.clock.now())
        .await?
    {
        let Some(job) = settings.jobs.get(&last.job) else {
            continue;
        };
        if last.state != RunState::Interrupted || last.trigger == Trigger::Manual || busy.contains(&last.job)
        {
            continue;
        }
        if job.missed != Missed::RunOnce {
            tell_given_up(
                environment,
                job,
                &last,
                "missed = \"skip\" leaves it to the next slot",
            );
            continue;
        }
        match retry_one(engine, job, &last).await {
            // Its own misfortune: the other jobs are looked at.
            Err(error) if !error.is_away() => {
                tracing::error!(job = %job.name, run = %last.id, %error, "an interrupted run cannot be done again");
            }
            done => done?,
        }
    }
    Ok(())
}

async fn retry_one(engine: &Engine, job: &Arc<Job>, last: &Run) -> Result<(), CatalogError> {
    let made = resumed_of(engine.environment(), last.id).await?.attempts;
    if made >= job.retry.attempts {
        tracing::warn!(
            job = %job.name, run = %last.id, attempts = made,
            "an interrupted run is not done again: its job allows no more attempts"
        );
        tell_given_up(engine.environment(), job, last, "its job allows no more attempts");
        return Ok(());
    }
    tracing::info!(job = %job.name, run = %last.id, attempts = made, "an interrupted run is done again");
    engine.retry(job, last).await
}

/// Tells people of a backup that there will not be. What other jobs leave undone their next run takes up: only who waits for
/// the end of the run hears of it.
fn tell_given_up(environment: &Environment, job: &Job, last: &Run, why: &str) {
    if environment.was_given_up(last) {
        return;
    }
    let reason = format!("it was interrupted, and {why}");
    match job.task {
        Task::Backup(_) => environment.run_given_up(last, &reason),
        _ => environment.ping_given_up(last, &reason),
    }
    environment.note_given_up(last);
}

/// What the interrupted run and those before it leave to the one that does it again.
pub(crate) async fn resumed_of(
    environment: &Arc<Environment>,
    interrupted: RunId,
) -> Result<Resumed, CatalogError> {
    let catalog = &environment.catalog;
    let mut resumed = Resumed::default();
    let mut next = Some(interrupted);
    for _ in 0..LONGEST_CHAIN {
        let Some(run) = next else { break };
        let attempts = catalog.attempts(run).await?;
        // One that was interrupted before its first attempt counts too: nothing is tried for ever.
        let made = u32::try_from(attempts.len().max(1)).unwrap_or(u32::MAX);
        resumed.attempts = resumed.attempts.saturating_add(made);
        for attempt in attempts.iter().rev() {
            let Some(id) = attempt.bk_id.filter(|_| resumed.set.is_none()) else {
                continue;
            };
            if let Some(set) = catalog.backup(id).await? {
                resumed.set = is_made(environment, &set).await.then_some(set);
            }
        }
        next = catalog.run(run).await?.and_then(|run| run.retry_of);
    }
    Ok(resumed)
}

/// A set that was made as it should be, and is still there.
async fn is_made(environment: &Environment, set: &Backup) -> bool {
    if !set.is_complete() || set.deletion != Deletion::None {
        return false;
    }
    environment.disk.is_dir(&set.folder()).await.unwrap_or_else(|error| {
        tracing::warn!(set = %set.id, %error, "whether a complete set is still there is not known: it is not made again");
        true
    })
}
