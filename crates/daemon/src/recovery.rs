//! Before the first tick: what a daemon that ended otherwise than it should has left behind.

use crate::engine::Engine;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::backup::MADE_BY;
use crate::state_dir::LockAttempt;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{BACKUP_FAILED, Backup, Deletion, ValidateStatus};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::Task;
use mykeeper_domain::manifest::{FORMAT_VERSION, Manifest};
use mykeeper_domain::run::{Attempt, Run, RunEnd, RunState};
use mykeeper_domain::transfer::Transfer;
use mykeeper_tools::mydumper::read_set_record;
use mykeeper_tools::sandbox::sweep_sandboxes;
use std::path::Path;

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
    sweep_sandbox(environment).await;
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
                .await?;
            }
        }
    }
    Ok(())
}

/// Throwaway servers that outlived their daemon, and their folders.
async fn sweep_sandbox(environment: &Environment) {
    let directory = environment.settings().sandbox.directory.clone();
    let swept = tokio::task::spawn_blocking(move || sweep_sandboxes(&directory)).await;
    match swept {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "what throwaway servers have left cannot be looked for"),
        Err(error) => tracing::error!(%error, "a defect in mykeeper ended the look for throwaway servers"),
    }
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
            settle_set(engine, run, &attempt).await?;
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

/// A folder that an attempt has begun gets its row: the set as its own record has it, or as one that is not complete.
async fn settle_set(engine: &Engine, run: &Run, attempt: &Attempt) -> Result<(), DaemonError> {
    let environment = engine.environment();
    let (Some(id), Some(dir)) = (attempt.bk_id, &attempt.work_dir) else {
        return Ok(());
    };
    if !dir.is_dir() || environment.catalog.backup(id).await?.is_some() {
        return Ok(());
    }
    let (backup, manifest, evidence) = match read_set_record(dir).await {
        Ok(Some((manifest, evidence, digest))) if evidence.backup.id == id => {
            tracing::warn!(set = %id, "a finished set was not recorded yet; it is now");
            let backup = Backup {
                manifest_blake3: Some(digest),
                ..evidence.backup.clone()
            };
            (backup, manifest, evidence)
        }
        Ok(_) => unfinished_set(environment, run, attempt, (id, dir)),
        Err(error) => {
            tracing::warn!(set = %id, %error, "the record of a set that was left cannot be read");
            unfinished_set(environment, run, attempt, (id, dir))
        }
    };
    environment
        .catalog
        .insert_backup(&backup, &manifest, &evidence)
        .await?;
    Ok(())
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
        reason: Some("the daemon, or the machine, ended while it was dumped".to_owned()),
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
