//! A daemon with a long schedule and nothing to do.

use crate::error::BenchError;
use crate::process::{cpu, memory, proportional, threads};
use crate::report::{Row, megabytes, percent, say, seconds, table};
use chrono::Timelike;
use mykeeper_domain::{Clock, SystemClock};
use mykeeper_e2e::Workspace;
use std::time::{Duration, Instant};

const JOBS: u32 = 1_000;
/// Threads that only the start needed are gone after ten seconds.
const SETTLE: Duration = Duration::from_secs(13);
const RESIDENT_BYTES: u64 = 40_000_000;
const CPU_PERCENT: f64 = 0.5;

/// Prints what it costs over `time`.
pub(crate) fn measure(time: Duration) -> Result<(), BenchError> {
    let workspace = Workspace::new();
    workspace.password_file("idle", "not asked for");
    workspace.write_keeper(&format!(
        "[servers.idle]\nsocket = \"{}\"\nuser = \"backup\"\npassword_file = \"{}\"\naddress = \"192.0.2.7\"\n\n",
        workspace.at("no.sock").display(),
        workspace.at("idle.password").display()
    ));
    workspace.write_schedule(&schedule());
    let daemon = workspace.daemon();
    std::thread::sleep(SETTLE);
    let gone = || {
        BenchError::Unfit(format!(
            "the daemon ended while it was measured:\n{}",
            daemon.log()
        ))
    };
    let look = || {
        let threads = threads(daemon.pid());
        let cpu = cpu(daemon.pid())?.own;
        let fine: Duration = threads.values().map(|thread| thread.cpu).sum();
        let sleeps: u64 = threads.values().map(|thread| thread.sleeps).sum();
        Some((Instant::now(), cpu, fine, sleeps, threads.len()))
    };
    let (began, cpu_before, fine_before, sleeps_before, _) = look().ok_or_else(gone)?;
    std::thread::sleep(time);
    let (ended, cpu_after, fine_after, sleeps_after, thread_count) = look().ok_or_else(gone)?;
    let memory = memory(daemon.pid()).ok_or_else(gone)?;
    let proportional = proportional(daemon.pid()).ok_or_else(gone)?;
    let runs = workspace.runs().len();
    if runs > 0 {
        return Err(BenchError::Unfit(format!(
            "{runs} jobs ran while the daemon should have been idle"
        )));
    }
    let passed = ended - began;
    let (used, fine) = (
        cpu_after.saturating_sub(cpu_before),
        fine_after.saturating_sub(fine_before),
    );
    let sleeps = (sleeps_after.saturating_sub(sleeps_before)) as f64 / passed.as_secs_f64();
    say(&format!(
        "idle: a daemon with {JOBS} jobs, SQLite catalog, watched for {:.0} s",
        passed.as_secs_f64()
    ))?;
    let reached = if memory.resident <= RESIDENT_BYTES {
        "reached"
    } else {
        "NOT reached"
    };
    table(
        ("", "of one core"),
        &[
            Row {
                share: Some(percent(used, passed)),
                ..Row::plain("CPU, by utime + stime", seconds(used))
            }
            .at_most(CPU_PERCENT),
            Row {
                share: Some(percent(fine, passed)),
                ..Row::plain("CPU, by its threads' schedstat", seconds(fine))
            },
            Row::plain("wakeups a second", format!("{sleeps:.1}")),
            Row::plain("threads", thread_count.to_string()),
            Row::plain(
                format!("resident (VmRSS; at most 40 MB: {reached})"),
                megabytes(memory.resident),
            ),
            Row::plain("  of that, backed by no file", megabytes(memory.anonymous)),
            Row::plain("resident, shared pages divided (PSS)", megabytes(proportional)),
            Row::plain("most ever resident (VmHWM)", megabytes(memory.peak)),
        ],
    )
}

/// Daily jobs, spread over the hours that are far from now.
fn schedule() -> String {
    let hour = SystemClock.now().hour();
    let mut text = "timezone = \"UTC\"\n".to_owned();
    for number in 0..JOBS {
        let (second, minute) = (number % 60, number * 7 % 60);
        let hour = (hour + 2 + number % 20) % 24;
        text.push_str(&format!(
            "\n[backup.job-{number:04}]\ncron = \"{second} {minute} {hour} * * *\"\nserver = \"idle\"\n\
             databases = [\"app_{number:04}\", \"app_{number:04}_%\"]\ndirectory = \"{{sets}}\"\n"
        ));
    }
    text
}
