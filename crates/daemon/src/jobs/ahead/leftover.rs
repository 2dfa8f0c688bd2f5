//! What went ahead of a set that never became complete: `state_dir/ahead` names it from before its first byte until it is
//! removed, or its set is complete and has a row that says where it is to be. Where files went ahead that are not of their
//! set, it is named until they are gone, complete or not.

use super::Route;
use crate::jobs::transfer::refuse_unmounted;
use crate::jobs::{JobError, RunContext};
use crate::set_lease::SetLease;
use crate::state_dir::StateDir;
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_domain::backup::Deletion;
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::TransferPurpose;
use mykeeper_domain::{BackupId, DestinationName, RunId};
use mykeeper_supervise::Limits;
use mykeeper_tools::ToolEnv;
use mykeeper_tools::rsync::{Cleared, RsyncInfo, clear_ahead};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// How long one call of a removal may take.
const CLEARED_WITHIN: Duration = Duration::from_secs(60);
const CLEARING_STALL: Duration = Duration::from_secs(30);
/// Why it is removed.
pub(super) const NEVER_COMPLETE: &str = "the set did not become complete";
const SET_IS_GONE: &str = "the set was removed before it had arrived";
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

    /// When it was last asked about, or noted.
    fn looked_at(&self, state: &StateDir) -> Option<SystemTime> {
        let noted = std::fs::metadata(file(state, self.bk_id, &self.destination));
        noted.and_then(|noted| noted.modified()).ok()
    }

    fn touch(&self, state: &StateDir, now: SystemTime) {
        let path = file(state, self.bk_id, &self.destination);
        let noted = std::fs::File::options().append(true).open(path);
        if let Err(error) = noted.and_then(|noted| noted.set_modified(now)) {
            tracing::debug!(set = %self.bk_id, %error, "that this was asked about is not noted");
        }
    }

    /// Whether files of it are not of the set.
    pub fn has_strays(&self) -> bool {
        self.has_strays
    }

    /// What a person does about one that nobody else will remove.
    pub fn by_hand(&self, state: &StateDir) -> String {
        format!(
            "where that is no copy that you need, remove it there by hand, and then {}",
            file(state, self.bk_id, &self.destination).display()
        )
    }

    /// What is to become of it, for the run `own` or for nobody. Asked with the set's lease in hand nothing changes meanwhile.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn fate(&self, catalog: &dyn Catalog, own: Option<RunId>) -> Result<Fate, CatalogError> {
        let run = catalog.run(self.run).await?;
        if own != Some(self.run) && run.is_some_and(|run| !run.state.is_final()) {
            return Ok(Fate::InUse);
        }
        // What was sent whole once is a copy, whatever the set's row says by now.
        let transfers = catalog.transfers(self.bk_id).await?;
        let has_arrived = transfers.iter().any(|transfer| {
            transfer.purpose == TransferPurpose::Send
                && transfer.destination == self.destination
                && transfer.state.is_success()
        });
        if has_arrived {
            return Ok(match self.has_strays {
                true => Fate::InUse,
                false => Fate::Forgotten,
            });
        }
        let set = catalog.backup(self.bk_id).await?;
        if let Some(set) = set.as_ref().filter(|set| set.is_complete()) {
            let is_gone = set.deletion == Deletion::Deleted || set.original_gone_at.is_some();
            return Ok(match is_gone {
                true => Fate::Removed(SET_IS_GONE),
                false => Fate::InUse,
            });
        }
        if set.is_some_and(|set| set.rebuilt_at.is_none()) {
            return Ok(Fate::Removed(NEVER_COMPLETE));
        }
        // A row that was lost, or made again of what is left of the original, tells nothing of a copy.
        let attempts = catalog.attempts(self.run).await?;
        let has_failed = attempts.iter().any(|attempt| {
            attempt.bk_id == Some(self.bk_id) && attempt.state.is_final() && !attempt.state.is_success()
        });
        Ok(match has_failed {
            true => Fate::Removed(NEVER_COMPLETE),
            false => Fate::Unknown,
        })
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
    let mut noted = noted_for(state, destination);
    // Whoever cannot be helped today must not keep the others from their turn for ever.
    noted.sort_by_cached_key(|leftover| leftover.looked_at(state));
    for leftover in noted.into_iter().take(MOST_LOOKED_AT) {
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
        leftover.touch(state, context.clock().now().into());
        match leftover.fate(context.environment.catalog.as_ref(), Some(context.run)).await {
            Ok(Fate::InUse) => {}
            Ok(Fate::Forgotten) => leftover.forget(state),
            Ok(Fate::Unknown) => context.say(format!(
                "warning: files of set {set} went ahead to {destination}, below {}, and the catalog does not know what \
                 became of the set: they are left there; {}",
                leftover.relative,
                leftover.by_hand(state)
            )),
            Ok(Fate::Removed(why)) => {
                tried += 1;
                let place = (set, leftover.relative.as_str());
                match Route::again(context, destination, place, info) {
                    // It has been told of.
                    Ok(route) => drop(clear(context, (&route, &leftover), why, until).await),
                    Err(error) => context.say(format!("warning: {}", error.reason)),
                }
            }
            Err(error) => later(error.to_string()),
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
pub enum Fate {
    /// It is left to whoever sends the set.
    InUse,
    /// Its set has arrived: what lies there is its copy.
    Forgotten,
    /// Its set does not come any more, and why.
    Removed(&'static str),
    /// Nobody knows of the set: its copy may be whole.
    Unknown,
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
        route.record_end(context, id, (&end, None), until).await
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
