//! Removal, and removals that were cut off: a real embedded catalog, real folders, a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{Catalog, LeaseTerm, OpenCatalog};
use mykeeper_config::Surroundings;
use mykeeper_daemon::jobs::retention::plan;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::{Engine, Environment, FinishedRun};
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::{Consistency, Job, JobKind, Task};
use mykeeper_domain::manifest::{FORMAT_VERSION, FileEntry, MANIFEST_FILE, Manifest};
use mykeeper_domain::run::{Attempt, Run, RunState, Trigger};
use mykeeper_domain::{AttemptId, BackupId, Clock, JobName, ManualClock, RunId};
use mykeeper_supervise::{ShimCommand, Supervisor};
use mykeeper_tools::mydumper::write_set_record;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

mod changed_disks;
mod copies;
mod disks;
mod doubt;
mod hanging;
mod long_pass;
mod owed;
mod rebuilt;
mod shared;
mod unseen;

/// A file of each set.
const ORDERS: &str = "shop/shop.orders.sql";
const NOW: &str = "2026-11-22T07:30:00Z";

struct Stage {
    dir: TempDir,
    environment: Arc<Environment>,
    clock: Arc<ManualClock>,
}

impl Stage {
    async fn new(keep: &str, action: &str) -> Self {
        Self::requiring("complete", keep, action).await
    }

    async fn requiring(require: &str, keep: &str, action: &str) -> Self {
        Self::set_up("", (require, keep, action)).await
    }

    async fn with_servers(servers: &str, keep: &str, action: &str) -> Self {
        Self::set_up(servers, ("complete", keep, action)).await
    }

    /// With the job's directory as a destination.
    async fn with_vault(keep: &str) -> Self {
        let vault = "[destinations.vault]\nurl = \"DATA\"\n";
        Self::set_up(vault, ("complete", keep, "delete")).await
    }

    async fn set_up(servers: &str, (require, keep, action): (&str, &str, &str)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let servers = servers.replace("DATA", &data.display().to_string());
        std::fs::create_dir_all(&data).unwrap();
        let keeper = dir.path().join("mykeeper.toml");
        let state = dir.path().join("state");
        std::fs::write(
            &keeper,
            format!("node = \"n1\"\nstate_dir = {state:?}\n{servers}"),
        )
        .unwrap();
        let text = format!(
            "[retention.prune]\ncron = \"@daily\"\ndirectory = {data:?}\nkeep = {keep}\naction = \"{action}\"\n\
             require = \"{require}\"\n[validation.prove]\ncron = \"@daily\"\nselect = \"oldest\"\n"
        );
        std::fs::write(dir.path().join("schedule.toml"), text).unwrap();
        let surroundings = Surroundings {
            host_name: "n1".into(),
            host_address: "127.0.0.1".into(),
            ..Default::default()
        };
        let settings = mykeeper_config::load(&keeper, &surroundings).unwrap().settings;
        let state = StateDir::open(&settings.state_dir).unwrap();
        let catalog: Arc<dyn Catalog> = mykeeper_catalog::open(&OpenCatalog {
            url: settings.catalog.url.clone(),
            password: None,
            timezone: settings.catalog.timezone,
            create: true,
        })
        .await
        .unwrap();
        catalog.migrate().await.unwrap();
        let shim = ShimCommand {
            program: "/nonexistent".into(),
            args: vec![],
        };
        let clock = Arc::new(ManualClock::at(at(NOW)));
        let supervisor = Supervisor::new(shim, vec![]);
        let environment = Environment::new(settings, catalog, clock.clone(), supervisor, (state, None));
        Self {
            dir,
            environment: Arc::new(environment),
            clock,
        }
    }

    fn catalog(&self) -> &dyn Catalog {
        self.environment.catalog.as_ref()
    }

    fn job(&self) -> Arc<Job> {
        self.job_called("prune")
    }

    fn job_called(&self, name: &str) -> Arc<Job> {
        Arc::clone(&self.environment.settings().jobs[&JobName::new(name).unwrap()])
    }

    async fn prune(&self) -> FinishedRun {
        self.run(self.job()).await
    }

    async fn run(&self, job: Arc<Job>) -> FinishedRun {
        let engine = Engine::for_foreground(Arc::clone(&self.environment), None);
        engine.run_now(job).await.unwrap()
    }

    /// A complete set, so many days old, with its folder and its row.
    async fn set(&self, days_old: i64) -> (BackupId, PathBuf) {
        self.set_from(self.clock.now() - TimeDelta::days(days_old)).await
    }

    async fn set_from(&self, started_at: DateTime<Utc>) -> (BackupId, PathBuf) {
        let (backup, manifest, evidence) = self.set_on_disk(started_at).await;
        let catalog = self.catalog();
        assert!(
            catalog
                .insert_backup(&backup, &manifest, &evidence)
                .await
                .unwrap()
        );
        (backup.id, backup.dir)
    }

    /// The folder alone, with the set's own record in it.
    async fn set_on_disk(&self, started_at: DateTime<Utc>) -> (Backup, Manifest, Evidence) {
        let id = BackupId::generate();
        let day = started_at.format("%Y-%m-%d").to_string();
        let dir = self.dir.path().join("data").join(day).join(id.to_string());
        std::fs::create_dir_all(dir.join("shop")).unwrap();
        std::fs::write(dir.join(ORDERS), "x").unwrap();
        let backup = Backup {
            id,
            node: Some(self.environment.node.clone()),
            job: Some(JobName::new("nightly").unwrap()),
            started_at,
            finished_at: started_at,
            size_bytes: Some(2),
            dir: dir.clone(),
            consistency: Some(Consistency::All),
            ..serde_json::from_str(include_str!("../../../domain/fixtures/set.json")).unwrap()
        };
        let mut manifest = Manifest {
            version: FORMAT_VERSION,
            bk_id: id,
            created_at: started_at,
            files: vec![FileEntry {
                path: ORDERS.into(),
                size_bytes: 1,
                blake3: "ab".repeat(32),
                plain_bytes: 1,
                rows: Some(1),
            }],
        };
        let evidence = Evidence {
            version: FORMAT_VERSION,
            backup: backup.clone(),
            consistency: Consistency::All,
            coverage: Coverage::ALL,
            inventory: Inventory::default(),
            parts: Vec::new(),
            taken_at: started_at,
            binary_log: None,
        };
        write_set_record(&dir, &mut manifest, &evidence, ())
            .await
            .unwrap();
        (backup, manifest, evidence)
    }

    async fn row(&self, id: BackupId) -> Backup {
        self.catalog().backup(id).await.unwrap().unwrap()
    }

    /// What a dry run tells of one set.
    async fn told(&self, id: BackupId) -> String {
        let settings = self.environment.settings();
        let job = self.job();
        let Task::Retention(task) = &job.task else {
            return String::new();
        };
        let plan = plan(&self.environment, &settings, &job, task).await.unwrap();
        let decision = plan.decisions.iter().find(|decision| decision.backup.id == id);
        decision.map_or_else(String::new, |decision| {
            format!(
                "{:?}; {}; {}",
                decision.verdict,
                plan.resumption(decision),
                plan.why(decision)
            )
        })
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn aside(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap().to_str().unwrap();
    place.with_file_name(format!(".{name}.deleting"))
}

#[tokio::test]
async fn what_was_half_removed_is_finished_whatever_the_policy_says_now() {
    let stage = Stage::new("{ last = \"all\" }", "delete").await;
    let (kept, kept_dir) = stage.set(5).await;
    // The newest; and one whose mark was lost with a catalog that was put back.
    for marked in [true, false] {
        let (id, place) = stage.set(1).await;
        if marked {
            stage.catalog().mark_deleting(id, "older").await.unwrap();
        }
        std::fs::rename(&place, aside(&place)).unwrap();
        std::fs::remove_file(aside(&place).join(MANIFEST_FILE)).unwrap();
        let told = stage.told(id).await;
        assert!(told.contains("RemovalBegun"), "{told}");
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
        assert!(!aside(&place).exists() && !place.exists());
        assert_eq!(stage.row(id).await.deletion, Deletion::Deleted);
    }
    assert_eq!(stage.row(kept).await.deletion, Deletion::None);
    assert!(kept_dir.is_dir());
}

#[tokio::test]
async fn a_mark_on_a_set_that_a_rule_keeps_is_taken_back() {
    let stage = Stage::new("{ last = 2 }", "delete").await;
    let (old, old_place) = stage.set(5).await;
    let (marked, place) = stage.set(1).await;
    let (moved, moved_place) = stage.set(0).await;
    for id in [old, marked, moved] {
        stage
            .catalog()
            .mark_deleting(id, "a pass that died")
            .await
            .unwrap();
    }
    std::fs::rename(&moved_place, aside(&moved_place)).unwrap();
    let told = stage.told(marked).await;
    assert!(told.contains("is taken back"), "{told}");
    let told = stage.told(old).await;
    assert!(told.contains("decided before"), "{told}");
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(run.reason.contains("2 no longer marked"), "{}", run.reason);
    for (id, place) in [(marked, place), (moved, moved_place)] {
        let row = stage.row(id).await;
        assert_eq!((row.deletion, row.deletion_reason), (Deletion::None, None));
        assert!(place.join(MANIFEST_FILE).is_file());
    }
    assert_eq!(stage.row(old).await.deletion, Deletion::Deleted);
    assert!(!old_place.exists());
}

#[tokio::test]
async fn a_set_of_a_run_that_has_not_ended_is_left_alone() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (written, place) = stage.set(3).await;
    stage.set(0).await;
    let now = stage.clock.now();
    let run = Run {
        id: RunId::generate(),
        // Another machine's: the directory may be shared.
        node: "n2".parse().unwrap(),
        job: JobName::new("nightly").unwrap(),
        kind: JobKind::Backup,
        trigger: Trigger::Manual,
        slot_at: None,
        planned_at: None,
        covers: None,
        retry_of: None,
        state: RunState::Running,
        reason: None,
        bk_id: None,
        requested_at: now,
        started_at: Some(now),
        finished_at: None,
        log_path: None,
    };
    stage.catalog().insert_run(&run).await.unwrap();
    let attempt = Attempt {
        id: AttemptId::generate(),
        run_id: run.id,
        number: 1,
        bk_id: Some(written),
        work_dir: Some(place.clone()),
        state: RunState::Succeeded,
        reason: None,
        exit_status: None,
        started_at: now,
        finished_at: None,
    };
    stage.catalog().start_attempt(&attempt).await.unwrap();
    assert!(stage.told(written).await.contains("InUse"));
    stage.prune().await;
    assert!(place.is_dir());
    let end = mykeeper_domain::run::RunEnd {
        state: RunState::Succeeded,
        reason: None,
        bk_id: Some(written),
        finished_at: now,
    };
    stage.catalog().finish_run(run.id, &end).await.unwrap();
    stage.prune().await;
    assert!(!place.exists());
}

#[tokio::test]
async fn a_removal_that_fails_half_way_says_so_in_the_row_and_is_finished_later() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place) = stage.set(3).await;
    stage.set(0).await;
    let elsewhere = stage.dir.path().join("elsewhere");
    std::fs::rename(&place, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Failed, "{}", run.reason);
    let row = stage.row(id).await;
    assert_eq!(row.deletion, Deletion::Deleting);
    let reason = row.deletion_reason.unwrap();
    assert!(
        reason.contains("no rule keeps it")
            && reason.contains("its removal failed")
            && reason.contains("link"),
        "{reason}"
    );
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&elsewhere, &place).unwrap();
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    assert_eq!(stage.row(id).await.deletion, Deletion::Deleted);
    assert!(!place.exists());
}

#[tokio::test]
async fn an_empty_day_goes_but_not_todays() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (_, place) = stage.set(9).await;
    stage.set(0).await;
    let today = stage.dir.path().join("data/2026-11-22");
    let (_, gone) = stage.set_from(at(NOW) - TimeDelta::hours(1)).await;
    std::fs::remove_dir_all(&gone).unwrap();
    stage.prune().await;
    assert!(!place.parent().unwrap().exists());
    assert!(today.is_dir());
}

#[tokio::test]
async fn what_was_set_aside_of_a_set_that_is_marked_deleted_goes_too() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place) = stage.set(3).await;
    stage.set(0).await;
    std::fs::rename(&place, aside(&place)).unwrap();
    stage
        .catalog()
        .mark_deleted(id, "by hand", stage.clock.now())
        .await
        .unwrap();
    // Of a set that no catalog knows, nothing is removed.
    let unknown = place.with_file_name(BackupId::generate().to_string());
    std::fs::create_dir(aside(&unknown)).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    assert!(run.reason.contains("does not know it"), "{}", run.reason);
    assert!(!aside(&place).exists());
    assert!(aside(&unknown).exists());
}

#[tokio::test]
async fn the_only_good_set_stays_when_the_clock_is_wrong_by_years_and_the_policy_keeps_nothing() {
    for now in [NOW, "1970-01-01T00:10:00Z", "2099-01-01T00:00:00Z"] {
        let stage = Stage::new("{ within = \"1s\" }", "delete").await;
        let (real, real_place) = stage.set(1).await;
        let (_, older) = stage.set(2).await;
        let (_, future) = stage.set_from(at("2090-01-01T00:00:00Z")).await;
        stage.clock.advance(at(now) - at(NOW));
        stage.prune().await;
        let left = (real_place.is_dir(), older.is_dir(), future.is_dir());
        let expected = match now {
            // The set of 2090 may be the newest, and so may the last before now.
            NOW => (true, false, true),
            // No set is older than the clock.
            "1970-01-01T00:10:00Z" => (true, true, true),
            _ => (false, false, true),
        };
        assert_eq!(left, expected, "{now}: {:?}", stage.row(real).await);
    }
}

#[tokio::test]
async fn a_set_that_someone_works_on_is_neither_removed_nor_left_with_a_mark() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place) = stage.set(3).await;
    stage.set(0).await;
    let now = stage.clock.now();
    for purpose in ["transfer:vault", "validate", "restore:spare"] {
        let lease = format!("set:{id}:{purpose}");
        let catalog = stage.catalog();
        let term = LeaseTerm::shared(now, Duration::from_secs(600));
        assert!(catalog.acquire_lease(&lease, "n2 run", term).await.unwrap());
        stage.prune().await;
        assert!(place.join(MANIFEST_FILE).is_file(), "{purpose}");
        assert_eq!(stage.row(id).await.deletion, Deletion::None, "{purpose}");
        catalog.release_lease(&lease, "n2 run").await.unwrap();
    }
    stage.prune().await;
    assert!(!place.exists());
}
