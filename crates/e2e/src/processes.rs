//! What `/proc` says about processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    /// Number.
    pub pid: i32,
    /// Start, in clock ticks since boot.
    pub started: u64,
    /// Name, for messages and for picking one out.
    pub name: String,
}

struct Stat {
    parent: i32,
    state: char,
    id: ProcessId,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).ok()?).into_owned();
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        id: ProcessId {
            pid,
            started: fields.get(19)?.parse().ok()?,
            name,
        },
    })
}

fn all_pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

impl ProcessId {
    /// Whether it still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|now| now.id.started == self.started && !matches!(now.state, 'Z' | 'X'))
    }

    /// Its command line, words joined by spaces.
    pub fn command_line(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .replace('\0', " ")
            .trim()
            .to_owned()
    }

    /// Ends it at once, if it is still the same.
    pub fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Sends it a signal, if it is still the same.
    pub fn signal(&self, signal: rustix::process::Signal) {
        if self.is_alive()
            && let Some(pid) = rustix::process::Pid::from_raw(self.pid)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// Every process there is, zombies among them.
pub(crate) fn all_processes() -> Vec<ProcessId> {
    all_pids().into_iter().filter_map(stat).map(|p| p.id).collect()
}

/// Processes whose parent is `pid`.
pub fn children_of(pid: u32) -> Vec<ProcessId> {
    let parent = i32::try_from(pid).unwrap_or(-1);
    all_pids()
        .into_iter()
        .filter_map(stat)
        .filter(|process| process.parent == parent)
        .map(|p| p.id)
        .collect()
}

/// Everything below `pid`, zombies left out.
pub fn descendants_of(pid: u32) -> Vec<ProcessId> {
    let mut below: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for process in all_pids().into_iter().filter_map(stat) {
        below.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut open = vec![i32::try_from(pid).unwrap_or(-1)];
    while let Some(parent) = open.pop() {
        for process in below.remove(&parent).unwrap_or_default() {
            open.push(process.id.pid);
            if !matches!(process.state, 'Z' | 'X') {
                found.push(process.id);
            }
        }
    }
    found
}

/// Looks, as fast as it can, at the command line and environment of every process for given secrets.
#[derive(Debug)]
pub struct SecretWatch {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<BTreeMap<String, String>>>,
}

impl SecretWatch {
    /// Begins to look.
    pub fn start(secrets: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let looks = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&looks));
        let thread = std::thread::spawn(move || {
            let mut found = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                look_once(&secrets, &mut found);
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
            found
        });
        Self {
            stop,
            looks,
            thread: Some(thread),
        }
    }

    /// Ends the looking: how often it looked, and each place where a secret stood.
    pub fn finish(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let found = self
            .thread
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        (
            self.looks.load(Ordering::Relaxed),
            found
                .into_iter()
                .map(|(place, what)| format!("{place}: {what}"))
                .collect(),
        )
    }
}

impl Drop for SecretWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn look_once(secrets: &[String], found: &mut BTreeMap<String, String>) {
    for pid in all_pids() {
        for kind in ["cmdline", "environ"] {
            let path = PathBuf::from(format!("/proc/{pid}/{kind}"));
            let Ok(bytes) = std::fs::read(&path) else { continue };
            for secret in secrets {
                if contains(&bytes, secret.as_bytes()) {
                    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
                    found.insert(path.display().to_string(), text);
                }
            }
        }
    }
}

/// Whether `needle` occurs in `hay`.
pub(crate) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|part| part == needle)
}
