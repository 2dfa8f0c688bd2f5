//! `state_dir`, which a check uses where it is there, and does not make where it is not.

use mykeeper_daemon::state_dir::StateDir;
use mykeeper_domain::RunId;
use std::path::{Path, PathBuf};

/// Where a check keeps its own files while it lasts.
pub(super) struct CheckDir {
    pub(super) state: StateDir,
    /// Made for this check alone, where `state_dir` would be made.
    made: Option<PathBuf>,
}

impl CheckDir {
    /// With what is to be said of `root`.
    ///
    /// # Errors
    /// A sentence: it cannot be written to, or not be made.
    pub(super) fn open(root: &Path) -> Result<(Self, String), String> {
        let above = root.ancestors().skip(1).find(|above| above.is_dir());
        let Some(above) = above.filter(|_| matches!(root.try_exists(), Ok(false))) else {
            let state = StateDir::open(root).map_err(|error| error.to_string())?;
            state.check_writable().map_err(|error| error.to_string())?;
            return Ok((
                Self { state, made: None },
                format!("{} is writable", root.display()),
            ));
        };
        let beside = above.join(format!(".mykeeper-check-{}", RunId::generate()));
        let state = StateDir::open(&beside).map_err(|error| {
            format!(
                "{} is not there, and this user may not make it: {error}",
                root.display()
            )
        })?;
        let said = format!(
            "{} is not there yet, and can be made: the daemon's first start, or a first run, makes it",
            root.display()
        );
        let made = Some(beside);
        Ok((Self { state, made }, said))
    }

    /// With the same said, where what a run keeps can be kept there: it has room, and all that lies there is this user's.
    ///
    /// # Errors
    /// A sentence: what cannot be written.
    pub(super) fn tried((own, said): (Self, String)) -> Result<(Self, String), String> {
        own.state.try_keeping().map_err(|error| error.to_string())?;
        Ok((own, said))
    }
}

impl Drop for CheckDir {
    fn drop(&mut self) {
        if let Some(made) = &self.made
            && let Err(error) = std::fs::remove_dir_all(made)
        {
            tracing::warn!(path = %made.display(), %error, "cannot remove what the check has made");
        }
    }
}
