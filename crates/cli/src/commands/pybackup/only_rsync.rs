//! `pybackup only-rsync`

use super::dump::open_log;
use super::settings::{run_beside_others, settings};
use super::{Call, absolute};
use crate::commands::parse_bk_id;
use crate::commands::transfer::folder_of_set;
use crate::commands::validate::by_hand;
use crate::failure::{Failure, Status};
use mykeeper_config::pybackup::{ConfPart, PybackupConf, THE_DESTINATION};
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::transfer::send_folder;
use mykeeper_domain::DestinationName;
use mykeeper_domain::job::{Task, TransferTask};
use mykeeper_domain::retry::RetryPolicy;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

/// A set's `metadata` lies so far below what is named at the most: a folder of days, a day, a set, a database.
const DEEPEST: u32 = 3;
/// So many entries of one folder are looked at.
const MOST_ENTRIES: usize = 100_000;

pub(super) async fn run(
    call: &Call,
    conf: impl Fn(&[ConfPart]) -> anyhow::Result<PybackupConf>,
    (backup_dir, bk_id): (&Path, Option<&str>),
    log_file: &Path,
) -> anyhow::Result<Status> {
    let id = bk_id.map(parse_bk_id).transpose()?;
    let dir = absolute(backup_dir)?
        .canonicalize()
        .map_err(|error| Failure::usage(format!("--backup-dir {}: {error}", backup_dir.display())))?;
    let mut needed = vec![ConfPart::Rsync];
    if id.is_some() {
        needed.push(ConfPart::Catalog);
    }
    let conf = conf(&needed)?;
    if id.is_none() {
        refuse_what_is_no_set(&dir, &conf.file)?;
    }
    // Without an id nothing is recorded in the conf's catalog.
    let settings = settings(call, &conf, None, id.is_none())?;
    let log = open_log(log_file, &settings)?;
    let destination = DestinationName::new(THE_DESTINATION)?;
    let task = TransferTask {
        destination: destination.clone(),
        verify_every: None,
        verify: false,
    };
    let mut job = by_hand("pybackup only-rsync", Task::Transfer(task))?;
    job.retry = RetryPolicy {
        attempts: 4,
        delay: Duration::from_secs(5),
    };
    let dir = match id {
        Some(id) => folder_of_set(&dir, &id.to_string()),
        None => dir,
    };
    let work = move || -> Option<Work> {
        let (dir, destination) = (dir.clone(), destination.clone());
        Some(Box::new(move |context| {
            Box::pin(async move { send_folder(context, &dir, id, &destination).await })
        }))
    };
    run_beside_others(settings, job, &work, Some(log)).await
}

/// pybackup sent whatever folder it was called in, its conf with all passwords among it.
fn refuse_what_is_no_set(dir: &Path, conf: &Path) -> anyhow::Result<()> {
    let refused = |why: &str| {
        Err(Failure::usage(format!(
            "{} {why}: nothing is sent; name a set's folder, or a day's, with --backup-dir=<DIR>",
            dir.display()
        )))
    };
    if conf.canonicalize().is_ok_and(|conf| conf.starts_with(dir)) {
        return refused(&format!("holds the passwords in {}", conf.display()));
    }
    if !holds_a_set(dir, DEEPEST) {
        return refused("holds no set of mydumper's");
    }
    Ok(())
}

/// Whether mydumper has written a `metadata` into the folder, or into one that lies so far below it.
fn holds_a_set(dir: &Path, deep: u32) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let (folders, files): (Vec<_>, Vec<_>) = entries
        .take(MOST_ENTRIES)
        .partition(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let is_metadata = |name: &OsStr| {
        ["metadata", "metadata.partial"]
            .iter()
            .any(|known| name == *known)
    };
    files.iter().any(|file| is_metadata(&file.file_name()))
        || deep > 0 && folders.iter().any(|folder| holds_a_set(&folder.path(), deep - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_its_day_and_the_folder_of_days_are_sent_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let days = root.path().join("sets");
        let database = days.join("2017-11-15/0883fd06-e033-11e7-88ad-00163e0e2396/fandb");
        std::fs::create_dir_all(&database).unwrap();
        let conf = root.path().join("pybackup.conf");
        std::fs::write(&conf, "").unwrap();
        let refusal = |dir: &Path| {
            let dir = dir.canonicalize().unwrap();
            refuse_what_is_no_set(&dir, &conf)
                .err()
                .map(|error| error.to_string())
        };
        assert!(
            refusal(&days)
                .unwrap()
                .contains("holds no set of mydumper's: nothing is sent")
        );
        std::fs::write(database.join("metadata"), "").unwrap();
        let set = database.parent().unwrap();
        for dir in [&database, set, set.parent().unwrap(), &days] {
            assert_eq!(refusal(dir), None, "{}", dir.display());
        }
        assert!(refusal(root.path()).unwrap().contains("holds the passwords in"));
    }
}
