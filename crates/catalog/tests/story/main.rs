//! One story, told to both engines.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod away;
mod journal;
mod keepers;
mod nodes;
mod promises;
mod proofs;
mod runs;
mod sets;
mod slots;
#[path = "../throwaway/mod.rs"]
mod throwaway;
mod transfers;
mod verifications;
mod waiting;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mykeeper_catalog::{
    BackupFilter, BackupPath, Catalog, Claim, JobDefinition, LeaseClock, LeaseTerm, OpenCatalog, RunFilter,
    SetState, open,
};
use mykeeper_domain::backup::{Backup, Deletion, LOCAL_BACKUP, ValidateStatus};
use mykeeper_domain::evidence::{Evidence, PartEvidence};
use mykeeper_domain::inventory::{Coverage, DatabaseInventory, Inventory, TableInventory};
use mykeeper_domain::job::{Consistency, JobKind};
use mykeeper_domain::manifest::{FORMAT_VERSION, FileEntry, Manifest};
use mykeeper_domain::proof::document::check_chain;
use mykeeper_domain::proof::{AssertedValue, DatabaseProof, Difference, Proof, ProofDocument, ProvenSet};
use mykeeper_domain::run::{Attempt, CoveredSlots, Run, RunEnd, RunState, Trigger};
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, BackupId, DestinationName, JobName, NodeName, RunId};
use nodes::{each_node_has_told_one_thing_last, nodes_go_by_the_clock_of_the_server};
use promises::{a_promise_is_told_about_once, every_node_knows_what_jobs_prove};
use proofs::{leases_run_out, proofs_decide, proofs_of_a_server_are_chained};
use runs::{a_run_is_done_again_once_and_says_what_it_waits_for, runs_and_attempts_end_once, runs_are_found};
use sets::{
    a_set_is_written_once_and_reads_as_it_was, a_set_whose_original_is_gone_is_not_deleted,
    deletion_goes_one_way, paths_are_kept_once, sets_are_found, sets_are_listed_by_their_state,
};
use slots::{
    a_slot_that_a_clock_ahead_let_pass_is_taken_over, definition, each_slot_is_won_once,
    jobs_are_known_and_forgotten, slots_that_pass_are_recorded_once,
};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use transfers::{
    of_several_destinations_the_first_is_told_in_the_seeds_columns, transfers_leave_their_marks,
    verifications_fall_due,
};
use verifications::{
    a_set_is_damaged_when_no_copy_is_left_that_is_as_written, a_whole_copy_frees_what_failed_for_another,
    sets_are_listed_page_by_page_where_their_copies_decide, what_was_read_is_passed_by_until_it_is_due_again,
};
use waiting::what_waits_is_found_by_whom_it_concerns_page_by_page;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-11-22T12:00:00.123Z")
}

fn own_lease(from: DateTime<Utc>, until: DateTime<Utc>) -> LeaseTerm {
    let clock = LeaseClock::Own;
    LeaseTerm { clock, from, until }
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
        original_gone_at: None,
        begun_by_catalog_at: Some(at("2026-11-23T05:06:07.008Z")),
        arrived: Vec::new(),
        removed_from: Vec::new(),
        rebuilt_at: Some(at("2026-11-23T01:02:03.004Z")),
        selected_by: Some("shop.orders,shop.a.b".into()),
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
                    ..Default::default()
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
        ..Default::default()
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
        binary_log: None,
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
    the_story_on(&throwaway::Server::mariadb().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_mysql() {
    if let Some(server) = throwaway::Server::mysql().await {
        the_story_on(&server).await;
    }
}

async fn the_story_on(server: &throwaway::Server) {
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
    nodes_go_by_the_clock_of_the_server(open(&settings).await.unwrap().as_ref()).await;

    // The status keeps the spelling that dashboards look for.
    let mut session = server.session("story").await;
    let words: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT recover_status FROM user_recover_info ORDER BY 1")
            .fetch_all(&mut session)
            .await
            .unwrap();
    assert_eq!(words, ["failed", "sucess"]);
    a_migration_cut_off_half_way_is_run_again(server, &settings).await;
}

/// What is not away is not kept on this machine: the journal changes nothing then.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_through_the_journal() {
    let server = throwaway::Server::mariadb().await;
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
    let catalog = away::journaled(&settings, folder.path()).await;
    nodes_go_by_the_clock_of_the_server(catalog.as_ref()).await;
    assert_eq!(
        mykeeper_catalog::journal_backlog(folder.path())
            .await
            .unwrap()
            .waiting,
        0
    );
}

async fn a_migration_cut_off_half_way_is_run_again(server: &throwaway::Server, settings: &OpenCatalog) {
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
                .acquire_lease("x", "me", own_lease(noon(), noon() + minutes(1)))
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
    proofs_of_a_server_are_chained(catalog).await;
    leases_run_out(catalog).await;
    sets_are_listed_by_their_state(catalog).await;
    a_set_whose_original_is_gone_is_not_deleted(catalog).await;
    deletion_goes_one_way(catalog).await;
    paths_are_kept_once(catalog).await;
    what_was_read_is_passed_by_until_it_is_due_again(catalog).await;
    a_set_is_damaged_when_no_copy_is_left_that_is_as_written(catalog).await;
    a_whole_copy_frees_what_failed_for_another(catalog).await;
    sets_are_listed_page_by_page_where_their_copies_decide(catalog).await;
    a_promise_is_told_about_once(catalog).await;
    each_node_has_told_one_thing_last(catalog).await;
    every_node_knows_what_jobs_prove(catalog).await;
    of_several_destinations_the_first_is_told_in_the_seeds_columns(catalog).await;
    what_waits_is_found_by_whom_it_concerns_page_by_page(catalog).await;
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
            status.engine.starts_with("SQLite 3.")
                || status.engine.ends_with("MariaDB")
                || status.engine.starts_with("MySQL "),
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
