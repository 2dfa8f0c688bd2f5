//! Carries out what a pass has planned for one set: marks, removes, gives back.

use super::Plan;
use super::changed::what_waits;
use super::left::{Left, Stays, left_of};
use crate::jobs::{JobError, RunContext};
use crate::machine::Machine;
use crate::removal::{
    Hold, Standing, hold, put_back, remove_empty_days, remove_leftover, remove_set, set_aside, standing,
};
use crate::seen_on;
use crate::set_lease::sets_in_use;
use mykeeper_catalog::Catalog;
use mykeeper_domain::arrival::Arrival;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::{RetentionAction, RetentionTask};
use mykeeper_domain::removal::{Remainder, SetRemoval, mark_of_failed_removal, mark_of_removal};
use mykeeper_domain::run::RunState;
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, DestinationName};
use std::path::PathBuf;
use std::sync::Arc;

/// One set on its way out.
pub(super) struct Removal<'a> {
    pub(super) task: &'a RetentionTask,
    pub(super) backup: &'a Backup,
    pub(super) places: &'a [PathBuf],
    /// Those of them where something of it lay when the pass was planned.
    pub(super) there: &'a [PathBuf],
    pub(super) machine: &'a Machine,
    pub(super) why: String,
    /// Nothing of it has been removed or set aside.
    pub(super) may_be_given_back: bool,
}

impl Removal<'_> {
    fn paths(&self) -> Vec<String> {
        let places = self.places.iter();
        places.map(|place| place.display().to_string()).collect()
    }

    /// The same as the catalog has the set by now.
    fn of<'a>(&'a self, backup: &'a Backup) -> Removal<'a> {
        Removal {
            backup,
            why: self.why.clone(),
            ..*self
        }
    }
}

/// What has become of a set that was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It is marked as deleted.
    Everywhere,
    /// A copy of it stays where it was sent to, and the set is not marked.
    OriginalAlone,
    /// Its original stays, or another copy, and the set is not marked.
    CopyAlone,
    /// The same, and an earlier pass has said so.
    Told,
}

/// Marks, removes where asked to, marks again. `None` when someone took the set up meanwhile.
pub(super) async fn condemn(context: &RunContext, removal: &Removal<'_>) -> Result<Option<Gone>, JobError> {
    let environment = &context.environment;
    let (id, why) = (removal.backup.id, &removal.why);
    // Its folder lies about until whoever it was marked for has removed it.
    if removal.task.action == RetentionAction::Mark
        && matches!(
            left_of(context, removal).await?.left,
            Left::Another { is_told: true, .. }
        )
    {
        return Ok(Some(Gone::Told));
    }
    let Some(held) = hold_folders(removal.places).await? else {
        return Ok(None);
    };
    // What has gone since may be away with its disk.
    if !all_lie(context, removal.there).await? {
        return Ok(None);
    }
    let marked = mark_of_removal(why, &removal.paths());
    // A mark that is not followed by a removal keeps everyone else away from the set.
    if sets_in_use(environment).await?.contains(&id)
        || !environment.catalog.mark_deleting(id, &marked).await?
    {
        return Ok(None);
    }
    // Whoever takes the set up from here on sees the mark; who has taken it up before is seen here, and who has done
    // with it since the pass was planned by what they found, unless that still waits for the catalog.
    let waiting = what_waits(environment).await?;
    let found = environment.catalog.shared_backup(id).await?;
    let as_planned = found.filter(|found| {
        let had_arrived = &removal.backup.arrived;
        waiting.is_none()
            && found.validate_status == removal.backup.validate_status
            && had_arrived.iter().all(|name| found.arrived.contains(name))
    });
    let is_in_use = sets_in_use(environment).await?.contains(&id);
    let Some(found) = as_planned.filter(|_| !is_in_use) else {
        if removal.may_be_given_back {
            environment.catalog.unmark_deleting(id).await?;
        }
        return Ok(None);
    };
    let stays = left_of(context, &removal.of(&found)).await?;
    if removal.task.action == RetentionAction::Delete
        && let Err(reason) = remove_places(context, removal, Arc::clone(&held)).await
    {
        // The row says so until a later pass comes through.
        let told = mark_of_failed_removal(&marked, &reason);
        if let Err(error) = environment.catalog.mark_deleting(id, &told).await {
            tracing::warn!(set = %id, %error, "the catalog does not say that a removal failed");
        }
        return Err(JobError::passing(reason));
    }
    if removal.task.action == RetentionAction::Delete {
        forget_here(context, removal).await;
    }
    let gone = record_gone(context, removal, stays).await?;
    drop(held);
    if gone != Gone::Everywhere && is_last(context, removal).await.unwrap_or(false) {
        mark_deleted(context, removal).await?;
        return Ok(Some(Gone::Everywhere));
    }
    Ok(Some(gone))
}

/// What was removed from the disks that are there is looked for on the others alone. A note that stays keeps the set for longer.
async fn forget_here(context: &RunContext, removal: &Removal<'_>) {
    for place in removal.places {
        if let Err(error) = seen_on::forget_here(&context.environment, removal.backup.id, place).await {
            tracing::debug!(set = %removal.backup.id, %error, "the disk that it was removed from stays noted");
        }
    }
}

async fn all_lie(context: &RunContext, places: &[PathBuf]) -> Result<bool, JobError> {
    let Some(first) = places.first() else {
        return Ok(true);
    };
    let asked = places.to_vec();
    let lie = move || asked.iter().all(|place| standing(place) != Standing::Gone);
    context.ask_disk(("look at", first), lie).await
}

/// Another machine's pass may have removed the rest meanwhile, and left the set for what went here: whoever asks last
/// finds nothing.
async fn is_last(context: &RunContext, removal: &Removal<'_>) -> Result<bool, JobError> {
    let found = context
        .environment
        .catalog
        .shared_backup(removal.backup.id)
        .await?;
    let Some(found) = found.filter(|found| found.deletion != Deletion::Deleted) else {
        return Ok(false);
    };
    let stays = left_of(context, &removal.of(&found)).await?;
    Ok(matches!(stays.left, Left::Nothing))
}

async fn mark_deleted(context: &RunContext, removal: &Removal<'_>) -> Result<(), JobError> {
    let (id, why, now) = (removal.backup.id, &removal.why, context.clock().now());
    let marking = |catalog: Arc<dyn Catalog>| {
        let why = why.clone();
        async move { catalog.mark_deleted(id, &why, now).await }
    };
    let environment = &context.environment;
    environment
        .persist("mark a set as deleted", &context.cancel, marking)
        .await?;
    Ok(())
}

/// Says in the catalog what has become of the set: it is deleted where no copy of it is known to stay.
async fn record_gone(context: &RunContext, removal: &Removal<'_>, stays: Stays) -> Result<Gone, JobError> {
    let (environment, id) = (&context.environment, removal.backup.id);
    let (gone, remainder) = match stays.left {
        Left::Copy => {
            context.say(format!(
                "the original of set {id} is gone; the set is not marked as deleted, since its copy stays where it was sent \
                 to"
            ));
            (Gone::OriginalAlone, Remainder::Copy)
        }
        Left::Another { what, .. } => {
            context.say(format!(
                "the copy of set {id} here is gone; the set is not marked as deleted, since {what}"
            ));
            (Gone::CopyAlone, Remainder::Another)
        }
        Left::Nothing => (Gone::Everywhere, Remainder::Nothing),
    };
    let cleared = stays.removed.iter();
    let told = SetRemoval {
        bk_id: id,
        node: environment.node.clone(),
        run_id: Some(context.run),
        paths: removal.paths(),
        removed_at: context.clock().now(),
        why: removal.why.clone(),
        remainder,
        cleared: cleared
            .filter_map(|arrival| clear(context, removal, arrival))
            .collect(),
    };
    environment
        .persist("record what was removed", &context.cancel, |catalog| {
            let told = told.clone();
            async move { catalog.record_removal(&told).await }
        })
        .await?;
    Ok(gone)
}

/// That a destination has nothing of the set any more: there it is neither compared nor sent again. pybackup's sets have no
/// destination by name, and are sent again by nobody.
fn clear(context: &RunContext, removal: &Removal<'_>, arrival: &Arrival) -> Option<Transfer> {
    let now = context.clock().now();
    Some(Transfer {
        id: AttemptId::generate(),
        run_id: Some(context.run),
        bk_id: removal.backup.id,
        node: context.environment.node.clone(),
        destination: DestinationName::new(arrival.destination.clone()).ok()?,
        target: arrival.target.clone(),
        number: 1,
        purpose: TransferPurpose::Clear,
        state: RunState::Succeeded,
        reason: Some(format!("the copy was removed: {}", removal.why)),
        sent_bytes: None,
        started_at: now,
        finished_at: Some(now),
    })
}

/// Shared with the thread that removes: a run that is ended meanwhile lets go of its part, and the thread goes on.
async fn hold_folders(places: &[PathBuf]) -> Result<Option<Arc<Hold>>, JobError> {
    let places = places.to_vec();
    tokio::task::spawn_blocking(move || hold(&places).map(Arc::new))
        .await
        .map_err(|error| JobError::fatal(format!("the set's folder cannot be locked: {error}")))
}

/// Removes one place after the other; the rest of them is left to the next pass when the run is ended.
async fn remove_places(context: &RunContext, removal: &Removal<'_>, held: Arc<Hold>) -> Result<(), String> {
    for place in removal.places {
        let doing = match removal.there.contains(place) {
            true => "removing",
            false => "not there any more:",
        };
        context.say(format!("{doing} {}", place.display()));
    }
    let (directory, places) = (removal.task.directory.clone(), removal.places.to_vec());
    let (id, cancel) = (removal.backup.id, context.cancel.clone());
    let removed = tokio::task::spawn_blocking(move || {
        let _held = held;
        for (number, place) in places.iter().enumerate() {
            if number > 0 && cancel.is_cancelled() {
                return Err(format!("the run was ended before {}", place.display()));
            }
            remove_set(&directory, place, id)?;
        }
        Ok(())
    });
    removed
        .await
        .unwrap_or_else(|error| Err(format!("the removal ended early: {error}")))
}

/// Takes the mark off a set of which nothing is gone, and gives its folder its name again. False when someone else is
/// at it.
pub(super) async fn give_back(
    context: &RunContext,
    task: &RetentionTask,
    backup: &Backup,
    places: &[PathBuf],
) -> Result<bool, String> {
    let id = backup.id;
    // Not beside a pass that is between its mark and the removal.
    let Some(held) = hold_folders(places).await.map_err(|error| error.reason)? else {
        return Ok(false);
    };
    let (directory, lying, holding) = (task.directory.clone(), places.to_vec(), Arc::clone(&held));
    let put = tokio::task::spawn_blocking(move || {
        let _held = holding;
        lying.iter().try_for_each(|place| put_back(&directory, place))?;
        // Another pass may have come further while this one was planning.
        Ok(lying.iter().any(|place| standing(place) == Standing::Whole))
    });
    let is_whole = put
        .await
        .unwrap_or_else(|error| Err(format!("cannot give it its name again: {error}")))?;
    if !is_whole {
        return Ok(false);
    }
    let catalog = &context.environment.catalog;
    let found = catalog.shared_backup(id).await;
    let found = found.map_err(|error| error.to_string())?;
    // Another machine's by now.
    if found.is_none_or(|found| found.deletion_reason != backup.deletion_reason) {
        return Ok(false);
    }
    let unmarked = catalog.unmark_deleting(id).await;
    drop(held);
    unmarked.map_err(|error| error.to_string())?;
    context.say(format!("set {id} is no longer marked as being deleted"));
    Ok(true)
}

/// Removes what was set aside of sets that the catalog has marked as deleted since, and folders of days that are empty.
pub(super) async fn tidy(
    context: &RunContext,
    task: &RetentionTask,
    plan: &mut Plan,
) -> Result<(), JobError> {
    if task.action != RetentionAction::Delete {
        return Ok(());
    }
    let (directory, now) = (task.directory.clone(), context.clock().now());
    let found = tokio::task::spawn_blocking(move || {
        remove_empty_days(&directory, now);
        set_aside(&directory)
    });
    let found = found
        .await
        .map_err(|error| JobError::fatal(format!("the folders of days cannot be looked through: {error}")))?;
    for (id, place) in found {
        match context.environment.catalog.backup(id).await? {
            Some(backup) if backup.deletion == Deletion::Deleted => {
                let (directory, place) = (task.directory.clone(), place.clone());
                let removed = tokio::task::spawn_blocking(move || remove_leftover(&directory, &place));
                if let Ok(Err(reason)) = removed.await {
                    plan.warnings.push(reason);
                }
            }
            Some(_) => {}
            None => plan.warnings.push(format!(
                "the removal of set {id} was not finished, and the catalog does not know it: look at {}",
                place.parent().unwrap_or(&place).display()
            )),
        }
    }
    Ok(())
}
