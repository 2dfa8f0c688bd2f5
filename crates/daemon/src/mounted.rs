//! Folders whose disk may only be unmounted: what is left of a mount point is an empty folder, or none.
//!
//! Whoever writes sets there, looks for them, or tells of them asks here: what was written into an empty mount point would
//! fill another disk, and make what lies on the right one look lost. A set that is dumped there all the same leaves a mark
//! beside it: until the disk is mounted over both, what lies there tells nothing of what should.

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
/// By which a person says that a folder is the right one, whatever is missed there.
const TOLD: &str = ".mykeeper";
/// Lies beside sets that were made where those before them were missed.
const MISSED: &str = ".mykeeper-unmounted";
/// What it holds, for people.
const MISSED_SAYS: &str =
    "The sets that should lie here were not there when others were made here: was the disk mounted?\n";

/// Sets that should lie in a folder and do not, and whose disk may only be unmounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    root: PathBuf,
    sets: usize,
    is_marked: bool,
}

impl Absent {
    /// So many sets of one folder.
    ///
    /// # Errors
    /// The file system does not answer in time.
    pub(crate) async fn of(disk: &Disk, root: &Path, sets: usize) -> Result<Self, DiskError> {
        let is_marked = has(disk, root, MISSED).await?;
        Ok(Self {
            root: root.to_owned(),
            sets,
            is_marked,
        })
    }
}

/// `of the 5 sets that should lie in /backup/vault none is there: is its disk mounted?`
impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sets, root) = (counted(self.sets, "set", "sets"), self.root.display());
        let told = self.root.join(TOLD);
        match self.is_marked {
            false => write!(f, "of the {sets} that should lie in {root} none is there")?,
            true => write!(
                f,
                "{sets} that should lie in {root} {} not there, and what is there was made without its disk (so says {})",
                if self.sets == 1 { "is" } else { "are" },
                self.root.join(MISSED).display()
            )?,
        }
        write!(
            f,
            ": is its disk mounted? If it is a new disk: touch {}",
            told.display()
        )
    }
}

async fn has(disk: &Disk, root: &Path, name: &str) -> Result<bool, DiskError> {
    let entry = root.join(name);
    disk.ask(("look at", root), move || entry.symlink_metadata().is_ok())
        .await
}

/// Whether a person has said that a folder is the right one.
///
/// # Errors
/// The file system does not answer in time.
pub(crate) async fn is_told(disk: &Disk, root: &Path) -> Result<bool, DiskError> {
    has(disk, root, TOLD).await
}

/// Whether the folder is not there, holds nothing but what a new disk does, or is marked as that of a disk that was missed.
/// Any other entry tells that it is the right one; so does `.mykeeper` whatever lies beside it.
///
/// # Errors
/// The file system does not answer in time; or it does, and the folder cannot be read.
pub(crate) async fn holds_nothing(disk: &Disk, root: &Path) -> Result<io::Result<bool>, DiskError> {
    let asked = root.to_owned();
    disk.ask(("look at", root), move || {
        if asked.join(TOLD).symlink_metadata().is_ok() {
            return Ok(false);
        }
        if asked.join(MISSED).symlink_metadata().is_ok() {
            return Ok(true);
        }
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

/// Marks the folder that a set is to be made in, while its disk may be unmounted: it holds something from then on. Where
/// nothing is missed a mark from before goes. A catalog that does not answer (`None`) tells of no set that is missed.
///
/// # Errors
/// The mark cannot be written; the file system does not answer in time.
pub(crate) async fn mark_missed(
    disk: &Disk,
    root: &Path,
    is_missed: Option<bool>,
) -> Result<io::Result<()>, DiskError> {
    let is_missed = match is_missed {
        Some(is_missed) => is_missed,
        None => matches!(holds_nothing(disk, root).await, Ok(Ok(true))),
    };
    let mark = root.join(MISSED);
    disk.ask(("write to", root), move || {
        if !is_missed {
            // Usually there is none. One that stays is told of.
            drop(std::fs::remove_file(mark));
            return Ok(());
        }
        match std::fs::write(mark, MISSED_SAYS) {
            // There is no folder: told by whoever is to work there.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            written => written,
        }
    })
    .await
}

impl Whereabouts<'_> {
    /// The sets that should lie below `root` on this machine, originals and copies that have arrived, where the folder holds
    /// nothing of them. `None` where something lies there, where nothing is missed, and where it cannot be looked at: that is
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
            // Made since.
            let mut is_here = false;
            for place in &below {
                is_here |= self.disk.is_dir(place).await.unwrap_or(false);
            }
            if is_here {
                continue;
            }
            let known = Known::of(self.catalog, &backup).await?;
            let mut expected = below
                .iter()
                .map(|place| known.should_lie_at(place, &backup, self.settings));
            sets += usize::from(expected.any(|expected| matches!(expected, Expected::There(_))));
        }
        match sets {
            0 => Ok(None),
            sets => Ok(Absent::of(self.disk, root, sets).await.ok()),
        }
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
            ("2026-11-22", false),
            (MISSED, true),
            (TOLD, false),
        ] {
            std::fs::create_dir_all(root.join(name)).unwrap();
            assert_eq!(asked().await, is_nothing, "{name}");
        }
        let mut absent = Absent {
            root: "/vault".into(),
            sets: 5,
            is_marked: false,
        };
        assert_eq!(
            absent.to_string(),
            "of the 5 sets that should lie in /vault none is there: is its disk mounted? If it is a new disk: touch \
             /vault/.mykeeper"
        );
        (absent.sets, absent.is_marked) = (1, true);
        assert!(absent.to_string().starts_with(
            "1 set that should lie in /vault is not there, and what is there was made without its disk (so says \
             /vault/.mykeeper-unmounted): is its disk mounted?"
        ));
    }
}
