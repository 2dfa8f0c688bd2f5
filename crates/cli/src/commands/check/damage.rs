//! Sets that are not as they were written, and those whose proof failed.

use super::failed::look_for_failed_sets;
use super::{Findings, Grade};
use crate::commands::lost;
use crate::output::when;
use crate::surroundings::local_zone;
use mykeeper_catalog::{BackupFilter, Catalog, CatalogError, SetState};
use mykeeper_config::Settings;
use mykeeper_daemon::disk::Disk;
use mykeeper_daemon::locate::Whereabouts;
use mykeeper_daemon::lost::LOOKED_FOR;
use mykeeper_daemon::repair::{Elsewhere, elsewhere, next_step};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::verification::VerificationState;
use std::collections::HashMap;

/// So many of either kind are named, the newest.
const NAMED: usize = 5;
/// Before what stands on a line of its own.
const MARGIN: &str = "\n        ";

/// Where the catalog cannot tell, that is said elsewhere.
pub(super) async fn look_for_damage(settings: &Settings, catalog: &dyn Catalog, findings: &mut Findings) {
    if let Err(error) = find(settings, catalog, findings).await {
        findings.add(
            "damaged sets",
            Grade::Warning,
            format!("whether there are any cannot be told: {error}"),
        );
    }
    // What is named as damaged is not named again.
    look_for_failed_sets(catalog, findings).await;
    look_for_lost_sets(settings, catalog, findings).await;
}

/// Names the sets that nobody else has and that are not there.
async fn look_for_lost_sets(settings: &Settings, catalog: &dyn Catalog, findings: &mut Findings) {
    let whereabouts = Whereabouts {
        disk: &Disk::default(),
        catalog,
        settings,
    };
    let lost = match whereabouts.lost_sets().await {
        Ok(lost) => lost,
        Err(error) => {
            let detail = format!("whether any is gone cannot be told: {error}");
            return findings.add("sets", Grade::Warning, detail);
        }
    };
    let mut unnamed = lost;
    unnamed.retain(|lost| {
        let what = format!("set {}", lost.backup.id);
        !findings.0.iter().any(|finding| finding.what == what)
    });
    for lost in unnamed.iter().take(NAMED) {
        let what = format!("set {}", lost.backup.id);
        findings.add(what, Grade::Warning, lost::told(lost));
    }
    if let Some(more @ 1..) = unnamed.len().checked_sub(NAMED) {
        let detail =
            format!("{more} more of the newest {LOOKED_FOR} of this node are not where they were made");
        findings.add("sets", Grade::Warning, detail);
    }
}

async fn find(
    settings: &Settings,
    catalog: &dyn Catalog,
    findings: &mut Findings,
) -> Result<(), CatalogError> {
    let damages = catalog.damages(None).await?;
    let filter = BackupFilter {
        state: Some(SetState::Damaged),
        limit: u32::try_from(damages.len()).unwrap_or(u32::MAX),
        ..BackupFilter::default()
    };
    let damaged = catalog.backups(&filter).await?;
    for backup in damaged.iter().take(NAMED) {
        if let Some(damage) = damages.get(&backup.id) {
            let again = backup.job.as_ref().map_or_else(String::new, |job| {
                format!("\"mykeeper run {job}\" makes another; ")
            });
            let (known, fetch) = match elsewhere(settings, catalog, backup).await? {
                None => ("no copy is known to be", String::new()),
                Some(copy) => {
                    let commands = mending(settings, catalog, backup, copy.commands.clone()).await?;
                    let fetch = Elsewhere { commands, ..copy }.shown(MARGIN.trim_start_matches('\n'));
                    ("no copy that was read is", format!("{fetch}{MARGIN}"))
                }
            };
            findings.add(
                format!("set {}", backup.id),
                Grade::Warning,
                format!(
                    "of {}, started at {}: {known} as it was written ({}); {fetch}{again}once its files are \
                     mended, \"mykeeper verify --bk-id {}\" reads them again",
                    backup.tag,
                    when(backup.started_at, local_zone()),
                    damage.lines(local_zone()).join("; "),
                    backup.id
                ),
            );
        }
    }
    if let Some(more @ 1..) = damaged.len().checked_sub(NAMED) {
        findings.add(
            "damaged sets",
            Grade::Warning,
            format!("{more} more: \"mykeeper backups --state damaged\" lists them"),
        );
    }
    for (backup, damage) in partly_damaged(catalog, &damages).await? {
        findings.add(
            format!("set {}", backup.id),
            Grade::Warning,
            format!(
                "of {}, started at {}: {}; {}",
                backup.tag,
                when(backup.started_at, local_zone()),
                damage.lines(local_zone()).join("; "),
                way_out(settings, catalog, &backup).await?
            ),
        );
    }
    Ok(())
}

/// The commands that bring a set back to the places that it differs in, as "mykeeper verify" has them; where there are none
/// `otherwise`.
async fn mending(
    settings: &Settings,
    catalog: &dyn Catalog,
    backup: &Backup,
    otherwise: Vec<String>,
) -> Result<Vec<String>, CatalogError> {
    let looks = catalog.verifications(backup.id).await?;
    let (here, others): (Vec<_>, Vec<_>) = looks.into_iter().partition(|look| look.node == settings.node);
    let step = here
        .first()
        .map(|found| next_step(settings, backup, found, &others))
        .filter(|step| !step.commands.is_empty());
    Ok(step.map_or(otherwise, |step| step.commands))
}

/// What mends the copies that differ; those of another machine are mended there.
async fn way_out(
    settings: &Settings,
    catalog: &dyn Catalog,
    backup: &Backup,
) -> Result<String, CatalogError> {
    let looks = catalog.verifications(backup.id).await?;
    let (here, others): (Vec<_>, Vec<_>) = looks.into_iter().partition(|look| look.node == settings.node);
    Ok(match here.first() {
        Some(found) if found.state == VerificationState::Differs => {
            next_step(settings, backup, found, &others).shown(MARGIN.trim_start_matches('\n'))
        }
        _ => format!(
            "\"mykeeper verify --bk-id {}\" on that machine tells what mends it, and reads it again",
            backup.id
        ),
    })
}

/// The sets of which one copy differs and another does not, those first that were found last.
async fn partly_damaged<'a>(
    catalog: &dyn Catalog,
    damages: &'a HashMap<BackupId, Damage>,
) -> Result<Vec<(Backup, &'a Damage)>, CatalogError> {
    let mut partly: Vec<_> = damages
        .iter()
        .filter(|(_, damage)| !damage.is_of_every_copy())
        .collect();
    partly.sort_by_key(|(id, damage)| std::cmp::Reverse((damage.since(), **id)));
    let mut found = Vec::new();
    for (id, damage) in partly.into_iter().take(NAMED) {
        if let Some(backup) = catalog.backup(*id).await? {
            found.push((backup, damage));
        }
    }
    Ok(found)
}
