//! Copies that the catalog knows to differ: held against their sets at once, and sent again.

use super::{BATCH, SENT_NEXT, Sent, compare_copy, original_here, send_with_retries};
use crate::jobs::{JobError, RunContext};
use chrono::{DateTime, Utc};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::job::TransferTask;
use mykeeper_domain::run::RunState;
use std::collections::BTreeSet;

/// What came of them.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// Sets that have been sent again.
    pub sent: BTreeSet<BackupId>,
    /// How many copies differ.
    pub differing: usize,
    /// What is worth a look.
    pub notes: Vec<String>,
    /// Sets that could not be sent again.
    pub failures: Vec<(BackupId, JobError)>,
    /// The run was ended before all were looked at.
    pub ended_by: Option<JobError>,
}

/// Compares every copy at the destination that somebody has found to differ since it was last compared or sent, however
/// long the next look is off, and sends those again that are not as their sets. After what waits to be sent: that has no
/// copy at all.
/// What keeps one of them from that is noted.
pub(super) async fn mend_known(context: &RunContext, task: &TransferTask) -> Mended {
    let mut mended = Mended::default();
    let environment = &context.environment;
    let known = environment
        .catalog
        .due_verifications(
            &environment.node,
            &task.destination,
            DateTime::<Utc>::MIN_UTC,
            BATCH,
        )
        .await;
    let known = match known {
        Ok(known) => known,
        Err(error) => {
            let note = format!("copies that are known to differ were not looked at: {error}");
            mended.notes.push(note);
            return mended;
        }
    };
    for backup in known {
        let id = backup.id;
        let found = match compare_one(context, task, &backup).await {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(error) if error.state == RunState::Cancelled => {
                mended.ended_by = Some(error.about(id));
                return mended;
            }
            Err(error) => {
                let note = format!("the copy of set {id} was not compared: {}", error.reason);
                mended.notes.push(note);
                continue;
            }
        };
        if found.state != RunState::Failed {
            mended.notes.push(found.reason);
            continue;
        }
        mended.differing += 1;
        match send_with_retries(context, &backup, &task.destination).await {
            Ok(Sent::Arrived) => {
                let again = sent_again(task, id);
                mended.notes.push(format!("{}; {again}", found.reason));
                mended.sent.insert(id);
            }
            Ok(Sent::ByAnother) => mended
                .notes
                .push(format!("{}; another run sends it", found.reason)),
            Err(error) if error.state == RunState::Cancelled => {
                mended.notes.push(format!("{}; {SENT_NEXT}", found.reason));
                mended.ended_by = Some(error.about(id));
                return mended;
            }
            Err(error) => {
                context.say(format!("set {id}: {}", error.reason));
                mended.notes.push(found.reason);
                mended.failures.push((id, error));
            }
        }
    }
    mended
}

/// What is worth a look at one of them; `None` where it is as its set, or cannot be compared from here.
async fn compare_one(
    context: &RunContext,
    task: &TransferTask,
    backup: &Backup,
) -> Result<Option<JobError>, JobError> {
    match original_here(context, backup).await? {
        Some(set_dir) => compare_copy(context, backup, &task.destination, set_dir).await,
        None => Ok(None),
    }
}

/// Said of a copy that differed; the catalog calls it whole once it has been read.
pub(super) fn sent_again(task: &TransferTask, id: BackupId) -> String {
    match task.verify {
        true => "it has been sent again".to_owned(),
        false => format!("it has been sent again: \"mykeeper verify --bk-id {id}\" reads it"),
    }
}
