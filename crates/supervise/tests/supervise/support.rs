//! What the tests share.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mykeeper_supervise::{
    Activity, Child, ChildSpec, Finished, LineHandler, ShimCommand, Stream, SuperviseError, Supervisor,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

/// Far beyond what anything here takes, also on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const STAND_IN: &str = env!("CARGO_BIN_EXE_supervise-stand-in");

pub(crate) fn shim() -> ShimCommand {
    ShimCommand {
        program: PathBuf::from(STAND_IN),
        args: vec!["run-shim".into()],
    }
}

pub(crate) fn supervisor() -> Supervisor {
    Supervisor::new(shim(), std::env::vars_os().collect())
}

pub(crate) fn sh(script: &str) -> ChildSpec {
    ChildSpec::new("sh").args(["-c", script])
}

pub(crate) async fn run(spec: ChildSpec) -> Result<Finished, SuperviseError> {
    run_until(spec, CancellationToken::new()).await
}

pub(crate) async fn run_until(
    spec: ChildSpec,
    cancel: CancellationToken,
) -> Result<Finished, SuperviseError> {
    supervisor()
        .run(spec, cancel, Activity::new(), &mut |_, _| {})
        .await
}

pub(crate) async fn run_with(shim: ShimCommand, spec: ChildSpec) -> Result<Finished, SuperviseError> {
    let supervisor = Supervisor::new(shim, std::env::vars_os().collect());
    supervisor
        .run(spec, CancellationToken::new(), Activity::new(), &mut |_, _| {})
        .await
}

pub(crate) async fn start(spec: ChildSpec) -> Child {
    start_heard(spec, &Heard::default()).await
}

pub(crate) async fn start_until(spec: ChildSpec, cancel: &CancellationToken) -> Child {
    supervisor()
        .start(spec, cancel.clone(), Activity::new(), Box::new(|_, _| {}))
        .await
        .unwrap()
}

pub(crate) async fn start_heard(spec: ChildSpec, heard: &Heard) -> Child {
    supervisor()
        .start(spec, CancellationToken::new(), Activity::new(), heard.ear())
        .await
        .unwrap()
}

/// Runs to the end and returns every line as text.
pub(crate) async fn lines_of(spec: ChildSpec) -> Vec<(Stream, String)> {
    let mut lines = Vec::new();
    let mut keep = |stream, line: &[u8]| lines.push((stream, String::from_utf8_lossy(line).into_owned()));
    supervisor()
        .run(spec, CancellationToken::new(), Activity::new(), &mut keep)
        .await
        .unwrap();
    lines
}

pub(crate) async fn stdout_of(spec: ChildSpec) -> Vec<String> {
    lines_of(spec)
        .await
        .into_iter()
        .filter(|(stream, _)| *stream == Stream::Stdout)
        .map(|(_, line)| line)
        .collect()
}

/// Lines as they come, for a child that runs on.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(crate) fn ear(&self) -> LineHandler {
        let heard = self.0.clone();
        Box::new(move |_, line| {
            heard
                .lock()
                .unwrap()
                .push(String::from_utf8_lossy(line).into_owned());
        })
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.0.lock().unwrap().iter().any(|heard| heard == line)
    }
}

/// A name no other test has, put into environment or arguments of everything a test starts.
pub(crate) struct Mark(String);

impl Mark {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("supervise-mark-{}-{count}.", std::process::id()))
    }

    pub(crate) fn on(&self, spec: ChildSpec) -> ChildSpec {
        spec.env("TEST_MARK", &self.0)
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Living processes that bear the mark, the shim included, this process not.
    pub(crate) fn living(&self) -> Vec<u32> {
        let own = std::process::id();
        processes()
            .into_iter()
            .filter(|pid| *pid != own && !is_zombie(*pid))
            .filter(|pid| {
                ["environ", "cmdline"].iter().any(|file| {
                    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                    bytes
                        .windows(self.0.len())
                        .any(|window| window == self.0.as_bytes())
                })
            })
            .collect()
    }

    pub(crate) fn assert_gone(&self) {
        let commands: Vec<_> = self
            .living()
            .iter()
            .map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")))
            .collect();
        assert!(commands.is_empty(), "alive: {commands:?}");
    }

    pub(crate) async fn gone(&self) {
        eventually("all marked processes are gone", || self.living().is_empty()).await;
    }

    pub(crate) async fn at_least(&self, count: usize) {
        eventually("enough marked processes live", || self.living().len() >= count).await;
    }
}

pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The fields of `/proc/PID/stat` from `state` on; empty when there is no such process.
pub(crate) fn stat(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat
        .rsplit_once(')')
        .map(|(_, fields)| fields.split_whitespace().map(String::from).collect());
    fields.unwrap_or_default()
}

pub(crate) fn is_zombie(pid: u32) -> bool {
    stat(pid).first().is_none_or(|state| state == "Z" || state == "X")
}

pub(crate) fn parent(pid: u32) -> u32 {
    stat(pid)[1].parse().unwrap()
}

pub(crate) fn own_zombies() -> Vec<u32> {
    let own = std::process::id().to_string();
    let stats = processes().into_iter().map(|pid| (pid, stat(pid)));
    stats
        .filter(|(_, stat)| stat.len() > 1 && stat[0] == "Z" && stat[1] == own)
        .map(|(pid, _)| pid)
        .collect()
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "not in {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(crate) fn args<const N: usize>(args: [&str; N]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}
