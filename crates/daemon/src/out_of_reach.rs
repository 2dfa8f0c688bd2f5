//! Sets that wait for a proof by a job of this node, and that this node does not find: a folder that was never named, or
//! named wrongly. The job itself goes on to others, and is content.

use crate::disk::Disk;
use crate::jobs::validation::queue::{Pages, scope_of};
use crate::locate::{Whereabouts, places};
use chrono::{DateTime, Utc};
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::JobName;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::job::Task;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Pages of a job's queue that are looked through.
const PAGES: usize = 5;
/// So many sets of each tag are looked for.
const SAMPLED: usize = 3;

/// Sets of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfReach {
    /// The job that would prove them.
    pub job: JobName,
    /// Their tag.
    pub tag: String,
    /// How many wait, as far as was looked.
    pub waiting: usize,
    /// One of them.
    pub example: Backup,
    /// Where that was looked for; empty where nothing names a folder.
    pub looked_in: Vec<PathBuf>,
}

/// Of each validation job of this node the tags of which sets wait, have arrived somewhere, and are not found here.
///
/// # Errors
/// The catalog does not answer.
pub async fn out_of_reach(
    catalog: &dyn Catalog,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Vec<OutOfReach>, CatalogError> {
    let disk = Disk::default();
    let whereabouts = Whereabouts {
        disk: &disk,
        catalog,
        settings,
    };
    let mut found: Vec<OutOfReach> = Vec::new();
    for job in settings.jobs.values() {
        let Task::Validation(task) = &job.task else {
            continue;
        };
        for (tag, sets) in waiting_by_tag(catalog, &task.choice(), now).await? {
            if found.iter().any(|found| found.tag == tag) {
                continue;
            }
            if let Some((example, looked_in)) = unfound(&whereabouts, &sets).await? {
                found.push(OutOfReach {
                    job: job.name.clone(),
                    tag,
                    waiting: sets.len(),
                    example,
                    looked_in,
                });
            }
        }
    }
    Ok(found)
}

async fn waiting_by_tag(
    catalog: &dyn Catalog,
    choice: &mykeeper_domain::selection::Choice,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, Vec<Backup>>, CatalogError> {
    let mut pages = Pages::new(catalog, (choice.clone(), scope_of(choice, now)), now);
    let mut by_tag: BTreeMap<String, Vec<Backup>> = BTreeMap::new();
    for _ in 0..PAGES {
        let Some(page) = pages.next().await? else { break };
        // What stays where it was made is for that machine to prove.
        for backup in page.into_iter().filter(Backup::has_arrived) {
            by_tag.entry(backup.tag.clone()).or_default().push(backup);
        }
    }
    Ok(by_tag)
}

/// The first of them and where it was looked for, if none of those that were looked for was found. A disk that does not answer
/// says nothing.
async fn unfound(
    whereabouts: &Whereabouts<'_>,
    sets: &[Backup],
) -> Result<Option<(Backup, Vec<PathBuf>)>, CatalogError> {
    let settings = whereabouts.settings;
    let paths = whereabouts.catalog.paths().await?;
    let mut first = None;
    for backup in sets.iter().take(SAMPLED) {
        let places = places(backup, &paths, settings, &settings.node);
        match whereabouts.first_copy(backup, &places).await {
            Ok(None) => {
                first.get_or_insert_with(|| (backup.clone(), places));
            }
            Ok(Some(_)) | Err(_) => return Ok(None),
        }
    }
    Ok(first)
}
