//! `mykeeper mark-deleted`: marks in the catalog alone.

use super::parse_bk_id;
use crate::args::MarkDeletedArgs;
use crate::failure::{Failure, Status};
use crate::output::{print, print_json, say};
use crate::surroundings::{load_settings, open_catalog};
use mykeeper_catalog::Catalog;
use mykeeper_domain::{BackupId, Clock, DestinationName, SystemClock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) async fn run(config: &Path, args: &MarkDeletedArgs, json: bool) -> anyhow::Result<Status> {
    let mut ids: BTreeSet<BackupId> = BTreeSet::new();
    for id in &args.bk_id {
        ids.insert(parse_bk_id(id)?);
    }
    let unread = collect(&args.backup_dir, ids_in, &mut ids)?;
    if ids.is_empty() {
        let dirs: Vec<String> = args
            .backup_dir
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        return Err(Failure::usage(format!(
            "no folder in {} has a bk_id for its name; nothing is marked",
            dirs.join(", ")
        )));
    }
    let catalog = open_catalog(&load_settings(config)?.settings).await?;
    let marked = mark(catalog.as_ref(), ids, "marked by hand", json).await;
    unread.conclude(marked)
}

/// Folders that were named and cannot be looked into.
pub(crate) struct Unread(Vec<String>);

impl Unread {
    /// The end of a command that has marked the others.
    pub(crate) fn conclude(self, marked: anyhow::Result<Status>) -> anyhow::Result<Status> {
        if self.0.is_empty() {
            return marked;
        }
        for problem in &self.0 {
            say(&format!("warning: {problem}"));
        }
        marked?;
        Err(Failure::job(format!(
            "{} of the folders that are named cannot be looked into, and no set in them is marked; the others are: {}",
            self.0.len(),
            self.0.join("; ")
        )))
    }
}

/// The sets of every folder that can be looked into.
///
/// # Errors
/// None of them can.
pub(crate) fn collect(
    dirs: &[PathBuf],
    ids_in: impl Fn(&Path) -> anyhow::Result<BTreeSet<BackupId>>,
    ids: &mut BTreeSet<BackupId>,
) -> anyhow::Result<Unread> {
    let mut unread = Vec::new();
    let mut is_read = !ids.is_empty();
    for dir in dirs {
        match ids_in(dir) {
            Ok(found) => {
                ids.extend(found);
                is_read = true;
            }
            Err(error) => unread.push(error.to_string()),
        }
    }
    if !is_read && !unread.is_empty() {
        return Err(Failure::usage(format!(
            "{}; nothing is marked",
            unread.join("; ")
        )));
    }
    Ok(Unread(unread))
}

/// Marks each, and says which the catalog does not know.
pub(crate) async fn mark(
    catalog: &dyn Catalog,
    ids: BTreeSet<BackupId>,
    reason: &str,
    json: bool,
) -> anyhow::Result<Status> {
    let (mut marked, mut unknown) = (Vec::new(), Vec::new());
    let mut copies: BTreeMap<BackupId, Vec<DestinationName>> = BTreeMap::new();
    for id in ids {
        // Marking forgets where copies have arrived; what cannot be told of them holds up no mark.
        let backup = catalog.backup(id).await.ok().flatten();
        if catalog.mark_deleted(id, reason, SystemClock.now()).await? {
            copies.insert(id, backup.map_or_else(Vec::new, |backup| backup.arrived));
            marked.push(id);
        } else {
            unknown.push(id);
        }
    }
    catalog.close().await;
    if json {
        print_json(&serde_json::json!({ "marked": marked, "unknown": unknown }))?;
    } else {
        for id in &marked {
            print(&format!(
                "set {id} is marked as deleted; no file was touched{}",
                copies_of(&copies, id)
            ))?;
        }
    }
    for id in &unknown {
        say(&format!("warning: the catalog knows no set {id}"));
    }
    Ok(match (marked.is_empty(), unknown.is_empty()) {
        (_, true) => Status::Done,
        (false, false) => Status::Warnings,
        (true, false) => {
            return Err(Failure::job(
                "none of these sets is in the catalog; nothing is marked",
            ));
        }
    })
}

/// The copies that stay.
fn copies_of(copies: &BTreeMap<BackupId, Vec<DestinationName>>, id: &BackupId) -> String {
    let names: Vec<&str> = copies
        .get(id)
        .into_iter()
        .flatten()
        .map(DestinationName::as_str)
        .collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(", and its copies stay at {}", names.join(", ")),
    }
}

/// The folder itself, its folders and their folders, as far as their names are bk_ids.
fn ids_in(dir: &Path) -> anyhow::Result<BTreeSet<BackupId>> {
    let id_of = |path: &Path| path.file_name()?.to_str()?.parse::<BackupId>().ok();
    // A set that has been removed already is known by its name alone.
    let own = match dir.canonicalize() {
        Ok(path) => id_of(&path),
        Err(_) => id_of(dir),
    };
    if let Some(id) = own {
        return Ok(BTreeSet::from([id]));
    }
    let mut ids = BTreeSet::new();
    for path in folders_in(dir)? {
        match id_of(&path) {
            Some(id) => {
                ids.insert(id);
            }
            None => ids.extend(folders_in(&path)?.iter().filter_map(|path| id_of(path))),
        }
    }
    Ok(ids)
}

fn folders_in(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)
        .map_err(|error| Failure::usage(format!("--backup-dir {}: {error}", dir.display())))?;
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}
