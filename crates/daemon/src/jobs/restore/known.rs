//! What is known of a set that is to be restored: what the catalog has of it, or, where that cannot be asked or does not know
//! it, what the records in the set's own folder say.

use super::Obstacle;
use super::doubt::doubt;
use super::lying_here::{below, roots};
use super::proven::newest_passed;
use super::source::{next_whole, not_here, wanted_places};
use crate::copies::Known;
use crate::environment::Environment;
use crate::rebuild::{Outcome, read_record};
use crate::repair::fetching_by_itself;
use mykeeper_catalog::{BackupPath, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::job::{RestoreFrom, RestoreTask};
use mykeeper_domain::manifest::{FileEntry, MANIFEST_FILE, Manifest};
use mykeeper_domain::proof::Proof;
use mykeeper_domain::verification::Verification;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the record of one folder may take to be read: its disk may hang.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Said before the commands that bring a copy here while no place can be made known.
const FETCHED_BY: &str = "a copy of it is fetched, and restored from there, by:";

/// A set that may be restored, as far as that is known before its files are read.
pub(super) struct KnownSet {
    pub(super) backup: Backup,
    /// What nodes last found of its copies.
    pub(super) looks: Vec<Verification>,
    pub(super) files: Vec<FileEntry>,
    pub(super) evidence: Option<Evidence>,
    /// Of a set without a manifest: the newest proof that has passed.
    pub(super) proof: Option<Proof>,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Where else it may.
    pub(super) places: VecDeque<PathBuf>,
    pub(super) doubt: Option<String>,
    /// Whether the catalog could not tell of it.
    pub(super) by_own_record: bool,
}

/// # Errors
/// No such set; it is not here, not complete or going.
pub(super) async fn known_set(
    environment: &Environment,
    settings: &Settings,
    task: &RestoreTask,
) -> Result<KnownSet, Obstacle> {
    let untold = match Recorded::read(environment, task).await {
        Ok(Some(recorded)) => match recorded.has_its_files() {
            true => return Box::pin(recorded.find(environment, settings, task)).await,
            false => Untold::Waits(Box::new(recorded.backup)),
        },
        Ok(None) => Untold::Unknown,
        Err(error) if error.is_away() => Untold::Away(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    Box::pin(by_own_record(environment, settings, task, untold)).await
}

/// A set as the catalog has it.
struct Recorded {
    backup: Backup,
    paths: Vec<BackupPath>,
    looks: Vec<Verification>,
    files: Vec<FileEntry>,
    evidence: Option<Evidence>,
}

impl Recorded {
    async fn read(environment: &Environment, task: &RestoreTask) -> Result<Option<Self>, CatalogError> {
        let catalog = environment.catalog.as_ref();
        let Some(backup) = catalog.backup(task.set).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            backup,
            paths: catalog.paths().await?,
            looks: catalog.verifications(task.set).await?,
            files: catalog.files(task.set).await?,
            evidence: catalog.evidence(task.set).await?,
        }))
    }

    /// The row of a set whose record still waits in the journal is this machine's copy, which does without its files.
    fn has_its_files(&self) -> bool {
        self.backup.manifest_blake3.is_none() || !self.files.is_empty()
    }

    async fn find(
        self,
        environment: &Environment,
        settings: &Settings,
        task: &RestoreTask,
    ) -> Result<KnownSet, Obstacle> {
        let catalog = environment.catalog.as_ref();
        let backup = self.backup;
        may_be_restored(&backup)?;
        let mut places = wanted_places(task, &backup, &self.paths, settings);
        let all: Vec<PathBuf> = places.iter().cloned().collect();
        let Some(path) = next_whole(environment, (&backup, &task.from), &mut places).await? else {
            let known = Known::of(catalog, &backup).await?;
            return Err(not_here(settings, &backup, &known, &all));
        };
        let proof = match self.files.is_empty() {
            true => newest_passed(catalog.proofs(backup.id).await?),
            false => None,
        };
        Ok(KnownSet {
            doubt: doubt(settings, catalog, &backup).await?,
            backup,
            looks: self.looks,
            files: self.files,
            evidence: self.evidence,
            proof,
            path,
            places,
            by_own_record: false,
        })
    }
}

fn may_be_restored(backup: &Backup) -> Result<(), Obstacle> {
    let id = backup.id;
    // A set that is marked as deleted may still lie somewhere, at its destination say; one that is being removed is
    // half a set.
    if backup.deletion == Deletion::Deleting {
        let why = backup
            .deletion_reason
            .as_deref()
            .unwrap_or("no reason is recorded");
        return Err(Obstacle::Asked(format!("set {id} is being removed: {why}")));
    }
    if !backup.is_complete() {
        let why = backup.reason.as_deref().unwrap_or("no reason is recorded");
        return Err(Obstacle::Asked(format!(
            "set {id} is not complete and is not restored: {why}"
        )));
    }
    Ok(())
}

/// Why the catalog does not tell of a set.
enum Untold {
    /// It cannot be asked, for this reason.
    Away(String),
    /// It has no such set.
    Unknown,
    /// It has not taken yet what this machine has recorded of it.
    Waits(Box<Backup>),
}

impl Untold {
    /// For the begin of a sentence about set `id`.
    fn why(&self, id: BackupId) -> String {
        match self {
            Self::Away(cause) => format!("the catalog could not be asked ({cause})"),
            Self::Unknown => format!("the catalog knows no set {id}"),
            Self::Waits(_) => format!("the catalog does not have the record of set {id} yet"),
        }
    }

    /// `row` is what this machine's own copy of its records has of the set.
    fn doubt(&self, id: BackupId, row: Option<&Backup>) -> String {
        let manifest = match row {
            Some(_) => "whose manifest is the one that this machine wrote",
            None => "and nothing else tells whether that manifest is the one that was written",
        };
        format!(
            "{}: not known is whether set {id} has been proven, whether a copy of it was found to be damaged, and whether it is \
             marked as deleted; its files, and what comes back of them, are held against the manifest and the evidence in its own \
             folder, {manifest}",
            self.why(id)
        )
    }
}

/// Goes by the records that lie in the set's folder.
async fn by_own_record(
    environment: &Environment,
    settings: &Settings,
    task: &RestoreTask,
    untold: Untold,
) -> Result<KnownSet, Obstacle> {
    let id = task.set;
    let row = match &untold {
        // While a shared catalog is away the copy of what this machine has recorded itself answers.
        Untold::Away(_) => environment.catalog.backup(id).await.ok().flatten(),
        Untold::Waits(row) => Some((**row).clone()),
        Untold::Unknown => None,
    };
    if let Some(row) = &row {
        may_be_restored(row)?;
    }
    let mut places = candidates(environment, settings, task, row.as_ref()).await;
    let all: Vec<PathBuf> = places.iter().cloned().collect();
    let mut faults = Vec::new();
    while let Some(path) = places.pop_front() {
        match own_record(environment, &path, row.as_ref()).await {
            Ok(None) => {}
            Ok(Some((backup, manifest, evidence))) => {
                may_be_restored(&backup)?;
                return Ok(KnownSet {
                    doubt: Some(untold.doubt(id, row.as_ref())),
                    backup,
                    looks: Vec::new(),
                    files: manifest.files,
                    evidence: Some(evidence),
                    proof: None,
                    path,
                    places,
                    by_own_record: true,
                });
            }
            Err(fault) => faults.push(fault),
        }
    }
    Err(nowhere(settings, task, (&untold, row.as_ref()), (all, faults)))
}

/// The folders that may be the set's, those that were asked for alone; the first to be tried first.
async fn candidates(
    environment: &Environment,
    settings: &Settings,
    task: &RestoreTask,
    row: Option<&Backup>,
) -> VecDeque<PathBuf> {
    let id = task.set.to_string();
    let mut places = row.map_or_else(VecDeque::new, |row| wanted_places(task, row, &[], settings));
    let (sent, own) = roots(settings);
    let asked = match &task.from {
        RestoreFrom::Folder(folder) if folder.ends_with(&id) => {
            places.push_back(folder.clone());
            Vec::new()
        }
        RestoreFrom::Folder(folder) => vec![folder.clone()],
        RestoreFrom::Original => own,
        RestoreFrom::Destination => sent,
        RestoreFrom::Any => sent.into_iter().chain(own).collect(),
    };
    for root in asked {
        places.extend(
            below(environment, &root, Some(&id))
                .await
                .into_iter()
                .map(|found| found.path),
        );
    }
    let mut once = VecDeque::new();
    for place in places {
        if !once.contains(&place) {
            once.push_back(place);
        }
    }
    once
}

/// What lies in `place`, where there is anything; else why it cannot be used.
async fn own_record(
    environment: &Environment,
    place: &Path,
    row: Option<&Backup>,
) -> Result<Option<(Backup, Manifest, Evidence)>, String> {
    let shown = place.display();
    match environment.disk.is_dir(place).await {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    let read = tokio::time::timeout(READ_WITHIN, read_record(place))
        .await
        .map_err(|_| format!("{shown}: its disk is too slow for its record to be read"))?;
    let (record, manifest, evidence) = read.map_err(|(outcome, reason)| match outcome {
        Outcome::NoRecord => format!(
            "{shown} holds no {MANIFEST_FILE}, so that the catalog alone could tell what is in it: restore when it answers, or \
             load the files as README's \"Getting data back\" tells for a host that is lost"
        ),
        _ => format!("{shown}: {reason}"),
    })?;
    let digest = record.manifest_blake3.clone();
    match row {
        Some(row) if row.manifest_blake3.is_some() && row.manifest_blake3 != digest => Err(format!(
            "{shown}: its {MANIFEST_FILE} is not the one that this machine wrote"
        )),
        Some(row) => {
            let backup = Backup {
                manifest_blake3: digest,
                ..row.clone()
            };
            Ok(Some((backup, manifest, evidence)))
        }
        None => Ok(Some((record, manifest, evidence))),
    }
}

fn nowhere(
    settings: &Settings,
    task: &RestoreTask,
    (untold, row): (&Untold, Option<&Backup>),
    (places, faults): (Vec<PathBuf>, Vec<String>),
) -> Obstacle {
    let id = task.set;
    let why = untold.why(id);
    if !faults.is_empty() {
        return Obstacle::Missing(format!(
            "{why}, and no folder that has the set can be used: {}",
            faults.join("; ")
        ));
    }
    let looked = match &task.from {
        RestoreFrom::Folder(folder) => vec![folder.clone()],
        _ if places.is_empty() => {
            let (sent, own) = roots(settings);
            sent.into_iter().chain(own).collect()
        }
        _ => places,
    };
    let looked: Vec<String> = looked.iter().map(|place| place.display().to_string()).collect();
    let looked = match looked.as_slice() {
        [] => "no folder of sets is configured".to_owned(),
        looked => format!("looked for in {}", looked.join(", ")),
    };
    let what = format!("{why}, and its folder is not found on this machine ({looked})");
    let commands = row.and_then(|row| fetching_by_itself(settings, row));
    match commands {
        Some((fetch, folder)) => Obstacle::Away {
            what,
            how: FETCHED_BY,
            commands: vec![
                fetch,
                format!("mykeeper restore {id} --from {folder} --into {}", task.into),
            ],
        },
        None => {
            let what = format!("{what}; name the folder that has it with --from");
            match untold {
                Untold::Unknown => Obstacle::Asked(what),
                Untold::Away(_) | Untold::Waits(_) => Obstacle::Missing(what),
            }
        }
    }
}
