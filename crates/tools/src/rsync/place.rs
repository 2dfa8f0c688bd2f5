//! The folder of a set at its destination: made, and given its name.
//!
//! rsync alone renames no folder at the other end. Only in a folder on this machine a set bears a partial name until all of it
//! has arrived and was compared; elsewhere what is not whole has neither `metadata` nor a manifest.

use super::argv::Way;
use super::exit::failure;
use super::private::private_folder;
use super::run_rsync;
use super::waiting::blocking;
use crate::blocking::ANSWERS_WITHIN;
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::sync::sync_folder;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_supervise::{Exit, Limits};
use std::path::{Path, PathBuf};

/// What follows a set's name until all of it is there, in a folder on this machine.
const ARRIVING: &str = ".arriving";

/// The place below the destination of what goes ahead of a set.
pub(super) fn place_ahead(destination: &Destination, relative: &str) -> String {
    match destination.url {
        DestinationUrl::Local { .. } => format!("{relative}{ARRIVING}"),
        _ => relative.to_owned(),
    }
}

/// The place below the destination that a set is written to: its own name where a folder has that already, or where the
/// destination cannot rename; else one that says that it is arriving, at which what went ahead of it lies.
///
/// # Errors
/// The file system does not answer.
pub(super) async fn arriving_at(
    (destination, relative): (&Destination, &str),
    env: &ToolEnv<'_>,
) -> Result<String, ToolError> {
    let DestinationUrl::Local { path } = &destination.url else {
        return Ok(relative.to_owned());
    };
    let own = path.join(relative);
    let looked = blocking(("look at", path), ANSWERS_WITHIN, env, move || {
        Ok::<_, ToolError>(own.symlink_metadata().is_ok())
    });
    Ok(match looked.await? {
        true => relative.to_owned(),
        false => place_ahead(destination, relative),
    })
}

/// Gives a set that has arrived, was made to last, and was compared, its own name.
///
/// # Errors
/// The file system does not rename it.
pub(super) async fn give_name(
    (destination, relative): (&Destination, &str),
    place: &str,
    env: &ToolEnv<'_>,
) -> Result<(), ToolError> {
    let DestinationUrl::Local { path } = &destination.url else {
        return Ok(());
    };
    if place == relative {
        return Ok(());
    }
    let (arrived, own) = (path.join(place), path.join(relative));
    blocking(("rename a set in", path), ANSWERS_WITHIN, env, move || {
        std::fs::rename(&arrived, &own).map_err(|source| ToolError::Io {
            action: "rename",
            path: arrived,
            source,
        })?;
        // The original may go for its sake: the name must not be lost with the power.
        sync_folder(own.parent().unwrap_or(&own))
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
        let root = path.clone();
        return blocking(("look at", &root), ANSWERS_WITHIN, env, move || {
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
    let private = private_dir.clone();
    let skeleton = blocking(("write to", &private), ANSWERS_WITHIN, env, move || {
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
