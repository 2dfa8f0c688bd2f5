//! One story, told to both engines.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod away;
#[path = "../throwaway/mod.rs"]
mod throwaway;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mykeeper_catalog::{
    BackupFilter, BackupPath, Catalog, Claim, JobDefinition, OpenCatalog, RunFilter, SetState, open,
};
use mykeeper_domain::backup::{Backup, Deletion, LOCAL_BACKUP, ValidateStatus};
use mykeeper_domain::evidence::{Evidence, PartEvidence};
use mykeeper_domain::inventory::{Coverage, DatabaseInventory, Inventory, TableInventory};
use mykeeper_domain::job::{Consistency, JobKind};
use mykeeper_domain::manifest::{FORMAT_VERSION, FileEntry, Manifest};
use mykeeper_domain::proof::{DatabaseProof, Difference, Proof};
use mykeeper_domain::run::{Attempt, CoveredSlots, Run, RunEnd, RunState, Trigger};
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, BackupId, DestinationName, JobName, NodeName, RunId};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-11-22T12:00:00.123Z")
}

fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn job(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

fn vault() -> DestinationName {
    DestinationName::new("vault").unwrap()
}

fn run(node_name: &str, job_name: &str, slot_at: Option<DateTime<Utc>>) -> Run {
    Run {
        id: RunId::generate(),
        node: node(node_name),
        job: job(job_name),
        kind: JobKind::Backup,
        trigger: if slot_at.is_some() {
            Trigger::Schedule
        } else {
            Trigger::Manual
        },
        slot_at,
        state: RunState::Queued,
        reason: None,
        bk_id: None,
        requested_at: slot_at.unwrap_or_else(noon),
        started_at: None,
        finished_at: None,
        log_path: None,
        planned_at: None,
        covers: None,
        retry_of: None,
    }
}

fn end(state: RunState, reason: Option<&str>, finished_at: DateTime<Utc>) -> RunEnd {
    RunEnd {
        state,
        reason: reason.map(str::to_owned),
        bk_id: None,
        finished_at,
    }
}

fn backup(node_name: &str, started_at: DateTime<Utc>) -> Backup {
    let id = BackupId::from(AttemptId::generate().as_uuid());
    Backup {
        id,
        node: Some(node(node_name)),
        job: Some(job("国内 平台-1")),
        run_id: Some(RunId::generate()),
        bk_server: "db-1.internal.example.com".into(),
        tag: "国内平台从1 🦀 O'Brien \\ \"x\"".into(),
        started_at,
        finished_at: started_at + minutes(7),
        elapsed_seconds: 420,
        databases: vec![
            "shop".into(),
            "a,b".into(),
            "日志 库-1".into(),
            "it's".into(),
            "back\\slash".into(),
            "🦀".into(),
        ],
        complete: vec![true],
        reason: None,
        size_bytes: Some(u64::from(u32::MAX) * 3),
        size_text: "12G".into(),
        dir: PathBuf::from(format!("/data/备份/2026-11-22/{id}")),
        consistency: Some(Consistency::All),
        transfer_to: vec![vault()],
        transfer_started_at: None,
        transfer_finished_at: None,
        transfer_complete: String::new(),
        remote_dest: String::new(),
        master_status: "mysql-bin.000036,61286,".into(),
        slave_status: "Not a slave".into(),
        tool_version: "mydumper 0.10.0, built against MySQL 8.0".into(),
        server_version: "10.11.14-MariaDB".into(),
        pybackup_version: "mykeeper 0.1.0".into(),
        command: "mydumper --regex '^(shop|a,b)\\.'".into(),
        deletion: Deletion::None,
        deletion_reason: None,
        validate_status: ValidateStatus::NotTried,
        manifest_blake3: Some("ab".repeat(32)),
        lock_waited_ms: Some(40),
        lock_held_ms: Some(1_250),
        rebuilt_at: Some(at("2026-11-23T01:02:03.004Z")),
    }
}

fn manifest(backup: &Backup, files: usize) -> Manifest {
    let files = (0..files)
        .map(|number| FileEntry {
            path: format!("日志 库-1/table'{number:06}\\🦀.sql.gz"),
            size_bytes: number as u64 * 1000,
            blake3: format!("{number:064x}"),
            plain_bytes: number as u64 * 9000,
            rows: (number % 2 == 0).then_some(number as u64),
        })
        .collect();
    Manifest {
        version: FORMAT_VERSION,
        bk_id: backup.id,
        created_at: backup.finished_at,
        files,
    }
}

fn evidence(backup: &Backup, tables: usize) -> Evidence {
    let tables: BTreeMap<_, _> = (0..tables)
        .map(|number| {
            (
                format!("表🦀 {number}"),
                TableInventory {
                    engine: Some("InnoDB".into()),
                    rows: Some(number as u64),
                    data_bytes: Some(16_384),
                    index_bytes: None,
                },
            )
        })
        .collect();
    let inventory = Inventory {
        databases: BTreeMap::from([(
            "shop".to_owned(),
            DatabaseInventory {
                tables,
                ..Default::default()
            },
        )]),
    };
    Evidence {
        version: FORMAT_VERSION,
        backup: backup.clone(),
        consistency: Consistency::All,
        coverage: Coverage::ALL,
        inventory,
        parts: vec![PartEvidence {
            dir: String::new(),
            databases: backup.databases.clone(),
            complete: true,
            reasons: vec![],
            warnings: vec!["slow".into()],
            exit_status: "exit 0".into(),
            master_status: None,
            slave_status: None,
            lock_waited_ms: Some(40),
            lock_held_ms: Some(1_250),
        }],
        taken_at: backup.started_at,
    }
}

async fn insert(catalog: &dyn Catalog, backup: &Backup) -> bool {
    catalog
        .insert_backup(backup, &manifest(backup, 2), &evidence(backup, 1))
        .await
        .unwrap()
}

fn transfer(backup: &Backup, number: u32, purpose: TransferPurpose, started_at: DateTime<Utc>) -> Transfer {
    Transfer {
        id: AttemptId::generate(),
        run_id: None,
        bk_id: backup.id,
        node: backup.node.clone().unwrap(),
        destination: vault(),
        target: format!("rsync://backup@vault/sets/{}", backup.id),
        number,
        purpose,
        state: RunState::Running,
        reason: None,
        sent_bytes: None,
        started_at,
        finished_at: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("catalog.db");
    let settings = OpenCatalog {
        url: format!("sqlite:{}", file.display()),
        password: None,
        timezone: Tz::Europe__Berlin,
        create: true,
    };
    tell(&settings).await;
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the file is for its owner alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_mariadb() {
    let server = throwaway::MariaDb::start().await;
    server
        .sql("mysql", "CREATE DATABASE story CHARACTER SET latin1")
        .await;
    let settings = OpenCatalog {
        url: server.url("root", "story"),
        password: None,
        timezone: Tz::Europe__Berlin,
        create: true,
    };
    tell(&settings).await;

    // The status keeps the spelling that dashboards look for.
    let mut session = server.session("story").await;
    let words: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT recover_status FROM user_recover_info ORDER BY 1")
            .fetch_all(&mut session)
            .await
            .unwrap();
    assert_eq!(words, ["failed", "sucess"]);
    a_migration_cut_off_half_way_is_run_again(&server, &settings).await;
}

/// What is not away is not kept on this machine: the journal changes nothing then.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_through_the_journal() {
    let server = throwaway::MariaDb::start().await;
    server.sql("mysql", "CREATE DATABASE story").await;
    let settings = OpenCatalog {
        url: server.url("root", "story"),
        password: None,
        timezone: Tz::Europe__Berlin,
        create: true,
    };
    open(&settings).await.unwrap().migrate().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let catalog = away::journaled(&settings, folder.path()).await;
    acts(catalog.as_ref()).await;
    assert_eq!(
        mykeeper_catalog::journal_backlog(folder.path())
            .await
            .unwrap()
            .waiting,
        0
    );
}

async fn a_migration_cut_off_half_way_is_run_again(server: &throwaway::MariaDb, settings: &OpenCatalog) {
    for version in 1..=latest_migration() {
        // As a crash leaves it: the statements are done, or half done, and the note says so.
        server
            .sql(
                "story",
                &format!("UPDATE mk_migration SET success = FALSE WHERE version = {version}"),
            )
            .await;
        if version == 3 {
            server
                .sql(
                    "story",
                    "ALTER TABLE user_backup DROP INDEX mk_unproven, DROP COLUMN deleted_ms",
                )
                .await;
        }
        if version == 6 {
            server.sql("story", "DROP TABLE mk_lease").await;
        }
        if version == 8 {
            server
                .sql(
                    "story",
                    "ALTER TABLE mk_run DROP INDEX mk_run_retry_of, DROP COLUMN covers_slots",
                )
                .await;
        }
        let catalog = open(settings).await.unwrap();
        let status = catalog.migrate().await.unwrap();
        assert_eq!(status.applied, status.latest);
        assert!(
            catalog
                .acquire_lease("x", "me", noon(), noon() + minutes(1))
                .await
                .is_ok()
                || version < 6
        );
        assert!(
            !catalog
                .backups(&BackupFilter {
                    limit: 5,
                    ..Default::default()
                })
                .await
                .unwrap()
                .is_empty()
        );
    }
}

async fn tell(settings: &OpenCatalog) {
    four_nodes_migrate_at_once(settings).await;
    each_slot_is_won_once(settings).await;
    acts(open(settings).await.unwrap().as_ref()).await;
}

async fn acts(catalog: &dyn Catalog) {
    jobs_are_known_and_forgotten(catalog).await;
    slots_that_pass_are_recorded_once(catalog).await;
    a_slot_that_a_clock_ahead_let_pass_is_taken_over(catalog).await;
    a_run_is_done_again_once_and_says_what_it_waits_for(catalog).await;
    runs_and_attempts_end_once(catalog).await;
    runs_are_found(catalog).await;
    a_set_is_written_once_and_reads_as_it_was(catalog).await;
    sets_are_found(catalog).await;
    transfers_leave_their_marks(catalog).await;
    verifications_fall_due(catalog).await;
    proofs_decide(catalog).await;
    leases_run_out(catalog).await;
    sets_are_listed_by_their_state(catalog).await;
    deletion_goes_one_way(catalog).await;
    paths_are_kept_once(catalog).await;
    catalog.close().await;
}

/// The newest migration that the repository holds.
fn latest_migration() -> i64 {
    std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.get(..4)?.parse().ok())
        .max()
        .unwrap()
}

async fn four_nodes_migrate_at_once(settings: &OpenCatalog) {
    let before = open(settings).await.unwrap();
    let status = before.status().await.unwrap();
    assert_eq!((status.applied, status.backups), (0, None));
    let error = before.known_jobs(&node("n1")).await.unwrap_err().to_string();
    assert!(
        error.contains("has no tables yet: run \"mykeeper catalog migrate\""),
        "{error}"
    );

    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let settings = settings.clone();
            tokio::spawn(async move { open(&settings).await.unwrap().migrate().await.unwrap() })
        })
        .collect();
    for node in nodes {
        let status = node.await.unwrap();
        assert_eq!(status.applied, status.latest);
        assert_eq!(status.backups, Some(0));
        assert!(
            status.engine.starts_with("SQLite 3.") || status.engine.ends_with("MariaDB"),
            "{}",
            status.engine
        );
    }
    assert_eq!(
        before.migrate().await.unwrap().applied,
        latest_migration(),
        "once more changes nothing"
    );
}

fn definition(job: &JobName, kind: JobKind) -> JobDefinition {
    JobDefinition {
        job: job.clone(),
        kind,
        schedule: "0 4 * * * Asia/Shanghai".into(),
    }
}

async fn jobs_are_known_and_forgotten(catalog: &dyn Catalog) {
    let (n1, nightly) = (node("n1"), job("国内 平台-1"));
    let first = catalog
        .know_job(&n1, &definition(&nightly, JobKind::Backup), noon())
        .await
        .unwrap();
    assert_eq!((first.since, first.last_slot_at), (noon(), None));
    let later = noon() + minutes(60);
    assert_eq!(
        catalog
            .know_job(&n1, &definition(&nightly, JobKind::Backup), later)
            .await
            .unwrap(),
        first,
        "seen before"
    );
    let changed = JobDefinition {
        schedule: "0 5 * * * Asia/Shanghai".into(),
        ..definition(&nightly, JobKind::Backup)
    };
    assert_eq!(
        catalog.know_job(&n1, &changed, later).await.unwrap(),
        first,
        "the schedule that was noted stays until it is noted anew"
    );
    catalog.reschedule_job(&n1, &changed, later).await.unwrap();
    let noted = catalog.know_job(&n1, &changed, later).await.unwrap();
    assert_eq!((noted.since, &noted.schedule), (later, &changed.schedule));

    let slot = noon() + minutes(30);
    assert_eq!(
        catalog
            .claim_slot(&run("n1", nightly.as_str(), Some(slot)))
            .await
            .unwrap(),
        Claim::Won
    );
    let older = noon() + minutes(15);
    assert_eq!(
        catalog
            .claim_slot(&run("n1", nightly.as_str(), Some(older)))
            .await
            .unwrap(),
        Claim::Won
    );
    assert_eq!(
        catalog.known_jobs(&n1).await.unwrap()[0].last_slot_at,
        Some(slot),
        "the newest that was decided"
    );

    catalog.forget_job(&n1, &nightly, later).await.unwrap();
    assert_eq!(catalog.known_jobs(&n1).await.unwrap(), []);
    let again = catalog
        .know_job(&n1, &definition(&nightly, JobKind::Retention), later)
        .await
        .unwrap();
    assert_eq!(
        (again.since, again.last_slot_at, again.kind),
        (later, None, JobKind::Retention)
    );
    assert_eq!(catalog.known_jobs(&n1).await.unwrap(), [again]);
    assert_eq!(
        catalog.known_jobs(&node("N1")).await.unwrap(),
        [],
        "large and small letters are different nodes"
    );
}

async fn each_slot_is_won_once(settings: &OpenCatalog) {
    // Four daemons of one name with two tasks each: what the lock on the state directory should make impossible.
    let mut catalogs = Vec::new();
    for _ in 0..4 {
        catalogs.push(open(settings).await.unwrap());
    }
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let catalog: Arc<dyn Catalog> = Arc::clone(&catalogs[task / 2]);
            tokio::spawn(async move {
                let mut won = Vec::new();
                for slot in 0..50 {
                    let run = run("n2", "race", Some(noon() + minutes(slot)));
                    if catalog.claim_slot(&run).await.unwrap() == Claim::Won {
                        assert_eq!(
                            catalog.claim_slot(&run).await.unwrap(),
                            Claim::Won,
                            "asked again, still ours"
                        );
                        won.push((slot, run.id));
                    }
                }
                won
            })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        won.extend(task.await.unwrap());
    }
    won.sort_unstable();
    assert_eq!(
        won.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(),
        (0..50).collect::<Vec<_>>()
    );
    let filter = RunFilter {
        job: Some(job("race")),
        limit: 1000,
        ..Default::default()
    };
    assert_eq!(
        catalogs[0].runs(&filter).await.unwrap().len(),
        50,
        "who lost wrote nothing"
    );
    let unfinished = catalogs[0].unfinished_runs(&node("n2")).await.unwrap();
    assert_eq!(
        unfinished.iter().map(|run| run.id).collect::<Vec<_>>(),
        won.iter().map(|(_, id)| *id).collect::<Vec<_>>()
    );
}

async fn slots_that_pass_are_recorded_once(catalog: &dyn Catalog) {
    let skipped = |minute: i64| Run {
        state: RunState::Skipped,
        reason: Some("merged".into()),
        finished_at: Some(noon()),
        ..run("n7", "passes", Some(noon() + minutes(minute)))
    };
    let taken = run("n7", "passes", Some(noon() + minutes(3)));
    assert_eq!(catalog.claim_slot(&taken).await.unwrap(), Claim::Won);
    let mut many: Vec<Run> = (0..1000).map(skipped).collect();
    many[0].covers = Some(CoveredSlots {
        after: noon() - minutes(100),
        slots: 99,
    });
    assert_eq!(
        catalog.skip_slots(&many).await.unwrap(),
        999,
        "one was taken before"
    );
    assert_eq!(
        catalog.skip_slots(&many).await.unwrap(),
        0,
        "asked again, nothing changes"
    );
    assert_eq!(catalog.skip_slots(&[]).await.unwrap(), 0);
    assert!(
        catalog
            .skip_slots(&[skipped(2000), run("n7", "other", Some(noon()))])
            .await
            .is_err(),
        "slots of two jobs"
    );
    let filter = RunFilter {
        job: Some(job("passes")),
        limit: 2000,
        ..Default::default()
    };
    let rows = catalog.runs(&filter).await.unwrap();
    assert_eq!(rows.len(), 1000);
    assert_eq!(rows.last().unwrap(), &many[0]);
    let of = (&node("n7"), &job("passes"));
    let span = (noon(), noon() + minutes(10));
    let decided = catalog.decided_slots(of, span, 5).await.unwrap();
    assert_eq!(
        decided.iter().map(|slot| slot.slot_at).collect::<Vec<_>>(),
        (1..=5).map(|minute| noon() + minutes(minute)).collect::<Vec<_>>()
    );
    let first = catalog
        .decided_slots(of, (noon() - minutes(1), noon()), 5)
        .await
        .unwrap();
    assert_eq!(first[0].covers_after, Some(noon() - minutes(100)));
}

async fn a_slot_that_a_clock_ahead_let_pass_is_taken_over(catalog: &dyn Catalog) {
    let definition = definition(&job("ahead"), JobKind::Backup);
    catalog.know_job(&node("n9"), &definition, noon()).await.unwrap();
    let slot = noon() + minutes(5);
    let covers = Some(CoveredSlots {
        after: noon(),
        slots: 4,
    });
    let passed = Run {
        state: RunState::Skipped,
        reason: Some("merged".into()),
        requested_at: noon() + minutes(500_000),
        covers,
        ..run("n9", "ahead", Some(slot))
    };
    let far = Run {
        requested_at: noon() + minutes(500_000),
        ..run("n9", "ahead", Some(noon() + minutes(499_999)))
    };
    assert_eq!(
        catalog.skip_slots(std::slice::from_ref(&passed)).await.unwrap(),
        1
    );
    assert_eq!(catalog.claim_slot(&far).await.unwrap(), Claim::Won);
    let known = catalog.know_job(&node("n9"), &definition, noon()).await.unwrap();
    assert_eq!(known.last_slot_at, None, "nothing of what is to come is decided");

    let due = Run {
        requested_at: slot,
        ..run("n9", "ahead", Some(slot))
    };
    for _ in 0..2 {
        assert_eq!(catalog.claim_slot(&due).await.unwrap(), Claim::Won);
        // The journal may do everything again.
        assert_eq!(
            catalog.skip_slots(std::slice::from_ref(&passed)).await.unwrap(),
            0
        );
    }
    let taken = catalog.run(due.id).await.unwrap().unwrap();
    assert_eq!((taken.slot_at, taken.covers), (Some(slot), covers));
    let row = catalog.run(passed.id).await.unwrap().unwrap();
    assert_eq!(
        (row.slot_at, row.covers, row.state),
        (None, None, RunState::Skipped)
    );
    let reason = row.reason.unwrap();
    assert!(
        reason.starts_with("merged; ") && reason.contains(&due.id.to_string()),
        "{reason}"
    );
    let known = catalog.know_job(&node("n9"), &definition, slot).await.unwrap();
    assert_eq!(known.last_slot_at, Some(slot));

    let later = Run {
        requested_at: slot - minutes(1),
        ..run("n9", "ahead", Some(slot))
    };
    assert_eq!(
        catalog.claim_slot(&later).await.unwrap(),
        Claim::Taken,
        "what ran is not run again"
    );
    let of_far = Run {
        requested_at: slot,
        ..run("n9", "ahead", far.slot_at)
    };
    assert_eq!(catalog.claim_slot(&of_far).await.unwrap(), Claim::Taken);
}

async fn a_run_is_done_again_once_and_says_what_it_waits_for(catalog: &dyn Catalog) {
    let lost = run("n8", "again", Some(noon()));
    catalog.claim_slot(&lost).await.unwrap();
    let end = end(RunState::Interrupted, None, noon() + minutes(1));
    catalog.finish_run(lost.id, &end).await.unwrap();
    let again = Run {
        trigger: Trigger::Retry,
        retry_of: Some(lost.id),
        planned_at: Some(noon() + minutes(2)),
        ..run("n8", "again", None)
    };
    catalog.insert_run(&again).await.unwrap();
    assert_eq!(catalog.run(again.id).await.unwrap().unwrap(), again);
    let twice = Run {
        id: RunId::generate(),
        ..again.clone()
    };
    catalog.insert_run(&twice).await.unwrap();
    assert_eq!(
        catalog.run(twice.id).await.unwrap(),
        None,
        "it is done again already"
    );

    let reason = async || catalog.run(again.id).await.unwrap().unwrap().reason;
    assert!(
        catalog
            .note_run(again.id, Some("waits for server shop"))
            .await
            .unwrap()
    );
    assert_eq!(reason().await.as_deref(), Some("waits for server shop"));
    assert!(catalog.note_run(again.id, None).await.unwrap());
    assert_eq!(reason().await, None);
    assert!(!catalog.note_run(lost.id, Some("too late")).await.unwrap());
    assert_eq!(catalog.run(lost.id).await.unwrap().unwrap().reason, None);
}

async fn runs_and_attempts_end_once(catalog: &dyn Catalog) {
    let mut expected = run("n3", "nightly", None);
    catalog.insert_run(&expected).await.unwrap();
    catalog.insert_run(&expected).await.unwrap();
    assert_eq!(catalog.run(expected.id).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(catalog.run(RunId::generate()).await.unwrap(), None);

    let log = PathBuf::from("/var/lib/mykeeper/logs/日志.log");
    assert!(
        catalog
            .start_run(expected.id, noon(), Some(log.clone()))
            .await
            .unwrap()
    );
    assert!(
        catalog.start_run(expected.id, noon(), None).await.unwrap(),
        "a second attempt of the same run"
    );
    (expected.state, expected.started_at, expected.log_path) = (RunState::Running, Some(noon()), Some(log));
    assert_eq!(catalog.run(expected.id).await.unwrap().as_ref(), Some(&expected));

    let mut attempt = Attempt {
        id: AttemptId::generate(),
        run_id: expected.id,
        number: 1,
        bk_id: Some(BackupId::from(RunId::generate().as_uuid())),
        work_dir: Some(PathBuf::from("/data/备份")),
        state: RunState::Running,
        reason: None,
        exit_status: None,
        started_at: noon(),
        finished_at: None,
    };
    catalog.start_attempt(&attempt).await.unwrap();
    catalog.start_attempt(&attempt).await.unwrap();
    let n3 = node("n3");
    assert_eq!(
        catalog.runs_with_open_attempts(&n3).await.unwrap(),
        [],
        "the run goes on"
    );
    let failed = end(
        RunState::Failed,
        Some("mydumper: Access denied 🦀"),
        noon() + minutes(1),
    );
    assert!(
        catalog
            .finish_attempt(attempt.id, &failed, Some("exit 1"))
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .finish_attempt(attempt.id, &failed, Some("exit 1"))
            .await
            .unwrap()
    );
    let second = Attempt {
        id: AttemptId::generate(),
        number: 2,
        ..attempt.clone()
    };
    catalog.start_attempt(&second).await.unwrap();
    (
        attempt.state,
        attempt.reason,
        attempt.exit_status,
        attempt.finished_at,
    ) = (
        failed.state,
        failed.reason.clone(),
        Some("exit 1".into()),
        Some(failed.finished_at),
    );
    assert_eq!(catalog.attempts(expected.id).await.unwrap(), [attempt, second]);

    let bk_id = BackupId::from(RunId::generate().as_uuid());
    let warned = RunEnd {
        bk_id: Some(bk_id),
        ..end(RunState::Warned, Some("look"), noon() + minutes(2))
    };
    assert!(catalog.finish_run(expected.id, &warned).await.unwrap());
    assert!(
        !catalog.finish_run(expected.id, &failed).await.unwrap(),
        "it is final"
    );
    assert!(!catalog.start_run(expected.id, noon(), None).await.unwrap());
    assert!(
        !catalog.finish_run(RunId::generate(), &warned).await.unwrap(),
        "there is no such run"
    );
    (
        expected.state,
        expected.reason,
        expected.bk_id,
        expected.finished_at,
    ) = (
        warned.state,
        warned.reason,
        warned.bk_id,
        Some(warned.finished_at),
    );
    assert_eq!(catalog.run(expected.id).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(
        catalog.runs_with_open_attempts(&n3).await.unwrap(),
        [expected],
        "its second attempt has no end"
    );
    assert_eq!(catalog.unfinished_runs(&n3).await.unwrap(), []);
}

async fn runs_are_found(catalog: &dyn Catalog) {
    let n4 = node("n4");
    let mut all = Vec::new();
    for (number, (name, state)) in [
        ("a", RunState::Succeeded),
        ("a", RunState::Skipped),
        ("b", RunState::Failed),
        ("c", RunState::Skipped),
    ]
    .into_iter()
    .enumerate()
    {
        let run = Run {
            kind: if name == "b" {
                JobKind::Transfer
            } else {
                JobKind::Backup
            },
            state,
            requested_at: noon() + minutes(number as i64),
            ..run("n4", name, None)
        };
        catalog.insert_run(&run).await.unwrap();
        all.push(run);
    }
    let base = RunFilter {
        node: Some(n4.clone()),
        limit: 100,
        ..Default::default()
    };
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    let expect = |numbers: &[usize]| numbers.iter().map(|number| all[*number].id).collect::<Vec<_>>();
    for (filter, numbers) in [
        (base.clone(), vec![3, 2, 1, 0]),
        (
            RunFilter {
                limit: 2,
                ..base.clone()
            },
            vec![3, 2],
        ),
        (
            RunFilter {
                limit: 0,
                ..base.clone()
            },
            vec![],
        ),
        (
            RunFilter {
                job: Some(job("a")),
                ..base.clone()
            },
            vec![1, 0],
        ),
        (
            RunFilter {
                kind: Some(JobKind::Transfer),
                ..base.clone()
            },
            vec![2],
        ),
        (
            RunFilter {
                states: vec![RunState::Failed, RunState::Succeeded],
                ..base.clone()
            },
            vec![2, 0],
        ),
        (
            RunFilter {
                since: Some(noon() + minutes(2)),
                ..base.clone()
            },
            vec![3, 2],
        ),
    ] {
        assert_eq!(
            ids(catalog.runs(&filter).await.unwrap()),
            expect(&numbers),
            "{filter:?}"
        );
    }
    assert_eq!(
        ids(catalog.last_runs(&n4).await.unwrap()),
        expect(&[0, 2]),
        "c was only ever skipped"
    );
    catalog
        .know_job(&n4, &definition(&job("b"), JobKind::Transfer), noon())
        .await
        .unwrap();
    catalog.forget_job(&n4, &job("b"), noon()).await.unwrap();
    assert_eq!(
        ids(catalog.last_runs(&n4).await.unwrap()),
        expect(&[0]),
        "b is no job of this node any more"
    );
    assert_eq!(catalog.last_runs(&node("nobody")).await.unwrap(), []);
}

async fn a_set_is_written_once_and_reads_as_it_was(catalog: &dyn Catalog) {
    let mut expected = backup("n5", noon());
    expected
        .databases
        .extend((0..100).map(|number| format!("数据库-{number} `x` 🦀 {}", "y".repeat(30))));
    expected.complete = vec![true; expected.databases.len()];
    expected.consistency = Some(Consistency::PerDatabase);
    expected.command = format!("mydumper {}", "库".repeat(50_000));
    expected.master_status = format!(
        "bin.000001,4,{}",
        "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5,".repeat(2000)
    );
    let files = manifest(&expected, 25_000);
    let proof = evidence(&expected, 30_000);

    assert!(catalog.insert_backup(&expected, &files, &proof).await.unwrap());
    let other = Backup {
        tag: "other".into(),
        ..expected.clone()
    };
    assert!(
        !catalog
            .insert_backup(&other, &manifest(&other, 1), &proof)
            .await
            .unwrap(),
        "it is there already"
    );

    assert_eq!(catalog.backup(expected.id).await.unwrap(), Some(expected.clone()));
    assert_eq!(catalog.files(expected.id).await.unwrap(), files.files);
    assert_eq!(catalog.evidence(expected.id).await.unwrap(), Some(proof));

    let nothing = BackupId::from(RunId::generate().as_uuid());
    assert_eq!(catalog.backup(nothing).await.unwrap(), None);
    assert_eq!(catalog.files(nothing).await.unwrap(), []);
    assert_eq!(catalog.evidence(nothing).await.unwrap(), None);
}

async fn sets_are_found(catalog: &dyn Catalog) {
    // Both sides of the hour that Berlin's clocks show twice.
    let first = Backup {
        tag: "shop".into(),
        ..backup("n6", at("2026-10-25T00:50:00.500Z"))
    };
    let second = Backup {
        tag: "Shop".into(),
        bk_server: "10.0.0.1".into(),
        ..backup("n6", at("2026-10-25T01:10:00Z"))
    };
    let third = Backup {
        tag: "shop".into(),
        ..backup("n6", at("2026-10-25T02:10:00Z"))
    };
    for backup in [&third, &first, &second] {
        assert!(insert(catalog, backup).await);
    }
    let base = BackupFilter {
        node: Some(node("n6")),
        limit: 100,
        ..Default::default()
    };
    for (filter, expected) in [
        (base.clone(), vec![&third, &second, &first]),
        (
            BackupFilter {
                limit: 1,
                ..base.clone()
            },
            vec![&third],
        ),
        (
            BackupFilter {
                tag: Some("shop".into()),
                ..base.clone()
            },
            vec![&third, &first],
        ),
        (
            BackupFilter {
                tag: Some("shop ".into()),
                ..base.clone()
            },
            vec![],
        ),
        (
            BackupFilter {
                server: Some("10.0.0.1".into()),
                ..base.clone()
            },
            vec![&second],
        ),
        (
            BackupFilter {
                since: Some(at("2026-10-25T00:50:00.500Z")),
                ..base.clone()
            },
            vec![&third, &second, &first],
        ),
        (
            BackupFilter {
                since: Some(at("2026-10-25T00:55:00Z")),
                ..base.clone()
            },
            vec![&third, &second],
        ),
        (
            BackupFilter {
                since: Some(at("2026-10-25T01:10:00Z")),
                ..base.clone()
            },
            vec![&third, &second],
        ),
        (
            BackupFilter {
                node: Some(node("nobody")),
                ..base.clone()
            },
            vec![],
        ),
    ] {
        let found = catalog.backups(&filter).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    // Wall-clock times in the gap of spring.
    let spring = backup("n6", at("2026-03-29T01:30:00Z"));
    insert(catalog, &spring).await;
    assert_eq!(catalog.backup(spring.id).await.unwrap(), Some(spring));
}

async fn transfers_leave_their_marks(catalog: &dyn Catalog) {
    let n7 = node("n7");
    let newer = backup("n7", noon());
    let older = backup("n7", noon() - minutes(60));
    let local = Backup {
        transfer_to: vec![],
        transfer_complete: LOCAL_BACKUP.into(),
        ..backup("n7", noon())
    };
    let broken = Backup {
        complete: vec![true, false],
        ..backup("n7", noon())
    };
    let elsewhere = backup("n8", noon());
    for backup in [&newer, &older, &local, &broken, &elsewhere] {
        insert(catalog, backup).await;
    }
    let pending = async |limit| {
        let found = catalog.pending_transfers(&n7, &vault(), limit).await.unwrap();
        found.into_iter().map(|backup| backup.id).collect::<Vec<_>>()
    };
    assert_eq!(pending(100).await, [older.id, newer.id], "oldest first");
    assert_eq!(pending(1).await, [older.id]);
    assert_eq!(
        catalog
            .pending_transfers(&n7, &DestinationName::new("attic").unwrap(), 9)
            .await
            .unwrap(),
        []
    );

    let dest = "rsync://backup@vault/sets";
    let mut attempts = Vec::new();
    for (number, state) in [RunState::Failed, RunState::TimedOut, RunState::Succeeded]
        .into_iter()
        .enumerate()
    {
        let started = noon() + minutes(10 * number as i64);
        let mut attempt = transfer(&older, number as u32 + 1, TransferPurpose::Send, started);
        catalog.start_transfer(&attempt, dest).await.unwrap();
        catalog.start_transfer(&attempt, dest).await.unwrap();
        assert_eq!(
            catalog.unfinished_transfers(&n7).await.unwrap(),
            std::slice::from_ref(&attempt)
        );
        let end = end(state, Some("why"), started + minutes(2));
        assert!(
            catalog
                .finish_transfer(attempt.id, &end, Some(1 << 40))
                .await
                .unwrap()
        );
        assert!(
            !catalog.finish_transfer(attempt.id, &end, None).await.unwrap(),
            "it is final"
        );
        (
            attempt.state,
            attempt.reason,
            attempt.sent_bytes,
            attempt.finished_at,
        ) = (state, end.reason, Some(1 << 40), Some(end.finished_at));
        attempts.push(attempt);
        let marks = ["N", "N,N", "N,N,Y"][number];
        assert_eq!(
            catalog.backup(older.id).await.unwrap().unwrap().transfer_complete,
            marks
        );
    }
    assert_eq!(catalog.transfers(older.id).await.unwrap(), attempts);
    assert_eq!(catalog.unfinished_transfers(&n7).await.unwrap(), []);
    let sent = catalog.backup(older.id).await.unwrap().unwrap();
    assert!(sent.is_transferred());
    assert_eq!(sent.remote_dest, dest);
    assert_eq!(sent.transfer_started_at, Some(noon()), "of the first attempt");
    assert_eq!(sent.transfer_finished_at, Some(noon() + minutes(22)));
    assert_eq!(pending(100).await, [newer.id]);

    // A copy that has rotted is missing again; the clock stands still meanwhile.
    let moment = noon() + minutes(40);
    let verify = transfer(&older, 1, TransferPurpose::Verify, moment);
    catalog.start_transfer(&verify, dest).await.unwrap();
    catalog
        .finish_transfer(verify.id, &end(RunState::Interrupted, None, moment), None)
        .await
        .unwrap();
    assert_eq!(
        pending(100).await,
        [newer.id],
        "who was interrupted has seen nothing"
    );
    let verify = transfer(&older, 2, TransferPurpose::Verify, moment);
    catalog.start_transfer(&verify, dest).await.unwrap();
    catalog
        .finish_transfer(
            verify.id,
            &end(RunState::Failed, Some("a.sql differs"), moment),
            None,
        )
        .await
        .unwrap();
    assert_eq!(
        catalog.backup(older.id).await.unwrap().unwrap().transfer_complete,
        "N,N,Y,N"
    );
    assert_eq!(pending(100).await, [older.id, newer.id]);
    let resend = transfer(&older, 1, TransferPurpose::Send, moment);
    catalog.start_transfer(&resend, dest).await.unwrap();
    catalog
        .finish_transfer(resend.id, &end(RunState::Succeeded, None, moment), Some(1))
        .await
        .unwrap();
    assert_eq!(pending(100).await, [newer.id]);
    assert_eq!(
        catalog.backup(older.id).await.unwrap().unwrap().transfer_complete,
        "N,N,Y,N,Y"
    );

    // Not tried, since the original is damaged: what has arrived counts as before.
    let before = catalog.backup(older.id).await.unwrap().unwrap();
    let skipped = transfer(&older, 1, TransferPurpose::Send, moment + minutes(1));
    catalog.start_transfer(&skipped, dest).await.unwrap();
    let skip = end(
        RunState::Skipped,
        Some("the original is damaged"),
        moment + minutes(2),
    );
    assert!(catalog.finish_transfer(skipped.id, &skip, None).await.unwrap());
    assert_eq!(catalog.backup(older.id).await.unwrap().unwrap(), before);
    assert_eq!(pending(100).await, [newer.id]);
    // And a comparison that came to nothing for the same reason.
    let verify = transfer(&older, 3, TransferPurpose::Verify, moment + minutes(1));
    catalog.start_transfer(&verify, dest).await.unwrap();
    let warned = end(RunState::Warned, Some("the original is damaged"), moment);
    assert!(catalog.finish_transfer(verify.id, &warned, None).await.unwrap());
    assert_eq!(catalog.backup(older.id).await.unwrap().unwrap(), before);
    assert_eq!(pending(100).await, [newer.id]);

    // By hand to where it was not meant to go.
    let by_hand = transfer(&local, 1, TransferPurpose::Send, moment);
    catalog.start_transfer(&by_hand, dest).await.unwrap();
    catalog
        .finish_transfer(by_hand.id, &end(RunState::Succeeded, None, moment), None)
        .await
        .unwrap();
    assert_eq!(
        catalog.backup(local.id).await.unwrap().unwrap().transfer_complete,
        "Y"
    );
}

async fn verifications_fall_due(catalog: &dyn Catalog) {
    let n7 = node("n7");
    let due = async |before| {
        catalog
            .due_verifications(&n7, &vault(), before, 10)
            .await
            .unwrap()
    };
    let moment = noon() + minutes(40);
    assert_eq!(due(moment).await, [], "not before its time");
    let found = due(moment + minutes(1)).await;
    assert_eq!(
        found.len(),
        2,
        "the set that was sent again, and the one that was sent by hand"
    );
    let verify = transfer(&found[0], 1, TransferPurpose::Verify, moment + minutes(5));
    catalog.start_transfer(&verify, "x").await.unwrap();
    catalog
        .finish_transfer(
            verify.id,
            &end(RunState::Succeeded, None, moment + minutes(5)),
            None,
        )
        .await
        .unwrap();
    assert_eq!(due(moment + minutes(1)).await, [found[1].clone()]);
    let order: Vec<_> = due(moment + minutes(9))
        .await
        .into_iter()
        .map(|backup| backup.id)
        .collect();
    assert_eq!(order, [found[1].id, found[0].id], "longest unseen first");
    assert_eq!(
        catalog
            .due_verifications(&n7, &vault(), moment + minutes(9), 1)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn proofs_decide(catalog: &dyn Catalog) {
    let since = at("2027-06-01T00:00:00Z");
    let good = backup("n9", since);
    let bad = backup("n9", since + minutes(1));
    let gone = backup("n9", since + minutes(2));
    for backup in [&good, &bad, &gone] {
        insert(catalog, backup).await;
    }
    let candidates = async || {
        let found = catalog.validation_candidates(Some(since), 100).await.unwrap();
        found.into_iter().map(|backup| backup.id).collect::<Vec<_>>()
    };
    assert_eq!(candidates().await, [gone.id, bad.id, good.id]);
    assert_eq!(catalog.validation_candidates(None, 1).await.unwrap().len(), 1);
    catalog.mark_deleted(gone.id, "expired", since).await.unwrap();
    assert_eq!(candidates().await, [bad.id, good.id]);

    let database = |name: &str, passed: bool| DatabaseProof {
        database: name.into(),
        passed,
        differences: if passed {
            vec![]
        } else {
            vec![Difference {
                database: name.into(),
                object: "table 表🦀, rows".into(),
                expected: "1".into(),
                found: "0".into(),
            }]
        },
        error: (!passed).then(|| "myloader: exit 1".to_owned()),
        objects_compared: 7,
        rows_compared: 1 << 40,
        started_at: since + minutes(10),
        finished_at: since + minutes(11),
    };
    let proof = |backup: &Backup, databases| Proof {
        bk_id: backup.id,
        run_id: Some(RunId::generate()),
        node: node("n9"),
        path: "/备份/x".into(),
        sandbox_version: "10.11".into(),
        loader_version: "0.10".into(),
        databases,
        started_at: since + minutes(10),
        finished_at: since + minutes(12),
    };
    let passed = proof(
        &good,
        vec![database("shop", true), database("库", true), database("", true)],
    );
    catalog.record_proof(&passed).await.unwrap();
    catalog.record_proof(&passed).await.unwrap();
    assert_eq!(
        catalog.proofs(good.id).await.unwrap(),
        [passed],
        "once, whoever asks twice"
    );
    assert_eq!(
        catalog.backup(good.id).await.unwrap().unwrap().validate_status,
        ValidateStatus::Passed
    );

    let failed = proof(&bad, vec![database("shop", true), database("库", false)]);
    catalog.record_proof(&failed).await.unwrap();
    assert_eq!(
        catalog.backup(bad.id).await.unwrap().unwrap().validate_status,
        ValidateStatus::Failed
    );
    assert_eq!(candidates().await, [] as [BackupId; 0], "both have been tried");
    let again = Proof {
        finished_at: since + minutes(20),
        ..proof(&bad, vec![database("", false)])
    };
    catalog.record_proof(&again).await.unwrap();
    assert_eq!(
        catalog.proofs(bad.id).await.unwrap(),
        [again, failed],
        "newest first"
    );

    let late = proof(&gone, vec![database("shop", true)]);
    catalog.record_proof(&late).await.unwrap();
    let row = catalog.backup(gone.id).await.unwrap().unwrap();
    assert_eq!(
        (row.deletion, row.validate_status),
        (Deletion::Deleted, ValidateStatus::Passed)
    );
    catalog
        .record_proof(&proof(&backup("n9", since), vec![]))
        .await
        .unwrap();
}

async fn leases_run_out(catalog: &dyn Catalog) {
    let (name, until) = ("validate:a_%", noon() + minutes(10));
    assert!(catalog.acquire_lease(name, "n1", noon(), until).await.unwrap());
    assert!(!catalog.acquire_lease(name, "n2", noon(), until).await.unwrap());
    assert!(
        catalog
            .acquire_lease(name, "n1", noon(), until + minutes(1))
            .await
            .unwrap(),
        "a heartbeat"
    );
    assert!(
        catalog
            .acquire_lease("validate:abc", "n2", noon(), until)
            .await
            .unwrap()
    );
    assert!(catalog.acquire_lease("other", "n2", noon(), until).await.unwrap());
    assert_eq!(
        catalog.leases("validate:", noon()).await.unwrap(),
        [name, "validate:abc"]
    );
    assert_eq!(
        catalog.leases("validate:a_%", noon()).await.unwrap(),
        [name],
        "no wildcards"
    );
    assert_eq!(
        catalog.leases("validate:", until).await.unwrap(),
        [name],
        "the other has run out"
    );
    assert!(
        !catalog
            .acquire_lease(name, "n2", until, until + minutes(9))
            .await
            .unwrap()
    );
    assert!(
        catalog
            .acquire_lease(name, "n2", until + minutes(1), until + minutes(9))
            .await
            .unwrap()
    );
    catalog.release_lease(name, "n1").await.unwrap();
    assert_eq!(
        catalog.leases("validate:", until + minutes(1)).await.unwrap(),
        [name],
        "not his to give back"
    );
    catalog.release_lease(name, "n2").await.unwrap();
    assert_eq!(
        catalog.leases("", until + minutes(1)).await.unwrap(),
        [] as [&str; 0]
    );
}

async fn sets_are_listed_by_their_state(catalog: &dyn Catalog) {
    let whole = Backup {
        transfer_complete: "N,Y".into(),
        ..backup("n11", noon())
    };
    let part = Backup {
        complete: vec![true, false],
        ..backup("n11", noon())
    };
    let proven = Backup {
        validate_status: ValidateStatus::Passed,
        ..backup("n11", noon())
    };
    let failed = Backup {
        validate_status: ValidateStatus::Failed,
        ..backup("n11", noon())
    };
    for set in [&whole, &part, &proven, &failed] {
        insert(catalog, set).await;
    }
    assert!(catalog.mark_deleted(failed.id, "gone", noon()).await.unwrap());
    for (state, expected) in [
        (SetState::Complete, vec![whole.id, proven.id, failed.id]),
        (SetState::Incomplete, vec![part.id]),
        (SetState::Transferred, vec![whole.id]),
        (SetState::Validated, vec![proven.id]),
        (SetState::Failed, vec![failed.id]),
        (SetState::Deleted, vec![failed.id]),
    ] {
        let filter = BackupFilter {
            node: Some(node("n11")),
            state: Some(state),
            limit: 9,
            ..Default::default()
        };
        let mut found: Vec<BackupId> = catalog
            .backups(&filter)
            .await
            .unwrap()
            .iter()
            .map(|set| set.id)
            .collect();
        found.sort();
        assert_eq!(found, expected, "{state:?}");
    }
}

async fn deletion_goes_one_way(catalog: &dyn Catalog) {
    let set = backup("n10", noon());
    assert!(!catalog.mark_deleting(set.id, "x").await.unwrap());
    assert!(!catalog.mark_deleted(set.id, "x", noon()).await.unwrap());
    insert(catalog, &set).await;
    assert!(catalog.mark_deleting(set.id, "older than 31 days").await.unwrap());
    let read = async || catalog.backup(set.id).await.unwrap().unwrap();
    assert_eq!(read().await.deletion, Deletion::Deleting);
    assert!(
        catalog.mark_deleting(set.id, "older than 31 days").await.unwrap(),
        "the next pass finishes it"
    );
    assert_eq!(
        catalog
            .pending_transfers(&node("n10"), &vault(), 9)
            .await
            .unwrap(),
        []
    );
    let present = BackupFilter {
        node: Some(node("n10")),
        present_only: true,
        limit: 9,
        ..Default::default()
    };
    assert_eq!(
        catalog.backups(&present).await.unwrap().len(),
        1,
        "it may still be there"
    );
    assert!(catalog.mark_deleted(set.id, "gone", noon()).await.unwrap());
    assert!(catalog.mark_deleted(set.id, "other", noon()).await.unwrap());
    assert!(!catalog.mark_deleting(set.id, "x").await.unwrap());
    let row = read().await;
    assert_eq!(
        (row.deletion, row.deletion_reason.as_deref()),
        (Deletion::Deleted, Some("gone"))
    );
    assert_eq!(catalog.backups(&present).await.unwrap(), []);
    let all = BackupFilter {
        present_only: false,
        ..present
    };
    assert_eq!(catalog.backups(&all).await.unwrap().len(), 1);
}

async fn paths_are_kept_once(catalog: &dyn Catalog) {
    let path = BackupPath {
        id: 0,
        bk_server: "120.27.138.23".into(),
        remote_server: "backup.internal.example.com".into(),
        real_path: "/data1/备份/120.27.138.23/".into(),
        tag: "国内平台从1".into(),
        is_offline: false,
    };
    let first = catalog.add_path(&path).await.unwrap();
    assert_eq!(catalog.add_path(&path).await.unwrap(), first);
    let offline = BackupPath {
        is_offline: true,
        ..path.clone()
    };
    let second = catalog.add_path(&offline).await.unwrap();
    assert_eq!(
        catalog.paths().await.unwrap(),
        [
            BackupPath { id: first, ..path },
            BackupPath {
                id: second,
                ..offline
            }
        ]
    );
    assert!(catalog.remove_path(first).await.unwrap());
    assert!(!catalog.remove_path(first).await.unwrap());
    assert_eq!(catalog.paths().await.unwrap().len(), 1);
}
