//! Ten thousand jobs in one file: what a reload costs, and how late those are that fall on one instant.

use crate::error::BenchError;
use crate::process::{cpu, memory};
use crate::report::{grid, megabytes, say, seconds};
use chrono::{DateTime, SubsecRound, TimeDelta, Timelike, Utc};
use mykeeper_domain::{Clock, SystemClock};
use mykeeper_e2e::Workspace;
use std::time::{Duration, Instant};

const JOBS: u32 = 10_000;
/// So many of them at one instant.
const AT_ONCE: usize = 1_000;
/// Until that instant: the file is written and read before.
const AHEAD: TimeDelta = TimeDelta::seconds(40);
/// All have run by then.
const WITHIN: Duration = Duration::from_secs(240);
const RELOAD: Duration = Duration::from_secs(1);
const LATE: f64 = 0.050;

/// Prints both.
pub(super) fn measure() -> Result<(), BenchError> {
    let workspace = Workspace::new();
    workspace.write_keeper("");
    let folder = workspace.at("nothing");
    std::fs::create_dir_all(&folder).map_err(BenchError::io("make a folder"))?;
    let (now, far) = (SystemClock.now(), TimeDelta::hours(3));
    // Nothing falls due while it starts.
    workspace.write_schedule(&schedule(&folder.display().to_string(), now + far));
    let daemon = workspace.daemon();
    let used = || {
        cpu(daemon.pid())
            .map(|cpu| cpu.own)
            .ok_or_else(|| gone(&daemon.log()))
    };
    std::thread::sleep(Duration::from_secs(3));
    let before = used()?;
    daemon.reload();
    std::thread::sleep(Duration::from_secs(1));
    let same = used()?.saturating_sub(before);

    let instant = (SystemClock.now() + AHEAD).trunc_subsecs(0);
    workspace.write_schedule(&schedule(&folder.display().to_string(), instant));
    let before = used()?;
    daemon.reload();
    std::thread::sleep(Duration::from_secs(1));
    let other = used()?.saturating_sub(before);

    let mut late = fired(&workspace, instant)?;
    let memory = memory(daemon.pid()).ok_or_else(|| gone(&daemon.log()))?;
    late.sort_by(f64::total_cmp);
    let share = |percent: usize| late.get(late.len() * percent / 100).copied().unwrap_or(f64::NAN);
    let reached = |is_reached: bool| if is_reached { "reached" } else { "NOT reached" }.to_owned();
    let milliseconds = |late: f64| format!("{:.1} ms", late * 1000.0);
    say(&format!(
        "fleet: a daemon with {JOBS} jobs in one file, {AT_ONCE} of them at one instant"
    ))?;
    grid(&[
        row(
            "CPU of a reload that changes nothing",
            seconds(same),
            reached(same <= RELOAD),
        ),
        row(
            "CPU of a reload with another schedule for each",
            seconds(other),
            String::new(),
        ),
        row(
            "slots that were lost",
            (AT_ONCE - late.len().min(AT_ONCE)).to_string(),
            reached(late.len() == AT_ONCE),
        ),
        row("late, p50", milliseconds(share(50)), String::new()),
        row(
            "late, p99 (at most 50 ms)",
            milliseconds(share(99)),
            reached(share(99) <= LATE),
        ),
        row("memory, most ever", megabytes(memory.peak), String::new()),
    ])
}

fn row(name: &str, value: String, verdict: String) -> Vec<String> {
    vec![name.to_owned(), value, verdict]
}

fn gone(log: &str) -> BenchError {
    BenchError::Unfit(format!("the daemon ended while it was measured:\n{log}"))
}

/// How late each run was asked for that stands for the instant, seconds, once all are over.
fn fired(workspace: &Workspace, instant: DateTime<Utc>) -> Result<Vec<f64>, BenchError> {
    let began = Instant::now();
    let slot = instant.timestamp_millis();
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let late = workspace.catalog().column(&format!(
            "SELECT requested_ms - slot_ms FROM mk_run WHERE slot_ms = {slot} AND finished_ms IS NOT NULL"
        ));
        if late.len() >= AT_ONCE || began.elapsed() > WITHIN {
            if late.is_empty() {
                return Err(BenchError::Unfit("nothing was fired".to_owned()));
            }
            return Ok(late
                .iter()
                .filter_map(|ms| ms.parse::<f64>().ok())
                .map(|ms| ms / 1000.0)
                .collect());
        }
    }
}

/// Passes over an empty folder: a thousand at the instant, the others an hour and more after it.
fn schedule(folder: &str, instant: DateTime<Utc>) -> String {
    let mut text = "timezone = \"UTC\"\n".to_owned();
    for number in 0..JOBS {
        let at = match usize::try_from(number) {
            Ok(number) if number < AT_ONCE => instant,
            _ => instant + TimeDelta::hours(1) + TimeDelta::seconds((i64::from(number) * 7) % 36_000),
        };
        text.push_str(&format!(
            "\n[retention.job-{number:05}]\ncron = \"{} {} {} * * *\"\ndirectory = \"{folder}\"\naction = \"mark\"\n\
             keep = {{ within = \"31d\" }}\n",
            at.second(),
            at.minute(),
            at.hour()
        ));
    }
    text
}
