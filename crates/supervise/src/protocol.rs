//! What daemon, shim and starting tool tell each other.
//!
//! The daemon's wishes reach the shim as arguments, and later as single bytes on the socket; the shim answers with
//! one JSON object a line. The socket's end is a message too: the other side is gone.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Daemon to shim: end the tree, gently at first.
pub(crate) const STOP: u8 = b't';

/// How long descendants that outlive the tool have, after SIGTERM, before they are killed.
pub(crate) const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// Shim to daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The tool runs.
    Started { pid: u32, start_time_ticks: u64 },
    /// There is no tool: nothing follows.
    SpawnFailed(SpawnFailure),
    /// A stop was understood.
    Stopping,
    /// The tool exited.
    Exited { code: i32 },
    /// The tool was killed.
    Signaled { signal: i32 },
    /// Nothing of the tree is left: nothing follows.
    Done { leftovers: u32 },
}

/// The tool's process to the shim, when the tool could not be executed in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpawnFailure {
    pub(crate) step: Step,
    pub(crate) errno: Option<i32>,
    pub(crate) message: String,
}

impl SpawnFailure {
    pub(crate) fn new(step: Step, error: &io::Error) -> Self {
        Self {
            step,
            errno: error.raw_os_error(),
            message: error.to_string(),
        }
    }

    pub(crate) fn to_io_error(&self) -> io::Error {
        match self.errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(self.message.clone()),
        }
    }
}

/// Which step towards the tool failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Process,
    Nice,
    CoreLimit,
    User,
    ParentWatch,
    Folder,
    Execute,
}

impl Step {
    pub(crate) fn act(self) -> &'static str {
        match self {
            Self::Process => "make a process",
            Self::Nice => "set its priority",
            Self::CoreLimit => "forbid core files",
            Self::User => "become its user",
            Self::ParentWatch => "tie it to its shim",
            Self::Folder => "enter its folder",
            Self::Execute => "execute it",
        }
    }
}

/// The arguments of a shim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// `Some(the shim's pid)` in the process that becomes the tool; `None` in the shim itself.
    pub(crate) become_tool_under: Option<u32>,
    pub(crate) grace: Duration,
    /// What a shim is started with, to start itself once more.
    pub(crate) self_args: Vec<OsString>,
    pub(crate) nice: Option<i32>,
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) core_dumps: bool,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
}

impl Invocation {
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        let mut option = |name: &str, value: &OsStr| args.extend([OsString::from(name), value.to_owned()]);
        if let Some(shim) = self.become_tool_under {
            option("--become-tool-under", shim.to_string().as_ref());
        }
        option("--grace-ms", self.grace.as_millis().to_string().as_ref());
        for arg in &self.self_args {
            option("--self-arg", arg);
        }
        if let Some(nice) = self.nice {
            option("--nice", nice.to_string().as_ref());
        }
        if let Some((uid, gid)) = self.user {
            option("--uid", uid.to_string().as_ref());
            option("--gid", gid.to_string().as_ref());
        }
        if let Some(folder) = &self.folder {
            option("--folder", folder.as_os_str());
        }
        if self.core_dumps {
            option("--core-dumps", "yes".as_ref());
        }
        args.push("--".into());
        args.push(self.program.clone());
        args.extend(self.args.iter().cloned());
        args
    }

    pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self::default();
        let (mut uid, mut gid) = (None, None);
        loop {
            let name = args.next().ok_or("the program is missing")?;
            if name == "--" {
                break;
            }
            let value = args
                .next()
                .ok_or_else(|| format!("{} has no value", name.display()))?;
            match name.to_str() {
                Some("--become-tool-under") => parsed.become_tool_under = Some(number(&name, &value)?),
                Some("--grace-ms") => parsed.grace = Duration::from_millis(number(&name, &value)?),
                Some("--self-arg") => parsed.self_args.push(value),
                Some("--nice") => parsed.nice = Some(number(&name, &value)?),
                Some("--uid") => uid = Some(number(&name, &value)?),
                Some("--gid") => gid = Some(number(&name, &value)?),
                Some("--folder") => parsed.folder = Some(value.into()),
                Some("--core-dumps") => parsed.core_dumps = true,
                _ => return Err(format!("{} is unknown", name.display())),
            }
        }
        parsed.user = uid.zip(gid);
        parsed.program = args.next().ok_or("the program is missing")?;
        parsed.args = args.collect();
        Ok(parsed)
    }
}

fn number<T: std::str::FromStr>(name: &OsStr, value: &OsStr) -> Result<T, String> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    number.ok_or_else(|| format!("{} {} is not a number", name.display(), value.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn arguments_survive_the_way_to_the_shim() {
        let full = Invocation {
            become_tool_under: Some(7),
            grace: Duration::from_millis(1500),
            self_args: vec!["run-shim".into(), "--".into()],
            nice: Some(-3),
            user: Some((65534, 0)),
            folder: Some("/var/tmp".into()),
            core_dumps: true,
            program: "tool".into(),
            args: vec![
                "--nice".into(),
                "--".into(),
                String::new().into(),
                OsString::from_vec(vec![0xff]),
            ],
        };
        assert_eq!(Invocation::parse(full.to_args().into_iter()), Ok(full));
        let bare = Invocation {
            program: "tool".into(),
            ..Invocation::default()
        };
        assert_eq!(Invocation::parse(bare.to_args().into_iter()), Ok(bare));
    }

    #[test]
    fn malformed_arguments_are_refused() {
        for args in [
            &[][..],
            &["--"],
            &["--nice"],
            &["--nice", "x", "--", "a"],
            &["--what", "1", "--", "a"],
        ] {
            assert!(
                Invocation::parse(args.iter().map(OsString::from)).is_err(),
                "{args:?}"
            );
        }
    }

    #[test]
    fn events_are_single_lines_of_json() {
        let failure = SpawnFailure {
            step: Step::Folder,
            errno: Some(2),
            message: "no\nsuch".into(),
        };
        let event = Event::SpawnFailed(failure);
        let line = serde_json::to_string(&event).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        assert_eq!(
            serde_json::to_string(&Event::Done { leftovers: 2 }).unwrap(),
            r#"{"event":"done","leftovers":2}"#
        );
    }
}
