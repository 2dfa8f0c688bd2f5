//! Proofs decide, and leases run out.

use super::waiting::{everywhere, waiting};
use super::*;
use mykeeper_catalog::WaitingScope;

pub(super) async fn proofs_decide(catalog: &dyn Catalog) {
    let since = at("2027-06-01T00:00:00Z");
    let local = |started_at| Backup {
        transfer_to: vec![],
        transfer_complete: LOCAL_BACKUP.into(),
        ..backup("n9", started_at)
    };
    let good = local(since);
    let bad = local(since + minutes(1));
    let gone = local(since + minutes(2));
    for backup in [&good, &bad, &gone] {
        insert(catalog, backup).await;
    }
    let candidates = async || {
        let scope = WaitingScope {
            since: Some(since),
            ..everywhere()
        };
        let found = waiting(catalog, &scope, 100).await;
        found.into_iter().map(|backup| backup.id).collect::<Vec<_>>()
    };
    assert_eq!(candidates().await, [gone.id, bad.id, good.id]);
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
        tables_exact: 1,
        tables_counted: 0,
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
    let by_a_proof = BackupFilter {
        node: Some(node("n9")),
        since: Some(since),
        state: Some(SetState::Proven),
        limit: 9,
        ..Default::default()
    };
    let found = catalog.backups(&by_a_proof).await.unwrap();
    assert_eq!(found.iter().map(|set| set.id).collect::<Vec<_>>(), [good.id]);
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

    // Kept by another node while the catalog was away for it, and carried out after the newer one.
    let kept = proof(&bad, vec![database("shop", true), database("库", true)]);
    catalog.record_proof(&kept).await.unwrap();
    assert_eq!(catalog.proofs(bad.id).await.unwrap().len(), 3, "none is lost");
    assert_eq!(
        catalog.backup(bad.id).await.unwrap().unwrap().validate_status,
        ValidateStatus::Failed,
        "the newest verdict counts, whichever is recorded last"
    );

    let many: Vec<_> = (0..2500)
        .map(|number| database(&format!("d{number}"), true))
        .collect();
    let wide = proof(&gone, many);
    catalog.record_proof(&wide).await.unwrap();
    assert_eq!(
        catalog.proofs(gone.id).await.unwrap(),
        [wide],
        "each in its order"
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

/// What a proof knows of a set.
pub(super) fn proven(backup: &Backup, minute: i64) -> Proof {
    let from = backup.started_at + minutes(minute);
    Proof {
        bk_id: backup.id,
        run_id: Some(RunId::generate()),
        node: node("n9"),
        path: "/备份/x".into(),
        sandbox_version: "10.11".into(),
        loader_version: "0.10".into(),
        dumper_version: Some("0.10".into()),
        source_version: Some("10.11.6-MariaDB".into()),
        databases: vec![DatabaseProof {
            database: "库🦀".into(),
            passed: true,
            differences: vec![],
            error: None,
            objects_compared: 7,
            rows_compared: 5,
            tables_exact: 3,
            tables_counted: 1,
            started_at: from,
            finished_at: from + minutes(1),
        }],
        asserts: vec![AssertedValue {
            database: "库🦀".into(),
            sql: "SELECT COUNT(*) FROM 表".into(),
            value: Some("5".into()),
            held: Some(true),
        }],
        warnings: vec!["definitions are not compared".into()],
        copy_differs: false,
        bytes_checked: 1 << 40,
        bytes_loaded: 1 << 41,
        load_ms: Some(60_000),
        manifest_blake3: Some("a".repeat(64)),
        evidence_blake3: Some("b".repeat(64)),
        started_at: from,
        finished_at: from + minutes(2),
        set: Some(ProvenSet::of(backup, None)),
        link: None,
    }
}

pub(super) async fn proofs_of_a_server_are_chained(catalog: &dyn Catalog) {
    let since = at("2027-07-01T00:00:00Z");
    let sets: Vec<Backup> = (0..6)
        .map(|number| Backup {
            tag: "chained".into(),
            ..backup("n9", since + minutes(number))
        })
        .collect();
    for backup in &sets {
        insert(catalog, backup).await;
    }
    // One of before, which knows nothing of its set: no chain begins with it.
    let old = Proof {
        set: None,
        ..proven(&sets[0], 1)
    };
    catalog.record_proof(&old).await.unwrap();
    let recorded = catalog.proof_documents(sets[0].id).await.unwrap();
    assert_eq!((&recorded[0].proof, &recorded[0].document), (&old, &None));
    // All at once, each told twice.
    let proofs: Vec<Proof> = sets.iter().map(|backup| proven(backup, 10)).collect();
    let recording = proofs
        .iter()
        .chain(&proofs)
        .map(|proof| catalog.record_proof(proof));
    for recorded in futures::future::join_all(recording).await {
        recorded.unwrap();
    }
    let mut documents = Vec::new();
    for (backup, proof) in sets.iter().zip(&proofs) {
        let found = catalog.proof_documents(backup.id).await.unwrap();
        let (read, text) = (&found[0].proof, &found[0].document);
        assert!(found[0].passed);
        let link = read.link.clone().unwrap();
        let unlinked = Proof {
            link: None,
            ..read.clone()
        };
        assert_eq!(&unlinked, proof, "as it was given");
        let document = ProofDocument::from_record(text.as_ref().unwrap(), &link.digest).unwrap();
        assert!(document.is_intact() && document.agrees_with(read));
        let edited = Proof {
            load_ms: Some(1),
            ..read.clone()
        };
        assert!(!document.agrees_with(&edited), "a changed column shows");
        documents.push((link.number.to_string(), document));
    }
    let chains: std::collections::BTreeSet<_> =
        documents.iter().map(|(_, document)| document.chain()).collect();
    assert!(
        chains.len() == 1 && !chains.contains(&None),
        "one chain, with an identity: {chains:?}"
    );
    let mut numbers: Vec<_> = documents.iter().map(|(number, _)| number.clone()).collect();
    numbers.sort();
    assert_eq!(
        numbers,
        ["1", "2", "3", "4", "5", "6"],
        "no two follow the same one"
    );
    assert_eq!(check_chain(&documents), (vec![], vec![]));
    let neighbours = catalog.neighbours("chained", 3).await.unwrap();
    let third = documents.iter().find(|(number, _)| number == "3").unwrap();
    assert_eq!(
        neighbours.iter().map(|link| link.number).collect::<Vec<_>>(),
        [2, 4]
    );
    assert_eq!(third.1.previous(), Some(neighbours[0].digest.as_str()));
    assert_eq!(neighbours[1].previous.as_ref(), Some(&third.1.claimed));

    let made_by = sets[0].job.as_ref();
    let times = catalog.restore_times("chained", made_by, 4).await.unwrap();
    assert_eq!(times.len(), 4);
    assert!(
        times
            .iter()
            .all(|time| time.load.as_secs() == 60 && time.bytes_loaded == 1 << 41)
    );
    for (tag, job) in [
        ("another", made_by),
        ("chained", None),
        ("chained", Some(&job("another"))),
    ] {
        assert_eq!(catalog.restore_times(tag, job, 4).await.unwrap(), []);
    }
}

pub(super) async fn leases_run_out(catalog: &dyn Catalog) {
    let names = async |prefix: &str, now| {
        let leases = catalog.leases(prefix, (LeaseClock::Own, now)).await.unwrap();
        leases.into_iter().map(|lease| lease.name).collect::<Vec<_>>()
    };
    let (name, until) = ("validate:a_%", noon() + minutes(10));
    assert!(
        catalog
            .acquire_lease(name, "n1", own_lease(noon(), until))
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .acquire_lease(name, "n2", own_lease(noon(), until))
            .await
            .unwrap()
    );
    assert!(
        catalog
            .acquire_lease(name, "n1", own_lease(noon(), until + minutes(1)))
            .await
            .unwrap(),
        "a heartbeat"
    );
    assert!(
        catalog
            .acquire_lease("validate:abc", "n2", own_lease(noon(), until))
            .await
            .unwrap()
    );
    assert!(
        catalog
            .acquire_lease("other", "n2", own_lease(noon(), until))
            .await
            .unwrap()
    );
    assert_eq!(names("validate:", noon()).await, [name, "validate:abc"]);
    assert_eq!(names("validate:a_%", noon()).await, [name], "no wildcards");
    assert_eq!(names("validate:", until).await, [name], "the other has run out");
    assert!(
        !catalog
            .acquire_lease(name, "n2", own_lease(until, until + minutes(9)))
            .await
            .unwrap()
    );
    assert!(
        catalog
            .acquire_lease(name, "n2", own_lease(until + minutes(1), until + minutes(9)))
            .await
            .unwrap()
    );
    catalog.release_lease(name, "n1").await.unwrap();
    assert_eq!(
        names("validate:", until + minutes(1)).await,
        [name],
        "not his to give back"
    );
    catalog.release_lease(name, "n2").await.unwrap();
    assert_eq!(names("", until + minutes(1)).await, [] as [&str; 0]);
}
