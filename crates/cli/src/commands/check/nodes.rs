//! The other nodes that share the catalog: what `status` warns of.

use super::{Findings, Grade};
use crate::commands::nodes::{look, namesakes};
use crate::surroundings::local_zone;
use mykeeper_catalog::{Catalog, is_shared};
use mykeeper_config::Settings;
use mykeeper_domain::{Clock, SystemClock};

/// Who knows what other nodes do, and which sets there are.
#[derive(Clone, Copy)]
pub(super) enum Others<'a> {
    /// The catalog.
    Told(&'a dyn Catalog),
    /// There are none yet, or the catalog is this node's own and cannot be read.
    Nobody,
    /// Nobody can say now.
    Unknown,
}

impl<'a> Others<'a> {
    pub(super) fn new(settings: &Settings, (catalog, is_empty): (Option<&'a dyn Catalog>, bool)) -> Self {
        match catalog {
            Some(catalog) => Self::Told(catalog),
            None if is_empty || !is_shared(&settings.catalog.url) => Self::Nobody,
            None => Self::Unknown,
        }
    }
}

/// Names each that has gone without a word, goes by a wrong clock, cannot tell of its failures, or has the name of another.
/// That this node's own daemon is gone, and whom it cannot tell, is said elsewhere.
pub(super) async fn look_at_nodes(
    (settings, lives): (&Settings, bool),
    catalog: &dyn Catalog,
    findings: &mut Findings,
) {
    let nodes = match look(catalog, (settings, lives), SystemClock.now()).await {
        Ok(nodes) => nodes,
        Err(error) => {
            let detail = format!("how the other nodes are cannot be told: {error}");
            return findings.add("nodes", Grade::Warning, detail);
        }
    };
    let zone = local_zone();
    for node in &nodes {
        let what = format!("node {}", node.report.node);
        let others = (!node.is_here(settings)).then(|| node.silence(zone).into_iter().chain(node.untold()));
        for detail in others.into_iter().flatten().chain(node.clock_trouble()) {
            findings.add(&what, Grade::Warning, detail);
        }
    }
    for (node, detail) in namesakes(&nodes) {
        findings.add(format!("node {node}"), Grade::Warning, detail);
    }
}
