//! Who the throwaway server runs as.

use crate::error::ToolError;
use mykeeper_supervise::ProcessIdentity;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::path::Path;
use std::time::{Duration, Instant};

/// The users that a server of root's runs as: the first that exists.
const USERS: [&str; 2] = ["mysql", "nobody"];

/// User and group of the server: `None` when we are not root, and it runs as we do.
///
/// # Errors
/// We are root, and there is neither `mysql` nor `nobody`.
pub(super) fn server_user() -> Result<Option<(u32, u32)>, ToolError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let text = std::fs::read_to_string(path).map_err(|source| ToolError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    USERS
        .iter()
        .find_map(|user| parse_passwd(&text, user))
        .map(Some)
        .ok_or_else(|| ToolError::Failed {
            message: "cannot start the throwaway server: root's needs a user mysql or nobody to run as"
                .to_owned(),
            passing: false,
        })
}

fn parse_passwd(text: &str, user: &str) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then_some(())?;
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        let ids: (u32, u32) = (uid.parse().ok()?, gid.parse().ok()?);
        (ids.0 != 0).then_some(ids)
    })
}

/// Kills a process at once and waits a moment until it writes no more.
pub(super) fn kill_now(process: &ProcessIdentity) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|_| process.is_alive()) else {
        return;
    };
    if kill_process(pid, Signal::KILL).is_err() {
        return;
    }
    let until = Instant::now() + Duration::from_millis(500);
    while process.is_alive() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills every process whose working folder lies in `folder`, and waits a moment until none is left: servers whose
/// mykeeper is gone, about to be ended by what watches over them.
pub(super) fn kill_within(folder: &Path) {
    // The kernel knows working folders by their own names, whatever link led there.
    let Ok(real) = std::fs::canonicalize(folder) else {
        return;
    };
    let folder = real.as_path();
    let until = Instant::now() + Duration::from_millis(500);
    loop {
        let mut left = false;
        for pid in working_within(folder) {
            // By a handle: looked at again once it is held, the process cannot be another of the same number.
            let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            if works_within(pid, folder) {
                left = true;
                if let Err(error) = pidfd_send_signal(&handle, Signal::KILL) {
                    tracing::debug!(%error, "a throwaway server that was left cannot be killed");
                }
            }
        }
        if !left || Instant::now() >= until {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn working_within(folder: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| works_within(*pid, folder))
        .collect()
}

fn works_within(pid: Pid, folder: &Path) -> bool {
    std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()))
        .is_ok_and(|working| working.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let text = "root:x:0:0:root:/root:/bin/bash\nmysqlx:x:7:8::/:/bin/false\nmysql:x:102:105:MySQL Server,,,:/nonexistent:/bin/false\n";
        assert_eq!(parse_passwd(text, "mysql"), Some((102, 105)));
        assert_eq!(parse_passwd(text, "nobody"), None);
        assert_eq!(parse_passwd(text, "root"), None);
    }
}
