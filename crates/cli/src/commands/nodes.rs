//! The nodes that share the catalog, and what is wrong with them: for `status` and `check`.

use crate::output::when;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::NodeName;
use mykeeper_domain::node::{HeardNode, NodeReport, Vitality};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A node that stopped in good order is shown for so long. One that is not heard of is shown until it is told to be forgotten.
const SHOWN_FOR: TimeDelta = TimeDelta::days(30);

#[derive(Serialize)]
pub(super) struct NodeView {
    pub(super) vitality: Vitality,
    /// How far its clock goes ahead of the catalog's, in seconds; negative where it is behind.
    clock_ahead_seconds: f64,
    #[serde(flatten)]
    pub(super) report: NodeReport,
    #[serde(skip)]
    wrong_clock: Option<String>,
}

impl NodeView {
    fn of(heard: HeardNode) -> Self {
        Self {
            vitality: heard.vitality(),
            clock_ahead_seconds: heard.clock_ahead.as_seconds_f64(),
            wrong_clock: heard.wrong_clock(),
            report: heard.report,
        }
    }

    /// Whether it is what this node's daemon told.
    pub(super) fn is_here(&self, settings: &Settings) -> bool {
        self.report.node == settings.node && Path::new(&self.report.state_dir) == settings.state_dir
    }

    /// Whether it was heard of a moment ago.
    pub(super) fn is_alive(&self) -> bool {
        self.vitality == Vitality::Alive
    }

    /// What is wrong with the clock of one that lives, and what to do.
    pub(super) fn clock_trouble(&self) -> Option<String> {
        let wrong = self.wrong_clock.as_ref().filter(|_| self.is_alive())?;
        Some(format!(
            "its {wrong}: its jobs start by it, and what it records bears its time; set it right there (NTP)"
        ))
    }

    /// Who cannot be told of failures by one that lives.
    pub(super) fn untold(&self) -> impl Iterator<Item = String> {
        let untold = self.report.untold.iter().filter(|_| self.is_alive());
        untold.map(|untold| format!("cannot tell {untold}"))
    }

    /// One that has gone without a word, cannot tell anybody what fails there, or goes by a wrong clock.
    pub(super) fn is_troubled(&self) -> bool {
        self.vitality == Vitality::Silent || self.clock_trouble().is_some() || self.untold().next().is_some()
    }

    /// That one has gone without a word, and what to do.
    pub(super) fn silence(&self, zone: Tz) -> Option<String> {
        let NodeReport { node, heard_at, .. } = &self.report;
        (self.vitality == Vitality::Silent).then(|| {
            format!(
                "not heard of since {}: its daemon has ended without a word, or cannot reach the catalog; look there, or, where \
                 it is gone for good: mykeeper status --forget {node}",
                when(*heard_at, zone)
            )
        })
    }
}

/// All of them. `lives`: this node's own daemon is known at once to be gone, however short a while ago it told that it lives.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn look(
    catalog: &dyn Catalog,
    (settings, lives): (&Settings, bool),
    now: DateTime<Utc>,
) -> Result<Vec<NodeView>, CatalogError> {
    let is_shown = |heard: &HeardNode| heard.vitality() != Vitality::Stopped || heard.heard_ago < SHOWN_FOR;
    let shown = catalog.nodes(now).await?.into_iter().filter(is_shown);
    let mut nodes: Vec<NodeView> = shown.map(NodeView::of).collect();
    for node in nodes.iter_mut().filter(|node| node.is_here(settings) && !lives) {
        if node.is_alive() {
            node.vitality = Vitality::Silent;
        }
    }
    Ok(nodes)
}

/// What is wrong where daemons that live share a name, one sentence each.
pub(super) fn namesakes(nodes: &[NodeView]) -> Vec<(&NodeName, String)> {
    let mut named: BTreeMap<&NodeName, Vec<&str>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.is_alive()) {
        let places = named.entry(&node.report.node).or_default();
        places.push(&node.report.state_dir);
    }
    let shared = named.into_iter().filter(|(_, places)| places.len() > 1);
    shared
        .map(|(node, places)| {
            let text = format!(
                "{} daemons are called {node}, with their states in {}: each takes the others' runs for its own; give each \
                 machine a \"node\" of its own",
                places.len(),
                places.join(" and ")
            );
            (node, text)
        })
        .collect()
}
