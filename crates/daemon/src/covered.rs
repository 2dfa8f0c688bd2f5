//! Sets that were made where those before them were missed: when the disk is mounted, it covers them. They are not lost.
//!
//! Each is noted in `state_dir/covered` under its name, until it lies on the right disk, or is given up.

use crate::state_dir::StateDir;
use mykeeper_domain::BackupId;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

fn folder(state: &StateDir) -> PathBuf {
    state.root().join("covered")
}

/// # Errors
/// `state_dir` does not take it.
pub(crate) fn note(state: &StateDir, id: BackupId) -> io::Result<()> {
    std::fs::create_dir_all(folder(state))?;
    std::fs::write(folder(state).join(id.to_string()), "")
}

/// What was noted; nothing where that cannot be read.
pub(crate) fn noted(state: &StateDir) -> BTreeSet<BackupId> {
    let entries = match std::fs::read_dir(folder(state)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return BTreeSet::new(),
        Err(error) => {
            tracing::warn!(%error, "which sets a mount covers cannot be read");
            return BTreeSet::new();
        }
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Whether a set was noted.
pub(crate) fn is_noted(state: &StateDir, id: BackupId) -> bool {
    folder(state).join(id.to_string()).exists()
}

/// A note that stays is looked at again by the next pass.
pub(crate) fn forget(state: &StateDir, id: BackupId) {
    if let Err(error) = std::fs::remove_file(folder(state).join(id.to_string())) {
        tracing::debug!(set = %id, %error, "a set that no mount covers any more stays noted");
    }
}
