//! Ends a tree from outside, when there is no shim to do it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use crate::identity::{ProcessIdentity, TREE_VARIABLE, boot_id};
use crate::process_table::{Process, descendants, snapshot};

/// How long after the first SIGKILL a process counts as surviving it.
const KILL_BOUND: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What to do with members of the tree that became children of the calling process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// Reap them: nobody else will.
    Reap,
    /// They are not known to be orphans, and someone may be waiting for them.
    Leave,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) signalled: u32,
    pub(crate) survivors: u32,
}

/// [`sweep`] on a thread of its own, which goes on when the caller no longer waits.
pub(crate) async fn in_background(
    identity: ProcessIdentity,
    grace: Duration,
    adopted: Adopted,
) -> io::Result<Swept> {
    tokio::task::spawn_blocking(move || sweep(&identity, grace, adopted))
        .await
        .map_err(io::Error::other)?
}

fn sweep(identity: &ProcessIdentity, grace: Duration, adopted: Adopted) -> io::Result<Swept> {
    if boot_id()? != identity.boot_id {
        return Ok(Swept::default());
    }
    let kill_at = Instant::now() + grace;
    let give_up_at = kill_at + KILL_BOUND;
    let mut terminated = HashSet::new();
    let mut known = HashSet::new();
    loop {
        let table = snapshot()?;
        let members = members(identity, &table);
        known.extend(members.iter().map(|member| (member.pid, member.start_time_ticks)));
        let signalled = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let now = Instant::now();
        if members.is_empty() || now >= give_up_at {
            let survivors = u32::try_from(members.len()).unwrap_or(u32::MAX);
            if adopted == Adopted::Reap {
                reap(identity, &known, &table);
            }
            return Ok(Swept { signalled, survivors });
        }
        for member in members {
            if now >= kill_at {
                member.signal(Signal::KILL);
            } else if terminated.insert((member.pid, member.start_time_ticks)) {
                member.signal(Signal::TERM);
                member.signal(Signal::CONT);
            }
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Every living process that belongs to the tree, the first one included.
fn members(identity: &ProcessIdentity, table: &[Process]) -> Vec<Process> {
    let own_pid = std::process::id();
    let first_lives_on = table.iter().any(|process| is_first(identity, process));
    let mark = [TREE_VARIABLE.as_bytes(), b"=", identity.mark().as_bytes()].concat();
    let found = table.iter().filter(|process| {
        is_first(identity, process)
            // While the first process has not been reaped, its number cannot name another group.
            || (first_lives_on && process.group == identity.pid)
            || (process.start_time_ticks >= identity.start_time_ticks && has_mark(process.pid, &mark))
    });
    let mut members: HashSet<(u32, u64)> = HashSet::new();
    let found: Vec<Process> = found.copied().collect();
    let mut all = descendants(table, found.iter().map(|process| process.pid));
    all.extend(found);
    all.retain(|process| {
        !process.dead && process.pid != own_pid && members.insert((process.pid, process.start_time_ticks))
    });
    all
}

fn is_first(identity: &ProcessIdentity, process: &Process) -> bool {
    process.pid == identity.pid && process.start_time_ticks == identity.start_time_ticks
}

fn has_mark(pid: u32, mark: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == mark))
}

/// Reaps what died as a child of this process: by number, never whatever comes, because its other children have
/// someone waiting for them.
fn reap(identity: &ProcessIdentity, known: &HashSet<(u32, u64)>, table: &[Process]) {
    let own_pid = std::process::id();
    let of_the_tree = |process: &&Process| {
        process.dead
            && process.parent == own_pid
            && (process.group == identity.pid
                || is_first(identity, process)
                || known.contains(&(process.pid, process.start_time_ticks)))
    };
    for process in table.iter().filter(of_the_tree) {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = waitpid(Some(pid), WaitOptions::NOHANG)
        {
            tracing::debug!(pid = process.pid, %error, "orphan not reaped");
        }
    }
}
