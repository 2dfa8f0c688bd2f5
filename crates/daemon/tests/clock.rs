//! Lives of a daemon whose clock steps, whose host sleeps, and which is killed: every slot is decided, and once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[expect(dead_code, reason = "what these tests share with others")]
mod support;

use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::RunFilter;
use mykeeper_daemon::recovery::recover;
use mykeeper_daemon::scheduler::Scheduler;
use mykeeper_daemon::{Engine, Environment};
use mykeeper_domain::run::{Run, RunState, Trigger};
use mykeeper_domain::{Clock, ManualClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{KEEP, environment, load, write_files};

/// The changes of October and November lie ahead.
const BEGIN: &str = "2026-09-28T10:17:23Z";

const JOBS: &str = r#"
[retention.berlin]
cron = "30 2 * * *"
timezone = "Europe/Berlin"

[retention.new-york]
cron = "*/30 * * * *"
timezone = "America/New_York"
missed = "skip"

[retention.lord-howe]
cron = "15,45 1-3 * * *"
timezone = "Australia/Lord_Howe"

[retention.shanghai]
cron = "0 */6 * * *"
timezone = "Asia/Shanghai"
overlap = "queue"
"#;

fn write_jobs(dir: &Path) {
    write_files(dir, &JOBS.replace("cron", &format!("{KEEP}cron")));
}

/// What happens to one daemon.
struct Life {
    environment: Arc<Environment>,
    engine: Engine,
    scheduler: Scheduler,
    clock: Arc<ManualClock>,
}

impl Life {
    async fn begin(dir: &Path, clock: Arc<ManualClock>) -> Self {
        let environment = environment(load(dir), clock.clone()).await;
        let engine = Engine::for_daemon(Arc::clone(&environment));
        recover(&engine).await.unwrap();
        let (mut scheduler, _, _) = Scheduler::new(engine.clone(), environment.settings().jobs.clone());
        scheduler.decide_missed().await.unwrap();
        Self {
            environment,
            engine,
            scheduler,
            clock,
        }
    }

    /// Time passes as it should: each slot is fired when it comes.
    async fn pass(&self, span: TimeDelta, rng: &mut StdRng) {
        let until = self.clock.now() + span;
        let settings = self.environment.settings();
        let mut due = BTreeSet::new();
        for job in settings.jobs.values() {
            due.extend(
                job.schedule
                    .slots_between(self.clock.now(), until)
                    .map(|slot| (slot, job.name.clone())),
            );
        }
        for (slot, name) in due {
            self.advance_to(slot);
            self.engine
                .fire(Arc::clone(&settings.jobs[&name]), slot, Trigger::Schedule);
            if rng.random_bool(0.7) {
                self.settle().await;
            }
        }
        self.advance_to(until);
    }

    /// The same, with each slot's run over before the next comes.
    async fn pass_quietly(&self, span: TimeDelta) {
        let until = self.clock.now() + span;
        let settings = self.environment.settings();
        let slots = settings.jobs.values().flat_map(|job| {
            let slots = job.schedule.slots_between(self.clock.now(), until);
            slots.map(move |slot| (slot, &job.name))
        });
        let due: BTreeSet<_> = slots.collect();
        for (slot, name) in due {
            self.advance_to(slot);
            self.engine
                .fire(Arc::clone(&settings.jobs[name]), slot, Trigger::Schedule);
            self.settle().await;
        }
        self.advance_to(until);
    }

    fn advance_to(&self, instant: DateTime<Utc>) {
        self.clock.advance(instant - self.clock.now());
    }

    /// What a step or a sleep does: the scheduler notices, and looks for what was missed.
    async fn jump(&mut self, by: TimeDelta) {
        self.clock.advance(by);
        self.scheduler.decide_missed().await.unwrap();
    }

    async fn settle(&self) {
        for _ in 0..3_000 {
            if self.engine.running() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        unreachable!("a run does not end");
    }
}

/// One life in a runtime of its own, which ends in the midst of whatever it does.
fn live(dir: &Path, clock: &Arc<ManualClock>, rng: &mut StdRng) -> DateTime<Utc> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let latest = runtime.block_on(async {
        let mut life = Life::begin(dir, clock.clone()).await;
        let mut latest = clock.now();
        for _ in 0..rng.random_range(1..5) {
            match rng.random_range(0..6) {
                0 => life.jump(TimeDelta::minutes(rng.random_range(1..4_000))).await,
                1 => life.jump(-TimeDelta::minutes(rng.random_range(1..400))).await,
                2 => life.jump(TimeDelta::seconds(rng.random_range(-90..90))).await,
                _ => {
                    life.pass(TimeDelta::minutes(rng.random_range(1..700)), rng).await;
                }
            }
            latest = latest.max(clock.now());
        }
        // Some end between two steps of what they have begun, some at once, some in peace.
        match rng.random_range(0..3) {
            0 => life.settle().await,
            1 => tokio::time::sleep(Duration::from_micros(rng.random_range(0..3_000))).await,
            _ => {}
        }
        latest
    });
    runtime.shutdown_background();
    // The machine is off for a while.
    clock.advance(TimeDelta::minutes(rng.random_range(0..300)));
    latest.max(clock.now())
}

fn audit(runs: &[Run], dir: &Path, (since, until): (DateTime<Utc>, DateTime<Utc>), seed: u64) {
    let settings = load(dir);
    for job in settings.jobs.values() {
        let mut decided: BTreeMap<DateTime<Utc>, usize> = BTreeMap::new();
        for run in runs.iter().filter(|run| run.job == job.name) {
            assert!(run.state.is_final(), "seed {seed}: {run:#?}");
            // A run that is done again stands for no slot of its own.
            if let Some(slot) = run.slot_at.filter(|_| run.retry_of.is_none()) {
                *decided.entry(slot).or_default() += 1;
            }
        }
        let twice = decided.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "seed {seed}: {} fired twice", job.name);
        let lost: Vec<DateTime<Utc>> = job
            .schedule
            .slots_between(since, until)
            .filter(|slot| !decided.contains_key(slot))
            .collect();
        assert_eq!(
            lost,
            Vec::<DateTime<Utc>>::new(),
            "seed {seed}: slots of {} were never decided",
            job.name
        );
        let strange = decided
            .keys()
            .find(|slot| job.schedule.next_after(**slot - TimeDelta::seconds(1)) != Some(**slot));
        assert_eq!(strange, None, "seed {seed}: no slot of {}", job.name);
        assert!(
            decided.len() > 10,
            "seed {seed}: {} had {} slots",
            job.name,
            decided.len()
        );
    }
}

#[test]
fn every_slot_is_decided_once_whatever_happens_to_clock_and_daemon() {
    for seed in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        write_jobs(dir.path());
        let clock = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
        let since = clock.now();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut latest = since;
        for _ in 0..30 {
            latest = latest.max(live(dir.path(), &clock, &mut rng));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let runs = runtime.block_on(async {
            clock.advance((latest - clock.now()).max(TimeDelta::zero()) + TimeDelta::hours(7));
            let life = Life::begin(dir.path(), clock.clone()).await;
            life.settle().await;
            let filter = RunFilter {
                limit: u32::MAX,
                ..Default::default()
            };
            life.environment.catalog.runs(&filter).await.unwrap()
        });
        audit(&runs, dir.path(), (since, clock.now()), seed);
    }
}

/// The slots of a job in a span that were really run.
async fn slots_run(life: &Life, job: &str) -> BTreeSet<DateTime<Utc>> {
    let filter = RunFilter {
        job: Some(job.parse().unwrap()),
        limit: u32::MAX,
        ..Default::default()
    };
    let runs = life.environment.catalog.runs(&filter).await.unwrap();
    let run = runs.into_iter().filter(|run| run.state == RunState::Succeeded);
    run.filter_map(|run| run.slot_at).collect()
}

#[tokio::test]
async fn slots_that_are_due_after_the_clock_was_far_ahead_are_run() {
    let dir = tempfile::tempdir().unwrap();
    write_jobs(dir.path());
    let clock = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
    let begin = clock.now();
    let mut life = Life::begin(dir.path(), clock.clone()).await;
    life.jump(TimeDelta::days(40)).await;
    life.settle().await;
    life.jump(-TimeDelta::days(40)).await;
    life.settle().await;
    for _ in 0..36 {
        life.pass_quietly(TimeDelta::hours(1)).await;
    }
    let settings = life.environment.settings();
    for job in settings.jobs.values() {
        let run = slots_run(&life, job.name.as_str()).await;
        let due: BTreeSet<_> = job.schedule.slots_between(begin, clock.now()).collect();
        let unrun: Vec<_> = due.difference(&run).collect();
        assert_eq!(unrun, Vec::<&DateTime<Utc>>::new(), "{}", job.name);
        assert!(!due.is_empty());
    }

    // Nobody is there for two days: what the clock that was ahead has noted does not hide that either.
    drop(life);
    clock.advance(TimeDelta::days(2));
    let life = Life::begin(dir.path(), clock.clone()).await;
    life.settle().await;
    let berlin = &life.environment.settings().jobs["berlin"];
    let newest = berlin.schedule.slots_between(begin, clock.now()).last().unwrap();
    assert!(
        slots_run(&life, "berlin").await.contains(&newest),
        "{newest} is caught up with"
    );
}
