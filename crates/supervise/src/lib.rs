//! Runs one child process so that nothing of it is ever left behind.
//!
//! The daemon does not start a tool itself. It starts a *shim*, its own binary once more, which starts the tool
//! and watches over everything the tool forks. The two are tied by a socket: when the daemon dies, however it
//! dies, the socket closes and the shim ends the tree. Four circles hold a tree together:
//!
//! 1. the tool's process group, signalled as a whole;
//! 2. the shim as child subreaper: descendants that left the group (`setsid`, double fork) become its children;
//! 3. `PR_SET_PDEATHSIG` from the shim to the tool: a killed shim takes the tool along;
//! 4. a marker in the environment of the tool, inherited by all it starts, by which [`ProcessIdentity::kill_tree`]
//!    finds what is left when the shim is gone too.
//!
//! Output is read in fixed buffers and handed on line by line; a tool that writes faster than its lines are taken
//! waits in its own `write`.

mod activity;
mod child;
mod error;
mod identity;
mod lines;
mod outcome;
mod output;
mod process_table;
mod protocol;
mod record;
mod shim;
mod spec;
mod supervisor;
mod sweep;
mod tether;
mod watch;

use std::io;

pub use activity::Activity;
pub use child::Child;
pub use error::SuperviseError;
pub use identity::ProcessIdentity;
pub use lines::MAX_LINE_BYTES;
pub use outcome::{Exit, Finished, LineHandler, Stream};
pub use process_table::descendants_of;
pub use record::{ChildRecord, Leftover, end_leftovers};
pub use shim::shim_main;
pub use spec::{ChildSpec, Limits, ShimCommand};
pub use supervisor::Supervisor;

/// Makes the calling process a child subreaper, so that orphans of a killed shim become its children instead of
/// init's and can be reaped.
///
/// # Errors
/// The kernel's refusal; none is known on Linux 3.4 or newer.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}
