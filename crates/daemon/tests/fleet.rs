//! Many jobs that are due at one instant: each slot is taken once, and none waits for the others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[expect(dead_code, reason = "what these tests share with others")]
mod support;

use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::RunFilter;
use mykeeper_daemon::Engine;
use mykeeper_daemon::scheduler::Scheduler;
use mykeeper_domain::run::{RunState, Trigger};
use mykeeper_domain::{Clock, JobName, ManualClock};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{KEEP, at, environment, load, write_files};

const SLOT: &str = "2026-11-22T04:00:00Z";

/// Counts how often it is asked: whatever is done for a job asks for the time now and then.
struct Counted {
    clock: ManualClock,
    asked: AtomicU64,
}

impl Clock for Counted {
    fn now(&self) -> DateTime<Utc> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.clock.now()
    }
}

/// Lets so many jobs come due at one instant, and looks whether each of them had its run. Gives how often the time was asked
/// for meanwhile, and for looking at all jobs again where nothing has changed.
async fn work_of(jobs: u32) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let schedule: String = (0..jobs)
        .map(|number| format!("[retention.job-{number}]\ncron = \"0 4 * * *\"\n{KEEP}\n"))
        .collect();
    write_files(dir.path(), &schedule);
    let clock = Arc::new(Counted {
        clock: ManualClock::at(at(SLOT) - TimeDelta::seconds(10)),
        asked: AtomicU64::new(0),
    });
    let environment = environment(load(dir.path()), clock.clone()).await;
    let engine = Engine::for_daemon(Arc::clone(&environment));
    let (mut scheduler, _, _) = Scheduler::new(engine.clone(), environment.settings().jobs.clone());
    scheduler.decide_missed().await.unwrap();

    let before = clock.asked.load(Ordering::Relaxed);
    scheduler.decide_missed().await.unwrap();
    let looked = clock.asked.load(Ordering::Relaxed) - before;

    clock.clock.advance(TimeDelta::seconds(10));
    let before = clock.asked.load(Ordering::Relaxed);
    scheduler.decide_missed().await.unwrap();
    // The clock goes on while they are taken: none of them is late for that.
    clock.clock.advance(TimeDelta::seconds(7));
    for _ in 0..6_000 {
        if engine.running() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(engine.running(), 0, "a run does not end");
    let fired = clock.asked.load(Ordering::Relaxed) - before;
    let runs = environment
        .catalog
        .runs(&RunFilter {
            limit: jobs * 2,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    let ran: BTreeSet<&JobName> = runs.iter().map(|run| &run.job).collect();
    assert_eq!(
        (runs.len(), ran.len()),
        (jobs as usize, jobs as usize),
        "each once"
    );
    for run in &runs {
        assert_eq!(
            (run.slot_at, run.requested_at, run.trigger, run.state),
            (Some(at(SLOT)), at(SLOT), Trigger::Schedule, RunState::Succeeded),
            "{run:?}"
        );
    }
    (fired, looked)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_jobs_at_one_instant_no_slot_is_lost_or_late_and_twice_as_many_are_twice_the_work() {
    let (fired, looked) = work_of(60).await;
    let (fired_twice, looked_twice) = work_of(120).await;
    assert!(fired > 60 && looked > 60, "{fired} and {looked} are no work");
    assert!(
        fired_twice <= fired * 5 / 2 && looked_twice <= looked * 5 / 2,
        "{fired} and {looked} became {fired_twice} and {looked_twice}"
    );
}

/// So many jobs, of which the first is due at this minute.
fn daily(jobs: u32, minute: u32) -> String {
    (0..jobs)
        .map(|number| {
            let minute = if number == 0 { minute } else { 0 };
            format!("[retention.job-{number}]\ncron = \"{minute} 4 * * *\"\n{KEEP}\n")
        })
        .collect()
}

/// How many bytes a reload of so many jobs makes the catalog write: where none has changed, and where one has.
async fn written_by_reload(jobs: u32) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), &daily(jobs, 0));
    let clock = Arc::new(ManualClock::at(at(SLOT) - TimeDelta::hours(1)));
    let environment = environment(load(dir.path()), clock.clone()).await;
    let engine = Engine::for_daemon(Arc::clone(&environment));
    // Whatever is written is appended to it; it is far from the size at which it is begun anew.
    let log = dir.path().join("state/catalog.db-wal");
    let reload = async |minute| {
        write_files(dir.path(), &daily(jobs, minute));
        clock.advance(TimeDelta::minutes(1));
        let before = std::fs::metadata(&log).unwrap().len();
        let (mut scheduler, _, _) = Scheduler::new(engine.clone(), load(dir.path()).jobs);
        scheduler.decide_missed().await.unwrap();
        std::fs::metadata(&log).unwrap().len() - before
    };
    assert!(reload(0).await > 0, "the first notes each job");
    (reload(0).await, reload(30).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_writes_of_what_has_changed_alone_however_many_jobs_there_are() {
    let (nothing, one) = written_by_reload(50).await;
    let (nothing_of_many, one_of_many) = written_by_reload(150).await;
    assert_eq!((nothing, nothing_of_many), (0, 0));
    assert!(one > 0, "a changed schedule is noted");
    // Another level of an index is another page.
    assert!(
        one_of_many <= one + 3 * 4_200,
        "{one} bytes for one of 50 jobs became {one_of_many} for one of 150"
    );
}
