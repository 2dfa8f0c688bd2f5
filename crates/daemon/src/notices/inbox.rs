//! Notices that are not gathered yet: lines of a file, appended by the daemon and by commands alike.

use mykeeper_domain::notice::Notice;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What comes beyond is not told: an inbox that nobody empties must not fill the disk.
const MAX_BYTES: u64 = 16 << 20;
/// A sentence is kept up to so many characters.
const LONGEST: usize = 1_000;
/// The lock is held for an append or a rename.
const LOCKED_WITHIN: u32 = 40;
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The file.
pub(super) struct Inbox {
    folder: PathBuf,
    /// Of those in this process one asks for the file's lock at a time.
    turn: Mutex<()>,
}

impl Inbox {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            turn: Mutex::default(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("inbox.jsonl")
    }

    fn taken(&self) -> PathBuf {
        self.folder.join("inbox.taken")
    }

    /// Notes it.
    pub(super) fn put(&self, notice: &Notice) -> io::Result<()> {
        let mut short = notice.clone();
        if short.message.chars().count() > LONGEST {
            short.message = short.message.chars().take(LONGEST).collect();
        }
        let mut line = serde_json::to_vec(&short)?;
        line.push(b'\n');
        let _lock = self.lock()?;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.file())?;
        if file.metadata()?.len() > MAX_BYTES {
            return Err(io::Error::other("too many notices wait already"));
        }
        file.write_all(&line)
    }

    /// Whether there is anything.
    pub(super) fn has_any(&self) -> bool {
        self.file().exists() || self.taken().exists()
    }

    /// All notices, which stay until [`Inbox::done`]: what a crash cuts off is taken again.
    pub(super) fn take(&self) -> io::Result<Vec<Notice>> {
        if !self.taken().exists() {
            let _lock = self.lock()?;
            match std::fs::rename(self.file(), self.taken()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                renamed => renamed?,
            }
        }
        let text = std::fs::read(self.taken())?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        // A line that a crash has cut off says nothing.
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    /// What was taken is in messages now.
    pub(super) fn done(&self) -> io::Result<()> {
        match std::fs::remove_file(self.taken()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> io::Result<Locked<'_>> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        make_folder(&self.folder)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.folder.join("lock"))?;
        for _ in 0..LOCKED_WITHIN {
            match file.try_lock() {
                Ok(()) => return Ok(Locked(file, turn)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other("another process holds its lock"))
    }
}

/// Until it is dropped.
struct Locked<'a>(
    #[expect(dead_code, reason = "holds the kernel's lock")] File,
    #[expect(dead_code, reason = "holds the turn")] std::sync::MutexGuard<'a, ()>,
);

/// For its owner alone.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whole or not at all, also for who reads meanwhile.
pub(super) fn write_whole(path: &Path, content: &[u8], is_synced: bool) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(content)?;
    if is_synced {
        file.sync_all()?;
    }
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use mykeeper_domain::notice::NoticeKind;

    fn notice(topic: &str) -> Notice {
        Notice {
            at: DateTime::UNIX_EPOCH,
            kind: NoticeKind::Failure,
            topic: topic.to_owned(),
            message: "x".repeat(5_000),
            run: None,
            bk_id: None,
        }
    }

    #[test]
    fn what_was_taken_and_is_not_done_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(folder.path().join("notify"));
        assert!(inbox.take().unwrap().is_empty());
        inbox.put(&notice("a")).unwrap();
        assert_eq!(inbox.take().unwrap().len(), 1);
        inbox.put(&notice("b")).unwrap();
        let again = Inbox::new(folder.path().join("notify"));
        assert_eq!(again.take().unwrap()[0].topic, "a");
        again.done().unwrap();
        let second = again.take().unwrap();
        assert_eq!((second.len(), second[0].topic.as_str()), (1, "b"));
        assert_eq!(second[0].message.len(), LONGEST);
        again.done().unwrap();
        assert!(!again.has_any());
    }
}
