//! Which day a run stands for, and what `state_dir` remembers of the days that its job has come to.

use crate::jobs::{JobError, RunContext};
use crate::state_dir::StateDir;
use chrono::{DateTime, NaiveDate, Utc};
use mykeeper_catalog::CatalogError;
use mykeeper_domain::job::{Job, RetentionTask};
use mykeeper_domain::retention::DueDays;
use mykeeper_domain::{JobName, RunId};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

/// A chain of runs, each of which does the one before again, is no longer.
const LONGEST_CHAIN: usize = 100;

/// The day of a run that someone asks for at `now`; `None` where the schedule has no slot on it: the job would not have
/// come to it by itself.
pub(super) fn day_by_hand(job: &Job, now: DateTime<Utc>) -> Option<NaiveDate> {
    let day = now.with_timezone(&job.schedule.zone()).date_naive();
    job.schedule.fires_on(day).then_some(day)
}

/// The day of the slot that a run stands for, whenever it runs; of one that a person asked for, the day on which it began.
/// A run that does another again has its day.
pub(super) async fn day_of_run(context: &RunContext) -> Result<Option<NaiveDate>, CatalogError> {
    let mut next: Option<RunId> = Some(context.run);
    let mut first = None;
    for _ in 0..LONGEST_CHAIN {
        let Some(id) = next else { break };
        let Some(run) = context.environment.catalog.run(id).await? else {
            break;
        };
        next = run.retry_of;
        first = Some(run);
    }
    let Some(run) = first else { return Ok(None) };
    Ok(match run.slot_at {
        Some(slot) => Some(slot.with_timezone(&context.job.schedule.zone()).date_naive()),
        None => day_by_hand(&context.job, run.started_at.unwrap_or(run.requested_at)),
    })
}

/// What is remembered for a job; one that was never written, or cannot be read, remembers nothing: then more stays.
pub(super) fn remembered(state: &StateDir, job: &JobName, task: &RetentionTask) -> DueDays {
    let read = || -> io::Result<Option<DueDays>> {
        match std::fs::read(file(state, job)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    };
    let found = read().unwrap_or_else(|error| {
        tracing::warn!(%job, %error, "which days the job has come to cannot be read; it begins anew with this one");
        None
    });
    DueDays::of(found, &task.directory, &task.keep)
}

/// Writes it whole or not at all.
pub(super) fn remember(context: &RunContext, due: &DueDays) -> Result<(), JobError> {
    let target = file(&context.environment.state, &context.job.name);
    let write = || -> io::Result<()> {
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let draft = target.with_extension("json.new");
        let mut file = std::fs::File::create(&draft)?;
        serde_json::to_writer(&mut file, due)?;
        file.flush()?;
        file.sync_all()?;
        std::fs::rename(&draft, &target)
    };
    write().map_err(|error| {
        JobError::passing(format!(
            "the days that the job has come to cannot be written to {}: {error}; make room or give mykeeper the right to \
             write there",
            target.display()
        ))
    })
}

/// Of the days that are due those stay of which a pass has seen sets.
pub(super) fn forget(
    context: &RunContext,
    due: &mut DueDays,
    seen: &BTreeSet<NaiveDate>,
) -> Result<(), JobError> {
    let before = due.days().len();
    due.forget_all_but(seen);
    match due.days().len() == before {
        true => Ok(()),
        false => remember(context, due),
    }
}

fn file(state: &StateDir, job: &JobName) -> PathBuf {
    state.root().join("due").join(format!("{job}.json"))
}
