//! Processes as `/proc` shows them.
//!
//! Trees are built from the parent field of every `/proc/PID/stat`, not from `/proc/PID/task/TID/children`: that
//! file depends on a kernel option and is no less racy.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// One process, at the moment it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// In clock ticks since boot.
    pub(crate) start_time_ticks: u64,
    /// Ended, and only waiting to be reaped.
    pub(crate) dead: bool,
}

impl Process {
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(pid, &stat).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("/proc/{pid}/stat is malformed"),
            )
        })
    }

    fn parse(pid: u32, stat: &[u8]) -> Option<Self> {
        // The command's name comes in parentheses and may itself contain spaces and parentheses.
        let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let fields: Vec<&str> = std::str::from_utf8(&stat[after_name..])
            .ok()?
            .split_ascii_whitespace()
            .collect();
        // proc_pid_stat(5) counts from 1 and `state` is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let ended = matches!(field(3)?, "Z" | "X");
        // A main thread that ended before its siblings shows as a zombie too.
        let threads: u64 = field(20)?.parse().ok()?;
        Some(Self {
            pid,
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            start_time_ticks: field(22)?.parse().ok()?,
            dead: ended && threads <= 1,
        })
    }

    /// Names this process for the whole uptime.
    pub(crate) fn key(&self) -> (u32, u64) {
        (self.pid, self.start_time_ticks)
    }

    /// Sends a signal, unless this process is gone and its number belongs to another by now.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        let handle = pidfd_open(pid, PidfdFlags::empty());
        // Whoever holds the number now keeps it while the handle is compared.
        if !Self::read(self.pid).is_ok_and(|now| now.start_time_ticks == self.start_time_ticks) {
            return;
        }
        let sent = match handle {
            Ok(handle) => pidfd_send_signal(handle, signal),
            Err(rustix::io::Errno::SRCH) => Ok(()),
            // A kernel before 5.3, or a filter that does not know the call.
            Err(_) => kill_process(pid, signal),
        };
        if let Err(error) = sent {
            tracing::debug!(pid = self.pid, %error, "signal not delivered");
        }
    }
}

/// Every process that can be seen. Not one instant's picture: what is forked meanwhile may be missing.
pub(crate) fn snapshot() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Ok(process) = Process::read(pid)
        {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// The living children, grandchildren and so on of a process, by their numbers.
///
/// # Errors
/// `/proc` cannot be read.
pub fn descendants_of(pid: u32) -> io::Result<Vec<u32>> {
    let found = descendants(&snapshot()?, [pid]);
    Ok(found
        .iter()
        .filter(|process| !process.dead)
        .map(|process| process.pid)
        .collect())
}

/// Children, grandchildren and so on of `roots`, without the roots.
pub(crate) fn descendants(processes: &[Process], roots: impl IntoIterator<Item = u32>) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut seen: HashSet<u32> = roots.into_iter().collect();
    let mut open: Vec<u32> = seen.iter().copied().collect();
    let mut found = Vec::new();
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(child.pid) {
                found.push(*child);
                open.push(child.pid);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Process, descendants, snapshot};

    #[test]
    fn a_name_with_spaces_and_parentheses_is_skipped() {
        let stat = b"7 (a) Z (b) S 3 5 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 4 0 9876 0 0";
        let expected = Process {
            pid: 7,
            parent: 3,
            group: 5,
            start_time_ticks: 9876,
            dead: false,
        };
        assert_eq!(Process::parse(7, stat), Some(expected));
    }

    #[test]
    fn a_zombie_is_dead_only_without_living_threads() {
        let alone = b"7 (a) Z 3 5 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0";
        let threaded = b"7 (a) Z 3 5 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 2 0 9 0 0";
        assert!(Process::parse(7, alone).unwrap().dead);
        assert!(!Process::parse(7, threaded).unwrap().dead);
    }

    #[test]
    fn descendants_are_found_through_all_generations() {
        let process = |pid, parent| Process {
            pid,
            parent,
            group: 1,
            start_time_ticks: 0,
            dead: false,
        };
        let table = [process(4, 3), process(2, 1), process(3, 2), process(9, 8)];
        let mut found: Vec<u32> = descendants(&table, [2])
            .iter()
            .map(|process| process.pid)
            .collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let pid = std::process::id();
        assert!(
            snapshot()
                .unwrap()
                .iter()
                .any(|process| process.pid == pid && !process.dead)
        );
    }
}
