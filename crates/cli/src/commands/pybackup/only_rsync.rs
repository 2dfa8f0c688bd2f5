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
use std::path::Path;
use std::time::Duration;

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
