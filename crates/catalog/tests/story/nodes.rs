//! What nodes tell of themselves.

use super::*;
use mykeeper_domain::node::{NextSlot, NodeReport};

pub(super) async fn each_node_has_told_one_thing_last(catalog: &dyn Catalog) {
    let report = |name: &str, state_dir: &str, later: i64| NodeReport {
        node: node(name),
        state_dir: state_dir.to_owned(),
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
    };
    // The same twice, as where an answer was lost, and then anew.
    let (old, new) = (report("n2", "/a", 0), report("n2", "/a", 5));
    for told in [&old, &old, &new] {
        catalog.report_node(told).await.unwrap();
    }
    let (same_name, first) = (report("n2", "/b", 3), report("n1", &"/long".repeat(100), 1));
    for told in [&same_name, &first] {
        catalog.report_node(told).await.unwrap();
    }
    let all = catalog.nodes(noon()).await.unwrap();
    assert_eq!(all, [first, new.clone(), same_name], "each once, by node");
    assert_eq!(catalog.nodes(noon() + minutes(4)).await.unwrap(), [new]);
    // Forgotten is what was not heard of since, under that name alone.
    let forgotten = catalog
        .forget_node(&node("n2"), noon() + minutes(4))
        .await
        .unwrap();
    let names: Vec<_> = catalog.nodes(noon()).await.unwrap();
    let names: Vec<_> = names
        .iter()
        .map(|report| (report.node.as_str(), report.state_dir.len()))
        .collect();
    assert_eq!((forgotten, names), (1, vec![("n1", 500), ("n2", 2)]));
}
