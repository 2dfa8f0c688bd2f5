//! Reads every copy of a set that lies on this machine, without restoring it.

mod here;
pub(super) mod round;

use super::restore::proven::{READABLE, fewer_in_all, is_of_all, newest_passed, recorded_size};
use super::{JobError, JobReport, JobResult, RunContext};
use crate::repair::{NextStep, next_step};
use crate::set_lease::SetLease;
pub(in crate::jobs) use here::is_away;
pub use here::{Here, look_here, note_none_here};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus, du_size};
use mykeeper_domain::verification::{LookedAtCopy, MOST_DIFFERENCES, Verification, VerificationState};
use mykeeper_domain::{BackupId, counted};
use mykeeper_tools::ToolEnv;
use mykeeper_tools::prove::{PlainFiles, ProveRequest, VerifiedCopy, verify_copy};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Said of a set that may pass now.
const FREED: &str = "; its last proof failed for its files alone: the next validation run tries it again";
/// The name of a run that a person asks for: of the kind of a proof, and none.
pub const BY_HAND: &str = "verify by hand";

/// What mends the copies that a person has had read, for whoever asked.
pub type Told = Arc<Mutex<NextStep>>;

/// Reads the copies of one set. `told` gets what mends those that differ.
pub async fn verify(context: &RunContext, id: BackupId, told: &Told) -> JobResult {
    let looked = look_at(context, id, context.cancel.clone()).await?;
    let Some(Looked {
        found,
        cut_off_by,
        next_step,
        is_freed,
        away,
        nothing_tells,
        has_manifest,
        untold,
    }) = looked
    else {
        return Err(
            JobError::fatal(format!("set {id} is being verified by another run, or removed")).about(id),
        );
    };
    if found.copies.is_empty() {
        return Err(JobError::fatal(match away.is_empty() {
            true => format!("set {id} is not on this machine, or still on its way"),
            false => format!("of set {id} nothing was read: {}", context.tell_first(&away)),
        })
        .about(id));
    }
    *told.lock().unwrap_or_else(PoisonError::into_inner) = next_step.clone();
    let faults = found.faults();
    if !faults.is_empty() {
        let freed = if is_freed { FREED } else { "" };
        let mut told = faults;
        told.extend(away);
        let reason = format!(
            "set {id} {}: {}; {}{freed}",
            how_it_differs(&found),
            context.tell_first(&told),
            next_step.line
        );
        if cut_off_by.is_none() && found.lacks_copies_alone() {
            return Ok(JobReport::warned(reason, Some(id)));
        }
        return Err(match cut_off_by {
            None => JobError::fatal(reason).about(id),
            Some(error) => JobError {
                reason: format!("{reason}; {}", error.reason),
                retry: false,
                ..error
            },
        });
    }
    if let Some(error) = cut_off_by {
        let intact: Vec<&str> = found.copies.iter().map(|copy| copy.path.as_str()).collect();
        let reason = format!(
            "{}; set {id} {} in {}",
            error.reason,
            match has_manifest {
                true => "is as it was written",
                false => "is readable",
            },
            intact.join(", ")
        );
        return Err(JobError { reason, ..error });
    }
    // What else is worth a look.
    let mut notes = found.strangers();
    notes.extend(away);
    if nothing_tells {
        notes.push(READABLE.to_owned());
    }
    notes.extend(untold);
    let read: u64 = found.copies.iter().map(|copy| copy.files).sum();
    let bytes = found.copies.iter().map(|copy| copy.bytes).sum();
    let summary = format!(
        "set {id} {}: {} of it here, {}, {}",
        match (has_manifest, nothing_tells) {
            (true, _) => "is as it was written",
            (false, false) => "is readable, and holds no fewer rows than its proof has counted",
            (false, true) => "is readable",
        },
        counted(found.copies.len(), "copy", "copies"),
        counted(read, "file", "files"),
        du_size(bytes)
    );
    let summary = if is_freed { summary + FREED } else { summary };
    if notes.is_empty() {
        return Ok(JobReport::done(summary, Some(id)));
    }
    let summary = format!("{summary}; {}", context.tell_first(&notes));
    Ok(JobReport::warned(summary, Some(id)))
}

/// What is wrong with a set's copies, before they are named.
pub(super) fn how_it_differs(found: &Verification) -> &'static str {
    match found.copies.iter().all(|copy| copy.is_intact() || copy.is_gone) {
        true => "lacks copies that were here",
        false => "is not as it was written",
    }
}

/// What one look at a set has come to.
pub(super) struct Looked {
    /// What was found, with the copies that were read to their end.
    pub found: Verification,
    /// Why others were not.
    pub cut_off_by: Option<JobError>,
    /// What to do about one that differs; empty where none does.
    pub next_step: NextStep,
    /// Whether the set, whose last proof failed for its files, will be proven again.
    pub is_freed: bool,
    /// Where copies are known to have been that could not be looked at, for people.
    pub away: Vec<String>,
    /// Whether neither a manifest nor a proof tells what was written.
    pub nothing_tells: bool,
    /// Whether there is a manifest to hold the copies against.
    pub has_manifest: bool,
    /// Where there is none: tables of which nothing tells how many rows they had, for people.
    pub untold: Vec<String>,
}

impl Looked {
    /// The first copy that is as the set was written.
    pub(super) fn intact(&self) -> Option<PathBuf> {
        let copy = self.found.copies.iter().find(|copy| copy.is_intact())?;
        Some(PathBuf::from(&copy.path))
    }
}

/// Reads the copies of one set that lie on this machine, until `stop`, and records what was found. `None` where another
/// run has the set, or it is being removed.
///
/// # Errors
/// The set cannot be read, the catalog does not answer, or `stop` was cancelled, and no copy is known to differ: then
/// nothing is recorded.
pub(super) async fn look_at(
    context: &RunContext,
    id: BackupId,
    stop: CancellationToken,
) -> Result<Option<Looked>, JobError> {
    let environment = &context.environment;
    let Some(lease) = SetLease::acquire(environment, id, "verify", context.run).await? else {
        return Ok(None);
    };
    // Read after the lease is ours: retention marks first and looks at leases then.
    let result = match environment.catalog.backup(id).await {
        Ok(Some(backup)) if backup.deletion == Deletion::None => {
            look_further(context, &backup, None, stop).await.map(Some)
        }
        Ok(_) => Ok(None),
        Err(error) => Err(error.into()),
    };
    lease.release().await;
    result.map_err(|error| error.about(id))
}

/// The same for one that the caller has a lease on; `known` is a copy that has been read already.
///
/// # Errors
/// As of [`look_at`].
pub(super) async fn look_further(
    context: &RunContext,
    backup: &Backup,
    known: Option<LookedAtCopy>,
    stop: CancellationToken,
) -> Result<Looked, JobError> {
    let mut looked = read_copies(context, backup, known, stop).await?;
    if looked.found.copies.is_empty() {
        note_none_here(&context.environment, backup).await?;
        return Ok(looked);
    }
    record(context, &looked.found).await?;
    let catalog = &context.environment.catalog;
    if looked.found.state == VerificationState::Differs {
        let others = others(context, backup.id).await?;
        looked.next_step = next_step(&context.settings, backup, &looked.found, &others);
    }
    looked.is_freed = backup.validate_status == ValidateStatus::Failed
        && catalog
            .backup(backup.id)
            .await?
            .is_some_and(|now| now.validate_status == ValidateStatus::NotTried);
    Ok(looked)
}

/// What other nodes last found of a set.
pub(super) async fn others(context: &RunContext, id: BackupId) -> Result<Vec<Verification>, JobError> {
    let mut others = context.environment.catalog.verifications(id).await?;
    others.retain(|found| found.node != context.environment.node);
    Ok(others)
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
    known: Option<LookedAtCopy>,
    stop: CancellationToken,
) -> Result<Looked, JobError> {
    let (environment, id) = (&context.environment, backup.id);
    let files = environment.catalog.files(id).await?;
    let here = Here::find(environment, backup).await?;
    let tools = ToolEnv {
        cancel: stop,
        ..context.tools()
    };
    let away = here.away();
    let mut cut_off_by = here.error.map(|error| error.about(id));
    let mut unread = here.unread;
    let mut read: Vec<(PathBuf, VerifiedCopy)> = Vec::new();
    for dir in here.copies {
        if known.as_ref().is_some_and(|copy| Path::new(&copy.path) == dir) {
            continue;
        }
        if tools.cancel.is_cancelled() {
            unread.push(dir);
            continue;
        }
        context.say(format!("reading set {id} in {}", dir.display()));
        let limits = context.limits();
        let set = ProveRequest {
            bk_id: id,
            run_id: Some(context.run),
            node: &environment.node,
            set_dir: &dir,
            evidence: None,
            files: &files,
            beside: &[],
            recorded_size: recorded_size(backup),
            manifest_blake3: backup.manifest_blake3.as_deref(),
            databases: &backup.databases,
            sandbox: &context.settings.sandbox,
            myloader: &context.settings.tools.myloader,
            asserts: &[],
            limits: &limits,
        };
        match verify_copy(&set, &tools).await {
            Ok(verified) => read.push((dir, verified)),
            // One that cannot be read says nothing of the next.
            Err(error) => {
                let error = JobError::from(error).about(id);
                context.say(&error.reason);
                match tools.cancel.is_cancelled() {
                    true => cut_off_by = Some(error),
                    false => drop(cut_off_by.get_or_insert(error)),
                }
                unread.push(dir);
            }
        }
    }
    hold_against_each_other(&mut read);
    let untold = read.first().map(|(_, verified)| verified.untold.clone());
    let mut nothing_tells = files.is_empty();
    if files.is_empty()
        && let Some(proof) = newest_passed(environment.catalog.proofs(id).await?)
    {
        for (_, verified) in &mut read {
            let fewer = fewer_in_all(&proof, &backup.databases, verified.rows);
            verified.differences.extend(fewer);
        }
        nothing_tells = !is_of_all(&proof, &backup.databases);
    }
    let mut copies = Vec::from_iter(known);
    copies.extend(
        read.into_iter()
            .map(|(dir, verified)| kept(context, &dir, verified)),
    );
    copies.extend(here.gone);
    let differs = copies.iter().any(|copy| !copy.is_intact());
    // What was read before and is as it was written says nothing of the rest; what differs does.
    let says_nothing = copies.is_empty() || (!differs && tools.cancel.is_cancelled());
    if let Some(error) = cut_off_by.take_if(|_| says_nothing) {
        return Err(error);
    }
    let found = Verification {
        bk_id: id,
        node: environment.node.clone(),
        run_id: Some(context.run),
        state: match (differs, cut_off_by.is_some() || !away.is_empty()) {
            (true, _) => VerificationState::Differs,
            (false, false) => VerificationState::AsWritten,
            (false, true) => VerificationState::Unfinished,
        },
        looked_at: context.clock().now(),
        copies,
        unread: shown(&unread),
    };
    Ok(Looked {
        found,
        cut_off_by,
        next_step: NextStep::default(),
        is_freed: false,
        away,
        nothing_tells,
        has_manifest: !files.is_empty(),
        untold: untold.unwrap_or_default(),
    })
}

fn shown(places: &[PathBuf]) -> Vec<String> {
    places.iter().map(|place| place.display().to_string()).collect()
}

/// Without a manifest, what one copy lacks shows in the others alone.
fn hold_against_each_other(read: &mut [(PathBuf, VerifiedCopy)]) {
    let plain: Vec<(PathBuf, PlainFiles)> = read
        .iter()
        .map(|(dir, verified)| (dir.clone(), verified.plain.clone()))
        .collect();
    for (dir, verified) in read {
        for (other, there) in plain.iter().filter(|(other, _)| other != dir) {
            let differences = verified.plain.differences_from(there, other);
            verified.differences.extend(differences);
        }
    }
}

/// What is kept of a copy; the rest goes to the run's log.
pub(super) fn kept(context: &RunContext, dir: &Path, verified: VerifiedCopy) -> LookedAtCopy {
    let more = verified.differences.len().saturating_sub(MOST_DIFFERENCES) as u64;
    for difference in verified.differences.iter().skip(MOST_DIFFERENCES) {
        context.say(format!("{}: {difference}", dir.display()));
    }
    for stranger in verified.strangers.iter().skip(MOST_DIFFERENCES) {
        context.say(format!("{}: file {stranger} is not the set's", dir.display()));
    }
    let mut copy = LookedAtCopy {
        path: dir.display().to_string(),
        files: verified.files,
        bytes: verified.bytes,
        more_differences: more,
        differences: verified.differences,
        strangers: verified.strangers,
        differs_since: None,
        read_at: None,
        is_gone: false,
    };
    copy.differences.truncate(MOST_DIFFERENCES);
    copy.strangers.truncate(MOST_DIFFERENCES);
    copy
}
