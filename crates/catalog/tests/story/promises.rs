//! Promises are told about once, and every node knows whose jobs prove what.

use super::*;
use mykeeper_catalog::PromiseRecord;
use mykeeper_domain::ServerName;
use mykeeper_domain::event::EventKind;
use mykeeper_domain::promise::{JobProofs, Promise, PromiseState};
use mykeeper_domain::selection::{Choice, Select};
use std::time::Duration;

pub(super) async fn a_promise_is_told_about_once(catalog: &dyn Catalog) {
    let (db1, promised) = (
        node("db1"),
        Promise {
            server: ServerName::new("shop").unwrap(),
            tag: "国内平台从1 🦀".into(),
            within: Duration::from_secs(3600),
        },
    );
    for later in [0, 60] {
        let now = noon() + minutes(later);
        catalog.know_promise(&db1, &promised, now).await.unwrap();
    }
    let record = |state| PromiseRecord {
        tag: promised.tag.clone(),
        noted_at: noon(),
        state,
    };
    assert_eq!(
        catalog.promises(&db1).await.unwrap(),
        [record(PromiseState::Kept)],
        "noted once"
    );
    let at = noon() + minutes(60);
    let nothing = JobProofs {
        lost: None,
        job: None,
        newest: None,
        known_since: None,
    };
    let broken = promised.judge(&[nothing], Some(noon()), at);
    let event = broken.event(&db1, "it is broken", at);
    let turn = async || {
        let turned = catalog.turn_promise(&db1, PromiseState::Broken, &event).await;
        turned.unwrap()
    };
    assert!(turn().await);
    assert!(!turn().await, "whoever notices it again changes nothing");
    assert_eq!(
        catalog.promises(&db1).await.unwrap(),
        [record(PromiseState::Broken)]
    );
    assert_eq!(event.kind, EventKind::PromiseBroken);
    assert_eq!(
        catalog.events(noon(), 10).await.unwrap(),
        std::slice::from_ref(&event)
    );
    assert_eq!(catalog.events(at + minutes(1), 10).await.unwrap(), []);
    assert_eq!(catalog.promises(&node("db2")).await.unwrap(), []);
    catalog.forget_promise(&db1, &promised.tag).await.unwrap();
    assert_eq!(catalog.promises(&db1).await.unwrap(), []);
    assert_eq!(
        catalog.newest_events(noon(), 10).await.unwrap(),
        [event],
        "what was, was"
    );
    for (whose, before, pruned) in [
        ("db2", at + minutes(1), 0),
        ("db1", at, 0),
        ("db1", at + minutes(1), 1),
    ] {
        assert_eq!(catalog.prune_events(&node(whose), before).await.unwrap(), pruned);
    }
    assert_eq!(catalog.events(noon(), 10).await.unwrap(), []);
}

pub(super) async fn every_node_knows_what_jobs_prove(catalog: &dyn Catalog) {
    let choice = |tag: &str| Choice {
        select: Select::Oldest,
        within: Some(Duration::from_secs(86_400)),
        tags: vec![tag.into()],
    };
    let prove = |tag: Option<&str>| JobDefinition {
        job: job("prove"),
        kind: JobKind::Validation,
        schedule: "*/15 * * * * UTC".into(),
        choice: tag.map(choice),
    };
    let known = async || {
        let known = catalog.validators().await.unwrap();
        known
            .into_iter()
            .map(|one| (one.node, one.choice))
            .collect::<Vec<_>>()
    };
    let (v1, v2) = (node("v1"), node("v2"));
    catalog.know_job(&v1, &prove(Some("a")), noon()).await.unwrap();
    // One that an older program has noted.
    catalog.know_job(&v2, &prove(None), noon()).await.unwrap();
    assert_eq!(
        known().await,
        [(v1.clone(), Some(choice("a"))), (v2.clone(), None)]
    );
    catalog.know_job(&v1, &prove(Some("库")), noon()).await.unwrap();
    catalog.forget_job(&v2, &job("prove"), noon()).await.unwrap();
    assert_eq!(known().await, [(v1.clone(), Some(choice("库")))]);
    catalog.forget_job(&v1, &job("prove"), noon()).await.unwrap();
}
