//! What has arrived in a folder of this machine, made to outlast a power cut.
//!
//! Retention may remove an original for its copy's sake, and a comparison is answered by the page cache. So files and folders
//! are synced here, whoever wrote them, in this call or before it: `--fsync`, which rsync knows since 3.2.4, would leave out
//! what is there already. What another machine keeps is beyond us: a daemon may refuse `--fsync`, and then the transfer fails.

use super::waiting::{blocking, walked_within};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::sync::{sync_file, sync_folder};
use mykeeper_supervise::Limits;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one step of the walk found.
struct Tree {
    files: Vec<PathBuf>,
    /// Each before those within it.
    folders: Vec<PathBuf>,
}

/// Syncs every file and folder of `place`, and the folders between it and `root`, that one too. Each may take as long as an
/// rsync that says nothing, and all together as long as a call of rsync; nothing goes on when this is given up but the one
/// call that is under way.
///
/// # Errors
/// One cannot be synced, or not in time; [`ToolError::Cancelled`]. The copy may not last then.
pub(super) async fn make_last(
    (root, place): (&Path, &Path),
    limits: &Limits,
    env: &ToolEnv<'_>,
) -> Result<(), ToolError> {
    let each = walked_within(limits);
    let all = async {
        let walked = place.to_owned();
        let tree = blocking(("read", place), each, env, move || Tree::of(&walked)).await?;
        for file in tree.files {
            let synced = file.clone();
            blocking(("sync", &file), each, env, move || sync_file(&synced)).await?;
        }
        let above = place
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(root));
        for folder in tree.folders.iter().rev().map(PathBuf::as_path).chain(above) {
            let synced = folder.to_owned();
            blocking(("sync", folder), each, env, move || sync_folder(&synced)).await?;
        }
        Ok(())
    };
    let limit = limits.timeout.unwrap_or(Duration::MAX);
    tokio::time::timeout(limit, all).await.unwrap_or_else(|_| {
        Err(ToolError::TimedOut {
            program: format!("syncing {}", place.display()),
            after: limit,
        })
    })
}

impl Tree {
    /// Blocks.
    fn of(place: &Path) -> Result<Self, ToolError> {
        let mut tree = Self {
            files: Vec::new(),
            folders: vec![place.to_owned()],
        };
        let mut next = 0;
        while let Some(folder) = tree.folders.get(next).cloned() {
            next += 1;
            let failed = |source| ToolError::Io {
                action: "read",
                path: folder.clone(),
                source,
            };
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() {
                    tree.folders.push(entry.path());
                } else if kind.is_file() {
                    tree.files.push(entry.path());
                }
            }
        }
        Ok(tree)
    }
}
