//! What may have become of things since a pass was planned, or since the last one.

use super::Plan;
use super::places::is_damaged_here;
use crate::covered;
use crate::environment::Environment;
use crate::jobs::verify::is_away;
use crate::jobs::{JobError, RunContext};
use crate::removal::{Standing, standing};
use crate::set_lease::sets_in_use;
use mykeeper_catalog::CatalogError;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::counted;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::retention::{CondemnReason, still_serves};
use std::path::PathBuf;

/// A set that lies where no disk is missed any more, or that was given up, is covered by no mount.
pub(super) async fn forget_uncovered(context: &RunContext) -> Result<(), JobError> {
    let environment = &context.environment;
    for id in covered::noted(&environment.state) {
        let found = environment.catalog.backup(id).await?;
        let is_over = match found.filter(|found| found.deletion != Deletion::Deleted) {
            // Its dump may be under way.
            None => !sets_in_use(environment).await?.contains(&id),
            Some(found) => {
                let place = found.folder();
                context.is_dir(&place).await? && !is_away(&environment.disk, &place).await
            }
        };
        if is_over {
            covered::forget(&environment.state, id);
        }
    }
    Ok(())
}

/// What is kept on this machine until the shared catalog takes it; `None` where nothing is. It may tell of a set that is
/// in use, or of a proof that failed.
pub(super) async fn what_waits(environment: &Environment) -> Result<Option<String>, CatalogError> {
    let waiting = environment.catalog.backlog().await?.waiting;
    Ok((waiting > 0).then(|| {
        counted(
            waiting,
            "record of this machine waits",
            "records of this machine wait",
        )
    }))
}

/// What has become, since the pass was planned, of a set that was to stay when `backup` goes; `None` where all of them
/// are there as they were. A pass may take hours.
pub(super) async fn find_changed(
    context: &RunContext,
    plan: &Plan,
    backup: &Backup,
    reason: CondemnReason,
) -> Result<Option<String>, JobError> {
    if matches!(reason, CondemnReason::RemovalBegun | CondemnReason::GoneFromDisk) {
        // There is nothing left of it that could be kept.
        return Ok(None);
    }
    if let Some(waiting) = what_waits(&context.environment).await? {
        return Ok(Some(format!("{waiting} for the catalog")));
    }
    for pinned in plan.pinned(&backup.tag).filter(|pinned| pinned.id != backup.id) {
        let id = pinned.id;
        let found = context.environment.catalog.shared_backup(id).await?;
        if !still_serves(pinned, found.as_ref()) {
            return Ok(Some(format!(
                "set {id}, which was to stay, is no longer what it was to the catalog"
            )));
        }
        let looks = context.environment.catalog.verifications(id).await?;
        let planned = plan.standings.get(&id).copied().unwrap_or(Standing::Whole);
        let places = plan.places_of(pinned);
        let Some(first) = places.first() else {
            continue;
        };
        let asked = places.to_vec();
        let standing_of: Vec<Standing> = context
            .ask_disk(("look at", first), move || {
                asked.iter().map(|place| standing(place)).collect()
            })
            .await?;
        let lying = places.iter().zip(&standing_of);
        let there = lying.filter(|(_, standing)| **standing != Standing::Gone);
        let there: Vec<&PathBuf> = there.map(|(place, _)| place).collect();
        let proven = context.environment.catalog.proven_copies(id).await?;
        let damage = Damage::of(&looks, &proven);
        if damage.is_some_and(|damage| is_damaged_here(&damage, &there, &context.environment.node)) {
            return Ok(Some(format!(
                "set {id}, which was to stay, has been found to differ from what was written"
            )));
        }
        if standing_of.iter().max() < Some(&planned) {
            return Ok(Some(format!(
                "set {id}, which was to stay, is no longer in {}",
                first.display()
            )));
        }
    }
    Ok(None)
}
