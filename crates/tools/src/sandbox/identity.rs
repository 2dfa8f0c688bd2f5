//! Who the throwaway server runs as.

use crate::error::ToolError;
use mykeeper_supervise::ProcessIdentity;
use rustix::process::{Pid, Signal, kill_process};
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
