//! Where a set lies on this machine.

use crate::DaemonError;
use crate::disk::Disk;
use chrono_tz::Tz;
use mykeeper_catalog::{BackupPath, Catalog, CatalogError, Reach, is_shared};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, LOCAL_BACKUP};
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_domain::run::RunState;
use mykeeper_domain::transfer::TransferPurpose;
use mykeeper_domain::{DestinationName, NodeName};
use std::path::{Path, PathBuf};

/// Files of a set that a file system is asked for in one question.
const FILES_AT_A_TIME: usize = 500;

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

/// Every place where the set may lie on this machine, each once: the copy at the destination first, the original last.
pub fn places(backup: &Backup, paths: &[BackupPath], settings: &Settings, node: &NodeName) -> Vec<PathBuf> {
    let mut places = copy_places(backup, paths, settings);
    if let Some(own) = original(backup, node) {
        // A row of `user_backup_path` may name the folder of a job.
        places.retain(|place| *place != own);
        places.push(own);
    }
    places
}

/// The places of this machine where a copy of the set may lie, each once.
pub(crate) fn copy_places(backup: &Backup, paths: &[BackupPath], settings: &Settings) -> Vec<PathBuf> {
    let relative = relative_path(backup, settings.catalog.timezone);
    let told = paths
        .iter()
        .filter(|path| path.tag == backup.tag && !path.is_offline)
        .map(|path| Path::new(&path.real_path).join(&relative));
    let named = backup
        .transfer_to
        .iter()
        .filter_map(|name| settings.destinations.get(name));
    let sent = named.filter_map(|destination| match &destination.url {
        DestinationUrl::Local { path } => Some(path.join(&relative)),
        _ => None,
    });
    let mut places: Vec<PathBuf> = Vec::new();
    for place in told.chain(sent) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// What a question to the catalog is narrowed by for this node: of every set that [`places`] has a place for it is true.
pub(crate) fn reach(paths: &[BackupPath], settings: &Settings) -> Reach {
    let mut tags_here: Vec<String> = paths
        .iter()
        .filter(|path| !path.is_offline)
        .map(|path| path.tag.clone())
        .collect();
    tags_here.sort_unstable();
    tags_here.dedup();
    let local = settings
        .destinations
        .values()
        .filter(|destination| matches!(destination.url, DestinationUrl::Local { .. }));
    Reach {
        node: settings.node.clone(),
        tags_here,
        destinations: local.map(|destination| destination.name.clone()).collect(),
    }
}

/// The set's own folder, when this machine made it, or may have (pybackup did not write which machine did).
pub fn original(backup: &Backup, node: &NodeName) -> Option<PathBuf> {
    if backup.node.as_ref().is_some_and(|maker| maker != node) {
        return None;
    }
    Some(backup.folder())
}

/// Whether a node's name tells one machine from others.
pub(crate) fn is_named(node: &NodeName, settings: &Settings) -> bool {
    !(node.as_str().starts_with("localhost") && is_shared(&settings.catalog.url))
}

/// Whether no copy of a set without a manifest can be on its way: it has arrived, or pybackup was to send none, and what lies
/// at a place that was added was brought there by a person.
fn may_lie_anywhere(backup: &Backup) -> bool {
    let is_of_pybackup = backup.node.is_none();
    backup.is_transferred() || is_of_pybackup && backup.transfer_complete == LOCAL_BACKUP
}

/// Who is asked about the places of a set.
#[derive(Clone, Copy)]
pub struct Whereabouts<'a> {
    /// File systems that may not answer.
    pub disk: &'a Disk,
    /// Knows what has been sent where.
    pub catalog: &'a dyn Catalog,
    /// This node's files.
    pub settings: &'a Settings,
}

impl Whereabouts<'_> {
    /// The first of `places` that has a copy of the set, as far as that shows without reading it.
    ///
    /// # Errors
    /// It lies at none, and one of their file systems does not answer, or the catalog does not.
    pub async fn first_copy<'a>(
        &self,
        backup: &Backup,
        places: &'a [PathBuf],
    ) -> Result<Option<&'a PathBuf>, DaemonError> {
        let mut unknown = None;
        for place in places {
            match self.is_copy(backup, place).await {
                Ok(true) => return Ok(Some(place)),
                Ok(false) => {}
                Err(error) => unknown = Some(error),
            }
        }
        unknown.map_or(Ok(None), Err)
    }

    /// Whether a place has a copy: [`Whereabouts::is_whole`], and of a set without a manifest not what may be on its way.
    ///
    /// # Errors
    /// The file system or the catalog does not answer.
    pub async fn is_copy(&self, backup: &Backup, place: &Path) -> Result<bool, DaemonError> {
        if !self.is_whole(backup, place).await? {
            return Ok(false);
        }
        // Of one without a manifest nothing else shows that all of it is there.
        let is_own = original(backup, &self.settings.node).as_deref() == Some(place);
        let is_known = is_own || backup.manifest_blake3.is_some() || may_lie_anywhere(backup);
        Ok(is_known || self.has_manifest(place).await?)
    }

    /// Whether the set's folder is there, and not one that is still on its way: the manifest goes last. Where it has
    /// been seen to arrive, a manifest that is missing is damage. Sets of pybackup's have none.
    ///
    /// # Errors
    /// The file system or the catalog does not answer.
    pub async fn is_whole(&self, backup: &Backup, place: &Path) -> Result<bool, DaemonError> {
        if !self.disk.is_dir(place).await? {
            return Ok(false);
        }
        let is_own = original(backup, &self.settings.node).as_deref() == Some(place);
        if is_own || backup.manifest_blake3.is_none() || self.has_manifest(place).await? {
            return Ok(true);
        }
        self.has_arrived(backup, place).await
    }

    /// Whether all files of a set lie in a folder, each with its size, and its manifest; of a set whose files the catalog does
    /// not know (pybackup's), whether anything does. Where the file system does not answer none is seen.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub(crate) async fn holds_all(&self, backup: &Backup, folder: &Path) -> Result<bool, CatalogError> {
        let files = self.catalog.files(backup.id).await?;
        let manifest = backup
            .manifest_blake3
            .as_ref()
            .map(|_| folder.join(MANIFEST_FILE));
        let asked = folder.to_owned();
        let is_begun = self.disk.ask(("look at", folder), move || {
            let mut entries = asked.read_dir().into_iter().flatten();
            entries.any(|entry| entry.is_ok()) && manifest.is_none_or(|manifest| manifest.is_file())
        });
        if !is_begun.await.unwrap_or(false) {
            return Ok(false);
        }
        // A few at a time: a slow disk is not taken for one that does not answer.
        for some in files.chunks(FILES_AT_A_TIME) {
            let asked: Vec<(PathBuf, u64)> = some
                .iter()
                .map(|file| (folder.join(&file.path), file.size_bytes))
                .collect();
            let lie = self.disk.ask(("look through", folder), move || {
                let is_there = |(path, size): &(PathBuf, u64)| {
                    path.symlink_metadata()
                        .is_ok_and(|found| found.is_file() && found.len() == *size)
                };
                asked.iter().all(is_there)
            });
            if !lie.await.unwrap_or(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a manifest lies in `folder`.
    ///
    /// # Errors
    /// The file system does not answer.
    pub async fn has_manifest(&self, folder: &Path) -> Result<bool, DaemonError> {
        let manifest = folder.join(MANIFEST_FILE);
        let asked = self
            .disk
            .ask(("look at", folder), move || manifest.exists())
            .await?;
        Ok(asked)
    }

    async fn has_arrived(&self, backup: &Backup, place: &Path) -> Result<bool, DaemonError> {
        let relative = relative_path(backup, self.settings.catalog.timezone);
        let here: Vec<&DestinationName> = self
            .settings
            .destinations
            .values()
            .filter(|destination| match &destination.url {
                DestinationUrl::Local { path } => path.join(&relative) == place,
                _ => false,
            })
            .map(|destination| &destination.name)
            .collect();
        if here.is_empty() {
            return Ok(false);
        }
        let sent = self.catalog.transfers(backup.id).await?;
        let last = sent
            .iter()
            .filter(|transfer| {
                transfer.purpose == TransferPurpose::Send && here.contains(&&transfer.destination)
            })
            .max_by_key(|transfer| transfer.started_at);
        Ok(last.is_some_and(|transfer| transfer.state == RunState::Succeeded))
    }
}
