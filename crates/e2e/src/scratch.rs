//! Temporary folders, also ones that can be full.

use std::fs::File;
use std::io::Write;
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

    /// Whether it stays when this is dropped, for a look at what went wrong.
    pub fn keep(&mut self, keep: bool) {
        self.dir.disable_cleanup(keep);
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
        Self::mount_with(path, &format!("size={megabytes}m"))
    }

    /// The same with these options: `size=8m,nr_inodes=500`.
    pub fn mount_with(path: PathBuf, options: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        std::fs::create_dir_all(&path).expect("a folder to mount on");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "mykeeper-e2e"])
            .arg(&path)
            .output()
            .expect("mount is installed");
        // A container may keep even root from mounting.
        mounted.status.success().then_some(Self { path })
    }

    /// As [`Tmpfs::mount_with`], for a test that is nothing without it: says that it is skipped where the tests are not
    /// run by root. Root's are not skipped.
    ///
    /// # Panics
    /// Root cannot mount it.
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads a test's output must see that nothing was tested"
    )]
    pub fn or_skip(path: PathBuf, options: &str) -> Option<Self> {
        if !is_root() {
            eprintln!("SKIPPED: only root can mount a file system on {}", path.display());
            return None;
        }
        let mounted = Self::mount_with(path, options);
        Some(mounted.expect("root may mount a tmpfs; give the container that right"))
    }

    /// An ext4 of so many megabytes, half of them kept for root, from a sparse file at `image`; skipped as
    /// [`Tmpfs::or_skip`].
    ///
    /// # Panics
    /// Root cannot make or mount it.
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads a test's output must see that nothing was tested"
    )]
    pub fn half_kept_for_root_or_skip(path: PathBuf, image: &Path, megabytes: u64) -> Option<Self> {
        if !is_root() {
            eprintln!("SKIPPED: only root can mount a file system on {}", path.display());
            return None;
        }
        std::fs::create_dir_all(&path).expect("a folder to mount on");
        let file = File::create(image).expect("an image");
        file.set_len(megabytes << 20).expect("a sparse image");
        for (program, args) in [
            ("mkfs.ext4", &["-q", "-m", "50"][..]),
            ("mount", &["-o", "loop"][..]),
        ] {
            let mut command = Command::new(program);
            command.args(args).arg(image);
            if program == "mount" {
                command.arg(&path);
            }
            let output = command.output().expect("mount and e2fsprogs are installed");
            assert!(output.status.success(), "{program}: {output:?}");
        }
        let disk = Self { path };
        std::fs::remove_dir(disk.path.join("lost+found")).expect("an empty folder");
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes away the right to write, or gives it back. False while someone writes there.
    pub fn read_only(&self, read_only: bool) -> bool {
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        let mounted = Command::new("mount").args(["-o", how]).arg(&self.path).output();
        mounted.is_ok_and(|output| output.status.success())
    }

    /// Fills it until so many bytes are left.
    pub fn fill_bytes(&self, left: u64) {
        let free = rustix::fs::statvfs(&self.path).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
        let mut file = File::create(self.ballast().join("bytes")).expect("room for one more file");
        let zeros = vec![0_u8; 64 * 1024];
        let mut missing = free.saturating_sub(left);
        // Whoever else writes may be faster: full is full.
        while missing > 0 {
            let size = missing.min(zeros.len() as u64) as usize;
            if file.write_all(&zeros[..size]).is_err() {
                return;
            }
            missing -= size as u64;
        }
    }

    /// Fills it with empty files until there is room for so many more.
    pub fn fill_inodes(&self, left: u64) {
        let ballast = self.ballast();
        let mut number = 0_u64;
        while rustix::fs::statvfs(&self.path).is_ok_and(|stat| stat.f_ffree > left)
            && File::create(ballast.join(number.to_string())).is_ok()
        {
            number += 1;
        }
    }

    /// Takes away what filled it.
    pub fn make_room(&self) {
        let _ = std::fs::remove_dir_all(self.path.join(BALLAST));
    }

    fn ballast(&self) -> PathBuf {
        let ballast = self.path.join(BALLAST);
        let _ = std::fs::create_dir(&ballast);
        ballast
    }
}

/// The folder of what fills a file system.
const BALLAST: &str = ".ballast";

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is still ending may hold a file open.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
