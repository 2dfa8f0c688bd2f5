//! What waits in the journal of a shared catalog that was away, and what the copy beside it holds.

use super::away::{Night, STEPS, all_rows, control, drained, journaled, prepared, shared};
use super::waiting::everywhere;
use super::*;
use mykeeper_catalog::{open_copy, open_journaled};
use mykeeper_domain::ManualClock;
use mykeeper_domain::selection::{Choice, Select};
use std::time::Duration;
use throwaway::poll;

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_other_nodes_is_not_answered_from_memory() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let catalog = journaled(&shared(&server, "root"), folder.path()).await;
    let night = Night::new(0);
    night.write(catalog.as_ref(), (0, STEPS)).await;
    server.kill();
    let id = night.backup.id;
    assert!(catalog.mark_deleting(id, "policy").await.unwrap_err().is_away());
    assert!(
        catalog
            .leases("set:", (LeaseClock::Shared, noon()))
            .await
            .unwrap_err()
            .is_away()
    );
    assert!(
        catalog
            .validation_candidates(&everywhere(), None, 5)
            .await
            .unwrap_err()
            .is_away()
    );
    assert!(
        catalog.backup(id).await.unwrap().is_some(),
        "its own set is known"
    );
    let unknown = BackupId::from(AttemptId::generate().as_uuid());
    assert!(catalog.backup(unknown).await.unwrap_err().is_away());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_another_has_taken_meanwhile_keeps_both_runs() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let catalog = journaled(&settings, folder.path()).await;
    server.kill();
    let (ours, theirs) = (Night::new(0), Night::new(0));
    ours.write(catalog.as_ref(), (0, STEPS)).await;
    catalog.close().await;
    server.run().await;
    let other = open(&settings).await.unwrap();
    theirs.write(other.as_ref(), (0, STEPS)).await;
    let catalog = journaled(&settings, folder.path()).await;
    drained(folder.path()).await;
    let run = catalog.run(ours.run.id).await.unwrap().unwrap();
    assert_eq!((run.state, run.slot_at), (RunState::Succeeded, None));
    let run = catalog.run(theirs.run.id).await.unwrap().unwrap();
    assert_eq!(run.slot_at, Some(noon()));
    assert!(catalog.backup(ours.backup.id).await.unwrap().is_some());
    catalog.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_catalog_refuses_is_kept_and_told_and_does_not_hold_up_the_rest() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let catalog = journaled(&settings, folder.path()).await;
    server.kill();
    let night = Night::new(0);
    night.write(catalog.as_ref(), (0, STEPS)).await;
    catalog.close().await;
    // Of a later version, say: nothing that this one can carry out.
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("journal.db"));
    let mut journal = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&file)
        .await
        .unwrap();
    for statement in [
        "UPDATE journal SET seq = seq + 1000",
        "INSERT INTO journal (seq, noted_ms, entry) VALUES (1, 0, '{\"write\": \"of-tomorrow\"}')",
    ] {
        sqlx::query(statement).execute(&mut journal).await.unwrap();
    }
    sqlx::Connection::close(journal).await.unwrap();
    server.run().await;
    let catalog = journaled(&settings, folder.path()).await;
    let backlog = poll(async || {
        let backlog = catalog.backlog().await.unwrap();
        match backlog.waiting {
            0 => Ok(backlog),
            _ => Err(format!("{backlog:?}")),
        }
    })
    .await;
    assert_eq!(backlog.refused, 1, "{backlog:?}");
    assert!(backlog.refusal.unwrap().contains("of-tomorrow"));
    catalog.close().await;
    assert_eq!(all_rows(&server, "story").await, control(&server, &[night]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_forgets_what_has_long_been_over_and_keeps_the_jobs() {
    let server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let (old, new) = (Night::new(0), Night::new(29));
    let catalog = journaled(&settings, folder.path()).await;
    for night in [&old, &new] {
        night.write(catalog.as_ref(), (0, STEPS)).await;
    }
    catalog.close().await;
    let clock = Arc::new(ManualClock::at(noon() + TimeDelta::days(30)));
    let catalog = open_journaled(&settings, folder.path(), clock).await.unwrap();
    catalog.migrate().await.unwrap();
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("journal.db"));
    let mut copy = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&file)
        .await
        .unwrap();
    poll(async || {
        let runs: Vec<String> = sqlx::query_scalar("SELECT id FROM mk_run")
            .fetch_all(&mut copy)
            .await
            .unwrap();
        assert!(runs.contains(&new.run.id.to_string()), "{runs:?}");
        match runs.len() {
            1 => Ok(()),
            _ => Err(format!("{runs:?}")),
        }
    })
    .await;
    for (table, left) in [
        ("mk_job", 1),
        ("mk_slot", 1),
        ("mk_attempt", 1),
        ("user_backup", 1),
        ("mk_evidence_zstd", 0),
    ] {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")))
            .fetch_one(&mut copy)
            .await
            .unwrap();
        assert_eq!(count, left, "{table}");
    }
    catalog.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_chooses_from_is_noted_while_the_catalog_is_away() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let prove = |tag: &str| JobDefinition {
        choice: Some(Choice {
            select: Select::Newest,
            within: None,
            tags: vec![tag.into()],
        }),
        ..definition(&job("prove"), JobKind::Validation)
    };
    let catalog = journaled(&settings, folder.path()).await;
    catalog
        .know_job(&node("n1"), &prove("shop"), noon())
        .await
        .unwrap();
    server.kill();
    for (tag, waiting) in [("shop", 0), ("eu", 1), ("eu", 1)] {
        catalog
            .know_job(&node("n1"), &prove(tag), noon() + minutes(1))
            .await
            .unwrap();
        assert_eq!(catalog.backlog().await.unwrap().waiting, waiting, "{tag}");
    }
    server.run().await;
    drained(folder.path()).await;
    let known = catalog.validators().await.unwrap();
    assert_eq!(known[0].choice, prove("eu").choice);
    catalog.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_refused_is_not_ours_in_the_copy_either() {
    let mut server = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = shared(&server, "root");
    let catalog = journaled(&settings, folder.path()).await;
    let other = open(&settings).await.unwrap();
    let term = LeaseTerm::shared(noon(), Duration::from_secs(600));
    let acquire = async |catalog: &dyn Catalog, name: &str, holder: &str| {
        let taken = catalog.acquire_lease(name, holder, term).await;
        taken.unwrap()
    };
    assert!(acquire(other.as_ref(), "set:x", "n2").await);
    assert!(!acquire(catalog.as_ref(), "set:x", "n1").await);
    assert!(acquire(catalog.as_ref(), "set:y", "n1").await);
    let copy = open_copy(folder.path(), Tz::UTC).await.unwrap().unwrap();
    let names = async || {
        let leases = copy.leases("set:", (LeaseClock::Shared, noon())).await.unwrap();
        leases.into_iter().map(|lease| lease.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["set:y"]);
    // Nor is one that the copy refuses while the catalog is away carried out later.
    server.kill();
    assert!(!acquire(catalog.as_ref(), "set:y", "n3").await);
    assert_eq!(catalog.backlog().await.unwrap().waiting, 0);
    server.run().await;
    copy.close().await;
    catalog.close().await;
}
