//! The sets of this machine read one after another, as many as a run has time for.

use super::{copies_here, first_few, look_at, record};
use crate::jobs::{JobError, JobReport, JobResult, RunContext, humane};
use crate::locate::places;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{BackupPath, VerificationScope};
use mykeeper_domain::backup::{Backup, du_size};
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::run::RunState;
use mykeeper_domain::verification::{Verification, VerificationState};
use mykeeper_domain::{BackupId, DestinationName, counted};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// Sets that are taken from the catalog at a time.
const BATCH: u32 = 500;
/// What is left of a run's timeout for its record, at most.
const LEFT_OVER: Duration = Duration::from_secs(60);

/// Which sets a job reads again.
pub(in crate::jobs) struct Asked<'a> {
    /// Those whose last look is longer ago.
    pub every: Duration,
    /// Copies at these destinations, and what lies in `user_backup_path` where it is asked for too.
    pub destination: Option<&'a DestinationName>,
    /// Started within so long.
    pub within: Option<Duration>,
    /// With one of these tags; empty: any.
    pub tags: &'a [String],
}

/// What came of it.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Round {
    read: usize,
    bytes: u64,
    /// Sets that are not as they were written, with each place and file.
    pub damaged: Vec<(Backup, Vec<String>)>,
    /// What is worth a look.
    notes: Vec<String>,
    /// Sets that were read, or passed by, in this round.
    seen: HashSet<BackupId>,
    /// Whether the time was over before all were read.
    is_cut_off: bool,
}

impl Round {
    /// Joins it to what the run did before.
    pub(in crate::jobs) fn join(self, before: JobResult) -> JobResult {
        let read = match self.read {
            0 => "no set was due to be read".to_owned(),
            many => format!(
                "{} read ({})",
                counted(many, "set was", "sets were"),
                du_size(self.bytes)
            ),
        };
        let more = if self.is_cut_off {
            ", the next run goes on where this one stopped"
        } else {
            ""
        };
        if let Some((first, _)) = self.damaged.first() {
            let lines: Vec<String> = self
                .damaged
                .iter()
                .map(|(backup, faults)| {
                    format!(
                        "set {} is not as it was written: {}",
                        backup.id,
                        first_few(faults)
                    )
                })
                .collect();
            let reason = format!("{}; {read}{more}", first_few(&lines));
            return Err(match before {
                Ok(report) => JobError::fatal(format!("{reason}; {}", report.summary)).about(first.id),
                Err(error) => JobError {
                    reason: format!("{}; {reason}", error.reason),
                    retry: false,
                    ..error
                },
            });
        }
        let report = before?;
        let summary = format!("{}; {read}{more}", report.summary);
        Ok(if self.notes.is_empty() {
            JobReport { summary, ..report }
        } else {
            JobReport {
                state: RunState::Warned,
                summary: format!("{summary}; {}", first_few(&self.notes)),
                bk_id: report.bk_id,
            }
        })
    }

    fn enter(&mut self, backup: Backup, found: &Verification) {
        self.read += 1;
        self.bytes += found.copies.iter().map(|copy| copy.bytes).sum::<u64>();
        let strangers = found.strangers();
        if !strangers.is_empty() {
            self.notes
                .push(format!("set {}: {}", backup.id, first_few(&strangers)));
        }
        let faults = found.faults();
        if !faults.is_empty() {
            self.damaged.push((backup, faults));
        }
    }
}

/// How long a round may go on.
#[derive(Clone, Copy)]
struct Limits {
    /// A set that is being read is left then: the run needs what remains for its record.
    until: Option<Instant>,
    /// No other set is begun after the job's next slot: what is the job's first task would wait for it.
    next_slot: Option<DateTime<Utc>>,
}

impl Limits {
    fn of(context: &RunContext) -> Self {
        let left_over = context.job.timeout.map(|timeout| (timeout / 10).min(LEFT_OVER));
        let until = context
            .deadline
            .zip(left_over)
            .and_then(|(deadline, left_over)| deadline.checked_sub(left_over));
        Self {
            until,
            next_slot: context.job.schedule.next_after(context.clock().now()),
        }
    }

    fn are_over(&self, now: DateTime<Utc>) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
            || self.next_slot.is_some_and(|slot| now >= slot)
    }

    async fn time_is_over(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

/// Reads what is due, the set whose last look is oldest first, and records each as it is done: the next run goes on
/// from there. One set that cannot be read holds up no other.
///
/// # Errors
/// The catalog does not answer, or the run was ended.
pub(in crate::jobs) async fn read_due(context: &RunContext, asked: &Asked<'_>) -> Result<Round, JobError> {
    let paths = context.environment.catalog.paths().await?;
    let scope = scope(context, asked, &paths);
    let limits = Limits::of(context);
    let mut round = Round::default();
    let mut passed_by = 0;
    loop {
        let batch = context
            .environment
            .catalog
            .due_for_reading(&scope, passed_by, BATCH)
            .await?;
        if batch.is_empty() {
            return Ok(round);
        }
        for backup in batch {
            if limits.are_over(context.clock().now()) {
                round.is_cut_off = true;
                return Ok(round);
            }
            if !round.seen.insert(backup.id) || !is_asked_for(context, asked, &backup, &paths) {
                passed_by += 1;
                continue;
            }
            match read_one(context, backup, limits, &mut round).await? {
                Next::Recorded => {}
                Next::PassedBy => passed_by += 1,
                Next::NoTime => return Ok(round),
            }
        }
    }
}

fn scope(context: &RunContext, asked: &Asked<'_>, paths: &[BackupPath]) -> VerificationScope {
    let now = context.clock().now();
    let ago = |span: Duration| {
        TimeDelta::from_std(span)
            .ok()
            .and_then(|span| now.checked_sub_signed(span))
    };
    let local = context
        .settings
        .destinations
        .values()
        .filter(|destination| matches!(destination.url, DestinationUrl::Local { .. }))
        .map(|destination| &destination.name)
        .filter(|name| asked.destination.is_none_or(|only| only == *name));
    let mut tags_here: Vec<String> = paths
        .iter()
        .filter(|path| !path.is_offline && asked.destination.is_none())
        .map(|path| path.tag.clone())
        .collect();
    tags_here.sort_unstable();
    tags_here.dedup();
    VerificationScope {
        node: context.environment.node.clone(),
        tags_here,
        destinations: local.cloned().collect(),
        tags: asked.tags.to_vec(),
        since: asked.within.and_then(ago),
        before: ago(asked.every).unwrap_or(DateTime::<Utc>::MIN_UTC),
    }
}

/// What the catalog's own comparison leaves to us: it takes large letters for small ones, and knows no folders.
fn is_asked_for(context: &RunContext, asked: &Asked<'_>, backup: &Backup, paths: &[BackupPath]) -> bool {
    let is_tagged = asked.tags.is_empty() || asked.tags.contains(&backup.tag);
    let age = (context.clock().now() - backup.started_at)
        .to_std()
        .unwrap_or_default();
    let is_young = asked.within.is_none_or(|within| age <= within);
    let may_be_here = !places(backup, paths, &context.settings, &context.environment.node).is_empty();
    is_tagged && is_young && may_be_here
}

enum Next {
    Recorded,
    PassedBy,
    NoTime,
}

async fn read_one(
    context: &RunContext,
    backup: Backup,
    limits: Limits,
    round: &mut Round,
) -> Result<Next, JobError> {
    let id = backup.id;
    match copies_here(&context.environment, &backup).await {
        Ok(copies) if copies.is_empty() => return Ok(Next::PassedBy),
        Ok(_) => {}
        Err(error) => {
            round.notes.push(format!("set {id}: {}", error.reason));
            return Ok(Next::PassedBy);
        }
    }
    let stop = context.cancel.child_token();
    let mut looking = Box::pin(look_at(context, id, stop.clone()));
    let (looked, is_over) = tokio::select! {
        looked = &mut looking => (looked, false),
        () = limits.time_is_over() => {
            stop.cancel();
            (looking.await, true)
        }
    };
    match looked {
        Ok(Some(found)) if !found.copies.is_empty() => {
            round.enter(backup, &found);
            Ok(Next::Recorded)
        }
        Ok(_) => {
            context.say(format!(
                "set {id} is passed by: another run has it, or it is gone"
            ));
            Ok(Next::PassedBy)
        }
        Err(error) if context.cancel.is_cancelled() => Err(error),
        Err(_) if is_over => {
            round.is_cut_off = true;
            // One that had the whole run for itself does not get done by trying it again first.
            if round.read == 0 {
                record(context, &unfinished(context, id)).await?;
                round.notes.push(format!(
                    "set {id} cannot be read within the job's timeout of {}: give it more",
                    humane(context.job.timeout.unwrap_or_default())
                ));
            }
            Ok(Next::NoTime)
        }
        Err(error) if error.retry => Err(error),
        Err(error) => {
            context.say(&error.reason);
            round.notes.push(error.reason);
            Ok(Next::PassedBy)
        }
    }
}

fn unfinished(context: &RunContext, id: BackupId) -> Verification {
    Verification {
        bk_id: id,
        node: context.environment.node.clone(),
        run_id: Some(context.run),
        state: VerificationState::Unfinished,
        looked_at: context.clock().now(),
        copies: Vec::new(),
    }
}
