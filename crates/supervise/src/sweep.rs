//! Ends a tree from outside, when there is no shim to do it.

use std::collections::{HashMap, HashSet};
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

/// One look can miss a process that is being forked, or is executing another program, just then.
const EMPTY_LOOKS: u32 = 3;

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
    let mut tree = Tree::new(identity);
    let mut terminated = HashSet::new();
    let mut empty_looks = 0;
    let kill_at = Instant::now() + grace;
    let give_up_at = kill_at + KILL_BOUND;
    loop {
        let table = snapshot()?;
        let living = tree.living(&table);
        if adopted == Adopted::Reap && living.is_empty() {
            tree.reap(&table);
        }
        empty_looks = if living.is_empty() { empty_looks + 1 } else { 0 };
        let now = Instant::now();
        if empty_looks == EMPTY_LOOKS || now >= give_up_at {
            let survivors = u32::try_from(living.len()).unwrap_or(u32::MAX);
            return Ok(Swept {
                signalled: tree.signalled(),
                survivors,
            });
        }
        for process in living {
            if now >= kill_at {
                process.signal(Signal::KILL);
            } else if terminated.insert(process.key()) {
                process.signal(Signal::TERM);
                process.signal(Signal::CONT);
            }
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// What is known of a tree that is looked at again and again.
struct Tree<'a> {
    first: &'a ProcessIdentity,
    mark: Vec<u8>,
    /// Every member seen alive.
    known: HashSet<(u32, u64)>,
    /// Every process group a member was seen in.
    groups: HashSet<u32>,
}

impl<'a> Tree<'a> {
    fn new(first: &'a ProcessIdentity) -> Self {
        let mark = [TREE_VARIABLE.as_bytes(), b"=", first.mark().as_bytes()].concat();
        Self {
            first,
            mark,
            known: HashSet::new(),
            groups: HashSet::new(),
        }
    }

    fn signalled(&self) -> u32 {
        u32::try_from(self.known.len()).unwrap_or(u32::MAX)
    }

    /// Every living process of the tree.
    fn living(&mut self, table: &[Process]) -> Vec<Process> {
        let own_pid = std::process::id();
        let own_group = table
            .iter()
            .find(|process| process.pid == own_pid)
            .map(|process| process.group);
        let certain: Vec<Process> = table
            .iter()
            .filter(|process| self.is_certain(process))
            .copied()
            .collect();
        // As long as a member, if only a dead one, is in it, a group's number cannot name another group.
        let groups: HashSet<u32> = certain
            .iter()
            .map(|process| process.group)
            .filter(|group| Some(*group) != own_group)
            .collect();
        let in_groups = table
            .iter()
            .filter(|process| groups.contains(&process.group))
            .copied();
        let roots: HashMap<u32, Process> = certain
            .iter()
            .copied()
            .chain(in_groups)
            .map(|process| (process.pid, process))
            .collect();
        let mut members = descendants(table, roots.keys().copied());
        members.extend(roots.into_values());
        members.retain(|process| !process.dead && process.pid != own_pid);
        self.known.extend(members.iter().map(Process::key));
        self.groups.extend(groups);
        members
    }

    fn is_certain(&self, process: &Process) -> bool {
        process.key() == (self.first.pid, self.first.start_time_ticks)
            // The mark cannot be read from the dead, nor while a process executes another program.
            || self.known.contains(&process.key())
            || (process.start_time_ticks >= self.first.start_time_ticks && has_mark(process.pid, &self.mark))
    }

    /// Reaps what died as a child of this process: by number, never whatever comes, because its other children
    /// have someone waiting for them.
    fn reap(&self, table: &[Process]) {
        let own_pid = std::process::id();
        let ours = |process: &&Process| {
            process.dead
                && process.parent == own_pid
                && (self.groups.contains(&process.group) || self.is_certain(process))
        };
        for process in table.iter().filter(ours) {
            let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid
                && let Err(error) = waitpid(Some(pid), WaitOptions::NOHANG)
            {
                tracing::debug!(pid = process.pid, %error, "orphan not reaped");
            }
        }
    }
}

fn has_mark(pid: u32, mark: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == mark))
}
