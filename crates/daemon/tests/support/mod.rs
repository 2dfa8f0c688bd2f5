//! A state directory, an embedded catalog and a clock that the test moves.

use chrono::{DateTime, Utc};
use mykeeper_catalog::{Catalog, OpenCatalog, RunFilter};
use mykeeper_config::{Settings, Surroundings};
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::JobError;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::{Engine, Environment};
use mykeeper_domain::job::Job;
use mykeeper_domain::run::Run;
use mykeeper_domain::{Clock, JobName};
use mykeeper_supervise::{ShimCommand, Supervisor};
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

    pub(crate) fn engine(&self) -> Engine {
        Engine::for_daemon(Arc::clone(&self.environment))
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
    let data = dir.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let keeper = dir.path().join("mykeeper.toml");
    std::fs::write(
        &keeper,
        format!("node = \"n1\"\nstate_dir = {:?}\n", dir.path().join("state")),
    )
    .unwrap();
    let text = format!("[retention.{JOB}]\ndirectory = {data:?}\nkeep = {{ last = 3 }}\n{job}\n");
    std::fs::write(dir.path().join("schedule.toml"), text).unwrap();
    let surroundings = Surroundings {
        host_name: "n1".into(),
        host_address: "127.0.0.1".into(),
        ..Default::default()
    };
    mykeeper_config::load(&keeper, &surroundings).unwrap().settings
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
