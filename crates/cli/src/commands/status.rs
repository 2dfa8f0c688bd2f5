//! `mykeeper status`: every node that shares the catalog.

use super::pybackup::is_pybackup_conf;
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, print, print_json, table, when};
use crate::surroundings::{load_both, load_settings, local_zone, open_catalog_to_look};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mykeeper_config::Settings;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::status::DaemonStatus;
use mykeeper_domain::node::{NodeReport, Vitality};
use mykeeper_domain::{Clock, NodeName, SystemClock, counted};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A node that stopped in good order is shown for so long. One that is not heard of is shown until it is told to be forgotten.
const SHOWN_FOR: TimeDelta = TimeDelta::days(30);

#[derive(Serialize)]
struct StatusView {
    /// The node that this was asked on.
    here: String,
    /// `null` where no daemon runs here.
    daemon: Option<DaemonStatus>,
    nodes: Vec<NodeView>,
}

#[derive(Serialize)]
struct NodeView {
    vitality: Vitality,
    #[serde(flatten)]
    report: NodeReport,
}

pub(crate) async fn run(config: &Path, json: bool) -> anyhow::Result<Status> {
    let settings = match load_both(config) {
        Ok(loaded) => loaded.settings,
        Err(errors) if !is_pybackup_conf(config) => return super::jobs::with_mistakes(&errors, json),
        Err(_) => load_settings(config)?.settings,
    };
    let state = StateDir::open(&settings.state_dir)?;
    let daemon = DaemonStatus::read(&state);
    let now = SystemClock.now();
    let nodes = match look(&settings, now).await {
        Ok(nodes) => seen_from_here(nodes, &settings, daemon.is_some()),
        Err(error) => {
            if json {
                print_json(&serde_json::json!({ "here": settings.node, "daemon": daemon, "nodes": null }))?;
            } else {
                print(&describe_here(&settings, daemon.as_ref(), local_zone()))?;
            }
            return Err(Failure::unavailable(format!(
                "{error:#}; how the other nodes are cannot be told until the catalog answers"
            )));
        }
    };
    let is_troubled = nodes.iter().any(is_troubled) || !namesakes(&nodes).is_empty();
    if json {
        print_json(&StatusView {
            here: settings.node.to_string(),
            daemon,
            nodes,
        })?;
    } else {
        show(&settings, &nodes, daemon.as_ref())?;
    }
    Ok(if is_troubled {
        Status::Warnings
    } else {
        Status::Done
    })
}

async fn look(settings: &Settings, now: DateTime<Utc>) -> anyhow::Result<Vec<NodeView>> {
    let catalog = open_catalog_to_look(settings).await?;
    let nodes = catalog.nodes(DateTime::UNIX_EPOCH).await;
    catalog.close().await;
    let nodes = nodes?.into_iter().map(|report| NodeView {
        vitality: report.vitality(now),
        report,
    });
    let is_shown =
        |node: &NodeView| node.vitality != Vitality::Stopped || now - node.report.heard_at < SHOWN_FOR;
    Ok(nodes.filter(is_shown).collect())
}

/// This node's own daemon is known at once to be gone, however short a while ago it told that it lives.
fn seen_from_here(mut nodes: Vec<NodeView>, settings: &Settings, lives: bool) -> Vec<NodeView> {
    for node in nodes.iter_mut().filter(|node| is_here(node, settings) && !lives) {
        if node.vitality == Vitality::Alive {
            node.vitality = Vitality::Silent;
        }
    }
    nodes
}

fn is_here(node: &NodeView, settings: &Settings) -> bool {
    node.report.node == settings.node && Path::new(&node.report.state_dir) == settings.state_dir
}

/// What is wrong where daemons that live share a name, one sentence each.
fn namesakes(nodes: &[NodeView]) -> Vec<String> {
    let mut named: BTreeMap<&NodeName, Vec<&str>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.vitality == Vitality::Alive) {
        let places = named.entry(&node.report.node).or_default();
        places.push(&node.report.state_dir);
    }
    let shared = named.into_iter().filter(|(_, places)| places.len() > 1);
    shared
        .map(|(node, places)| {
            format!(
                "{} daemons are called {node}, with their states in {}: each takes the others' runs for its own; give each \
                 machine a \"node\" of its own",
                places.len(),
                places.join(" and ")
            )
        })
        .collect()
}

/// Forgets a node that is gone for good.
pub(crate) async fn forget(config: &Path, name: &str) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    let node = NodeName::new(name).map_err(Failure::usage)?;
    let now = SystemClock.now();
    let nodes = look(&settings, now).await?;
    let named: Vec<&NodeView> = nodes.iter().filter(|view| view.report.node == node).collect();
    if let Some(living) = named.iter().find(|view| view.vitality == Vitality::Alive) {
        return Err(Failure::usage(format!(
            "node {node} lives, with its state in {}: stop its daemon first",
            living.report.state_dir
        )));
    }
    let catalog = open_catalog_to_look(&settings).await?;
    let forgotten = catalog.forget_node(&node, now).await;
    catalog.close().await;
    match forgotten? {
        0 => Err(Failure::usage(format!(
            "no node {node} is known; \"mykeeper status\" lists those that are"
        ))),
        _ => print(&format!(
            "node {node} is forgotten; a daemon of that name that starts is shown again"
        ))
        .map(|()| Status::Done),
    }
}

/// A node that has gone without a word, or cannot tell anybody what fails there.
fn is_troubled(node: &NodeView) -> bool {
    node.vitality == Vitality::Silent || (node.vitality == Vitality::Alive && !node.report.untold.is_empty())
}

fn show(settings: &Settings, nodes: &[NodeView], daemon: Option<&DaemonStatus>) -> anyhow::Result<()> {
    let zone = local_zone();
    if !nodes.is_empty() {
        let rows = nodes.iter().map(|node| row(node, zone)).collect();
        let header = [
            "NODE",
            "STATE",
            "VERSION",
            "JOBS",
            "UNDER WAY",
            "NEXT",
            "LAST FAILURE",
        ];
        print(&table(&header, rows))?;
        print(&format!("times are {zone}"))?;
    }
    for node in nodes.iter().filter(|node| node.vitality == Vitality::Alive) {
        for untold in &node.report.untold {
            print(&format!("{} cannot tell {untold}", node.report.node))?;
        }
    }
    for shared in namesakes(nodes) {
        print(&shared)?;
    }
    let is_listed = nodes
        .iter()
        .any(|node| node.vitality == Vitality::Alive && is_here(node, settings));
    match is_listed && daemon.is_some() {
        true => Ok(()),
        false => print(&describe_here(settings, daemon, zone)),
    }
}

fn row(node: &NodeView, zone: Tz) -> Vec<String> {
    let report = &node.report;
    let state = match node.vitality {
        Vitality::Alive => format!(
            "{} since {}",
            coloured("alive", true),
            local(report.alive_since, zone)
        ),
        Vitality::Stopped => format!("stopped at {}", local(report.heard_at, zone)),
        Vitality::Silent => format!(
            "{} since {}",
            coloured("not heard of", false),
            local(report.heard_at, zone)
        ),
    };
    let named: Vec<String> = report
        .running
        .iter()
        .map(|run| {
            let waits = run
                .waits
                .as_ref()
                .map(|waits| format!(" ({waits})"))
                .unwrap_or_default();
            format!(
                "{} {} since {}{waits}",
                run.job,
                run.state,
                local(run.since, zone)
            )
        })
        .collect();
    let more = match report.under_way.saturating_sub(named.len()) {
        0 => None,
        more => Some(format!("and {}", counted(more, "other", "others"))),
    };
    let under_way: Vec<String> = named.into_iter().chain(more).collect();
    let next = report.next.as_ref().filter(|_| node.vitality == Vitality::Alive);
    let failure = report.last_failure.as_ref();
    vec![
        report.node.to_string(),
        state,
        report.version.clone(),
        report.jobs.to_string(),
        under_way.join("\n"),
        next.map(|next| format!("{} {}", local(next.slot_at, zone), next.job))
            .unwrap_or_default(),
        failure
            .map(|failure| {
                format!(
                    "{} {} {}: {}",
                    local(failure.at, zone),
                    failure.job,
                    failure.state,
                    failure.reason
                )
            })
            .unwrap_or_default(),
    ]
}

/// What this machine's daemon says of itself.
fn describe_here(settings: &Settings, daemon: Option<&DaemonStatus>, zone: Tz) -> String {
    match daemon {
        None => super::jobs::no_daemon(settings),
        Some(daemon) => format!(
            "the daemon here ({}, {}, pid {}) is {} since {}",
            settings.node,
            daemon.version,
            daemon.pid,
            daemon.state,
            when(daemon.started_at, zone)
        ),
    }
}
