//! Writes what is known of a set into the set: evidence and manifest.

use crate::error::ToolError;
use crate::sync::{sync_file, sync_folder};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{EVIDENCE_FILE, FileEntry, MANIFEST_FILE, Manifest};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes the evidence, then the manifest, which lists the evidence too, and makes the whole set last: every file and
/// folder is synced before the manifest gets its name. Returns the BLAKE3 of the manifest, hexadecimal;
/// `manifest` then lists the evidence as the file does.
///
/// `held` is let go of once nothing more is written, however long that takes: where nobody waits for it any more, the
/// writing goes on.
///
/// # Errors
/// [`ToolError::Io`].
pub async fn write_set_record(
    set_dir: &Path,
    manifest: &mut Manifest,
    evidence: &Evidence,
    held: impl Send + 'static,
) -> Result<String, ToolError> {
    let (set_dir, mut listed) = (set_dir.to_owned(), manifest.clone());
    let evidence = json(evidence, &set_dir.join(EVIDENCE_FILE))?;
    let written = tokio::task::spawn_blocking(move || {
        let _held = held;
        let blake3 = blake3::hash(&evidence).to_hex().to_string();
        let size_bytes = evidence.len() as u64;
        sync_files(&set_dir, &listed.files)?;
        write_file(&set_dir, EVIDENCE_FILE, &evidence)?;
        listed
            .files
            .retain(|file| file.path != EVIDENCE_FILE && file.path != MANIFEST_FILE);
        listed.files.push(FileEntry {
            path: EVIDENCE_FILE.to_owned(),
            size_bytes,
            blake3,
            plain_bytes: size_bytes,
            rows: None,
        });
        listed.files.sort_by(|a, b| a.path.cmp(&b.path));
        let text = json(&listed, &set_dir.join(MANIFEST_FILE))?;
        write_file(&set_dir, MANIFEST_FILE, &text)?;
        if let Some(above) = set_dir.parent() {
            sync_folder(above)?;
        }
        Ok((blake3::hash(&text).to_hex().to_string(), listed))
    });
    let (digest, listed) = written.await.map_err(|error| ToolError::Failed {
        message: format!("cannot write the set's manifest: {error}"),
        passing: true,
    })??;
    *manifest = listed;
    Ok(digest)
}

/// Reads back what [`write_set_record`] wrote: manifest, evidence, and the manifest's BLAKE3; `None` where there is no manifest.
///
/// # Errors
/// [`ToolError::Io`], also for a record that cannot be understood, or evidence that is not the manifest's.
pub async fn read_set_record(set_dir: &Path) -> Result<Option<(Manifest, Evidence, String)>, ToolError> {
    let set_dir = set_dir.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let read = |name: &str| {
            let path = set_dir.join(name);
            std::fs::read(&path).map_err(|source| ToolError::Io {
                action: "read",
                path,
                source,
            })
        };
        let parse_error = |name: &str, cause: String| ToolError::Io {
            action: "read",
            path: set_dir.join(name),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, cause),
        };
        let text = match read(MANIFEST_FILE) {
            Err(ToolError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            text => text?,
        };
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| parse_error(MANIFEST_FILE, error.to_string()))?;
        let evidence = read(EVIDENCE_FILE)?;
        let digest = blake3::hash(&evidence).to_hex().to_string();
        if !manifest
            .files
            .iter()
            .any(|file| file.path == EVIDENCE_FILE && file.blake3 == digest)
        {
            return Err(parse_error(
                EVIDENCE_FILE,
                "it is not the file that the manifest lists".to_owned(),
            ));
        }
        let evidence: Evidence = serde_json::from_slice(&evidence)
            .map_err(|error| parse_error(EVIDENCE_FILE, error.to_string()))?;
        Ok(Some((
            manifest,
            evidence,
            blake3::hash(&text).to_hex().to_string(),
        )))
    });
    read.await.map_err(|error| ToolError::Failed {
        message: format!("cannot read the set's manifest: {error}"),
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
    sync_folder(dir)
}

fn sync_files(set_dir: &Path, files: &[FileEntry]) -> Result<(), ToolError> {
    let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files {
        let path = set_dir.join(&file.path);
        sync_file(&path)?;
        dirs.extend(path.parent().map(Path::to_owned));
    }
    dirs.iter().try_for_each(|dir| sync_folder(dir))
}
