//! Where a set lies on this machine.

use crate::disk::{Disk, DiskError};
use chrono_tz::Tz;
use mykeeper_catalog::BackupPath;
use mykeeper_config::Settings;
use mykeeper_domain::NodeName;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::destination::DestinationUrl;
use std::path::{Path, PathBuf};

/// The folder between a root and the set: `<YYYY-MM-DD>/<bk_id>`.
///
/// The day is that of the set's own folder where it lies in one, else of `start_time` in the catalog's zone,
/// which is how pybackup's users find theirs.
pub fn relative_path(backup: &Backup, zone: Tz) -> String {
    let id = backup.id.to_string();
    // pybackup's own sets are found by their time, whatever their folder was called.
    let dir = match backup.node {
        Some(_) => backup.folder(),
        None => backup.dir.clone(),
    };
    let day_of_dir = (dir.file_name().and_then(|name| name.to_str()) == Some(id.as_str()))
        .then(|| dir.parent()?.file_name()?.to_str())
        .flatten()
        .filter(|day| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok());
    let day = day_of_dir.map_or_else(|| day_folder(backup.started_at, zone), str::to_owned);
    format!("{day}/{id}")
}

/// The name of the folder for sets that are started at `instant`.
pub fn day_folder(instant: chrono::DateTime<chrono::Utc>, zone: Tz) -> String {
    instant.with_timezone(&zone).format("%Y-%m-%d").to_string()
}

/// Every place where the set may lie on this machine, the copy at the destination first, the original last.
pub fn places(backup: &Backup, paths: &[BackupPath], settings: &Settings, node: &NodeName) -> Vec<PathBuf> {
    let relative = relative_path(backup, settings.catalog.timezone);
    let mut places: Vec<PathBuf> = paths
        .iter()
        .filter(|path| path.tag == backup.tag && !path.is_offline)
        .map(|path| Path::new(&path.real_path).join(&relative))
        .collect();
    for name in &backup.transfer_to {
        if let Some(destination) = settings.destinations.get(name)
            && let DestinationUrl::Local { path } = &destination.url
        {
            places.push(path.join(&relative));
        }
    }
    places.extend(original(backup, node));
    places
}

/// The set's own folder, when this machine made it, or may have (pybackup did not write which machine did).
pub fn original(backup: &Backup, node: &NodeName) -> Option<PathBuf> {
    if backup.node.as_ref().is_some_and(|maker| maker != node) {
        return None;
    }
    Some(backup.folder())
}

/// The first of `places` that is there.
///
/// # Errors
/// None is, and one of their file systems does not answer.
pub async fn first_present<'a>(disk: &Disk, places: &'a [PathBuf]) -> Result<Option<&'a PathBuf>, DiskError> {
    let mut unknown = None;
    for place in places {
        match disk.is_dir(place).await {
            Ok(true) => return Ok(Some(place)),
            Ok(false) => {}
            Err(error) => unknown = Some(error),
        }
    }
    unknown.map_or(Ok(None), Err)
}
