//! What outlived its daemon.

use super::{Audited, Findings};
use crate::processes::{ProcessId, all_processes};
use std::path::Path;
use std::time::Duration;

/// Longer than the suite's `kill_grace` and what a killed tool's parent takes to notice.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Processes that have to do with the folder: their command line, environment, working folder or an open file say so.
/// This process is not among them.
pub fn processes_of(folder: &Path) -> Vec<ProcessId> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    all_processes()
        .into_iter()
        .filter(|process| process.pid != own && process.is_alive() && concerns(process, folder))
        .collect()
}

fn concerns(process: &ProcessId, folder: &Path) -> bool {
    let proc = Path::new("/proc").join(process.pid.to_string());
    let needle = folder.as_os_str().as_encoded_bytes();
    let is_said = ["cmdline", "environ"].iter().any(|name| {
        std::fs::read(proc.join(name)).is_ok_and(|bytes| crate::processes::contains(&bytes, needle))
    });
    let lies_below = |path: &Path| std::fs::read_link(path).is_ok_and(|target| target.starts_with(folder));
    let holds = || {
        let open = std::fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
        open.map(|entry| entry.path()).any(|path| lies_below(&path))
    };
    is_said || lies_below(&proc.join("cwd")) || holds()
}

pub(super) fn look(audited: &Audited<'_>, findings: &mut Findings) {
    let folder = audited.workspace.path();
    let mut left = processes_of(folder);
    let began = std::time::Instant::now();
    while !left.is_empty() && began.elapsed() < ENDS_WITHIN {
        std::thread::sleep(Duration::from_millis(100));
        left = processes_of(folder);
    }
    for process in left {
        findings.orphans.push(format!(
            "process {} {}: {}",
            process.pid,
            process.name,
            process.command_line()
        ));
    }
    for place in ["state/private", "sandbox"] {
        for entry in std::fs::read_dir(audited.workspace.at(place))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Kept for the next proof: an empty server's folder, and locks.
            if !name.contains("-template-") && !name.ends_with(".lock") {
                findings.orphans.push(format!("{place}/{name} is left"));
            }
        }
    }
    let connections = || {
        audited.source.query(
            "SELECT id, COALESCE(info, command) FROM information_schema.processlist WHERE user = 'backup'",
        )
    };
    // The server takes a moment to notice that a client is gone.
    let mut open = connections();
    if !open.is_empty() {
        std::thread::sleep(Duration::from_secs(2));
        open = connections();
    }
    for row in open {
        findings
            .orphans
            .push(format!("connection {} to the server: {}", row[0], row[1]));
    }
}

/// Waits until nothing of the folder runs any more but `allowed` and what is below it; what does is given.
pub(crate) fn strangers_after(folder: &Path, allowed: u32, limit: Duration) -> Vec<ProcessId> {
    let strangers = || -> Vec<ProcessId> {
        let mut own = crate::processes::descendants_of(allowed);
        own.extend(
            all_processes()
                .into_iter()
                .filter(|process| u32::try_from(process.pid) == Ok(allowed)),
        );
        processes_of(folder)
            .into_iter()
            .filter(|process| !own.iter().any(|mine| mine.pid == process.pid))
            // One that came to be between the two looks is seen below its parent by the next.
            .filter(|process| {
                !crate::processes::descendants_of(allowed)
                    .iter()
                    .any(|mine| mine.pid == process.pid)
            })
            .collect()
    };
    let began = std::time::Instant::now();
    loop {
        let left = strangers();
        if left.is_empty() || began.elapsed() > limit {
            return left;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
