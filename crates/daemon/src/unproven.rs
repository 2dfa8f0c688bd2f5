//! Why sets are not proven yet, by the rules that a validation job chooses by.

use crate::disk::Disk;
use crate::jobs::validation::queue_here;
use crate::locate::{Whereabouts, places};
use crate::missed::parse_definition;
use crate::set_lease::{holder_of, set_of_lease};
use chrono::{DateTime, Utc};
use mykeeper_catalog::{BackupPath, Catalog, CatalogError, RunFilter};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::job::{JobKind, Task};
use mykeeper_domain::run::{Run, RunState};
use mykeeper_domain::schedule::Schedule;
use mykeeper_domain::selection::{Choice, Criteria, Refusal, Select};
use mykeeper_domain::unproven::{LastTry, PassedOver, Unproven};
use mykeeper_domain::{BackupId, JobName, NodeName};
use std::collections::HashMap;

/// How many sets that wait are counted.
const LOOKED_AT: u32 = 10_000;
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
    /// The present instant.
    pub now: DateTime<Utc>,
}

/// Why each of `backups` that is neither proven nor deleted is not proven.
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
    let mut reasons = HashMap::new();
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
                        board = Some(Board::read(inquiry).await?);
                    }
                    match &board {
                        Some(board) => board.wait_of(inquiry, backup).await,
                        None => Unproven::NoJob,
                    }
                }
            },
        };
        reasons.insert(backup.id, reason);
    }
    Ok(reasons)
}

/// The sets that some run, on any node, is proving.
async fn underway(inquiry: &Inquiry<'_>) -> Result<HashMap<BackupId, Unproven>, CatalogError> {
    let mut underway = HashMap::new();
    for lease in inquiry.catalog.leases("set:", inquiry.now).await? {
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
                reason: last.map(mykeeper_domain::proof::Proof::summary),
            })
        }
    })
}

/// One validation job of some node, with the sets that it will take, in that order.
struct Line {
    node: NodeName,
    job: JobName,
    choice: Choice,
    next_at: Option<DateTime<Utc>>,
    sets: Vec<BackupId>,
    is_ours: bool,
}

/// What waits for whom.
struct Board {
    lines: Vec<Line>,
    tries: Vec<Run>,
    paths: Vec<BackupPath>,
}

impl Board {
    async fn read(inquiry: &Inquiry<'_>) -> Result<Self, CatalogError> {
        let Inquiry {
            catalog,
            settings,
            now,
            ..
        } = inquiry;
        let candidates = catalog.validation_candidates(None, LOOKED_AT).await?;
        let paths = catalog.paths().await?;
        let ids = |sets: Vec<&Backup>| sets.into_iter().map(|backup| backup.id).collect::<Vec<_>>();
        let mut lines = Vec::new();
        // Of this node what its files say: a daemon need not have read them yet.
        for job in settings.jobs.values() {
            let Task::Validation(task) = &job.task else {
                continue;
            };
            let choice = task.choice();
            let (sets, _) = queue_here(&candidates, &choice, (settings, &paths), *now, |_| 0);
            lines.push(Line {
                node: settings.node.clone(),
                job: job.name.clone(),
                choice,
                next_at: job.schedule.next_after(*now),
                sets: ids(sets),
                is_ours: true,
            });
        }
        for validator in catalog.validators().await? {
            let Some(choice) = validator.choice.filter(|_| validator.node != settings.node) else {
                continue;
            };
            let schedule: Option<Schedule> = parse_definition(&validator.schedule);
            lines.push(Line {
                sets: ids(choice.queue(&candidates, *now, |_| 0)),
                node: validator.node,
                job: validator.job,
                choice,
                next_at: schedule.and_then(|schedule| schedule.next_after(*now)),
                is_ours: false,
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
        })
    }

    async fn wait_of(&self, inquiry: &Inquiry<'_>, backup: &Backup) -> Unproven {
        let mut passed_over = Vec::new();
        let mut waits: Vec<(u64, &Line)> = Vec::new();
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
        match waits.first() {
            Some((before, line)) => Unproven::Waits {
                node: line.node.clone(),
                job: line.job.clone(),
                before: *before,
                next_at: line.next_at,
                last_try: self.last_try(backup.id),
            },
            None if self.lines.is_empty() => Unproven::NoJob,
            None if passed_over.len() == self.lines.len() => Unproven::NotAskedFor { jobs: passed_over },
            None => Unproven::NotHere {
                node: inquiry.settings.node.clone(),
            },
        }
    }

    /// A disk that does not answer may well hold it.
    async fn is_here(&self, inquiry: &Inquiry<'_>, backup: &Backup) -> bool {
        let places = places(backup, &self.paths, inquiry.settings, &inquiry.settings.node);
        let whereabouts = Whereabouts {
            disk: inquiry.disk,
            catalog: inquiry.catalog,
            settings: inquiry.settings,
        };
        !matches!(whereabouts.first_whole(backup, &places).await, Ok(None))
    }

    fn last_try(&self, id: BackupId) -> Option<LastTry> {
        let run = self.tries.iter().find(|run| run.bk_id == Some(id))?;
        Some(LastTry {
            node: run.node.clone(),
            run: run.id,
            state: run.state,
            at: run.finished_at.unwrap_or(run.requested_at),
            reason: run.reason.clone(),
        })
    }
}

impl Line {
    /// How many sets are taken before this one.
    fn before(&self, id: BackupId) -> u64 {
        let count = match self.choice.select {
            Select::Newest | Select::Oldest => self.sets.iter().position(|set| *set == id),
            Select::Random => Some(self.sets.len().saturating_sub(1)),
        };
        count.unwrap_or(self.sets.len()) as u64
    }
}
