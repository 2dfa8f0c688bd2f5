//! `mykeeper status`: every node that shares the catalog.

use super::jobs::has_ended;
use super::lost;
use super::nodes::{NodeView, look, namesakes};
use super::pybackup::is_pybackup_conf;
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, print, print_json, table, when};
use crate::surroundings::{load_both, local_zone, open_catalog_to_look, settings_despite_schedule};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mykeeper_config::Settings;
use mykeeper_daemon::disk::Disk;
use mykeeper_daemon::locate::Whereabouts;
use mykeeper_daemon::lost::LostSet;
use mykeeper_daemon::owed::{Owed, owed};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::status::DaemonStatus;
use mykeeper_domain::node::Vitality;
use mykeeper_domain::{BackupId, Clock, NodeName, SystemClock, counted};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct StatusView {
    /// The node that this was asked on.
    here: String,
    /// `null` where no daemon runs here.
    daemon: Option<DaemonStatus>,
    nodes: Vec<NodeView>,
    /// What the destinations of this node's sets wait for.
    unsent: Vec<UnsentView>,
    /// Those of the newest sets of this node that nobody else has and that are not where they were made.
    lost: Vec<BackupId>,
}

#[derive(Serialize)]
struct UnsentView {
    destination: String,
    sets: usize,
    oldest_at: DateTime<Utc>,
    /// The transfer job that sends them; `null` where nothing does.
    sent_by: Option<String>,
    /// Whether this node's files still name it.
    is_configured: bool,
}

impl UnsentView {
    fn of(owed: &Owed) -> Self {
        Self {
            destination: owed.destination.to_string(),
            sets: owed.count,
            oldest_at: owed.oldest_at,
            sent_by: owed.sender.as_ref().map(ToString::to_string),
            is_configured: owed.is_configured(),
        }
    }
}

pub(crate) async fn run(config: &Path, json: bool) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    // By pybackup's conf no daemon can run: there is none to start.
    let by_conf = is_pybackup_conf(config);
    let is_sound = by_conf || load_both(config).is_ok();
    let describe = |daemon: Option<&DaemonStatus>| match daemon {
        None if by_conf && !state_lives(&settings) => without_daemon(&settings),
        daemon => describe_here(&settings, daemon, local_zone()),
    };
    let state = StateDir::open(&settings.state_dir)?;
    let daemon = DaemonStatus::read(&state);
    let now = SystemClock.now();
    let (unsent, lost);
    let lives = daemon.is_some() || state.daemon_lives();
    let nodes = match look_around((&settings, lives), now).await {
        Ok((nodes, owed, gone)) => {
            (unsent, lost) = (owed, gone);
            nodes
        }
        Err(error) => {
            if json {
                print_json(&serde_json::json!({ "here": settings.node, "daemon": daemon, "nodes": null }))?;
            } else {
                print(&describe(daemon.as_ref()))?;
            }
            return Err(Failure::unavailable(format!(
                "{error:#}; how the other nodes are cannot be told until the catalog answers"
            )));
        }
    };
    let is_lost = |owed: &Owed| owed.is_trouble(now);
    let is_troubled = nodes.iter().any(NodeView::is_troubled)
        || !namesakes(&nodes).is_empty()
        || unsent.iter().any(is_lost)
        || !lost.is_empty();
    if json {
        print_json(&StatusView {
            here: settings.node.to_string(),
            daemon,
            nodes,
            unsent: unsent.iter().map(UnsentView::of).collect(),
            lost: lost.iter().map(|lost| lost.backup.id).collect(),
        })?;
    } else {
        show(&nodes)?;
        let is_listed = nodes
            .iter()
            .any(|node| node.is_alive() && node.is_here(&settings));
        if !is_listed || daemon.is_none() {
            print(&describe(daemon.as_ref()))?;
        }
        for owed in unsent {
            let waits = match owed.sender {
                // Of a job that is left out for a mistake nothing is known.
                None if !is_sound && owed.is_configured() => format!(
                    "{} for {}; who sends there cannot be told until the mistakes in the files are mended",
                    counted(owed.count, "set waits", "sets wait"),
                    owed.destination
                ),
                _ => owed.to_string(),
            };
            print(&format!("{}: {waits}", settings.node))?;
        }
        if let Some(lost) = lost::told_together(&lost) {
            print(&format!("{}: {lost}", settings.node))?;
        }
    }
    let has_ended = has_ended(&settings, &state);
    Ok(if is_troubled || has_ended || !is_sound {
        Status::Warnings
    } else {
        Status::Done
    })
}

/// The nodes, what waits to be sent from this one, and what is not where it made it.
async fn look_around(
    (settings, lives): (&Settings, bool),
    now: DateTime<Utc>,
) -> anyhow::Result<(Vec<NodeView>, Vec<Owed>, Vec<LostSet>)> {
    let catalog = open_catalog_to_look(settings).await?;
    let nodes = look(catalog.as_ref(), (settings, lives), now).await;
    let owed = owed(catalog.as_ref(), settings).await;
    let whereabouts = Whereabouts {
        disk: &Disk::default(),
        catalog: catalog.as_ref(),
        settings,
    };
    let lost = whereabouts.lost_sets().await;
    catalog.close().await;
    Ok((nodes?, owed?, lost?))
}

/// Forgets a node that is gone for good.
pub(crate) async fn forget(config: &Path, name: &str) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let node = NodeName::new(name).map_err(Failure::usage)?;
    let now = SystemClock.now();
    let (nodes, ..) = look_around((&settings, state_lives(&settings)), now).await?;
    let named: Vec<&NodeView> = nodes.iter().filter(|view| view.report.node == node).collect();
    // Of several daemons that have had that name, on folders of their own, those are forgotten that live no more.
    let (living, gone): (Vec<_>, Vec<_>) = named.into_iter().partition(|view| view.is_alive());
    if let (Some(living), true) = (living.first(), gone.is_empty()) {
        return Err(Failure::usage(format!(
            "node {node} lives, with its state in {}: stop its daemon first",
            living.report.state_dir
        )));
    }
    // What is heard of it since then is of one that lives.
    let last = gone.iter().map(|view| view.report.heard_at).max();
    let since = living.iter().map(|view| view.report.heard_at).min();
    let before = last.unwrap_or(now) + TimeDelta::milliseconds(1);
    let before = since.map_or(before, |since| since.min(before));
    let catalog = open_catalog_to_look(&settings).await?;
    let forgotten = catalog.forget_node(&node, before).await;
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

fn show(nodes: &[NodeView]) -> anyhow::Result<()> {
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
    for node in nodes {
        let name = &node.report.node;
        for untold in node.untold() {
            print(&format!("{name} {untold}"))?;
        }
        if let Some(wrong) = node.clock_trouble() {
            print(&format!("{name}: {wrong}"))?;
        }
    }
    for (_, shared) in namesakes(nodes) {
        print(&shared)?;
    }
    Ok(())
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
    let next = report.next.as_ref().filter(|_| node.is_alive());
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
                let over = failure
                    .over_at
                    .map(|at| format!("over, it succeeded {}; ", local(at, zone)));
                format!(
                    "{}{} {} {}: {}",
                    over.unwrap_or_default(),
                    local(failure.at, zone),
                    failure.job,
                    failure.state,
                    failure.reason
                )
            })
            .unwrap_or_default(),
    ]
}

fn state_lives(settings: &Settings) -> bool {
    StateDir::at(&settings.state_dir).daemon_lives()
}

/// Of a host whose crontab calls pybackup's command lines.
fn without_daemon(settings: &Settings) -> String {
    format!(
        "no daemon runs on {}, and what cron calls needs none: \"mykeeper runs\" lists what has run",
        settings.state_dir.display()
    )
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
            when(daemon.since(), zone)
        ),
    }
}
