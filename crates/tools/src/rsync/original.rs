//! Whether the local set still is what its manifest lists: a copy that differs from a damaged original may be the
//! last good one.

use crate::digest::digest_file_until;
use crate::error::ToolError;
use mykeeper_domain::manifest::{EVIDENCE_FILE, FileEntry, MANIFEST_FILE, Manifest};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The system's number for a disk that cannot read.
const EIO: i32 = 5;

/// Why nothing is sent, or no copy is judged.
pub(super) enum Halt {
    /// The tools, or the way there.
    Tool(ToolError),
    /// The local set is not what its manifest lists.
    Damaged(String),
}

impl From<ToolError> for Halt {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

/// The local set, as its manifest lists it.
#[derive(Clone, Debug)]
pub(super) struct Original {
    dir: PathBuf,
    files: Vec<FileEntry>,
}

impl Original {
    /// Reads the manifest and compares names and sizes with it; no content is read. `None` for a set that never had
    /// a manifest. Blocks.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, Halt> {
        let path = dir.join(MANIFEST_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // The evidence is never there without it in a set that is complete.
                return if dir.join(EVIDENCE_FILE).exists() {
                    Err(Halt::Damaged(format!("{MANIFEST_FILE} is missing")))
                } else {
                    Ok(None)
                };
            }
            Err(source) => return Err(unreadable(MANIFEST_FILE, path, source)),
        };
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| Halt::Damaged(format!("{MANIFEST_FILE} cannot be understood: {error}")))?;
        let original = Self {
            dir: dir.to_owned(),
            files: manifest.files,
        };
        let mut faults = Faults::default();
        for file in &original.files {
            let path = original.dir.join(&file.path);
            match std::fs::metadata(&path) {
                Ok(found) if !found.is_file() => faults.add(format!("{} is no file", file.path)),
                Ok(found) if found.len() != file.size_bytes => faults.add(format!(
                    "{} has {} bytes instead of {}",
                    file.path,
                    found.len(),
                    file.size_bytes
                )),
                Ok(_) => {}
                Err(error) if is_gone(&error) => faults.add(format!("{} is missing", file.path)),
                Err(source) => return Err(unreadable(&file.path, path, source)),
            }
        }
        faults.into_result()?;
        Ok(Some(original))
    }

    /// Reads those of `differing` that the manifest lists and compares their digests with it. Where the manifest
    /// itself differs, all are read: nothing else can tell which of the two is right. Blocks.
    pub(super) fn check(&self, differing: &[String], stop: &CancellationToken) -> Result<(), Halt> {
        let names: HashSet<&str> = differing.iter().map(String::as_str).collect();
        let all = names.contains(MANIFEST_FILE);
        let mut faults = Faults::default();
        for file in &self.files {
            if !all && !names.contains(file.path.as_str()) {
                continue;
            }
            // Without its name, so that it is read as it lies on disk and not decompressed.
            match digest_file_until(&self.dir.join(&file.path), "", 0, stop) {
                Ok(digest) if digest.blake3 == file.blake3 => {}
                Ok(_) => faults.add(format!("{} has changed since it was written", file.path)),
                Err(ToolError::Io { path, source, .. }) => match unreadable(&file.path, path, source) {
                    Halt::Damaged(fault) => faults.add(fault),
                    error @ Halt::Tool(_) => return Err(error),
                },
                Err(error) => return Err(error.into()),
            }
        }
        faults.into_result()
    }
}

/// The first fault and how many there are.
#[derive(Default)]
struct Faults {
    first: Option<String>,
    more: usize,
}

impl Faults {
    fn add(&mut self, fault: String) {
        if self.first.is_none() {
            self.first = Some(fault);
        } else {
            self.more += 1;
        }
    }

    fn into_result(self) -> Result<(), Halt> {
        match (self.first, self.more) {
            (None, _) => Ok(()),
            (Some(first), 0) => Err(Halt::Damaged(first)),
            (Some(first), more) => Err(Halt::Damaged(format!("{first}, and {more} more files"))),
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A file that is gone, or that the disk cannot give back, is damaged; any other trouble is none of the file's.
fn unreadable(name: &str, path: PathBuf, source: std::io::Error) -> Halt {
    if is_gone(&source) {
        Halt::Damaged(format!("{name} is missing"))
    } else if source.raw_os_error() == Some(EIO) {
        Halt::Damaged(format!("{name} cannot be read: {source}"))
    } else {
        Halt::Tool(ToolError::Io {
            action: "read",
            path,
            source,
        })
    }
}
