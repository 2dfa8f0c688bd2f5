//! Whether a destination can be sent to, found out by sending to it.

use super::argv::Way;
use super::exit::failure;
use super::private::{password_file, private_folder};
use super::{RsyncInfo, run_rsync};
use crate::env::ToolEnv;
use crate::error::ToolError;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_supervise::{Exit, Limits};
use secrecy::SecretString;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// How long each of the two calls may take.
const LIMITS: Limits = Limits {
    timeout: Some(Duration::from_secs(60)),
    stall: Some(Duration::from_secs(40)),
    grace: Duration::from_secs(5),
};

/// A destination to be tried.
#[derive(Clone, Copy, Debug)]
pub struct CheckRequest<'a> {
    /// The installed rsync.
    pub info: &'a RsyncInfo,
    /// ssh, for a destination that needs it.
    pub ssh_program: &'a Path,
    /// Where to.
    pub destination: &'a Destination,
    /// The daemon's password.
    pub password: Option<&'a SecretString>,
    /// A folder that only we can read, for the password's file.
    pub private_dir: &'a Path,
}

/// Sends an empty file to the destination and deletes it there: reachable, let in, and writable.
///
/// Only a daemon that refuses to delete keeps the file, `.mykeeper-check`; the log says so. Takes three minutes at
/// most.
///
/// # Errors
/// What does not work, as [`send_set`](super::send_set) would say it.
pub async fn check_destination(request: CheckRequest<'_>, env: &ToolEnv<'_>) -> Result<(), ToolError> {
    if let DestinationUrl::Local { path } = &request.destination.url {
        return check_folder(path);
    }
    let password = password_file(request.destination, request.password, request.private_dir)?;
    let way = Way {
        info: request.info,
        destination: request.destination,
        ssh_program: request.ssh_program,
        password_file: password.as_ref().map(|file| file.path().to_owned()),
        stall: LIMITS.stall,
    };
    way.check()?;
    let act = format!("write to {}", request.destination.name);
    let folder = private_folder(request.private_dir, "check-")?;
    let fail = |source| ToolError::Io {
        action: "create",
        path: folder.path().to_owned(),
        source,
    };
    // The deletion of a file of a known name is asked for first: where it is refused, the file's name is the same
    // each time, so that at most one remains.
    make_folder(&way, folder.path(), env, &act).await?;
    let name = format!(".mykeeper-check-{}", Uuid::new_v4().simple());
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).map_err(fail)?;
    let ended = run_rsync(
        request.info,
        way.delete_argv(&empty, &name),
        LIMITS,
        env,
        &mut |_| {},
    )
    .await?;
    let refuses_delete = ended.errors.iter().any(|line| line.contains("refuse"));
    if ended.exit != Exit::Success && !refuses_delete {
        return Err(failure(&act, &ended));
    }
    let name = if refuses_delete { ".mykeeper-check" } else { &name };
    let file = folder.path().join(name);
    std::fs::write(&file, b"").map_err(fail)?;
    let ended = run_rsync(
        request.info,
        way.send_file_argv(&file, ""),
        LIMITS,
        env,
        &mut |_| {},
    )
    .await?;
    if ended.exit != Exit::Success {
        return Err(failure(&act, &ended));
    }
    if refuses_delete {
        let text = format!(
            "{} refuses to delete: the empty file {name} stays there",
            request.destination.name
        );
        env.log.line("mykeeper", &text);
        return Ok(());
    }
    let ended = run_rsync(
        request.info,
        way.delete_argv(&empty, name),
        LIMITS,
        env,
        &mut |_| {},
    )
    .await?;
    if ended.exit == Exit::Success {
        Ok(())
    } else {
        Err(failure(&act, &ended))
    }
}

/// Makes the destination's own folder below its module, as sending would.
async fn make_folder(way: &Way<'_>, private: &Path, env: &ToolEnv<'_>, act: &str) -> Result<(), ToolError> {
    let (_, below) = way.root();
    if below.is_empty() {
        return Ok(());
    }
    let skeleton = private.join("skeleton");
    let folder = skeleton.join(below);
    std::fs::create_dir_all(&folder).map_err(|source| ToolError::Io {
        action: "create",
        path: folder,
        source,
    })?;
    let ended = run_rsync(
        way.info,
        way.make_folders_argv(&skeleton),
        LIMITS,
        env,
        &mut |_| {},
    )
    .await?;
    if ended.exit == Exit::Success {
        Ok(())
    } else {
        Err(failure(act, &ended))
    }
}

fn check_folder(path: &Path) -> Result<(), ToolError> {
    tempfile::Builder::new()
        .prefix(".mykeeper-check-")
        .tempfile_in(path)
        .map(drop)
        .map_err(|source| ToolError::Io {
            action: "write to",
            path: path.to_owned(),
            source,
        })
}
