//! `mykeeper transfer`: sends a finished set by hand.

use super::run::{Shown, foreground};
use super::validate::by_hand;
use super::wanted_set::{WantedSet, find_in};
use crate::failure::{Failure, Status};
use crate::surroundings::{environment_or_journal, settings_said};
use mykeeper_config::Settings;
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::transfer::send_folder;
use mykeeper_domain::job::{Task, TransferTask};
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_domain::{BackupId, DestinationName};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn run(
    config: &Path,
    backup_dir: &Path,
    bk_id: Option<&str>,
    to: Option<&str>,
    json: bool,
) -> anyhow::Result<Status> {
    let wanted = bk_id.map(WantedSet::parse).transpose()?;
    let dir = backup_dir
        .canonicalize()
        .map_err(|error| Failure::usage(format!("--backup-dir {}: {error}", backup_dir.display())))?;
    if !dir.is_dir() {
        return Err(Failure::usage(format!(
            "--backup-dir {} is no folder",
            dir.display()
        )));
    }
    let settings = settings_said(config)?;
    let destination = choose_destination(&settings, to)?;
    let environment = environment_or_journal(settings).await?;
    let id = find_in(&environment, wanted).await?;
    let task = TransferTask {
        destination: destination.clone(),
        verify_every: None,
        verify: false,
    };
    let mut job = by_hand("transfer by hand", Task::Transfer(task))?;
    job.retry = RetryPolicy {
        attempts: 3,
        delay: Duration::from_secs(5),
    };
    let named = dir
        .file_name()
        .and_then(|name| name.to_str()?.parse::<BackupId>().ok());
    if let (Some(id), Some(named)) = (id, named)
        && id != named
    {
        return Err(Failure::usage(format!(
            "--backup-dir {} is the folder of set {named}, and --bk-id names {id}",
            dir.display()
        )));
    }
    let dir = match id {
        Some(id) => folder_of_set(&dir, &id.to_string()),
        None => dir,
    };
    let work: Work =
        Box::new(move |context| Box::pin(async move { send_folder(context, &dir, id, &destination).await }));
    foreground(
        environment,
        Arc::new(job),
        Some(work),
        Shown { verbose: false, json },
    )
    .await
}

/// The set's folder: the one named, one in it, or one in a day's folder in it.
pub(crate) fn folder_of_set(dir: &Path, id: &str) -> PathBuf {
    if dir.file_name().and_then(|name| name.to_str()) == Some(id) {
        return dir.to_path_buf();
    }
    let days = std::fs::read_dir(dir).into_iter().flatten().flatten();
    std::iter::once(dir.join(id))
        .chain(days.map(|day| day.path().join(id)))
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| dir.join(id))
}

fn choose_destination(settings: &Settings, to: Option<&str>) -> anyhow::Result<DestinationName> {
    let names: Vec<&str> = settings
        .destinations
        .keys()
        .map(DestinationName::as_str)
        .collect();
    match (to, names.as_slice()) {
        (Some(wanted), _) => settings
            .destinations
            .keys()
            .find(|name| name.as_str() == wanted)
            .cloned()
            .ok_or_else(|| {
                Failure::usage(format!(
                    "there is no destination {wanted:?} in {}; there are: {}",
                    settings.keeper_file.display(),
                    names.join(", ")
                ))
            }),
        (None, [_]) => settings
            .destinations
            .keys()
            .next()
            .cloned()
            .ok_or_else(|| Failure::usage("no destination")),
        (None, []) => Err(Failure::usage(format!(
            "no destination is configured; add a [destinations.NAME] to {}",
            settings.keeper_file.display()
        ))),
        (None, _) => Err(Failure::usage(format!(
            "say which destination with --to: {}",
            names.join(", ")
        ))),
    }
}
