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
use mykeeper_domain::job::{Task, ValidationTask};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tag,
            waiting,
            example,
            looked_in,
            ..
        } = self;
        match waiting {
            1 => f.write_str("1 set waits for its proof and is not found here")?,
            many => write!(f, "{many} sets wait for their proof and are not found here")?,
        }
        write!(f, " (tag {tag}): ")?;
        match looked_in.is_empty() {
            true => f.write_str("nothing says in which folder of this machine they lie")?,
            false => {
                let folders: Vec<String> = looked_in
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect();
                write!(f, "set {} is not in {}", example.id, folders.join(" or "))?;
            }
        }
        let server = match example.bk_server.as_str() {
            "" => "ADDRESS",
            server => server,
        };
        write!(
            f,
            ". \"mykeeper paths\" lists the folders that are known; add the right one: mykeeper paths add --bk-server {server} \
             --remote-server ADDRESS --real-path FOLDER --tag {tag}"
        )
    }
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
        if let Task::Validation(task) = &job.task {
            let of_job = out_of_reach_of(&whereabouts, (&job.name, task), now).await?;
            let known: BTreeSet<String> = found.iter().map(|found| found.tag.clone()).collect();
            found.extend(of_job.into_iter().filter(|missing| !known.contains(&missing.tag)));
        }
    }
    Ok(found)
}

/// The same of one job.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn out_of_reach_of(
    whereabouts: &Whereabouts<'_>,
    (job, task): (&JobName, &ValidationTask),
    now: DateTime<Utc>,
) -> Result<Vec<OutOfReach>, CatalogError> {
    let mut found = Vec::new();
    for (tag, sets) in waiting_by_tag(whereabouts.catalog, &task.choice(), now).await? {
        if let Some((example, looked_in)) = unfound(whereabouts, &sets).await? {
            found.push(OutOfReach {
                job: job.clone(),
                tag,
                waiting: sets.len(),
                example,
                looked_in,
            });
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
