//! The life of runs, over a real embedded catalog and a clock that the test moves.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::JobReport;
use mykeeper_daemon::recovery::recover;
use mykeeper_daemon::scheduler::Scheduler;
use mykeeper_daemon::{DaemonError, Engine};
use mykeeper_domain::run::{Run, RunState, Trigger};
use mykeeper_domain::{Clock, ManualClock, SystemClock};
use std::sync::Arc;
use support::{Stage, at, endless, environment, left, settings};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_slot_that_two_daemons_of_one_node_see_happens_once() {
    let clock = Arc::new(ManualClock::at(at("2026-11-22T04:00:00Z")));
    let stage = Stage::new("cron = \"0 4 * * *\"\noverlap = \"queue\"", clock).await;
    let engines = [stage.engine(), stage.engine(), stage.engine()];
    for engine in &engines {
        engine.fire(stage.job(), at("2026-11-22T04:00:00Z"), Trigger::Schedule);
    }
    for engine in &engines {
        engine.stop_taking();
        engine.idle().await;
    }
    let runs = stage.runs().await;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    assert_eq!(runs[0].slot_at, Some(at("2026-11-22T04:00:00Z")));
}

#[tokio::test]
async fn a_slot_during_a_run_is_skipped_with_its_reason() {
    let stage = Stage::new("cron = \"0 4 * * *\"", Arc::new(SystemClock)).await;
    let (engine, other) = (stage.engine(), stage.engine());
    let running = tokio::spawn({
        let (engine, job) = (engine.clone(), stage.job());
        async move { engine.do_now(job, endless()).await }
    });
    let first = stage.wait_for_run(|run| run.started_at.is_some()).await;
    other.fire(stage.job(), at("2026-11-22T04:00:00Z"), Trigger::Schedule);
    let skipped = stage.wait_for_run(|run| run.slot_at.is_some()).await;
    assert_eq!(skipped.state, RunState::Skipped);
    let reason = skipped.reason.unwrap();
    assert!(
        reason.starts_with("overlap:") && reason.contains(&first.id.to_string()),
        "{reason}"
    );
    let refused = other.run_now(stage.job()).await.unwrap_err();
    assert!(matches!(refused, DaemonError::JobBusy { .. }), "{refused}");
    engine.end_runs();
    let finished = running.await.unwrap().unwrap();
    assert_eq!(finished.state, RunState::Interrupted);
    assert_eq!(
        stage
            .environment
            .catalog
            .run(first.id)
            .await
            .unwrap()
            .unwrap()
            .state,
        RunState::Interrupted
    );
}

#[tokio::test]
async fn with_queue_a_slot_during_a_run_runs_after_it_and_only_one_waits() {
    let stage = Stage::new("cron = \"0 4 * * *\"\noverlap = \"queue\"", Arc::new(SystemClock)).await;
    let (engine, other) = (stage.engine(), stage.engine());
    let running = tokio::spawn({
        let (engine, job) = (engine.clone(), stage.job());
        async move { engine.do_now(job, endless()).await }
    });
    stage.wait_for_run(|run| run.started_at.is_some()).await;
    other.fire(stage.job(), at("2026-11-22T04:00:00Z"), Trigger::Schedule);
    stage.wait_for_run(|run| run.state == RunState::Queued).await;
    other.fire(stage.job(), at("2026-11-23T04:00:00Z"), Trigger::Schedule);
    let second = stage
        .wait_for_run(|run| run.slot_at == Some(at("2026-11-23T04:00:00Z")))
        .await;
    assert_eq!(second.state, RunState::Skipped);
    engine.end_runs();
    running.await.unwrap().unwrap();
    let waited = stage
        .wait_for_run(|run| run.slot_at == Some(at("2026-11-22T04:00:00Z")) && run.state.is_final())
        .await;
    assert_eq!(waited.state, RunState::Succeeded, "{waited:?}");
}

#[tokio::test]
async fn a_run_that_takes_longer_than_its_timeout_is_recorded_as_timed_out() {
    let stage = Stage::new("cron = \"0 4 * * *\"\ntimeout = \"1s\"", Arc::new(SystemClock)).await;
    let finished = stage.engine().do_now(stage.job(), endless()).await.unwrap();
    assert_eq!(finished.state, RunState::TimedOut);
    let run = stage.environment.catalog.run(finished.id).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.reason.unwrap().contains("timeout of 1s")),
        (RunState::TimedOut, true)
    );
}

#[tokio::test]
async fn a_panic_in_a_job_ends_its_run_with_a_record() {
    let stage = Stage::new("cron = \"0 4 * * *\"", Arc::new(SystemClock)).await;
    let work: Work = Box::new(|context| {
        Box::pin(async move {
            context.begin_attempt(1, None).await?;
            panic!("a defect")
        })
    });
    let finished = stage.engine().do_now(stage.job(), work).await.unwrap();
    assert_eq!(finished.state, RunState::Failed);
    let attempts = stage.environment.catalog.attempts(finished.id).await.unwrap();
    assert_eq!(
        attempts[0].state,
        RunState::Failed,
        "nothing stays open behind it"
    );
    let work: Work = Box::new(|_| Box::pin(async { Ok(JobReport::done("well", None)) }));
    assert_eq!(
        stage.engine().do_now(stage.job(), work).await.unwrap().state,
        RunState::Succeeded
    );
}

#[tokio::test]
async fn missed_slots_run_once_and_each_has_its_row() {
    let clock = Arc::new(ManualClock::at(at("2026-11-20T12:00:00Z")));
    let stage = Stage::new("cron = \"0 * * * *\"", clock.clone()).await;
    let engine = stage.engine();
    let mut scheduler = stage.scheduler(&engine);
    scheduler.decide_missed().await.unwrap();
    assert_eq!(
        stage.runs().await.len(),
        0,
        "a job that is new has missed nothing"
    );
    clock.advance(TimeDelta::hours(5) + TimeDelta::minutes(30));
    scheduler.decide_missed().await.unwrap();
    stage.wait_for_run(|run| run.state == RunState::Succeeded).await;
    let runs = stage.runs().await;
    let states: Vec<_> = runs
        .iter()
        .map(|run| (run.slot_at.unwrap().to_rfc3339(), run.state))
        .collect();
    assert_eq!(states.len(), 5, "{states:?}");
    assert!(
        states[..4].iter().all(|(_, state)| *state == RunState::Skipped),
        "{states:?}"
    );
    assert_eq!(runs[4].trigger, Trigger::CatchUp);
    assert!(
        runs[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("merged into the run for the slot of 2026-11-20T17:00:00")
    );
    // Again: nothing is decided twice.
    scheduler.decide_missed().await.unwrap();
    assert_eq!(stage.runs().await.len(), 5);
}

#[tokio::test]
async fn missed_slots_are_skipped_where_the_job_says_so() {
    let (stage, clock, mut scheduler) =
        Stage::settled("cron = \"0 * * * *\"\nmissed = \"skip\"", "2026-11-20T12:00:00Z").await;
    clock.advance(TimeDelta::hours(3));
    scheduler.decide_missed().await.unwrap();
    let runs = stage.runs().await;
    assert_eq!(runs.len(), 3);
    assert!(
        runs.iter()
            .all(|run| run.state == RunState::Skipped && run.reason.as_ref().unwrap().contains("missed"))
    );
}

#[tokio::test]
async fn months_of_missed_slots_are_decided_one_by_one() {
    let (stage, clock, mut scheduler) =
        Stage::settled("cron = \"* * * * *\"\nmissed = \"skip\"", "2026-11-20T12:00:00Z").await;
    clock.advance(TimeDelta::minutes(5000));
    scheduler.decide_missed().await.unwrap();
    let slots: Vec<DateTime<Utc>> = stage.runs().await.iter().filter_map(|run| run.slot_at).collect();
    let expected: Vec<DateTime<Utc>> = (1..=5000)
        .map(|minute| at("2026-11-20T12:00:00Z") + TimeDelta::minutes(minute))
        .collect();
    assert_eq!(slots, expected);
}

#[tokio::test]
async fn what_a_dead_daemon_left_is_interrupted_or_taken_up() {
    let stage = Stage::new("cron = \"0 4 * * *\"", Arc::new(SystemClock)).await;
    let run = |state, slot: &str| Run {
        slot_at: Some(at(slot)),
        ..left(&stage, state)
    };
    let (running, queued) = (
        run(RunState::Running, "2026-11-20T04:00:00Z"),
        run(RunState::Queued, "2026-11-21T04:00:00Z"),
    );
    for run in [&running, &queued] {
        stage.environment.catalog.claim_slot(run).await.unwrap();
    }
    let engine = stage.engine();
    recover(&engine).await.unwrap();
    let ended = stage.environment.catalog.run(running.id).await.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Interrupted);
    let taken_up = stage
        .wait_for_run(|run| run.id == queued.id && run.state.is_final())
        .await;
    assert_eq!(taken_up.state, RunState::Succeeded);
}

#[tokio::test]
async fn a_run_in_the_foreground_is_left_alone_by_a_starting_daemon() {
    let stage = Stage::new("cron = \"0 4 * * *\"", Arc::new(SystemClock)).await;
    let foreground = Engine::for_foreground(Arc::clone(&stage.environment), None);
    let running = tokio::spawn({
        let (engine, job) = (foreground.clone(), stage.job());
        async move { engine.do_now(job, endless()).await }
    });
    let run = stage.wait_for_run(|run| run.started_at.is_some()).await;
    recover(&stage.engine()).await.unwrap();
    assert_eq!(
        stage
            .environment
            .catalog
            .run(run.id)
            .await
            .unwrap()
            .unwrap()
            .state,
        RunState::Running
    );
    foreground.end_runs();
    assert_eq!(running.await.unwrap().unwrap().state, RunState::Cancelled);
}

#[tokio::test]
async fn the_scheduler_fires_each_second_once() {
    let stage = Stage::new(
        "cron = \"* * * * * *\"\noverlap = \"queue\"",
        Arc::new(SystemClock),
    )
    .await;
    let engine = stage.engine();
    let mut scheduler = stage.scheduler(&engine);
    scheduler.decide_missed().await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(scheduler.run(stop.clone()));
    let first = stage.wait_for_run(|run| run.state == RunState::Succeeded).await;
    let fourth = first.slot_at.unwrap() + TimeDelta::seconds(3);
    stage.wait_for_run(|run| run.slot_at >= Some(fourth)).await;
    engine.stop_taking();
    stop.cancel();
    running.await.unwrap().unwrap();
    engine.idle().await;
    let slots: Vec<DateTime<Utc>> = stage.runs().await.iter().filter_map(|run| run.slot_at).collect();
    assert!(slots.len() >= 4, "{slots:?}");
    assert!(
        slots
            .windows(2)
            .all(|pair| pair[1] - pair[0] == TimeDelta::seconds(1)),
        "{slots:?}"
    );
}

#[tokio::test]
async fn a_job_that_was_removed_and_comes_back_has_missed_nothing() {
    let (stage, clock, mut scheduler) = Stage::settled("cron = \"0 * * * *\"", "2026-11-20T12:00:00Z").await;
    let environment = &stage.environment;
    environment
        .catalog
        .forget_job(&environment.node, &stage.job().name, clock.now())
        .await
        .unwrap();
    clock.advance(TimeDelta::hours(5));
    scheduler.decide_missed().await.unwrap();
    assert_eq!(stage.runs().await.len(), 0);
}

#[tokio::test]
async fn what_is_open_of_a_job_that_was_removed_is_recorded_as_skipped() {
    let clock = Arc::new(ManualClock::at(at("2026-11-20T12:00:00Z")));
    let stage = Stage::new("cron = \"0 * * * *\"", clock.clone()).await;
    let engine = stage.engine();
    let mut scheduler = stage.scheduler(&engine);
    scheduler.decide_missed().await.unwrap();
    clock.advance(TimeDelta::minutes(210));
    // The next daemon finds a schedule without it.
    let (mut scheduler, _, _) = Scheduler::new(engine.clone(), std::collections::BTreeMap::new());
    let failed = at("2026-11-20T11:00:00Z");
    engine.give_back_undecided(&stage.job().name, [failed].into());
    scheduler.decide_missed().await.unwrap();
    let environment = &stage.environment;
    let known = environment.catalog.known_jobs(&environment.node).await.unwrap();
    assert_eq!(known, []);
    assert!(!engine.has_undecided());
    // A slot that was being taken when the job was removed fails only now.
    engine.give_back_undecided(&stage.job().name, [at("2026-11-20T10:00:00Z")].into());
    scheduler.decide_missed().await.unwrap();
    assert!(!engine.has_undecided());
    let runs = stage.runs().await;
    let hours: std::collections::BTreeSet<_> = runs.iter().filter_map(|run| run.slot_at).collect();
    let expected = (-2..=3).filter(|hour| *hour != 0);
    assert!(
        hours
            .into_iter()
            .eq(expected.map(|hour| at("2026-11-20T12:00:00Z") + TimeDelta::hours(hour))),
        "{runs:#?}"
    );
    let is_said =
        |run: &Run| run.state == RunState::Skipped && run.reason.as_ref().unwrap().contains("removed");
    assert!(runs.iter().all(is_said), "{runs:#?}");
}

#[tokio::test]
async fn a_new_schedule_begins_when_it_is_seen_and_the_old_ones_slots_are_decided() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at("2026-11-20T12:00:00Z")));
    let environment = environment(settings(&dir, "cron = \"0 * * * *\""), clock.clone()).await;
    let stage = Stage { dir, environment };
    let mut scheduler = stage.scheduler(&stage.engine());
    scheduler.decide_missed().await.unwrap();
    clock.advance(TimeDelta::minutes(150));
    let (mut scheduler, _, _) =
        Scheduler::new(stage.engine(), settings(&stage.dir, "cron = \"* * * * *\"").jobs);
    scheduler.decide_missed().await.unwrap();
    let slots: Vec<_> = stage.runs().await.iter().filter_map(|run| run.slot_at).collect();
    assert!(
        slots
            .iter()
            .all(|slot| [at("2026-11-20T13:00:00Z"), at("2026-11-20T14:00:00Z")].contains(slot)),
        "{slots:?}"
    );
    stage
        .wait_for_run(|run| run.slot_at == Some(at("2026-11-20T14:00:00Z")))
        .await;
    clock.advance(TimeDelta::minutes(3));
    scheduler.decide_missed().await.unwrap();
    stage
        .wait_for_run(|run| run.slot_at == Some(at("2026-11-20T14:33:00Z")))
        .await;
    assert_eq!(stage.runs().await.len(), 5);
}

#[tokio::test]
async fn a_slot_that_comes_while_the_scheduler_starts_is_taken() {
    for (late, trigger) in [(1, Trigger::Schedule), (45, Trigger::CatchUp)] {
        let clock = Arc::new(ManualClock::at(at("2026-11-20T11:59:59Z")));
        let stage = Stage::new("cron = \"0 * * * *\"", clock.clone()).await;
        let mut scheduler = stage.scheduler(&stage.engine());
        scheduler.decide_missed().await.unwrap();
        // Deciding took a while, and a slot came meanwhile.
        clock.advance(TimeDelta::seconds(1 + late));
        let stop = CancellationToken::new();
        let running = tokio::spawn(scheduler.run(stop.clone()));
        let run = stage
            .wait_for_run(|run| run.slot_at == Some(at("2026-11-20T12:00:00Z")))
            .await;
        assert_eq!(run.trigger, trigger);
        stop.cancel();
        running.await.unwrap().unwrap();
    }
}
