//! What is left of a process that ended at any instant: settled, once, and done again as its job says.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[path = "recovery/begun.rs"]
mod begun;
mod support;

use chrono::TimeDelta;
use mykeeper_catalog::{OpenCatalog, open_journaled};
use mykeeper_daemon::Engine;
use mykeeper_daemon::recovery::{recover, recover_before_command, settle};
use mykeeper_daemon::removal::share;
use mykeeper_daemon::resume::retry_interrupted;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_domain::run::{Attempt, Run, RunEnd, RunState, Trigger};
use mykeeper_domain::{AttemptId, BackupId, Clock, JobName, ManualClock, RunId, SystemClock};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use support::{JOB, KEEP, Stage, at, endless, environment_with, left, load, write_files};

const NIGHTLY: &str = "cron = \"0 4 * * *\"\nretry = { attempts = 3, delay = \"1s\" }";

fn first_attempt(run: &Run) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        run_id: run.id,
        number: 1,
        bk_id: None,
        work_dir: None,
        state: RunState::Running,
        reason: None,
        exit_status: None,
        started_at: run.requested_at,
        finished_at: None,
    }
}

async fn begin_attempt(stage: &Stage, run: &Run, number: u32) {
    let attempt = Attempt {
        number,
        ..first_attempt(run)
    };
    stage.environment.catalog.start_attempt(&attempt).await.unwrap();
}

/// An attempt whose dump had begun.
async fn begin_dump(stage: &Stage, run: &Run, (set, dir): (BackupId, &Path)) {
    let attempt = Attempt {
        bk_id: Some(set),
        work_dir: Some(dir.to_owned()),
        ..first_attempt(run)
    };
    stage.environment.catalog.start_attempt(&attempt).await.unwrap();
}

/// The same, with the folder that it leaves.
async fn leave_dump(stage: &Stage, run: &Run) -> BackupId {
    let (set, dir) = (BackupId::generate(), stage.dir.path().join("data/2026-11-20/set"));
    std::fs::create_dir_all(&dir).unwrap();
    begin_dump(stage, run, (set, &dir)).await;
    set
}

async fn by_id(stage: &Stage, id: RunId) -> Run {
    stage.environment.catalog.run(id).await.unwrap().unwrap()
}

/// What the start of a daemon does about a run that was killed in its attempt `number`.
async fn start_after(stage: &Stage, run: &Run, number: u32) -> Engine {
    if run.slot_at.is_some() {
        stage.environment.catalog.claim_slot(run).await.unwrap();
    } else {
        stage.environment.catalog.insert_run(run).await.unwrap();
    }
    begin_attempt(stage, run, number).await;
    let engine = stage.engine();
    recover(&engine).await.unwrap();
    retry_interrupted(&engine).await.unwrap();
    engine
}

#[tokio::test]
async fn an_interrupted_run_is_done_again_once_and_its_attempts_count() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let lost = left(&stage, RunState::Running);
    let engine = start_after(&stage, &lost, 1).await;
    assert_eq!(by_id(&stage, lost.id).await.state, RunState::Interrupted);
    let again = stage
        .wait_for_run(|run| run.retry_of == Some(lost.id) && run.state.is_final())
        .await;
    assert_eq!(
        (again.state, again.trigger),
        (RunState::Succeeded, Trigger::Retry)
    );
    assert_eq!(again.slot_at, None, "the slot stays the first one's");
    let attempts = stage.environment.catalog.attempts(again.id).await.unwrap();
    assert_eq!(attempts[0].number, 2);
    retry_interrupted(&engine).await.unwrap();
    retry_interrupted(&stage.engine()).await.unwrap();
    assert_eq!(stage.runs().await.len(), 2);
}

#[tokio::test]
async fn a_chain_of_interruptions_ends_with_the_jobs_attempts() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let first = left(&stage, RunState::Interrupted);
    let second = Run {
        id: RunId::generate(),
        trigger: Trigger::Retry,
        slot_at: None,
        retry_of: Some(first.id),
        requested_at: first.requested_at + TimeDelta::minutes(1),
        ..left(&stage, RunState::Interrupted)
    };
    let third = Run {
        id: RunId::generate(),
        retry_of: Some(second.id),
        requested_at: first.requested_at + TimeDelta::minutes(2),
        state: RunState::Running,
        ..second.clone()
    };
    let catalog = &stage.environment.catalog;
    catalog.claim_slot(&first).await.unwrap();
    catalog.insert_run(&second).await.unwrap();
    start_after(&stage, &third, 3).await;
    assert_eq!(by_id(&stage, third.id).await.state, RunState::Interrupted);
    assert_eq!(
        stage.runs().await.len(),
        3,
        "three attempts were allowed, and made"
    );
}

#[tokio::test]
async fn what_a_person_ran_or_what_is_skipped_when_missed_is_not_done_again() {
    for (job, trigger) in [
        (
            "cron = \"0 4 * * *\"\nretry = { attempts = 1, delay = \"1s\" }",
            Trigger::Schedule,
        ),
        (
            "cron = \"0 4 * * *\"\nretry = { attempts = 3, delay = \"1s\" }\nmissed = \"skip\"",
            Trigger::Schedule,
        ),
        (NIGHTLY, Trigger::Manual),
    ] {
        let stage = Stage::new(job, Arc::new(SystemClock)).await;
        let lost = Run {
            trigger,
            ..left(&stage, RunState::Running)
        };
        start_after(&stage, &lost, 1).await;
        let runs = stage.runs().await;
        assert_eq!(runs.len(), 1, "{job}: {runs:#?}");
        assert_eq!(runs[0].state, RunState::Interrupted);
    }
}

/// A shared catalog at whose address nobody answers.
async fn away_stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let twice = NIGHTLY.replace("attempts = 3", "attempts = 2");
    let jobs = format!(
        "[retention.{JOB}]\n{KEEP}{NIGHTLY}\n[transfer.catch-up]\n{twice}\ndestination = \"vault\"\n"
    );
    write_files(dir.path(), &jobs);
    let keeper = dir.path().join("mykeeper.toml");
    let vault = format!("[destinations.vault]\nurl = {:?}\n", dir.path().join("vault"));
    let text = std::fs::read_to_string(&keeper).unwrap();
    std::fs::write(&keeper, format!("{text}{vault}")).unwrap();
    let settings = load(dir.path());
    StateDir::open(&settings.state_dir).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = OpenCatalog {
        url: format!("mysql://keeper@{}/catalogdb", nobody.local_addr().unwrap()),
        password: None,
        timezone: settings.catalog.timezone,
        create: true,
    };
    drop(nobody);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let catalog = open_journaled(&open, &settings.state_dir, Arc::clone(&clock))
        .await
        .unwrap();
    Stage {
        environment: environment_with(settings, catalog, clock),
        dir,
    }
}

#[tokio::test]
async fn what_a_kill_left_in_mid_dump_is_settled_while_the_catalog_is_away() {
    let stage = away_stage().await;
    let catalog = &stage.environment.catalog;
    let lost = left(&stage, RunState::Running);
    catalog.claim_slot(&lost).await.unwrap();
    let set = leave_dump(&stage, &lost).await;
    let engine = stage.engine();
    recover(&engine).await.unwrap();
    assert_eq!(by_id(&stage, lost.id).await.state, RunState::Interrupted);
    let attempts = catalog.attempts(lost.id).await.unwrap();
    assert_eq!(attempts[0].state, RunState::Interrupted);
    let recorded = catalog.backup(set).await.unwrap().unwrap();
    assert!(!recorded.is_complete(), "{recorded:?}");
    // The next slot runs.
    engine.fire(stage.job(), at("2026-11-21T04:00:00Z"), Trigger::Schedule);
    engine.stop_taking();
    engine.idle().await;
    let last = catalog
        .last_runs(&stage.environment.node, SystemClock.now())
        .await
        .unwrap();
    assert_eq!(last[0].slot_at, Some(at("2026-11-21T04:00:00Z")));
    assert!(last[0].state.is_final(), "{last:?}");
}

#[tokio::test]
async fn a_transfer_job_asks_a_catalog_that_is_away_again_within_its_run() {
    let stage = away_stage().await;
    let job = Arc::clone(&stage.environment.settings().jobs["catch-up"]);
    let finished = stage.engine().run_now(job).await.unwrap();
    assert_eq!(finished.state, RunState::Failed, "{}", finished.reason);
    let attempts = stage.environment.catalog.attempts(finished.id).await.unwrap();
    let tried: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.state))
        .collect();
    assert_eq!(
        tried,
        [(1, RunState::Failed), (2, RunState::Failed)],
        "{attempts:#?}"
    );
}

#[tokio::test]
async fn an_attempt_that_is_open_behind_a_run_that_has_ended_is_closed_and_its_folder_recorded() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let catalog = &stage.environment.catalog;
    let ended = Run {
        reason: Some("it took longer than its timeout".to_owned()),
        finished_at: Some(at("2026-11-20T04:30:00Z")),
        ..left(&stage, RunState::TimedOut)
    };
    catalog.claim_slot(&ended).await.unwrap();
    let set = leave_dump(&stage, &ended).await;
    let node = &stage.environment.node;
    assert_eq!(
        catalog.runs_with_open_attempts(node).await.unwrap(),
        std::slice::from_ref(&ended)
    );
    settle(&stage.engine()).await.unwrap();
    assert_eq!(catalog.runs_with_open_attempts(node).await.unwrap(), []);
    let attempts = catalog.attempts(ended.id).await.unwrap();
    assert_eq!(
        (attempts[0].state, &attempts[0].reason),
        (RunState::TimedOut, &ended.reason)
    );
    assert!(!catalog.backup(set).await.unwrap().unwrap().is_complete());
    assert_eq!(by_id(&stage, ended.id).await, ended, "its end stays");
}

#[tokio::test]
async fn the_set_of_a_failed_attempt_that_has_no_row_gets_one() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let catalog = &stage.environment.catalog;
    let lost = left(&stage, RunState::Running);
    catalog.claim_slot(&lost).await.unwrap();
    let set = leave_dump(&stage, &lost).await;
    let attempt = catalog.attempts(lost.id).await.unwrap().remove(0);
    let end = RunEnd {
        state: RunState::Failed,
        reason: Some("the set cannot be recorded".to_owned()),
        bk_id: Some(set),
        finished_at: at("2026-11-20T04:30:00Z"),
    };
    assert!(catalog.finish_attempt(attempt.id, &end, None).await.unwrap());
    settle(&stage.engine()).await.unwrap();
    let recorded = catalog.backup(set).await.unwrap().unwrap();
    assert!(!recorded.is_complete());
    assert_eq!(recorded.reason, end.reason);
    let attempts = catalog.attempts(lost.id).await.unwrap();
    assert_eq!(attempts[0].state, RunState::Failed, "its end stays");
}

#[tokio::test]
async fn a_set_whose_disk_is_not_mounted_yet_is_recorded_once_it_is() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let catalog = &stage.environment.catalog;
    let lost = left(&stage, RunState::Running);
    catalog.claim_slot(&lost).await.unwrap();
    let (set, dir) = (BackupId::generate(), stage.dir.path().join("disk/2026-11-20/set"));
    begin_dump(&stage, &lost, (set, &dir)).await;
    let engine = stage.engine();
    recover(&engine).await.unwrap();
    assert_eq!(by_id(&stage, lost.id).await.state, RunState::Interrupted);
    let attempts = catalog.attempts(lost.id).await.unwrap();
    assert_eq!(attempts[0].state, RunState::Running, "nothing can be told of it");
    // The disk comes, and a thread of the run that nobody waits for any more may yet write the set's record.
    std::fs::create_dir_all(&dir).unwrap();
    let writes = share(&dir);
    settle(&engine).await.unwrap();
    assert!(catalog.backup(set).await.unwrap().is_none());
    drop(writes);
    settle(&engine).await.unwrap();
    let attempts = catalog.attempts(lost.id).await.unwrap();
    assert_eq!(attempts[0].state, RunState::Interrupted);
    assert!(catalog.backup(set).await.unwrap().is_some());
}

#[tokio::test]
async fn a_run_that_another_process_does_again_already_is_not_run_without_a_row() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let catalog = &stage.environment.catalog;
    let lost = left(&stage, RunState::Interrupted);
    catalog.claim_slot(&lost).await.unwrap();
    let elsewhere = Run {
        id: RunId::generate(),
        trigger: Trigger::Retry,
        slot_at: None,
        retry_of: Some(lost.id),
        ..left(&stage, RunState::Running)
    };
    catalog.insert_run(&elsewhere).await.unwrap();
    let engine = stage.engine();
    engine.retry(&stage.job(), &lost).await.unwrap();
    assert_eq!(engine.running(), 0);
    assert_eq!(stage.runs().await.len(), 2);
}

#[tokio::test]
async fn a_run_that_catches_up_does_the_interrupted_one_again_too() {
    let (stage, clock, _) = Stage::settled(NIGHTLY, "2026-11-20T03:00:00Z").await;
    let lost = left(&stage, RunState::Running);
    stage.environment.catalog.claim_slot(&lost).await.unwrap();
    clock.set(at("2026-11-21T05:00:00Z"));
    let engine = stage.engine();
    recover(&engine).await.unwrap();
    let mut scheduler = stage.scheduler(&engine);
    scheduler.decide_missed().await.unwrap();
    retry_interrupted(&engine).await.unwrap();
    let caught_up = stage
        .wait_for_run(|run| run.trigger == Trigger::CatchUp && run.state.is_final())
        .await;
    assert_eq!(caught_up.state, RunState::Succeeded);
    assert_eq!(caught_up.late(), Some(TimeDelta::hours(1)));
    engine.stop_taking();
    engine.idle().await;
    assert_eq!(stage.runs().await.len(), 2);
}

#[tokio::test]
async fn a_queued_run_whose_job_is_gone_or_skips_what_is_missed_is_skipped() {
    let skips = "cron = \"0 4 * * *\"\nmissed = \"skip\"";
    for (job, is_removed, reason) in [
        (NIGHTLY, true, "its job was removed before it began"),
        (skips, false, "missed = \"skip\""),
    ] {
        let stage = Stage::new(job, Arc::new(SystemClock)).await;
        let queued = left(&stage, RunState::Queued);
        stage.environment.catalog.claim_slot(&queued).await.unwrap();
        if is_removed {
            let settings = mykeeper_config::Settings {
                jobs: BTreeMap::new(),
                ..(*stage.environment.settings()).clone()
            };
            stage.environment.replace_settings(settings);
        }
        recover(&stage.engine()).await.unwrap();
        let run = by_id(&stage, queued.id).await;
        assert_eq!(run.state, RunState::Skipped);
        assert!(run.reason.as_ref().unwrap().contains(reason), "{run:?}");
    }
}

#[tokio::test]
async fn a_run_whose_job_is_removed_while_it_waits_does_not_begin() {
    let stage = Stage::new("cron = \"0 4 * * *\"\noverlap = \"queue\"", Arc::new(SystemClock)).await;
    let (engine, other) = (stage.engine(), stage.engine());
    let running = tokio::spawn({
        let (engine, job) = (other.clone(), stage.job());
        async move { engine.do_now(job, endless()).await }
    });
    stage.wait_for_run(|run| run.started_at.is_some()).await;
    engine.fire(stage.job(), at("2026-11-22T04:00:00Z"), Trigger::Schedule);
    let queued = stage.wait_for_run(|run| run.state == RunState::Queued).await;
    let settings = mykeeper_config::Settings {
        jobs: BTreeMap::new(),
        ..(*stage.environment.settings()).clone()
    };
    stage.environment.replace_settings(settings);
    other.end_runs();
    running.await.unwrap().unwrap();
    let skipped = stage
        .wait_for_run(|run| run.id == queued.id && run.state.is_final())
        .await;
    assert_eq!(skipped.state, RunState::Skipped, "{skipped:?}");
    assert_eq!(skipped.started_at, None);
}

#[tokio::test]
async fn a_living_daemon_settles_what_a_killed_command_left_and_nothing_else() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let engine = stage.engine();
    let running = tokio::spawn({
        let (engine, job) = (engine.clone(), stage.job());
        async move { engine.do_now(job, endless()).await }
    });
    let own = stage.wait_for_run(|run| run.started_at.is_some()).await;
    let killed = Run {
        job: JobName::new("validate by hand").unwrap(),
        trigger: Trigger::Manual,
        slot_at: None,
        ..left(&stage, RunState::Running)
    };
    stage.environment.catalog.insert_run(&killed).await.unwrap();
    let alive = settle(&engine).await.unwrap();
    assert_eq!(alive, [own.id]);
    assert_eq!(by_id(&stage, killed.id).await.state, RunState::Interrupted);
    assert_eq!(by_id(&stage, own.id).await.state, RunState::Running);
    engine.end_runs();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_command_settles_what_is_left_only_where_no_daemon_lives() {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let (killed, queued) = (left(&stage, RunState::Running), left(&stage, RunState::Queued));
    let queued = Run {
        slot_at: Some(at("2026-11-21T04:00:00Z")),
        ..queued
    };
    for run in [&killed, &queued] {
        stage.environment.catalog.claim_slot(run).await.unwrap();
    }
    let command = Engine::for_foreground(Arc::clone(&stage.environment), None);
    let daemon = stage.environment.state.lock_daemon().unwrap();
    recover_before_command(&command).await.unwrap();
    assert_eq!(by_id(&stage, killed.id).await.state, RunState::Running);
    drop(daemon);
    recover_before_command(&command).await.unwrap();
    assert_eq!(by_id(&stage, killed.id).await.state, RunState::Interrupted);
    assert_eq!(
        by_id(&stage, queued.id).await.state,
        RunState::Queued,
        "a daemon's business"
    );
}

#[tokio::test]
async fn a_lost_run_ends_when_it_was_last_heard_of_and_says_when_it_was_found() {
    let clock = Arc::new(ManualClock::at(at("2026-11-20T09:00:00Z")));
    let stage = Stage::new(NIGHTLY, clock).await;
    let catalog = &stage.environment.catalog;
    let lost = left(&stage, RunState::Running);
    catalog.claim_slot(&lost).await.unwrap();
    catalog.start_run(lost.id, lost.requested_at, None).await.unwrap();
    let set = leave_dump(&stage, &lost).await;
    let log = stage.environment.state.run_log(lost.id);
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::write(log, "2026-11-20T04:10:00.000Z mydumper: a line\n").unwrap();
    recover(&stage.engine()).await.unwrap();
    let run = by_id(&stage, lost.id).await;
    let seen_at = at("2026-11-20T04:10:00Z");
    assert_eq!(
        (run.state, run.finished_at),
        (RunState::Interrupted, Some(seen_at))
    );
    let reason = run.reason.unwrap();
    assert!(reason.ends_with("; found at 2026-11-20T09:00:00Z"), "{reason}");
    let attempts = catalog.attempts(lost.id).await.unwrap();
    assert_eq!(attempts[0].finished_at, Some(seen_at));
    let set = catalog.backup(set).await.unwrap().unwrap();
    assert_eq!((set.finished_at, set.elapsed_seconds), (seen_at, 600));
}
