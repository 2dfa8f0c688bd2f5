//! Sets that were made where those before them were missed: when the disk is mounted, it covers them. They are not lost.
//!
//! Each is noted in `state_dir/covered` under its name, until it lies on the right disk, or is given up.

use crate::locate::Whereabouts;
use crate::mounted::root_of;
use crate::state_dir::StateDir;
use mykeeper_catalog::CatalogError;
use mykeeper_domain::backup::Deletion;
use mykeeper_domain::{BackupId, counted};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

fn folder(state: &StateDir) -> PathBuf {
    folder_in(state.root())
}

fn folder_in(state_dir: &Path) -> PathBuf {
    state_dir.join("covered")
}

/// # Errors
/// `state_dir` does not take it.
pub(crate) fn note(state: &StateDir, id: BackupId) -> io::Result<()> {
    std::fs::create_dir_all(folder(state))?;
    std::fs::write(folder(state).join(id.to_string()), "")
}

/// What was noted; nothing where that cannot be read.
pub(crate) fn noted(state: &StateDir) -> BTreeSet<BackupId> {
    noted_in(state.root())
}

fn noted_in(state_dir: &Path) -> BTreeSet<BackupId> {
    let entries = match std::fs::read_dir(folder_in(state_dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return BTreeSet::new(),
        Err(error) => {
            tracing::warn!(%error, "which sets a mount covers cannot be read");
            return BTreeSet::new();
        }
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Whether a set was noted.
pub(crate) fn is_noted(state: &StateDir, id: BackupId) -> bool {
    folder(state).join(id.to_string()).exists()
}

/// A note that stays is looked at again by the next pass.
pub(crate) fn forget(state: &StateDir, id: BackupId) {
    if let Err(error) = std::fs::remove_file(folder(state).join(id.to_string())) {
        tracing::debug!(set = %id, %error, "a set that no mount covers any more stays noted");
    }
}

/// What is said of sets that lie below the mount point of a root.
pub(crate) fn told(root: &Path, sets: &[(BackupId, PathBuf)]) -> String {
    let (id, place) = match sets.first() {
        Some((id, place)) => (id.to_string(), place.display().to_string()),
        None => Default::default(),
    };
    format!(
        "{} while the disk of {root} was missed, and {} below its mount point: unmount it, move what is there ({place}) to \
         the disk, and mount it again, or give it up with \"mykeeper mark-deleted --bk-id {id}\"",
        counted(sets.len(), "set was made", "sets were made"),
        if sets.len() == 1 { "lies" } else { "lie" },
        root = root.display(),
    )
}

impl Whereabouts<'_> {
    /// What is to be said of sets that a mount covers now, one sentence for each root, with the root.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn covered(&self) -> Result<Vec<(PathBuf, String)>, CatalogError> {
        let mut below: BTreeMap<PathBuf, Vec<(BackupId, PathBuf)>> = BTreeMap::new();
        for id in noted_in(&self.settings.state_dir) {
            let found = self.catalog.backup(id).await?;
            let Some(backup) = found.filter(|found| found.deletion != Deletion::Deleted) else {
                continue;
            };
            let place = backup.folder();
            // Seen as long as no disk is mounted over it, and once it was moved to the disk.
            let is_covered = matches!(self.disk.is_dir(&place).await, Ok(false));
            if let Some(root) = root_of(&place).filter(|_| is_covered) {
                below.entry(root.to_owned()).or_default().push((id, place));
            }
        }
        let told = below.into_iter().map(|(root, sets)| {
            let told = told(&root, &sets);
            (root, told)
        });
        Ok(told.collect())
    }
}
