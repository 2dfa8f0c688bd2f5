//! What went ahead of a set that never became complete: `state_dir/ahead` names it from before its first byte until it is
//! removed, or its set is complete and has a row that says where it is to be.

use super::Route;
use crate::jobs::{JobError, RunContext};
use crate::state_dir::StateDir;
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::TransferPurpose;
use mykeeper_domain::{BackupId, DestinationName, RunId};
use mykeeper_supervise::Limits;
use mykeeper_tools::ToolEnv;
use mykeeper_tools::rsync::{RsyncInfo, clear_ahead};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long one removal may take.
const CLEARED_WITHIN: Duration = Duration::from_secs(300);
const CLEARING_STALL: Duration = Duration::from_secs(60);
/// Why it is removed.
pub(super) const NEVER_COMPLETE: &str = "the set did not become complete";
/// Looked at in one run.
const MOST: usize = 20;

/// One set at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leftover {
    bk_id: BackupId,
    destination: DestinationName,
    /// Below the destination.
    relative: String,
    run: RunId,
}

impl Leftover {
    pub(super) fn of(context: &RunContext, route: &Route) -> Self {
        Self {
            bk_id: route.set,
            destination: route.destination.name.clone(),
            relative: route.relative.clone(),
            run: context.run,
        }
    }

    fn file(&self, state: &StateDir) -> PathBuf {
        folder(state).join(format!("{}.{}.json", self.bk_id, self.destination))
    }

    /// Written whole, and on disk, before anything goes ahead.
    pub(super) fn note(&self, state: &StateDir) -> io::Result<()> {
        let (folder, target) = (folder(state), self.file(state));
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
        match std::fs::remove_file(self.file(state)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(set = %self.bk_id, %error, "what went ahead of a set cannot be forgotten");
            }
            _ => {}
        }
    }
}

fn folder(state: &StateDir) -> PathBuf {
    state.root().join("ahead")
}

/// What is noted for a destination.
pub(super) fn noted(state: &StateDir, destination: &DestinationName) -> Vec<Leftover> {
    let Ok(entries) = std::fs::read_dir(folder(state)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "json"))
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok())
        .filter(|leftover: &Leftover| leftover.destination == *destination)
        .take(MOST)
        .collect()
}

/// Removes what earlier runs have left at the destination, whose permit the caller has. What cannot be removed now is
/// tried again by the next run that sends there.
pub(super) async fn clear_noted(
    context: &RunContext,
    (destination, info): (&DestinationName, &RsyncInfo),
    until: &CancellationToken,
) {
    for leftover in noted(&context.environment.state, destination) {
        if until.is_cancelled() {
            return;
        }
        match is_in_use(context, &leftover).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(set = %leftover.bk_id, reason = %error.reason, "what went ahead of a set is left for later");
                continue;
            }
        }
        let route = Route::again(
            context,
            &leftover.destination,
            (leftover.bk_id, &leftover.relative),
            info,
        );
        match route {
            Ok(route) => clear(context, (&route, &leftover), NEVER_COMPLETE, until).await,
            Err(error) => context.say(format!("warning: {}", error.reason)),
        }
    }
}

/// Whether it is not to be removed: its run goes on, or its set is complete.
async fn is_in_use(context: &RunContext, leftover: &Leftover) -> Result<bool, JobError> {
    let environment = &context.environment;
    if leftover.run == context.run {
        return Ok(true);
    }
    let run = environment.catalog.run(leftover.run).await?;
    if run.is_some_and(|run| !run.state.is_final()) {
        return Ok(true);
    }
    let set = environment.catalog.backup(leftover.bk_id).await?;
    let is_complete = set.is_some_and(|set| set.is_complete());
    if is_complete {
        leftover.forget(&environment.state);
    }
    Ok(is_complete)
}

/// Removes what went ahead of a set, and records that. Says what is left to a person.
pub(super) async fn clear(
    context: &RunContext,
    (route, leftover): (&Route, &Leftover),
    why: &str,
    until: &CancellationToken,
) {
    let started_at = context.clock().now();
    let limits = Limits {
        timeout: Some(CLEARED_WITHIN),
        stall: Some(CLEARING_STALL),
        ..context.limits()
    };
    let (set, target) = (route.set, route.target());
    let tools = ToolEnv {
        cancel: until.clone(),
        ..context.tools()
    };
    let cleared = clear_ahead(route.request(context, &limits), &tools).await;
    let (state, reason) = match cleared {
        Ok(()) => (
            RunState::Succeeded,
            format!("what had gone ahead of set {set} was removed from {target}: {why}"),
        ),
        Err(error) if error.is_passing() || until.is_cancelled() => {
            context.say(format!(
                "warning: {error}; the next run that sends to {} tries it again",
                leftover.destination
            ));
            return;
        }
        Err(error) => (
            RunState::Failed,
            format!("{error}; {why}: remove {target} by hand"),
        ),
    };
    let warning = if state == RunState::Failed {
        "warning: "
    } else {
        ""
    };
    context.say(format!("{warning}{reason}"));
    let end = RunEnd {
        state,
        reason: Some(reason),
        bk_id: Some(set),
        finished_at: context.clock().now(),
    };
    let recorded = async {
        let id = route
            .record(context, (TransferPurpose::Clear, started_at), until)
            .await?;
        route.record_end(context, id, (&end, None)).await
    };
    match recorded.await {
        Ok(()) => leftover.forget(&context.environment.state),
        Err(error) => context.say(format!("that is not recorded yet: {}", error.reason)),
    }
}
