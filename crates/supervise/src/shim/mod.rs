//! The process between daemon and tool. Single-threaded, without a runtime, and small enough to be trusted.

mod become_tool;
mod control;
mod tree;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::protocol::Invocation;

/// Runs the shim to its end. The binary's hidden subcommand calls this with the arguments after it, before it
/// starts any thread, and returns the code from `main`.
///
/// Standard input must be the daemon's socket: by hand there is nothing to run here.
pub fn shim_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    // Nobody reads what could be printed here: the daemon learns from the socket, or from its end.
    let Ok(invocation) = Invocation::parse(args) else {
        return ExitCode::from(64);
    };
    match invocation.become_tool_under {
        Some(shim) => become_tool::run(&invocation, shim),
        None => match tree::watch(&invocation) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(70),
        },
    }
}
