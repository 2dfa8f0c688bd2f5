//! Retention over a catalog whose rows were made again from the sets; and which folder a row is made from.

use super::*;
use mykeeper_daemon::rebuild::{Finding, Outcome, Rebuild};
use mykeeper_domain::proof::{DatabaseProof, Proof};

impl Stage {
    async fn rebuild(&self, folders: &[&Path], destination: Option<&Path>) -> Vec<Finding> {
        let rebuild = Rebuild {
            catalog: self.catalog(),
            node: &self.environment.node,
            destinations: destination.into_iter().map(Path::to_path_buf).collect(),
            now: self.clock.now(),
            dry_run: false,
        };
        let folders: Vec<PathBuf> = folders.iter().map(|path| path.to_path_buf()).collect();
        rebuild.run(&folders).await.unwrap()
    }

    pub(super) async fn prove(&self, id: BackupId, passed: bool) {
        let now = self.clock.now();
        let database = DatabaseProof {
            database: "shop".into(),
            passed,
            differences: vec![],
            error: None,
            objects_compared: 1,
            rows_compared: 1,
            tables_exact: 1,
            tables_counted: 0,
            started_at: now,
            finished_at: now,
        };
        let proof = Proof {
            bk_id: id,
            run_id: None,
            node: self.environment.node.clone(),
            path: String::new(),
            sandbox_version: "10.11".into(),
            loader_version: "0.10".into(),
            dumper_version: None,
            source_version: None,
            asserts: vec![],
            warnings: vec![],
            copy_differs: false,
            bytes_checked: 0,
            bytes_loaded: 0,
            load_ms: None,
            manifest_blake3: None,
            evidence_blake3: None,
            set: None,
            link: None,
            databases: vec![database],
            started_at: now,
            finished_at: now,
        };
        self.catalog().record_proof(&proof).await.unwrap();
    }
}

pub(super) fn copy(set: &Path, to: &Path) -> PathBuf {
    let (day, name) = (set.parent().unwrap().file_name(), set.file_name());
    let place = to.join(day.unwrap()).join(name.unwrap());
    std::fs::create_dir_all(place.join("shop")).unwrap();
    for file in std::fs::read_dir(set).unwrap().flatten() {
        if file.path().is_file() {
            std::fs::copy(file.path(), place.join(file.file_name())).unwrap();
        }
    }
    std::fs::copy(set.join(ORDERS), place.join(ORDERS)).unwrap();
    place
}

fn told(findings: &[Finding]) -> Vec<(&Path, Outcome, &str)> {
    let findings = findings.iter();
    findings
        .map(|finding| {
            let reason = finding.reason.as_deref().unwrap_or_default();
            (finding.path.as_path(), finding.outcome, reason)
        })
        .collect()
}

#[tokio::test]
async fn sets_of_a_rebuilt_catalog_stay_until_one_is_proven_anew() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let mut sets = Vec::new();
    for days in [7, 3, 0] {
        let started = stage.clock.now() - TimeDelta::days(days);
        sets.push(stage.set_on_disk(started).await.0);
    }
    let folders: Vec<&Path> = sets.iter().map(|set| set.dir.as_path()).collect();
    stage.rebuild(&folders, None).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    for set in &sets {
        assert!(
            set.dir.join(MANIFEST_FILE).is_file(),
            "a set is gone that may be the last proven"
        );
    }
    let why = stage.told(sets[0].id).await;
    assert!(why.contains("UnprovenSinceRebuild"), "{why}");
    stage.prove(sets[1].id, true).await;
    stage.prune().await;
    assert!(!sets[0].dir.exists(), "an older one is not needed any more");
    assert!(sets[1].dir.is_dir() && sets[2].dir.is_dir());
}

#[tokio::test]
async fn a_row_is_made_from_the_sets_own_folder_and_not_from_a_copy() {
    for from in ["both", "the copy alone"] {
        let stage = Stage::new("{ last = 1 }", "delete").await;
        let own = stage.set_on_disk(stage.clock.now()).await.0;
        // Found first, and damaged.
        let copied = copy(&own.dir, &stage.dir.path().join("copies"));
        std::fs::remove_file(copied.join(ORDERS)).unwrap();
        let folders = [copied.as_path(), own.dir.as_path()];
        let findings = stage
            .rebuild(&folders[..if from == "both" { 2 } else { 1 }], None)
            .await;
        let told = told(&findings);
        assert_eq!(told.len(), 2, "{from}: {told:?}");
        assert_eq!(
            (told[0].0, told[0].1),
            (copied.as_path(), Outcome::Copy),
            "{from}"
        );
        assert!(told[0].2.contains(own.dir.to_str().unwrap()), "{told:?}");
        assert_eq!(told[1], (own.dir.as_path(), Outcome::Added, ""), "{from}");
        let row = stage.row(own.id).await;
        assert!(row.is_complete() && row.dir == own.dir, "{from}: {row:?}");
        // And from a damaged own folder none that says it were whole.
        let again = stage.rebuild(&folders, None).await;
        let outcomes: Vec<Outcome> = again.iter().map(|finding| finding.outcome).collect();
        assert_eq!(outcomes, [Outcome::Copy, Outcome::Present], "{from}");
    }
}

#[tokio::test]
async fn a_copy_at_a_destination_never_becomes_the_place_of_its_set() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let vault = stage.dir.path().join("a vault");
    for is_moved in [false, true] {
        let own = stage.set_on_disk(stage.clock.now()).await.0;
        let copied = copy(&own.dir, &vault);
        let moved = copy(&own.dir, &stage.dir.path().join("moved"));
        std::fs::remove_dir_all(&own.dir).unwrap();
        let folders = [copied.as_path(), moved.as_path()];
        let findings = stage
            .rebuild(&folders[..if is_moved { 2 } else { 1 }], Some(&vault))
            .await;
        let told = told(&findings);
        let row = stage.row(own.id).await;
        if is_moved {
            assert_eq!(row.dir, moved);
            assert_eq!(
                (told[0].1, told[1].1),
                (Outcome::Copy, Outcome::Added),
                "{told:?}"
            );
        } else {
            assert_eq!(row.dir, own.dir);
            assert_eq!(told[0].1, Outcome::Added);
            assert!(told[0].2.contains("which is gone"), "{told:?}");
        }
    }
    stage.set(0).await;
    // Nor does retention take a set that is gone here for lost, as nobody knows where it was sent.
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    let present = mykeeper_catalog::BackupFilter {
        present_only: true,
        limit: 9,
        ..Default::default()
    };
    assert_eq!(stage.catalog().backups(&present).await.unwrap().len(), 3);
}
