//! A shared catalog that goes away and comes back.

use super::sets::removal;
use super::*;
use mykeeper_catalog::{Backlog, journal_backlog, open_journaled};
use mykeeper_domain::SystemClock;
use mykeeper_domain::removal::{Remainder, SetRemoval};
use std::path::Path;
use std::time::{Duration, Instant};
use throwaway::{Server, poll};

pub(crate) async fn journaled(settings: &OpenCatalog, folder: &Path) -> Arc<dyn Catalog> {
    open_journaled(settings, folder, Arc::new(SystemClock))
        .await
        .unwrap()
}

pub(super) fn shared(server: &Server, user: &str) -> OpenCatalog {
    OpenCatalog {
        url: server.url(user, "story"),
        password: None,
        timezone: Tz::Europe__Berlin,
        create: true,
    }
}

/// Everything that a node writes in the course of one backup: job, slot, run, attempt, set, transfer, proof.
pub(super) struct Night {
    pub(super) run: Run,
    pub(super) attempt: Attempt,
    pub(super) backup: Backup,
    pub(super) transfer: Transfer,
    pub(super) proof: Proof,
}

impl Night {
    pub(super) fn new(day: i64) -> Self {
        let slot = noon() + TimeDelta::days(day);
        let backup = backup("n1", slot);
        let run = Run {
            state: RunState::Running,
            started_at: Some(slot),
            ..run("n1", "nightly", Some(slot))
        };
        let attempt = Attempt {
            id: AttemptId::generate(),
            run_id: run.id,
            number: 1,
            bk_id: Some(backup.id),
            work_dir: Some(backup.dir.clone()),
            state: RunState::Running,
            reason: None,
            exit_status: None,
            started_at: slot,
            finished_at: None,
        };
        let transfer = Transfer {
            run_id: Some(run.id),
            ..transfer(&backup, 1, TransferPurpose::Send, slot + minutes(8))
        };
        let proof = Proof {
            bk_id: backup.id,
            run_id: Some(run.id),
            node: node("n1"),
            path: backup.dir.display().to_string(),
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
            databases: vec![DatabaseProof {
                database: "shop".into(),
                passed: true,
                differences: vec![],
                error: None,
                objects_compared: 3,
                rows_compared: 5,
                tables_exact: 1,
                tables_counted: 0,
                started_at: slot + minutes(20),
                finished_at: slot + minutes(21),
            }],
            started_at: slot + minutes(20),
            finished_at: slot + minutes(21),
        };
        Self {
            run,
            attempt,
            backup,
            transfer,
            proof,
        }
    }

    /// Writes the steps from `from` up to `to`, and asks what the daemon asks on its way.
    pub(super) async fn write(&self, catalog: &dyn Catalog, (from, to): (usize, usize)) {
        for step in from..to {
            self.step(catalog, step).await;
        }
    }

    /// Its original goes, and what was sent is removed at the destination.
    fn removal(&self) -> SetRemoval {
        let at = self.run.slot_at.unwrap() + minutes(30);
        let path = self.backup.dir.display().to_string();
        let cleared = Transfer {
            id: AttemptId::from(self.backup.id.as_uuid()),
            purpose: TransferPurpose::Clear,
            state: RunState::Succeeded,
            finished_at: Some(at),
            ..self.transfer.clone()
        };
        SetRemoval {
            run_id: Some(self.run.id),
            cleared: vec![cleared],
            ..removal(self.backup.id, ("n1", &path), (Remainder::Copy, at))
        }
    }

    async fn step(&self, catalog: &dyn Catalog, step: usize) {
        let slot = self.run.slot_at.unwrap();
        let done = |after| end(RunState::Succeeded, Some("done"), slot + minutes(after));
        let lease = format!("set:{}:transfer:vault", self.backup.id);
        match step {
            0 => {
                let known = catalog
                    .know_job(
                        &node("n1"),
                        &definition(&job("nightly"), JobKind::Backup),
                        noon() - minutes(1),
                    )
                    .await
                    .unwrap();
                assert_eq!(known.since, noon() - minutes(1));
            }
            1 => assert_eq!(catalog.claim_slot(&self.run).await.unwrap(), Claim::Won),
            2 => {
                let again = Run {
                    id: RunId::generate(),
                    ..self.run.clone()
                };
                assert_eq!(catalog.claim_slot(&again).await.unwrap(), Claim::Taken);
                assert!(catalog.start_run(self.run.id, slot, None).await.unwrap());
            }
            3 => catalog.start_attempt(&self.attempt).await.unwrap(),
            4 => {
                let unfinished = catalog.unfinished_runs(&node("n1")).await.unwrap();
                assert_eq!(
                    unfinished.iter().map(|run| run.id).collect::<Vec<_>>(),
                    [self.run.id]
                );
                assert_eq!(catalog.attempts(self.run.id).await.unwrap().len(), 1);
                assert!(
                    catalog
                        .insert_backup(
                            &self.backup,
                            &manifest(&self.backup, 3),
                            &evidence(&self.backup, 2)
                        )
                        .await
                        .unwrap()
                );
            }
            5 => {
                assert!(
                    catalog
                        .finish_attempt(self.attempt.id, &done(7), Some("exit 0"))
                        .await
                        .unwrap()
                );
                assert!(
                    catalog
                        .acquire_lease(&lease, "n1", LeaseTerm::shared(slot, Duration::from_secs(600)))
                        .await
                        .unwrap()
                );
                let read = catalog.backup(self.backup.id).await.unwrap().unwrap();
                assert_eq!(read.deletion, Deletion::None);
                catalog
                    .start_transfer(&self.transfer, "rsync://vault")
                    .await
                    .unwrap();
            }
            6 => {
                assert_eq!(catalog.unfinished_transfers(&node("n1")).await.unwrap().len(), 1);
                assert!(
                    catalog
                        .finish_transfer(self.transfer.id, &done(9), Some(7))
                        .await
                        .unwrap()
                );
                catalog.release_lease(&lease, "n1").await.unwrap();
            }
            7 => catalog.record_proof(&self.proof).await.unwrap(),
            8 => assert!(catalog.finish_run(self.run.id, &done(22)).await.unwrap()),
            9 => assert!(catalog.record_removal(&self.removal()).await.unwrap()),
            _ => panic!("there is no step {step}"),
        }
    }
}

pub(super) const STEPS: usize = 10;

/// Every row of the tables that a night leaves something in, in text, without numbers that the engine gives out.
pub(super) async fn all_rows(server: &Server, database: &str) -> Vec<String> {
    let mut session = server.session(database).await;
    let mut all = Vec::new();
    for (table, columns) in [
        (
            "mk_job",
            "node, job, kind, since_ms, last_slot_ms, forgotten_ms, schedule",
        ),
        ("mk_slot", "node, job, slot_ms, run_id"),
        (
            "mk_run",
            "id, node, job, state, reason, slot_ms, started_ms, finished_ms",
        ),
        (
            "mk_attempt",
            "id, run_id, number, state, reason, exit_status, finished_ms",
        ),
        ("mk_transfer", "id, bk_id, state, reason, sent_bytes, finished_ms"),
        ("mk_delivery", "bk_id, destination, node, arrived, ended_ms"),
        ("mk_removal", "bk_id, node, path, removed_ms, run_id"),
        ("mk_file", "bk_id, number, path, size_bytes, blake3"),
        ("mk_evidence_zstd", "bk_id, part, HEX(packed)"),
        ("mk_lease", "name, holder, until_ms"),
        (
            "user_backup",
            "bk_id, transfer_complete, transfer_start, transfer_end, validate_status, is_complete, is_deleted, original_gone_ms",
        ),
        ("user_recover_info", "bk_id, db, recover_status"),
    ] {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT CONCAT_WS('|', '{table}', {columns}) FROM {table}"
        )))
        .fetch_all(&mut session)
        .await
        .unwrap_or_else(|error| panic!("{table}: {error}"));
        all.extend(rows);
    }
    all.sort();
    all
}

pub(super) async fn prepared() -> Server {
    let server = Server::mariadb().await;
    server
        .sql(
            "mysql",
            "CREATE DATABASE story; CREATE DATABASE control; CREATE USER keeper@localhost; \
             GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES, DROP ON story.* TO keeper@localhost",
        )
        .await;
    for database in ["story", "control"] {
        let settings = OpenCatalog {
            url: server.url("root", database),
            ..shared(&server, "root")
        };
        open(&settings).await.unwrap().migrate().await.unwrap();
    }
    server
}

/// Waits until nothing waits any more.
pub(super) async fn drained(folder: &Path) {
    poll(async || {
        let backlog = journal_backlog(folder).await.unwrap();
        assert_eq!(backlog.refused, 0, "{backlog:?}");
        match backlog.waiting {
            0 => Ok(()),
            _ => Err(format!("{backlog:?}")),
        }
    })
    .await;
}

/// The same nights, written straight to a catalog that was never away.
pub(super) async fn control(server: &Server, nights: &[Night]) -> Vec<String> {
    let settings = OpenCatalog {
        url: server.url("root", "control"),
        ..shared(server, "root")
    };
    let catalog = open(&settings).await.unwrap();
    for night in nights {
        night.write(catalog.as_ref(), (0, STEPS)).await;
    }
    catalog.close().await;
    all_rows(server, "control").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_killed_at_any_step_holds_all_of_it_in_the_end() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let catalog = journaled(&shared(&server, "root"), folder.path()).await;
    let mut nights = Vec::new();
    for step in (0..STEPS).step_by(2) {
        let night = Night::new(i64::try_from(step).unwrap());
        night.write(catalog.as_ref(), (0, step)).await;
        server.kill();
        let begun = Instant::now();
        night.write(catalog.as_ref(), (step, STEPS)).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "work goes on");
        if step < STEPS - 1 {
            let backlog = catalog.backlog().await.unwrap();
            assert!(
                backlog.waiting > 0 && backlog.since.is_some() && backlog.away.is_some(),
                "{backlog:?}"
            );
        }
        server.run().await;
        drained(folder.path()).await;
        nights.push(night);
    }
    catalog.close().await;
    assert_eq!(all_rows(&server, "story").await, control(&server, &nights).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_outlives_the_process_and_a_start_without_a_catalog() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let nights = [Night::new(0), Night::new(1)];
    let catalog = journaled(&settings, folder.path()).await;
    nights[0].write(catalog.as_ref(), (0, 4)).await;
    server.kill();
    nights[0].write(catalog.as_ref(), (4, 6)).await;
    // As SIGKILL would: nothing is closed.
    drop(catalog);
    let waiting = journal_backlog(folder.path()).await.unwrap();
    assert!(waiting.waiting >= 3, "{waiting:?}");

    let catalog = journaled(&settings, folder.path()).await;
    assert!(catalog.migrate().await.unwrap_err().is_away());
    let known = catalog.known_jobs(&node("n1")).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(
        known[0].last_slot_at, nights[0].run.slot_at,
        "what was decided stays decided"
    );
    nights[0].write(catalog.as_ref(), (6, STEPS)).await;
    nights[1].write(catalog.as_ref(), (0, STEPS)).await;
    catalog.close().await;

    server.run().await;
    let catalog = journaled(&settings, folder.path()).await;
    drained(folder.path()).await;
    assert_eq!(catalog.backlog().await.unwrap(), Backlog::default());
    catalog.close().await;
    assert_eq!(all_rows(&server, "story").await, control(&server, &nights).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_catalog_and_one_that_stands_still_are_away() {
    let server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let catalog = journaled(&shared(&server, "keeper"), folder.path()).await;
    let nights = [Night::new(0), Night::new(1)];
    nights[0].write(catalog.as_ref(), (0, 3)).await;
    server.sql("mysql", "SET GLOBAL read_only = 1").await;
    nights[0].write(catalog.as_ref(), (3, STEPS)).await;
    let backlog = catalog.backlog().await.unwrap();
    assert!(backlog.waiting > 0, "{backlog:?}");
    assert!(backlog.away.unwrap().contains("read-only"));
    server.sql("mysql", "SET GLOBAL read_only = 0").await;
    drained(folder.path()).await;

    nights[1].write(catalog.as_ref(), (0, 2)).await;
    server.signal("STOP");
    let begun = Instant::now();
    nights[1].write(catalog.as_ref(), (2, STEPS)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(45), "{took:?}");
    let begun = Instant::now();
    catalog.close().await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(20),
        "the end of a process waits: {took:?}"
    );
    server.signal("CONT");
    let catalog = journaled(&shared(&server, "keeper"), folder.path()).await;
    drained(folder.path()).await;
    catalog.close().await;
    assert_eq!(all_rows(&server, "story").await, control(&server, &nights).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_known_jobs_do_not_wait_for_it_one_after_the_other() {
    let server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let catalog = journaled(&settings, folder.path()).await;
    let jobs: Vec<_> = (0..1000)
        .map(|number| definition(&job(&format!("job-{number}")), JobKind::Backup))
        .collect();
    for job in &jobs {
        catalog.know_job(&node("n1"), job, noon()).await.unwrap();
    }
    catalog.close().await;
    server.signal("STOP");
    let catalog = journaled(&settings, folder.path()).await;
    let begun = Instant::now();
    for job in &jobs {
        catalog
            .know_job(&node("n1"), job, noon() + minutes(5))
            .await
            .unwrap();
    }
    let took = begun.elapsed();
    assert_eq!(
        catalog.backlog().await.unwrap().waiting,
        0,
        "they are known already"
    );
    server.signal("CONT");
    assert!(took < Duration::from_secs(60), "{took:?}");
    catalog.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_one_journal() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let daemon = journaled(&settings, folder.path()).await;
    server.kill();
    let nights = [Night::new(0), Night::new(1)];
    nights[0].write(daemon.as_ref(), (0, 3)).await;
    let command = journaled(&settings, folder.path()).await;
    nights[0].write(command.as_ref(), (3, STEPS)).await;
    command.close().await;
    nights[1].write(daemon.as_ref(), (0, STEPS)).await;
    server.run().await;
    drained(folder.path()).await;
    daemon.close().await;
    assert_eq!(all_rows(&server, "story").await, control(&server, &nights).await);
}
