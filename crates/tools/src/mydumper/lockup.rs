//! mydumper 0.10 that waits for itself.
//!
//! Its counter of databases that are still to be listed can reach zero while others are yet to come: then a queue is
//! freed that is used again, every thread waits for a lock that nobody gives back, and it never ends. Seen with two
//! threads and more in 2 to 11 of 40 starts with a regex, never with one thread (190 starts) or with `--database`
//! (40). It happens before the first row is written.

use mykeeper_supervise::ProcessIdentity;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// In how many looks, one after another, every thread must wait for a lock and none have worked. A mydumper that is at
/// work, or waits for its server, has a thread that waits for something else.
const LOOKS: u32 = 8;

/// What one look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    every_thread_waits_for_a_lock: bool,
    /// Clock ticks that it has used.
    worked: u64,
}

/// Whether this mydumper can lock itself up. However few databases it dumps, with a regex it lists all of the server's.
fn is_possible(version: (u32, u32, u32)) -> bool {
    version < (0, 11, 0)
}

/// Returns when the process has locked itself up; never where that cannot be, or cannot be told.
pub(super) async fn locked_up(
    version: (u32, u32, u32),
    mut identity: watch::Receiver<Option<ProcessIdentity>>,
) {
    if !is_possible(version) {
        return std::future::pending().await;
    }
    let pid = match identity.wait_for(Option::is_some).await {
        Ok(identity) => identity.as_ref().map(|identity| identity.pid),
        Err(_) => None,
    };
    let Some(pid) = pid else {
        return std::future::pending().await;
    };
    let (mut last, mut alike) = (None, 0);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let look = look_at(pid);
        alike = match look {
            Some(now) if now.every_thread_waits_for_a_lock && last == Some(now) => alike + 1,
            _ => 0,
        };
        if alike >= LOOKS {
            return;
        }
        last = look;
    }
}

/// `None` when the process is gone, or the kernel does not show where its threads wait.
fn look_at(pid: u32) -> Option<Look> {
    let mut worked = 0;
    let mut every_thread_waits_for_a_lock = true;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let thread = thread.ok()?.path();
        let place = std::fs::read_to_string(thread.join("wchan")).ok()?;
        every_thread_waits_for_a_lock &= place.contains("futex");
        worked += ticks(&std::fs::read_to_string(thread.join("stat")).ok()?)?;
    }
    Some(Look {
        every_thread_waits_for_a_lock,
        worked,
    })
}

/// User and system time of a line of `/proc/PID/stat`. The name, in brackets, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_thread_are_read_behind_any_name() {
        let stat = "7 (a ) b (c) S 1 7 7 0 -1 4194304 9 0 0 0 31 11 0 0 20 0 1 0 5 1 1";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn a_process_at_work_does_not_wait_for_a_lock() {
        let look = look_at(std::process::id()).unwrap();
        assert!(!look.every_thread_waits_for_a_lock);
    }

    #[test]
    fn later_versions_are_safe() {
        assert!(is_possible((0, 10, 0)));
        assert!(!is_possible((1, 0, 1)));
    }
}
