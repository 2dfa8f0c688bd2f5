//! The folder of a set at its destination: made, and given its name.
//!
//! rsync alone renames no folder at the other end. Only a folder on this machine bears a partial name for as long as a set
//! goes ahead; elsewhere what is not whole has neither `metadata` nor a manifest.

use super::argv::Way;
use super::exit::failure;
use super::private::private_folder;
use super::run_rsync;
use super::send::blocking;
use crate::env::ToolEnv;
use crate::error::ToolError;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_supervise::{Exit, Limits};
use std::path::{Path, PathBuf};

/// What follows a set's name for as long as it is not known to become complete, in a folder on this machine.
const ARRIVING: &str = ".arriving";

/// The place below the destination of what goes ahead of a set.
pub(super) fn place_ahead(destination: &Destination, relative: &str) -> String {
    match destination.url {
        DestinationUrl::Local { .. } => format!("{relative}{ARRIVING}"),
        _ => relative.to_owned(),
    }
}

/// Gives what went ahead of a set the set's own name, unless a folder has that already.
///
/// # Errors
/// The file system does not rename it.
pub(super) async fn take_in_ahead(destination: &Destination, relative: &str) -> Result<(), ToolError> {
    let DestinationUrl::Local { path } = &destination.url else {
        return Ok(());
    };
    let (ahead, place) = (path.join(place_ahead(destination, relative)), path.join(relative));
    blocking(move || {
        if place.symlink_metadata().is_ok() || !ahead.is_dir() {
            return Ok(());
        }
        std::fs::rename(&ahead, &place).map_err(|source| ToolError::Io {
            action: "rename",
            path: ahead,
            source,
        })
    })
    .await
}

/// Removes what went ahead of a set that does not fit, so that half of it does not keep the room of others. Says so.
pub(super) fn remove_ahead(ahead: &Path) -> String {
    if !ahead.is_dir() || ahead.join(MANIFEST_FILE).exists() {
        return String::new();
    }
    match std::fs::remove_dir_all(ahead) {
        Ok(()) => "what had gone ahead of it was removed; ".to_owned(),
        Err(error) => format!(
            "remove {} by hand, which cannot be removed: {error}; ",
            ahead.display()
        ),
    }
}

/// Makes the folders that lead to `relative` at the destination, and that one. `act` says what for.
///
/// # Errors
/// The destination is not there, or does not let it be made.
pub(super) async fn make_folders(
    way: &Way<'_>,
    (relative, act): (&str, String),
    private_dir: &Path,
    (limits, env): (&Limits, &ToolEnv<'_>),
) -> Result<(), ToolError> {
    let create = |folder: PathBuf| {
        std::fs::create_dir_all(&folder).map_err(|source| ToolError::Io {
            action: "create",
            path: folder,
            source,
        })
    };
    if let DestinationUrl::Local { path } = &way.destination.url {
        let path = path.clone();
        let folder = path.join(relative);
        return blocking(move || {
            // A file system that is not mounted must not be filled in its mount point's place.
            if !path.is_dir() {
                return Err(ToolError::Failed {
                    message: format!("cannot {act}: {} is no folder", path.display()),
                    passing: false,
                });
            }
            create(folder)
        })
        .await;
    }
    let private_dir = private_dir.to_owned();
    let below = Path::new(&way.root().1).join(relative);
    let skeleton = blocking(move || {
        let skeleton = private_folder(&private_dir, "skeleton-")?;
        create(skeleton.path().join(below))?;
        Ok::<_, ToolError>(skeleton)
    })
    .await?;
    let args = way.make_folders_argv(skeleton.path());
    let ended = run_rsync(way.info, args, limits.clone(), env, &mut |_| {}).await?;
    match ended.exit {
        Exit::Success => Ok(()),
        _ => Err(failure(&act, &ended)),
    }
}
