//! Which disk is mounted at a root, the folder above those of days: disks may be changed in turn, and one set that lies
//! there tells nothing of those on a disk that is not in.
//!
//! `.mykeeper-disk` in the root holds the disk's identity, a UUID in a line of its own. It is written where sets are made or
//! found and none is missed, and tells nothing else: that the folder is the right one a person says by `.mykeeper`. Further
//! lines, which a person adds, are the identities of disks that this one stands for.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use uuid::Uuid;

/// By which a person says that a folder is the right one, whatever is missed there.
pub(crate) const TOLD_FILE: &str = ".mykeeper";
/// Which names the disk.
pub(crate) const DISK_FILE: &str = ".mykeeper-disk";
/// What is not read of a file that somebody has put there.
const MOST_BYTES: u64 = 64 * 1024;
/// Stands above the identity, for people.
const SAYS: &str =
    "# Which disk this is: mykeeper takes a set for gone only while the disk that it was seen on is here.";

/// A disk, and those that it stands for; the first is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskIds(Vec<Uuid>);

impl DiskIds {
    /// The disk's own identity.
    pub(crate) fn own(&self) -> Option<Uuid> {
        self.0.first().copied()
    }

    /// Whether what was seen on that disk should lie here.
    pub(crate) fn stands_for(&self, disk: Uuid) -> bool {
        self.0.contains(&disk)
    }

    /// What the root's file says; `None` where it has no identity.
    ///
    /// # Errors
    /// There is a file, and it cannot be read.
    pub(crate) fn read(root: &Path) -> io::Result<Option<Self>> {
        let file = match std::fs::File::open(root.join(DISK_FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        // Somebody may have made a folder of that name.
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let ids: Vec<Uuid> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        Ok((!ids.is_empty()).then_some(Self(ids)))
    }

    /// The same, after giving one that has none an identity: the one that it had before (`lost`), if that is known, or a new one.
    /// Of several that do so at once the one whose line comes first has given it.
    ///
    /// # Errors
    /// It has none, and none can be written there.
    pub(crate) fn read_or_give(root: &Path, lost: Option<Uuid>) -> io::Result<Option<Self>> {
        if let Some(known) = Self::read(root)? {
            return Ok(Some(known));
        }
        let path = root.join(DISK_FILE);
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        // A line that somebody has begun is ended; all in one piece.
        let before = if file.metadata()?.len() == 0 { "" } else { "\n" };
        let text = format!("{before}{SAYS}\n{}\n", lost.unwrap_or_else(Uuid::new_v4));
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::File::open(root)?.sync_all()?;
        Self::read(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_gets_one_identity_whoever_writes_it_and_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(DiskIds::read(root.path()).unwrap(), None);
        let gives: Vec<_> = (0..8)
            .map(|_| {
                let root = root.path().to_owned();
                std::thread::spawn(move || DiskIds::read_or_give(&root, None).unwrap().unwrap().own())
            })
            .collect();
        let given: Vec<_> = gives.into_iter().map(|one| one.join().unwrap()).collect();
        let known = DiskIds::read(root.path()).unwrap().unwrap();
        assert!(given.iter().all(|own| *own == known.own()), "{given:?}");
        assert_eq!(DiskIds::read_or_give(root.path(), None).unwrap(), Some(known));
    }

    #[test]
    fn an_empty_file_of_a_persons_gets_an_identity_and_a_line_that_is_added_is_stood_for() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(DISK_FILE);
        std::fs::write(&file, "new disk").unwrap();
        let own = DiskIds::read_or_give(root.path(), None)
            .unwrap()
            .unwrap()
            .own()
            .unwrap();
        let lost = Uuid::new_v4();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("new disk\n#"), "{text}");
        std::fs::write(&file, format!("{text}{lost}\n")).unwrap();
        let known = DiskIds::read(root.path()).unwrap().unwrap();
        assert_eq!(known.own(), Some(own));
        assert!(known.stands_for(own) && known.stands_for(lost) && !known.stands_for(Uuid::new_v4()));
    }

    #[test]
    fn where_none_can_be_written_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(DiskIds::read_or_give(&root.path().join("not-there"), None).is_err());
        std::fs::create_dir(root.path().join(DISK_FILE)).unwrap();
        assert_eq!(DiskIds::read(root.path()).unwrap(), None);
        assert!(DiskIds::read_or_give(root.path(), None).is_err());
    }
}
