//! How the promises of servers stand, and whether the schedule can keep them.

use super::nodes::Others;
use super::{Findings, Grade, backup_tasks};
use crate::surroundings::local_zone;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::parse_definition;
use mykeeper_daemon::promises::{describe, promised, standings};
use mykeeper_domain::humane;
use mykeeper_domain::job::Task;
use mykeeper_domain::promise::{Promise, PromiseState, longest_age};
use mykeeper_domain::schedule::Schedule;
use mykeeper_domain::{Clock, SystemClock};
use std::collections::BTreeSet;
use std::time::Duration;

/// Where the catalog has no tables yet, or older ones, that is said elsewhere.
pub(super) async fn look_at_promises(settings: &Settings, catalog: &dyn Catalog, findings: &mut Findings) {
    match standings(catalog, settings, SystemClock.now()).await {
        Err(error) => findings.add(
            "promises",
            Grade::Warning,
            format!("how they stand cannot be told: {error}"),
        ),
        Ok(standings) => {
            for standing in standings {
                let grade = match standing.state {
                    PromiseState::Kept => Grade::Ok,
                    PromiseState::Broken => Grade::Warning,
                };
                findings.add(
                    format!("promise of server {}", standing.server),
                    grade,
                    describe(&standing, local_zone()),
                );
            }
        }
    }
}

/// A validation job of any node: its sets' tags, and when it fires.
struct Prover {
    tags: Vec<String>,
    schedule: Option<Schedule>,
}

impl Prover {
    fn asks_for(&self, tag: &str) -> bool {
        self.tags.is_empty() || self.tags.iter().any(|asked| asked == tag)
    }
}

/// Names each promise that the schedule cannot keep. Without a catalog only the jobs of this node are known.
pub(super) async fn look_at_schedule(settings: &Settings, others: Others<'_>, findings: &mut Findings) {
    let (provers, are_all) = provers(settings, others).await;
    find_unproven_tags(settings, (&provers, are_all), findings);
    for promise in promised(settings) {
        let (found, is_open) = faults(settings, &promise, (&provers, are_all), SystemClock.now());
        if is_open {
            let detail = format!(
                "whether proven_within = \"{}\" can be kept cannot be told without the catalog: jobs of other nodes may prove \
                 sets with the tag {:?}",
                humane(promise.within),
                promise.tag
            );
            findings.add(
                format!("promise of server {}", promise.server),
                Grade::Note,
                detail,
            );
        }
        for fault in found {
            findings.add(
                format!("promise of server {}", promise.server),
                Grade::Warning,
                fault,
            );
        }
    }
}

/// Names the servers that are backed up and whose sets no validation job asks for. Of one with a promise that is said with it.
fn find_unproven_tags(settings: &Settings, (provers, are_all): (&[Prover], bool), findings: &mut Findings) {
    let servers: BTreeSet<_> = backup_tasks(settings).map(|(_, task)| &task.server).collect();
    let promises: Vec<Promise> = promised(settings).collect();
    let tags: BTreeSet<&str> = servers
        .into_iter()
        .filter_map(|name| settings.servers.get(name))
        .map(|server| server.tag.as_str())
        .filter(|tag| !promises.iter().any(|promise| promise.tag == *tag))
        .filter(|tag| !provers.iter().any(|prover| prover.asks_for(tag)))
        .collect();
    for tag in tags {
        if !are_all {
            let detail = format!(
                "no job of this node asks for sets with the tag {tag:?}; whether another node's does cannot be told without the \
                 catalog"
            );
            findings.add("validation", Grade::Note, detail);
            continue;
        }
        findings.add(
            "validation",
            Grade::Warning,
            format!(
                "no validation job of any node asks for sets with the tag {tag:?}: whether one can be restored is never \
                 tried; add one to {}",
                settings.schedule_file.display()
            ),
        );
    }
}

/// The validation jobs that are known, and whether these are all that there are.
async fn provers(settings: &Settings, others: Others<'_>) -> (Vec<Prover>, bool) {
    let mut provers: Vec<Prover> = settings
        .jobs
        .values()
        .filter_map(|job| match &job.task {
            Task::Validation(task) => Some(Prover {
                tags: task.tags.clone(),
                schedule: Some(job.schedule.clone()),
            }),
            _ => None,
        })
        .collect();
    let known = match others {
        Others::Told(catalog) => catalog.validators().await.ok(),
        Others::Nobody => Some(Vec::new()),
        Others::Unknown => None,
    };
    let are_all = known.is_some();
    // One that an older program has noted may choose anything, at any time.
    let others = known
        .into_iter()
        .flatten()
        .filter(|known| known.node != settings.node);
    provers.extend(others.map(|known| Prover {
        tags: known.choice.map(|choice| choice.tags).unwrap_or_default(),
        schedule: parse_definition(&known.schedule),
    }));
    (provers, are_all)
}

/// What keeps a promise from being kept, and whether other nodes' jobs, which are not known, may keep it all the same.
fn faults(
    settings: &Settings,
    promise: &Promise,
    (provers, are_all): (&[Prover], bool),
    now: DateTime<Utc>,
) -> (Vec<String>, bool) {
    let within = humane(promise.within);
    let head = format!("proven_within = \"{within}\" cannot be kept");
    let backups: Vec<_> = backup_tasks(settings)
        .filter(|(_, task)| task.server == promise.server)
        .filter_map(|(name, _)| settings.jobs.get(name))
        .collect();
    let mut faults = Vec::new();
    if backups.is_empty() {
        faults.push(format!(
            "{head} by this schedule: no backup job of {} is of server {}; add one, or take the promise away",
            settings.schedule_file.display(),
            promise.server
        ));
    }
    let choosing: Vec<&Prover> = provers
        .iter()
        .filter(|prover| prover.asks_for(&promise.tag))
        .collect();
    if choosing.is_empty() && !are_all {
        return (faults, true);
    }
    if choosing.is_empty() {
        faults.push(format!(
            "{head}: no validation job of any node asks for sets with the tag {:?}; add one to {}",
            promise.tag,
            settings.schedule_file.display()
        ));
        return (faults, false);
    }
    let schedules: Option<Vec<&Schedule>> = choosing.iter().map(|prover| prover.schedule.as_ref()).collect();
    // One whose schedule is not known may fire often enough.
    let Some(schedules) = schedules else {
        return (faults, false);
    };
    let mut is_open = false;
    for job in backups {
        let Some(age) = longest_age(&job.schedule, &schedules, now) else {
            continue;
        };
        if TimeDelta::from_std(promise.within).is_ok_and(|within| age > within) {
            if !are_all {
                is_open = true;
                continue;
            }
            let age = humane(Duration::from_secs(age.num_seconds().unsigned_abs()));
            faults.push(format!(
                "{head}: by the schedule the newest proven set of job {} gets as old as {age} before the next one is \
                 proven, without the time that dump and proof take; promise more, or let backups or proofs fire more often",
                job.name
            ));
        }
    }
    (faults, is_open)
}
