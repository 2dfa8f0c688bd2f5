//! Which `state_dir` a run belongs to. A node's name may be that of several (`localhost`; the daemon, and pybackup's
//! command line with a folder of its own): each knows by its locks which of its own runs live, and nothing of the others'.

use crate::error::CatalogError;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use uuid::Uuid;

const FILE: &str = "identity";

/// The identity that lies in `folder`, made where there is none.
///
/// # Errors
/// The file cannot be read or made, or holds something else.
pub(super) async fn identity(folder: &Path) -> Result<String, CatalogError> {
    let path = folder.join(FILE);
    let folder = folder.to_owned();
    let found = tokio::task::spawn_blocking(move || read_or_make(&folder)).await;
    found
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|cause| CatalogError::Unreachable {
            url: path.display().to_string(),
            cause,
            is_shut_out: false,
        })
}

fn read_or_make(folder: &Path) -> Result<String, String> {
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => {
            let text = read.map_err(|error| error.to_string())?;
            let identity: Uuid = text
                .trim()
                .parse()
                .map_err(|_| "it holds no identity; remove it, and a new one is made".to_owned())?;
            return Ok(identity.to_string());
        }
    }
    // Never half a file under its name, and of two that are made at once the first.
    let new = Uuid::new_v4();
    let aside = folder.join(format!(".{FILE}.{new}"));
    let made = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| {
            writeln!(file, "{new}")?;
            file.sync_all()
        })
        .and_then(|()| match std::fs::hard_link(&aside, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    drop(std::fs::remove_file(&aside));
    made.map_err(|error| error.to_string())?;
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_a_broken_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let first = read_or_make(folder.path()).unwrap();
        assert_eq!(read_or_make(folder.path()).unwrap(), first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(read_or_make(other.path()).unwrap(), first);
        std::fs::write(folder.path().join(FILE), "").unwrap();
        assert!(read_or_make(folder.path()).unwrap_err().contains("remove it"));
    }
}
