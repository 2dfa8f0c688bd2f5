//! Transfers leave their marks.

use super::*;

pub(super) async fn transfers_leave_their_marks(catalog: &dyn Catalog) {
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
        let found = catalog
            .pending_transfers(&n7, &vault(), (None, limit))
            .await
            .unwrap();
        found.sets.into_iter().map(|backup| backup.id).collect::<Vec<_>>()
    };
    assert_eq!(pending(100).await, [older.id, newer.id], "oldest first");
    assert_eq!(catalog.delivery_names(&n7).await.unwrap(), [vault()]);
    assert_eq!(catalog.delivery_names(&node("nobody")).await.unwrap(), []);
    assert_eq!(pending(1).await, [older.id]);
    let first = catalog.pending_transfers(&n7, &vault(), (None, 1)).await.unwrap();
    let mark = first.next.unwrap();
    let after_one = async |limit| {
        let page = (Some(&mark), limit);
        catalog.pending_transfers(&n7, &vault(), page).await.unwrap()
    };
    let page = after_one(9).await;
    assert!(page.next.is_none());
    assert_eq!(
        page.sets.iter().map(|backup| backup.id).collect::<Vec<_>>(),
        [newer.id]
    );
    assert_eq!(
        catalog
            .pending_transfers(&n7, &DestinationName::new("attic").unwrap(), (None, 9))
            .await
            .unwrap()
            .sets,
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

/// The seed's columns have room for one: the first.
pub(super) async fn of_several_destinations_the_first_is_told_in_the_seeds_columns(catalog: &dyn Catalog) {
    let attic = DestinationName::new("attic").unwrap();
    let first_byte_at = noon() - minutes(5);
    let set = Backup {
        transfer_to: vec![vault(), attic.clone()],
        transfer_started_at: Some(first_byte_at),
        transfer_complete: String::new(),
        ..backup("n10", noon())
    };
    // What goes ahead has its row before the set has.
    let run_id = Some(RunId::generate());
    let ahead = Transfer {
        run_id,
        ..transfer(&set, 1, TransferPurpose::Ahead, first_byte_at)
    };
    catalog.start_transfer(&ahead, "ahead").await.unwrap();
    insert(catalog, &set).await;
    let went = end(RunState::Succeeded, Some("2 files"), noon());
    assert!(catalog.finish_transfer(ahead.id, &went, Some(9)).await.unwrap());
    let of_set = async || catalog.backup(set.id).await.unwrap().unwrap();
    assert_eq!(of_set().await, set, "nothing has arrived by that");

    for (destination, state, minute) in [
        (vault(), RunState::Failed, 1),
        (attic.clone(), RunState::Succeeded, 2),
        (vault(), RunState::Succeeded, 3),
    ] {
        let sent = Transfer {
            destination: destination.clone(),
            run_id,
            ..transfer(&set, 1, TransferPurpose::Send, noon() + minutes(minute))
        };
        catalog.start_transfer(&sent, destination.as_str()).await.unwrap();
        let end = end(state, Some("why"), noon() + minutes(minute + 1));
        assert!(catalog.finish_transfer(sent.id, &end, None).await.unwrap());
        let n10 = node("n10");
        let pending = catalog
            .pending_transfers(&n10, &destination, (None, 9))
            .await
            .unwrap();
        assert_eq!(pending.sets.is_empty(), state.is_success(), "{destination}");
        if destination == attic {
            // One of them is enough for a proof; the other still waits.
            let found = of_set().await;
            assert_eq!(found.transfer_complete, "N");
            assert_eq!(found.arrived, std::slice::from_ref(&attic));
            assert!(found.has_arrived());
            assert_eq!(found.owed_to().collect::<Vec<_>>(), [&vault()]);
        } else if state == RunState::Failed {
            assert!(!of_set().await.has_arrived());
        }
    }
    let found = of_set().await;
    assert_eq!(
        (found.transfer_complete.as_str(), found.remote_dest.as_str()),
        ("N,Y", "vault")
    );
    assert_eq!(
        (found.transfer_started_at, found.transfer_finished_at),
        (Some(first_byte_at), Some(noon() + minutes(4)))
    );
    assert_eq!(found.arrived, [attic.clone(), vault()]);
    assert_eq!(found.owed_to().next(), None);
    // What is found to differ at one of them is there no longer.
    let verify = Transfer {
        destination: attic.clone(),
        ..transfer(&set, 1, TransferPurpose::Verify, noon() + minutes(5))
    };
    catalog.start_transfer(&verify, "attic").await.unwrap();
    let differs = end(RunState::Failed, Some("a.sql differs"), noon() + minutes(6));
    assert!(catalog.finish_transfer(verify.id, &differs, None).await.unwrap());
    let found = of_set().await;
    assert_eq!(found.arrived, [vault()]);
    assert_eq!(found.owed_to().collect::<Vec<_>>(), [&attic]);
}

pub(super) async fn verifications_fall_due(catalog: &dyn Catalog) {
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
