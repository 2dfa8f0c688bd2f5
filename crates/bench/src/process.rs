//! What `/proc` tells of a process: CPU time, memory, threads.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// CPU time of a process. The kernel counts exactly and shows hundredths of a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// Its own, all threads, also those that have ended.
    pub(crate) own: Duration,
    /// That of children it has waited for, and of those that they have waited for.
    pub(crate) children: Duration,
}

/// Of a process that runs, or has ended and was not reaped.
pub(crate) fn cpu(pid: u32) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1, and the first after the name is field 3.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let a_second = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100);
    let time = |ticks: u64| Duration::from_secs(ticks) / a_second;
    Some(Cpu {
        own: time(ticks(14)? + ticks(15)?),
        children: time(ticks(16)? + ticks(17)?),
    })
}

/// Memory of a process, bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// VmRSS.
    pub(crate) resident: u64,
    /// VmHWM: the most that was ever resident.
    pub(crate) peak: u64,
    /// RssAnon: what no file backs.
    pub(crate) anonymous: u64,
}

/// Of a process that runs.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Memory {
        resident: kilobytes(&status, "VmRSS:")?,
        peak: kilobytes(&status, "VmHWM:")?,
        anonymous: kilobytes(&status, "RssAnon:")?,
    })
}

/// Bytes resident, pages shared with other processes divided among them.
pub(crate) fn proportional(pid: u32) -> Option<u64> {
    kilobytes(
        &fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?,
        "Pss:",
    )
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(rest.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// As the kernel shortens it: the name of the program's file, unless it says otherwise.
pub(crate) fn name(pid: u32) -> Option<String> {
    Some(
        fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()?
            .trim_end()
            .to_owned(),
    )
}

/// Whether this word begins one of its command line.
pub(crate) fn has_word(pid: u32, beginning: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words
        .split(|byte| *byte == 0)
        .any(|word| word.starts_with(beginning.as_bytes()))
}

/// All below a process, by what the kernel keeps of each one's children: no other process is looked at.
pub(crate) fn below(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        for task in fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children
                .split_ascii_whitespace()
                .filter_map(|child| child.parse::<u32>().ok());
            let before = found.len();
            found.extend(children);
            open.extend_from_slice(&found[before..]);
        }
    }
    found
}

/// One thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Thread {
    pub(crate) name: String,
    /// To the nanosecond.
    pub(crate) cpu: Duration,
    /// How often it went to sleep.
    pub(crate) sleeps: u64,
}

/// The threads that a process has now, by number.
pub(crate) fn threads(pid: u32) -> BTreeMap<u32, Thread> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let schedstat = fs::read_to_string(path.join("schedstat")).ok()?;
            let nanoseconds: u64 = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
            let name = fs::read_to_string(path.join("comm")).ok()?.trim_end().to_owned();
            let status = fs::read_to_string(path.join("status")).ok()?;
            let sleeps = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            let thread = Thread {
                name,
                cpu: Duration::from_nanos(nanoseconds),
                sleeps: sleeps.trim().parse().ok()?,
            };
            Some((entry.file_name().to_str()?.parse().ok()?, thread))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grandchild_is_found_by_its_name_and_its_words() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .spawn()
            .unwrap();
        let sleeping = mykeeper_e2e::wait_until(mykeeper_e2e::LIMIT, "the shell's child sleeps", || {
            let found = below(std::process::id());
            found
                .into_iter()
                .find(|pid| name(*pid).as_deref() == Some("sleep") && below(child.id()).contains(pid))
        });
        assert!(has_word(sleeping, "60"));
        assert!(!has_word(sleeping, "0"));
        mykeeper_e2e::descendants_of(child.id())
            .iter()
            .for_each(mykeeper_e2e::ProcessId::kill);
        child.wait().unwrap();
    }
}
