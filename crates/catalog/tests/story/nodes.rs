//! What nodes tell of themselves.

use super::*;
use mykeeper_domain::node::{NextSlot, NodeProcess, NodeReport, Vitality};
use std::time::Duration;

fn report(name: &str, state_dir: &str, later: i64) -> NodeReport {
    NodeReport {
        node: node(name),
        state_dir: state_dir.to_owned(),
        process: Some(NodeProcess {
            host: "db1.example".to_owned(),
            seat: "9f0c pid:[4026531836]".to_owned(),
            pid: 17,
            start_time_ticks: 4_711,
        }),
        state: "running".to_owned(),
        version: "1.2.3".to_owned(),
        alive_since: noon(),
        heard_at: noon() + minutes(later),
        every_seconds: 0.4,
        jobs: 1,
        under_way: 0,
        running: Vec::new(),
        next: Some(NextSlot {
            job: JobName::new("夜间 🦀").unwrap(),
            slot_at: noon() + minutes(10),
        }),
        last_failure: None,
        untold: vec!["webhook.chat since noon".to_owned()],
    }
}

pub(super) async fn each_node_has_told_one_thing_last(catalog: &dyn Catalog) {
    let heard = async || catalog.nodes(noon() + minutes(10)).await.unwrap();
    // The same twice, as where an answer was lost, and then anew.
    let (old, new) = (report("n2", "/a", 0), report("n2", "/a", 5));
    for told in [&old, &old, &new] {
        catalog.report_node(told).await.unwrap();
    }
    let first_heard = heard().await[0].report.heard_at;
    let (same_name, first) = (report("n2", "/b", 6), report("n1", &"/long".repeat(100), 1));
    catalog.report_node(&first).await.unwrap();
    let later_heard = throwaway::poll(async || {
        catalog.report_node(&same_name).await.unwrap();
        let heard = heard().await;
        let at = heard.iter().map(|heard| heard.report.heard_at).max().unwrap();
        (at > first_heard).then_some(at).ok_or_else(|| at.to_string())
    })
    .await;
    let told = heard().await.into_iter().map(|heard| {
        // Whatever the clock that it was heard by, its own is known.
        let heard_at = heard.report.heard_at + heard.clock_ahead;
        NodeReport {
            heard_at,
            ..heard.report
        }
    });
    let told: Vec<NodeReport> = told.collect();
    assert_eq!(told, [first, new, same_name], "each once, by node");
    // Forgotten is what was not heard of since, under that name alone.
    let forgotten = catalog.forget_node(&node("n2"), later_heard).await.unwrap();
    let names: Vec<_> = heard().await;
    let names: Vec<_> = names
        .iter()
        .map(|heard| (heard.report.node.as_str(), heard.report.state_dir.as_str()))
        .collect();
    assert_eq!(
        (forgotten, names),
        (1, vec![("n1", "/long".repeat(100).as_str()), ("n2", "/b")])
    );
}

/// On a server that nodes share, whose clock is not that of these tests.
pub(super) async fn nodes_go_by_the_clock_of_the_server(catalog: &dyn Catalog) {
    let lasts = Duration::from_secs(600);
    let by_clock_of = |days: i64| LeaseTerm::shared(noon() + TimeDelta::days(days), lasts);
    let take = async |name: &str, holder: &str, term: LeaseTerm| {
        catalog.acquire_lease(name, holder, term).await.unwrap()
    };
    let (name, other) = ("set:shared:validate", "set:behind:validate");
    assert!(take(name, "n1 run", by_clock_of(0)).await);
    assert!(take(other, "n2 run", by_clock_of(-400)).await);
    for days in [-400, -1, 0, 1, 400] {
        assert!(!take(name, "n3 run", by_clock_of(days)).await, "{days}");
        assert!(!take(other, "n3 run", by_clock_of(days)).await, "{days}");
        let at = (LeaseClock::Shared, noon() + TimeDelta::days(days));
        let held = catalog.leases("set:", at).await.unwrap();
        assert_eq!(held.len(), 2, "{days}");
    }
    // One that nobody renews runs out, whatever its holder's clock says.
    let short = LeaseTerm::shared(noon() + TimeDelta::days(400), Duration::from_millis(50));
    assert!(take(name, "n1 run", short).await, "a renewal");
    throwaway::poll(async || match take(name, "n3 run", by_clock_of(-400)).await {
        true => Ok(()),
        false => Err("it is still held".to_owned()),
    })
    .await;
    assert!(
        !take(name, "n1 run", by_clock_of(400)).await,
        "it is another's now"
    );

    let mut report = report("skewed", "/s", 0);
    report.every_seconds = 60.0;
    catalog.report_node(&report).await.unwrap();
    let now = noon() + TimeDelta::days(400);
    let nodes = catalog.nodes(now).await.unwrap();
    let skewed = nodes.iter().find(|heard| heard.report.node == report.node);
    let skewed = skewed.unwrap();
    assert_eq!(skewed.vitality(), Vitality::Alive);
    assert!(
        (TimeDelta::zero()..minutes(1)).contains(&skewed.heard_ago),
        "{skewed:?}"
    );
    assert!(
        skewed.wrong_clock().is_some() && skewed.report.heard_at + skewed.clock_ahead == noon(),
        "{skewed:?}"
    );
}
