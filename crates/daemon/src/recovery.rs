//! Before the first tick: what a daemon that ended otherwise than it should has left behind.

use crate::disk::Disk;
use crate::engine::{Engine, JOB_REMOVED};
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::backup::MADE_BY;
use crate::removal::hold;
use crate::set_lease::release_all_of;
use crate::state_dir::{HeldLock, LockAttempt};
use mykeeper_domain::backup::{BACKUP_FAILED, Backup, Deletion, ValidateStatus};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::{Missed, Task};
use mykeeper_domain::manifest::{FORMAT_VERSION, Manifest};
use mykeeper_domain::run::{Attempt, Run, RunEnd, RunState};
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::{BackupId, RunId};
use mykeeper_supervise::{Leftover, end_leftovers};
use mykeeper_tools::ToolError;
use mykeeper_tools::mydumper::read_set_record;
use mykeeper_tools::sandbox::sweep_sandboxes;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the start waits for a command that settles the same.
const ALONE_WITHIN: Duration = Duration::from_secs(30);
/// How long it waits for the folders of earlier throwaway servers.
const SWEPT_WITHIN: Duration = Duration::from_secs(30);
/// How often a living daemon looks for runs that are over and were never ended: a command that was killed, say.
pub const SETTLED_EVERY: Duration = Duration::from_secs(30);
/// How long one look into a set's folder may take: its disk may hang.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(10);
/// Why a run has ended whose process has.
const LOST: &str = "the daemon, or the machine, ended while it ran";

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

async fn interrupt(engine: &Engine, run: &Run) -> Result<(), DaemonError> {
    let environment = engine.environment();
    let mut end = RunEnd {
        state: RunState::Interrupted,
        reason: Some(LOST.to_owned()),
        bk_id: run.bk_id,
        finished_at: environment.clock.now(),
    };
    if let Some(set) = close_attempts(engine, run, &end).await? {
        end.bk_id = Some(set);
        end.reason = Some(format!("{LOST}; set {set} was complete, and is recorded"));
    }
    release_all_of(environment, run.id).await;
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
                && let Settled::Complete(set) = settle_set(engine, run, &attempt).await?
            {
                complete = Some(set);
            }
            continue;
        }
        let mut attempt_end = RunEnd {
            bk_id: attempt.bk_id,
            ..end.clone()
        };
        let settled = match settle_set(engine, run, &attempt).await? {
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
    let environment = engine.environment();
    let end = RunEnd {
        state: RunState::Interrupted,
        reason: Some(LOST.to_owned()),
        bk_id: Some(transfer.bk_id),
        finished_at: environment.clock.now(),
    };
    environment
        .catalog
        .finish_transfer(transfer.id, &end, None)
        .await?;
    Ok(())
}

/// A folder that an attempt has begun gets its row: the set as its own record has it, or as one that is not complete.
async fn settle_set(engine: &Engine, run: &Run, attempt: &Attempt) -> Result<Settled, DaemonError> {
    let environment = engine.environment();
    let (Some(id), Some(dir)) = (attempt.bk_id, &attempt.work_dir) else {
        return Ok(Settled::Not);
    };
    match environment.catalog.backup(id).await {
        Ok(Some(recorded)) => return Ok(Settled::of(&recorded)),
        Ok(None) => {}
        // What is written goes to the journal, and a set that the catalog has already stays as it is there.
        Err(error) if error.is_away() => {
            tracing::debug!(set = %id, %error, "whether a set that was left is recorded cannot be asked");
        }
        Err(error) => return Err(error.into()),
    }
    match look_for(&environment.disk, dir).await {
        Ok(true) => {}
        Ok(false) => return Ok(Settled::Not),
        Err(cause) => return Ok(Settled::Later(cause)),
    }
    // Nobody writes its record any more, and nobody begins to while this goes on.
    let own = [dir.clone()];
    let _held = match environment.disk.ask(("lock", dir), move || hold(&own)).await {
        Ok(Some(held)) => held,
        Ok(None) => return Ok(Settled::Later("its own record is being written".to_owned())),
        Err(error) => return Ok(Settled::Later(error.to_string())),
    };
    let reading = tokio::time::timeout(LOOKED_AT_WITHIN, read_set_record(dir));
    let Ok(read) = reading.await else {
        return Ok(Settled::Later(not_in_time(dir)));
    };
    let (backup, manifest, evidence) = match read {
        Ok(Some((manifest, evidence, digest))) if evidence.backup.id == id => {
            tracing::warn!(set = %id, "a finished set was not recorded yet; it is now");
            let backup = Backup {
                manifest_blake3: Some(digest),
                ..evidence.backup.clone()
            };
            (backup, manifest, evidence)
        }
        Ok(_) => unfinished_set(environment, run, attempt, (id, dir)),
        Err(error) if !is_damaged(&error) => return Ok(Settled::Later(error.to_string())),
        Err(error) => {
            tracing::warn!(set = %id, %error, "the record of a set that was left cannot be read");
            unfinished_set(environment, run, attempt, (id, dir))
        }
    };
    environment
        .catalog
        .insert_backup(&backup, &manifest, &evidence)
        .await?;
    Ok(Settled::of(&backup))
}

/// What an attempt that nobody ended has left.
enum Settled {
    /// A set that is complete, and recorded.
    Complete(BackupId),
    /// None that is.
    Not,
    /// That cannot be told for the moment, and why not: what is there must not be recorded as lost.
    Later(String),
}

impl Settled {
    fn of(set: &Backup) -> Self {
        if set.is_complete() {
            Self::Complete(set.id)
        } else {
            Self::Not
        }
    }
}

/// Whether a set's folder is there. An error where that cannot be told: its job's directory, two levels above it, is
/// not there, as when it has not been mounted yet, or may not be looked into.
async fn look_for(disk: &Disk, dir: &Path) -> Result<bool, String> {
    let looked_at = dir.to_owned();
    let looking = disk.ask(("look at", dir), move || match fs::metadata(&looked_at) {
        Err(error) if error.kind() == ErrorKind::NotFound => match looked_at.ancestors().nth(2) {
            Some(directory) => fs::metadata(directory).map(|_| false),
            None => Ok(false),
        },
        metadata => metadata.map(|metadata| metadata.is_dir()),
    });
    match tokio::time::timeout(LOOKED_AT_WITHIN, looking).await {
        Ok(Ok(looked)) => looked.map_err(|error| format!("cannot look at {}: {error}", dir.display())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(not_in_time(dir)),
    }
}

fn not_in_time(dir: &Path) -> String {
    format!("cannot look at {} within {LOOKED_AT_WITHIN:?}", dir.display())
}

/// Whether a record is there and wrong, or part of it missing, rather than not to be read now.
fn is_damaged(error: &ToolError) -> bool {
    matches!(error, ToolError::Io { source, .. } if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::NotFound))
}

/// The row of a set whose dump was ended with the daemon.
fn unfinished_set(
    environment: &Environment,
    run: &Run,
    attempt: &Attempt,
    (id, dir): (BackupId, &Path),
) -> (Backup, Manifest, Evidence) {
    let settings = environment.settings();
    let task = settings.jobs.get(&run.job).and_then(|job| match &job.task {
        Task::Backup(task) => Some(task),
        _ => None,
    });
    let server = task.and_then(|task| settings.servers.get(&task.server));
    let now = environment.clock.now();
    let backup = Backup {
        id,
        node: Some(run.node.clone()),
        job: Some(run.job.clone()),
        run_id: Some(run.id),
        bk_server: server.map(|server| server.address.clone()).unwrap_or_default(),
        tag: server.map_or_else(|| run.job.to_string(), |server| server.tag.clone()),
        started_at: attempt.started_at,
        finished_at: now,
        elapsed_seconds: (now - attempt.started_at).num_seconds().max(0),
        databases: Vec::new(),
        complete: vec![false],
        reason: Some(
            attempt
                .reason
                .clone()
                .unwrap_or_else(|| "the daemon, or the machine, ended while it was dumped".to_owned()),
        ),
        size_bytes: None,
        size_text: "unknown".to_owned(),
        dir: dir.to_path_buf(),
        consistency: task.map(|task| task.consistency),
        transfer_to: Vec::new(),
        transfer_started_at: None,
        transfer_finished_at: None,
        transfer_complete: BACKUP_FAILED.to_owned(),
        remote_dest: BACKUP_FAILED.to_owned(),
        master_status: String::new(),
        slave_status: String::new(),
        tool_version: String::new(),
        server_version: String::new(),
        pybackup_version: MADE_BY.to_owned(),
        command: String::new(),
        deletion: Deletion::None,
        deletion_reason: None,
        validate_status: ValidateStatus::NotTried,
        manifest_blake3: None,
        lock_waited_ms: None,
        lock_held_ms: None,
        rebuilt_at: None,
    };
    let manifest = Manifest {
        version: FORMAT_VERSION,
        bk_id: id,
        created_at: now,
        files: Vec::new(),
    };
    let evidence = Evidence {
        version: FORMAT_VERSION,
        backup: backup.clone(),
        consistency: backup.consistency.unwrap_or_default(),
        coverage: Coverage::ALL,
        inventory: Inventory::default(),
        parts: Vec::new(),
        taken_at: now,
    };
    (backup, manifest, evidence)
}
