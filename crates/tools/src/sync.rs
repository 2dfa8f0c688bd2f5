//! Syncing: what was written is on the disk, and not in the memory of the machine alone. Blocks.

use crate::error::ToolError;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;

/// # Errors
/// [`ToolError::Io`]: it may be lost with the power.
pub(crate) fn sync_file(path: &Path) -> Result<(), ToolError> {
    failing_at(path, File::open(path).and_then(|file| file.sync_all()))
}

/// Syncs which names a folder holds. Some file systems, CIFS and FUSE among them, know no such thing of a folder and say so:
/// that is no error, as there is nothing that could be done.
///
/// # Errors
/// [`ToolError::Io`]: what was made or renamed in it may be lost with the power.
pub(crate) fn sync_folder(path: &Path) -> Result<(), ToolError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    let knows_none = |error: &io::Error| {
        let errno = Errno::from_io_error(error);
        matches!(errno, Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
    };
    match synced {
        Err(error) if knows_none(&error) => Ok(()),
        synced => failing_at(path, synced),
    }
}

fn failing_at(path: &Path, synced: io::Result<()>) -> Result<(), ToolError> {
    synced.map_err(|source| ToolError::Io {
        action: "sync",
        path: path.to_owned(),
        source,
    })
}
