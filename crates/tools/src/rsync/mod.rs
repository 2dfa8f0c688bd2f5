//! rsync: sends sets to their destination, and compares what arrived with what was sent.
//!
//! A set is sent in passes, `metadata` after the data and the manifest alone in the last: a folder at the destination that
//! holds a manifest was sent whole. What exit status 0 is worth is settled by one more pass, which compares by checksum and
//! changes nothing. Files that finish while others are dumped may go ahead; the passes find them there. The local set is held to its manifest before it is held to be right: a damaged original never takes the
//! place of a good copy.

mod ahead;
mod argv;
mod check;
mod exit;
mod fetch;
mod lasting;
mod look;
mod original;
mod output;
mod place;
mod private;
mod send;
mod waiting;

pub use ahead::{Batch, Cleared, ahead_target, clear_ahead, make_way, send_ahead};
pub use check::{CheckRequest, check_destination};
pub use fetch::{Fetch, fetch_command, shell_word};
pub use send::{Comparison, Delivery, SendOutcome, SendRequest, send_set, verify_set};

use crate::env::{ToolEnv, ended_from_here, run_error};
use crate::error::ToolError;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits, Stream, Supervisor};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What to do about a missing rsync.
const HINT: &str = "install it with \"apt-get install rsync\"";
/// The oldest that knows `--info` and plain numbers in `--stats`.
const OLDEST: (u32, u32, u32) = (3, 1, 0);
/// What is kept of its standard error for the message.
const KEPT_LINES: usize = 20;

/// The installed rsync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsyncInfo {
    /// As it is called.
    pub program: PathBuf,
    /// Its first line of `--version`.
    pub banner: String,
    /// Read from the banner.
    pub version: (u32, u32, u32),
}

/// Asks rsync for its version.
///
/// # Errors
/// It is not there, does not answer as rsync does, or is older than 3.1.
pub async fn detect_rsync(supervisor: &Supervisor, program: &Path) -> Result<RsyncInfo, ToolError> {
    let limits = Limits {
        timeout: Some(Duration::from_secs(20)),
        ..Limits::default()
    };
    let spec = ChildSpec::new(program)
        .arg("--version")
        .env("LC_ALL", "C")
        .limits(limits);
    let mut banner = None;
    let finished = supervisor
        .run(
            spec,
            CancellationToken::new(),
            Activity::new(),
            &mut |stream, line| {
                if stream == Stream::Stdout && banner.is_none() {
                    banner = Some(String::from_utf8_lossy(line).trim().to_owned());
                }
            },
        )
        .await
        .map_err(|error| run_error(program, HINT, &error))?;
    let banner = banner.unwrap_or_default();
    let strange = |cause: String| ToolError::Run {
        program: program.display().to_string(),
        cause,
    };
    if finished.exit != Exit::Success {
        return Err(strange(format!("asked for its version it {}", finished.exit)));
    }
    let version = output::parse_version(&banner)
        .ok_or_else(|| strange(format!("its version is not understood: {banner:?}")))?;
    if version < OLDEST {
        let (major, minor, patch) = version;
        return Err(ToolError::NotInstalled {
            program: "rsync 3.1 or newer".to_owned(),
            hint: format!(
                "{} is {major}.{minor}.{patch}; install a newer one",
                program.display()
            ),
        });
    }
    Ok(RsyncInfo {
        program: program.to_owned(),
        banner,
        version,
    })
}

/// How one rsync ended.
struct Ended {
    exit: Exit,
    /// Last lines of standard error, and of standard output those that a daemon's refusal is told on.
    errors: Vec<String>,
}

/// Runs rsync once; `on_line` gets standard output.
async fn run_rsync(
    info: &RsyncInfo,
    args: Vec<std::ffi::OsString>,
    limits: Limits,
    env: &ToolEnv<'_>,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Ended, ToolError> {
    let spec = ChildSpec::new(&info.program)
        .args(args)
        .env("LC_ALL", "C")
        .limits(limits);
    let mut errors: VecDeque<String> = VecDeque::new();
    let finished = env
        .supervisor
        .run(spec, env.cancel.clone(), Activity::new(), &mut |stream, line| {
            let text = String::from_utf8_lossy(line);
            let text = text.trim_end();
            if text.is_empty() {
                return;
            }
            // A daemon's own words come on standard output.
            if stream == Stream::Stderr || text.starts_with("@ERROR") || text.starts_with("ERROR") {
                env.log.line("rsync", text);
                if errors.len() == KEPT_LINES {
                    errors.pop_front();
                }
                errors.push_back(text.to_owned());
            } else {
                on_line(text);
            }
        })
        .await
        .map_err(|error| run_error(&info.program, HINT, &error))?;
    if let Some(error) = ended_from_here("rsync", &finished.exit) {
        return Err(error);
    }
    Ok(Ended {
        exit: finished.exit,
        errors: errors.into(),
    })
}
