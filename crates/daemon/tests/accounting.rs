//! Every slot has its row: late ones, lost ones, those of a clock that steps, and those of a job that is gone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[expect(dead_code, reason = "what these tests share with others")]
mod support;

use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_daemon::missing::{Wanted, find_missing};
use mykeeper_daemon::scheduler::Scheduler;
use mykeeper_domain::run::{CoveredSlots, Run, RunState, Trigger};
use mykeeper_domain::{Clock, ManualClock, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use support::{Stage, at, left};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_late_start_is_told_and_jitter_is_no_lateness() {
    let clock = Arc::new(ManualClock::at(at("2026-11-22T04:05:00Z")));
    let stage = Stage::new("cron = \"0 4 * * *\"", clock.clone()).await;
    let engine = stage.engine();
    engine.fire(stage.job(), at("2026-11-22T04:00:00Z"), Trigger::Schedule);
    let late = stage.wait_for_run(|run| run.state.is_final()).await;
    assert_eq!(late.late(), Some(TimeDelta::minutes(5)));
    let log = std::fs::read_to_string(stage.environment.state.run_log(late.id)).unwrap();
    assert!(
        log.contains("warning: it begins 5m after its planned time"),
        "{log}"
    );

    let now = SystemClock.now();
    let stage = Stage::new("cron = \"0 4 * * *\"\njitter = \"1s\"", Arc::new(SystemClock)).await;
    stage.engine().fire(stage.job(), now, Trigger::Schedule);
    let put_off = stage.wait_for_run(|run| run.state.is_final()).await;
    let planned_at = put_off.planned_at.unwrap();
    assert!(planned_at > now - TimeDelta::seconds(1) && planned_at < now + TimeDelta::seconds(2));
    assert!(
        put_off.started_at.unwrap() >= planned_at - TimeDelta::milliseconds(2),
        "{put_off:?}"
    );
}

#[tokio::test]
async fn a_slot_without_a_row_is_found_and_one_that_shares_a_row_is_not() {
    let (stage, clock, mut scheduler) =
        Stage::settled("cron = \"0 * * * *\"\nmissed = \"skip\"", "2026-11-20T12:00:00Z").await;
    clock.advance(TimeDelta::hours(10));
    let find = async |since| {
        let environment = &stage.environment;
        let wanted = Wanted {
            job: None,
            since,
            now: environment.clock.now(),
            limit: 3,
        };
        let settings = environment.settings();
        find_missing(
            environment.catalog.as_ref(),
            (&settings, &environment.state),
            &wanted,
        )
        .await
        .unwrap()
    };
    let found = find(None).await;
    assert_eq!((found.total, found.missing.len()), (10, 3));
    assert_eq!(found.missing[0].slot_at, at("2026-11-20T13:00:00Z"));
    assert_eq!(
        found.missing[0].why,
        "no daemon runs on this state_dir; its next start decides it"
    );
    assert_eq!(find(Some(at("2026-11-20T20:00:00Z"))).await.total, 2);
    let shared = Run {
        slot_at: Some(at("2026-11-20T18:00:00Z")),
        covers: Some(CoveredSlots {
            after: at("2026-11-20T15:30:00Z"),
            slots: 2,
        }),
        ..left(&stage, RunState::Skipped)
    };
    stage.environment.catalog.skip_slots(&[shared]).await.unwrap();
    let found = find(None).await;
    let hours: Vec<_> = found.missing.iter().map(|slot| slot.slot_at).collect();
    let expected = ["13:00", "14:00", "15:00"].map(|hour| at(&format!("2026-11-20T{hour}:00Z")));
    assert_eq!((found.total, hours), (7, expected.to_vec()));
    scheduler.decide_missed().await.unwrap();
    assert_eq!(
        find(None).await.total,
        3,
        "what is older than the newest that is decided stays, and is told"
    );
    drop(stage.environment.state.lock_daemon().unwrap());
    let why = &find(None).await.missing[0].why;
    assert!(
        why.starts_with("no daemon runs on this state_dir since 20"),
        "{why}"
    );
    // The next start.
    let mut scheduler = stage.scheduler(&stage.engine());
    scheduler.find_left_out().await.unwrap();
    scheduler.decide_missed().await.unwrap();
    assert_eq!(find(None).await.total, 0);
    assert_eq!(
        stage.runs().await.len(),
        8,
        "ten slots, three of which share a row"
    );
}

#[tokio::test]
async fn what_is_open_of_a_removed_job_is_recorded_though_the_clock_was_ahead() {
    let (stage, clock, mut scheduler) =
        Stage::settled("cron = \"0 * * * *\"\nmissed = \"skip\"", "2026-11-20T12:00:00Z").await;
    clock.advance(TimeDelta::minutes(90));
    scheduler.decide_missed().await.unwrap();
    // For a while the clock is two days ahead, and a slot of then is decided.
    clock.advance(TimeDelta::days(2));
    scheduler.decide_missed().await.unwrap();
    clock.advance(TimeDelta::hours(2) - TimeDelta::days(2));
    let (mut scheduler, _, _) = Scheduler::new(stage.engine(), BTreeMap::new());
    scheduler.decide_missed().await.unwrap();
    for hour in [13, 14, 15] {
        let slot = at("2026-11-20T00:00:00Z") + TimeDelta::hours(hour);
        let runs = stage.runs().await;
        let of_slot: Vec<&Run> = runs.iter().filter(|run| run.slot_at == Some(slot)).collect();
        assert_eq!(of_slot.len(), 1, "{slot}: {of_slot:#?}");
    }
    let environment = &stage.environment;
    let known = environment.catalog.known_jobs(&environment.node).await.unwrap();
    assert_eq!(known, []);
}

/// The time of day, and so many milliseconds more.
struct SteppedClock(AtomicI64);

impl Clock for SteppedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::milliseconds(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_under_a_running_scheduler_fires_each_slot_once() {
    let clock = Arc::new(SteppedClock(AtomicI64::new(0)));
    let stage = Stage::new("cron = \"* * * * * *\"\noverlap = \"queue\"", clock.clone()).await;
    let engine = stage.engine();
    let mut scheduler = stage.scheduler(&engine);
    scheduler.decide_missed().await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(scheduler.run(stop.clone()));
    let first = stage.wait_for_run(|run| run.state == RunState::Succeeded).await;
    let second = first.slot_at.unwrap() + TimeDelta::seconds(1);
    stage.wait_for_run(|run| run.slot_at >= Some(second)).await;
    clock.0.store(-2_500, Ordering::Relaxed);
    // They come again by the wall's clock, and are not run again; then come new ones.
    let later = second + TimeDelta::seconds(2);
    stage.wait_for_run(|run| run.slot_at >= Some(later)).await;
    engine.stop_taking();
    stop.cancel();
    running.await.unwrap().unwrap();
    engine.idle().await;
    let runs = stage.runs().await;
    let slots: Vec<DateTime<Utc>> = runs.iter().filter_map(|run| run.slot_at).collect();
    assert!(
        slots
            .windows(2)
            .all(|pair| pair[1] - pair[0] == TimeDelta::seconds(1)),
        "{slots:?}"
    );
    assert!(
        runs.iter().all(|run| run.trigger == Trigger::Schedule),
        "{runs:#?}"
    );
}
