//! Folders whose disk may only be unmounted: what is left of a mount point is an empty folder, or none.
//!
//! Whoever writes sets there, looks for them, or tells of them asks here: what was written into an empty mount point would
//! fill another disk, and make what lies on the right one look lost.

use crate::copies::{Expected, Known};
use crate::disk::{Disk, DiskError};
use crate::environment::Environment;
use crate::locate::{Whereabouts, places};
use mykeeper_catalog::{BackupFilter, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::{DestinationName, counted};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What begins the names of files that we write to a folder to try it.
const TRIED: &str = ".mykeeper-";
/// What a new file system has of itself.
const OF_A_NEW_DISK: &str = "lost+found";

/// Sets that should lie in a folder that holds nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    root: PathBuf,
    sets: usize,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.root.join(".mykeeper");
        write!(
            f,
            "{}: is its disk mounted? If it is a new disk: touch {}",
            none_there(self.sets, &self.root),
            own.display()
        )
    }
}

/// `of the 5 sets that should lie in /backup/vault none is there`
pub(crate) fn none_there(sets: usize, root: &Path) -> String {
    format!(
        "of the {} that should lie in {} none is there",
        counted(sets, "set", "sets"),
        root.display()
    )
}

/// Whether the folder is not there, or holds nothing but what a new disk does. Any other entry tells that it is the right
/// one: `.mykeeper`, by which a person says so, too.
///
/// # Errors
/// The file system does not answer in time; or it does, and the folder cannot be read.
pub(crate) async fn holds_nothing(disk: &Disk, root: &Path) -> Result<io::Result<bool>, DiskError> {
    let asked = root.to_owned();
    disk.ask(("look at", root), move || {
        let entries = match asked.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            if name != OF_A_NEW_DISK && !name.as_encoded_bytes().starts_with(TRIED.as_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

impl Whereabouts<'_> {
    /// The sets that should lie below `root` on this machine, originals and copies that have arrived, where the folder holds
    /// nothing at all. `None` where something lies there, where nothing is missed, and where it cannot be looked at: that is
    /// told by whoever works there.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn absent(&self, root: &Path) -> Result<Option<Absent>, CatalogError> {
        if !matches!(holds_nothing(self.disk, root).await, Ok(Ok(true))) {
            return Ok(None);
        }
        let filter = BackupFilter {
            present_only: true,
            limit: u32::MAX,
            ..BackupFilter::default()
        };
        let paths = self.catalog.paths().await?;
        let mut sets = 0;
        for backup in self.catalog.backups(&filter).await? {
            let mut below = places(&backup, &paths, self.settings, &self.settings.node);
            below.retain(|place| place.starts_with(root));
            if below.is_empty() || !backup.is_complete() {
                continue;
            }
            let known = Known::of(self.catalog, &backup).await?;
            let mut expected = below
                .iter()
                .map(|place| known.should_lie_at(place, &backup, self.settings));
            sets += usize::from(expected.any(|expected| matches!(expected, Expected::There(_))));
        }
        Ok((sets > 0).then(|| Absent {
            root: root.to_owned(),
            sets,
        }))
    }

    /// The same of a destination that is a folder.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn absent_at(&self, destination: &Destination) -> Result<Option<Absent>, CatalogError> {
        match &destination.url {
            DestinationUrl::Local { path } => self.absent(path).await,
            _ => Ok(None),
        }
    }
}

/// [`Whereabouts::absent_at`], by the destination's name.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn absent_at(
    environment: &Environment,
    settings: &Settings,
    destination: &DestinationName,
) -> Result<Option<Absent>, CatalogError> {
    match settings.destinations.get(destination) {
        Some(destination) => environment.whereabouts(settings).absent_at(destination).await,
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn any_entry_of_a_person_or_a_set_tells_that_a_disk_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("vault");
        let disk = Disk::default();
        let asked = async || holds_nothing(&disk, &root).await.unwrap().unwrap();
        assert!(asked().await, "not there");
        for (name, is_nothing) in [
            ("lost+found", true),
            (".mykeeper-check-1", true),
            (".mykeeper", false),
        ] {
            std::fs::create_dir_all(root.join(name)).unwrap();
            assert_eq!(asked().await, is_nothing, "{name}");
        }
        let absent = Absent {
            root: "/vault".into(),
            sets: 5,
        };
        assert_eq!(
            absent.to_string(),
            "of the 5 sets that should lie in /vault none is there: is its disk mounted? If it is a new disk: touch \
             /vault/.mykeeper"
        );
    }
}
