//! A set's folder on its way out: set aside under a name that says so, then removed, its manifest first.
//!
//! A folder under its own name has lost nothing; one that was set aside and still has its manifest has not either, and
//! can be put back. So a removal that was cut off at any instant leaves nothing that looks like a whole set.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use mykeeper_domain::BackupId;
use mykeeper_domain::manifest::MANIFEST_FILE;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const PREFIX: &str = ".";
const SUFFIX: &str = ".deleting";
/// Folders of days that are looked into for what was left.
const MOST_DAYS: usize = 100_000;

/// How far the removal of a set's folder has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing is there.
    Gone,
    /// Something of it has been removed.
    Begun,
    /// It has another name, and all that it had.
    SetAside,
    /// Not begun.
    Whole,
}

/// The name under which a set's folder is removed.
fn aside(place: &Path) -> Option<PathBuf> {
    let name = place.file_name()?.to_str()?;
    Some(place.with_file_name(format!("{PREFIX}{name}{SUFFIX}")))
}

fn is_gone(path: &Path) -> bool {
    path.symlink_metadata()
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// How far the removal of the set that lies, or lay, in `place` has got.
pub fn standing(place: &Path) -> Standing {
    if !is_gone(place) {
        return Standing::Whole;
    }
    match aside(place) {
        Some(aside) if !is_gone(&aside) => {
            if is_gone(&aside.join(MANIFEST_FILE)) {
                Standing::Begun
            } else {
                Standing::SetAside
            }
        }
        _ => Standing::Gone,
    }
}

/// What keeps other passes away from a set's folders, until it is dropped: the kernel's locks on them, which end with
/// the process and stay with a folder that gets another name.
#[derive(Debug)]
pub struct Hold {
    _folders: Vec<OwnedFd>,
}

/// Takes the locks; `None` where another pass has one, or somebody works on the set. A folder that is not there, or
/// whose file system has no locks, is held against nobody.
pub fn hold(places: &[PathBuf]) -> Option<Hold> {
    lock(places, FlockOperation::NonBlockingLockExclusive)
}

/// Keeps removals away from a set's folder while one works on it, beside others who do; `None` where a removal has it.
pub fn share(place: &Path) -> Option<Hold> {
    lock(&[place.to_path_buf()], FlockOperation::NonBlockingLockShared)
}

fn lock(places: &[PathBuf], operation: FlockOperation) -> Option<Hold> {
    let (mut folders, mut held) = (Vec::new(), Vec::new());
    for path in places
        .iter()
        .flat_map(|place| [Some(place.clone()), aside(place)])
        .flatten()
    {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(folder) = rustix::fs::open(&path, flags, Mode::empty()) else {
            continue;
        };
        // Two paths may be one folder, whose lock is had once.
        if let Ok(stat) = rustix::fs::fstat(&folder) {
            let identity = (stat.st_dev, stat.st_ino);
            if held.contains(&identity) {
                continue;
            }
            held.push(identity);
        }
        match rustix::fs::flock(&folder, operation) {
            Err(rustix::io::Errno::WOULDBLOCK) => return None,
            _ => folders.push(folder),
        }
    }
    Some(Hold { _folders: folders })
}

/// Removes a set's folder, after making sure that it is one and lies below `directory`. Goes on where an earlier
/// removal ended.
///
/// # Errors
/// A sentence: what is not removed, and why.
pub fn remove_set(directory: &Path, place: &Path, id: BackupId) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("{} is not removed: {why}", place.display()));
    if place.file_name().and_then(|name| name.to_str()) != Some(id.to_string().as_str()) {
        return refuse("its name is not the set's");
    }
    let Some(aside) = aside(place) else {
        return refuse("it has no name");
    };
    // Whatever an earlier removal has left is in the way of the new name.
    remove_aside(directory, &aside)?;
    if is_gone(place) {
        return Ok(());
    }
    check_folder(directory, place)?;
    std::fs::rename(place, &aside)
        .map_err(|error| format!("cannot set {} aside for its removal: {error}", place.display()))?;
    sync_above(&aside);
    remove_aside(directory, &aside)
}

/// Removes what was set aside of a set, and nothing that lies under its own name.
///
/// # Errors
/// A sentence.
pub fn remove_leftover(directory: &Path, place: &Path) -> Result<(), String> {
    match aside(place) {
        Some(aside) => remove_aside(directory, &aside),
        None => Ok(()),
    }
}

fn remove_aside(directory: &Path, aside: &Path) -> Result<(), String> {
    if is_gone(aside) {
        return Ok(());
    }
    check_folder(directory, aside)?;
    let failed = |error: std::io::Error| format!("cannot remove {}: {error}", aside.display());
    match std::fs::remove_file(aside.join(MANIFEST_FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => sync(aside),
    }
    std::fs::remove_dir_all(aside).map_err(failed)?;
    sync_above(aside);
    Ok(())
}

/// Gives a set that was set aside and has lost nothing its name again.
///
/// # Errors
/// A sentence.
pub fn put_back(directory: &Path, place: &Path) -> Result<(), String> {
    let Some(aside) = aside(place).filter(|_| standing(place) == Standing::SetAside) else {
        return Ok(());
    };
    check_folder(directory, &aside)?;
    std::fs::rename(&aside, place).map_err(|error| {
        format!(
            "cannot give {} its name {} again: {error}",
            aside.display(),
            place.display()
        )
    })?;
    sync_above(place);
    Ok(())
}

/// A folder, no link, below the job's directory also after all links on the way are followed.
fn check_folder(directory: &Path, place: &Path) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("{} is not removed: {why}", place.display()));
    match place.symlink_metadata() {
        Err(error) => return refuse(&error.to_string()),
        Ok(metadata) if metadata.file_type().is_symlink() => return refuse("it is a link"),
        Ok(metadata) if !metadata.is_dir() => return refuse("it is no folder"),
        Ok(_) => {}
    }
    let real = |path: &Path| {
        path.canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    let (real_directory, real_place) = (real(directory)?, real(place)?);
    if !real_place.starts_with(&real_directory) || real_place == real_directory {
        return refuse("a link leads it out of the job's directory");
    }
    Ok(())
}

/// A name that is not on disk yet after a power cut is found by the next pass: that it cannot be synced is no reason to
/// stop.
fn sync(folder: &Path) {
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(folder = %folder.display(), %error, "cannot sync a folder");
    }
}

fn sync_above(path: &Path) {
    if let Some(above) = path.parent() {
        sync(above);
    }
}

/// The folders of days in a job's directory; links are not followed.
pub(crate) fn days(directory: &Path) -> Vec<(NaiveDate, PathBuf)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .take(MOST_DAYS)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| {
            let name = entry.file_name();
            let day = NaiveDate::parse_from_str(name.to_str()?, "%Y-%m-%d").ok()?;
            Some((day, entry.path()))
        })
        .collect()
}

/// The sets below the days of `directory` whose folders were set aside: where they lay.
pub fn set_aside(directory: &Path) -> Vec<(BackupId, PathBuf)> {
    let mut found = Vec::new();
    for (_, day) in days(directory) {
        for entry in std::fs::read_dir(day).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| {
                name.strip_prefix(PREFIX)?
                    .strip_suffix(SUFFIX)?
                    .parse::<BackupId>()
                    .ok()
            });
            if let Some(id) = id {
                found.push((id, entry.path().with_file_name(id.to_string())));
            }
        }
    }
    found
}

/// Removes the folders of days that are empty. The last two days' stay: a backup that begins now may be about to make
/// its folder there.
pub fn remove_empty_days(directory: &Path, now: DateTime<Utc>) {
    let Some(latest) = now.checked_sub_signed(TimeDelta::days(2)) else {
        return;
    };
    for (day, path) in days(directory) {
        if day < latest.date_naive() {
            // Only an empty folder goes; that it is not empty is the usual case.
            drop(std::fs::remove_dir(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH_LATER: &str = "2027-11-22T00:00:00Z";

    fn set(root: &Path) -> (BackupId, PathBuf) {
        let id = BackupId::generate();
        let place = root.join("2026-11-22").join(id.to_string());
        std::fs::create_dir_all(place.join("shop")).unwrap();
        std::fs::write(place.join("shop/metadata"), "x").unwrap();
        std::fs::write(place.join(MANIFEST_FILE), "{}").unwrap();
        (id, place)
    }

    #[test]
    fn a_set_that_several_work_on_is_held_against_its_removal() {
        let root = tempfile::tempdir().unwrap();
        let (_, place) = set(root.path());
        let places = [place.clone()];
        let (one, other) = (share(&place).unwrap(), share(&place).unwrap());
        drop(one);
        assert!(hold(&places).is_none());
        drop(other);
        let held = hold(&places).unwrap();
        assert!(share(&place).is_none());
        drop(held);
    }

    #[test]
    fn a_set_goes_with_its_empty_day() {
        let root = tempfile::tempdir().unwrap();
        let (id, place) = set(root.path());
        remove_set(root.path(), &place, id).unwrap();
        assert!(!place.exists());
        assert_eq!(
            std::fs::read_dir(root.path().join("2026-11-22")).unwrap().count(),
            0
        );
        remove_empty_days(root.path(), "2026-11-23T00:00:00Z".parse().unwrap());
        assert!(
            root.path().join("2026-11-22").exists(),
            "a backup may be about to use it"
        );
        remove_empty_days(root.path(), MUCH_LATER.parse().unwrap());
        assert!(!root.path().join("2026-11-22").exists());
        remove_set(root.path(), &place, id).unwrap();
    }

    #[test]
    fn a_day_with_something_in_it_stays() {
        let root = tempfile::tempdir().unwrap();
        let (_, place) = set(root.path());
        remove_empty_days(root.path(), MUCH_LATER.parse().unwrap());
        assert!(place.exists());
    }

    #[test]
    fn a_link_is_never_followed() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (id, victim) = set(other.path());
        let day = root.path().join("2026-11-22");
        std::fs::create_dir(&day).unwrap();
        let link = day.join(id.to_string());
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(
            remove_set(root.path(), &link, id)
                .unwrap_err()
                .contains("it is a link")
        );
        std::fs::rename(&link, aside(&link).unwrap()).unwrap();
        assert!(
            remove_set(root.path(), &link, id)
                .unwrap_err()
                .contains("it is a link")
        );
        std::fs::remove_file(aside(&link).unwrap()).unwrap();
        std::fs::remove_dir(&day).unwrap();
        std::os::unix::fs::symlink(other.path().join("2026-11-22"), &day).unwrap();
        let error = remove_set(root.path(), &link, id).unwrap_err();
        assert!(error.contains("leads it out"), "{error}");
        assert!(victim.join("shop/metadata").exists());
    }

    #[test]
    fn a_folder_of_another_name_stays() {
        let root = tempfile::tempdir().unwrap();
        let (_, place) = set(root.path());
        assert!(
            remove_set(root.path(), &place, BackupId::generate())
                .unwrap_err()
                .contains("its name")
        );
        assert!(place.exists());
    }

    #[test]
    fn a_removal_that_was_cut_off_at_any_instant_is_known_and_finished() {
        let root = tempfile::tempdir().unwrap();
        let (id, place) = set(root.path());
        assert_eq!(standing(&place), Standing::Whole);
        let aside = aside(&place).unwrap();
        std::fs::rename(&place, &aside).unwrap();
        assert_eq!(standing(&place), Standing::SetAside);
        assert_eq!(set_aside(root.path()), [(id, place.clone())]);
        put_back(root.path(), &place).unwrap();
        assert_eq!(standing(&place), Standing::Whole);
        assert_eq!(set_aside(root.path()), []);
        std::fs::rename(&place, &aside).unwrap();
        std::fs::remove_file(aside.join(MANIFEST_FILE)).unwrap();
        assert_eq!(standing(&place), Standing::Begun);
        put_back(root.path(), &place).unwrap();
        assert_eq!(
            standing(&place),
            Standing::Begun,
            "half a set gets its name again"
        );
        remove_set(root.path(), &place, id).unwrap();
        assert_eq!(standing(&place), Standing::Gone);
    }

    #[test]
    fn two_passes_do_not_remove_one_set() {
        let root = tempfile::tempdir().unwrap();
        let (_, place) = set(root.path());
        let places = [place.clone()];
        let held = hold(&places).unwrap();
        assert!(hold(&places).is_none());
        std::fs::rename(&place, aside(&place).unwrap()).unwrap();
        assert!(hold(&places).is_none(), "the lock goes with the name");
        drop(held);
        assert!(hold(&places).is_some());
        assert!(hold(&[root.path().join("nothing")]).is_some());
    }
}
