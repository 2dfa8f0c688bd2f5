//! What lies in `state_dir`: locks, run logs, private files of tools, the daemon's status.

mod names;
mod trial;

use crate::error::DaemonError;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::{JobName, RunId};
use mykeeper_supervise::ProcessIdentity;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(crate) use names::{checksum, file_name_of};

/// In a run's private folder: what is to be recorded of the set that it has begun, should nobody end it.
pub const BEGUN_SET: &str = "begun.json";

/// The state directory, its folders made.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

/// Who holds a lock; written into the lock file for messages alone. The kernel's lock is what counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOwner {
    /// Process.
    pub pid: u32,
    /// The run, where it is not the daemon's own.
    pub run: Option<RunId>,
    /// That run's job, where the lock does not say it by its name.
    #[serde(default)]
    pub job: Option<JobName>,
}

/// ` (pid 123, run ... of job ...)`.
impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " (pid {}", self.pid)?;
        if let Some(run) = self.run {
            write!(f, ", run {run}")?;
        }
        if let Some(job) = &self.job {
            write!(f, " of job {job}")?;
        }
        f.write_str(")")
    }
}

/// A lock that is held until it is dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub struct HeldLock {
    file: File,
    signed: bool,
}

/// What came of trying to lock.
#[derive(Debug)]
pub enum LockAttempt {
    /// It is ours.
    Held(HeldLock),
    /// Someone else has it.
    Busy(Option<LockOwner>),
}

impl HeldLock {
    /// Writes who holds it.
    pub fn sign(&mut self, owner: &LockOwner) -> std::io::Result<()> {
        self.signed = true;
        self.file.set_len(0)?;
        self.file.rewind()?;
        serde_json::to_writer(&mut self.file, owner)?;
        self.file.flush()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // The file stays: removing a locked file would let two processes hold "the" lock on two files.
        if self.signed
            && let Err(error) = self.file.set_len(0)
        {
            tracing::debug!(%error, "a lock file could not be emptied");
        }
    }
}

/// What `state_dir` holds, itself included.
fn folders(root: &Path) -> [PathBuf; 5] {
    let below = |name: &str| root.join(name);
    [
        root.to_path_buf(),
        below("locks"),
        below("runs"),
        below("private"),
        below("children"),
    ]
}

impl StateDir {
    /// Makes the folders, mode 0700.
    pub fn open(root: &Path) -> Result<Self, DaemonError> {
        for dir in folders(root) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|source| DaemonError::StateDir {
                    action: "create",
                    path: dir,
                    source,
                })?;
        }
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// Whether runs can be kept there at all: a folder that another user has made lets nothing be locked.
    ///
    /// # Errors
    /// The folder that this process may not write to.
    pub fn check_writable(&self) -> Result<(), DaemonError> {
        use rustix::fs::{Access, access};
        for dir in folders(&self.root) {
            access(&dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
                DaemonError::StateDir {
                    action: "write to",
                    path: dir,
                    source: error.into(),
                }
            })?;
        }
        Ok(())
    }

    /// The directory as it is, of whomever it is: nothing is made.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that tells other processes how the daemon is.
    pub fn status_file(&self) -> PathBuf {
        self.root.join("daemon.json")
    }

    /// Where the logs of runs lie, in folders by their time.
    pub fn run_logs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Where the log of a run lies.
    pub fn run_log(&self, run: RunId) -> PathBuf {
        let id = run.to_string();
        // Version 7 identities begin with their time: a folder for each 12 days or so.
        let shelf = id.get(..5).unwrap_or("other").to_owned();
        self.run_logs().join(shelf).join(format!("{id}.log"))
    }

    /// A fresh folder, mode 0700, for files that no one else may read; removed when the guard is dropped.
    pub fn private_dir(&self, run: RunId) -> Result<PrivateDir, DaemonError> {
        let path = self.root.join("private").join(run.to_string());
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(PrivateDir { path }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(PrivateDir { path }),
            Err(source) => Err(DaemonError::StateDir {
                action: "create",
                path,
                source,
            }),
        }
    }

    /// What a run that was cut off has noted of the set that it had begun; `None` where it has not.
    pub(crate) async fn begun_set(&self, run: RunId) -> Option<Backup> {
        let file = self.root.join("private").join(run.to_string()).join(BEGUN_SET);
        let text = tokio::task::spawn_blocking(move || fs::read(file))
            .await
            .ok()?
            .ok()?;
        serde_json::from_slice(&text)
            .inspect_err(|error| {
                tracing::warn!(%run, %error, "what was kept of the set that this run began cannot be read");
            })
            .ok()
    }

    /// The private folders that are there. Ask before the catalog is asked which runs are under way: a run is in the
    /// catalog before it has a folder.
    pub fn private_folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join("private"));
        entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }

    /// Removes those of `folders` that a crash has left behind. Only where no other daemon lives: while the daemon's
    /// lock is held, or by a command that has seen that it is not. `in_use` names the runs of commands that live.
    pub fn sweep_private(&self, folders: &[PathBuf], in_use: impl Fn(&str) -> bool) {
        for path in folders {
            let name = path.file_name().and_then(|name| name.to_str());
            if !name.is_some_and(&in_use)
                && let Err(error) = fs::remove_dir_all(path)
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove what an ended run has left");
            }
        }
    }

    /// Tries for the one lock of the daemon.
    ///
    /// Blocks for up to a second: another process that only asks whether a daemon lives holds it for an instant.
    pub fn lock_daemon(&self) -> Result<HeldLock, DaemonError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_lock("daemon.lock")? {
                LockAttempt::Held(mut lock) => {
                    self.sign(&mut lock, None);
                    return Ok(lock);
                }
                LockAttempt::Busy(_) if tries < 10 => {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                LockAttempt::Busy(owner) => {
                    return Err(DaemonError::SecondDaemon {
                        owner: owner
                            .map(|owner| format!(" (pid {})", owner.pid))
                            .unwrap_or_default(),
                        path: self.root.clone(),
                    });
                }
            }
        }
    }

    /// Whether a daemon lives on this directory.
    ///
    /// Blocks for up to half a second where the lock is held and does not name a living process: another that asks
    /// the same holds it for an instant, under the name of a daemon that was killed or under none; a daemon that could
    /// not write its name holds on to it. Makes nothing: who asks may be another user than the daemon.
    pub fn daemon_lives(&self) -> bool {
        for _ in 0..10 {
            match self.try_lock_with("daemon.lock", OpenOptions::new().read(true)) {
                Ok(LockAttempt::Busy(Some(owner))) if is_alive(owner.pid) => return true,
                Ok(LockAttempt::Busy(_)) => std::thread::sleep(std::time::Duration::from_millis(50)),
                Ok(LockAttempt::Held(_)) | Err(_) => return false,
            }
        }
        true
    }

    /// When the last daemon stopped in good order; `None` for one that lives, or was killed, or where none ever was.
    pub fn daemon_stopped_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        let metadata = fs::metadata(self.root.join("daemon.lock")).ok()?;
        let emptied_at = metadata.modified().ok()?;
        // It is emptied when it is given back; who only looks makes none.
        (metadata.len() == 0).then(|| emptied_at.into())
    }

    /// Tries for the lock of a job.
    pub fn lock_job(&self, job: &JobName) -> Result<LockAttempt, DaemonError> {
        self.try_lock(&format!("locks/{}.lock", file_name_of(job.as_str())))
    }

    /// Whether the process of a run lives, which holds the lock of its job as long as it does.
    ///
    /// Holds that lock for an instant where nobody else does, so ask only where no daemon lives and nobody settles
    /// what is left (`lock_recovery`): they would take it for a run's.
    pub fn run_lives(&self, job: &JobName, run: RunId) -> bool {
        match self.lock_job(job) {
            Ok(LockAttempt::Held(_)) => false,
            Ok(LockAttempt::Busy(owner)) => owner.is_none_or(|owner| owner.run == Some(run)),
            Err(_) => true,
        }
    }

    /// Where each living child has its file.
    pub fn children(&self) -> PathBuf {
        self.root.join("children")
    }

    /// Tries for the lock of whoever settles what is left of processes that are gone.
    pub fn lock_recovery(&self) -> Result<LockAttempt, DaemonError> {
        self.try_lock("recovery.lock")
    }

    /// Tries for one of the locks that let only so many through.
    pub fn lock_permit(&self, what: &str, number: u32) -> Result<LockAttempt, DaemonError> {
        self.try_lock(&format!("locks/{}-{number}.permit", file_name_of(what)))
    }

    /// Writes into a lock who holds it. Where that cannot be written, on a full disk, the lock counts nonetheless.
    pub fn sign(&self, lock: &mut HeldLock, run: Option<RunId>) {
        self.sign_for(lock, (run, None));
    }

    /// The same, with the job of the run.
    pub fn sign_for(&self, lock: &mut HeldLock, (run, job): (Option<RunId>, Option<JobName>)) {
        let owner = LockOwner {
            pid: std::process::id(),
            run,
            job,
        };
        if let Err(error) = lock.sign(&owner) {
            tracing::warn!(state_dir = %self.root.display(), %error, "a lock file does not say who holds it");
        }
    }

    fn try_lock(&self, name: &str) -> Result<LockAttempt, DaemonError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        self.try_lock_with(name, &options)
    }

    fn try_lock_with(&self, name: &str, options: &OpenOptions) -> Result<LockAttempt, DaemonError> {
        let path = self.root.join(name);
        let fail = |action, source| DaemonError::StateDir {
            action,
            path: path.clone(),
            source,
        };
        let mut file = options.open(&path).map_err(|source| fail("open", source))?;
        match file.try_lock() {
            Ok(()) => Ok(LockAttempt::Held(HeldLock { file, signed: false })),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let owner = Read::take(&mut file, 4096)
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| serde_json::from_str(&text).ok());
                Ok(LockAttempt::Busy(owner))
            }
            Err(TryLockError::Error(source)) => Err(fail("lock", source)),
        }
    }
}

/// A folder of a run's own, removed when this is dropped.
#[derive(Debug)]
pub struct PrivateDir {
    path: PathBuf,
}

impl PrivateDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a run's private folder");
        }
    }
}

fn is_alive(pid: u32) -> bool {
    ProcessIdentity::of(pid).is_ok_and(|process| process.is_alive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_locked_once_and_says_by_whom() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let job = JobName::new("国内 nightly").unwrap();
        let run = RunId::generate();
        let LockAttempt::Held(mut lock) = state.lock_job(&job).unwrap() else {
            panic!("not locked")
        };
        state.sign(&mut lock, Some(run));
        let LockAttempt::Busy(owner) = state.lock_job(&job).unwrap() else {
            panic!("locked twice")
        };
        assert_eq!(
            owner,
            Some(LockOwner {
                pid: std::process::id(),
                run: Some(run),
                job: None,
            })
        );
        assert!(state.run_lives(&job, run));
        assert!(!state.run_lives(&job, RunId::generate()), "the lock is another's");
        drop(lock);
        assert!(!state.run_lives(&job, run));
        assert!(matches!(state.lock_job(&job).unwrap(), LockAttempt::Held(_)));
    }

    #[test]
    fn a_second_daemon_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let lock = state.lock_daemon().unwrap();
        let message = state.lock_daemon().unwrap_err().to_string();
        assert!(
            message.contains(&format!("(pid {})", std::process::id())),
            "{message}"
        );
        assert!(state.daemon_lives());
        drop(lock);
        assert!(!state.daemon_lives());
    }

    #[test]
    fn who_only_asks_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!StateDir::at(dir.path()).daemon_lives());
        assert!(dir.path().read_dir().unwrap().next().is_none());
    }

    #[test]
    fn a_lock_that_is_held_for_an_instant_is_no_daemon_and_one_without_a_name_is() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let LockAttempt::Held(nameless) = state.try_lock("daemon.lock").unwrap() else {
            panic!("not locked")
        };
        assert!(state.daemon_lives());
        drop(nameless);
        // Killed, and its file still names it.
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let owner = LockOwner {
            pid: gone.id(),
            run: None,
            job: None,
        };
        fs::write(
            dir.path().join("daemon.lock"),
            serde_json::to_vec(&owner).unwrap(),
        )
        .unwrap();
        let LockAttempt::Held(probe) = state.try_lock("daemon.lock").unwrap() else {
            panic!("not locked")
        };
        let asking = std::thread::spawn(move || state.daemon_lives());
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(probe);
        assert!(!asking.join().unwrap());
    }

    #[test]
    fn the_longest_names_fit_into_file_names() {
        let (a, b) = ("库".repeat(100), format!("{}x", "库".repeat(99)));
        assert!(file_name_of(&a).len() < 255);
        assert_ne!(file_name_of(&a), file_name_of(&b));
    }

    #[test]
    fn private_folders_are_private_and_go() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let private = state.private_dir(RunId::generate()).unwrap();
        let path = private.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(private);
        assert!(!path.exists());
    }
}
