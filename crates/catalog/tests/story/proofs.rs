//! Proofs decide, and leases run out.

use super::*;

pub(super) async fn proofs_decide(catalog: &dyn Catalog) {
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

pub(super) async fn leases_run_out(catalog: &dyn Catalog) {
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
