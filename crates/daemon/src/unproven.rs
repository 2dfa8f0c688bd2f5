//! Why sets are not proven yet, by the rules that a validation job chooses by.

mod line;

use crate::disk::Disk;
use crate::jobs::validation::untried::{PREFIX, untried_in};
use crate::jobs::verify::BY_HAND;
use crate::locate::{Whereabouts, places};
use crate::missed::parse_definition;
use crate::set_lease::{holder_of, set_of_lease};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use line::{Ahead, Heads, Line};
use mykeeper_catalog::{BackupPath, Catalog, CatalogError, Lease, LeaseClock, RunFilter};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::job::{JobKind, Task};
use mykeeper_domain::run::{Run, RunState};
use mykeeper_domain::schedule::Schedule;
use mykeeper_domain::selection::{Criteria, Refusal};
use mykeeper_domain::unproven::{LastTry, PassedOver, Unproven};
use mykeeper_domain::verification::Verification;
use mykeeper_domain::{BackupId, JobName, NodeName};
use std::collections::HashMap;

/// How many of the last proofs without a verdict are looked at.
const TRIES: u32 = 500;

/// What is asked, and when.
pub struct Inquiry<'a> {
    /// The catalog itself, not a copy.
    pub catalog: &'a dyn Catalog,
    /// This node's files.
    pub settings: &'a Settings,
    /// File systems that may not answer.
    pub disk: &'a Disk,
    /// Whether a daemon runs on this node.
    pub daemon_lives: bool,
    /// The present instant.
    pub now: DateTime<Utc>,
}

/// Why each of `backups` that is not deleted is not proven, or is no longer.
///
/// # Errors
/// The catalog does not answer.
pub async fn reasons(
    inquiry: &Inquiry<'_>,
    backups: &[Backup],
) -> Result<HashMap<BackupId, Unproven>, CatalogError> {
    let unproven: Vec<&Backup> = backups
        .iter()
        .filter(|backup| {
            backup.validate_status != ValidateStatus::Passed && backup.deletion != Deletion::Deleted
        })
        .collect();
    let mut reasons = damaged(inquiry.catalog, backups).await?;
    if unproven.is_empty() {
        return Ok(reasons);
    }
    let underway = underway(inquiry).await?;
    // Asked for once, and only where a set waits.
    let mut board = None;
    for backup in unproven {
        let reason = match underway.get(&backup.id) {
            Some(proving) => proving.clone(),
            None => match of_itself(inquiry, backup).await? {
                Some(reason) => reason,
                None => {
                    if board.is_none() {
                        board = Some(Board::read(inquiry, backups).await?);
                    }
                    match &board {
                        Some(board) => board.wait_of(inquiry, backup).await?,
                        None => Unproven::NoJob,
                    }
                }
            },
        };
        reasons.insert(backup.id, reason);
    }
    Ok(reasons)
}

/// Those that were proven and count no more.
async fn damaged(
    catalog: &dyn Catalog,
    backups: &[Backup],
) -> Result<HashMap<BackupId, Unproven>, CatalogError> {
    let was_proven = backups.iter().filter(|backup| {
        backup.validate_status == ValidateStatus::Passed && backup.deletion != Deletion::Deleted
    });
    let ids: Vec<BackupId> = was_proven.map(|backup| backup.id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let damages = catalog.damages(Some(&ids)).await?;
    let lost = damages
        .into_iter()
        .filter(|(_, damage)| damage.is_of_every_copy());
    let told = lost.map(|(id, damage)| {
        let copies = damage.lines(Tz::UTC);
        (id, Unproven::Damaged { copies })
    });
    Ok(told.collect())
}

/// The sets that some run, on any node, is proving.
async fn underway(inquiry: &Inquiry<'_>) -> Result<HashMap<BackupId, Unproven>, CatalogError> {
    let mut underway = HashMap::new();
    let at = (LeaseClock::Shared, inquiry.now);
    for lease in inquiry.catalog.leases("set:", at).await? {
        let Some(set) = set_of_lease(&lease.name, "validate") else {
            continue;
        };
        let (node, run) = holder_of(&lease.holder);
        let since = match run {
            Some(run) => inquiry.catalog.run(run).await?.and_then(|run| run.started_at),
            None => None,
        };
        let proving = Unproven::Proving {
            node: node.to_owned(),
            run,
            since,
        };
        underway.insert(set, proving);
    }
    Ok(underway)
}

/// What keeps every job from the set.
async fn of_itself(inquiry: &Inquiry<'_>, backup: &Backup) -> Result<Option<Unproven>, CatalogError> {
    let any = Criteria {
        within: None,
        tags: &[],
        now: inquiry.now,
    };
    Ok(match any.refusal(backup) {
        None => None,
        Some(Refusal::NotComplete) => Some(Unproven::NotComplete {
            reason: backup.reason.clone(),
        }),
        Some(Refusal::Deleted) => Some(Unproven::BeingRemoved),
        Some(Refusal::NotArrived) => Some(Unproven::NotArrived {
            destinations: backup.transfer_to.clone(),
        }),
        Some(Refusal::Tried | Refusal::OtherTag | Refusal::TooOld) => {
            let proofs = inquiry.catalog.proofs(backup.id).await?;
            let last = proofs.first();
            Some(Unproven::Failed {
                at: last.map(|proof| proof.finished_at),
                reason: last.map(|last| {
                    let lines: Vec<String> = std::iter::once(last.summary()).chain(last.advice()).collect();
                    lines.join("; ")
                }),
            })
        }
    })
}

/// The last run of a job that is over, where it failed for no set of its own.
async fn hindered(
    catalog: &dyn Catalog,
    (node, job): (&NodeName, &JobName),
) -> Result<Option<LastTry>, CatalogError> {
    /// One may be under way, and some be skipped.
    const LOOKED_AT: u32 = 10;
    let filter = RunFilter {
        job: Some(job.clone()),
        node: Some(node.clone()),
        kind: Some(JobKind::Validation),
        limit: LOOKED_AT,
        ..RunFilter::default()
    };
    let runs = catalog.runs(&filter).await?;
    let last = runs
        .iter()
        .find(|run| run.finished_at.is_some() && run.state != RunState::Skipped);
    let failed = last.filter(|run| run.state == RunState::Failed && run.bk_id.is_none());
    Ok(failed.map(told))
}

fn told(run: &Run) -> LastTry {
    LastTry {
        node: run.node.clone(),
        run: run.id,
        state: run.state,
        at: run.finished_at.unwrap_or(run.requested_at),
        reason: run.reason.clone(),
    }
}

/// What waits for whom.
struct Board {
    lines: Vec<Line>,
    tries: Vec<Run>,
    paths: Vec<BackupPath>,
    /// What could not be tried, on any node.
    noted: Vec<Lease>,
    daemon_lives: bool,
}

impl Board {
    /// What waits for the jobs that would take one of `backups`.
    async fn read(inquiry: &Inquiry<'_>, backups: &[Backup]) -> Result<Self, CatalogError> {
        let Inquiry {
            catalog,
            settings,
            now,
            daemon_lives,
            ..
        } = inquiry;
        let paths = catalog.paths().await?;
        let noted = catalog.leases(PREFIX, (LeaseClock::Own, *now)).await?;
        let mut heads = Heads::new(inquiry, backups, &paths);
        let mut lines = Vec::new();
        // Of this node what its files say: a daemon need not have read them yet.
        for job in settings.jobs.values() {
            let Task::Validation(task) = &job.task else {
                continue;
            };
            let choice = task.choice();
            let head = heads.here(&choice).await?;
            lines.push(Line {
                next_at: job.schedule.next_after(*now),
                is_ours: true,
                hindered: hindered(*catalog, (&settings.node, &job.name)).await?,
                ..Line::of((settings.node.clone(), job.name.clone(), choice), &head, &noted)
            });
        }
        for validator in catalog.validators().await? {
            let Some(choice) = validator.choice.filter(|_| validator.node != settings.node) else {
                continue;
            };
            let schedule: Option<Schedule> = parse_definition(&validator.schedule);
            let head = heads.anywhere(&choice).await?;
            lines.push(Line {
                next_at: schedule.and_then(|schedule| schedule.next_after(*now)),
                hindered: hindered(*catalog, (&validator.node, &validator.job)).await?,
                ..Line::of((validator.node, validator.job, choice), &head, &noted)
            });
        }
        let tries = RunFilter {
            kind: Some(JobKind::Validation),
            states: vec![
                RunState::Failed,
                RunState::TimedOut,
                RunState::Stalled,
                RunState::Cancelled,
                RunState::Interrupted,
            ],
            limit: TRIES,
            ..RunFilter::default()
        };
        Ok(Self {
            lines,
            tries: catalog.runs(&tries).await?,
            paths,
            noted,
            daemon_lives: *daemon_lives,
        })
    }

    async fn wait_of(&self, inquiry: &Inquiry<'_>, backup: &Backup) -> Result<Unproven, CatalogError> {
        let mut passed_over = Vec::new();
        let mut waits: Vec<(Ahead, &Line)> = Vec::new();
        let is_here = self.is_here(inquiry, backup).await;
        for line in &self.lines {
            if let Some(refusal) = line.choice.criteria(inquiry.now).refusal(backup) {
                passed_over.push(PassedOver {
                    node: line.node.clone(),
                    job: line.job.clone(),
                    refusal,
                });
            } else if !line.is_ours || is_here {
                waits.push((line.before(backup.id), line));
            }
        }
        waits.sort_by_key(|(before, line)| (*before, line.next_at, !line.is_ours));
        Ok(match waits.first() {
            Some((before, line)) => Unproven::Waits {
                node: line.node.clone(),
                job: line.job.clone(),
                before: before.sets,
                or_more: before.or_more,
                next_at: line.next_at,
                no_daemon: line.is_ours && !self.daemon_lives,
                last_try: match self.last_try(inquiry, backup.id).await? {
                    Some(last) => Some(last),
                    None => line.hindered.clone(),
                },
            },
            None if self.lines.is_empty() => Unproven::NoJob,
            None if passed_over.len() == self.lines.len() => Unproven::NotAskedFor { jobs: passed_over },
            None => Unproven::NotHere {
                node: inquiry.settings.node.clone(),
            },
        })
    }

    /// A disk that does not answer may well hold it.
    async fn is_here(&self, inquiry: &Inquiry<'_>, backup: &Backup) -> bool {
        let places = places(backup, &self.paths, inquiry.settings, &inquiry.settings.node);
        let whereabouts = Whereabouts {
            disk: inquiry.disk,
            catalog: inquiry.catalog,
            settings: inquiry.settings,
        };
        !matches!(whereabouts.first_copy(backup, &places).await, Ok(None))
    }

    /// The last proof of it that came to no verdict. What read the set alone, in runs of the same kind, is none, unless its
    /// node has noted since that the set could not be tried; nor is what failed it before it was freed, or found no copy
    /// whole on its node before one was.
    async fn last_try(&self, inquiry: &Inquiry<'_>, id: BackupId) -> Result<Option<LastTry>, CatalogError> {
        let mut tries = self
            .tries
            .iter()
            .filter(|run| run.bk_id == Some(id) && run.job.as_str() != BY_HAND)
            .peekable();
        if tries.peek().is_none() {
            return Ok(None);
        }
        let looks = inquiry.catalog.verifications(id).await?;
        let proofs = inquiry.catalog.proofs(id).await?;
        let counts = |run: &Run| {
            let has_read = looks.iter().any(|look| look.run_id == Some(run.id));
            let has_decided = proofs.iter().any(|proof| proof.run_id == Some(run.id));
            let own = looks.iter().filter(|look| look.node == run.node);
            let whole_at = own.filter_map(Verification::intact_at).max();
            let is_outdated = whole_at.is_some_and(|at| run.finished_at.is_some_and(|ended| ended < at));
            let is_proof = !has_read || untried_in(run, id, &self.noted);
            is_proof && !has_decided && !is_outdated
        };
        Ok(tries.find(|run| counts(run)).map(told))
    }
}
