//! Follows one program of ours from its start to its end, looking at it many times a second.
//!
//! A process that has ended and was not reaped still tells its exact CPU time, so it is left unreaped until it was
//! read once more. What a sample alone can tell (threads, peak memory, grandchildren) may miss the last few
//! milliseconds.

use crate::error::BenchError;
use crate::process::{self, Cpu, Thread};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::collections::BTreeMap;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two searches for the tool among all processes, which cost more.
const SEARCH: Duration = Duration::from_millis(20);
/// A program that runs longer is ended.
const LIMIT: Duration = Duration::from_secs(900);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) status: ExitStatus,
    pub(crate) wall: Duration,
    /// Exact.
    pub(crate) cpu: Cpu,
    /// CPU of the process below it that was looked for.
    pub(crate) tool: Option<Duration>,
    /// VmHWM.
    pub(crate) peak: u64,
    /// Every thread it ever had.
    pub(crate) threads: BTreeMap<u32, Thread>,
}

/// Follows `child` to its end. The tool is the process below it that bears the name `tool_name` and has the word
/// `tool_word` on its command line.
pub(crate) fn follow(mut child: Child, (tool_name, tool_word): (&str, &str)) -> Result<Followed, BenchError> {
    let pid = child.id();
    let began = Instant::now();
    let mut searched = began;
    let mut tool_pid = None;
    let mut tool = None;
    let mut peak = 0;
    let mut threads: BTreeMap<u32, Thread> = BTreeMap::new();
    while !has_ended(pid)? {
        if began.elapsed() > LIMIT {
            end(&mut child);
            return Err(BenchError::Unfit(format!(
                "a program did not end within {LIMIT:?}"
            )));
        }
        if tool_pid.is_none() && searched.elapsed() >= SEARCH {
            searched = Instant::now();
            tool_pid = mykeeper_e2e::descendants_of(pid)
                .iter()
                .filter(|below| below.name == tool_name && below.command_line().contains(tool_word))
                .find_map(|below| u32::try_from(below.pid).ok());
        }
        if let Some(cpu) = tool_pid.and_then(process::cpu) {
            tool = Some(cpu.own);
        }
        if let Some(memory) = process::memory(pid) {
            peak = peak.max(memory.peak);
        }
        threads.extend(process::threads(pid));
        std::thread::sleep(PAUSE);
    }
    let wall = began.elapsed();
    let cpu =
        process::cpu(pid).ok_or_else(|| BenchError::Unfit("an ended program told no CPU time".to_owned()))?;
    let status = child.wait().map_err(BenchError::io("wait for a program"))?;
    Ok(Followed {
        status,
        wall,
        cpu,
        tool,
        peak,
        threads,
    })
}

/// Whether it waits to be reaped.
pub(crate) fn has_ended(pid: u32) -> Result<bool, BenchError> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| BenchError::Unfit("a child has no number".to_owned()))?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match waitid(WaitId::Pid(pid), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(BenchError::Io {
            act: "wait for a program",
            source: error.into(),
        }),
    }
}

/// At once, with everything below it.
pub(crate) fn end(child: &mut Child) {
    let below = mykeeper_e2e::descendants_of(child.id());
    drop(child.kill());
    drop(child.wait());
    below.iter().for_each(mykeeper_e2e::ProcessId::kill);
}
