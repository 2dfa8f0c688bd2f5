//! Temporary folders, also ones that can be full.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A temporary folder that other accounts may pass through: a database server started by root is not root.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// A new one. Its path is short: a socket's may have 107 bytes.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mk-")
            .tempdir()
            .expect("a temporary folder");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))
            .expect("chmod of our own folder");
        Self { dir }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// A file system of a few megabytes, mounted until dropped.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one on a new folder; `None` where only root could.
    pub fn mount(path: PathBuf, megabytes: u32) -> Option<Self> {
        if !is_root() {
            return None;
        }
        std::fs::create_dir_all(&path).expect("a folder to mount on");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "mykeeper-e2e"])
            .arg(&path)
            .output()
            .expect("mount is installed");
        // A container may keep even root from mounting.
        mounted.status.success().then_some(Self { path })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is still ending may hold a file open.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
