//! Writes what is known of a set into the set: evidence and manifest.

use crate::error::ToolError;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{EVIDENCE_FILE, FileEntry, MANIFEST_FILE, Manifest};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes the evidence, then the manifest, which lists the evidence too, and makes the whole set last: every file and
/// folder is synced before the manifest gets its name. Returns the BLAKE3 of the manifest, hexadecimal.
///
/// # Errors
/// [`ToolError::Io`].
pub async fn write_set_record(
    set_dir: &Path,
    manifest: &Manifest,
    evidence: &Evidence,
) -> Result<String, ToolError> {
    let (set_dir, mut manifest) = (set_dir.to_owned(), manifest.clone());
    let evidence = json(evidence, &set_dir.join(EVIDENCE_FILE))?;
    let written = tokio::task::spawn_blocking(move || {
        let blake3 = blake3::hash(&evidence).to_hex().to_string();
        let size_bytes = evidence.len() as u64;
        sync_files(&set_dir, &manifest.files)?;
        write_file(&set_dir, EVIDENCE_FILE, &evidence)?;
        manifest
            .files
            .retain(|file| file.path != EVIDENCE_FILE && file.path != MANIFEST_FILE);
        manifest.files.push(FileEntry {
            path: EVIDENCE_FILE.to_owned(),
            size_bytes,
            blake3,
            plain_bytes: size_bytes,
            rows: None,
        });
        manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
        let text = json(&manifest, &set_dir.join(MANIFEST_FILE))?;
        write_file(&set_dir, MANIFEST_FILE, &text)?;
        if let Some(above) = set_dir.parent() {
            sync(above)?;
        }
        Ok(blake3::hash(&text).to_hex().to_string())
    });
    written.await.map_err(|error| ToolError::Failed {
        message: format!("cannot write the set's manifest: {error}"),
        passing: true,
    })?
}

fn json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, ToolError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| ToolError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    text.push(b'\n');
    Ok(text)
}

/// Under another name first, so that a file of this name is always whole.
fn write_file(dir: &Path, name: &str, text: &[u8]) -> Result<(), ToolError> {
    let (path, partial) = (dir.join(name), dir.join(format!(".{name}.partial")));
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ToolError::Io { action, path, source }
    };
    let mut file = File::create(&partial).map_err(io("create", &partial))?;
    file.write_all(text).map_err(io("write", &partial))?;
    file.sync_all().map_err(io("sync", &partial))?;
    std::fs::rename(&partial, &path).map_err(io("rename", &partial))?;
    sync(dir)
}

fn sync_files(set_dir: &Path, files: &[FileEntry]) -> Result<(), ToolError> {
    let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files {
        let path = set_dir.join(&file.path);
        sync(&path)?;
        dirs.extend(path.parent().map(Path::to_owned));
    }
    dirs.iter().try_for_each(|dir| sync(dir))
}

fn sync(path: &Path) -> Result<(), ToolError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| ToolError::Io {
            action: "sync",
            path: path.to_owned(),
            source,
        })
}
