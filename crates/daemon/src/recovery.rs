//! Before the first tick: what a daemon that ended otherwise than it should has left behind.

mod last_seen;
mod set;

use crate::engine::{Engine, JOB_REMOVED};
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::set_lease::{release_all_of, set_proven_by};
use crate::state_dir::{HeldLock, LockAttempt};
use chrono::{DateTime, SecondsFormat, Utc};
use last_seen::last_seen;
use mykeeper_domain::job::{JobKind, Missed};
use mykeeper_domain::run::{Run, RunEnd, RunState, Trigger};
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::{BackupId, RunId};
use mykeeper_supervise::{Leftover, end_leftovers};
use mykeeper_tools::sandbox::sweep_sandboxes;
use set::{Settled, settle_set};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long the start waits for a command that settles the same.
const ALONE_WITHIN: Duration = Duration::from_secs(30);
/// How long it waits for the folders of earlier throwaway servers.
const SWEPT_WITHIN: Duration = Duration::from_secs(30);
/// How often a living daemon looks for runs that are over and were never ended: a command that was killed, say.
pub const SETTLED_EVERY: Duration = Duration::from_secs(30);
/// Why a run has ended whose process has.
const LOST: &str = "the daemon, or the machine, ended while it ran";
const LOST_DUMP: &str = "the daemon, or the machine, ended while it was dumped";

/// Ends what is left of the children of those who are gone, marks what no longer runs as interrupted, takes up what
/// was queued, removes private files that were left.
///
/// A run is over when the lock of its job can be had: the kernel gives it back whatever ended its process.
///
/// # Errors
/// The catalog cannot be asked, or `state_dir` not be used.
pub async fn recover(engine: &Engine) -> Result<(), DaemonError> {
    let environment = engine.environment();
    let _alone = settle_alone(environment).await?;
    end_children(environment).await;
    sweep_sandbox(environment).await;
    let private = environment.state.private_folders();
    let alive = settle(engine).await?;
    sweep_private(environment, &private, &alive);
    Ok(())
}

/// What a command does before its own run where no daemon lives: the same, but for what was queued.
///
/// # Errors
/// As [`recover`].
pub async fn recover_before_command(engine: &Engine) -> Result<(), DaemonError> {
    if engine.environment().state.daemon_lives() {
        return Ok(());
    }
    recover(engine).await
}

/// Two who settle at once would see each other's locks. Who is not alone in time goes on: nothing is settled twice.
async fn settle_alone(environment: &Environment) -> Result<Option<HeldLock>, DaemonError> {
    let give_up_at = tokio::time::Instant::now() + ALONE_WITHIN;
    loop {
        match environment.state.lock_recovery()? {
            LockAttempt::Held(lock) => return Ok(Some(lock)),
            LockAttempt::Busy(_) if tokio::time::Instant::now() < give_up_at => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            LockAttempt::Busy(_) => return Ok(None),
        }
    }
}

/// By recorded process, start time and boot; those of a process that lives are left alone.
async fn end_children(environment: &Environment) {
    let grace = environment.settings().daemon.kill_grace;
    match end_leftovers(&environment.state.children(), grace).await {
        Ok(leftovers) => leftovers.iter().for_each(tell_of),
        Err(error) => tracing::error!(%error, "what is left of earlier children cannot be looked for"),
    }
}

fn tell_of(leftover: &Leftover) {
    let (record, program) = (&leftover.record, leftover.record.program.display());
    let run = record.owner.as_deref().unwrap_or("none");
    match &leftover.ended {
        // Its shim has seen to it.
        Ok(0) => {
            tracing::debug!(pid = record.child.pid, %program, run, "a child of an earlier process has ended");
        }
        Ok(processes) => {
            tracing::warn!(pid = record.child.pid, %program, run, processes, "ended what an earlier process left running");
        }
        Err(error) => {
            tracing::error!(pid = record.child.pid, %program, run, %error, "what an earlier process left running cannot be ended");
        }
    }
}

/// Throwaway servers that outlived their daemon, and their folders. What takes longer goes on beside the daemon.
async fn sweep_sandbox(environment: &Environment) {
    let directory = environment.settings().sandbox.directory.clone();
    let sweeping = tokio::task::spawn_blocking(move || sweep_sandboxes(&directory));
    match tokio::time::timeout(SWEPT_WITHIN, sweeping).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "what throwaway servers have left cannot be looked for"),
        Ok(Err(error)) => {
            tracing::error!(%error, "a defect in mykeeper ended the look for throwaway servers");
        }
        Err(_) => tracing::warn!("the folders of earlier throwaway servers are still being removed"),
    }
}

fn sweep_private(environment: &Environment, folders: &[PathBuf], alive: &[RunId]) {
    let in_use: Vec<String> = alive.iter().map(ToString::to_string).collect();
    environment
        .state
        .sweep_private(folders, |name| in_use.iter().any(|run| run == name));
}

/// Settles the runs of this node that are not final and that this engine does not answer for. Gives those that live.
///
/// # Errors
/// The catalog cannot be asked, or `state_dir` not be used.
pub async fn settle(engine: &Engine) -> Result<Vec<RunId>, DaemonError> {
    let environment = engine.environment();
    // Asked first: whose run is not among the unfinished ones afterwards has ended, and with its run.
    let transfers = environment
        .catalog
        .unfinished_transfers(&environment.node)
        .await?;
    let mut alive = Vec::new();
    for run in environment.catalog.unfinished_runs(&environment.node).await? {
        let (id, job) = (run.id, run.job.clone());
        match settle_run(engine, run).await {
            Ok(lives) => alive.extend(lives.then_some(id)),
            Err(DaemonError::Catalog(error)) if error.is_away() => return Err(error.into()),
            // Its own misfortune: the others are settled, and it is looked at again.
            Err(error) => {
                tracing::error!(run = %id, %job, %error, "a run of an earlier process cannot be settled yet");
                alive.push(id);
            }
        }
    }
    for run in environment
        .catalog
        .runs_with_open_attempts(&environment.node)
        .await?
    {
        if engine.is_own(run.id) {
            continue;
        }
        match close_behind(engine, &run).await {
            Err(DaemonError::Catalog(error)) if !error.is_away() => {
                tracing::error!(run = %run.id, job = %run.job, %error, "what a run has left open cannot be closed yet");
            }
            closed => closed?,
        }
    }
    for transfer in transfers {
        let is_over = match transfer.run_id {
            Some(run) => !alive.contains(&run) && !engine.is_own(run),
            None => true,
        };
        if !is_over {
            continue;
        }
        match interrupt_transfer(engine, &transfer).await {
            Err(DaemonError::Catalog(error)) if !error.is_away() => {
                tracing::error!(transfer = %transfer.id, %error, "a transfer of an earlier process cannot be ended yet");
            }
            ended => ended?,
        }
    }
    Ok(alive)
}

/// One run that is not final. True: it lives.
async fn settle_run(engine: &Engine, run: Run) -> Result<bool, DaemonError> {
    if engine.is_own(run.id) {
        return Ok(true);
    }
    if run.state == RunState::Queued {
        if !engine.is_foreground() {
            settle_queued(engine, run).await?;
        }
        return Ok(false);
    }
    let _settling = engine.begin_settling(&run.job);
    match engine.environment().state.lock_job(&run.job)? {
        LockAttempt::Busy(owner) if owner.as_ref().is_none_or(|owner| owner.run == Some(run.id)) => {
            tracing::debug!(run = %run.id, job = %run.job, "a run in the foreground is under way");
            Ok(true)
        }
        // The lock is held until the run is settled.
        _attempt => {
            interrupt(engine, &run).await?;
            Ok(false)
        }
    }
}

/// The run has its end; its attempts have not: they could not be looked at when it ended, or their end not be written.
async fn close_behind(engine: &Engine, run: &Run) -> Result<(), DaemonError> {
    let end = RunEnd {
        state: run.state,
        reason: run.reason.clone(),
        bk_id: run.bk_id,
        finished_at: run
            .finished_at
            .unwrap_or_else(|| engine.environment().clock.now()),
    };
    close_attempts(engine, run, &end).await?;
    tracing::debug!(run = %run.id, job = %run.job, "the attempts of a run that had ended were looked at");
    Ok(())
}

/// A run that waited has never run: it is taken up, or its slot passes.
async fn settle_queued(engine: &Engine, run: Run) -> Result<(), DaemonError> {
    let settings = engine.environment().settings();
    let reason = match settings.jobs.get(&run.job) {
        Some(job) if job.missed == Missed::RunOnce => {
            tracing::info!(run = %run.id, job = %run.job, "a queued run is taken up again");
            engine.resume(Arc::clone(job), run);
            return Ok(());
        }
        Some(_) => "the daemon ended before it began, and missed = \"skip\"",
        None => JOB_REMOVED,
    };
    let end = RunEnd {
        state: RunState::Skipped,
        reason: Some(reason.to_owned()),
        bk_id: None,
        finished_at: engine.environment().clock.now(),
    };
    tracing::warn!(run = %run.id, job = %run.job, reason, "a queued run is recorded as skipped");
    engine.environment().catalog.finish_run(run.id, &end).await?;
    Ok(())
}

/// Why it ended, and when that was found out where that was later.
fn lost_at(seen_at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if seen_at == now {
        return LOST.to_owned();
    }
    format!(
        "{LOST}; found at {}",
        now.to_rfc3339_opts(SecondsFormat::Secs, true)
    )
}

async fn interrupt(engine: &Engine, run: &Run) -> Result<(), DaemonError> {
    let environment = engine.environment();
    let now = environment.clock.now();
    // How long it was not there is not how long it took.
    let attempts = environment.catalog.attempts(run.id).await?;
    let seen_at = last_seen(environment, run, &attempts, now).await;
    let mut end = RunEnd {
        state: RunState::Interrupted,
        reason: Some(lost_at(seen_at, now)),
        bk_id: run.bk_id,
        finished_at: seen_at,
    };
    if let Some(set) = close_attempts(engine, run, &end).await? {
        end.bk_id = Some(set);
        end.reason = end
            .reason
            .map(|lost| format!("{lost}; set {set} was complete, and is recorded"));
    }
    if end.bk_id.is_none() && run.kind == JobKind::Validation {
        end.bk_id = set_proven_by(environment, run.id).await;
    }
    release_all_of(environment, run.id).await;
    // Its own process may have written its end before it gave the lock back.
    let written = environment.catalog.run(run.id).await?;
    if written.is_some_and(|run| run.state.is_final()) {
        return Ok(());
    }
    // It is done again by nobody (see `resume.rs`), and its own process could tell nobody. Told before it is recorded: what
    // is cut off in between is told twice, and not never.
    if run.trigger == Trigger::Manual && !environment.was_given_up(run) {
        let reason = end.reason.as_deref().unwrap_or(LOST);
        environment.run_given_up(run, &format!("it was interrupted: {reason}"));
        environment.note_given_up(run);
    }
    if environment.catalog.finish_run(run.id, &end).await? {
        tracing::warn!(run = %run.id, job = %run.job, reason = end.reason, "a run of an earlier process is recorded as interrupted");
    }
    Ok(())
}

/// Ends the attempts of a run that has ended without ending them, and records the sets that they were making. Gives
/// the set that is complete, if any.
///
/// # Errors
/// The catalog does not take it.
pub(crate) async fn close_attempts(
    engine: &Engine,
    run: &Run,
    end: &RunEnd,
) -> Result<Option<BackupId>, DaemonError> {
    let catalog = &engine.environment().catalog;
    let mut complete = None;
    for attempt in catalog.attempts(run.id).await? {
        if attempt.state.is_final() {
            // Its end could be recorded; the row of its set may be what could not.
            if !attempt.state.is_success()
                && let Settled::Complete(set) = settle_set(
                    engine,
                    run,
                    &attempt,
                    attempt.finished_at.unwrap_or(end.finished_at),
                )
                .await?
            {
                complete = Some(set);
            }
            continue;
        }
        let mut attempt_end = RunEnd {
            bk_id: attempt.bk_id,
            finished_at: end.finished_at.max(attempt.started_at),
            ..end.clone()
        };
        let settled = match settle_set(engine, run, &attempt, end.finished_at).await? {
            Settled::Later(cause) => {
                tracing::warn!(
                    run = %run.id, attempt = attempt.number, cause,
                    "the folder of an attempt cannot be looked at; it stays open until it can"
                );
                continue;
            }
            Settled::Complete(set) => Some(set),
            Settled::Not => None,
        };
        if let Some(set) = settled {
            // The dump did what it was for; what was to come after it did not.
            attempt_end.state = RunState::Succeeded;
            attempt_end.reason = Some(format!("set {set} was complete, and is recorded"));
            complete = Some(set);
        }
        catalog.finish_attempt(attempt.id, &attempt_end, None).await?;
    }
    Ok(complete)
}

async fn interrupt_transfer(engine: &Engine, transfer: &Transfer) -> Result<(), DaemonError> {
    let catalog = &engine.environment().catalog;
    // With its run, which is settled by now.
    let run = match transfer.run_id {
        Some(run) => catalog.run(run).await?,
        None => None,
    };
    let ended_at = run.and_then(|run| run.finished_at);
    let end = RunEnd {
        state: RunState::Interrupted,
        reason: Some(LOST.to_owned()),
        bk_id: Some(transfer.bk_id),
        finished_at: ended_at
            .unwrap_or_else(|| engine.environment().clock.now())
            .max(transfer.started_at),
    };
    catalog.finish_transfer(transfer.id, &end, None).await?;
    Ok(())
}
