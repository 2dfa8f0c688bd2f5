//! What systemd's watchdog is for: a daemon that lives, and whose scheduler hangs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[expect(dead_code, reason = "what these tests share with others")]
mod support;

use chrono::{DateTime, Utc};
use mykeeper_daemon::lifecycle::serve;
use mykeeper_domain::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use std::backtrace::Backtrace;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{KEEP, environment, load, write_files};

/// Answered three times as often.
const WATCHDOG: Duration = Duration::from_millis(600);
const LIMIT: Duration = Duration::from_secs(60);

/// Never answers the scheduler once the file is there; answers everybody else.
struct HangingClock {
    file: PathBuf,
}

impl Clock for HangingClock {
    fn now(&self) -> DateTime<Utc> {
        let is_asked_by_scheduler = || {
            Backtrace::force_capture()
                .to_string()
                .contains("scheduler::Scheduler")
        };
        while self.file.exists() && is_asked_by_scheduler() {
            std::thread::park();
        }
        SystemClock.now()
    }
}

/// Not a test: the daemon that the other one starts, in its folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "the daemon of another test"]
async fn a_daemon() {
    let dir = Path::new(".").canonicalize().unwrap();
    if !dir.join("mykeeper.toml").exists() {
        return;
    }
    let clock = HangingClock {
        file: dir.join("hang"),
    };
    let environment = environment(load(&dir), Arc::new(clock)).await;
    let again = dir.clone();
    serve(
        environment,
        Box::new(move || Ok(load(&again))),
        &dir.join("control"),
    )
    .await
    .unwrap();
}

/// Ends with its test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The next word to the service manager; `None` where none comes for so long.
fn next_word(socket: &UnixDatagram, within: Duration) -> Option<String> {
    let mut word = [0; 4096];
    socket.set_read_timeout(Some(within)).unwrap();
    let length = socket.recv(&mut word).ok()?;
    Some(String::from_utf8_lossy(&word[..length]).into_owned())
}

/// Waits for a word.
fn hear(socket: &UnixDatagram, wanted: &str) {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        if next_word(socket, LIMIT).is_some_and(|word| word.contains(wanted)) {
            return;
        }
    }
    panic!("{wanted} is not heard");
}

#[test]
fn a_scheduler_that_hangs_in_a_daemon_that_lives_leaves_the_watchdog_unanswered() {
    let dir = tempfile::tempdir().unwrap();
    write_files(
        dir.path(),
        &format!("[retention.prune]\ncron = \"0 4 * * *\"\n{KEEP}"),
    );
    let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_daemon", "--ignored"])
        .current_dir(dir.path())
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        .env_remove("WATCHDOG_PID")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Daemon(child);
    hear(&socket, "READY=1");
    for _ in 0..5 {
        hear(&socket, "WATCHDOG=1");
    }

    std::fs::write(dir.path().join("hang"), "").unwrap();
    let began = Instant::now();
    let mut answered = Instant::now();
    while answered.elapsed() < WATCHDOG * 4 {
        assert!(began.elapsed() < LIMIT, "the watchdog is answered for ever");
        if next_word(&socket, WATCHDOG).is_some_and(|word| word.contains("WATCHDOG=1")) {
            answered = Instant::now();
        }
    }
    // All else goes on: it is the scheduler alone that hangs.
    let pid = Pid::from_raw(i32::try_from(daemon.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    hear(&socket, "RELOADING=1");
    hear(&socket, "READY=1");
    let silent = Instant::now();
    while silent.elapsed() < WATCHDOG * 2 {
        let word = next_word(&socket, WATCHDOG).unwrap_or_default();
        assert!(!word.contains("WATCHDOG=1"), "it is answered again: {word}");
    }
}
