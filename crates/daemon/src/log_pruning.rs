//! The logs of runs go when they are old; what the catalog has of the runs stays.

use crate::environment::Environment;
use crate::error::DaemonError;
use chrono::TimeDelta;
use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How often the daemon looks for old logs.
pub const PRUNED_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Removes the logs whose last line is older than `[logs] keep` says. Gives how many.
///
/// # Errors
/// Their folder cannot be read, or its disk does not answer. A log that cannot be removed is told in the log, and stays.
pub async fn prune_logs(environment: &Environment) -> Result<usize, DaemonError> {
    let Some(keep) = environment.settings().logs.keep else {
        return Ok(0);
    };
    let now: SystemTime = environment.clock.now().into();
    let Some(before) = now.checked_sub(keep) else {
        return Ok(0);
    };
    let shelves = environment.state.run_logs();
    let there = shelves.clone();
    let pruning = environment
        .disk
        .ask(("prune", &shelves), move || prune(&there, before));
    let pruned = pruning.await.map_err(DaemonError::Disk)?;
    pruned.map_err(|source| DaemonError::StateDir {
        action: "prune",
        path: shelves,
        source,
    })
}

/// Forgets the events that this node noticed longer ago than `[logs] keep` says. Gives how many.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn prune_events(environment: &Environment) -> Result<u64, DaemonError> {
    let keep = environment.settings().logs.keep;
    let before = keep
        .and_then(|keep| TimeDelta::from_std(keep).ok())
        .and_then(|keep| environment.clock.now().checked_sub_signed(keep));
    match before {
        None => Ok(0),
        Some(before) => Ok(environment
            .catalog
            .prune_events(&environment.node, before)
            .await?),
    }
}

fn prune(shelves: &Path, before: SystemTime) -> Result<usize, Error> {
    let mut pruned = 0;
    for shelf in entries(shelves)? {
        let (logs, mut left) = (entries(&shelf)?, 0);
        for log in logs {
            let is_old = fs::symlink_metadata(&log)
                .is_ok_and(|metadata| metadata.is_file() && metadata.modified().is_ok_and(|at| at < before));
            match is_old.then(|| fs::remove_file(&log)) {
                Some(Ok(())) => pruned += 1,
                Some(Err(error)) => {
                    left += 1;
                    tracing::warn!(log = %log.display(), %error, "an old log is left");
                }
                None => left += 1,
            }
        }
        // One that a run is about to write into is not empty for long; without it the run makes it anew.
        if left == 0 && is_old(&shelf, before) {
            let _ = fs::remove_dir(&shelf);
        }
    }
    Ok(pruned)
}

fn is_old(path: &Path, before: SystemTime) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.modified().is_ok_and(|at| at < before))
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn old_logs_go_and_newer_ones_stay() {
        let runs = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(86_400);
        for (name, age) in [
            ("01a20/old.log", 91),
            ("01a20/new.log", 89),
            ("01a1f/old.log", 100),
        ] {
            let path = runs.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(&path).unwrap();
            file.set_modified(now - day * age).unwrap();
        }
        File::open(runs.path().join("01a1f"))
            .unwrap()
            .set_modified(now - day * 100)
            .unwrap();
        assert_eq!(prune(runs.path(), now - day * 90).unwrap(), 2);
        assert!(runs.path().join("01a20/new.log").exists());
        assert!(!runs.path().join("01a20/old.log").exists() && !runs.path().join("01a1f/old.log").exists());
        assert_eq!(prune(runs.path(), now - day * 90).unwrap(), 0);
        assert_eq!(prune(&runs.path().join("none"), now).unwrap(), 0);
    }
}
