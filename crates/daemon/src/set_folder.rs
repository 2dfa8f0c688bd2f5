//! The folder of a new set: made, on disk before anything is written into it, and taken away where nothing was.

use crate::jobs::{JobError, RunContext};
use crate::removal::{Hold, share};
use std::fs::{DirBuilder, File};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const CREATE: &str = "create the set's folder";

/// Makes the day's folder in `directory` and the set's in that. The job's own directory must be there: it may be a
/// mount that is missing.
///
/// # Errors
/// It cannot be made; the file system does not answer in time, and then no folder is left behind when it does.
pub(crate) async fn create_set_dir(
    context: &RunContext,
    directory: &Path,
    set_dir: &Path,
) -> Result<(), JobError> {
    let (above, made) = (directory.to_owned(), set_dir.to_owned());
    let made = context
        .ask_disk((CREATE, set_dir), move || create(&above, made))
        .await??;
    let above = directory.to_owned();
    // A slow disk takes its time for this, and is not away.
    let syncing = tokio::task::spawn_blocking(move || sync_entries(&above, &made).map(|()| made));
    let synced = tokio::select! {
        synced = syncing => synced,
        () = context.cancel.cancelled() => return Err(JobError::cancelled()),
    };
    let mut made = synced.map_err(|error| JobError::fatal(format!("cannot {CREATE}: {error}")))??;
    made.is_wanted = true;
    Ok(())
}

/// Nothing was started: without a row for it no folder may be left. One that is not empty is not ours.
pub(crate) async fn remove_unused(context: &RunContext, set_dir: &Path) {
    let unused = set_dir.to_owned();
    let removed = context
        .environment
        .disk
        .ask(("remove", set_dir), move || std::fs::remove_dir(unused));
    match removed.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(dir = %set_dir.display(), %error, "a set's folder is left"),
        Err(error) => tracing::warn!(%error, "a set's folder is left"),
    }
}

/// The set's folder; removed again where nobody waits for it any more. Until then it is locked: whoever settles the
/// attempt leaves it alone, and records no set that is about to go.
struct Made {
    set_dir: PathBuf,
    is_wanted: bool,
    _lock: Hold,
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.is_wanted
            && let Err(error) = std::fs::remove_dir(&self.set_dir)
        {
            tracing::warn!(dir = %self.set_dir.display(), %error, "a set's folder that came too late is left");
        }
    }
}

fn create(directory: &Path, set_dir: PathBuf) -> Result<Made, JobError> {
    if !directory.is_dir() {
        return Err(fail(directory, &ErrorKind::NotFound.into()));
    }
    let make = |path: &Path| DirBuilder::new().mode(0o750).create(path);
    let day = set_dir.parent().unwrap_or(directory);
    match make(day) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(fail(day, &error)),
        _ => {}
    }
    make(&set_dir).map_err(|error| fail(&set_dir, &error))?;
    // Whoever was faster has found it, and records it as what the attempt has left.
    let Some(lock) = share(&set_dir) else {
        return Err(JobError::fatal(format!(
            "cannot {CREATE} {}: it was made too late",
            set_dir.display()
        )));
    };
    Ok(Made {
        set_dir,
        is_wanted: false,
        _lock: lock,
    })
}

/// A set that is complete must not go with a name that a power cut took: one sync for each folder that got an entry.
/// The day may be another run's, made a moment ago.
fn sync_entries(directory: &Path, made: &Made) -> Result<(), JobError> {
    let day = made.set_dir.parent().unwrap_or(directory);
    for folder in [directory, day] {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| fail(folder, &error))?;
    }
    Ok(())
}

fn fail(path: &Path, error: &Error) -> JobError {
    let hint = match error.kind() {
        ErrorKind::NotFound => "; create the directory, or mount it",
        ErrorKind::PermissionDenied => "; give the user that mykeeper runs as the right to write there",
        _ => "",
    };
    JobError::fatal(format!("cannot {CREATE} {}: {error}{hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::removal::hold;

    #[test]
    fn a_folder_that_nobody_waits_for_any_more_goes_and_one_of_another_stays() {
        let directory = tempfile::tempdir().unwrap();
        let set_dir = directory.path().join("2026-11-22/set");
        let mut made = create(directory.path(), set_dir.clone()).unwrap();
        made.is_wanted = true;
        drop(made);
        assert!(set_dir.is_dir());
        let error = create(directory.path(), set_dir.clone()).err().unwrap();
        assert!(error.reason.contains("exists"), "{}", error.reason);
        assert!(set_dir.is_dir(), "it is not the second one's");
        std::fs::remove_dir(&set_dir).unwrap();
        let made = create(directory.path(), set_dir.clone()).unwrap();
        let places = std::slice::from_ref(&set_dir);
        assert!(hold(places).is_none(), "whoever settles the attempt waits");
        drop(made);
        assert!(!set_dir.exists());
        let error = create(&directory.path().join("unmounted"), set_dir)
            .err()
            .unwrap();
        assert!(error.reason.contains("or mount it"), "{}", error.reason);
    }
}
