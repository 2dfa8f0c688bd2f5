//! mydumper 0.10 that waits for itself.
//!
//! Its counter of databases that are still to be listed can reach zero while others are yet to come: then a queue is
//! freed that is used again, every thread waits for a lock that nobody gives back, and it never ends. Seen with two
//! threads and more in 2 to 11 of 40 starts with a regex, never with one thread (190 starts) or with `--database`
//! (40). It happens before the first row is written.

use mykeeper_supervise::{ProcessIdentity, descendants_of};
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

/// The process, and where it is a wrapper that waits for its child, what it has started.
///
/// `None` when the process is gone, or the kernel does not show where its threads wait.
fn look_at(pid: u32) -> Option<Look> {
    let wrapper = match look_at_one(pid)? {
        Kind::Worker(look) => return Some(look),
        Kind::Wrapper { worked } => worked,
    };
    let mut look = Look {
        every_thread_waits_for_a_lock: true,
        worked: wrapper,
    };
    let mut is_alone = true;
    for below in descendants_of(pid).ok()? {
        match look_at_one(below)? {
            Kind::Wrapper { worked } => look.worked += worked,
            Kind::Worker(worker) => {
                is_alone = false;
                look.every_thread_waits_for_a_lock &= worker.every_thread_waits_for_a_lock;
                look.worked += worker.worked;
            }
        }
    }
    look.every_thread_waits_for_a_lock &= !is_alone;
    Some(look)
}

enum Kind {
    /// One thread, which waits for its child to end: a script in mydumper's place.
    Wrapper {
        worked: u64,
    },
    Worker(Look),
}

fn look_at_one(pid: u32) -> Option<Kind> {
    let (mut worked, mut threads, mut wait_for_a_child) = (0, 0, 0);
    let mut every_thread_waits_for_a_lock = true;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let thread = thread.ok()?.path();
        let place = std::fs::read_to_string(thread.join("wchan")).ok()?;
        threads += 1;
        wait_for_a_child += u32::from(place == "do_wait");
        every_thread_waits_for_a_lock &= place.contains("futex");
        worked += ticks(&std::fs::read_to_string(thread.join("stat")).ok()?)?;
    }
    if (threads, wait_for_a_child) == (1, 1) {
        return Some(Kind::Wrapper { worked });
    }
    Some(Kind::Worker(Look {
        every_thread_waits_for_a_lock,
        worked,
    }))
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

    /// This very test, started by a shell, stands for a mydumper whose threads wait for a lock.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "it tells the test from the one that stands for mydumper"
    )]
    fn behind_a_wrapper_it_is_seen_too() {
        const LOCKED: &str = "MYKEEPER_TEST_LOCKED";
        if std::env::var_os(LOCKED).is_some() {
            let (_kept, nothing) = std::sync::mpsc::channel::<()>();
            let _ = nothing.recv_timeout(Duration::from_secs(60));
            return;
        }
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "\"$@\"; exit $?", "sh"])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "mydumper::lockup::tests::behind_a_wrapper_it_is_seen_too",
            ])
            .env(LOCKED, "yes")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(30);
        let is_seen = || look_at(shell.id()).is_some_and(|look| look.every_thread_waits_for_a_lock);
        let mut seen = is_seen();
        while !seen && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
            seen = is_seen();
        }
        let below = descendants_of(shell.id()).unwrap();
        for pid in below.into_iter().chain([shell.id()]) {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        shell.wait().unwrap();
        assert!(seen);
    }

    #[test]
    fn later_versions_are_safe() {
        assert!(is_possible((0, 10, 0)));
        assert!(!is_possible((1, 0, 1)));
    }
}
