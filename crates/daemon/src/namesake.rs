//! Daemons of one node name: each would take the other's runs for its own. One does not start where another lives; of two
//! that meet later, where one came to while the catalog did not hear the other, people are told.

use crate::environment::Environment;
use crate::error::DaemonError;
use chrono::{DateTime, Utc};
use mykeeper_domain::humane;
use mykeeper_domain::node::{HeardNode, NodeProcess, NodeReport, Vitality};
use mykeeper_domain::notice::NoticeKind;
use mykeeper_supervise::ProcessIdentity;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// The topic of two that have met.
const TOPIC: &str = "node name";
/// How long the catalog may take to say who lives: a start does not depend on it.
const ASKED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked while one may live.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// However seldom another version may tell of itself, a start waits no longer to hear it again.
const HEARD_WITHIN: Duration = Duration::from_secs(120);
/// After so many looks that found no other, they are apart: one that lives is seen in each, or nearly.
const LOOKS_ALONE: u32 = 5;

/// This process; `None` where the kernel does not say.
pub(crate) fn this_process() -> Option<NodeProcess> {
    let own = ProcessIdentity::of(std::process::id()).ok()?;
    let numbers = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(NodeProcess {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        seat: format!("{} {}", own.boot_id, numbers.display()),
        pid: own.pid,
        start_time_ticks: own.start_time_ticks,
    })
}

/// What the kernel here says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Lives,
    Gone,
    /// It is another machine's, or hidden from this one.
    Unknown,
}

fn sign_of(told: Option<&NodeProcess>, own: Option<&NodeProcess>) -> Sign {
    let (Some(told), Some(own)) = (told, own) else {
        return Sign::Unknown;
    };
    if told.seat != own.seat {
        return Sign::Unknown;
    }
    match ProcessIdentity::of(told.pid) {
        Ok(now) if now.start_time_ticks == told.start_time_ticks && now.is_alive() => Sign::Lives,
        Ok(_) => Sign::Gone,
        // Another user's process may not be shown.
        Err(_) => match i32::try_from(told.pid).ok().and_then(Pid::from_raw) {
            Some(pid) if test_kill_process(pid) != Err(Errno::SRCH) => Sign::Unknown,
            _ => Sign::Gone,
        },
    }
}

/// Returns where no other daemon of this node's name lives, as far as the catalog knows. Who was heard a moment ago may have
/// been killed since: on this machine the kernel knows, elsewhere it is heard again or falls silent, and that is waited for.
///
/// # Errors
/// One lives. Where the catalog does not answer, nothing stands in the way: who meets later is told of.
pub(crate) async fn refuse_second(environment: &Environment) -> Result<(), DaemonError> {
    let own = this_process();
    let give_up_at = Instant::now() + HEARD_WITHIN;
    let mut first_heard: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
    let mut is_said = false;
    loop {
        let asked = environment.catalog.nodes(environment.clock.now());
        let Ok(Ok(nodes)) = tokio::time::timeout(ASKED_WITHIN, asked).await else {
            tracing::debug!("whether another daemon has this node's name cannot be told now");
            return Ok(());
        };
        let mut doubtful = None;
        for heard in nodes.into_iter().filter(|heard| is_called(environment, heard)) {
            let report = &heard.report;
            let sign = sign_of(report.process.as_ref(), own.as_ref());
            let first = first_heard
                .entry(report.state_dir.clone())
                .or_insert(report.heard_at);
            if sign == Sign::Lives || sign == Sign::Unknown && *first != report.heard_at {
                return Err(refusal(environment, &heard));
            }
            if sign == Sign::Unknown {
                doubtful = Some(heard);
            }
        }
        let Some(heard) = doubtful.filter(|_| Instant::now() < give_up_at) else {
            return Ok(());
        };
        if !std::mem::replace(&mut is_said, true) {
            tracing::info!(
                "a daemon called {} was heard of {} ago{}: waiting to see whether it lives",
                heard.report.node,
                humane(heard.heard_ago.to_std().unwrap_or_default()),
                place_of(&heard.report)
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_called(environment: &Environment, heard: &HeardNode) -> bool {
    heard.report.node == environment.node && heard.vitality() == Vitality::Alive
}

/// ` on host db1 (pid 17), with its state in /var/lib/mykeeper`
fn place_of(report: &NodeReport) -> String {
    let host = report.process.as_ref().map_or_else(String::new, |process| {
        format!(" on host {} (pid {})", process.host, process.pid)
    });
    format!("{host}, with its state in {}", report.state_dir)
}

fn refusal(environment: &Environment, heard: &HeardNode) -> DaemonError {
    DaemonError::Namesake {
        node: environment.node.to_string(),
        place: place_of(&heard.report),
        keeper_file: environment.settings().keeper_file.clone(),
    }
}

/// The others of this node's name that this daemon meets while it lives.
#[derive(Default)]
pub(crate) struct Namesakes {
    known: BTreeSet<(DateTime<Utc>, String)>,
    looks_alone: u32,
}

impl Namesakes {
    /// Those who were heard of at one look. Each is named in the log once; people are told once of the first, and when the last
    /// is heard of no more.
    pub(crate) fn met(&mut self, environment: &Environment, others: &[&NodeReport]) {
        for other in others {
            if !self.known.insert((other.alive_since, other.state_dir.clone())) {
                continue;
            }
            let text = format!(
                "another daemon is called {}, too{}: each takes the other's runs for its own; give each machine a \"node\" of its \
                 own",
                other.node,
                place_of(other)
            );
            tracing::error!("{text}");
            environment.tell_once(NoticeKind::Failure, TOPIC, &text);
        }
        self.looks_alone = match others.is_empty() {
            true => self.looks_alone.saturating_add(1),
            false => 0,
        };
        if self.looks_alone >= LOOKS_ALONE {
            self.known.clear();
            let text = format!("no other daemon is called {} any more", environment.node);
            environment.tell_over(TOPIC, text);
        }
    }
}
