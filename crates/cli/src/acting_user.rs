//! As whom a command acts: root's commands as the user of the service whose state they work on.
//!
//! What root made in a service's `state_dir`, or in its folders of sets, the service could neither lock nor remove. So a
//! command of root's on a `state_dir` that belongs to someone else goes on as that user, and what it says (`mykeeper
//! check` above all) is what holds for the service.

use crate::args::{Cli, Command};
use crate::surroundings::gather;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

/// util-linux's, which every Debian has.
const SETPRIV: &str = "/usr/bin/setpriv";

/// To whom the state belongs that root's command works on.
pub(crate) struct ServiceUser {
    pub(crate) state_dir: PathBuf,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// `None` where this is not root's process, the state is root's own, or that cannot be told.
pub(crate) fn service_user(config: &Path) -> Option<ServiceUser> {
    let surroundings = gather();
    if !surroundings.is_root {
        return None;
    }
    // Files with mistakes say where the state lies all the same: what looks there must make nothing of root's.
    let state_dir = match mykeeper_config::load(config, &surroundings) {
        Ok(loaded) => loaded.settings.state_dir,
        Err(errors) => errors.state_dir?,
    };
    let owner = std::fs::metadata(&state_dir).ok()?;
    (owner.uid() != 0).then(|| ServiceUser {
        state_dir,
        user: owner.uid(),
        group: owner.gid(),
    })
}

/// Begins the program anew as the owner of `state_dir`, where root calls it and that is someone else. Returns where that
/// is not so, or cannot be told: what is wrong with the files the command tells itself.
///
/// # Errors
/// A sentence: it cannot be begun anew.
pub(crate) fn act_as_owner(cli: &Cli, arguments: &[OsString]) -> Result<(), String> {
    if !works_on_state(&cli.command) {
        return Ok(());
    }
    let Some(ServiceUser {
        state_dir,
        user,
        group,
    }) = service_user(&cli.config)
    else {
        return Ok(());
    };
    let failed = |cause: String| {
        format!(
            "cannot go on as user {user}, to whom {} belongs: {cause}; run this as that user",
            state_dir.display()
        )
    };
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let error = std::process::Command::new(SETPRIV)
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={group}"))
        .args(["--init-groups", "--"])
        .arg(program)
        .args(arguments.iter().skip(1))
        .env("HOME", &state_dir)
        .exec();
    Err(failed(format!("{SETPRIV}: {error}")))
}

/// Not those that write what an administrator keeps, that say what they know by themselves, or that ask the daemon, to
/// which root may speak. pybackup's command lines stay whoever calls them: they write where their own words say.
fn works_on_state(command: &Command) -> bool {
    !matches!(
        command,
        Command::Completions { .. }
            | Command::Config { .. }
            | Command::Import(_)
            | Command::Init(_)
            | Command::Man { .. }
            | Command::Pybackup { .. }
            | Command::Reload
            | Command::RunShim { .. }
    )
}
