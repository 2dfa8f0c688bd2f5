//! Every file of a set, against its manifest, before anything is loaded.

use super::ProveRequest;
use super::layout::SetFile;
use super::verify::PlainFiles;
use crate::blocking::{READ_WITHIN, off_thread};
use crate::content::FileContent;
use crate::digest::{Compression, FileDigest, digest_file_until};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::log::Progress;
use futures::{StreamExt, TryStreamExt, stream};
use mykeeper_domain::backup::{du_bytes, du_size};
use mykeeper_domain::manifest::{EVIDENCE_FILE, FileEntry, MANIFEST_FILE};
use mykeeper_domain::proof::Difference;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How many files are read at a time.
const AT_ONCE: usize = 2;
/// The name of a file that a dump writes last.
pub(super) const METADATA: &str = "metadata";
/// That of mydumper 1.0 has a section for each table.
const METADATA_BYTES: usize = 64 << 20;

/// What a file takes on a file system with large blocks.
const LARGE_BLOCK: u64 = 64 << 10;
/// The object of a difference that is of the whole set, and of no file.
pub(crate) const SIZE_OF_FILES: &str = "size of the files";

/// What the set's files are like.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) files: Vec<SetFile>,
    /// Each names a file.
    pub(crate) differences: Vec<Difference>,
    /// That were read, as they lie on disk.
    pub(crate) bytes: u64,
    /// Files that the manifest does not know and that no loader would read.
    pub(crate) strangers: Vec<String>,
    /// What the rows of files are, by path, where that can be told.
    pub(crate) contents: BTreeMap<String, FileContent>,
    /// The text of each `metadata`, by path.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Reads every file of the set once.
///
/// # Errors
/// The set's folder cannot be read, or the run was cancelled.
pub(crate) async fn check_files(request: &ProveRequest<'_>, env: &ToolEnv<'_>) -> Result<Checked, ToolError> {
    let folder = request.set_dir.to_owned();
    let present = off_thread(("read", request.set_dir), READ_WITHIN, &env.cancel, move || {
        list_files(&folder)
    })
    .await?;
    let mut checked = Checked::default();
    let listed: Vec<FileEntry> = if request.files.is_empty() {
        present
            .iter()
            .filter(|path| is_of_a_dump(path))
            .map(|path| unlisted(path))
            .collect()
    } else {
        request.files.to_vec()
    };
    note_strays(request, &present, &mut checked);
    let total: u64 = listed.iter().map(|entry| entry.size_bytes).sum();
    let progress = |done_bytes| {
        env.log.progress(Progress {
            phase: "verify",
            done_bytes,
            total_bytes: (total > 0).then_some(total),
        });
    };
    progress(0);
    let tasks = listed.into_iter().map(|entry| {
        let path = request.set_dir.join(&entry.path);
        let is_plain_path = Path::new(&entry.path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        async move {
            if !is_plain_path {
                return Ok((entry, path, None));
            }
            let (name, at, stop) = (entry.path.clone(), path.clone(), env.cancel.clone());
            let keep_bytes = if is_metadata(&name) { METADATA_BYTES } else { 0 };
            // However large it is: its end is that of the run.
            let digest = off_thread(("read", &path), Duration::MAX, &env.cancel, move || {
                if !is_file(&at)? {
                    return Ok(None);
                }
                digest_file_until(&at, &name, keep_bytes, &stop).map(Some)
            })
            .await?;
            Ok::<_, ToolError>((entry, path, digest))
        }
    });
    let (mut done_bytes, mut taken_bytes) = (0, 0_u64);
    let mut reading = stream::iter(tasks).buffered(AT_ONCE);
    while let Some((entry, path, mut digest)) = reading.try_next().await? {
        done_bytes += entry.size_bytes;
        progress(done_bytes);
        let size_bytes = digest.as_ref().map_or(0, |digest| digest.stamp.size_bytes);
        checked.bytes += size_bytes;
        taken_bytes += size_bytes
            .max(1)
            .div_ceil(LARGE_BLOCK)
            .saturating_mul(LARGE_BLOCK);
        let (difference, rows, plain_bytes) = judge(&entry, digest.as_ref());
        checked.differences.extend(difference);
        if let Some(digest) = &mut digest {
            let content = digest.content.take();
            checked
                .contents
                .extend(content.map(|content| (entry.path.clone(), content)));
            let text = digest
                .text
                .take()
                .map(|text| String::from_utf8_lossy(&text).into_owned());
            checked
                .metadata
                .extend(text.map(|text| (entry.path.clone(), text)));
        }
        checked.files.push(SetFile {
            path: entry.path,
            real: path,
            plain_bytes,
            rows,
        });
    }
    checked
        .differences
        .extend(much_smaller(request, taken_bytes, checked.bytes));
    // Without a manifest, what it lacks shows in the others, too.
    let own = PlainFiles::of(&checked);
    for (place, there) in request.beside {
        checked.differences.extend(own.differences_from(there, place));
    }
    Ok(checked)
}

/// What a set without a manifest has lost by its size, beyond all that file systems and ways of measuring differ in: it is less
/// than half of what was recorded, each file taken for a large block at least.
fn much_smaller(request: &ProveRequest<'_>, taken_bytes: u64, bytes: u64) -> Option<Difference> {
    let text = request.recorded_size.filter(|_| request.files.is_empty())?;
    let recorded = du_bytes(text)?;
    (taken_bytes < recorded / 2).then(|| Difference {
        database: String::new(),
        object: SIZE_OF_FILES.to_owned(),
        expected: format!("about {}, as its row says (bk_size)", text.trim()),
        found: du_size(bytes),
    })
}

/// BLAKE3 of the manifest and of the evidence that lie in the set's folder; `None` for one that does not.
///
/// # Errors
/// The set's folder does not answer, or the run was ended.
pub(crate) async fn digest_record(
    set_dir: &Path,
    cancel: &CancellationToken,
) -> Result<(Option<String>, Option<String>), ToolError> {
    let folder = set_dir.to_owned();
    off_thread(("read", set_dir), READ_WITHIN, cancel, move || {
        let digest = |name: &str| digest_bytes(&folder.join(name));
        Ok((digest(MANIFEST_FILE)?, digest(EVIDENCE_FILE)?))
    })
    .await
}

/// What is wrong with a manifest that has this digest, where the catalog has the other. Who rewrites a file may rewrite
/// the manifest to match.
pub(crate) fn judge_manifest(expected: Option<&str>, found: Option<&str>) -> Option<Difference> {
    let (what, expected, found) = match (expected?, found) {
        (expected, Some(found)) if found.eq_ignore_ascii_case(expected) => return None,
        (expected, Some(found)) => (", BLAKE3", expected, found),
        (_, None) => ("", "present", "missing"),
    };
    Some(Difference {
        database: String::new(),
        object: format!("file {MANIFEST_FILE}{what}"),
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

/// BLAKE3 of a plain file; `None` where there is none.
fn digest_bytes(path: &Path) -> Result<Option<String>, ToolError> {
    // A pipe would never end.
    if !is_file(path)? {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    let read = std::fs::File::open(path).and_then(|file| hasher.update_reader(file).map(drop));
    match read {
        Ok(()) => Ok(Some(hasher.finalize().to_hex().to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ToolError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether a plain file is there.
///
/// # Errors
/// That cannot be told: the file system fails, or its folder may not be looked into. Nobody has seen it missing then.
fn is_file(path: &Path) -> Result<bool, ToolError> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(ToolError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// What is wrong with one file, if anything is; its rows and plain bytes.
fn judge(entry: &FileEntry, digest: Option<&FileDigest>) -> (Option<Difference>, Option<u64>, u64) {
    let differ = |what: &str, expected: String, found: String| {
        Some(Difference {
            database: database_of(&entry.path),
            object: format!("file {}{what}", entry.path),
            expected,
            found,
        })
    };
    let Some(digest) = digest else {
        return (
            differ("", "present".into(), "missing".into()),
            entry.rows,
            entry.plain_bytes,
        );
    };
    let counted = (digest.rows, digest.plain_bytes);
    let difference = if entry.blake3.is_empty() || digest.blake3.is_empty() {
        digest
            .fault
            .as_ref()
            .and_then(|fault| differ("", "readable to its end".into(), fault.clone()))
    } else if digest.stamp.size_bytes != entry.size_bytes {
        differ(
            ", bytes",
            entry.size_bytes.to_string(),
            digest.stamp.size_bytes.to_string(),
        )
    } else if !digest.blake3.eq_ignore_ascii_case(&entry.blake3) {
        differ(", BLAKE3", entry.blake3.clone(), digest.blake3.clone())
    } else {
        digest
            .fault
            .as_ref()
            .and_then(|fault| differ("", "readable to its end".into(), fault.clone()))
    };
    (difference, Some(counted.0), counted.1)
}

/// The folder that a file of a per-database set lies in; empty for a file of a set with one folder.
pub(super) fn database_of(path: &str) -> String {
    path.split_once('/')
        .map(|(folder, _)| folder.to_owned())
        .unwrap_or_default()
}

fn unlisted(path: &str) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        size_bytes: 0,
        blake3: String::new(),
        plain_bytes: 0,
        rows: None,
    }
}

pub(super) fn is_of_a_dump(path: &str) -> bool {
    is_metadata(path) || is_sql(path)
}

fn is_metadata(path: &str) -> bool {
    path.rsplit('/').next() == Some(METADATA)
}

fn is_sql(name: &str) -> bool {
    Compression::strip(name).ends_with(".sql")
}

/// Files that the manifest does not know; and, without a manifest, folders whose dump did not end.
fn note_strays(request: &ProveRequest<'_>, present: &BTreeSet<String>, checked: &mut Checked) {
    let mut differ = |path: &str, expected: &str, found: &str| {
        checked.differences.push(Difference {
            database: database_of(path),
            object: format!("file {path}"),
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    };
    if request.files.is_empty() {
        let folders: BTreeSet<&str> = present
            .iter()
            .filter(|path| is_sql(path))
            .map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder))
            .collect();
        for folder in folders {
            let metadata = if folder.is_empty() {
                METADATA.to_owned()
            } else {
                format!("{folder}/{METADATA}")
            };
            if !present.contains(&metadata) {
                differ(&metadata, "present", "missing");
            }
        }
        return;
    }
    let listed: BTreeSet<&str> = request.files.iter().map(|entry| entry.path.as_str()).collect();
    let (sql, others): (Vec<&String>, Vec<&String>) = present
        .iter()
        .filter(|path| !listed.contains(path.as_str()))
        .partition(|path| is_sql(path));
    for path in sql {
        differ(path, "absent", "present");
    }
    checked.strangers.extend(others.into_iter().cloned());
}

/// The files below a folder, relative to it. Folders that begin with a dot are rsync's.
pub(super) fn list_files(set_dir: &Path) -> Result<BTreeSet<String>, ToolError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| ToolError::Io {
            action: "read",
            path,
            source,
        }
    };
    let mut files = BTreeSet::new();
    let mut folders: Vec<(PathBuf, String)> = vec![(set_dir.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(fail(&folder))? {
            let entry = entry.map_err(fail(&folder))?;
            let kind = entry.file_type().map_err(fail(&folder))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = format!("{prefix}{name}");
            if kind.is_dir() && !name.starts_with(".rsync-partial") {
                folders.push((entry.path(), format!("{path}/")));
            } else if !kind.is_dir() && path != MANIFEST_FILE && path != EVIDENCE_FILE {
                files.insert(path);
            }
        }
    }
    Ok(files)
}
