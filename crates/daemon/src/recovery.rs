//! Before the first tick: what a daemon that ended otherwise than it should has left behind.

use crate::engine::Engine;
use crate::error::DaemonError;
use crate::state_dir::LockAttempt;
use mykeeper_domain::run::{Run, RunEnd, RunState};
use mykeeper_domain::transfer::Transfer;

/// Marks what no longer runs as interrupted, takes up what was queued, removes private files that were left.
///
/// A run is over when the lock of its job can be had: the kernel gives it back whatever ended its process.
/// The children of such a run are over too: each hangs on a lifeline that its daemon held.
pub async fn recover(engine: &Engine) -> Result<(), DaemonError> {
    let environment = engine.environment();
    let private = environment.state.private_folders();
    let unfinished = environment.catalog.unfinished_runs(&environment.node).await?;
    let mut alive = Vec::new();
    let mut queued = Vec::new();
    for run in unfinished {
        match environment.state.lock_job(&run.job)? {
            LockAttempt::Busy(owner) if owner.as_ref().is_none_or(|owner| owner.run == Some(run.id)) => {
                tracing::info!(run = %run.id, job = %run.job, "a run in the foreground is under way");
                alive.push(run.id);
            }
            _ if run.state == RunState::Queued => queued.push(run),
            _ => interrupt(engine, &run, "the daemon, or the machine, ended while it ran").await?,
        }
    }
    for transfer in environment
        .catalog
        .unfinished_transfers(&environment.node)
        .await?
    {
        if transfer.run_id.is_none_or(|run| !alive.contains(&run)) {
            interrupt_transfer(engine, &transfer).await?;
        }
    }
    let in_use: Vec<String> = alive.iter().map(ToString::to_string).collect();
    environment
        .state
        .sweep_private(&private, |name| in_use.iter().any(|run| run == name));
    let jobs = &environment.settings().jobs;
    for run in queued {
        match jobs.get(&run.job) {
            Some(job) if job.missed == mykeeper_domain::job::Missed::RunOnce => {
                tracing::info!(run = %run.id, job = %run.job, "a queued run is taken up again");
                engine.resume(std::sync::Arc::clone(job), run);
            }
            Some(_) => {
                interrupt(
                    engine,
                    &run,
                    "the daemon ended before it began, and missed = \"skip\"",
                )
                .await?;
            }
            None => {
                interrupt(
                    engine,
                    &run,
                    "the daemon ended before it began, and its job was removed",
                )
                .await?
            }
        }
    }
    Ok(())
}

async fn interrupt(engine: &Engine, run: &Run, reason: &str) -> Result<(), DaemonError> {
    let environment = engine.environment();
    let end = RunEnd {
        state: RunState::Interrupted,
        reason: Some(reason.to_owned()),
        bk_id: run.bk_id,
        finished_at: environment.clock.now(),
    };
    tracing::warn!(run = %run.id, job = %run.job, reason, "a run of an earlier daemon is recorded as interrupted");
    for attempt in environment.catalog.attempts(run.id).await? {
        if !attempt.state.is_final() {
            let end = RunEnd {
                bk_id: attempt.bk_id,
                ..end.clone()
            };
            environment.catalog.finish_attempt(attempt.id, &end, None).await?;
        }
    }
    environment.catalog.finish_run(run.id, &end).await?;
    Ok(())
}

async fn interrupt_transfer(engine: &Engine, transfer: &Transfer) -> Result<(), DaemonError> {
    let environment = engine.environment();
    let end = RunEnd {
        state: RunState::Interrupted,
        reason: Some("the daemon, or the machine, ended while it ran".to_owned()),
        bk_id: Some(transfer.bk_id),
        finished_at: environment.clock.now(),
    };
    environment
        .catalog
        .finish_transfer(transfer.id, &end, None)
        .await?;
    Ok(())
}
