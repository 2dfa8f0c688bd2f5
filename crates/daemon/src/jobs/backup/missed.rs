//! Sets that should lie where another is to be made, and do not.

use crate::jobs::{JobError, RunContext};
use crate::mounted::mark_missed;
use mykeeper_domain::job::BackupTask;

/// Where none of the sets that should lie in the job's directory does, as far as the catalog can tell. A set on another disk,
/// with room for it, is better than none.
pub(super) async fn sets_are_missed(
    context: &RunContext,
    task: &BackupTask,
) -> Result<Option<String>, JobError> {
    // Whoever removes the sets of pybackup need not have told the catalog.
    if task.as_pybackup.is_some() {
        return Ok(None);
    }
    let (disk, root) = (&context.environment.disk, &task.directory);
    let whereabouts = context.environment.whereabouts(&context.settings);
    let asked = whereabouts.absent(root).await;
    let is_missed = asked.as_ref().ok().map(Option::is_some);
    mark_missed(disk, root, is_missed).await?.map_err(|error| {
        JobError::fatal(format!(
            "the mark of a disk that may not be mounted cannot be written to {}: {error}; mount it, or give the user that \
             mykeeper runs as the right to write there",
            root.display()
        ))
    })?;
    let absent = asked.ok().flatten().map(|absent| absent.to_string());
    if let Some(absent) = &absent {
        context.say(format!("warning: {absent}"));
    }
    Ok(absent)
}
