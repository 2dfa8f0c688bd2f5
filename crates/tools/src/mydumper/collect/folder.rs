//! The folder of a dump, and what its files are.

use crate::digest::{FileDigest, Stamp};
use crate::error::ToolError;
use inotify::{EventStream, Inotify, WatchMask};
use std::path::Path;

const EVENT_BUFFER_BYTES: usize = 64 * 1024;
/// Content kept of `metadata`, and of the small files that are looked into.
const METADATA_TEXT_BYTES: usize = 64 * 1024 * 1024;
const SCHEMA_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// Begins to watch a folder. Blocks.
///
/// # Errors
/// [`ToolError::Io`]: it is not there, or no more may be watched.
pub(crate) fn watch(dir: &Path) -> Result<EventStream<Vec<u8>>, ToolError> {
    let error = |source| ToolError::Io {
        action: "watch",
        path: dir.to_owned(),
        source,
    };
    let inotify = Inotify::init().map_err(error)?;
    let mask = WatchMask::CREATE
        | WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE
        | WatchMask::ONLYDIR;
    inotify.watches().add(dir, mask).map_err(error)?;
    inotify
        .into_event_stream(vec![0; EVENT_BUFFER_BYTES])
        .map_err(error)
}

pub(super) fn list(dir: &Path) -> Result<Vec<(String, Stamp)>, ToolError> {
    let error = |source| ToolError::Io {
        action: "list",
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        let metadata = entry.metadata().map_err(error)?;
        if metadata.is_file() {
            files.push((
                entry.file_name().to_string_lossy().into_owned(),
                Stamp::of(&metadata),
            ));
        }
    }
    Ok(files)
}

/// `metadata` is written from beginning to end of the dump, and is closed and renamed at its end.
pub(super) fn is_handled_early(name: &str) -> bool {
    !is_metadata(name)
}

/// Not the files of a database that is called `metadata_store`.
pub(super) fn is_metadata(name: &str) -> bool {
    name.strip_prefix("metadata").is_some_and(|rest| {
        let number = rest.strip_prefix(".partial.");
        matches!(rest, "" | ".partial" | ".header")
            || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// Whether what was read of a file, perhaps under another name, is all that is needed of `name`.
pub(super) fn serves(known: &FileDigest, name: &str) -> bool {
    known.text.is_some() || known.plain_bytes > text_bytes(name) as u64 || text_bytes(name) == 0
}

pub(super) fn text_bytes(name: &str) -> usize {
    let plain = crate::digest::Compression::strip(name);
    if is_metadata(name) {
        METADATA_TEXT_BYTES
    } else if ["-schema-post.sql", "-schema-triggers.sql", "-schema-create.sql"]
        .iter()
        .any(|end| plain.ends_with(end))
    {
        SCHEMA_TEXT_BYTES
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_may_be_called_metadata() {
        for name in [
            "metadata",
            "metadata.partial",
            "metadata.partial.0",
            "metadata.header",
        ] {
            assert_eq!(text_bytes(name), METADATA_TEXT_BYTES, "{name}");
        }
        for name in [
            "metadata.t.sql.gz",
            "metadata_store.t.sql",
            "metadata.partial.sql",
            "metadata.0.sql",
        ] {
            assert_eq!(text_bytes(name), 0, "{name}");
            assert!(is_handled_early(name), "{name}");
        }
    }
}
