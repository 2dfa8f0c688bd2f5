//! `mykeeper reload`

use crate::failure::{Failure, Status};
use crate::output::{print, print_json};
use crate::surroundings::{load_both, runtime_directory};
use mykeeper_daemon::control::{SOCKET, reload};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::status::DaemonStatus;
use std::path::{Path, PathBuf};

/// The service's own, for who asks from outside of it while the file cannot be read.
const SERVICE_FOLDER: &str = "/run/mykeeper";

pub(crate) fn run(config: &Path, json: bool) -> anyhow::Result<Status> {
    let keeper_file = std::path::absolute(config).map_err(Failure::usage)?;
    let socket = find_socket(config)?;
    // It is the daemon that reads the files: what it makes of them counts, and is kept and shown.
    let record = reload(&socket, &keeper_file)?;
    if !record.accepted {
        return Err(Failure::usage(format!(
            "the reload is refused, and nothing has changed:\n{}",
            record.message
        )));
    }
    if json {
        print_json(&record)?;
    } else {
        print(&format!("reloaded: {}", record.message))?;
    }
    Ok(Status::Done)
}

/// Where the daemon listens. Within its service the environment says it; outside, the daemon's status, if the file can
/// be read that names the folder of that.
fn find_socket(config: &Path) -> anyhow::Result<PathBuf> {
    if let Some(folder) = runtime_directory() {
        return Ok(folder.join(SOCKET));
    }
    let state_dir = match load_both(config) {
        Ok(loaded) => loaded.settings.state_dir,
        // The daemon that runs on the files as they were is to say what is wrong with them now, and to whom.
        Err(errors) => {
            let status = errors
                .state_dir
                .as_deref()
                .and_then(|dir| DaemonStatus::read(&StateDir::at(dir)));
            let own = status.and_then(|status| status.control);
            let service = Path::new(SERVICE_FOLDER).join(SOCKET);
            return own
                .or_else(|| service.exists().then_some(service))
                .ok_or_else(|| Failure::usage(errors));
        }
    };
    let status = DaemonStatus::read(&StateDir::at(&state_dir)).ok_or_else(|| {
        Failure::unavailable(format!(
            "no daemon lives in {}, which would have to reload; start it: it reads both files then",
            state_dir.display()
        ))
    })?;
    status.control.ok_or_else(|| {
        Failure::unavailable(format!(
            "the daemon (pid {}) cannot be asked: it could not open its socket, as its log says; send it SIGHUP, and \
             \"mykeeper jobs\" tells what came of it",
            status.pid
        ))
    })
}
