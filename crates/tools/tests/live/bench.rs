//! What the tests with real tools share.

use mykeeper_domain::clock::SystemClock;
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_supervise::{Limits, ShimCommand, Supervisor};
use mykeeper_tools::{Progress, RunLog, ToolEnv};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A log that is kept.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) lines: Mutex<Vec<String>>,
}

impl RunLog for Kept {
    fn line(&self, source: &str, text: &str) {
        self.lines.lock().unwrap().push(format!("{source}: {text}"));
    }
    fn progress(&self, _progress: Progress) {}
}

impl Kept {
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

/// A supervisor with the tests' own shim, a log, and a folder that goes with it.
pub(crate) struct Bench {
    pub(crate) supervisor: Supervisor,
    pub(crate) log: Kept,
    pub(crate) cancel: CancellationToken,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        // Others than the owner may pass through: the throwaway server of root's runs as another user.
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            supervisor: supervisor(std::env::vars_os().collect()),
            log: Kept::default(),
            cancel: CancellationToken::new(),
            folder,
        }
    }

    pub(crate) fn env(&self) -> ToolEnv<'_> {
        ToolEnv {
            supervisor: &self.supervisor,
            cancel: self.cancel.clone(),
            log: &self.log,
            clock: &SystemClock,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new folder below the bench's.
    pub(crate) fn sub(&self, name: &str) -> std::path::PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Small, below the bench's folder.
    pub(crate) fn sandbox(&self) -> Sandbox {
        Sandbox {
            server: "mariadbd".into(),
            directory: self.path().to_owned(),
            memory_bytes: 64 << 20,
            threads: 2,
            nice: 5,
        }
    }
}

/// With the tests' own shim, whose children get their surroundings from `env`.
pub(crate) fn supervisor(env: Vec<(OsString, OsString)>) -> Supervisor {
    let shim = ShimCommand {
        program: env!("CARGO_BIN_EXE_tools-test-shim").into(),
        args: Vec::new(),
    };
    Supervisor::new(shim, env)
}

pub(crate) fn limits(seconds: u64) -> Limits {
    Limits {
        timeout: Some(Duration::from_secs(seconds)),
        stall: None,
        grace: Duration::from_secs(2),
    }
}
