//! Thousands of jobs in one file: what a reload costs, and how late those are that fall on one instant.

use crate::error::BenchError;
use crate::process::{cpu, memory};
use crate::report::{grid, megabytes, say, seconds};
use chrono::{DateTime, SubsecRound, TimeDelta, Timelike, Utc};
use mykeeper_domain::{Clock, SystemClock};
use mykeeper_e2e::Workspace;
use std::time::{Duration, Instant};

/// Until that instant: the file is written and read before.
const AHEAD: TimeDelta = TimeDelta::seconds(40);
/// All have run by then.
const WITHIN: Duration = Duration::from_secs(240);
const RELOAD: Duration = Duration::from_secs(1);
const LATE: f64 = 0.050;

/// How many jobs there are, and how many of them fall on one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    pub(crate) jobs: u32,
    pub(crate) at_once: u32,
}

/// Prints both.
pub(crate) fn measure(slots: Slots) -> Result<(), BenchError> {
    let Slots { jobs, at_once } = slots;
    let expected = usize::try_from(at_once.min(jobs)).unwrap_or(usize::MAX);
    let workspace = Workspace::new();
    workspace.write_keeper("");
    let folder = workspace.at("nothing");
    std::fs::create_dir_all(&folder).map_err(BenchError::io("make a folder"))?;
    let (now, far) = (SystemClock.now(), TimeDelta::hours(3));
    // Nothing falls due while it starts.
    workspace.write_schedule(&schedule(slots, &folder.display().to_string(), now + far));
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
    workspace.write_schedule(&schedule(slots, &folder.display().to_string(), instant));
    let before = used()?;
    daemon.reload();
    std::thread::sleep(Duration::from_secs(1));
    let other = used()?.saturating_sub(before);

    let (late, begun) = fired(&workspace, instant, expected)?;
    let memory = memory(daemon.pid()).ok_or_else(|| gone(&daemon.log()))?;
    let share = |late: &[f64], percent: usize| {
        let at = late.len().saturating_sub(1).min(late.len() * percent / 100);
        late.get(at).copied().unwrap_or(f64::NAN)
    };
    let reached = |is_reached: bool| if is_reached { "reached" } else { "NOT reached" }.to_owned();
    let milliseconds = |late: f64| format!("{:.1} ms", late * 1000.0);
    say(&format!(
        "fleet: a daemon with {jobs} jobs in one file, {at_once} of them at one instant"
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
            (expected - late.len().min(expected)).to_string(),
            reached(late.len() == expected),
        ),
        row("late, p50", milliseconds(share(&late, 50)), String::new()),
        row(
            "late, p99 (at most 50 ms)",
            milliseconds(share(&late, 99)),
            reached(share(&late, 99) <= LATE),
        ),
        row("begun after, p50", milliseconds(share(&begun, 50)), String::new()),
        row("begun after, p99", milliseconds(share(&begun, 99)), String::new()),
        row("memory, most ever", megabytes(memory.peak), String::new()),
    ])
}

fn row(name: &str, value: String, verdict: String) -> Vec<String> {
    vec![name.to_owned(), value, verdict]
}

fn gone(log: &str) -> BenchError {
    BenchError::Unfit(format!("the daemon ended while it was measured:\n{log}"))
}

/// How late each run was asked for, and how late it began, that stands for the instant: seconds, once all are over.
fn fired(
    workspace: &Workspace,
    instant: DateTime<Utc>,
    expected: usize,
) -> Result<(Vec<f64>, Vec<f64>), BenchError> {
    let waited = Instant::now();
    let slot = instant.timestamp_millis();
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let rows = workspace.catalog().query(&format!(
            "SELECT requested_ms - slot_ms, started_ms - slot_ms FROM mk_run \
             WHERE slot_ms = {slot} AND finished_ms IS NOT NULL"
        ));
        if rows.len() < expected && waited.elapsed() < WITHIN {
            continue;
        }
        if rows.is_empty() {
            return Err(BenchError::Unfit("nothing was fired".to_owned()));
        }
        let column = |at: usize| -> Vec<f64> {
            let mut late: Vec<f64> = rows
                .iter()
                .filter_map(|row| row.get(at)?.parse::<f64>().ok())
                .map(|ms| ms / 1000.0)
                .collect();
            late.sort_by(f64::total_cmp);
            late
        };
        return Ok((column(0), column(1)));
    }
}

/// Passes over an empty folder: so many at the instant, the others an hour and more after it.
fn schedule(slots: Slots, folder: &str, instant: DateTime<Utc>) -> String {
    let mut text = "timezone = \"UTC\"\n".to_owned();
    for number in 0..slots.jobs {
        let at = match number {
            number if number < slots.at_once => instant,
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
