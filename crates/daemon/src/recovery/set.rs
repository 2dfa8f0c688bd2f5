//! The folder that an attempt was writing when its process ended: recorded as what it is, once that can be told.

use super::LOST_DUMP;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::backup::MADE_BY;
use crate::removal::{Hold, hold};
use chrono::{DateTime, Utc};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{BACKUP_FAILED, Backup, Deletion, ValidateStatus};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::Task;
use mykeeper_domain::manifest::{FORMAT_VERSION, Manifest};
use mykeeper_domain::run::{Attempt, Run};
use mykeeper_tools::ToolError;
use mykeeper_tools::mydumper::read_set_record;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How long one look into a set's folder may take: its disk may hang.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(10);

/// A folder that an attempt has begun gets its row: the set as its own record has it, or as one that is not complete
/// and was written until `ended_at`.
pub(super) async fn settle_set(
    engine: &Engine,
    run: &Run,
    attempt: &Attempt,
    ended_at: DateTime<Utc>,
) -> Result<Settled, DaemonError> {
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
    let _held = match look_for(&environment.disk, dir).await {
        Ok(Some(held)) => held,
        Ok(None) => return Ok(Settled::Not),
        Err(cause) => return Ok(Settled::Later(cause)),
    };
    let reading = tokio::time::timeout(LOOKED_AT_WITHIN, read_set_record(dir));
    let Ok(read) = reading.await else {
        return Ok(Settled::Later(not_in_time(dir)));
    };
    let begun = environment
        .state
        .begun_set(run.id)
        .await
        .filter(|set| set.id == id);
    let (backup, manifest, evidence) = match read {
        Ok(Some((manifest, evidence, digest))) if evidence.backup.id == id => {
            tracing::warn!(set = %id, "a finished set was not recorded yet; it is now");
            let backup = Backup {
                manifest_blake3: Some(digest),
                ..evidence.backup.clone()
            };
            (backup, manifest, evidence)
        }
        Ok(_) => unfinished_set(environment, (run, attempt, begun), (id, dir, ended_at)),
        Err(error) if !is_damaged(&error) => return Ok(Settled::Later(error.to_string())),
        Err(error) => {
            tracing::warn!(set = %id, %error, "the record of a set that was left cannot be read");
            unfinished_set(environment, (run, attempt, begun), (id, dir, ended_at))
        }
    };
    environment
        .catalog
        .insert_backup(&backup, &manifest, &evidence)
        .await?;
    Ok(Settled::of(&backup))
}

/// What an attempt that nobody ended has left.
pub(super) enum Settled {
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

/// A set's folder, locked, where it is there: nobody writes its record any more, and nobody begins to. An error where
/// that cannot be told: its job's directory, two levels above it, is not there, as when it has not been mounted yet, or
/// may not be looked into.
async fn look_for(disk: &Disk, dir: &Path) -> Result<Option<Hold>, String> {
    let looked_at = dir.to_owned();
    let looking = disk.ask(("look at", dir), move || {
        // Locked before it is looked at: what was made too late goes while it is locked.
        let held = hold(std::slice::from_ref(&looked_at));
        let is_there = match fs::metadata(&looked_at) {
            Err(error) if error.kind() == ErrorKind::NotFound => match looked_at.ancestors().nth(2) {
                Some(directory) => fs::metadata(directory).map(|_| false),
                None => Ok(false),
            },
            metadata => metadata.map(|metadata| metadata.is_dir()),
        };
        is_there.map(|is_there| is_there.then_some(held))
    });
    match tokio::time::timeout(LOOKED_AT_WITHIN, looking).await {
        Ok(Ok(Ok(None))) => Ok(None),
        Ok(Ok(Ok(Some(Some(held))))) => Ok(Some(held)),
        Ok(Ok(Ok(Some(None)))) => Err("it is being made, or its own record written".to_owned()),
        Ok(Ok(Err(error))) => Err(format!("cannot look at {}: {error}", dir.display())),
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
    (run, attempt, begun): (&Run, &Attempt, Option<Backup>),
    (id, dir, ended_at): (BackupId, &Path, DateTime<Utc>),
) -> (Backup, Manifest, Evidence) {
    let settings = environment.settings();
    let task = settings.jobs.get(&run.job).and_then(|job| match &job.task {
        Task::Backup(task) => Some(task),
        _ => None,
    });
    let server = task.and_then(|task| settings.servers.get(&task.server));
    // pybackup's row names the folder above the set's own.
    let is_pybackups = task.is_some_and(|task| task.as_pybackup.is_some());
    let named_dir = dir.parent().filter(|_| is_pybackups).unwrap_or(dir);
    let now = environment.clock.now();
    let backup = Backup {
        id,
        node: Some(run.node.clone()),
        job: Some(run.job.clone()),
        run_id: Some(run.id),
        bk_server: server.map(|server| server.address.clone()).unwrap_or_default(),
        tag: server.map_or_else(|| run.job.to_string(), |server| server.tag.clone()),
        started_at: attempt.started_at,
        finished_at: ended_at,
        elapsed_seconds: (ended_at - attempt.started_at).num_seconds().max(0),
        databases: Vec::new(),
        complete: vec![false],
        reason: Some(attempt.reason.clone().unwrap_or_else(|| LOST_DUMP.to_owned())),
        size_bytes: None,
        size_text: "unknown".to_owned(),
        dir: named_dir.to_path_buf(),
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
        original_gone_at: None,
        begun_by_catalog_at: None,
        arrived: Vec::new(),
        removed_from: Vec::new(),
        rebuilt_at: None,
        selected_by: None,
    };
    // Its own words, where it has left them: a daemon that finds a run of pybackup's command line knows none of them.
    let backup = match begun {
        None => backup,
        Some(begun) => Backup {
            finished_at: backup.finished_at,
            elapsed_seconds: backup.elapsed_seconds,
            reason: backup.reason,
            size_bytes: None,
            size_text: backup.size_text,
            ..begun
        },
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
        binary_log: None,
    };
    (backup, manifest, evidence)
}
