//! So many at a time: who finds no room waits, says for what, and is let in or ended.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[expect(dead_code, reason = "what these tests share with others")]
mod support;

use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::JobReport;
use mykeeper_daemon::limits::Limited;
use mykeeper_daemon::{DaemonError, Engine, FinishedRun};
use mykeeper_domain::job::Job;
use mykeeper_domain::run::{Run, RunState, Trigger};
use mykeeper_domain::{DestinationName, JobName, SystemClock};
use std::sync::Arc;
use support::{Stage, at};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const EVERY_DAY: &str = "cron = \"0 4 * * *\"\ntimeout = \"1h\"";

type Running = JoinHandle<Result<FinishedRun, DaemonError>>;

/// A run of a job of this name that holds `what` until `leave`.
fn hold(stage: &Stage, name: &str, what: Limited, leave: &CancellationToken) -> (Engine, Running) {
    let engine = Engine::for_foreground(Arc::clone(&stage.environment), None);
    let job = Arc::new(Job {
        name: JobName::new(name).unwrap(),
        ..Job::clone(&stage.job())
    });
    let leave = leave.clone();
    let work: Work = Box::new(move |context| {
        Box::pin(async move {
            let _permit = context.permit(&what).await?;
            context.say("let in");
            leave.cancelled().await;
            Ok(JobReport::done("it was let in", None))
        })
    });
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.do_now(job, work).await }
    });
    (engine, running)
}

fn log_of(stage: &Stage, run: &Run) -> String {
    std::fs::read_to_string(stage.environment.state.run_log(run.id)).unwrap_or_default()
}

async fn let_in(stage: &Stage, name: &str) -> Run {
    stage
        .wait_for_run(|run| run.job.as_str() == name && log_of(stage, run).contains("let in"))
        .await
}

async fn waiting(stage: &Stage, name: &str) -> Run {
    let waits = |run: &Run| {
        run.reason
            .as_ref()
            .is_some_and(|reason| reason.starts_with("waits for "))
    };
    stage
        .wait_for_run(|run| run.job.as_str() == name && waits(run))
        .await
}

#[tokio::test]
async fn a_run_that_finds_no_room_says_what_it_waits_for_and_is_let_in_afterwards() {
    let stage = Stage::new(EVERY_DAY, Arc::new(SystemClock)).await;
    let (first_leaves, second_leaves) = (CancellationToken::new(), CancellationToken::new());
    let (_, first) = hold(&stage, "first", Limited::Validation, &first_leaves);
    let holder = let_in(&stage, "first").await;
    let (_, second) = hold(&stage, "second", Limited::Validation, &second_leaves);
    let waits = waiting(&stage, "second").await;
    assert_eq!(waits.state, RunState::Running);
    let told = format!(
        "waits for a validation, in use (pid {}, run {} of job first); [limits] validations = 1",
        std::process::id(),
        holder.id
    );
    assert_eq!(waits.reason.as_ref(), Some(&told));
    assert!(log_of(&stage, &waits).contains(&told));
    // Its next slot comes while it still waits.
    let job = Job {
        name: waits.job.clone(),
        ..Job::clone(&stage.job())
    };
    let slot_at = at("2026-11-22T04:00:00Z");
    stage.engine().fire(Arc::new(job), slot_at, Trigger::Schedule);
    let skipped = stage.wait_for_run(|run| run.slot_at == Some(slot_at)).await;
    let reason = skipped.reason.unwrap();
    assert!(
        reason.starts_with("overlap: a run of this job that was asked for by hand is still under way")
            && reason.ends_with(&told),
        "{reason}"
    );
    first_leaves.cancel();
    first.await.unwrap().unwrap();
    let second_run = let_in(&stage, "second").await;
    assert_eq!(second_run.reason, None, "it waits no more");
    second_leaves.cancel();
    assert_eq!(second.await.unwrap().unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn a_destination_takes_two_and_another_is_another() {
    let stage = Stage::new(EVERY_DAY, Arc::new(SystemClock)).await;
    let leave = CancellationToken::new();
    let to = |name: &str| Limited::Destination(DestinationName::new(name).unwrap());
    let mut running = Vec::new();
    for name in ["a", "b"] {
        running.push(hold(&stage, name, to("vault"), &leave).1);
        let_in(&stage, name).await;
    }
    running.push(hold(&stage, "c", to("vault"), &leave).1);
    waiting(&stage, "c").await;
    running.push(hold(&stage, "d", to("disk"), &leave).1);
    let_in(&stage, "d").await;
    leave.cancel();
    for run in running {
        assert_eq!(run.await.unwrap().unwrap().state, RunState::Succeeded);
    }
}

#[tokio::test]
async fn a_run_that_waits_ends_when_it_is_cancelled_or_its_time_is_over() {
    let stage = Stage::new("cron = \"0 4 * * *\"\ntimeout = \"2s\"", Arc::new(SystemClock)).await;
    // Held by nobody's run: what a process beside this one does.
    let _held = stage.environment.state.lock_permit("validation", 0).unwrap();
    let leave = CancellationToken::new();
    let (_, late) = hold(&stage, "late", Limited::Validation, &leave);
    let (engine, cancelled) = hold(&stage, "cancelled", Limited::Validation, &leave);
    waiting(&stage, "cancelled").await;
    engine.end_runs();
    assert_eq!(cancelled.await.unwrap().unwrap().state, RunState::Cancelled);
    let late = late.await.unwrap().unwrap();
    assert_eq!(late.state, RunState::TimedOut);
    assert!(
        late.reason
            .contains("timeout of 2s: it still waited for a validation"),
        "{}",
        late.reason
    );
}
