//! What a set holds of the wanted databases, and whether its files are as they were written.

use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::log::NoLog;
use crate::prove::ProveRequest;
use crate::prove::files::{Checked, check_files};
use crate::prove::lay_out;
use crate::prove::layout::{DatabaseFiles, Layout, SetFile};
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::Difference;
use std::collections::{BTreeMap, BTreeSet};

/// A set whose files have been read to their end.
#[derive(Clone, Debug)]
pub struct CheckedSet {
    /// Each names a file that is not as the manifest has it. None: the set may be loaded.
    pub differences: Vec<Difference>,
    /// Bytes read.
    pub bytes: u64,
    pub(super) layout: Layout,
}

/// What the manifest says of each wanted database: bytes when decompressed. Empty for a set without a manifest.
///
/// # Errors
/// The set's folder does not answer.
pub async fn survey_set(
    set: &ProveRequest<'_>,
    wanted: &[String],
    env: &ToolEnv<'_>,
) -> Result<BTreeMap<String, u64>, ToolError> {
    if set.files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let quiet = ToolEnv {
        log: &NoLog,
        ..env.clone()
    };
    let layout = wanted_part(lay_out(set, &mut listed(set), &quiet).await?, wanted);
    Ok(layout
        .databases
        .iter()
        .map(|(name, files)| (name.clone(), files.plain_bytes()))
        .collect())
}

/// Reads every file of the wanted databases and compares it with the manifest.
///
/// # Errors
/// The set's folder cannot be read, or the run was ended.
pub async fn check_set(
    set: &ProveRequest<'_>,
    wanted: &[String],
    env: &ToolEnv<'_>,
) -> Result<CheckedSet, ToolError> {
    // Files of other databases need not be read; without a manifest, reading tells whose they are.
    let files: Vec<FileEntry> = if set.files.is_empty() {
        Vec::new()
    } else {
        let quiet = ToolEnv {
            log: &NoLog,
            ..env.clone()
        };
        let layout = lay_out(set, &mut listed(set), &quiet).await?;
        let others: BTreeSet<&str> = layout
            .databases
            .iter()
            .filter(|(name, _)| !wanted.contains(name))
            .flat_map(|(_, files)| files_of(files))
            .map(|file| file.path.as_str())
            .collect();
        set.files
            .iter()
            .filter(|entry| !others.contains(entry.path.as_str()))
            .cloned()
            .collect()
    };
    let part = ProveRequest {
        files: &files,
        ..*set
    };
    let mut checked = check_files(&part, env).await?;
    let read: BTreeSet<&str> = files.iter().map(|entry| entry.path.as_str()).collect();
    let of_others: BTreeSet<String> = set
        .files
        .iter()
        .filter(|entry| !read.contains(entry.path.as_str()))
        .map(|entry| format!("file {}", entry.path))
        .collect();
    let layout = wanted_part(lay_out(set, &mut checked, env).await?, wanted);
    // To the check, files that were not asked for are strays.
    checked.differences.retain(|difference| {
        let is_ours = difference.database.is_empty() || wanted.contains(&difference.database);
        is_ours && !of_others.contains(&difference.object)
    });
    for name in wanted.iter().filter(|name| !layout.databases.contains_key(*name)) {
        checked.differences.push(Difference {
            database: name.clone(),
            object: "files".to_owned(),
            expected: "present".to_owned(),
            found: "missing".to_owned(),
        });
    }
    Ok(CheckedSet {
        differences: checked.differences,
        bytes: checked.bytes,
        layout,
    })
}

/// The files as the manifest lists them, unread.
fn listed(set: &ProveRequest<'_>) -> Checked {
    let files = set
        .files
        .iter()
        .map(|entry| SetFile {
            path: entry.path.clone(),
            real: set.set_dir.join(&entry.path),
            plain_bytes: entry.plain_bytes,
            rows: entry.rows,
        })
        .collect();
    Checked {
        files,
        ..Checked::default()
    }
}

fn wanted_part(mut layout: Layout, wanted: &[String]) -> Layout {
    layout.databases.retain(|name, _| wanted.contains(name));
    layout
}

fn files_of(files: &DatabaseFiles) -> impl Iterator<Item = &SetFile> {
    let tables = files
        .schemas
        .iter()
        .chain(&files.data)
        .chain(&files.views)
        .map(|(_, file)| file);
    tables
        .chain(&files.create)
        .chain(&files.triggers)
        .chain(&files.post)
}
