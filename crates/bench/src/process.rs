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
