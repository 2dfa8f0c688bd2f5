//! The places of this machine where a set lies, or may lie.

use crate::copies::{Searched, note_gone};
use crate::disk::Disk;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::JobError;
use crate::locate::{original, places};
use mykeeper_domain::backup::Backup;
use std::path::{Path, PathBuf};

/// Where a set lies on this machine: the copies first, its own folder last. A copy that is on its way is none yet: its
/// manifest comes last.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Here {
    /// All places where it may lie.
    pub(in crate::jobs) places: Vec<PathBuf>,
    /// That can be read, as far as that shows.
    pub(in crate::jobs) copies: Vec<PathBuf>,
    /// Where one may lie that cannot be asked for now: no file system answers, or none is mounted.
    pub(in crate::jobs) unread: Vec<PathBuf>,
    /// Why the first of those does not answer.
    pub(in crate::jobs) error: Option<JobError>,
}

/// The places where the set lies on this machine.
///
/// # Errors
/// The catalog does not answer, or no copy is known and a file system does not.
pub async fn copies_here(environment: &Environment, backup: &Backup) -> Result<Vec<PathBuf>, JobError> {
    let here = Here::find(environment, backup).await?;
    match here.error {
        Some(error) if here.copies.is_empty() => Err(error),
        _ => Ok(here.copies),
    }
}

/// Where no copy of a set is left on this machine, what it has read or proven of one speaks for the set no longer; of what
/// cannot be asked for now it does for a while. Whether that was noted.
///
/// # Errors
/// The catalog does not answer.
pub async fn note_none_here(environment: &Environment, backup: &Backup) -> Result<bool, JobError> {
    let here = Here::find(environment, backup).await?;
    match here.copies.is_empty() {
        true => here.note_none(environment, backup).await,
        false => Ok(false),
    }
}

impl Here {
    /// # Errors
    /// The catalog does not answer.
    pub(in crate::jobs) async fn find(environment: &Environment, backup: &Backup) -> Result<Self, JobError> {
        let paths = environment.catalog.paths().await?;
        let settings = environment.settings();
        let whereabouts = environment.whereabouts(&settings);
        let own = original(backup, &environment.node);
        let mut here = Self::default();
        for place in places(backup, &paths, &settings, &environment.node) {
            if here.places.contains(&place) {
                continue;
            }
            here.places.push(place.clone());
            let is_own = own.as_ref() == Some(&place);
            match whereabouts.is_copy(backup, &place).await {
                Ok(true) => here.copies.push(place),
                Ok(false) => {
                    let may_be_there = !is_own || backup.original_gone_at.is_none();
                    if may_be_there && is_away(&environment.disk, &place).await {
                        here.unread.push(place);
                    }
                }
                Err(DaemonError::Catalog(error)) => return Err(error.into()),
                Err(error) => {
                    here.unread.push(place);
                    here.error.get_or_insert(error.into());
                }
            }
        }
        Ok(here)
    }

    /// [`note_none_here`], where that has been seen.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub(in crate::jobs) async fn note_none(
        &self,
        environment: &Environment,
        backup: &Backup,
    ) -> Result<bool, JobError> {
        let searched = Searched {
            places: &self.places,
            left: &self.unread,
        };
        let (catalog, node) = (environment.catalog.as_ref(), &environment.node);
        let now = environment.clock.now();
        Ok(note_gone(catalog, (node, backup.id), &searched, now).await?)
    }
}

/// Whether a place that is not there may only be unmounted: the root of its days is missing or holds nothing.
async fn is_away(disk: &Disk, place: &Path) -> bool {
    let Some(root) = place.parent().and_then(Path::parent) else {
        return false;
    };
    let (asked, place) = (root.to_owned(), place.to_owned());
    let answer = disk.ask(("look at", root), move || {
        let is_empty = std::fs::read_dir(asked).map_or(true, |mut entries| entries.next().is_none());
        is_empty && !place.exists()
    });
    answer.await.unwrap_or(true)
}
