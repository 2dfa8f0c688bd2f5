//! Which sets lie on this machine, by their folders: for who cannot ask the catalog.

use crate::environment::Environment;
use crate::rebuild::read_record;
use crate::removal::days;
use chrono::{DateTime, NaiveDate, Utc};
use mykeeper_config::Settings;
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::job::Task;
use mykeeper_domain::{BackupId, JobName, ServerName};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Of so many folders, the newest days first, the records are read at most.
const LOOKED_AT: usize = 100;
/// How long that may take for all of them.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// So many sets are enough to choose from.
const ENOUGH: usize = 5;

/// A complete set, as its own record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetHere {
    /// Which.
    pub id: BackupId,
    /// Its folder.
    pub path: PathBuf,
    /// Of which server.
    pub tag: String,
    /// The job that made it.
    pub job: Option<JobName>,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
}

/// A folder that is called as a set is.
pub(super) struct Named {
    /// That of the folder that it lies in; the earliest where that is none of a day.
    day: NaiveDate,
    id: BackupId,
    pub(super) path: PathBuf,
}

/// The folders of this machine that sets are sent to, and those that jobs make sets in.
pub(super) fn roots(settings: &Settings) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let sent = settings
        .destinations
        .values()
        .filter_map(|destination| match &destination.url {
            DestinationUrl::Local { path } => Some(path.clone()),
            _ => None,
        });
    let own = settings.jobs.values().filter_map(|job| match &job.task {
        Task::Backup(task) => Some(task.directory.clone()),
        _ => None,
    });
    let once = |all: BTreeSet<PathBuf>| all.into_iter().collect();
    (once(sent.collect()), once(own.collect()))
}

/// The same, all of them.
pub fn roots_here(settings: &Settings) -> Vec<PathBuf> {
    let (sent, own) = roots(settings);
    own.into_iter().chain(sent).collect()
}

/// The folders of sets in `root` and in its days, the newest day first; of one set where `id` is given. None where the disk
/// does not answer.
pub(super) async fn below(environment: &Environment, root: &Path, id: Option<&str>) -> Vec<Named> {
    let (looked_through, id) = (root.to_owned(), id.map(str::to_owned));
    environment
        .disk
        .ask(("look through", root), move || {
            named(&looked_through, id.as_deref())
        })
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "sets are not looked for there");
            Vec::new()
        })
}

fn named(root: &Path, id: Option<&str>) -> Vec<Named> {
    let mut folders = days(root);
    folders.push((NaiveDate::MIN, root.to_owned()));
    folders.sort_by(|one, other| other.cmp(one));
    let mut found = Vec::new();
    for (day, folder) in folders {
        let is_set = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let of_path = |path: PathBuf| {
            let id = path.file_name()?.to_str()?.parse().ok()?;
            is_set(&path).then_some(Named { day, id, path })
        };
        match id {
            Some(id) => found.extend(of_path(folder.join(id))),
            None => {
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                found.extend(entries.filter_map(|entry| of_path(entry.path())));
            }
        }
    }
    found
}

/// All of them, the newest day first; of one set its own folder before its copies.
async fn all_below(environment: &Environment) -> Vec<Named> {
    let mut all = Vec::new();
    for root in roots_here(&environment.settings()) {
        all.extend(below(environment, &root, None).await);
    }
    all.sort_by_key(|one| std::cmp::Reverse(one.day));
    let mut seen = BTreeSet::new();
    all.retain(|one| seen.insert(one.id));
    all
}

/// The sets whose folders here have names that begin so, at most so many.
pub async fn ids_here(environment: &Environment, prefix: &str, most: usize) -> Vec<BackupId> {
    let all = all_below(environment).await;
    let ids = all.into_iter().map(|one| one.id);
    ids.filter(|id| id.to_string().starts_with(prefix))
        .take(most)
        .collect()
}

/// A few complete sets that lie here, the newest first: of all, or of the server, tag or job of this name.
pub async fn sets_here(environment: &Environment, name: Option<&str>) -> Vec<SetHere> {
    let settings = environment.settings();
    let server = name.and_then(|name| ServerName::new(name).ok());
    let tag = server.and_then(|name| settings.servers.get(&name).map(|server| server.tag.clone()));
    let is_wanted = |set: &SetHere| match name {
        None => true,
        Some(name) => {
            let is_of_job = set.job.as_ref().is_some_and(|job| job.as_str() == name);
            set.tag == name || tag.as_ref() == Some(&set.tag) || is_of_job
        }
    };
    let give_up_at = Instant::now() + READ_WITHIN;
    let mut sets = Vec::new();
    for found in all_below(environment).await.into_iter().take(LOOKED_AT) {
        let Ok(read) = tokio::time::timeout_at(give_up_at, read_record(&found.path)).await else {
            break;
        };
        let Ok((backup, ..)) = read else { continue };
        let set = SetHere {
            id: backup.id,
            path: found.path,
            tag: backup.tag.clone(),
            job: backup.job.clone(),
            started_at: backup.started_at,
        };
        if backup.is_complete() && is_wanted(&set) {
            sets.push(set);
        }
    }
    sets.sort_by_key(|set| std::cmp::Reverse(set.started_at));
    sets.truncate(ENOUGH);
    sets
}
