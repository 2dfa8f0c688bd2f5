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
        // Its own end of line first: half a line that a crash has left takes no other with it.
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, notice)?;
        line.push(b'\n');
        let _lock = self.lock()?;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.file())?;
        let length = file.metadata()?.len();
        if length > MAX_BYTES {
            return Err(io::Error::other("too many notices wait already"));
        }
        file.write_all(&line).inspect_err(|_| {
            // What a full disk has taken of it; where that cannot be, the next line does not mind.
            drop(file.set_len(length));
        })
    }

    /// What is not gathered yet, as far as it can be read now.
    pub(super) fn waiting(&self) -> Vec<Notice> {
        let texts = [self.taken(), self.file()].map(|path| std::fs::read(path).unwrap_or_default());
        texts.iter().flat_map(|text| parsed(text)).collect()
    }

    /// Whether there is anything.
    pub(super) fn has_any(&self) -> bool {
        self.file().exists() || self.taken().exists()
    }

    /// How much is there: it only grows until it is taken.
    pub(super) fn size_bytes(&self) -> u64 {
        let sizes = [self.taken(), self.file()].map(|path| path.metadata().map_or(0, |found| found.len()));
        sizes.iter().sum()
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
        Ok(parsed(&std::fs::read(self.taken())?))
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

/// A line that a crash has cut off says nothing.
fn parsed(text: &[u8]) -> Vec<Notice> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
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
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(content)?;
            match is_synced {
                true => file.sync_all(),
                false => Ok(()),
            }
        });
    written
        .and_then(|()| std::fs::rename(&draft, path))
        .inspect_err(|_| drop(std::fs::remove_file(&draft)))
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
            message: "x".to_owned(),
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
        again.done().unwrap();
        assert!(!again.has_any());
    }

    #[test]
    fn half_a_line_takes_no_other_notice_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(folder.path().to_owned());
        inbox.put(&notice("a")).unwrap();
        let mut file = OpenOptions::new().append(true).open(inbox.file()).unwrap();
        file.write_all(b"{\"at\":\"1970-01-01T00").unwrap();
        inbox.put(&notice("b")).unwrap();
        let topics: Vec<_> = inbox.take().unwrap().into_iter().map(|one| one.topic).collect();
        assert_eq!(topics, ["a", "b"]);
    }
}
