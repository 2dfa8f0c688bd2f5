//! Files and folders of our own that one call of rsync needs, and that go with it.

use crate::error::ToolError;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use secrecy::{ExposeSecret, SecretString};
use std::io::Write;
use std::path::Path;
use tempfile::{NamedTempFile, TempDir};

/// Our own copy of the password, 0600, for as long as the handle lives.
///
/// A daemon that asks for a user always gets one: without it rsync would ask the terminal, and wait.
pub(super) fn password_file(
    destination: &Destination,
    password: Option<&SecretString>,
    private_dir: &Path,
) -> Result<Option<NamedTempFile>, ToolError> {
    let DestinationUrl::Daemon { user, .. } = &destination.url else {
        return Ok(None);
    };
    if password.is_none() && user.is_none() {
        return Ok(None);
    }
    let fail = |source| ToolError::Io {
        action: "create",
        path: private_dir.to_owned(),
        source,
    };
    let mut file = tempfile::Builder::new()
        .prefix("rsync-password-")
        .tempfile_in(private_dir)
        .map_err(fail)?;
    let text = password.map_or("none", |password| password.expose_secret());
    writeln!(file, "{text}")
        .and_then(|()| file.flush())
        .map_err(fail)?;
    Ok(Some(file))
}

/// A folder of our own that is removed when the handle goes.
pub(super) fn private_folder(private_dir: &Path, prefix: &str) -> Result<TempDir, ToolError> {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(private_dir)
        .map_err(|source| ToolError::Io {
            action: "create",
            path: private_dir.to_owned(),
            source,
        })
}
