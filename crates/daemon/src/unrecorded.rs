//! Sets of this machine that its catalog does not know: it is not the one that they were recorded in.

use crate::disk::Disk;
use crate::removal::days;
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::BackupId;
use mykeeper_domain::job::Task;
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_tools::mydumper::read_set_record;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How many sets of a directory are looked at, the newest and the oldest first.
const LOOKED_AT: usize = 100;
/// How long the records of all of them may take to be read: a start waits for it, and their disk may hang.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// A set that a backup job of this machine has made and that the catalog does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecorded {
    /// The job's directory.
    pub directory: PathBuf,
    /// One of the sets in it.
    pub example: BackupId,
}

impl Unrecorded {
    /// `there are sets in /data that it does not know (<bk_id> is one): run "mykeeper catalog rebuild --from /data"`
    pub fn describe(found: &[Self]) -> String {
        let directories: Vec<String> = found
            .iter()
            .map(|found| found.directory.display().to_string())
            .collect();
        let example = found
            .first()
            .map(|found| format!(" ({} is one)", found.example))
            .unwrap_or_default();
        format!(
            "there are sets in {} that it does not know{example}: with the daemon stopped, \
             \"mykeeper catalog rebuild --from {}\" makes their rows again from their own records, unless the catalog \
             that was there can be put back",
            directories.join(", "),
            directories.join(" --from ")
        )
    }
}

/// Looks into the directories of the backup jobs, and gives one set for each that has any. Without a catalog none is
/// known. A directory that does not answer has none.
///
/// # Errors
/// The catalog's.
pub async fn unrecorded_sets(
    settings: &Settings,
    catalog: Option<&dyn Catalog>,
) -> Result<Vec<Unrecorded>, CatalogError> {
    let directories: BTreeSet<&PathBuf> = settings
        .jobs
        .values()
        .filter_map(|job| match &job.task {
            // What pybackup's command lines make is recorded where their conf says, or nowhere.
            Task::Backup(task) if task.as_pybackup.is_none() => Some(&task.directory),
            _ => None,
        })
        .collect();
    let disk = Disk::default();
    let mut found = Vec::new();
    let mut left = READ_WITHIN;
    for directory in directories {
        let looked_through = directory.clone();
        let sets = disk
            .ask(("look through", directory), move || some_sets(&looked_through))
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "whether the catalog knows the sets there is not looked at");
                Vec::new()
            });
        for (id, place) in sets {
            let is_known = match catalog {
                Some(catalog) => catalog.backup(id).await?.is_some(),
                None => false,
            };
            let began = Instant::now();
            let is_unrecorded = !is_known && is_made_here(settings, &place, left).await;
            left = left.saturating_sub(began.elapsed());
            if is_unrecorded {
                found.push(Unrecorded {
                    directory: directory.clone(),
                    example: id,
                });
                break;
            }
        }
    }
    Ok(found)
}

/// Another node's sets may lie beside: their catalog is another.
async fn is_made_here(settings: &Settings, place: &Path, within: Duration) -> bool {
    if within.is_zero() {
        return false;
    }
    let record = tokio::time::timeout(within, read_set_record(place)).await;
    if record.is_err() {
        tracing::warn!(place = %place.display(), "whether the catalog knows all sets is not looked at any further: their disk is too slow");
    }
    matches!(record, Ok(Ok(Some((_, evidence, _)))) if evidence.backup.node.as_ref() == Some(&settings.node))
}

/// Whole sets below the days of `directory`: the newest day, the oldest, the newest but one, and so on.
fn some_sets(directory: &Path) -> Vec<(BackupId, PathBuf)> {
    let mut days = days(directory);
    days.sort();
    let mut days: std::collections::VecDeque<_> = days.into();
    let mut sets = Vec::new();
    let mut is_newest = false;
    while sets.len() < LOOKED_AT {
        is_newest = !is_newest;
        let day = if is_newest {
            days.pop_back()
        } else {
            days.pop_front()
        };
        let Some((_, day)) = day else { break };
        let entries = std::fs::read_dir(day).into_iter().flatten().flatten();
        sets.extend(
            entries
                .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
                .filter(|(_, place)| place.join(MANIFEST_FILE).is_file())
                .take(LOOKED_AT - sets.len()),
        );
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_sets_the_newest_and_the_oldest_are_looked_at() {
        let root = tempfile::tempdir().unwrap();
        for day in 1..=28 {
            for _ in 0..5 {
                let id = BackupId::generate().to_string();
                let place = root.path().join(format!("2026-11-{day:02}")).join(id);
                std::fs::create_dir_all(&place).unwrap();
                std::fs::write(place.join(MANIFEST_FILE), "{}").unwrap();
            }
        }
        std::fs::create_dir_all(
            root.path()
                .join("2026-11-28")
                .join(BackupId::generate().to_string()),
        )
        .unwrap();
        let sets = some_sets(root.path());
        assert_eq!(sets.len(), LOOKED_AT);
        for day in ["2026-11-01", "2026-11-28"] {
            let of_day = sets
                .iter()
                .filter(|(_, place)| place.starts_with(root.path().join(day)));
            assert_eq!(of_day.count(), 5, "{day}");
        }
        assert_eq!(some_sets(&root.path().join("nowhere")), []);
    }
}
