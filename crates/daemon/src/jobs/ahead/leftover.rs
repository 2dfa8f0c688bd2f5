//! What went ahead of a set that never became complete: `state_dir/ahead` names it from before its first byte until it is
//! removed, or its set is complete and has a row that says where it is to be. Where files went ahead that are not of their
//! set, it is named until they are gone, complete or not.

use super::Route;
use crate::jobs::transfer::refuse_unmounted;
use crate::jobs::{JobError, RunContext};
use crate::set_lease::SetLease;
use crate::state_dir::StateDir;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::TransferPurpose;
use mykeeper_domain::{BackupId, DestinationName, RunId};
use mykeeper_supervise::Limits;
use mykeeper_tools::ToolEnv;
use mykeeper_tools::rsync::{Cleared, RsyncInfo, clear_ahead};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long one call of a removal may take.
const CLEARED_WITHIN: Duration = Duration::from_secs(60);
const CLEARING_STALL: Duration = Duration::from_secs(30);
/// Why it is removed.
pub(super) const NEVER_COMPLETE: &str = "the set did not become complete";
/// Removed in one go: what waits to be sent is not held up by more.
const MOST: usize = 2;
/// Asked for in one go.
const MOST_LOOKED_AT: usize = 50;

/// One set at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The set.
    pub bk_id: BackupId,
    /// Where its files went.
    pub destination: DestinationName,
    /// Below the destination.
    pub relative: String,
    /// The run that sent them.
    pub run: RunId,
    /// Files of it are not of the set.
    #[serde(default)]
    pub(super) has_strays: bool,
    /// That it cannot be removed has its row.
    #[serde(default)]
    is_told: bool,
}

impl Leftover {
    pub(super) fn of(context: &RunContext, route: &Route, has_strays: bool) -> Self {
        Self {
            bk_id: route.set,
            destination: route.destination.name.clone(),
            relative: route.relative.clone(),
            run: context.run,
            has_strays,
            is_told: false,
        }
    }

    /// Written whole, and on disk, before anything goes ahead.
    pub(super) fn note(&self, state: &StateDir) -> io::Result<()> {
        let (folder, target) = (folder(state), file(state, self.bk_id, &self.destination));
        std::fs::create_dir_all(&folder)?;
        let draft = target.with_extension("new");
        let mut file = std::fs::File::create(&draft)?;
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        file.sync_all()?;
        std::fs::rename(&draft, &target)?;
        std::fs::File::open(&folder)?.sync_all()
    }

    /// Nothing lies there any more that has to be remembered here.
    pub(super) fn forget(&self, state: &StateDir) {
        forget(state, self.bk_id, &self.destination);
    }
}

/// Nothing lies there any more that has to be remembered here.
pub(super) fn forget(state: &StateDir, set: BackupId, destination: &DestinationName) {
    match std::fs::remove_file(file(state, set, destination)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%set, %error, "what went ahead of a set cannot be forgotten");
        }
        _ => {}
    }
}

fn folder(state: &StateDir) -> PathBuf {
    state.root().join("ahead")
}

fn file(state: &StateDir, set: BackupId, destination: &DestinationName) -> PathBuf {
    folder(state).join(format!("{set}.{destination}.json"))
}

fn read(path: &Path) -> io::Result<Leftover> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// What is noted of one set.
///
/// # Errors
/// The note is there and cannot be read.
pub(super) fn noted_of(
    state: &StateDir,
    set: BackupId,
    destination: &DestinationName,
) -> io::Result<Option<Leftover>> {
    match read(&file(state, set, destination)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// All that is noted, and the notes that cannot be read.
pub fn noted(state: &StateDir) -> (Vec<Leftover>, Vec<PathBuf>) {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder(state)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        match read(&path) {
            Ok(leftover) => found.push(leftover),
            // Forgotten meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => unreadable.push(path),
        }
    }
    (found, unreadable)
}

/// What is noted for a destination, but for one set.
pub(super) fn noted_for(state: &StateDir, destination: &DestinationName) -> Vec<Leftover> {
    let mut found = noted(state).0;
    found.retain(|leftover| leftover.destination == *destination);
    found
}

/// Removes what earlier runs, or attempts, have left at the destination, whose permit the caller has. What cannot be removed
/// now is tried again by the next run that sends there.
pub(super) async fn clear_noted(
    context: &RunContext,
    (destination, info): (&DestinationName, &RsyncInfo),
    until: &CancellationToken,
) {
    let state = &context.environment.state;
    let mut tried = 0;
    for leftover in noted_for(state, destination).into_iter().take(MOST_LOOKED_AT) {
        if until.is_cancelled() || tried == MOST {
            return;
        }
        let set = leftover.bk_id;
        let later = |reason: String| {
            tracing::debug!(%set, reason, "what went ahead of a set is left for later");
        };
        let purpose = purpose(destination);
        let held = SetLease::acquire(&context.environment, set, &purpose, context.run);
        let lease = match held.await {
            Ok(Some(lease)) => lease,
            // It is sent just now.
            Ok(None) => continue,
            Err(error) => {
                later(error.to_string());
                continue;
            }
        };
        match fate(context, &leftover).await {
            Ok(Fate::InUse) => {}
            Ok(Fate::Forgotten) => leftover.forget(state),
            Ok(Fate::Unknown) => context.say(format!(
                "warning: files of set {set} went ahead to {destination}, below {}, and the catalog does not know what \
                 became of the set: they are left there",
                leftover.relative
            )),
            Ok(Fate::Removed) => {
                tried += 1;
                let place = (set, leftover.relative.as_str());
                match Route::again(context, destination, place, info) {
                    // It has been told of.
                    Ok(route) => drop(clear(context, (&route, &leftover), NEVER_COMPLETE, until).await),
                    Err(error) => context.say(format!("warning: {}", error.reason)),
                }
            }
            Err(error) => later(error.reason),
        }
        lease.release().await;
    }
}

/// What the lease of whoever sends a set to the destination, or removes it there, is for.
pub(super) fn purpose(destination: &DestinationName) -> String {
    format!("transfer:{destination}")
}

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is left to whoever sends the set.
    InUse,
    /// Its set is complete: what lies there is, or becomes, its copy.
    Forgotten,
    /// Its set never became complete.
    Removed,
    /// Nobody knows of the set: its copy may be whole.
    Unknown,
}

/// Asked with the lease in hand: nothing changes meanwhile.
async fn fate(context: &RunContext, leftover: &Leftover) -> Result<Fate, JobError> {
    let catalog = &context.environment.catalog;
    let run = catalog.run(leftover.run).await?;
    if leftover.run != context.run && run.is_some_and(|run| !run.state.is_final()) {
        return Ok(Fate::InUse);
    }
    // What was sent whole once is a copy, whatever the set's row says by now.
    let transfers = catalog.transfers(leftover.bk_id).await?;
    let has_arrived = transfers.iter().any(|transfer| {
        transfer.purpose == TransferPurpose::Send
            && transfer.destination == leftover.destination
            && transfer.state.is_success()
    });
    let set = catalog.backup(leftover.bk_id).await?;
    if has_arrived || set.as_ref().is_some_and(Backup::is_complete) {
        return Ok(match leftover.has_strays {
            true => Fate::InUse,
            false => Fate::Forgotten,
        });
    }
    if set.is_some_and(|set| set.rebuilt_at.is_none()) {
        return Ok(Fate::Removed);
    }
    // A row that was lost, or made again of what is left of the original, tells nothing of a copy.
    let attempts = catalog.attempts(leftover.run).await?;
    let has_failed = attempts.iter().any(|attempt| {
        attempt.bk_id == Some(leftover.bk_id) && attempt.state.is_final() && !attempt.state.is_success()
    });
    Ok(if has_failed { Fate::Removed } else { Fate::Unknown })
}

/// Removes what went ahead of a set, and records that. Says what is left to a person. The caller has the set's lease and the
/// destination's permit.
///
/// # Errors
/// It may still be there, and stays noted.
pub(super) async fn clear(
    context: &RunContext,
    (route, leftover): (&Route, &Leftover),
    why: &str,
    until: &CancellationToken,
) -> Result<(), JobError> {
    let started_at = context.clock().now();
    let limits = Limits {
        timeout: Some(CLEARED_WITHIN),
        stall: Some(CLEARING_STALL),
        ..context.limits()
    };
    let (set, target, state) = (route.set, route.target(), &context.environment.state);
    let tools = ToolEnv {
        cancel: until.clone(),
        ..context.tools()
    };
    let record = async |run_state: RunState, reason: &str| {
        let end = RunEnd {
            state: run_state,
            reason: Some(reason.to_owned()),
            bk_id: Some(set),
            finished_at: context.clock().now(),
        };
        let id = route
            .record(context, (TransferPurpose::Clear, started_at), until)
            .await?;
        route.record_end(context, id, (&end, None)).await
    };
    // What is not there now may lie on the disk.
    if let Err(error) = refuse_unmounted(context, &leftover.destination).await {
        context.say(format!(
            "warning: what went ahead of set {set} to {} is left there: {}",
            leftover.destination, error.reason
        ));
        return Err(error);
    }
    match clear_ahead(route.request(context, &limits), &tools).await {
        Ok(Cleared::Nothing) => {
            leftover.forget(state);
            Ok(())
        }
        Ok(Cleared::Removed) => {
            let reason = format!("what had gone ahead of set {set} was removed from {target}: {why}");
            context.say(&reason);
            if let Err(error) = record(RunState::Succeeded, &reason).await {
                context.say(format!("that is not recorded: {}", error.reason));
            }
            leftover.forget(state);
            Ok(())
        }
        Ok(Cleared::Whole) => {
            let reason = format!("{target} has a manifest, so it is left as it is: {why}");
            context.say(format!("warning: {reason}"));
            if leftover.has_strays {
                return Err(JobError::fatal(reason));
            }
            leftover.forget(state);
            Ok(())
        }
        Err(error) if error.is_passing() || until.is_cancelled() => {
            context.say(format!(
                "warning: {error}; the next run that sends to {} tries it again",
                leftover.destination
            ));
            Err(JobError::from(error))
        }
        Err(error) => {
            let reason = format!("{error}; {why}: remove {target} by hand");
            context.say(format!("warning: {reason}"));
            if !leftover.is_told && record(RunState::Failed, &reason).await.is_ok() {
                let told = Leftover {
                    is_told: true,
                    ..leftover.clone()
                };
                if let Err(error) = told.note(state) {
                    tracing::debug!(%set, %error, "that it has been told what cannot be removed is not noted");
                }
            }
            Err(JobError::fatal(reason))
        }
    }
}
