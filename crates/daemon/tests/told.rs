//! Who hears of a run whose process has gone: nobody but whoever settles it can tell.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[expect(dead_code, reason = "what these tests share with others")]
mod support;

use mykeeper_daemon::notices::{Parcel, waiting};
use mykeeper_daemon::recovery::{recover, settle};
use mykeeper_daemon::resume::retry_interrupted;
use mykeeper_domain::SystemClock;
use mykeeper_domain::run::{Run, RunState, Trigger};
use std::io::Write;
use std::sync::Arc;
use support::{JOB, KEEP, Stage, environment, left, load, write_files};

const BACKUP: &str = "backup";
const RETENTION: &str = "retention";

/// A node whose only job, of that kind, has an address for its pings; somebody is told of failures.
async fn stage(kind: &str, more: &str) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let of_kind = match kind {
        BACKUP => "server = \"shop\"\ndatabases = [\"shop\"]\ndirectory = \"DATA\"\n",
        _ => KEEP,
    };
    let ping = "ping = \"http://127.0.0.1:9/x\"\n";
    write_files(
        dir.path(),
        &format!("[{kind}.{JOB}]\n{of_kind}cron = \"0 4 * * *\"\n{ping}{more}\n"),
    );
    let mut keeper = std::fs::OpenOptions::new()
        .append(true)
        .open(dir.path().join("mykeeper.toml"))
        .unwrap();
    keeper
        .write_all(
            b"[servers.shop]\nsocket = \"/nonexistent\"\nuser = \"backup\"\n[notify.webhook.chat]\nurl = \"http://127.0.0.1:9/\"\n",
        )
        .unwrap();
    let environment = environment(load(dir.path()), Arc::new(SystemClock)).await;
    Stage { dir, environment }
}

/// What people are about to be told, and how often the job's address that a run has failed.
fn told(stage: &Stage) -> (Vec<serde_json::Value>, usize) {
    let inbox = stage.environment.state.root().join("notify/inbox.jsonl");
    let inbox = std::fs::read_to_string(inbox).unwrap_or_default();
    let notices = inbox
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap());
    let pings = waiting(&stage.environment.state)
        .into_iter()
        .filter(|delivery| match &delivery.parcel {
            Parcel::Ping { signal, said, .. } => {
                assert_eq!(*signal, mykeeper_notify::Signal::Fail, "{said}");
                true
            }
            Parcel::Message(_) => false,
        });
    (notices.collect(), pings.count())
}

/// A run that had begun when its process was killed.
async fn lost(stage: &Stage, trigger: Trigger) -> Run {
    let run = left(stage, RunState::Running);
    let run = Run {
        trigger,
        slot_at: run.slot_at.filter(|_| trigger == Trigger::Schedule),
        started_at: Some(run.requested_at),
        ..run
    };
    match run.slot_at {
        Some(_) => drop(stage.environment.catalog.claim_slot(&run).await.unwrap()),
        None => stage.environment.catalog.insert_run(&run).await.unwrap(),
    }
    run
}

#[tokio::test]
async fn a_run_by_hand_that_was_killed_is_told_of_once_by_whoever_settles_it() {
    for kind in [BACKUP, RETENTION] {
        let stage = stage(kind, "").await;
        let run = lost(&stage, Trigger::Manual).await;
        let engine = stage.engine();
        for _ in 0..2 {
            settle(&engine).await.unwrap();
        }
        retry_interrupted(&engine).await.unwrap();
        let (notices, pings) = told(&stage);
        assert_eq!((notices.len(), pings), (1, 1), "{kind}: {notices:#?}");
        assert_eq!(notices[0]["kind"], "failure");
        assert_eq!(notices[0]["run"], run.id.to_string());
        let message = notices[0]["message"].to_string();
        assert!(message.contains("it was interrupted"), "{message}");
        assert_eq!(stage.runs().await.len(), 1, "it is left to the person");
    }
}

#[tokio::test]
async fn an_interrupted_run_that_is_not_done_again_ends_for_who_waits_for_its_end() {
    // A backup is missed by people; what retention has left undone its next run does.
    for (kind, expected) in [(BACKUP, (1, 1)), (RETENTION, (0, 1))] {
        let stage = stage(kind, "missed = \"skip\"").await;
        lost(&stage, Trigger::Schedule).await;
        let engine = stage.engine();
        recover(&engine).await.unwrap();
        // Each start looks again.
        for _ in 0..3 {
            retry_interrupted(&engine).await.unwrap();
        }
        let (notices, pings) = told(&stage);
        assert_eq!((notices.len(), pings), expected, "{kind}: {notices:#?}");
    }
}

#[tokio::test]
async fn an_interrupted_run_that_is_done_again_is_not_told_of_before_that_has_ended() {
    let stage = stage(RETENTION, "").await;
    lost(&stage, Trigger::Schedule).await;
    recover(&stage.engine()).await.unwrap();
    let (notices, pings) = told(&stage);
    assert_eq!((notices.len(), pings), (0, 0), "{notices:#?}");
}
