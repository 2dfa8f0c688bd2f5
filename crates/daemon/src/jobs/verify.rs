//! Reads every copy of a set that lies on this machine, without restoring it.

use super::{JobError, JobReport, JobResult, RunContext};
use crate::environment::Environment;
use crate::locate::places;
use crate::set_lease::SetLease;
use mykeeper_domain::backup::{Backup, Deletion, du_size};
use mykeeper_domain::run::RunState;
use mykeeper_domain::{BackupId, counted};
use mykeeper_tools::prove::{ProveRequest, VerifyRequest, verify_copy};
use std::path::{Path, PathBuf};

/// Differences that stand in the reason of a run; all are in its log.
const SHOWN: usize = 3;

/// The places where the set lies on this machine: the copies first, its own folder last.
///
/// # Errors
/// The catalog or a file system does not answer.
pub async fn copies_here(environment: &Environment, backup: &Backup) -> Result<Vec<PathBuf>, JobError> {
    let paths = environment.catalog.paths().await?;
    let mut here: Vec<PathBuf> = Vec::new();
    for place in places(backup, &paths, &environment.settings(), &environment.node) {
        let is_here = environment
            .disk
            .is_dir(&place)
            .await
            .map_err(crate::DaemonError::from)?;
        if is_here && !here.contains(&place) {
            here.push(place);
        }
    }
    Ok(here)
}

/// Reads the copies of one set.
pub async fn verify(context: &RunContext, id: BackupId) -> JobResult {
    let environment = &context.environment;
    let taken =
        || JobError::fatal(format!("set {id} is being verified by another run, or removed")).about(id);
    let lease = SetLease::acquire(environment, id, "verify", context.run).await?;
    let lease = lease.ok_or_else(taken)?;
    // Read after the lease is ours: retention marks first and looks at leases then.
    let result = match environment.catalog.backup(id).await {
        Ok(Some(backup)) if backup.deletion == Deletion::None => read_copies(context, &backup).await,
        Ok(_) => Err(taken()),
        Err(error) => Err(error.into()),
    };
    lease.release().await;
    result.map_err(|error| error.about(id))
}

async fn read_copies(context: &RunContext, backup: &Backup) -> JobResult {
    let (catalog, id) = (&context.environment.catalog, backup.id);
    let files = catalog.files(id).await?;
    let copies = copies_here(&context.environment, backup).await?;
    let mut faults = Vec::new();
    let (mut read_files, mut read_bytes) = (0, 0);
    for dir in &copies {
        context.say(format!("reading set {id} in {}", dir.display()));
        let limits = context.limits();
        let set = ProveRequest {
            bk_id: id,
            run_id: Some(context.run),
            node: &context.environment.node,
            set_dir: Path::new(dir),
            evidence: None,
            files: &files,
            databases: &backup.databases,
            sandbox: &context.settings.sandbox,
            myloader: &context.settings.tools.myloader,
            asserts: &[],
            limits: &limits,
        };
        let request = VerifyRequest {
            set,
            manifest_blake3: backup.manifest_blake3.as_deref(),
        };
        let verified = verify_copy(&request, &context.tools()).await?;
        read_files += verified.files;
        read_bytes += verified.bytes;
        for difference in verified.differences {
            let fault = format!("{}: {difference}", dir.display());
            context.say(&fault);
            faults.push(fault);
        }
    }
    if copies.is_empty() {
        return Err(JobError::fatal(format!("set {id} is not on this machine")));
    }
    if faults.is_empty() {
        return Ok(JobReport::done(
            format!(
                "set {id} is as it was written: {} of it here, {}, {}",
                counted(copies.len(), "copy", "copies"),
                counted(read_files, "file", "files"),
                du_size(read_bytes)
            ),
            Some(id),
        ));
    }
    let more = match faults.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    faults.truncate(SHOWN);
    Err(JobError {
        state: RunState::Failed,
        reason: format!("set {id} is not as it was written: {}{more}", faults.join("; ")),
        retry: false,
        bk_id: Some(id),
    })
}
