//! Starts the tool and stays until nothing of its tree is left.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process_group, set_child_subreaper, wait as wait_for_any,
};

use crate::process_table::{Process, descendants, snapshot};
use crate::protocol::{Event, Invocation, LEFTOVER_GRACE, SpawnFailure, Step};
use crate::shim::control::Control;

/// What outlives the tool this short, such as the second process of an rsync, was only about to end.
const SETTLE: Duration = Duration::from_millis(100);

/// Between two rounds of SIGKILL: the first wait, and the longest. What survives so long hangs in the kernel.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));

pub(super) fn watch(invocation: &Invocation) -> io::Result<()> {
    let mut control = Control::from_stdin()?;
    rustix::thread::set_name(c"mykeeper-shim")?;
    set_child_subreaper(Some(getpid()))?;
    let tool = match start(invocation) {
        Ok(tool) => tool,
        Err(failure) => {
            control.tell(&Event::SpawnFailed(failure));
            return Ok(());
        }
    };
    close_standard_streams()?;
    control.tell(&Event::Started {
        pid: tool.pid,
        start_time_ticks: tool.start_time_ticks,
    });
    let mut tree = Tree::new(&tool, invocation.grace)?;
    while tree.reap(&control)? == Left::Some {
        tree.advance()?;
        if control.wait(tree.time_to_next_step())? {
            control.tell(&Event::Stopping);
            tree.stop()?;
        }
    }
    control.tell(&Event::Done {
        leftovers: tree.leftovers,
    });
    Ok(())
}

/// Returns when the tool has been executed, or why it could not be.
fn start(invocation: &Invocation) -> Result<Process, SpawnFailure> {
    let failed = |error: io::Error| SpawnFailure::new(Step::Process, &error);
    let (mut status, tools_end) = io::pipe().map_err(failed)?;
    let become_tool = Invocation {
        become_tool_under: Some(std::process::id()),
        ..invocation.clone()
    };
    // By this link even a binary replaced on disk starts itself, and a user who may not enter its folder may
    // still execute it.
    let child = Command::new("/proc/self/exe")
        .args(&invocation.self_args)
        .args(become_tool.to_args())
        .stdin(Stdio::from(tools_end))
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut message = Vec::new();
    status.read_to_end(&mut message).map_err(failed)?;
    if !message.is_empty() {
        return Err(serde_json::from_slice(&message).map_err(|error| failed(error.into()))?);
    }
    // Not reaped yet, so the number is the tool's whatever has become of it.
    Process::read(child.id()).map_err(failed)
}

/// Leaves the daemon's pipes to the tool alone: they end when the tool's tree has ended.
fn close_standard_streams() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Some,
    None,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The tool runs.
    Running,
    /// The tool has ended, something of it has not: it may, by itself, until then.
    Settling { until: Instant },
    /// SIGTERM has been sent.
    Terminating { kill_at: Instant },
    /// SIGKILL is sent again and again, as something may be forked while it is.
    Killing { next_at: Instant, pause: Duration },
}

struct Tree {
    tool: Pid,
    grace: Duration,
    phase: Phase,
    tool_ended: bool,
    /// Killed with the tool, or counted as a leftover: each process counts once at most.
    counted: HashSet<(u32, u64)>,
    leftovers: u32,
}

impl Tree {
    fn new(tool: &Process, grace: Duration) -> io::Result<Self> {
        let tool = i32::try_from(tool.pid).ok().and_then(Pid::from_raw);
        let tool = tool.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let counted = HashSet::new();
        Ok(Self {
            tool,
            grace,
            phase: Phase::Running,
            tool_ended: false,
            counted,
            leftovers: 0,
        })
    }

    /// Reaps whatever has ended. As every orphan of the tree becomes a child of this process, no child left means
    /// nothing left.
    fn reap(&mut self, control: &Control) -> io::Result<Left> {
        loop {
            match wait_for_any(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.tool => {
                    if let Some(code) = status.exit_status() {
                        control.tell(&Event::Exited { code });
                    } else if let Some(signal) = status.terminating_signal() {
                        control.tell(&Event::Signaled { signal });
                    }
                    self.note_end_of_tool();
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Ok(Left::Some),
                Err(rustix::io::Errno::CHILD) => return Ok(Left::None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn note_end_of_tool(&mut self) {
        let now = Instant::now();
        self.tool_ended = true;
        self.phase = match self.phase {
            Phase::Running => Phase::Settling { until: now + SETTLE },
            Phase::Terminating { kill_at } => Phase::Terminating {
                kill_at: kill_at.min(now + LEFTOVER_GRACE),
            },
            later => later,
        };
    }

    fn stop(&mut self) -> io::Result<()> {
        match self.phase {
            Phase::Running => self.terminate(self.grace),
            Phase::Settling { .. } => self.terminate(self.grace.min(LEFTOVER_GRACE)),
            Phase::Terminating { .. } | Phase::Killing { .. } => Ok(()),
        }
    }

    fn terminate(&mut self, grace: Duration) -> io::Result<()> {
        let now = Instant::now();
        if grace.is_zero() {
            self.phase = Phase::Killing {
                next_at: now,
                pause: KILL_AGAIN.0,
            };
            return Ok(());
        }
        self.phase = Phase::Terminating { kill_at: now + grace };
        self.signal_all(Signal::TERM)?;
        // A stopped process would take the signal only when continued.
        self.signal_all(Signal::CONT)
    }

    /// Does what is due by now.
    fn advance(&mut self) -> io::Result<()> {
        let now = Instant::now();
        match self.phase {
            Phase::Settling { until } if now >= until => self.terminate(LEFTOVER_GRACE),
            Phase::Terminating { kill_at } if now >= kill_at => self.kill(now, KILL_AGAIN.0),
            Phase::Killing { next_at, pause } if now >= next_at => self.kill(now, pause),
            _ => Ok(()),
        }
    }

    fn kill(&mut self, now: Instant, pause: Duration) -> io::Result<()> {
        self.phase = Phase::Killing {
            next_at: now + pause,
            pause: (pause * 2).min(KILL_AGAIN.1),
        };
        self.signal_all(Signal::KILL)
    }

    fn time_to_next_step(&self) -> Option<Duration> {
        let step_at = match self.phase {
            Phase::Running => return None,
            Phase::Settling { until } => until,
            Phase::Terminating { kill_at } => kill_at,
            Phase::Killing { next_at, .. } => next_at,
        };
        Some(step_at.saturating_duration_since(Instant::now()))
    }

    /// The tool's group as a whole, which no fork escapes, then each descendant outside of it.
    fn signal_all(&mut self, signal: Signal) -> io::Result<()> {
        let group = u32::try_from(self.tool.as_raw_pid())
            .ok()
            .filter(|_| !self.tool_ended);
        if group.is_some() {
            match kill_process_group(self.tool, signal) {
                // A process of another user in the group does not spare the rest of it.
                Ok(()) | Err(rustix::io::Errno::SRCH | rustix::io::Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for process in descendants(&snapshot()?, [std::process::id()]) {
            let as_group = group == Some(process.group);
            if !as_group {
                process.signal(signal);
            }
            // Told to stop together with the tool, a process has not outlived it yet.
            if !process.dead && (self.tool_ended || signal == Signal::KILL) {
                let new = self.counted.insert(process.key());
                self.leftovers += u32::from(new && self.tool_ended);
            }
        }
        Ok(())
    }
}
