//! Room on a file system: how much there is, and some that is kept back for what must be written at the end.

use crate::blocking::off_thread;
use crate::error::ToolError;
use mykeeper_domain::space::{KeptForRoot, Room};
use rustix::fs::{FallocateFlags, StatVfs};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A file system that says nothing for so long is away.
const ASKED_WITHIN: Duration = Duration::from_secs(30);
/// Kept back for the record of a set, whatever its size.
const RECORD_BYTES: u64 = 4 << 20;
/// Kept back for each table: its files in the manifest, its part of the evidence, and both in the catalog.
const RECORD_BYTES_PER_TABLE: u64 = 2 << 10;
/// Files that are made when a dump ends: evidence, manifest, what the catalog needs.
const RECORD_FILES: usize = 4;

/// Asks the file system that `dir` lies on. May hang with it.
///
/// # Errors
/// It does not answer for `dir`.
pub(crate) fn look(dir: &Path) -> std::io::Result<Room> {
    let is_root = rustix::process::geteuid().is_root();
    Ok(room_in(&rustix::fs::statvfs(dir)?, is_root))
}

/// What is free for root, or for all others.
fn room_in(room: &StatVfs, is_root: bool) -> Room {
    let kept = room
        .f_bfree
        .saturating_sub(room.f_bavail)
        .saturating_mul(room.f_frsize);
    let (blocks, files, kept_for_root) = if is_root {
        (room.f_bfree, room.f_ffree, KeptForRoot::Counted(kept))
    } else {
        (room.f_bavail, room.f_favail, KeptForRoot::NotCounted(kept))
    };
    Room {
        free_bytes: blocks.saturating_mul(room.f_frsize),
        kept_for_root,
        total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
        free_files: (room.f_files > 0).then_some(files),
    }
}

/// The room that this program's user has on the file system that `dir` lies on, asked for no longer than half a minute.
///
/// # Errors
/// [`ToolError::Io`], also where it does not answer in time.
pub async fn room_of(dir: &Path) -> Result<Room, ToolError> {
    asked(dir, look).await
}

/// The room that a database server has there: it writes as a user of its own, and what is kept for root is not among it,
/// whoever asks.
///
/// # Errors
/// As [`room_of`].
pub async fn room_of_server(dir: &Path) -> Result<Room, ToolError> {
    asked(dir, |dir| Ok(room_in(&rustix::fs::statvfs(dir)?, false))).await
}

async fn asked(dir: &Path, look: fn(&Path) -> std::io::Result<Room>) -> Result<Room, ToolError> {
    let path = dir.to_owned();
    let asked = tokio::task::spawn_blocking(move || look(&path));
    let answer = match tokio::time::timeout(ASKED_WITHIN, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(std::io::Error::other(error)),
        // A number, as the kernel gives it: what it stands for passes.
        Err(_) => Err(rustix::io::Errno::TIMEDOUT.into()),
    };
    answer.map_err(|source| ToolError::Io {
        action: "ask for the free space of",
        path: dir.to_owned(),
        source,
    })
}

/// Room that is taken while a dump is written and given back when this is dropped, so that its end can be recorded on a
/// disk that it has filled.
///
/// The files have no name: whatever ends this process gives them back too.
#[derive(Debug, Default)]
pub(crate) struct KeptBack {
    files: Vec<File>,
}

impl KeptBack {
    /// As [`KeptBack::take`], on a thread that may block. Nothing is kept back where the file system does not answer in
    /// time.
    pub(crate) async fn taken(set_dir: &Path, tables: usize, cancel: &CancellationToken) -> Self {
        let dir = set_dir.to_owned();
        let taking = off_thread(("keep room in", set_dir), ASKED_WITHIN, cancel, move || {
            Ok(Self::take(&dir, tables))
        });
        taking.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "no room is kept back for the record of a set");
            Self::default()
        })
    }

    /// Gives it back, and waits for that as long as for any answer.
    pub(crate) async fn give_back(self) {
        let giving = tokio::task::spawn_blocking(move || drop(self));
        if tokio::time::timeout(ASKED_WITHIN, giving).await.is_err() {
            tracing::debug!("the room that was kept back is still being given back");
        }
    }

    /// Takes what the record of a set of so many tables needs, or a quarter of what is free where that is less. A file
    /// system that cannot do this is not kept from being written to.
    fn take(set_dir: &Path, tables: usize) -> Self {
        let mut kept = Self::default();
        let dir = beside(set_dir);
        let Ok(room) = look(dir) else { return kept };
        let wanted = RECORD_BYTES + RECORD_BYTES_PER_TABLE * tables as u64;
        let bytes = wanted.min(room.free_bytes / 4);
        let files = room.free_files.map_or(RECORD_FILES, |free| {
            RECORD_FILES.min(usize::try_from(free / 4).unwrap_or(RECORD_FILES))
        });
        for number in 0..files {
            let Ok(file) = tempfile::tempfile_in(dir) else {
                break;
            };
            if number == 0
                && bytes > 0
                && let Err(error) = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)
            {
                tracing::debug!(dir = %dir.display(), %error, "no room is kept back for the record of a set");
            }
            kept.files.push(file);
        }
        kept
    }
}

/// The folder above, on the same file system: where a file cannot go without a name it is seen for as long as it is
/// open, and mydumper takes no folder that is not empty.
fn beside(set_dir: &Path) -> &Path {
    let device = |dir: &Path| dir.metadata().map(|metadata| metadata.dev()).ok();
    set_dir
        .parent()
        .filter(|above| device(above) == device(set_dir))
        .unwrap_or(set_dir)
}

impl Drop for KeptBack {
    fn drop(&mut self) {
        // Also where the file system gives room back late: it is empty before it is closed.
        for file in &self.files {
            if let Err(error) = file.set_len(0) {
                tracing::debug!(%error, "room that was kept back is given back with its file");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_back_is_taken_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let before = look(dir.path()).unwrap();
        let kept = KeptBack::take(dir.path(), 0);
        assert_eq!(kept.files.len(), RECORD_FILES);
        let bytes = kept.files[0].metadata().unwrap().blocks() * 512;
        assert_eq!(
            bytes,
            RECORD_BYTES.min(before.free_bytes / 4).next_multiple_of(4096)
        );
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "it has no name"
        );
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let error = room_of(Path::new("/nonexistent/sets"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent/sets"), "{error}");
    }
}
