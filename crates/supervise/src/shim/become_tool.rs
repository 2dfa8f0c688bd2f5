//! The process that turns into the tool.
//!
//! What usually happens between fork and exec, in code that may do next to nothing, happens here in an ordinary
//! single-threaded process. Standard input is a pipe to the shim that closes when the tool is executed; a failure
//! is written to it.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{
    Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setpriority_process, setrlimit,
};

use crate::identity::{ProcessIdentity, TREE_VARIABLE};
use crate::protocol::{Invocation, SpawnFailure, Step};

pub(super) fn run(invocation: &Invocation, shim: u32) -> ExitCode {
    // The duplicate closes on exec, unlike standard input itself, which exec replaces.
    let Ok(status) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::from(71);
    };
    let failure = match invocation.user {
        Some(user) => become_user(invocation, user),
        None => execute(invocation, shim),
    };
    let Err(failure) = failure;
    let written = serde_json::to_vec(&failure)
        .map_err(io::Error::from)
        .and_then(|message| File::from(status).write_all(&message));
    ExitCode::from(if written.is_ok() { 127 } else { 74 })
}

/// Executes this binary once more as another user. First, because a change of user undoes the tie to the shim;
/// but priority and limits go before it, as they may need the privileges given up.
fn become_user(invocation: &Invocation, (uid, gid): (u32, u32)) -> Result<Infallible, SpawnFailure> {
    confine(invocation)?;
    let rest = Invocation {
        user: None,
        nice: None,
        core_dumps: true,
        ..invocation.clone()
    };
    let error = Command::new("/proc/self/exe")
        .args(&invocation.self_args)
        .args(rest.to_args())
        .uid(uid)
        .gid(gid)
        .exec();
    Err(SpawnFailure::new(Step::User, &error))
}

fn execute(invocation: &Invocation, shim: u32) -> Result<Infallible, SpawnFailure> {
    confine(invocation)?;
    let tied = set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(io::Error::from)
        .and_then(|()| {
            // A shim that died before the line above sends nothing any more.
            let parent = getppid().and_then(|parent| u32::try_from(parent.as_raw_pid()).ok());
            if parent == Some(shim) {
                Ok(())
            } else {
                Err(io::Error::other("the shim is gone"))
            }
        });
    tied.map_err(|error| SpawnFailure::new(Step::ParentWatch, &error))?;
    let identity = ProcessIdentity::of(std::process::id());
    let identity = identity.map_err(|error| SpawnFailure::new(Step::ParentWatch, &error))?;
    if let Some(folder) = &invocation.folder {
        std::env::set_current_dir(folder).map_err(|error| SpawnFailure::new(Step::Folder, &error))?;
    }
    let error = Command::new(&invocation.program)
        .args(&invocation.args)
        .env(TREE_VARIABLE, identity.mark())
        .stdin(Stdio::null())
        .exec();
    Err(SpawnFailure::new(Step::Execute, &error))
}

fn confine(invocation: &Invocation) -> Result<(), SpawnFailure> {
    if let Some(nice) = invocation.nice {
        setpriority_process(None, nice).map_err(|error| SpawnFailure::new(Step::Nice, &error.into()))?;
    }
    if !invocation.core_dumps {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        setrlimit(Resource::Core, none).map_err(|error| SpawnFailure::new(Step::CoreLimit, &error.into()))?;
    }
    Ok(())
}
