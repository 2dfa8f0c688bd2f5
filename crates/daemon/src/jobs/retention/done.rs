//! What a pass has done, and what its run says of that.

use super::Plan;
use crate::jobs::{JobError, JobReport, JobResult, RunContext};
use mykeeper_domain::job::RetentionAction;
use mykeeper_domain::{BackupId, counted};

/// What a pass did.
#[derive(Default)]
pub(super) struct Done {
    pub(super) condemned: usize,
    /// Sets whose original is gone, and a copy is not.
    pub(super) originals: usize,
    /// Sets whose copy here is gone, and another or the original is not.
    pub(super) copies: usize,
    /// Sets whose folder somebody else had removed.
    pub(super) found_gone: usize,
    pub(super) given_back: usize,
    pub(super) freed_bytes: u64,
    /// What was to go, and why it was not touched.
    pub(super) left: Vec<String>,
    pub(super) failures: Vec<(BackupId, String)>,
}

impl Done {
    pub(super) fn failed(&mut self, context: &RunContext, id: BackupId, reason: String) {
        context.say(format!("set {id}: {reason}"));
        self.failures.push((id, reason));
    }

    /// What ends a pass, with what it had done by then.
    pub(super) fn cut_off_by(&self, mut error: JobError, action: RetentionAction) -> JobError {
        let all = self.condemned + self.originals + self.copies + self.found_gone;
        if all > 0 {
            let done = counted(all, "set was", "sets were");
            error.reason = format!("{}; before that {done} {}", error.reason, verb(action));
        }
        error
    }

    pub(super) fn conclude(self, plan: &Plan, action: RetentionAction) -> JobResult {
        let kept = plan.decisions.len() - plan.condemned().count() + self.left.len();
        let verb = verb(action);
        if let Some((id, reason)) = self.failures.first() {
            return Err(JobError::passing(format!(
                "{} could not be {verb}; set {id}: {reason}",
                counted(self.failures.len(), "set", "sets")
            ))
            .about(*id));
        }
        let mut summary = format!("{} kept, {} {verb}", counted(kept, "set", "sets"), self.condemned);
        for (what, number) in [("original", self.originals), ("copy", self.copies)] {
            if number == 0 {
                continue;
            }
            let gone = match action {
                RetentionAction::Mark => "noted as gone",
                RetentionAction::Delete => "removed",
            };
            let of = counted(number, "set", "sets");
            summary.push_str(&format!(", the {what} alone of {of} {gone}"));
        }
        if self.found_gone > 0 {
            summary.push_str(&format!(
                ", {} of which nothing was here any more noted as gone",
                counted(self.found_gone, "set", "sets")
            ));
        }
        if action == RetentionAction::Delete && self.freed_bytes > 0 {
            summary.push_str(&format!(
                " ({})",
                mykeeper_domain::backup::du_size(self.freed_bytes)
            ));
        }
        if self.given_back > 0 {
            summary.push_str(&format!(
                ", {} no longer marked as being deleted",
                self.given_back
            ));
        }
        if plan.warnings.is_empty() {
            return Ok(JobReport::done(summary, None));
        }
        Ok(JobReport::warned(
            format!("{summary}; {}", plan.warnings.join("; ")),
            None,
        ))
    }
}

fn verb(action: RetentionAction) -> &'static str {
    match action {
        RetentionAction::Mark => "marked as deleted",
        RetentionAction::Delete => "removed and marked as deleted",
    }
}
