//! A look at a set's files, here and, where that can be had, at the destination. Blocks.

use super::original::{Halt, Original};
use crate::error::ToolError;
use mykeeper_domain::space::{Need, size_text};
use std::path::{Path, PathBuf};

/// What a look at the local set told.
pub(super) struct Seen {
    pub(super) total_bytes: u64,
    pub(super) largest: u64,
    pub(super) original: Option<Original>,
    /// The destination's folder is the set's own.
    pub(super) lies_there: bool,
}

/// `there` is where the destination's folder really lies. Blocks.
pub(super) fn look_at(set_dir: &Path, there: Option<&Path>) -> Result<Seen, Halt> {
    let (total_bytes, largest) = folder_sizes(set_dir)?;
    let original = Original::read(set_dir)?;
    let lies_there = there.is_some_and(|there| set_dir.canonicalize().is_ok_and(|own| own == there));
    Ok(Seen {
        total_bytes,
        largest,
        original,
        lies_there,
    })
}

/// What is still to be sent of a set: files that are not there, or of another size.
pub(super) fn missing(set_dir: &Path, there: &Path) -> Result<Need, ToolError> {
    let (mut bytes, mut files, mut total) = (0, 0, 0);
    each_file(set_dir, &mut |path, size| {
        total += size;
        let arrived = path
            .strip_prefix(set_dir)
            .ok()
            .and_then(|relative| there.join(relative).symlink_metadata().ok());
        if arrived.is_none_or(|arrived| arrived.len() != size) {
            bytes += size;
            files += 1;
        }
    })?;
    let arrived = match total - bytes {
        0 => String::new(),
        arrived => format!(", of which {} are there", size_text(arrived)),
    };
    Ok(Need {
        bytes,
        files,
        because: format!("the set has {}{arrived}", size_text(total)),
    })
}

/// Bytes of all files below `folder`, and of the largest.
fn folder_sizes(folder: &Path) -> Result<(u64, u64), ToolError> {
    let (mut total, mut largest) = (0, 0);
    each_file(folder, &mut |_, bytes| {
        total += bytes;
        largest = bytes.max(largest);
    })?;
    Ok((total, largest))
}

/// Every file below `folder` with its size.
fn each_file(folder: &Path, on_file: &mut dyn FnMut(&Path, u64)) -> Result<(), ToolError> {
    let fail = |path: &Path, source| ToolError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|source| fail(&folder, source))? {
            let entry = entry.map_err(|source| fail(&folder, source))?;
            let kind = entry.file_type().map_err(|source| fail(&folder, source))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = entry.metadata().map_err(|source| fail(&folder, source))?.len();
                on_file(&entry.path(), bytes);
            }
        }
    }
    Ok(())
}
