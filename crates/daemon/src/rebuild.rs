//! Makes the catalog's rows of sets from the sets' own records, where the catalog is gone.

use crate::removal::{Standing, standing};
use chrono::{DateTime, Utc};
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_domain::backup::{BACKUP_FAILED, Backup, Deletion};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{EVIDENCE_FILE, FORMAT_VERSION, MANIFEST_FILE, Manifest};
use mykeeper_domain::{BackupId, NodeName};
use mykeeper_tools::mydumper::read_set_record;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How far below the folder that a person names sets are looked for: `<server>/<destination>/<day>/<bk_id>`.
const DEEPEST: usize = 4;
/// Files that are named where several are missing.
const NAMED: usize = 3;

/// Said after rows were made.
pub const NOT_KNOWN_AGAIN: &str = "what only the catalog knew is not known again: runs, transfers, proofs, and which sets were \
                                   marked as deleted; a transfer job finds what has arrived, a validation job proves \
                                   anew. Until it has, retention removes none of these sets that is complete: \
                                   \"mykeeper validate --bk-id\" of the newest frees those before it";

/// What became of one folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its row was made, or would be.
    Added,
    /// Its row was made, or would be, and says that the set is not complete.
    Incomplete,
    /// The catalog knows it.
    Present,
    /// Another folder is the set, and its row is of that one.
    Copy,
    /// It has a record that cannot be used.
    Damaged,
    /// It has the name or the look of a set, and no record: unfinished, or made by another program.
    NoRecord,
}

impl Outcome {
    /// For people.
    pub fn text(self, dry_run: bool) -> &'static str {
        match (self, dry_run) {
            (Self::Added, false) => "added",
            (Self::Added, true) => "would be added",
            (Self::Incomplete, false) => "added as not complete",
            (Self::Incomplete, true) => "would be added as not complete",
            (Self::Present, _) => "already there",
            (Self::Copy, _) => "a copy",
            (Self::Damaged, _) => "damaged record",
            (Self::NoRecord, _) => "no record",
        }
    }
}

/// One folder that is, or looks like, a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where.
    pub path: PathBuf,
    /// The set, where it says which.
    pub bk_id: Option<BackupId>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, or what is worth a look.
    pub reason: Option<String>,
}

impl Finding {
    fn of(path: &Path, bk_id: Option<BackupId>, outcome: Outcome, reason: Option<String>) -> Self {
        Self {
            path: path.to_path_buf(),
            bk_id,
            outcome,
            reason,
        }
    }
}

/// The folders below `from` that are, or look like, sets, in order. Links are not followed.
///
/// # Errors
/// A sentence: `from` itself, or a folder below it, cannot be read.
pub fn find_sets(from: &Path) -> Result<Vec<PathBuf>, String> {
    let fail = |path: &Path, error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let root = from.canonicalize().map_err(|error| fail(from, error))?;
    let mut sets = Vec::new();
    let mut folders = vec![(root, 0)];
    while let Some((folder, depth)) = folders.pop() {
        if looks_like_a_set(&folder) {
            sets.push(folder);
            continue;
        }
        if depth == DEEPEST {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(|error| fail(&folder, error))? {
            let entry = entry.map_err(|error| fail(&folder, error))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    sets.sort();
    Ok(sets)
}

fn looks_like_a_set(folder: &Path) -> bool {
    id_of(folder).is_some()
        || [MANIFEST_FILE, EVIDENCE_FILE]
            .iter()
            .any(|name| folder.join(name).symlink_metadata().is_ok())
}

fn id_of(folder: &Path) -> Option<BackupId> {
    folder.file_name()?.to_str()?.parse().ok()
}

/// Makes rows of sets, where the catalog has none.
pub struct Rebuild<'a> {
    /// The catalog.
    pub catalog: &'a dyn Catalog,
    /// This machine.
    pub node: &'a NodeName,
    /// Folders on this machine that sets are sent to: what lies there is a copy.
    pub destinations: Vec<PathBuf>,
    /// The present instant.
    pub now: DateTime<Utc>,
    /// Only says what it would do.
    pub dry_run: bool,
}

/// What a folder with a set's record is to the set.
enum Role {
    /// Where the record says that the set lies; or where it has been moved to since, with its disk, say; or a folder
    /// on another machine than the one that made it.
    Own,
    /// Another than the one in this place, which is there, or which is all that there is.
    CopyOf(PathBuf),
}

impl Rebuild<'_> {
    /// Goes through the folders, sets' own before their copies. A set's own folder is looked at also where only a copy
    /// of it is among them. One finding for each folder.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn run(&self, folders: &[PathBuf]) -> Result<Vec<Finding>, CatalogError> {
        let mut findings: BTreeMap<PathBuf, Finding> = BTreeMap::new();
        let mut made = BTreeMap::new();
        let mut copies = BTreeMap::new();
        let mut waiting: Vec<PathBuf> = folders.iter().rev().cloned().collect();
        while let Some(folder) = waiting.pop() {
            if findings.contains_key(&folder) || copies.contains_key(&folder) {
                continue;
            }
            let record = match read_record(&folder).await {
                Ok(record) => record,
                Err((outcome, reason)) => {
                    let finding = Finding::of(&folder, id_of(&folder), outcome, Some(reason));
                    findings.insert(folder, finding);
                    continue;
                }
            };
            match self.role(&record.0, &folder) {
                Role::Own => {
                    let finding = self.make_row(record, &folder, &mut made).await?;
                    findings.insert(folder, finding);
                }
                Role::CopyOf(own) => {
                    waiting.extend(own.canonicalize().ok().filter(|own| own.is_dir()));
                    copies.insert(folder, own);
                }
            }
        }
        for (folder, own) in copies {
            let finding = self.judge_copy(&folder, &own, &mut made).await?;
            findings.insert(folder, finding);
        }
        Ok(findings.into_values().collect())
    }

    fn role(&self, backup: &Backup, folder: &Path) -> Role {
        let is_at_destination = self.destinations.iter().any(|root| folder.starts_with(root));
        let place = backup.folder();
        let is_here = place.is_dir();
        let is_own = place.canonicalize().is_ok_and(|own| own == folder);
        if backup.node.as_ref() != Some(self.node) || is_own || !(is_here || is_at_destination) {
            Role::Own
        } else {
            Role::CopyOf(place)
        }
    }

    /// The set's own folder has had its turn. Where it is gone, the copy alone tells of the set, whose place stays.
    async fn judge_copy(
        &self,
        folder: &Path,
        own: &Path,
        made: &mut BTreeMap<BackupId, PathBuf>,
    ) -> Result<Finding, CatalogError> {
        let of = format!("a copy of the set in {}", own.display());
        let Some(id) = id_of(folder) else {
            return Ok(Finding::of(folder, None, Outcome::Copy, Some(of)));
        };
        if made.contains_key(&id) || self.catalog.backup(id).await?.is_some() {
            return Ok(Finding::of(folder, Some(id), Outcome::Copy, Some(of)));
        }
        if own.is_dir() {
            let reason = format!(
                "{of}, whose own record cannot be used; with that folder out of the way, the row is made from this one"
            );
            return Ok(Finding::of(folder, Some(id), Outcome::Copy, Some(reason)));
        }
        match read_record(folder).await {
            Ok(record) => {
                let mut finding = self.make_row(record, folder, made).await?;
                let lone = format!("{of}, which is gone");
                finding.reason = Some(match finding.reason.take() {
                    Some(before) => format!("{lone}; {before}"),
                    None => lone,
                });
                Ok(finding)
            }
            Err((outcome, reason)) => Ok(Finding::of(folder, Some(id), outcome, Some(reason))),
        }
    }

    async fn make_row(
        &self,
        (backup, manifest, evidence): Record,
        folder: &Path,
        made: &mut BTreeMap<BackupId, PathBuf>,
    ) -> Result<Finding, CatalogError> {
        let id = backup.id;
        let finding = |outcome, reason| Finding::of(folder, Some(id), outcome, reason);
        if let Some(first) = made.get(&id) {
            let reason = format!("a second one: the row is of the set in {}", first.display());
            return Ok(finding(Outcome::Copy, Some(reason)));
        }
        if let Some(known) = self.catalog.backup(id).await? {
            let is_elsewhere = known.node.as_ref() == Some(self.node)
                && known.folder().canonicalize().is_ok_and(|dir| dir != folder);
            if known.deletion == Deletion::Deleted {
                let reason = "the catalog has it marked as deleted, and it is there".to_owned();
                return Ok(finding(Outcome::Present, Some(reason)));
            } else if is_elsewhere {
                let reason = format!("a copy of the set in {}", known.folder().display());
                return Ok(finding(Outcome::Copy, Some(reason)));
            }
            return Ok(finding(Outcome::Present, None));
        }
        let missing = missing_files(folder, &manifest).await;
        let mut backup = settle(backup, &missing);
        backup.rebuilt_at = Some(self.now);
        let is_moved =
            !backup.folder().is_dir() && !self.destinations.iter().any(|root| folder.starts_with(root));
        // Moved since, with the disk that it lies on, say. On another machine the maker's own place stays, and so it
        // does for a copy.
        if backup.node.as_ref() == Some(self.node) && is_moved {
            backup.dir = folder.to_path_buf();
        }
        if !self.dry_run && !self.catalog.insert_backup(&backup, &manifest, &evidence).await? {
            return Ok(finding(Outcome::Present, None));
        }
        made.insert(id, folder.to_path_buf());
        let outcome = if backup.is_complete() {
            Outcome::Added
        } else {
            Outcome::Incomplete
        };
        let elsewhere = (backup.node.as_ref() != Some(self.node))
            .then(|| {
                let maker = backup
                    .node
                    .as_ref()
                    .map_or("another machine", |node| node.as_str());
                format!("{maker} made it; \"mykeeper paths add\" says that its copies lie here")
            })
            .filter(|_| backup.is_complete());
        Ok(finding(outcome, backup.reason.clone().or(elsewhere)))
    }
}

pub(crate) type Record = (Backup, Manifest, Evidence);

/// The record that lies in a set's folder, or why there is none that can be used.
pub(crate) async fn read_record(folder: &Path) -> Result<Record, (Outcome, String)> {
    let damaged = |reason: String| Err((Outcome::Damaged, reason));
    let (manifest, evidence, digest) = match read_set_record(folder).await {
        Ok(Some(record)) => record,
        Ok(None) if folder.join(EVIDENCE_FILE).symlink_metadata().is_ok() => {
            return damaged(format!("it has no {MANIFEST_FILE}, which is written last"));
        }
        Ok(None) => {
            return Err((
                Outcome::NoRecord,
                "a dump that is not finished, or not all here yet, or one of another program: retention does not know it; \
                 remove the folder by hand when no run writes to it or sends it and you do not need it"
                    .to_owned(),
            ));
        }
        Err(error) => return damaged(error.to_string()),
    };
    let version = manifest.version.max(evidence.version);
    if version > FORMAT_VERSION {
        return damaged(format!(
            "its record has format {version}, and this program knows {FORMAT_VERSION}: use the mykeeper that wrote it"
        ));
    }
    let id = evidence.backup.id;
    if manifest.bk_id != id {
        return damaged(format!(
            "its manifest is of set {}, its evidence of {id}",
            manifest.bk_id
        ));
    }
    match id_of(folder) {
        Some(named) if named == id => {}
        Some(named) => {
            return damaged(format!(
                "its folder is called {named}, and its record is of set {id}"
            ));
        }
        None if standing(&folder.with_file_name(id.to_string())) == Standing::SetAside => {
            return damaged(
                "a retention job was about to remove it: give the folder its name again to keep it"
                    .to_owned(),
            );
        }
        None => return damaged(format!("its folder is not called {id}, as its record says")),
    }
    let backup = Backup {
        manifest_blake3: Some(digest),
        ..evidence.backup.clone()
    };
    Ok((backup, manifest, evidence))
}

/// The files that the manifest lists and that are not there with their size.
async fn missing_files(folder: &Path, manifest: &Manifest) -> Vec<String> {
    let listed: Vec<(String, u64)> = manifest
        .files
        .iter()
        .map(|file| (file.path.clone(), file.size_bytes))
        .collect();
    let folder = folder.to_path_buf();
    let looked = tokio::task::spawn_blocking(move || {
        let is_there = |path: &str, size: u64| {
            let is_plain = Path::new(path)
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            let found = folder.join(path).symlink_metadata();
            is_plain && found.is_ok_and(|found| found.is_file() && found.len() == size)
        };
        let missing = listed.into_iter().filter(|(path, size)| !is_there(path, *size));
        missing.map(|(path, _)| path).collect()
    });
    looked
        .await
        .unwrap_or_else(|error| vec![format!("(the look at them ended early: {error})")])
}

/// The row as the files are now.
fn settle(mut backup: Backup, missing: &[String]) -> Backup {
    if missing.is_empty() {
        return backup;
    }
    let named = missing[..missing.len().min(NAMED)].join(", ");
    let more = missing.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let lost = format!("files are missing or of another size: {named}{more}");
    backup.reason = Some(match backup.reason.take() {
        Some(before) if !backup.is_complete() => format!("{before}; {lost}"),
        _ => lost,
    });
    backup.complete = backup.complete.iter().map(|_| false).collect();
    backup.transfer_complete = BACKUP_FAILED.to_owned();
    backup.remote_dest = BACKUP_FAILED.to_owned();
    backup
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_found_at_any_depth_and_links_are_not_followed() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = || BackupId::generate().to_string();
        let (near, deep, far) = (id(), id(), id());
        let own = root.path().canonicalize().unwrap();
        let expected = [
            own.join("2026-11-22").join(&near),
            own.join("a/b/2026-11-22").join(&deep),
        ];
        for set in &expected {
            std::fs::create_dir_all(set.join("shop")).unwrap();
        }
        std::fs::create_dir_all(own.join("a/b/c/d/e").join(far)).unwrap();
        let victim = other.path().join(id());
        std::fs::create_dir(&victim).unwrap();
        std::os::unix::fs::symlink(&victim, own.join(id())).unwrap();
        std::os::unix::fs::symlink(other.path(), own.join("2026-11-23")).unwrap();
        assert_eq!(find_sets(root.path()).unwrap(), expected);
        let itself = find_sets(&expected[0]).unwrap();
        assert_eq!(itself, expected[..1]);
        let error = find_sets(&own.join("nowhere")).unwrap_err();
        assert!(error.contains("nowhere"), "{error}");
    }
}
