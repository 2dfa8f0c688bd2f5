//! A set's row, as the dump's evidence has it.

use super::{MADE_BY, REASONS_TOLD, as_pybackup};
use crate::jobs::RunContext;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{BACKUP_FAILED, Backup, Deletion, LOCAL_BACKUP, ValidateStatus, du_size};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::job::BackupTask;
use mykeeper_domain::manifest::{FORMAT_VERSION, Manifest};
use mykeeper_domain::server::Server;
use mykeeper_tools::mydumper::DumpResult;
use std::collections::HashSet;
use std::path::Path;

/// What was settled before the dump began.
pub(super) struct Drafting<'a> {
    pub(super) id: BackupId,
    pub(super) started_at: chrono::DateTime<chrono::Utc>,
    pub(super) set_dir: &'a Path,
    pub(super) tool_version: &'a str,
    /// When its first byte went to the first of its destinations, where that was while it was dumped.
    pub(super) first_byte_at: Option<chrono::DateTime<chrono::Utc>>,
    /// Where this machine's clock was behind the catalog's.
    pub(super) begun_by_catalog_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// The set's row as the dump's evidence has it.
pub(super) fn draft_backup(
    context: &RunContext,
    task: &BackupTask,
    server: &Server,
    drafting: &Drafting<'_>,
    dump: &DumpResult,
) -> Backup {
    let Drafting {
        id,
        started_at,
        set_dir,
        tool_version,
        first_byte_at,
        begun_by_catalog_at,
    } = *drafting;
    let finished_at = context.clock().now();
    let complete = !dump.complete.is_empty() && dump.complete.iter().all(|part| *part);
    let size_bytes = dump.files.iter().map(|file| file.size_bytes).sum();
    let mut databases: Vec<String> = Vec::new();
    for part in &dump.parts {
        databases.extend(part.databases.iter().cloned());
    }
    let reason = if complete {
        (!dump.warnings.is_empty()).then(|| dump.warnings.join("; "))
    } else {
        let ended = dump.ended.iter().map(ToString::to_string);
        let parts = dump.parts.iter().flat_map(|part| {
            let reasons = part.reasons.iter();
            reasons.map(|reason| match part.databases.as_slice() {
                [only] if dump.parts.len() > 1 && !reason.contains(only.as_str()) => {
                    format!("{only}: {reason}")
                }
                _ => reason.clone(),
            })
        });
        let mut seen = HashSet::new();
        // Each part that was ended from here tells it too.
        let reasons: Vec<String> = ended
            .chain(parts)
            .filter(|reason| seen.insert(reason.clone()))
            .collect();
        for reason in &reasons {
            context.say(reason);
        }
        let untold = reasons.len().saturating_sub(REASONS_TOLD);
        let mut told = reasons
            .into_iter()
            .take(REASONS_TOLD)
            .collect::<Vec<_>>()
            .join("; ");
        if untold > 0 {
            told.push_str(&format!("; and {untold} more, see the run's log"));
        }
        Some(if told.is_empty() {
            "the dump is not complete".to_owned()
        } else {
            told
        })
    };
    let remote_dest = if !complete {
        BACKUP_FAILED.to_owned()
    } else {
        task.transfer_to
            .first()
            .and_then(|name| context.settings.destinations.get(name))
            .map_or_else(
                || LOCAL_BACKUP.to_owned(),
                |destination| destination.remote_dest(),
            )
    };
    let as_pybackup = task.as_pybackup.as_ref();
    let command = match as_pybackup {
        Some(as_pybackup) => as_pybackup::command(as_pybackup, &databases),
        None => dump.command.clone(),
    };
    let master_status = match as_pybackup {
        Some(_) => as_pybackup::position(&dump.master_status),
        None => dump.master_status.clone(),
    };
    Backup {
        id,
        node: Some(context.environment.node.clone()),
        job: Some(context.job.name.clone()),
        run_id: Some(context.run),
        bk_server: server.address.clone(),
        tag: server.tag.clone(),
        started_at,
        finished_at,
        elapsed_seconds: (finished_at - started_at).num_seconds(),
        databases,
        selected_by: as_pybackup.and_then(|as_pybackup| as_pybackup.selected_by.clone()),
        complete: dump.complete.clone(),
        reason,
        size_bytes: Some(size_bytes),
        size_text: du_size(size_bytes),
        dir: match as_pybackup {
            Some(_) => task.directory.clone(),
            None => set_dir.to_path_buf(),
        },
        consistency: Some(task.consistency),
        transfer_to: task.transfer_to.clone(),
        transfer_started_at: first_byte_at.filter(|_| complete),
        transfer_finished_at: None,
        transfer_complete: match (complete, task.transfer_to.is_empty()) {
            (false, _) => BACKUP_FAILED.to_owned(),
            (true, true) => LOCAL_BACKUP.to_owned(),
            (true, false) => String::new(),
        },
        remote_dest,
        master_status,
        slave_status: dump.slave_status.clone(),
        tool_version: tool_version.to_owned(),
        server_version: dump.server_version.clone(),
        pybackup_version: MADE_BY.to_owned(),
        command,
        deletion: Deletion::None,
        deletion_reason: None,
        validate_status: ValidateStatus::NotTried,
        manifest_blake3: None,
        lock_waited_ms: whole(dump.parts.iter().map(|part| part.lock_waited_ms)),
        lock_held_ms: whole(dump.parts.iter().map(|part| part.lock_held_ms)),
        original_gone_at: None,
        begun_by_catalog_at,
        arrived: Vec::new(),
        removed_from: Vec::new(),
        rebuilt_at: None,
    }
}

/// The sum of what is known; `None` when nothing is.
fn whole(times: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    times.flatten().reduce(u64::saturating_add)
}

/// What lies beside the files of a set, and what the catalog has of them.
pub(super) fn records_of(backup: &Backup, dump: DumpResult) -> (Manifest, Evidence) {
    let evidence = Evidence {
        version: FORMAT_VERSION,
        backup: backup.clone(),
        consistency: backup.consistency.unwrap_or_default(),
        coverage: dump.coverage,
        inventory: dump.inventory,
        parts: dump.parts,
        taken_at: backup.finished_at,
        binary_log: dump.binary_log,
    };
    let manifest = Manifest {
        version: FORMAT_VERSION,
        bk_id: backup.id,
        created_at: backup.finished_at,
        files: dump.files,
    };
    (manifest, evidence)
}
