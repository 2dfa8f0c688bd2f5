//! Whether `state_dir` takes what is kept there, tried for real, and whether a daemon ended there without a word.

use super::StateDir;
use crate::error::DaemonError;
use mykeeper_domain::RunId;
use rustix::fs::{Access, access};
use std::fs::{self, DirEntry, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// As much as the record of a run may need at once.
const TRIED_BYTES: usize = 64 * 1024;

/// Folders that are made when they are first needed.
const LATER_FOLDERS: [&str; 4] = ["notify", "notify/queue", "due", "ahead"];
/// The locks that are no job's.
const OWN_LOCKS: [&str; 2] = ["daemon.lock", "recovery.lock"];

impl StateDir {
    /// Whether the last daemon ended without a word: it was killed, also before it was ready.
    pub fn daemon_was_killed(&self) -> bool {
        let lock = fs::metadata(self.root.join("daemon.lock"));
        lock.is_ok_and(|metadata| metadata.len() > 0) && !self.daemon_lives()
    }

    /// Writes a file of 64 KiB, syncs and removes it; and looks whether everything that is kept there is this user's to
    /// write to: a lock that another user has made, root say, keeps its job from ever running.
    ///
    /// # Errors
    /// The first file or folder that cannot be written, and the system's word.
    pub fn try_keeping(&self) -> Result<(), DaemonError> {
        self.check_writable()?;
        let later = LATER_FOLDERS.map(|name| self.root.join(name));
        for folder in later.iter().filter(|folder| folder.is_dir()) {
            may(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
        }
        let own = OWN_LOCKS.map(|name| self.root.join(name));
        for lock in own.into_iter().filter(|lock| lock.is_file()).chain(self.locks()?) {
            may(&lock, Access::READ_OK | Access::WRITE_OK)?;
        }
        self.try_writing()
    }

    /// The locks of jobs, and permits.
    fn locks(&self) -> Result<impl Iterator<Item = PathBuf> + use<>, DaemonError> {
        let folder = self.root.join("locks");
        let entries = fs::read_dir(&folder).map_err(|source| DaemonError::StateDir {
            action: "read",
            path: folder,
            source,
        })?;
        let is_file = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
        let files = entries.filter_map(Result::ok).filter(is_file);
        Ok(files.map(|entry| entry.path()))
    }

    fn try_writing(&self) -> Result<(), DaemonError> {
        let path = self.root.join(format!(".mykeeper-check-{}", RunId::generate()));
        let written = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(&[0; TRIED_BYTES])?;
                // Some file systems find out only now that there is no room.
                file.sync_all()
            });
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        written.and(removed).map_err(|source| DaemonError::StateDir {
            action: "write",
            path,
            source,
        })
    }
}

fn may(path: &Path, what: Access) -> Result<(), DaemonError> {
    access(path, what).map_err(|error| DaemonError::StateDir {
        action: "write to",
        path: path.to_path_buf(),
        source: error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_trial_leaves_nothing_and_names_a_lock_that_is_anothers() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let names = || {
            let entries = fs::read_dir(dir.path()).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        let before = names();
        state.try_keeping().unwrap();
        assert_eq!(names(), before);
        if rustix::process::geteuid().is_root() {
            return; // whom no mode keeps out
        }
        let lock = dir.path().join("locks/p.lock");
        fs::write(&lock, "").unwrap();
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o000)).unwrap();
        let said = state.try_keeping().unwrap_err().to_string();
        assert!(
            said.contains("locks/p.lock") && said.contains("Permission denied"),
            "{said}"
        );
    }
}
