//! The sets of this machine read one after another, as many as a run has time for.

use super::here::Here;
use super::{FREED, Looked, how_it_differs, look_at, record, shown};
use crate::jobs::{JobError, JobReport, JobResult, RunContext, first_few};
use crate::locate::{places, reach};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{BackupPath, VerificationScope};
use mykeeper_domain::backup::{Backup, du_size};
use mykeeper_domain::humane;
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
/// What is said of a round whose time was over before it came to a set that is here.
const STUCK: &str = "the time until the job's next slot, or its timeout, was over before a set was found here that is due: \
                     give it more, or name \"tags\" or \"within\"";

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
    /// Sets that are not as they were written.
    pub damaged: Vec<Damaged>,
    /// What is worth a look.
    notes: Vec<String>,
    /// Sets that were read, or passed by, in this round.
    seen: HashSet<BackupId>,
    /// Whether the time was over before all were read.
    is_cut_off: bool,
    /// Whether it has noted of a set that it cannot be read in the time that a run has: the next begins with another.
    has_put_off: bool,
    /// What ended it before its time: what was found until then is not lost with it.
    pub ended_by: Option<JobError>,
}

/// A set that is not as it was written.
#[derive(Debug)]
pub(in crate::jobs) struct Damaged {
    pub backup: Backup,
    /// What is wrong, with places and files, for people.
    pub faults: String,
    /// What to do about it.
    pub next_step: String,
}

impl Round {
    /// Joins it to what the run did before.
    pub(in crate::jobs) fn join(mut self, before: JobResult) -> JobResult {
        // One cause is told once.
        if let Err(error) = &before {
            self.ended_by = self.ended_by.filter(|ended| ended.reason != error.reason);
        }
        // It went through what is not here, and so will the next run.
        let is_stuck = self.is_cut_off && self.read == 0 && !self.has_put_off;
        if is_stuck {
            self.notes.push(STUCK.to_owned());
        }
        let read = match self.read {
            0 if is_stuck => "no set was read".to_owned(),
            0 => "no set was due to be read".to_owned(),
            many => format!(
                "{} read ({})",
                counted(many, "set was", "sets were"),
                du_size(self.bytes)
            ),
        };
        let more = if self.is_cut_off && !is_stuck {
            ", the next run goes on where this one stopped"
        } else {
            ""
        };
        if let Some(Damaged { backup: first, .. }) = self.damaged.first() {
            let reason = format!("{}; {read}{more}", first_few(&self.damages()));
            return Err(match (before, self.ended_by) {
                (Ok(report), None) => {
                    JobError::fatal(format!("{reason}; {}", report.summary)).about(first.id)
                }
                (Ok(report), Some(error)) => JobError {
                    reason: format!("{reason}; {}; {}", error.reason, report.summary),
                    retry: false,
                    bk_id: Some(first.id),
                    ..error
                },
                (Err(error), ended_by) => JobError {
                    reason: format!("{}{}; {reason}", error.reason, also(ended_by.as_ref())),
                    retry: false,
                    ..error
                },
            });
        }
        let report = match (before, self.ended_by) {
            (Ok(report), None) => report,
            // What it was reading is no set that a proof failed of.
            (Ok(report), Some(error)) => {
                return Err(JobError {
                    bk_id: report.bk_id,
                    ..error
                });
            }
            (Err(error), ended_by) => {
                return Err(JobError {
                    reason: format!("{}{}", error.reason, also(ended_by.as_ref())),
                    ..error
                });
            }
        };
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

    fn damages(&self) -> Vec<String> {
        self.damaged
            .iter()
            .map(|damaged| {
                format!(
                    "set {} {}; {}",
                    damaged.backup.id, damaged.faults, damaged.next_step
                )
            })
            .collect()
    }

    fn enter(&mut self, context: &RunContext, backup: Backup, looked: &Looked) {
        let found = &looked.found;
        self.read += 1;
        self.bytes += found.copies.iter().map(|copy| copy.bytes).sum::<u64>();
        let strangers = found.strangers();
        if !strangers.is_empty() {
            self.notes
                .push(format!("set {}: {}", backup.id, first_few(&strangers)));
        }
        let faults = found.faults();
        if looked.is_freed {
            context.say(format!("set {}{FREED}", backup.id));
        }
        for away in &looked.away {
            self.notes.push(format!("set {}: {away}", backup.id));
        }
        if faults.is_empty() {
            return;
        }
        let faults = format!("{}: {}", how_it_differs(found), context.tell_first(&faults));
        match found.lacks_copies_alone() {
            true => self
                .notes
                .push(format!("set {} {faults}; {}", backup.id, looked.next_step.line)),
            false => self.damaged.push(Damaged {
                backup,
                faults,
                next_step: looked.next_step.line.clone(),
            }),
        }
    }
}

fn also(error: Option<&JobError>) -> String {
    error.map_or_else(String::new, |error| format!("; {}", error.reason))
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

/// Reads what is due, what a person has found to differ first, then what was never read, then the set whose last look is oldest, and records each as it is done: the next run goes on
/// from there. One set that cannot be read holds up no other. Where the catalog does not answer, or the run is ended,
/// the round ends by that, with what it has found.
pub(in crate::jobs) async fn read_due(context: &RunContext, asked: &Asked<'_>) -> Round {
    let mut round = Round::default();
    if let Err(error) = fill(context, asked, &mut round).await {
        round.ended_by = Some(error);
    }
    round
}

async fn fill(context: &RunContext, asked: &Asked<'_>, round: &mut Round) -> Result<(), JobError> {
    let paths = context.environment.catalog.paths().await?;
    let scope = scope(context, asked, &paths);
    let limits = Limits::of(context);
    let mut after = None;
    loop {
        let catalog = &context.environment.catalog;
        let page = catalog.due_for_reading(&scope, after.as_ref(), BATCH).await?;
        for backup in page.sets {
            if limits.are_over(context.clock().now()) {
                round.is_cut_off = true;
                return Ok(());
            }
            // What a person has this run read may be due again at once.
            if !is_asked_for(context, asked, &backup, &paths) || !round.seen.insert(backup.id) {
                continue;
            }
            if let Next::NoTime = read_one(context, backup, limits, round).await? {
                return Ok(());
            }
        }
        after = page.next;
        if after.is_none() || context.cancel.is_cancelled() {
            return Ok(());
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
    let mut reach = reach(paths, &context.settings);
    if let Some(only) = asked.destination {
        reach.tags_here.clear();
        reach.destinations.retain(|name| name == only);
    }
    VerificationScope {
        reach,
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
    Goes,
    NoTime,
}

async fn read_one(
    context: &RunContext,
    backup: Backup,
    limits: Limits,
    round: &mut Round,
) -> Result<Next, JobError> {
    let id = backup.id;
    let here = match Here::find(&context.environment, &backup).await {
        Ok(here) => here,
        Err(error) => {
            round.notes.push(format!("set {id}: {}", error.reason));
            return Ok(Next::Goes);
        }
    };
    if !here.is_found() {
        let away = here.away().into_iter().map(|away| format!("set {id}: {away}"));
        round.notes.extend(away);
        let error = here.error.as_ref();
        let error = error.map(|error| format!("set {id}: {}", error.reason));
        round.notes.extend(error);
        here.note_none(&context.environment, &backup).await?;
        return Ok(Next::Goes);
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
        Ok(Some(looked)) if !looked.found.copies.is_empty() => {
            round.enter(context, backup, &looked);
            match looked.cut_off_by {
                None => Ok(Next::Goes),
                Some(error) if context.cancel.is_cancelled() => Err(error),
                Some(_) if is_over => {
                    round.is_cut_off = true;
                    Ok(Next::NoTime)
                }
                Some(error) if error.retry => Err(error),
                Some(error) => {
                    round.notes.push(error.reason);
                    Ok(Next::Goes)
                }
            }
        }
        Ok(_) => {
            context.say(format!(
                "set {id} is passed by: another run has it, or it is gone"
            ));
            Ok(Next::Goes)
        }
        Err(error) if context.cancel.is_cancelled() => Err(error),
        Err(_) if is_over => {
            round.is_cut_off = true;
            // One that had the whole run for itself does not get done by trying it again first.
            if round.read == 0 {
                record(context, &unfinished(context, id, &here)).await?;
                round.has_put_off = true;
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
            Ok(Next::Goes)
        }
    }
}

/// What is noted of a set that could not be read to its end: what was known of it stands.
fn unfinished(context: &RunContext, id: BackupId, here: &Here) -> Verification {
    let mut unread = shown(&here.copies);
    unread.extend(shown(&here.unread));
    Verification {
        bk_id: id,
        node: context.environment.node.clone(),
        run_id: Some(context.run),
        state: VerificationState::Unfinished,
        looked_at: context.clock().now(),
        copies: Vec::new(),
        unread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::backup::Backup;

    fn damaged(ended_by: Option<JobError>) -> (BackupId, Round) {
        let text = r#"{
            "id": "bcd36dc6-c9e7-11e7-9e30-005056b15d9c", "node": null, "job": null, "run_id": null,
            "bk_server": "a", "tag": "shop", "started_at": "2026-11-20T04:00:00Z",
            "finished_at": "2026-11-20T04:10:00Z", "elapsed_seconds": 600, "databases": ["shop"],
            "complete": [true], "reason": null, "size_bytes": null, "size_text": "1K", "dir": "/d",
            "consistency": null, "transfer_to": [], "transfer_started_at": null, "transfer_finished_at": null,
            "transfer_complete": "Y", "remote_dest": "x", "master_status": "", "slave_status": "",
            "tool_version": "", "server_version": "", "pybackup_version": "", "command": "",
            "deletion": "none", "deletion_reason": null, "validate_status": "N/A", "manifest_blake3": null
        }"#;
        let backup: Backup = serde_json::from_str(text).unwrap();
        let id = backup.id;
        let round = Round {
            read: 1,
            damaged: vec![Damaged {
                backup,
                faults: "is not as it was written: file a.sql: expected present, found missing".to_owned(),
                next_step: "fetch it".to_owned(),
            }],
            ended_by,
            ..Round::default()
        };
        (id, round)
    }

    #[test]
    fn a_round_that_was_cut_off_before_it_has_read_anything_warns() {
        let round = |read| Round {
            read,
            is_cut_off: true,
            ..Round::default()
        };
        let join = |read| {
            round(read)
                .join(Ok(JobReport::done("no set waits", None)))
                .unwrap()
        };
        let stuck = join(0);
        assert_eq!(stuck.state, RunState::Warned);
        let told = "no set waits; no set was read; the time until the job's next slot";
        assert!(stuck.summary.starts_with(told), "{}", stuck.summary);
        assert!(!stuck.summary.contains("goes on"), "{}", stuck.summary);
        let put_off = Round {
            has_put_off: true,
            ..round(0)
        };
        let put_off = put_off.join(Ok(JobReport::done("no set waits", None))).unwrap();
        assert!(put_off.summary.contains("goes on where"), "{}", put_off.summary);
        let read = join(1);
        assert_eq!(read.state, RunState::Succeeded);
        assert!(read.summary.contains("goes on where"), "{}", read.summary);
    }

    #[test]
    fn damage_is_told_also_where_the_round_or_the_run_before_it_ended_with_an_error() {
        let done = || Ok(JobReport::done("no set waits", None));
        let away = || JobError::passing("the catalog is away");
        let (id, round) = damaged(Some(away()));
        let error = round.join(done()).unwrap_err();
        assert_eq!((error.bk_id, error.retry), (Some(id), false));
        for part in [
            "a.sql: expected present, found missing; fetch it",
            "the catalog is away",
            "no set waits",
        ] {
            assert!(error.reason.contains(part), "{part}: {}", error.reason);
        }
        let (_, round) = damaged(Some(away()));
        let error = round.join(Err(JobError::fatal("no loader"))).unwrap_err();
        for part in ["no loader", "the catalog is away", "a.sql"] {
            assert!(error.reason.contains(part), "{part}: {}", error.reason);
        }
        let round = Round {
            ended_by: Some(away()),
            ..Round::default()
        };
        assert_eq!(
            round.join(done()),
            Err(away()),
            "nothing was found: it may be tried again"
        );
    }
}
