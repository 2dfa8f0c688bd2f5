//! What to run, and within which limits.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::identity::ProcessIdentity;

/// How the shim is started: a binary that hands the arguments after `args` to [`shim_main`](crate::shim_main).
#[derive(Clone, Debug)]
pub struct ShimCommand {
    /// The binary.
    pub program: PathBuf,
    /// Its first arguments, such as a hidden subcommand.
    pub args: Vec<OsString>,
}

impl ShimCommand {
    /// The running binary itself, by the kernel's own link to it: after an upgrade replaced the file, a running
    /// daemon still starts the shim that speaks its own protocol.
    #[must_use]
    pub fn this_binary<I, S>(args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            args: args.into_iter().map(Into::into).collect(),
        }
    }
}

/// When a child is ended from here, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest a whole run may take.
    pub timeout: Option<Duration>,
    /// The longest without output and without a touch of its [`Activity`](crate::Activity).
    pub stall: Option<Duration>,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: None,
            stall: None,
            grace: Duration::from_secs(10),
        }
    }
}

/// One child: program, arguments, surroundings, limits.
///
/// Arguments are visible to every user of the machine, also in the shim's own command line: no secret belongs
/// there. Standard input is `/dev/null`.
#[derive(Clone, Debug)]
pub struct ChildSpec {
    /// A path, or a name looked up in the child's `PATH`. A relative path counts from `current_dir`.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Its environment, besides the few variables the supervisor hands down; a later entry wins.
    pub env: Vec<(OsString, OsString)>,
    /// The folder it runs in; the daemon's own when `None`.
    pub current_dir: Option<PathBuf>,
    /// When it is ended from here.
    pub limits: Limits,
    /// Its scheduling priority, -20 to 19; below the daemon's own needs privileges.
    pub nice: Option<i32>,
    /// User and group id to run as; supplementary groups are given up. Needs privileges.
    pub user: Option<(u32, u32)>,
    /// Whether it may leave a core file, which can hold secrets and rows.
    pub core_dumps: bool,
    /// Told the child's identity once it runs, so that it can be recorded for recovery while `run` waits.
    pub announce_to: Option<watch::Sender<Option<ProcessIdentity>>>,
}

impl ChildSpec {
    /// A child without arguments, limits and environment of its own.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            current_dir: None,
            limits: Limits::default(),
            nice: None,
            user: None,
            core_dumps: false,
            announce_to: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds one variable to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the folder to run in.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(folder.into());
        self
    }

    /// Sets all limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the scheduling priority.
    #[must_use]
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = Some(nice);
        self
    }

    /// Sets the user and group id to run as.
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// Sets who is told the child's identity once it runs.
    #[must_use]
    pub fn announce_to(mut self, receiver: watch::Sender<Option<ProcessIdentity>>) -> Self {
        self.announce_to = Some(receiver);
        self
    }
}
