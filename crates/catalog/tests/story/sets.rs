//! Sets are written once, found, and deleted one way.

use super::*;
use mykeeper_domain::removal::{Remainder, SetRemoval};

pub(super) async fn a_set_is_written_once_and_reads_as_it_was(catalog: &dyn Catalog) {
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

pub(super) async fn sets_are_found(catalog: &dyn Catalog) {
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

pub(super) async fn sets_are_listed_by_their_state(catalog: &dyn Catalog) {
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
        // Said by its row alone, as pybackup says it.
        (SetState::Proven, vec![]),
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

pub(super) async fn a_set_whose_original_is_gone_is_not_deleted(catalog: &dyn Catalog) {
    let set = backup("n12", noon());
    insert(catalog, &set).await;
    let waits = async || {
        catalog
            .pending_transfers(&node("n12"), &vault(), (None, 9))
            .await
            .unwrap()
            .sets
            .len()
    };
    assert_eq!(waits().await, 1);
    assert!(catalog.mark_deleting(set.id, "x").await.unwrap());
    let gone = async |id, at| {
        let gone = removal(id, ("n12", "/sets/x"), (Remainder::Copy, at));
        catalog.record_removal(&gone).await.unwrap()
    };
    // Told again, later: it went when it went.
    for late in [0, 0, 9] {
        assert!(gone(set.id, noon() + minutes(late)).await);
    }
    let removals = catalog.removals(set.id).await.unwrap();
    let told: Vec<_> = removals.iter().map(|removal| removal.removed_at).collect();
    assert_eq!(told, [noon(), noon() + minutes(9)], "each once");
    let row = catalog.backup(set.id).await.unwrap().unwrap();
    assert_eq!(
        (row.deletion, row.original_gone_at),
        (Deletion::None, Some(noon()))
    );
    assert_eq!(waits().await, 0, "there is nothing to send any more");
    assert!(catalog.mark_deleted(set.id, "gone", noon()).await.unwrap());
    assert!(!gone(set.id, noon()).await);
    assert!(!gone(BackupId::generate(), noon()).await);
}

/// One folder of a set, marked as `x` before.
pub(super) fn removal(
    id: BackupId,
    (of, path): (&str, &str),
    (remainder, removed_at): (Remainder, DateTime<Utc>),
) -> SetRemoval {
    SetRemoval {
        bk_id: id,
        node: node(of),
        run_id: Some(RunId::generate()),
        paths: vec![path.into()],
        removed_at,
        why: "x".into(),
        remainder,
        cleared: vec![],
    }
}

pub(super) async fn deletion_goes_one_way(catalog: &dyn Catalog) {
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
            .pending_transfers(&node("n10"), &vault(), (None, 9))
            .await
            .unwrap()
            .sets,
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

pub(super) async fn paths_are_kept_once(catalog: &dyn Catalog) {
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
