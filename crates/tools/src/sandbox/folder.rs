//! The folders of throwaway servers: made, cloned from a template, swept, removed.

use super::identity;
use super::likeness::Likeness;
use super::program::ServerProgram;
use super::template;
use crate::env::ToolEnv;
use crate::error::ToolError;
use mykeeper_domain::sandbox::Sandbox;
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// What every folder of a throwaway server is called, up to its number.
pub(super) const PREFIX: &str = "mykeeper-sandbox-";
/// What is held locked as long as a folder's owner lives.
const OWNER_FILE: &str = "owner.lock";
/// The longest path of a socket, less the final NUL.
const SOCKET_BYTES: usize = 107;
/// Where the short folder lies, and how it is called up to its server's number: so it is found as long as that
/// server's folder is there.
const SHORT: &str = "/tmp/mykeeper-";

/// One server's folder. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct SandboxFolder {
    path: PathBuf,
    socket: PathBuf,
    /// Held for its lock.
    _owner: Option<File>,
    /// A short folder for the socket, where the sandbox's own path is too long for one.
    short: Option<PathBuf>,
    armed: bool,
}

impl SandboxFolder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.path.join("tmp")
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Leaves the removal to the one returned.
    pub(super) fn disarm(&mut self) -> Self {
        self.armed = false;
        Self {
            path: self.path.clone(),
            socket: self.socket.clone(),
            _owner: self._owner.take(),
            short: self.short.take(),
            armed: true,
        }
    }

    /// Removes it now.
    pub(super) fn remove(self) {
        drop(self);
    }
}

impl Drop for SandboxFolder {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // First: nothing but the server's own folder tells of it.
        for path in self.short.iter().chain([&self.path]) {
            if let Err(error) = remove_tree(path) {
                tracing::warn!(%error, path = %path.display(), "removal of a throwaway server's folder");
            }
        }
    }
}

/// A folder that is ready for its server.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) folder: SandboxFolder,
    /// Whether the template was made just now.
    pub(super) is_new: bool,
}

/// Removes what is left of earlier servers, makes the template where there is none, and clones it. With `anew`, one that
/// is there is made again.
///
/// # Errors
/// The directory cannot be used, or no template can be made.
pub(super) async fn prepare(
    settings: &Sandbox,
    (program, likeness): (&ServerProgram, &Likeness),
    user: Option<(u32, u32)>,
    (env, anew): (&ToolEnv<'_>, bool),
) -> Result<Prepared, ToolError> {
    let directory = settings.directory.clone();
    let mut lock = blocking(move || {
        check_reachable(&directory, user)?;
        let lock = lock_directory(&directory)?;
        sweep(&directory, user);
        Ok(lock)
    })
    .await?;
    let directory = &settings.directory;
    let template = directory.join(template::name(program, likeness, user));
    let mut is_new = false;
    if anew || !template::is_there(&template, user)? {
        let building = directory.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        let building = claim(&building, user)?;
        make_folder(&building.data(), user)?;
        make_folder(&building.tmp(), user)?;
        env.log.line(
            "mykeeper",
            &format!("preparing an empty server of version {}", program.version),
        );
        let how = (user, super::niceness(settings));
        let folders = (&*building.data(), &*building.tmp());
        template::make((program, likeness), folders, how, env).await?;
        lock = lay_down(building, (&template, user), lock).await?;
        template::forget_others(directory, (&template, user), env.clock.now());
        is_new = true;
    }
    template::note_use(&template, env.clock.now());
    let folder = directory.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
    let folder = blocking(move || {
        let folder = claim(&folder, user)?;
        make_folder(&folder.tmp(), user)?;
        clone_tree(&template, &folder.data(), user).map_err(io_error("copy", &template))?;
        drop(lock);
        Ok(folder)
    });
    Ok(Prepared {
        folder: folder.await?,
        is_new,
    })
}

/// Makes a template of what was built, and removes the rest. The thread that does it holds folder and lock: whoever waits
/// for it may be gone before it has ended.
async fn lay_down(
    building: SandboxFolder,
    (template, user): (&Path, Option<(u32, u32)>),
    lock: File,
) -> Result<File, ToolError> {
    let template = template.to_owned();
    blocking(move || {
        template::lay_down(&building.data(), &template, user)?;
        drop(building);
        Ok(lock)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ToolError::Failed {
            message: format!("cannot prepare the throwaway server's folder: {error}"),
            passing: true,
        })?
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError + use<> {
    let path = path.to_owned();
    move |source| ToolError::Io { action, path, source }
}

fn unusable(directory: &Path, cause: &str) -> ToolError {
    ToolError::Failed {
        message: format!(
            "cannot use {} for throwaway servers: {cause}",
            directory.display()
        ),
        passing: false,
    }
}

/// The server's user must be able to reach the folder that is made for it.
fn check_reachable(directory: &Path, user: Option<(u32, u32)>) -> Result<(), ToolError> {
    let real = std::fs::canonicalize(directory).map_err(io_error("open", directory))?;
    if !real.is_dir() {
        return Err(unusable(directory, "it is no folder"));
    }
    let Some((uid, gid)) = user else { return Ok(()) };
    for folder in real.ancestors() {
        let metadata = folder.metadata().map_err(io_error("open", folder))?;
        let bit = match (metadata.uid() == uid, metadata.gid() == gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        if metadata.mode() & bit == 0 {
            let cause = format!(
                "{} cannot be entered by the user (id {uid}) that the server runs as; \
                 choose another directory under [sandbox]",
                folder.display()
            );
            return Err(unusable(directory, &cause));
        }
    }
    Ok(())
}

/// One at a time sweeps, makes templates and claims folders.
fn lock_directory(directory: &Path) -> Result<File, ToolError> {
    let (file, path) = open_directory_lock(directory)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| io_error("lock", &path)(error.into()))?;
    Ok(file)
}

fn open_directory_lock(directory: &Path) -> Result<(File, PathBuf), ToolError> {
    let uid = rustix::process::geteuid().as_raw();
    let path = directory.join(format!(".{PREFIX}{uid}.lock"));
    let file = open_lock(&path).map_err(io_error("create", &path))?;
    if file.metadata().map_err(io_error("read", &path))?.uid() != uid {
        return Err(unusable(
            directory,
            &format!("{} belongs to somebody else", path.display()),
        ));
    }
    Ok((file, path))
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// Ends the throwaway servers in `directory` whose mykeeper is gone, and removes their folders. Leaves it to the process
/// that is just making one there, if any: it does the same first. Blocks while it removes.
///
/// # Errors
/// The directory cannot be locked, or the server's user is not known.
pub fn sweep_sandboxes(directory: &Path) -> Result<(), ToolError> {
    let user = identity::server_user()?;
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    if !names
        .into_iter()
        .any(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
    {
        return Ok(());
    }
    let (lock, _) = open_directory_lock(directory)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
        sweep(directory, user);
    }
    Ok(())
}

/// Removes the folders whose owner is gone. What cannot be removed is another's, and stays.
fn sweep(directory: &Path, user: Option<(u32, u32)>) {
    let uid = rustix::process::geteuid().as_raw();
    let is_own =
        |folder: &Metadata| folder.uid() == uid || user.is_some_and(|(user, _)| user == folder.uid());
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(number) = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .filter(|number| Uuid::try_parse(number).is_ok())
        else {
            continue;
        };
        let path = entry.path();
        let remove = || {
            let short = PathBuf::from(format!("{SHORT}{number}"));
            if short
                .symlink_metadata()
                .is_ok_and(|metadata| metadata.is_dir() && is_own(&metadata))
            {
                remove_tree(&short)?;
            }
            remove_tree(&path)
        };
        let Ok(owner) = open_existing(&path.join(OWNER_FILE)) else {
            // Not claimed by one of ours: the folder and its lock come into being while the directory is locked.
            if entry
                .metadata()
                .is_ok_and(|metadata| metadata.is_dir() && is_own(&metadata))
            {
                identity::kill_within(&path);
                drop(remove());
            }
            continue;
        };
        let is_ours = owner.metadata().is_ok_and(|metadata| metadata.uid() == uid);
        if is_ours && flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // A server that is about to die would go on writing there.
            identity::kill_within(&path);
            tracing::info!(path = %path.display(), "removing what an earlier throwaway server left");
            if let Err(error) = remove() {
                tracing::warn!(%error, path = %path.display(), "removal of an earlier throwaway server's folder");
            }
        }
    }
}

fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// Makes the folder of one server and holds it.
fn claim(path: &Path, user: Option<(u32, u32)>) -> Result<SandboxFolder, ToolError> {
    make_folder(path, user)?;
    let mut folder = SandboxFolder {
        path: path.to_owned(),
        socket: path.join("s"),
        _owner: None,
        short: None,
        armed: true,
    };
    let owner_path = path.join(OWNER_FILE);
    let owner = open_lock(&owner_path).map_err(io_error("create", &owner_path))?;
    flock(&owner, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| io_error("lock", &owner_path)(error.into()))?;
    folder._owner = Some(owner);
    if folder.socket.as_os_str().len() > SOCKET_BYTES {
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(PREFIX))
            .unwrap_or_default();
        let short = PathBuf::from(format!("{SHORT}{number}"));
        make_folder(&short, user)?;
        folder.socket = short.join("s");
        folder.short = Some(short);
    }
    Ok(folder)
}

fn make_folder(path: &Path, user: Option<(u32, u32)>) -> Result<(), ToolError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(io_error("create", path))?;
    give(path, user).map_err(io_error("hand over", path))
}

fn give(path: &Path, user: Option<(u32, u32)>) -> io::Result<()> {
    match user {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

fn clone_tree(from: &Path, to: &Path, user: Option<(u32, u32)>) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    give(to, user)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            clone_tree(&entry.path(), &target, user)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target)?;
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600))?;
            give(&target, user)?;
        }
    }
    Ok(())
}

/// Removes a folder, also one that a server about to die still writes to.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..5 {
        last = std::fs::remove_dir_all(path);
        match &last {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn a_template_is_laid_down_whole_also_for_one_that_is_gone_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let template = directory.path().join("template");
        let building = directory
            .path()
            .join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        for _ in 0..2 {
            let lock = lock_directory(directory.path()).unwrap();
            let folder = claim(&building, None).unwrap();
            make_folder(&folder.data(), None).unwrap();
            for number in 0..300 {
                std::fs::write(folder.data().join(number.to_string()), "a").unwrap();
            }
            {
                let mut laying = pin!(lay_down(folder, (&template, None), lock));
                let asked = laying.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(asked.is_pending(), "it was laid down before anyone could be gone");
            }
            // Nobody else may sweep there or start from it until that has ended.
            drop(lock_directory(directory.path()).unwrap());
            assert!(template::is_there(&template, None).unwrap());
            let files = std::fs::read_dir(&template).unwrap().count();
            assert_eq!(files, 301, "the files, and the mark of a whole one");
            assert!(!building.exists(), "what it was built in is left");
            // One that is half removed is none, and is replaced.
            std::fs::remove_file(template.join("mykeeper-template-is-whole")).unwrap();
            std::fs::remove_file(template.join("7")).unwrap();
            assert!(!template::is_there(&template, None).unwrap());
        }
    }
}
