//! Sets that should lie where another is to be made, and do not.

use crate::covered;
use crate::jobs::{JobError, RunContext};
use crate::mounted::{mark_missed, root_of};
use mykeeper_domain::BackupId;
use mykeeper_domain::job::BackupTask;
use std::path::Path;

/// Where none of the sets that should lie above a new set's folder does, as far as the catalog can tell, the folder is marked
/// and the set noted. A set on another disk, with room for it, is better than none.
pub(super) async fn sets_are_missed(
    context: &RunContext,
    task: &BackupTask,
    (id, set_dir): (BackupId, &Path),
) -> Result<Option<String>, JobError> {
    let (environment, root) = (&context.environment, root_of(set_dir).unwrap_or(&task.directory));
    let asked = environment.whereabouts(&context.settings).absent(root).await;
    let missed = asked.as_ref().ok().map(Option::as_ref);
    let marked = mark_missed(environment, (&context.settings, root), missed).await?;
    if let Ok(true) = marked
        && let Err(error) = covered::note(&environment.state, id)
    {
        context.say(format!(
            "warning: that set {id} lies below the mount point {} cannot be noted: {error}",
            root.display()
        ));
    }
    // Whoever removes the sets of pybackup need not have told the catalog, and its user may write to the day's folder alone.
    if task.as_pybackup.is_some() {
        return Ok(None);
    }
    marked.map_err(|error| {
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
