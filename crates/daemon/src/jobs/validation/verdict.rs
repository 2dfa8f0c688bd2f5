//! What a proof means for the run that made it.

use super::others::Others;
use crate::jobs::verify::Looked;
use crate::jobs::{JobError, JobReport, JobResult, RunContext};
use crate::notices::RESTORE_TIME_OF;
use mykeeper_domain::job::ValidationTask;
use mykeeper_domain::notice::NoticeKind;
use mykeeper_domain::proof::Proof;
use mykeeper_domain::{JobName, humane};
use std::time::Duration;

/// What a proof has come to, and what the files of other copies are like where that was looked at.
pub(super) struct Outcome {
    pub(super) proof: Proof,
    pub(super) looked: Option<Looked>,
    /// What made the set.
    pub(super) job: Option<JobName>,
    /// What that job has made beside it; asked where the proof has failed.
    pub(super) others: Others,
}

/// A run that has found a copy which is not as it was written has failed, whatever its set has come to.
pub(super) fn verdict(context: &RunContext, task: &ValidationTask, outcome: &Outcome) -> JobResult {
    let Outcome {
        proof, looked, job, ..
    } = outcome;
    let id = proof.bk_id;
    let slow = too_long(proof, task.max_restore_time);
    tell_of_time(context, task, outcome, slow.as_deref());
    let damage = looked.as_ref().map(|looked| {
        let faults = looked.found.faults();
        let next = (!faults.is_empty()).then(|| looked.next_step.line.clone());
        let faults = (!faults.is_empty()).then(|| context.tell_first(&faults));
        let unread = looked.cut_off_by.as_ref().map(|error| error.reason.clone());
        let damage: Vec<String> = faults.into_iter().chain(unread).chain(next).collect();
        damage.join("; ")
    });
    let damage = damage.filter(|damage| !damage.is_empty());
    let reason = match (proof.passed(), damage) {
        (true, None) => {
            let summary = format!("set {id} is proven: {}", proof.summary());
            // Said, so that a set that may be less than it was is not taken for one that is all there. No warning: nearly
            // every set without a manifest has an empty table, and what warns each night is read by nobody.
            let untold: Vec<String> = proof.untold().cloned().collect();
            let untold = (!untold.is_empty()).then(|| context.tell_first(&untold));
            let summary: Vec<String> = [summary].into_iter().chain(untold).collect();
            let summary = summary.join("; ");
            return Ok(match slow {
                None => JobReport::done(summary, Some(id)),
                Some(slow) => JobReport::warned(format!("{summary}; {slow}"), Some(id)),
            });
        }
        (true, Some(damage)) => {
            let slow = slow.map_or_else(String::new, |warning| format!("; {warning}"));
            format!(
                "set {id} is proven in {}, but not every copy of it {}: {damage}{slow}",
                proof.path,
                match looked
                    .as_ref()
                    .is_some_and(|looked| looked.found.faults().is_empty())
                {
                    true => "could be read",
                    false => "is as it was written",
                }
            )
        }
        (false, Some(damage)) if proof.copy_differs => {
            format!("set {id} has failed: no copy of it here is as it was written: {damage}")
        }
        (false, damage) => {
            let damage = damage.map_or_else(String::new, |damage| format!("; {damage}"));
            let summary = context.tell_first(&proof.faults());
            let differs = proof
                .databases
                .iter()
                .any(|database| !database.differences.is_empty());
            let next = match job {
                Some(job) if differs => {
                    let keep = match outcome.others.has_earlier {
                        true => "keep the sets before it, and ",
                        false => "",
                    };
                    match outcome.others.failed_alike {
                        None => format!("; {keep}make another: mykeeper run {job}"),
                        Some(other) => format!(
                            "; {keep}look for the cause: set {other} of job {job} has failed so, too, and another one will \
                             hardly do better"
                        ),
                    }
                }
                _ => String::new(),
            };
            let advice = proof
                .advice()
                .map_or_else(String::new, |advice| format!("; {advice}"));
            let not_run: String = proof
                .asserts
                .iter()
                .filter(|asserted| asserted.held.is_none())
                .filter_map(|asserted| {
                    let why = asserted.value.as_ref()?;
                    Some(format!(
                        "; assert on {}: {}: {why}",
                        asserted.database, asserted.sql
                    ))
                })
                .collect();
            format!("set {id} did not come back as it was: {summary}{not_run}{damage}{next}{advice}")
        }
    };
    Err(JobError::fatal(reason).about(id))
}

/// Of each job's sets by themselves: those of another may come back in time.
fn tell_of_time(context: &RunContext, task: &ValidationTask, outcome: &Outcome, slow: Option<&str>) {
    let (environment, id) = (&context.environment, outcome.proof.bk_id);
    let of = outcome.job.as_ref().unwrap_or(&context.job.name);
    let topic = format!("{RESTORE_TIME_OF}job {of}");
    match slow {
        Some(slow) => environment.tell(NoticeKind::Promise, topic, format!("set {id}: {slow}")),
        None if outcome.proof.passed() => {
            let over = match task.max_restore_time {
                Some(_) => format!("set {id} came back in time"),
                None => format!("set {id} came back, and no max_restore_time is promised any more"),
            };
            environment.tell_over(&topic, over);
        }
        None => {}
    }
}

/// What is said of a set that took longer to come back than it may.
fn too_long(proof: &Proof, limit: Option<Duration>) -> Option<String> {
    let load = Duration::from_millis(proof.load_ms?);
    let limit = limit.filter(|limit| load > *limit)?;
    Some(format!(
        "it took {} to come back, longer than max_restore_time = {}",
        humane(load),
        humane(limit)
    ))
}
