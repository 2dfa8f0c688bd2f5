//! Folders whose disk may only be unmounted. What is left of a mount point is an empty folder, or none, or one with whatever
//! else was written there since: a folder that holds none of the sets that should lie in it is not believed.
//!
//! Whoever writes sets there, looks for them, or tells of them asks here: what was written into a mount point would
//! fill another disk, and make what lies on the right one look lost. A set that is dumped there all the same leaves a mark
//! beside it: until the disk is mounted over both, what lies there tells nothing of what should.

mod mark;

use crate::copies::{Expected, Known};
use crate::disk::{Disk, DiskError};
use crate::disk_id::{DiskIds, TOLD_FILE};
use crate::environment::Environment;
use crate::locate::{Whereabouts, original, places};
use crate::machine::{Machine, is_of_here};
use crate::removal::days;
use crate::seen_on::SeenOn;
use chrono::NaiveDate;
pub(crate) use mark::{Marker, is_marked};
use mykeeper_catalog::{BackupFilter, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::{BackupId, DestinationName, counted};
use mykeeper_tools::rsync::shell_word;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Sets of a folder that the catalog is asked of, each by itself, before all of them are gone through.
const MOST_ASKED: usize = 16;

/// Sets that should lie in a folder and do not, and whose disk may only be unmounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    root: PathBuf,
    sets: usize,
    /// Of some of them where they should lie below the root.
    some: Vec<PathBuf>,
    /// What says that sets were missed there before.
    mark: Option<PathBuf>,
    /// Others lie there, from before those were seen on another disk.
    is_beside: bool,
}

impl Absent {
    /// So many sets of one folder.
    ///
    /// # Errors
    /// The file system does not answer in time.
    pub(crate) async fn of(disk: &Disk, root: &Path, sets: usize) -> Result<Self, DiskError> {
        let asked = root.to_owned();
        let marks = disk.ask(("look at", root), move || mark::marks(&asked));
        Ok(Self {
            root: root.to_owned(),
            sets,
            some: Vec::new(),
            mark: marks.await?.into_iter().next(),
            is_beside: false,
        })
    }
}

/// `of the 5 sets that should lie in /backup/vault none is there: is its disk mounted?`
impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sets, root) = (counted(self.sets, "set", "sets"), self.root.display());
        match &self.mark {
            None if self.is_beside => write!(
                f,
                "{sets} that should lie in {root} {} not there, the newest of all among them, which was seen on another disk",
                if self.sets == 1 { "is" } else { "are" },
            )?,
            None => write!(f, "of the {sets} that should lie in {root} none is there")?,
            Some(mark) => write!(
                f,
                "{sets} that should lie in {root} {} not there, and what is there was made without its disk (so says {})",
                if self.sets == 1 { "is" } else { "are" },
                mark.display()
            )?,
        }
        write!(
            f,
            ": is its disk mounted? If they were removed on purpose, or it is a new disk: {}",
            touch(&self.root)
        )
    }
}

/// The command that says that a folder is the right one, which may not be there.
pub(crate) fn touch(root: &Path) -> String {
    let word = |path: &Path| shell_word(&path.display().to_string());
    format!("mkdir -p {} && touch {}", word(root), word(&root.join(TOLD_FILE)))
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
    has(disk, root, TOLD_FILE).await
}

/// The folder above those of days that a set's own folder lies in; of one that lies in no day's, the folder above it.
pub(crate) fn root_of(place: &Path) -> Option<&Path> {
    let above = place.parent()?;
    match above.file_name().and_then(|name| name.to_str()) {
        Some(name) if is_day(name) => above.parent(),
        _ => Some(above),
    }
}

fn is_day(name: &str) -> bool {
    NaiveDate::parse_from_str(name, "%Y-%m-%d").is_ok()
}

/// What shows in a folder without asking the catalog.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    is_told: bool,
    is_marked: bool,
    has_days: bool,
    /// What bears the names of sets, of the newest days first; a few.
    sets: Vec<BackupId>,
}

impl Shown {
    /// # Errors
    /// The folder cannot be read. One that is not there shows nothing.
    fn read(root: &Path) -> io::Result<Self> {
        match root.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            entries => drop(entries?),
        }
        let mut days = days(root);
        days.sort_by_key(|(day, _)| std::cmp::Reverse(*day));
        let folders = days.iter().map(|(_, day)| day.as_path()).chain([root]);
        let entries = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
        let sets = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(Self {
            is_told: root.join(TOLD_FILE).symlink_metadata().is_ok(),
            is_marked: is_marked(root),
            has_days: !days.is_empty(),
            sets: sets.take(MOST_ASKED).collect(),
        })
    }

    fn holds_nothing(&self) -> bool {
        !self.is_told && (self.is_marked || !self.has_days && self.sets.is_empty())
    }
}

async fn shown(disk: &Disk, root: &Path) -> Result<io::Result<Shown>, DiskError> {
    let asked = root.to_owned();
    disk.ask(("look at", root), move || Shown::read(&asked)).await
}

/// Whether the folder is not there, holds nothing of sets (neither a day's folder nor one of theirs), or is marked as that of
/// a disk that was missed: `.mykeeper` tells that it is the right one all the same.
///
/// # Errors
/// The file system does not answer in time; or it does, and the folder cannot be read.
pub(crate) async fn holds_nothing(disk: &Disk, root: &Path) -> Result<io::Result<bool>, DiskError> {
    let shown = shown(disk, root).await?;
    Ok(shown.map(|shown| shown.holds_nothing()))
}

/// Marks the folder that a set is to be made in, while its disk may be unmounted: it holds something from then on. Where
/// nothing is missed the mark that this `state_dir` has put before goes, and that of others as [`mark`] says. A catalog that does
/// not answer (`None`) tells of no set that is missed. Gives whether it is marked now.
///
/// # Errors
/// The mark cannot be written; the file system does not answer in time.
pub(crate) async fn mark_missed(
    environment: &Environment,
    (settings, root): (&Settings, &Path),
    missed: Option<Option<&Absent>>,
) -> Result<io::Result<bool>, DiskError> {
    let disk = &environment.disk;
    let (is_missed, some) = match missed {
        Some(missed) => (missed.is_some(), missed.map(|missed| missed.some.clone())),
        None => (matches!(holds_nothing(disk, root).await, Ok(Ok(true))), None),
    };
    let (state, settings, asked) = (environment.state.clone(), settings.clone(), root.to_owned());
    disk.ask(("write to", root), move || {
        // Where none is missed and nothing is marked, as ever, nobody need know who asks.
        if !is_missed && !is_marked(&asked) {
            return Ok(false);
        }
        let marker = Marker::of(&settings, &state)?;
        match is_missed {
            true => mark::put(&asked, &marker, &some.unwrap_or_default()),
            false => Ok(mark::take_back(&asked, &marker)),
        }
    })
    .await
}

impl Whereabouts<'_> {
    /// The sets that should lie below `root` on this machine, originals and copies that have arrived, where none of them
    /// does, whatever else lies there; beside a mark those that do not. `None` where the folder is told to be the right one,
    /// where nothing is missed, and where it cannot be looked at: that is told by whoever works there.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn absent(&self, root: &Path) -> Result<Option<Absent>, CatalogError> {
        let Ok(Ok(shown)) = shown(self.disk, root).await else {
            return Ok(None);
        };
        if shown.is_told {
            return Ok(None);
        }
        let is_known = !shown.is_marked && self.knows_any(&shown.sets).await?;
        let is_beside = is_known && self.was_used_before(root).await?;
        if is_known && !is_beside {
            return Ok(None);
        }
        let filter = BackupFilter {
            present_only: true,
            limit: u32::MAX,
            ..BackupFilter::default()
        };
        let paths = self.catalog.paths().await?;
        let (mut machine, mut sets, mut some) = (None, 0, Vec::new());
        for backup in self.catalog.backups(&filter).await? {
            let mut below = places(&backup, &paths, self.settings, &self.settings.node);
            below.retain(|place| place.starts_with(root));
            if below.is_empty() {
                continue;
            }
            let mut is_here = false;
            for place in &below {
                is_here |= self.disk.is_dir(place).await.unwrap_or(false);
            }
            match is_here {
                // Made since, or before.
                true if shown.is_marked || is_beside => {}
                true => return Ok(None),
                false if self.is_missed(&backup, &below, &mut machine).await? => {
                    sets += 1;
                    if some.len() < MOST_ASKED {
                        let place = below.first().and_then(|place| place.strip_prefix(root).ok());
                        some.extend(place.map(Path::to_owned));
                    }
                }
                false => {}
            }
        }
        match sets {
            0 => Ok(None),
            sets => Ok(Absent::of(self.disk, root, sets).await.ok().map(|absent| Absent {
                some,
                is_beside,
                ..absent
            })),
        }
    }

    /// Whether the folder is a mount point that was used before its disk was mounted: the set that was seen below it last is not
    /// there, and was seen on another disk, and no disk is mounted at the folder itself. Disks that are changed in turn are.
    async fn was_used_before(&self, root: &Path) -> Result<bool, CatalogError> {
        let (asked, state_dir) = (root.to_owned(), self.settings.state_dir.clone());
        let looked = self.disk.ask(("look at", root), move || {
            let seen = SeenOn::kept_in(&state_dir, &asked).unwrap_or_default();
            let here = DiskIds::read(&asked).unwrap_or_default();
            let device = |path: &Path| path.metadata().ok().map(|found| found.dev());
            let is_mount_point = device(&asked) != asked.parent().and_then(device);
            (!is_mount_point).then_some((seen, here))
        });
        let Ok(Some((seen, here))) = looked.await else {
            return Ok(false);
        };
        for id in seen.newest().take(MOST_ASKED) {
            let found = self.catalog.backup(id).await?;
            let Some(newest) = found.filter(|found| found.deletion != Deletion::Deleted) else {
                continue;
            };
            let paths = self.catalog.paths().await?;
            for place in places(&newest, &paths, self.settings, &self.settings.node) {
                if place.starts_with(root) && self.disk.is_dir(&place).await.unwrap_or(true) {
                    return Ok(false);
                }
            }
            return Ok(!seen.was_seen_here(id, here.as_ref()));
        }
        Ok(false)
    }

    /// Whether any of them is a set that is there as far as the catalog knows.
    async fn knows_any(&self, sets: &[BackupId]) -> Result<bool, CatalogError> {
        for id in sets {
            let found = self.catalog.backup(*id).await?;
            if found.is_some_and(|found| found.deletion != Deletion::Deleted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a set that lies in none of these places should lie in one. pybackup does not write which machine made a set:
    /// what retention takes for one of this machine's is missed like its own.
    async fn is_missed(
        &self,
        backup: &Backup,
        places: &[PathBuf],
        machine: &mut Option<Machine>,
    ) -> Result<bool, CatalogError> {
        if !backup.is_complete() {
            return Ok(false);
        }
        let own = original(backup, &self.settings.node).filter(|own| places.contains(own));
        if own.is_some() && backup.node.is_none() && backup.original_gone_at.is_none() {
            let asked = match machine.take() {
                Some(asked) => Some(asked),
                None => Machine::ask(self.disk).await.ok(),
            };
            let is_of_here = asked
                .as_ref()
                .is_some_and(|machine| is_of_here(backup, self.settings, machine));
            *machine = asked;
            if is_of_here {
                return Ok(true);
            }
        }
        let known = Known::of(self.catalog, backup).await?;
        Ok(places.iter().any(|place| {
            matches!(
                known.should_lie_at(place, backup, self.settings),
                Expected::There(_)
            )
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
    async fn what_lies_there_of_sets_or_a_person_who_says_so_tells_that_a_disk_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("vault");
        let disk = Disk::default();
        let asked = async || holds_nothing(&disk, &root).await.unwrap().unwrap();
        assert!(asked().await, "not there");
        for (name, is_nothing) in [
            ("lost+found", true),
            (".mykeeper-check-1", true),
            ("backup.log", true),
            ("2026-11-22", false),
            (".mykeeper-unmounted", true),
            (".mykeeper-unmounted.other", true),
            (crate::disk_id::DISK_FILE, true),
            (TOLD_FILE, false),
        ] {
            std::fs::create_dir_all(root.join(name)).unwrap();
            assert_eq!(asked().await, is_nothing, "{name}");
        }
        let mut absent = Absent {
            root: "/vault".into(),
            sets: 5,
            some: Vec::new(),
            mark: None,
            is_beside: false,
        };
        assert_eq!(
            absent.to_string(),
            "of the 5 sets that should lie in /vault none is there: is its disk mounted? If they were removed on \
             purpose, or it is a new disk: mkdir -p /vault && touch /vault/.mykeeper"
        );
        (absent.sets, absent.mark) = (1, Some("/vault/.mykeeper-unmounted".into()));
        assert!(absent.to_string().starts_with(
            "1 set that should lie in /vault is not there, and what is there was made without its disk (so says \
             /vault/.mykeeper-unmounted): is its disk mounted?"
        ));
    }

    #[test]
    fn the_root_is_above_the_days_where_there_are_any() {
        for (place, root) in [
            ("/data/2026-11-22/x", Some("/data")),
            ("/data/backup_db/x", Some("/data/backup_db")),
            ("/x", Some("/")),
            ("/", None),
        ] {
            assert_eq!(root_of(Path::new(place)), root.map(Path::new), "{place}");
        }
    }
}
