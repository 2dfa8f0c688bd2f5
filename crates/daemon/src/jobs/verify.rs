//! Reads every copy of a set that lies on this machine, without restoring it.

pub(super) mod round;

use super::{JobError, JobReport, JobResult, RunContext};
use crate::environment::Environment;
use crate::locate::{original, places};
use crate::set_lease::SetLease;
use mykeeper_domain::backup::{Backup, Deletion, du_size};
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_domain::verification::{LookedAtCopy, MOST_DIFFERENCES, Verification, VerificationState};
use mykeeper_domain::{BackupId, counted};
use mykeeper_tools::ToolEnv;
use mykeeper_tools::prove::{ProveRequest, verify_copy};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Differences that stand in the reason of a run; all are in its log.
const SHOWN: usize = 3;

/// The places where the set lies on this machine: the copies first, its own folder last. A copy that is on its way is
/// none yet: its manifest comes last.
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
        if !is_here || here.contains(&place) {
            continue;
        }
        let is_own = original(backup, &environment.node).as_ref() == Some(&place);
        if is_own || backup.is_transferred() || has_manifest(environment, &place).await? {
            here.push(place);
        }
    }
    Ok(here)
}

async fn has_manifest(environment: &Environment, folder: &Path) -> Result<bool, JobError> {
    let manifest = folder.join(MANIFEST_FILE);
    let asked = environment
        .disk
        .ask(("look at", folder), move || manifest.exists())
        .await;
    Ok(asked.map_err(crate::DaemonError::from)?)
}

/// Reads the copies of one set.
pub async fn verify(context: &RunContext, id: BackupId) -> JobResult {
    let found = look_at(context, id, context.cancel.clone()).await?;
    let Some(found) = found else {
        return Err(
            JobError::fatal(format!("set {id} is being verified by another run, or removed")).about(id),
        );
    };
    if found.copies.is_empty() {
        return Err(JobError::fatal(format!("set {id} is not on this machine")).about(id));
    }
    let faults = found.faults();
    if !faults.is_empty() {
        let reason = format!("set {id} is not as it was written: {}", first_few(&faults));
        return Err(JobError::fatal(reason).about(id));
    }
    let read: u64 = found.copies.iter().map(|copy| copy.files).sum();
    let bytes = found.copies.iter().map(|copy| copy.bytes).sum();
    let summary = format!(
        "set {id} is as it was written: {} of it here, {}, {}",
        counted(found.copies.len(), "copy", "copies"),
        counted(read, "file", "files"),
        du_size(bytes)
    );
    let strangers = found.strangers();
    if strangers.is_empty() {
        return Ok(JobReport::done(summary, Some(id)));
    }
    let summary = format!("{summary}; {}", first_few(&strangers));
    Ok(JobReport::warned(summary, Some(id)))
}

/// The first of many lines, for people.
pub(super) fn first_few(lines: &[String]) -> String {
    let more = match lines.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let shown = &lines[..lines.len().min(SHOWN)];
    format!("{}{more}", shown.join("; "))
}

/// Reads the copies of one set that lie on this machine, until `stop`, and records what was found. `None` where another
/// run has the set, or it is being removed.
///
/// # Errors
/// The set cannot be read, the catalog does not answer, or `stop` was cancelled: then nothing is recorded.
pub(super) async fn look_at(
    context: &RunContext,
    id: BackupId,
    stop: CancellationToken,
) -> Result<Option<Verification>, JobError> {
    let environment = &context.environment;
    let Some(lease) = SetLease::acquire(environment, id, "verify", context.run).await? else {
        return Ok(None);
    };
    // Read after the lease is ours: retention marks first and looks at leases then.
    let result = match environment.catalog.backup(id).await {
        Ok(Some(backup)) if backup.deletion == Deletion::None => {
            read_copies(context, &backup, stop).await.map(Some)
        }
        Ok(_) => Ok(None),
        Err(error) => Err(error.into()),
    };
    let recorded = match &result {
        Ok(Some(found)) if !found.copies.is_empty() => record(context, found).await,
        _ => Ok(()),
    };
    lease.release().await;
    let result = result.and_then(|found| recorded.map(|()| found));
    result.map_err(|error| error.about(id))
}

/// Writes what was found.
pub(super) async fn record(context: &RunContext, found: &Verification) -> Result<(), JobError> {
    context
        .environment
        .persist("record a verification", &context.cancel, |catalog| {
            let found = found.clone();
            async move { catalog.record_verification(&found).await }
        })
        .await?;
    Ok(())
}

async fn read_copies(
    context: &RunContext,
    backup: &Backup,
    stop: CancellationToken,
) -> Result<Verification, JobError> {
    let (environment, id) = (&context.environment, backup.id);
    let files = environment.catalog.files(id).await?;
    let tools = ToolEnv {
        cancel: stop,
        ..context.tools()
    };
    let mut copies = Vec::new();
    for dir in copies_here(environment, backup).await? {
        context.say(format!("reading set {id} in {}", dir.display()));
        let limits = context.limits();
        let set = ProveRequest {
            bk_id: id,
            run_id: Some(context.run),
            node: &environment.node,
            set_dir: &dir,
            evidence: None,
            files: &files,
            manifest_blake3: backup.manifest_blake3.as_deref(),
            databases: &backup.databases,
            sandbox: &context.settings.sandbox,
            myloader: &context.settings.tools.myloader,
            asserts: &[],
            limits: &limits,
        };
        let verified = verify_copy(&set, &tools).await?;
        let mut copy = LookedAtCopy {
            path: dir.display().to_string(),
            files: verified.files,
            bytes: verified.bytes,
            more_differences: verified.differences.len().saturating_sub(MOST_DIFFERENCES) as u64,
            differences: verified.differences,
            strangers: verified.strangers,
        };
        for difference in &copy.differences {
            context.say(format!("{}: {difference}", copy.path));
        }
        for stranger in &copy.strangers {
            context.say(format!("{}: file {stranger} is not the set's", copy.path));
        }
        copy.differences.truncate(MOST_DIFFERENCES);
        copy.strangers.truncate(MOST_DIFFERENCES);
        copies.push(copy);
    }
    let differs = copies.iter().any(|copy| !copy.differences.is_empty());
    Ok(Verification {
        bk_id: id,
        node: environment.node.clone(),
        run_id: Some(context.run),
        state: if differs {
            VerificationState::Differs
        } else {
            VerificationState::AsWritten
        },
        looked_at: context.clock().now(),
        copies,
    })
}
