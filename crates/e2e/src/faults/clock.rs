//! The clock: steps of the wall's clock under the real binary, the days on which it changes, a suspended process.

use super::Trial;
use super::stage::{Setting, Stage, now_ms};
use crate::audit::shown;
use crate::catalog_view::CatalogView;
use crate::fake_clock::FakeClock;
use crate::mariadb::MariaDb;
use crate::wait::wait_until;
use crate::workspace::Workspace;
use rustix::process::Signal;
use std::time::Duration;

/// Steps in seconds.
const STEPS: [i64; 7] = [3, 45, 600, -2, -15, 1200, -25];

/// Days on which a clock changes, or would elsewhere: the cron expression, its zone, and in UTC when it is due on the
/// days around the change. By hand, from the zones' own rules.
const DAYS: [(&str, &str, &[&str]); 8] = [
    // 2027-03-28: 02:00 becomes 03:00; what is due in the gap comes right after it.
    ("30 2 28 3 *", "Europe/Berlin", &["2027-03-28T01:00:00Z"]),
    // 2027-10-31: 03:00 becomes 02:00; the first of the two.
    ("30 2 31 10 *", "Europe/Berlin", &["2027-10-31T00:30:00Z"]),
    ("30 2 14 3 *", "America/New_York", &["2027-03-14T07:00:00Z"]),
    ("30 1 7 11 *", "America/New_York", &["2027-11-07T05:30:00Z"]),
    // No change.
    ("30 2 28 3 *", "Asia/Shanghai", &["2027-03-27T18:30:00Z"]),
    ("30 2 31 10 *", "Asia/Shanghai", &["2027-10-30T18:30:00Z"]),
    // Half an hour. 2027-04-04: 02:00 becomes 01:30. 2027-10-03: 02:00 becomes 02:30.
    ("45 1 4 4 *", "Australia/Lord_Howe", &["2027-04-03T14:45:00Z"]),
    ("15 2 3 10 *", "Australia/Lord_Howe", &["2027-10-02T15:30:00Z"]),
];

/// When the wall's clock shows a time of [`DAYS`] for the second time: nothing is due.
const AGAIN: [&str; 3] = [
    "2027-10-31T01:30:00Z",
    "2027-11-07T06:30:00Z",
    "2027-04-03T15:15:00Z",
];

const NO_LIBRARY: &str = "libfaketime is not installed: run deploy/install-needs.sh";

pub(super) fn steps(trial: &mut Trial) {
    let mut stage = Stage::with(trial, Setting::default());
    let Some((clock, surroundings)) = FakeClock::new(stage.workspace.path()) else {
        return trial.skip(NO_LIBRARY);
    };
    stage.workspace.surround(surroundings);
    stage.start();
    let rounds = trial.plan.rounds(8, 5);
    let mut ahead = 0;
    for round in 0..rounds {
        std::thread::sleep(trial.dice.millis(500, 4_000));
        let step = match STEPS.get(round as usize) {
            Some(step) => *step,
            None => trial.dice.pick(&STEPS),
        };
        ahead += step;
        clock.set(ahead);
        stage.set_clock_ahead(ahead);
        trial.count(if step > 0 { "forward" } else { "backward" });
    }
    stage.finish(trial);
}

pub(super) fn suspended(trial: &mut Trial) {
    let mut stage = Stage::with(trial, Setting::default());
    stage.start();
    let rounds = trial.plan.rounds(40, 1);
    for _ in 0..rounds {
        std::thread::sleep(trial.dice.millis(500, 4_000));
        // Longer than a slot may be late: what passed meanwhile is missed.
        let lasts = if trial.plan.is_short() { 4_000 } else { 40_000 };
        stage.daemon().signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(lasts));
        stage.daemon().signal(Signal::CONT);
        trial.count("suspended");
    }
    stage.finish(trial);
}

/// One daemon through a year of fake time, awake around each change.
pub(super) fn changes(trial: &mut Trial) {
    let mut workspace = Workspace::new();
    let source = MariaDb::start();
    let Some((clock, surroundings)) = FakeClock::new(workspace.path()) else {
        return trial.skip(NO_LIBRARY);
    };
    workspace.write_keeper(&workspace.server("shop", &source, "shop pw"));
    let jobs: String = DAYS
        .iter()
        .enumerate()
        .map(|(index, (cron, zone, _))| {
            format!(
                "[retention.day-{index}]\ncron = \"{cron}\"\ntimezone = \"{zone}\"\ndirectory = \"{{sets}}\"\n\
                 keep = {{ last = 1 }}\n\n"
            )
        })
        .collect();
    workspace.write_schedule(&jobs);
    let due = DAYS.iter().flat_map(|day| day.2).map(|text| (ms(text), true));
    let again = AGAIN.iter().map(|text| (ms(text), false));
    let mut instants: Vec<(i64, bool)> = due.chain(again).collect();
    instants.sort_unstable();
    instants.dedup();
    let ahead_of = |instant: i64| (instant - now_ms()) / 1000 - 1;
    clock.set(ahead_of(ms("2027-01-01T00:00:00Z")));
    workspace.surround(surroundings);
    let mut daemon = workspace.daemon();
    let catalog = workspace.catalog();
    for (instant, is_due) in &instants {
        clock.set(ahead_of(*instant));
        trial.count(if *is_due { "slot" } else { "time shown again" });
        if !is_due {
            // What comes too late for this look is seen at the end, among the slots of its job.
            std::thread::sleep(Duration::from_millis(1_500));
            continue;
        }
        let query = format!("SELECT COUNT(*) FROM mk_run WHERE slot_ms = {instant} AND state = 'succeeded'");
        wait_until(
            Duration::from_secs(30),
            &format!("the slot of {} is run", shown(*instant)),
            || (catalog.value(&query) != "0").then_some(()),
        );
    }
    clock.set(ahead_of(ms("2027-12-31T00:00:00Z")));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
    each_day_once(trial, &catalog);
}

/// The slots of the jobs are those of [`DAYS`], each once, and no other.
fn each_day_once(trial: &mut Trial, catalog: &CatalogView<'_>) {
    for (index, (cron, zone, expected)) in DAYS.iter().enumerate() {
        let job = format!("day-{index}");
        let query = format!("SELECT slot_ms FROM mk_slot WHERE job = '{job}' ORDER BY slot_ms");
        let found: Vec<i64> = catalog
            .column(&query)
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        let expected: Vec<i64> = expected.iter().map(|text| ms(text)).collect();
        for slot in expected.iter().filter(|slot| !found.contains(*slot)) {
            trial
                .findings
                .lost
                .push(format!("{cron} in {zone}: {}", shown(*slot)));
        }
        for slot in found.iter().filter(|slot| !expected.contains(*slot)) {
            trial
                .findings
                .doubled
                .push(format!("{cron} in {zone}: {}", shown(*slot)));
        }
    }
}

fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text)
        .expect("a time of our own")
        .timestamp_millis()
}
