//! Sets are read again, and what was found is kept.

use super::proofs::proven;
use super::sets::removal;
use super::*;
use mykeeper_catalog::{Reach, VerificationScope};
use mykeeper_domain::damage::Damage;
use mykeeper_domain::removal::Remainder;
use mykeeper_domain::verification::{LookedAtCopy, Verification, VerificationState};

pub(super) async fn what_was_read_is_passed_by_until_it_is_due_again(catalog: &dyn Catalog) {
    let since = at("2027-08-01T00:00:00Z");
    let reader = node("reader");
    let own: Vec<Backup> = (0..3)
        .map(|number| Backup {
            tag: "read".into(),
            ..backup("reader", since + minutes(number))
        })
        .collect();
    let far = Backup {
        tag: "far".into(),
        transfer_to: vec![],
        ..backup("elsewhere", since)
    };
    for backup in own.iter().chain([&far]) {
        insert(catalog, backup).await;
    }
    let scope = |before, tags_here: &[&str], tags: &[&str]| VerificationScope {
        reach: Reach {
            node: reader.clone(),
            tags_here: tags_here.iter().map(ToString::to_string).collect(),
            destinations: vec![vault()],
        },
        tags: tags.iter().map(ToString::to_string).collect(),
        since: Some(since),
        before,
    };
    let due = async |scope: VerificationScope, passed_by| {
        let paged = async |limit| {
            let (mut ids, mut after) = (Vec::new(), None);
            loop {
                let page = catalog
                    .due_for_reading(&scope, after.as_ref(), limit)
                    .await
                    .unwrap();
                ids.extend(page.sets.into_iter().map(|backup| backup.id));
                after = page.next;
                if after.is_none() {
                    return ids;
                }
            }
        };
        let ids = paged(10).await;
        assert_eq!(paged(1).await, ids, "whatever a page holds");
        ids[passed_by..].to_vec()
    };
    let soon = since + minutes(60);
    let all: Vec<BackupId> = own.iter().map(|backup| backup.id).collect();
    assert_eq!(
        due(scope(soon, &[], &[]), 0).await,
        all,
        "one's own, oldest first"
    );
    assert_eq!(due(scope(soon, &[], &[]), 1).await, all[1..]);
    assert_eq!(due(scope(soon, &["far"], &["far"]), 0).await, [far.id]);
    // A copy of another node's set that has arrived where this node can read it.
    let sent = transfer(&far, 1, TransferPurpose::Send, since);
    catalog.start_transfer(&sent, "/vault").await.unwrap();
    let arrived = end(RunState::Succeeded, None, since + minutes(1));
    catalog.finish_transfer(sent.id, &arrived, None).await.unwrap();
    assert_eq!(due(scope(soon, &[], &["far"]), 0).await, [far.id]);

    let found = |backup: &Backup, looked_at, state| Verification {
        bk_id: backup.id,
        node: reader.clone(),
        run_id: Some(RunId::generate()),
        state,
        looked_at,
        copies: vec![LookedAtCopy {
            path: "/备份/x".into(),
            files: 7,
            bytes: 1 << 40,
            differences: vec![Difference {
                database: "库".into(),
                object: "file a.sql".into(),
                expected: "present".into(),
                found: "missing".into(),
            }],
            more_differences: 1,
            strangers: vec!["notes.txt".into()],
            differs_since: Some(looked_at),
            read_at: None,
            is_gone: false,
        }],
        unread: vec![],
    };
    let first = found(&own[0], since + minutes(30), VerificationState::Differs);
    for _ in 0..2 {
        catalog.record_verification(&first).await.unwrap();
    }
    assert_eq!(
        catalog.verifications(own[0].id).await.unwrap(),
        std::slice::from_ref(&first)
    );
    assert_eq!(
        due(scope(soon, &[], &["read"]), 0).await,
        [all[1], all[2], all[0]],
        "what was never read comes first"
    );
    assert_eq!(
        due(scope(since + minutes(30), &[], &["read"]), 0).await,
        all[1..],
        "not due yet"
    );
    // What a person has found to differ puts off nobody's look, and is no longer what has been sent anew.
    let asked = Run {
        requested_at: since,
        ..run("reader", "verify by hand", None)
    };
    catalog.insert_run(&asked).await.unwrap();
    let by_hand = Verification {
        run_id: Some(asked.id),
        ..found(&own[0], since + minutes(31), VerificationState::Differs)
    };
    catalog.record_verification(&by_hand).await.unwrap();
    assert_eq!(
        due(scope(since + minutes(30), &[], &["read"]), 0).await,
        all,
        "whatever was never read may take all the time that a run has"
    );
    let suspect = async || {
        let vault = vault();
        let found = catalog.due_verifications(&reader, &vault, DateTime::<Utc>::MIN_UTC, 10);
        found
            .await
            .unwrap()
            .iter()
            .map(|backup| backup.id)
            .collect::<Vec<_>>()
    };
    assert!(suspect().await.is_empty(), "it has never arrived");
    for (minute, purpose, state, is_suspect, is_due) in [
        (29, TransferPurpose::Send, RunState::Succeeded, true, true),
        (32, TransferPurpose::Verify, RunState::Skipped, true, true),
        (33, TransferPurpose::Verify, RunState::Warned, false, true),
    ] {
        let attempt = transfer(&own[0], 1, purpose, since + minutes(minute));
        catalog.start_transfer(&attempt, "/vault").await.unwrap();
        let ended = end(state, None, since + minutes(minute));
        catalog.finish_transfer(attempt.id, &ended, None).await.unwrap();
        assert_eq!(suspect().await.contains(&all[0]), is_suspect, "{state}");
        let read_again = due(scope(since + minutes(30), &[], &["read"]), 0).await;
        assert_eq!(read_again.contains(&all[0]), is_due, "{state}");
    }
    let by_job = found(&own[0], since + minutes(34), VerificationState::Differs);
    catalog.record_verification(&by_job).await.unwrap();
    assert_eq!(due(scope(since + minutes(30), &[], &["read"]), 0).await, all[1..]);
    let resent = transfer(&own[0], 1, TransferPurpose::Send, since + minutes(35));
    catalog.start_transfer(&resent, "/vault").await.unwrap();
    let ended = end(RunState::Succeeded, None, since + minutes(36));
    catalog.finish_transfer(resent.id, &ended, None).await.unwrap();
    assert_eq!(due(scope(since + minutes(30), &[], &["read"]), 0).await.len(), 3);
    assert!(suspect().await.is_empty(), "it is another copy now");

    let newer = found(&own[0], since + minutes(40), VerificationState::AsWritten);
    let other = Verification {
        node: node("other"),
        ..found(&own[0], since + minutes(50), VerificationState::Unfinished)
    };
    for look in [&newer, &other, &first] {
        catalog.record_verification(look).await.unwrap();
    }
    assert_eq!(
        catalog.verifications(own[0].id).await.unwrap(),
        [other, newer],
        "the newest of each node, whatever comes late"
    );
    catalog.mark_deleted(all[1], "expired", soon).await.unwrap();
    assert_eq!(due(scope(soon, &[], &["read"]), 0).await, [all[2], all[0]]);
}

pub(super) async fn a_set_is_damaged_when_no_copy_is_left_that_is_as_written(catalog: &dyn Catalog) {
    let since = at("2027-09-01T00:00:00Z");
    let made = Backup {
        tag: "damaged".into(),
        ..backup("db1", since)
    };
    insert(catalog, &made).await;
    let look = |reader: &str, minute: i64, is_intact: bool| Verification {
        bk_id: made.id,
        node: node(reader),
        run_id: None,
        state: match is_intact {
            true => VerificationState::AsWritten,
            false => VerificationState::Differs,
        },
        looked_at: since + minutes(minute),
        copies: vec![LookedAtCopy {
            path: "/sets/x".into(),
            files: 7,
            bytes: 9,
            differences: (!is_intact)
                .then(|| Difference {
                    database: String::new(),
                    object: "file a.sql".into(),
                    expected: "present".into(),
                    found: "missing".into(),
                })
                .into_iter()
                .collect(),
            more_differences: 0,
            strangers: vec![],
            differs_since: None,
            read_at: None,
            is_gone: false,
        }],
        unread: vec![],
    };
    let damage = async || catalog.damages(None).await.unwrap().remove(&made.id);
    let listed = async || {
        let filter = BackupFilter {
            tag: Some("damaged".into()),
            state: Some(SetState::Damaged),
            limit: 10,
            ..BackupFilter::default()
        };
        let found = catalog.backups(&filter).await.unwrap();
        found.iter().map(|backup| backup.id).collect::<Vec<_>>()
    };
    assert_eq!(damage().await, None);
    for minute in [10, 20] {
        catalog
            .record_verification(&look("db1", minute, false))
            .await
            .unwrap();
    }
    let found = damage().await.unwrap();
    assert!(found.is_of_every_copy());
    let of = async |ids: &[BackupId]| catalog.damages(Some(ids)).await.unwrap();
    assert_eq!(of(&[made.id]).await[&made.id], found);
    assert!(of(&[BackupId::generate()]).await.is_empty() && of(&[]).await.is_empty());
    assert_eq!(
        found.since(),
        Some(since + minutes(10)),
        "since it was first seen"
    );
    assert_eq!(found.copies[0].looked_at, since + minutes(20));
    assert_eq!(listed().await, [made.id]);
    // A node that has proven its copy and has not read it since.
    let elsewhere = Proof {
        node: node("vault1"),
        path: "/vault/x".into(),
        finished_at: since + minutes(5),
        ..proofs::proven(&made, 1)
    };
    catalog.record_proof(&elsewhere).await.unwrap();
    assert!(damage().await.is_some_and(|damage| !damage.is_of_every_copy()));
    let proven = catalog.proven_copies(made.id).await.unwrap();
    let [copy] = &proven[..] else {
        panic!("{proven:?}");
    };
    assert_eq!(
        (copy.node.as_str(), copy.path.as_str(), copy.looked_at),
        ("vault1", "/vault/x", since + minutes(5))
    );
    assert!(listed().await.is_empty());
    catalog
        .record_verification(&look("vault1", 30, false))
        .await
        .unwrap();
    assert!(damage().await.as_ref().is_some_and(Damage::is_of_every_copy));
    catalog.record_verification(&look("db1", 40, true)).await.unwrap();
    let found = damage().await.unwrap();
    assert_eq!((found.copies.len(), found.intact.len()), (1, 1));
    // Of a folder that was removed what was read before tells nothing, whatever is read of the node's others since.
    let gone = removal(
        made.id,
        ("db1", "/sets/x"),
        (Remainder::Copy, since + minutes(45)),
    );
    assert!(catalog.record_removal(&gone).await.unwrap());
    assert!(damage().await.as_ref().is_some_and(Damage::is_of_every_copy));
    let looks = catalog.verifications(made.id).await.unwrap();
    let of_db1 = looks.iter().find(|look| look.node.as_str() == "db1").unwrap();
    assert!(
        of_db1.copies.is_empty() && !of_db1.has_seen_nothing(),
        "{looks:?}"
    );
    let gone = removal(
        made.id,
        ("vault1", "/vault/x"),
        (Remainder::Another, since + minutes(45)),
    );
    catalog.record_removal(&gone).await.unwrap();
    assert!(catalog.proven_copies(made.id).await.unwrap().is_empty());
    catalog.record_verification(&look("db1", 46, true)).await.unwrap();
    let found = damage().await.unwrap();
    assert_eq!((found.copies.len(), found.intact.len()), (1, 1));
    catalog
        .mark_deleted(made.id, "expired", since + minutes(50))
        .await
        .unwrap();
    assert_eq!(damage().await, None, "what is gone is not damaged");
    // Whoever looks at it is told all the same what its last proof is worth.
    assert_eq!(of(&[made.id]).await[&made.id], found);
}

pub(super) async fn sets_are_listed_page_by_page_where_their_copies_decide(catalog: &dyn Catalog) {
    let since = at("2027-10-01T00:00:00Z");
    let mut newest_first = Vec::new();
    for number in 0..23 {
        let made = Backup {
            tag: "paged".into(),
            ..backup("db1", since - minutes(number))
        };
        insert(catalog, &made).await;
        catalog.record_proof(&proven(&made, 1)).await.unwrap();
        // All but the oldest two are damaged since.
        if number < 21 {
            let look = Verification {
                bk_id: made.id,
                node: proven(&made, 1).node,
                run_id: None,
                state: VerificationState::Differs,
                looked_at: since + minutes(100_000),
                copies: vec![LookedAtCopy {
                    path: "/sets/x".into(),
                    files: 1,
                    bytes: 1,
                    differences: vec![Difference {
                        database: String::new(),
                        object: "file a.sql".into(),
                        expected: "present".into(),
                        found: "missing".into(),
                    }],
                    more_differences: 0,
                    strangers: vec![],
                    differs_since: None,
                    read_at: None,
                    is_gone: false,
                }],
                unread: vec![],
            };
            catalog.record_verification(&look).await.unwrap();
        }
        newest_first.push(made.id);
    }
    let listed = async |state, limit| {
        let filter = BackupFilter {
            tag: Some("paged".into()),
            state: Some(state),
            limit,
            ..BackupFilter::default()
        };
        let found = catalog.backups(&filter).await.unwrap();
        found.iter().map(|backup| backup.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(SetState::Proven, 1).await, newest_first[21..22]);
    assert_eq!(listed(SetState::Proven, 9).await, newest_first[21..]);
    assert_eq!(listed(SetState::Damaged, 3).await, newest_first[..3]);
    assert_eq!(listed(SetState::Damaged, 100).await, newest_first[..21]);
    assert!(listed(SetState::Damaged, 0).await.is_empty());
}

pub(super) async fn a_whole_copy_frees_what_failed_for_another(catalog: &dyn Catalog) {
    let since = at("2027-08-02T00:00:00Z");
    let set = Backup {
        tag: "freed".into(),
        ..backup("reader", since)
    };
    insert(catalog, &set).await;
    let status = async || catalog.backup(set.id).await.unwrap().unwrap().validate_status;
    let fail = async |minute, copy_differs| {
        let mut proof = proven(&set, minute);
        proof.databases[0].passed = false;
        proof.copy_differs = copy_differs;
        catalog.record_proof(&proof).await.unwrap();
        let newest = catalog.proofs(set.id).await.unwrap().remove(0);
        assert_eq!(newest.copy_differs, copy_differs);
        assert_eq!(status().await, ValidateStatus::Failed);
    };
    let look = async |minute, differing: usize| {
        let copy = |number| LookedAtCopy {
            path: format!("/copy{number}"),
            files: 1,
            bytes: 1,
            differences: Vec::new(),
            more_differences: 0,
            strangers: vec![],
            differs_since: None,
            read_at: None,
            is_gone: false,
        };
        let mut copies = vec![copy(0), copy(1)];
        for copy in copies.iter_mut().take(differing) {
            copy.differences.push(Difference {
                database: String::new(),
                object: "file a.sql".into(),
                expected: "present".into(),
                found: "missing".into(),
            });
        }
        let found = Verification {
            bk_id: set.id,
            node: node("reader"),
            run_id: None,
            state: VerificationState::Differs,
            looked_at: since + minutes(minute),
            copies,
            unread: vec![],
        };
        catalog.record_verification(&found).await.unwrap();
        status().await
    };
    fail(10, false).await;
    assert_eq!(look(20, 0).await, ValidateStatus::Failed, "its rows are to blame");
    fail(30, true).await;
    assert_eq!(look(25, 0).await, ValidateStatus::Failed, "that was before");
    assert_eq!(look(40, 2).await, ValidateStatus::Failed, "no copy is whole");
    assert_eq!(look(41, 1).await, ValidateStatus::NotTried);
    fail(50, true).await;
    let sent = transfer(&set, 1, TransferPurpose::Send, since + minutes(60));
    catalog.start_transfer(&sent, "/vault").await.unwrap();
    let arrived = end(RunState::Succeeded, None, since + minutes(61));
    catalog.finish_transfer(sent.id, &arrived, None).await.unwrap();
    assert_eq!(status().await, ValidateStatus::NotTried, "it has been sent anew");
    // Heard of after the files were read, and before the proof is recorded.
    assert_eq!(look(68, 1).await, ValidateStatus::NotTried);
    let mut late = proven(&set, 65);
    late.databases[0].passed = false;
    late.copy_differs = true;
    catalog.record_proof(&late).await.unwrap();
    assert_eq!(status().await, ValidateStatus::NotTried, "a copy is whole by now");
    fail(70, true).await;
    // An ending that brought nothing frees nothing.
    for (minute, purpose, state) in [
        (77, TransferPurpose::Send, RunState::Failed),
        (78, TransferPurpose::Verify, RunState::Warned),
    ] {
        let tried = transfer(&set, 1, purpose, since + minutes(minute));
        catalog.start_transfer(&tried, "/vault").await.unwrap();
        let ended = end(state, Some("cut off"), since + minutes(minute));
        catalog.finish_transfer(tried.id, &ended, None).await.unwrap();
    }
    fail(75, true).await;
    fail(80, false).await;
    assert_eq!(
        look(90, 1).await,
        ValidateStatus::Failed,
        "the newest proof counts"
    );
}
