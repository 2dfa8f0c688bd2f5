//! What a set holds of the wanted databases, and whether its files are as they were written.

use super::notes::notes;
use super::scope::Scope;
use crate::blocking::{READ_WITHIN, off_thread};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::log::NoLog;
use crate::prove::expect::{created_table, expect, untold};
use crate::prove::files::{Checked, SIZE_OF_FILES, check_files, digest_record, judge_manifest};
use crate::prove::lay_out;
use crate::prove::layout::{DatabaseFiles, Layout, SetFile, is_alias};
use crate::prove::{PlainFiles, ProveRequest};
use mykeeper_domain::BackupId;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::Difference;
use std::collections::{BTreeMap, BTreeSet};

/// So many of the files that are not restored are named.
const NAMED: usize = 3;

/// A set whose files have been read to their end.
#[derive(Clone, Debug)]
pub struct CheckedSet {
    /// Each names a file that is not as the manifest has it. None: the set may be loaded.
    pub differences: Vec<Difference>,
    /// Bytes read.
    pub bytes: u64,
    /// What is worth knowing before it is written: definitions that name what is not restored with them.
    pub notes: Vec<String>,
    /// Of a set without a manifest: what one in another place is held against.
    pub plain: PlainFiles,
    /// Rows of the files of each database, where they were counted.
    pub rows: BTreeMap<String, u64>,
    pub(super) layout: Layout,
}

/// What the manifest says of each wanted database: bytes of what is wanted of it, when decompressed. Empty for a set
/// without a manifest.
///
/// # Errors
/// The set's folder does not answer.
pub async fn survey_set(
    set: &ProveRequest<'_>,
    scope: &Scope,
    env: &ToolEnv<'_>,
) -> Result<BTreeMap<String, u64>, ToolError> {
    if set.files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let quiet = ToolEnv {
        log: &NoLog,
        ..env.clone()
    };
    let (layout, _) = wanted_part(set, lay_out(set, &mut listed(set), &quiet).await?, scope, env).await?;
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
    scope: &Scope,
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
        let all = lay_out(set, &mut listed(set), &quiet).await?;
        let (part, _) = wanted_part(set, all.clone(), scope, env).await?;
        let wanted: BTreeSet<&str> = paths_of(&part).collect();
        let others: BTreeSet<&str> = paths_of(&all).filter(|path| !wanted.contains(path)).collect();
        set.files
            .iter()
            .filter(|entry| !others.contains(entry.path.as_str()))
            .cloned()
            .collect()
    };
    let unread = unlike(set, &files, env).await?;
    let part = ProveRequest {
        files: &files,
        ..*set
    };
    let mut checked = check_files(&part, env).await?;
    // It may be that of another database, and what is left may be all that there is.
    let smaller = checked
        .differences
        .iter()
        .position(|one| one.object == SIZE_OF_FILES);
    let smaller = smaller.map(|at| checked.differences.remove(at));
    let read: BTreeSet<&str> = files.iter().map(|entry| entry.path.as_str()).collect();
    let of_others: BTreeSet<String> = set
        .files
        .iter()
        .filter(|entry| !read.contains(entry.path.as_str()))
        .map(|entry| format!("file {}", entry.path))
        .collect();
    let plain = match set.files.is_empty() {
        true => PlainFiles::of(&checked),
        false => PlainFiles::default(),
    };
    let read_layout = lay_out(set, &mut checked, env).await?;
    let (layout, missing) = wanted_part(set, read_layout, scope, env).await?;
    // To the check, files that were not asked for are strays.
    checked.differences.retain(|difference| {
        let is_ours = difference.database.is_empty() || scope.databases.contains(&difference.database);
        is_ours && !of_others.contains(&difference.object)
    });
    let gone = scope
        .databases
        .iter()
        .filter(|name| !layout.databases.contains_key(*name))
        .map(|name| (name.clone(), "files".to_owned()));
    let gone = gone.chain(
        missing
            .into_iter()
            .map(|(database, table)| (database, format!("file of table {table}"))),
    );
    checked
        .differences
        .extend(gone.map(|(database, object)| Difference {
            database,
            object,
            expected: "present".to_owned(),
            found: "missing".to_owned(),
        }));
    let notes = if checked.differences.is_empty() {
        let untold = match set.evidence {
            Some(_) => Vec::new(),
            None => untold(&expect((None, set.set_dir), &layout, &env.cancel).await?),
        };
        let (layout, scope) = (layout.clone(), scope.clone());
        let reading = move || notes(&layout, &scope);
        let mut notes = off_thread(("read", set.set_dir), READ_WITHIN, &env.cancel, reading).await?;
        notes.extend(of_the_rest(set.bk_id, &unread));
        notes.extend(of_manifest(set, env).await?);
        notes.extend(
            smaller.map(|smaller| format!("the set holds much less than when it was made: {smaller}")),
        );
        notes.extend(untold);
        notes
    } else {
        Vec::new()
    };
    let rows_of = |files: &DatabaseFiles| files.data.iter().map(|(_, file)| file.rows).sum::<Option<u64>>();
    let counted = layout.databases.iter();
    let rows = counted
        .filter_map(|(name, files)| Some((name.clone(), rows_of(files)?)))
        .collect();
    Ok(CheckedSet {
        rows,
        differences: checked.differences,
        bytes: checked.bytes,
        notes,
        plain,
        layout,
    })
}

/// The files of the manifest that are not among those `read`, and are missing or not as large as they were written.
///
/// # Errors
/// The set's folder does not answer.
async fn unlike(
    set: &ProveRequest<'_>,
    read: &[FileEntry],
    env: &ToolEnv<'_>,
) -> Result<Vec<String>, ToolError> {
    let read: BTreeSet<&str> = read.iter().map(|entry| entry.path.as_str()).collect();
    let rest: Vec<(String, u64)> = set
        .files
        .iter()
        .filter(|entry| !read.contains(entry.path.as_str()))
        .map(|entry| (entry.path.clone(), entry.size_bytes))
        .collect();
    let folder = set.set_dir.to_owned();
    let looking = move || {
        let is_unlike = |(path, size_bytes): &(String, u64)| {
            std::fs::metadata(folder.join(path)).map_or(true, |found| found.len() != *size_bytes)
        };
        Ok(rest.into_iter().filter(is_unlike).map(|(path, _)| path).collect())
    };
    off_thread(("look at", set.set_dir), READ_WITHIN, &env.cancel, looking).await
}

/// What is worth knowing of the copy's own manifest, where the catalog has that of the set.
///
/// # Errors
/// The set's folder does not answer, or the run was ended.
async fn of_manifest(set: &ProveRequest<'_>, env: &ToolEnv<'_>) -> Result<Option<String>, ToolError> {
    if set.manifest_blake3.is_none() {
        return Ok(None);
    }
    let (found, _) = digest_record(set.set_dir, &env.cancel).await?;
    Ok(judge_manifest(set.manifest_blake3, found.as_deref()).map(|difference| {
        format!(
            "the copy in {} is not as it was written: {difference}; what is restored was held against the catalog's record; \"mykeeper verify \
             --bk-id {}\" tells what mends it",
            set.set_dir.display(),
            set.bk_id
        )
    }))
}

/// What is worth knowing of files that nobody has read.
fn of_the_rest(id: BackupId, unlike: &[String]) -> Option<String> {
    let more = match unlike.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = &unlike[..unlike.len().min(NAMED)];
    (!named.is_empty()).then(|| {
        format!(
            "the set is damaged: not as written are {}{more}, of what is not restored; \"mykeeper verify --bk-id {id}\" tells \
             of all its files",
            named.join(", ")
        )
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

/// Files by what they are, and tables that have no file.
type Part = (Layout, Vec<(String, String)>);

/// What is wanted of a set, and the tables of it that no file defines.
async fn wanted_part(
    set: &ProveRequest<'_>,
    mut layout: Layout,
    scope: &Scope,
    env: &ToolEnv<'_>,
) -> Result<Part, ToolError> {
    layout.databases.retain(|name, _| scope.databases.contains(name));
    if scope.tables.is_empty() {
        return Ok((layout, Vec::new()));
    }
    let scope = scope.clone();
    off_thread(("read", set.set_dir), READ_WITHIN, &env.cancel, move || {
        Ok(take_tables(layout, &scope))
    })
    .await
}

/// Leaves of a database of which only tables are wanted their files alone, and those with triggers. May read: mydumper
/// 1.0 does not put every name into that of a file.
fn take_tables(mut layout: Layout, scope: &Scope) -> Part {
    let mut missing = Vec::new();
    for (database, tables) in &scope.tables {
        let Some(files) = layout.databases.get_mut(database) else {
            continue;
        };
        let real_name = |name: &String, file: &SetFile| {
            let read = is_alias(name).then(|| created_table(file)).flatten();
            read.unwrap_or_else(|| name.clone())
        };
        let mut in_files = BTreeSet::new();
        let mut defined = BTreeSet::new();
        files.schemas.retain(|(name, file)| {
            let table = real_name(name, file);
            let is_wanted = tables.contains(&table);
            if is_wanted {
                in_files.insert(name.clone());
                defined.insert(table);
            }
            is_wanted
        });
        files.data.retain(|(name, _)| in_files.contains(name));
        files.views.clear();
        files.post.clear();
        let undefined = tables.difference(&defined);
        missing.extend(undefined.map(|table| (database.clone(), table.clone())));
    }
    (layout, missing)
}

fn paths_of(layout: &Layout) -> impl Iterator<Item = &str> {
    layout
        .databases
        .values()
        .flat_map(files_of)
        .map(|file| file.path.as_str())
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
