//! The folder that one mydumper writes to.

use crate::error::ToolError;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Removes the files of a dump that has not begun; the folder stays. mydumper makes no folders, so one that is there is
/// not ours to remove.
pub(super) fn clear(dir: &Path) -> Result<(), ToolError> {
    let io = |action| {
        move |source| ToolError::Io {
            action,
            path: dir.to_owned(),
            source,
        }
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("read"))? {
        let entry = entry.map_err(io("read"))?;
        if entry.file_type().map_err(io("read"))?.is_dir() {
            return Err(ToolError::Failed {
                message: format!(
                    "mydumper cannot be started again: there is a folder {} that it did not make",
                    entry.path().display()
                ),
                passing: false,
            });
        }
        paths.push(entry.path());
    }
    for path in paths {
        std::fs::remove_file(&path).map_err(|source| ToolError::Io {
            action: "remove",
            path,
            source,
        })?;
    }
    Ok(())
}

/// One that is there stays as it is.
pub(super) fn make_folder(dir: &Path) -> Result<(), ToolError> {
    match DirBuilder::new().mode(0o750).create(dir) {
        Err(_) if dir.is_dir() => Ok(()),
        made => made.map_err(|source| ToolError::Io {
            action: "create",
            path: dir.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_mydumper_did_not_make_is_not_cleared() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("metadata.partial"), "").unwrap();
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        let error = clear(dir.path()).unwrap_err().to_string();
        assert!(error.contains("lost+found that it did not make"), "{error}");
        assert!(dir.path().join("metadata.partial").exists());
        std::fs::remove_dir(dir.path().join("lost+found")).unwrap();
        clear(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
