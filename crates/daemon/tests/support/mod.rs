//! A state directory, an embedded catalog and a clock that the test moves.

use chrono::{DateTime, Utc};
use mykeeper_catalog::{Catalog, OpenCatalog, RunFilter};
use mykeeper_config::{Settings, Surroundings};
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::JobError;
use mykeeper_daemon::scheduler::Scheduler;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::{Engine, Environment};
use mykeeper_domain::job::Job;
use mykeeper_domain::run::{Run, RunState, Trigger};
use mykeeper_domain::{Clock, JobName, ManualClock, RunId};
use mykeeper_supervise::{ShimCommand, Supervisor};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const JOB: &str = "prune";

/// A state directory, its catalog, and settings read from real files.
pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) environment: Arc<Environment>,
}

impl Stage {
    pub(crate) async fn new(job: &str, clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&dir, job);
        let environment = environment(settings, clock).await;
        Self { dir, environment }
    }

    /// At this time, every slot of the job before then being decided: with its clock and its scheduler.
    pub(crate) async fn settled(job: &str, now: &str) -> (Self, Arc<ManualClock>, Scheduler) {
        let clock = Arc::new(ManualClock::at(at(now)));
        let stage = Self::new(job, clock.clone()).await;
        let mut scheduler = stage.scheduler(&stage.engine());
        scheduler.decide_missed().await.unwrap();
        (stage, clock, scheduler)
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::for_daemon(Arc::clone(&self.environment))
    }

    /// A scheduler of the jobs in force.
    pub(crate) fn scheduler(&self, engine: &Engine) -> Scheduler {
        Scheduler::new(engine.clone(), self.environment.settings().jobs.clone()).0
    }

    pub(crate) fn job(&self) -> Arc<Job> {
        Arc::clone(&self.environment.settings().jobs[&JobName::new(JOB).unwrap()])
    }

    pub(crate) async fn runs(&self) -> Vec<Run> {
        let mut runs = self
            .environment
            .catalog
            .runs(&RunFilter {
                limit: 10_000,
                ..Default::default()
            })
            .await
            .unwrap();
        runs.sort_by_key(|run| (run.slot_at, run.id));
        runs
    }

    pub(crate) async fn wait_for_run(&self, wanted: impl Fn(&Run) -> bool) -> Run {
        for _ in 0..600 {
            if let Some(run) = self.runs().await.into_iter().find(&wanted) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no such run: {:#?}", self.runs().await);
    }
}

pub(crate) fn settings(dir: &TempDir, job: &str) -> Settings {
    write_files(dir.path(), &format!("[retention.{JOB}]\n{KEEP}{job}\n"));
    load(dir.path())
}

/// What a retention job needs beside its times: `write_files` makes the folder.
pub(crate) const KEEP: &str = "directory = \"DATA\"\nkeep = { last = 3 }\n";

/// Both files, with `DATA` for a folder of sets.
pub(crate) fn write_files(dir: &Path, schedule: &str) {
    let data = dir.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let keeper = format!("node = \"n1\"\nstate_dir = {:?}\n", dir.join("state"));
    std::fs::write(dir.join("mykeeper.toml"), keeper).unwrap();
    let schedule = schedule.replace("DATA", data.to_str().unwrap());
    std::fs::write(dir.join("schedule.toml"), schedule).unwrap();
}

/// The files as they lie there.
pub(crate) fn load(dir: &Path) -> Settings {
    let surroundings = Surroundings {
        host_name: "n1".into(),
        host_address: "127.0.0.1".into(),
        ..Default::default()
    };
    mykeeper_config::load(&dir.join("mykeeper.toml"), &surroundings)
        .unwrap()
        .settings
}

pub(crate) async fn environment(settings: Settings, clock: Arc<dyn Clock>) -> Arc<Environment> {
    StateDir::open(&settings.state_dir).unwrap();
    let catalog: Arc<dyn Catalog> = mykeeper_catalog::open(&OpenCatalog {
        url: settings.catalog.url.clone(),
        password: None,
        timezone: settings.catalog.timezone,
        create: true,
    })
    .await
    .unwrap();
    catalog.migrate().await.unwrap();
    environment_with(settings, catalog, clock)
}

/// Over a catalog of the test's own.
pub(crate) fn environment_with(
    settings: Settings,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
) -> Arc<Environment> {
    let state = StateDir::open(&settings.state_dir).unwrap();
    let shim = ShimCommand {
        program: "/nonexistent".into(),
        args: vec![],
    };
    let supervisor = Supervisor::new(shim, vec![]);
    Arc::new(Environment::new(
        settings,
        catalog,
        clock,
        supervisor,
        (state, None),
    ))
}

/// A run as a process that was killed leaves it.
pub(crate) fn left(stage: &Stage, state: RunState) -> Run {
    Run {
        id: RunId::generate(),
        node: stage.environment.node.clone(),
        job: stage.job().name.clone(),
        kind: stage.job().kind(),
        trigger: Trigger::Schedule,
        slot_at: Some(at("2026-11-20T04:00:00Z")),
        planned_at: None,
        covers: None,
        retry_of: None,
        state,
        reason: None,
        bk_id: None,
        requested_at: at("2026-11-20T04:00:00Z"),
        started_at: None,
        finished_at: None,
        log_path: None,
    }
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn endless() -> Work {
    Box::new(|context| {
        Box::pin(async move {
            context.cancel.cancelled().await;
            Err(JobError::cancelled())
        })
    })
}
