//! What waits for its proof is found page by page, and by those whom it concerns.

use super::*;
use mykeeper_catalog::{Reach, WaitingScope};
use mykeeper_domain::selection::Criteria;

/// All that wait, the newest first.
pub(super) fn everywhere() -> WaitingScope {
    WaitingScope {
        reach: None,
        tags: vec![],
        since: None,
        newest_first: true,
    }
}

/// Of all pages of so many.
pub(super) async fn waiting(catalog: &dyn Catalog, scope: &WaitingScope, limit: u32) -> Vec<Backup> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = catalog
            .validation_candidates(scope, after.as_ref(), limit)
            .await
            .unwrap();
        found.extend(page.sets);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

pub(super) async fn what_waits_is_found_by_whom_it_concerns_page_by_page(catalog: &dyn Catalog) {
    let since = at("2029-06-01T00:00:00Z");
    let (near, far) = (
        DestinationName::new("near").unwrap(),
        DestinationName::new("far").unwrap(),
    );
    let mut sets = Vec::new();
    for number in 0..90_i64 {
        let made = backup(
            ["waiter", "other", "third"][usize::try_from(number % 3).unwrap()],
            // Some begin in one second, and no set in the order of the next.
            since + minutes((number * 37) % 90 / 2),
        );
        let mut set = Backup {
            tag: format!("waits-{}", number % 5),
            transfer_to: vec![],
            transfer_complete: LOCAL_BACKUP.into(),
            ..made
        };
        match number % 11 {
            1 => set.complete = vec![true, false],
            2 => (set.transfer_to, set.transfer_complete) = (vec![far.clone()], String::new()),
            3 => set.node = None,
            4 => (set.transfer_to, set.transfer_complete) = (vec![near.clone()], String::new()),
            5 => set.validate_status = ValidateStatus::Failed,
            _ => {}
        }
        insert(catalog, &set).await;
        match number % 11 {
            4 => {
                let sent = Transfer {
                    destination: near.clone(),
                    ..transfer(&set, 1, TransferPurpose::Send, set.started_at)
                };
                catalog.start_transfer(&sent, "/near").await.unwrap();
                let arrived = end(RunState::Succeeded, None, set.started_at);
                catalog.finish_transfer(sent.id, &arrived, None).await.unwrap();
            }
            6 => assert!(catalog.mark_deleting(set.id, "policy").await.unwrap()),
            7 => assert!(catalog.mark_deleted(set.id, "policy", since).await.unwrap()),
            _ => {}
        }
        sets.push(catalog.backup(set.id).await.unwrap().unwrap());
    }
    let reach = |tags: &[&str], destinations: &[&DestinationName]| Reach {
        node: node("waiter"),
        tags_here: tags.iter().map(ToString::to_string).collect(),
        destinations: destinations.iter().map(|name| (*name).clone()).collect(),
    };
    let wanted = ["waits-1".to_owned(), "waits-4".to_owned()];
    for reach in [
        None,
        Some(reach(&[], &[])),
        Some(reach(&["waits-2"], &[&near])),
        Some(reach(&["waits-1", "waits-2"], &[&near, &far])),
    ] {
        for tags in [&[], wanted.as_slice()] {
            let scope = WaitingScope {
                reach: reach.clone(),
                tags: tags.to_vec(),
                since: Some(since),
                newest_first: true,
            };
            let criteria = Criteria {
                within: None,
                tags,
                now: since,
            };
            let may_lie_here = |set: &Backup| {
                reach.as_ref().is_none_or(|reach| {
                    set.node.as_ref().is_none_or(|node| *node == reach.node)
                        || reach.tags_here.contains(&set.tag)
                        || set
                            .transfer_to
                            .iter()
                            .any(|name| reach.destinations.contains(name))
                })
            };
            let mut expected: Vec<BackupId> = sets
                .iter()
                .filter(|set| criteria.refusal(set).is_none() && may_lie_here(set))
                .map(|set| set.id)
                .collect();
            assert!(expected.len() > 5, "{scope:?}");
            expected.sort();
            for newest_first in [true, false] {
                let scope = WaitingScope {
                    newest_first,
                    ..scope.clone()
                };
                let mut at_once = waiting(catalog, &scope, 5_000).await;
                let starts: Vec<_> = at_once.iter().map(|set| set.started_at).collect();
                let is_ordered = match newest_first {
                    true => starts.is_sorted_by(|one, other| one >= other),
                    false => starts.is_sorted(),
                };
                assert!(is_ordered, "{scope:?}: {starts:?}");
                assert_eq!(waiting(catalog, &scope, 1).await, at_once, "{scope:?}");
                at_once.sort_by_key(|set| set.id);
                let found: Vec<BackupId> = at_once.iter().map(|set| set.id).collect();
                assert_eq!(found, expected, "{scope:?}");
            }
        }
    }
    let here = reach(&["waits-2"], &[&near]);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.sets_here(&here, after.as_ref()).await.unwrap();
        let of_these = page.sets.iter().filter(|set| sets.contains(set));
        found.extend(of_these.map(|set| set.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<&Backup> = sets
        .iter()
        .filter(|set| {
            let is_here = set.node.as_ref().is_none_or(|node| *node == here.node)
                || here.tags_here.contains(&set.tag)
                || set.transfer_to.contains(&near);
            set.deletion == Deletion::Deleting || set.deletion == Deletion::None && is_here
        })
        .collect();
    expected.sort_by_key(|set| set.started_at);
    let expected: Vec<BackupId> = expected.iter().map(|set| set.id).collect();
    assert_eq!(
        found, expected,
        "whatever has become of it, but not what is deleted"
    );
}
