//! Follows a program with all that it starts, to its end.
//!
//! It is looked at seldom enough to take nothing of note from what is measured: between two looks little is missed of
//! tools and threads that end. The CPU time of the whole is exact.

use crate::error::BenchError;
use crate::process::{self, Cpu, Thread};
use crate::sampler::{end, has_ended};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Between two looks at what is known already.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two searches for what is new.
const SEARCH: Duration = Duration::from_millis(50);
/// The tools that are told apart, and what begins a word of those that are meant: none that is asked for its version.
const TOOLS: [(&str, &str); 2] = [("mydumper", "--outputdir"), ("rsync", "--password-file")];

static STOPPED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on SIGINT and SIGTERM end what is followed, and with it this program in good order.
pub(crate) fn stop_in_order() -> Result<(), BenchError> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&STOPPED))
            .map_err(BenchError::io("listen for a signal"))?;
    }
    Ok(())
}

/// All processes of one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) cpu: Duration,
    /// For how long they ran, one after the other.
    pub(crate) ran: Duration,
    /// When the first began.
    pub(crate) began: Option<Duration>,
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) wall: Duration,
    /// Exact.
    pub(crate) cpu: Cpu,
    /// VmHWM of the program itself.
    pub(crate) peak: u64,
    /// The most of all together at any look, pages that they share counted once (PSS).
    pub(crate) peak_tree: u64,
    /// By name.
    pub(crate) tools: BTreeMap<String, Tool>,
    /// Every thread that the program itself ever had.
    pub(crate) threads: BTreeMap<u32, Thread>,
}

impl Tree {
    /// Of one tool; nothing where it was not seen.
    pub(crate) fn tool(&self, name: &str) -> Tool {
        self.tools.get(name).copied().unwrap_or_default()
    }

    /// With all that it waited for.
    pub(crate) fn whole_cpu(&self) -> Duration {
        self.cpu.own + self.cpu.children
    }
}

/// Runs `command` to its end, which must come within `limit` and with a status among `codes`. `look` is called again and
/// again while it runs, and once after.
pub(crate) fn follow_tree(
    mut command: Command,
    codes: &[i32],
    limit: Duration,
    mut look: impl FnMut(Duration),
) -> Result<Tree, BenchError> {
    let mut output = tempfile::tempfile().map_err(BenchError::io("make a temporary file"))?;
    let handle = || {
        output
            .try_clone()
            .map_err(BenchError::io("make a temporary file"))
    };
    command.stdin(Stdio::null()).stdout(handle()?).stderr(handle()?);
    let began = Instant::now();
    let child = command
        .spawn()
        .map_err(BenchError::io("start what is measured"))?;
    let (tree, status) = watch(child, began, limit, &mut look)?;
    look(began.elapsed());
    if status.code().is_some_and(|code| codes.contains(&code)) {
        return Ok(tree);
    }
    let mut said = String::new();
    output
        .seek(SeekFrom::Start(0))
        .and_then(|_| output.read_to_string(&mut said))
        .map_err(BenchError::io("read what a program said"))?;
    Err(BenchError::Unfit(format!(
        "{:?} ended with {status}:\n{said}",
        command.get_program()
    )))
}

fn watch(
    mut child: Child,
    began: Instant,
    limit: Duration,
    look: &mut impl FnMut(Duration),
) -> Result<(Tree, ExitStatus), BenchError> {
    let pid = child.id();
    let mut seen = Seen::default();
    let mut searched: Option<Instant> = None;
    while !has_ended(pid)? {
        if STOPPED.load(Ordering::Relaxed) || began.elapsed() > limit {
            end(&mut child);
            return Err(BenchError::Unfit(if began.elapsed() > limit {
                format!("a program did not end within {limit:?}")
            } else {
                "stopped by a signal; nothing was measured to its end".to_owned()
            }));
        }
        if searched.is_none_or(|at| at.elapsed() >= SEARCH) {
            searched = Some(Instant::now());
            seen.search(pid, began.elapsed());
        }
        seen.follow(began.elapsed());
        look(began.elapsed());
        std::thread::sleep(PAUSE);
    }
    let wall = began.elapsed();
    let cpu =
        process::cpu(pid).ok_or_else(|| BenchError::Unfit("an ended program told no CPU time".to_owned()))?;
    let status = child.wait().map_err(BenchError::io("wait for a program"))?;
    let tree = Tree {
        wall,
        cpu,
        peak: seen.peak,
        peak_tree: seen.peak_tree,
        tools: seen.tools(),
        threads: seen.threads,
    };
    Ok((tree, status))
}

#[derive(Default)]
struct Seen {
    running: BTreeMap<u32, OneTool>,
    threads: BTreeMap<u32, Thread>,
    peak: u64,
    peak_tree: u64,
}

struct OneTool {
    name: &'static str,
    cpu: Duration,
    first: Duration,
    last: Duration,
}

impl Seen {
    /// Looks for new tools and threads, and at the memory of all.
    fn search(&mut self, pid: u32, now: Duration) {
        let below = process::below(pid);
        let mut together = process::proportional(pid).unwrap_or(0);
        for one in below {
            together += process::proportional(one).unwrap_or(0);
            if let Some(name) = tool_of(one) {
                self.running.entry(one).or_insert(OneTool {
                    name,
                    cpu: Duration::ZERO,
                    first: now,
                    last: now,
                });
            }
        }
        self.peak_tree = self.peak_tree.max(together);
        if let Some(memory) = process::memory(pid) {
            self.peak = self.peak.max(memory.peak);
        }
        self.threads.extend(process::threads(pid));
    }

    /// Looks again at the tools that are known.
    fn follow(&mut self, now: Duration) {
        for (pid, tool) in &mut self.running {
            // One that has ended stays as it was last seen.
            if let Some(cpu) = process::cpu(*pid).filter(|_| tool_of(*pid) == Some(tool.name)) {
                tool.cpu = cpu.own;
                tool.last = now;
            }
        }
    }

    fn tools(&self) -> BTreeMap<String, Tool> {
        let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
        for one in self.running.values() {
            let tool = tools.entry(one.name.to_owned()).or_default();
            tool.cpu += one.cpu;
            tool.ran += one.last.saturating_sub(one.first);
            tool.began = Some(tool.began.map_or(one.first, |began| began.min(one.first)));
        }
        tools
    }
}

fn tool_of(pid: u32) -> Option<&'static str> {
    let name = process::name(pid)?;
    let (tool, word) = TOOLS.iter().find(|(tool, _)| *tool == name)?;
    process::has_word(pid, word).then_some(*tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_added_up_by_their_names() {
        let one = |name, cpu, first, last| OneTool {
            name,
            cpu: Duration::from_secs(cpu),
            first: Duration::from_secs(first),
            last: Duration::from_secs(last),
        };
        let seen = Seen {
            running: [
                (1, one("mydumper", 3, 0, 5)),
                (2, one("rsync", 1, 5, 6)),
                (3, one("mydumper", 4, 6, 10)),
            ]
            .into(),
            ..Seen::default()
        };
        let tools = seen.tools();
        assert_eq!(tools["mydumper"].cpu, Duration::from_secs(7));
        assert_eq!(tools["mydumper"].ran, Duration::from_secs(9));
        assert_eq!(tools["mydumper"].began, Some(Duration::ZERO));
        assert_eq!(tools["rsync"].ran, Duration::from_secs(1));
        assert_eq!(tools["rsync"].began, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_program_that_does_not_end_in_time_is_ended_and_named() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let error = follow_tree(command, &[0], Duration::from_millis(50), |_| {}).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }

    #[test]
    fn what_a_failed_program_said_is_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such table >&2; exit 3"]);
        let error = follow_tree(command, &[0, 4], Duration::from_secs(20), |_| {}).unwrap_err();
        assert!(error.to_string().contains("no such table"), "{error}");
    }
}
