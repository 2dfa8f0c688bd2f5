//! Puts a set into a server.

use super::{JobError, JobResult, RunContext};
use mykeeper_domain::job::RestoreTask;

/// One restore.
pub async fn run(_context: &RunContext, task: &RestoreTask) -> JobResult {
    Err(JobError::fatal(format!("set {} cannot be restored into {} yet", task.set, task.into)).about(task.set))
}
