//! Questions to file systems that may not answer. A network mount whose server is away keeps whoever asks for ever: no
//! thread of the runtime asks itself, and of the threads that do, few hang on one mount.

use crate::jobs::{JobError, RunContext};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// A file system that says nothing for so long is away.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// How long one is waited for that keeps somebody waiting already.
const STILL_HANGS_AFTER: Duration = Duration::from_secs(1);
/// How many questions to one mount may be open at a time. All jobs share some five hundred threads that may block.
const OPEN_PER_MOUNT: usize = 8;
/// How many links the kernel follows in one path.
const MOST_LINKS: usize = 40;
/// The mounts as the kernel knows them. To read it asks none of them.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum DiskError {
    /// None came in time.
    #[error(
        "cannot {action} {}: the file system at {} does not answer; look whether its disk, or the server behind it, is \
         there",
        path.display(),
        mount.display()
    )]
    NoAnswer {
        /// What was to be done: `look at`, `create the set's folder`.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Where its file system is mounted.
        mount: PathBuf,
    },
    /// The question ended in a panic.
    #[error("cannot {action} {}: a defect in mykeeper ended the attempt", path.display())]
    Defect {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
    },
}

impl From<DiskError> for JobError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::NoAnswer { .. } => Self::passing(error.to_string()),
            DiskError::Defect { .. } => Self::fatal(error.to_string()),
        }
    }
}

/// Asks file systems, one mount apart from the others.
#[derive(Debug)]
pub struct Disk {
    answered_within: Duration,
    mounts: Mutex<HashMap<PathBuf, Mount>>,
}

/// The questions to one mount.
#[derive(Clone, Debug)]
struct Mount {
    open: Arc<Semaphore>,
    /// How many have no answer and are waited for by nobody any more.
    hanging: Arc<AtomicIsize>,
}

impl Default for Mount {
    fn default() -> Self {
        Self {
            open: Arc::new(Semaphore::new(OPEN_PER_MOUNT)),
            hanging: Arc::default(),
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::answering_within(ANSWERED_WITHIN)
    }
}

impl Disk {
    /// One whose file systems are away when they say nothing for so long.
    pub fn answering_within(answered_within: Duration) -> Self {
        Self {
            answered_within,
            mounts: Mutex::default(),
        }
    }

    /// Puts a question about `path` on a thread that may hang. `action` says what it does: `look at`.
    ///
    /// A question that is not waited for any more goes on by itself, and what it gives is dropped when it ends.
    ///
    /// # Errors
    /// [`DiskError::NoAnswer`], soon where others wait in vain for the same mount.
    pub async fn ask<T: Send + 'static>(
        &self,
        (action, path): (&'static str, &Path),
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        let place = mount_of(path);
        let mount = self.mount(&place);
        let hanging = mount.hanging.load(Ordering::Relaxed);
        let limit = if hanging > 0 {
            self.answered_within.min(STILL_HANGS_AFTER)
        } else {
            self.answered_within
        };
        let no_answer = || DiskError::NoAnswer {
            action,
            path: path.to_owned(),
            mount: place.clone(),
        };
        if usize::try_from(hanging).is_ok_and(|hanging| hanging >= OPEN_PER_MOUNT) {
            return Err(no_answer());
        }
        let answer = tokio::time::timeout(limit, async {
            // Never closed: whoever waits for a permit gets one, or gives up.
            let permit = Arc::clone(&mount.open).acquire_owned().await.ok();
            Asked::put(&mount, permit, question).answer().await
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(DiskError::Defect {
                action,
                path: path.to_owned(),
            }),
            Err(_) => Err(no_answer()),
        }
    }

    /// Whether a folder is there; a file is none.
    ///
    /// # Errors
    /// As [`Disk::ask`].
    pub async fn is_dir(&self, path: &Path) -> Result<bool, DiskError> {
        let asked = path.to_owned();
        self.ask(("look at", path), move || asked.is_dir()).await
    }

    fn mount(&self, place: &Path) -> Mount {
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.entry(place.to_owned()).or_default().clone()
    }
}

impl RunContext {
    /// [`Disk::ask`], for as long as the run goes on.
    ///
    /// # Errors
    /// The file system does not answer, or the run is ended.
    pub async fn ask_disk<T: Send + 'static>(
        &self,
        about: (&'static str, &Path),
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        tokio::select! {
            answer = self.environment.disk.ask(about, question) => Ok(answer?),
            () = self.cancel.cancelled() => Err(JobError::cancelled()),
        }
    }

    /// [`Disk::is_dir`], for as long as the run goes on.
    ///
    /// # Errors
    /// The file system does not answer, or the run is ended.
    pub async fn is_dir(&self, path: &Path) -> Result<bool, JobError> {
        let asked = path.to_owned();
        self.ask_disk(("look at", path), move || asked.is_dir()).await
    }
}

/// A question that was put. Dropped before its answer has come, it counts as hanging until it ends.
struct Asked<T: Send + 'static> {
    answer: oneshot::Receiver<T>,
    hanging: Arc<AtomicIsize>,
    is_answered: bool,
}

impl<T: Send + 'static> Asked<T> {
    fn put(
        mount: &Mount,
        permit: Option<OwnedSemaphorePermit>,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        let (sender, answer) = oneshot::channel();
        let hanging = Arc::clone(&mount.hanging);
        let mut answering = Answering {
            sender: Some(sender),
            hanging,
            _permit: permit,
        };
        tokio::task::spawn_blocking(move || {
            let answer = question();
            if let Some(sender) = answering.sender.take()
                && let Err(unwanted) = sender.send(answer)
            {
                // Undone here, where it may take its time.
                drop(unwanted);
                answering.hanging.fetch_sub(1, Ordering::Relaxed);
            }
        });
        Self {
            answer,
            hanging: Arc::clone(&mount.hanging),
            is_answered: false,
        }
    }

    async fn answer(mut self) -> Result<T, oneshot::error::RecvError> {
        let answer = (&mut self.answer).await;
        self.is_answered = true;
        answer
    }
}

/// Held by the thread that asks.
struct Answering<T> {
    sender: Option<oneshot::Sender<T>>,
    hanging: Arc<AtomicIsize>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<T> Drop for Answering<T> {
    fn drop(&mut self) {
        // Only after a panic is it still there.
        if self.sender.take().is_some_and(|sender| sender.is_closed()) {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<T: Send + 'static> Drop for Asked<T> {
    fn drop(&mut self) {
        self.answer.close();
        if self.is_answered {
            return;
        }
        // What was sent before is ours; what was not finds nobody, and is counted off there.
        match (self.answer.try_recv(), Handle::try_current()) {
            // To undo it may take its time.
            (Ok(unwanted), Ok(runtime)) => drop(runtime.spawn_blocking(move || drop(unwanted))),
            (Ok(unwanted), Err(_)) => drop(unwanted),
            (Err(_), _) => {
                self.hanging.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Where the file system of `path` is mounted. None but that of `/` is asked for it.
fn mount_of(path: &Path) -> PathBuf {
    let mounts = std::fs::read_to_string(MOUNTS).unwrap_or_default();
    let mounts: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescaped)
        .collect();
    mount_by_name(&followed(path, &mounts), &mounts).to_owned()
}

fn mount_by_name<'a>(path: &Path, mounts: &'a [PathBuf]) -> &'a Path {
    mounts
        .iter()
        .filter(|place| path.starts_with(place))
        .max_by_key(|place| place.as_os_str().len())
        .map_or(Path::new("/"), PathBuf::as_path)
}

/// Where the links lead that lie on the file system of `/`, on which this program lives itself. Those on another are
/// not followed, since that may hang; nor is more than a file system follows.
fn followed(path: &Path, mounts: &[PathBuf]) -> PathBuf {
    let parts = |path: &Path| -> Vec<PathBuf> {
        let parts = path.components().rev();
        parts.map(|part| PathBuf::from(part.as_os_str())).collect()
    };
    let (mut real, mut left, mut links) = (PathBuf::new(), parts(path), 0);
    while let Some(part) = left.pop() {
        if part == Path::new(".") {
            continue;
        }
        if part == Path::new("..") {
            real.pop();
            continue;
        }
        real.push(part);
        if mount_by_name(&real, mounts) != Path::new("/") {
            real.extend(left.into_iter().rev());
            return real;
        }
        if let Ok(target) = std::fs::read_link(&real) {
            links += 1;
            if links > MOST_LINKS {
                return path.to_owned();
            }
            real.pop();
            left.extend(parts(&target));
        }
    }
    real
}

/// The kernel writes white space and backslashes in names as three octal digits.
fn unescaped(name: &str) -> PathBuf {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let digits = after.get(..3).unwrap_or_default();
        match u8::from_str_radix(digits, 8) {
            Ok(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                rest = &after[3..];
            }
            _ => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    PathBuf::from(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// A file whose opening hangs until somebody writes to it.
    fn hanging_file(dir: &Path) -> PathBuf {
        let path = dir.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        path
    }

    async fn hang(disk: &Disk, path: &Path) -> Result<(), DiskError> {
        let asked = path.to_owned();
        disk.ask(("look at", path), move || drop(File::open(asked))).await
    }

    async fn until_none_hangs(mount: &Mount, path: &Path) {
        for _ in 0..1_000 {
            // Each that opens it to write lets those go that have it open to read by then.
            let write = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
            drop(rustix::fs::open(path, write, rustix::fs::Mode::empty()));
            if mount.open.available_permits() == OPEN_PER_MOUNT {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        unreachable!("a question still hangs");
    }

    #[tokio::test]
    async fn who_hangs_holds_up_nobody_and_few_hang_on_one_mount() {
        let dir = tempfile::tempdir().unwrap();
        let path = hanging_file(dir.path());
        let disk = Disk::answering_within(Duration::from_millis(200));
        let mount = disk.mount(&mount_of(&path));
        let error = hang(&disk, &path).await.unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(disk.is_dir(dir.path()).await.unwrap());
        assert_eq!(mount.hanging.load(Ordering::Relaxed), 1);
        let more = (0..3 * OPEN_PER_MOUNT).map(|_| hang(&disk, &path));
        let more = futures::future::join_all(more).await;
        assert!(more.iter().all(Result::is_err), "{more:?}");
        assert_eq!(mount.open.available_permits(), 0);
        let began = std::time::Instant::now();
        assert!(disk.is_dir(dir.path()).await.is_err(), "all its threads hang");
        assert!(began.elapsed() < Duration::from_millis(100));
        assert!(
            disk.is_dir(Path::new("/proc/self")).await.unwrap(),
            "another mount"
        );
        until_none_hangs(&mount, &path).await;
        assert_eq!(mount.hanging.load(Ordering::Relaxed), 0);
        assert!(disk.is_dir(dir.path()).await.unwrap(), "it answers again");
    }

    #[tokio::test]
    async fn what_comes_too_late_is_dropped_where_it_was_made() {
        struct Made(PathBuf);
        impl Drop for Made {
            fn drop(&mut self) {
                std::fs::remove_dir(&self.0).unwrap();
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let (path, folder) = (hanging_file(dir.path()), dir.path().join("folder"));
        let disk = Disk::answering_within(Duration::from_millis(50));
        let (asked, made) = (path.clone(), folder.clone());
        let late = disk.ask(("create", &folder), move || {
            drop(File::open(asked));
            std::fs::create_dir(&made).unwrap();
            Made(made)
        });
        assert!(late.await.is_err());
        until_none_hangs(&disk.mount(&mount_of(&path)), &path).await;
        assert!(!folder.exists());
    }

    #[test]
    fn a_mount_is_told_by_the_longest_name_that_leads_to_a_path() {
        assert_eq!(mount_of(Path::new("/proc/self/status")), Path::new("/proc"));
        assert_eq!(mount_of(Path::new("/processes")), Path::new("/"));
        assert_eq!(
            unescaped("/mnt/two\\040words\\134x\\9"),
            Path::new("/mnt/two words\\x\\9")
        );
    }

    #[test]
    fn a_link_to_a_mount_is_charged_to_it_and_none_on_it_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let nas = dir.join("nas");
        let mounts = [PathBuf::from("/"), nas.clone()];
        std::fs::create_dir_all(nas.join("backup")).unwrap();
        for (target, name) in [
            ("nas/backup", "relative"),
            ("./relative/../backup", "twice"),
            ("loop", "loop"),
        ] {
            std::os::unix::fs::symlink(target, dir.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(&nas, dir.join("absolute")).unwrap();
        std::os::unix::fs::symlink(&dir, nas.join("back")).unwrap();
        let mount = |name: &str| mount_by_name(&followed(&dir.join(name), &mounts), &mounts).to_owned();
        for name in ["relative/2026-11-22", "twice/x", "absolute", "absolute/back/x"] {
            assert_eq!(mount(name), nas, "{name}");
        }
        for name in ["loop/x", "missing/x", "x", "nas2"] {
            assert_eq!(mount(name), Path::new("/"), "{name}");
        }
        assert_eq!(followed(&dir.join("absolute/back"), &mounts), nas.join("back"));
    }
}
