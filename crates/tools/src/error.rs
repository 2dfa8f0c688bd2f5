//! What can go wrong with an outside tool.

use crate::passing::{io_passes, tells_of_lasting};
pub(crate) use mykeeper_domain::humane;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// A tool could not do its work. Messages say what failed and on what, then the cause, then what to do.
#[derive(Debug, Error)]
pub enum ToolError {
    /// The program is not there.
    #[error("{program} is not installed: {hint}")]
    NotInstalled {
        /// As looked for.
        program: String,
        /// What to do: `install it with "apt-get install mydumper"`.
        hint: String,
    },
    /// The server cannot be reached or refuses the account.
    #[error("cannot connect to server {server}: {cause}")]
    Connect {
        /// Its name.
        server: String,
        /// What it said, without secrets.
        cause: String,
        /// Whether trying again may help (down, too many connections) or not (wrong password).
        passing: bool,
    },
    /// A statement failed on the server.
    #[error("cannot {action} on server {server}: {cause}")]
    Query {
        /// What was being found out.
        action: String,
        /// Its name.
        server: String,
        /// What it said.
        cause: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// `create`, `read`, `write`, `sync`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The child could not be started or watched.
    #[error("cannot run {program}: {cause}")]
    Run {
        /// Which.
        program: String,
        /// Why.
        cause: String,
    },
    /// Ended because the whole run took too long.
    #[error("{program} was ended after {}: the run's timeout", humane(*after))]
    TimedOut {
        /// Which.
        program: String,
        /// The limit.
        after: Duration,
    },
    /// Ended because nothing was said or written for too long.
    #[error("{program} was ended: it neither said nor wrote anything for {}", humane(*after))]
    Stalled {
        /// Which.
        program: String,
        /// The limit.
        after: Duration,
    },
    /// Ended because others had to wait for its lock for too long.
    #[error(
        "{program} was ended: it {} its lock for {}, longer than the job's lock_budget of {}; {why}",
        if *held { "held" } else { "waited for" },
        humane(*after),
        humane(*budget)
    )]
    LockBudget {
        /// Which.
        program: String,
        /// Whether it had the lock, or waited for it.
        held: bool,
        /// For how long.
        after: Duration,
        /// The limit.
        budget: Duration,
        /// What held it up.
        why: String,
    },
    /// A statement of the schedule that is to be asserted is no statement, or names what its database never had.
    #[error(
        "the assert on database {database} cannot be run, which says nothing of the set: {sql}: {cause}; correct it in \
         the schedule"
    )]
    Assertion {
        /// The database that was current.
        database: String,
        /// The statement.
        sql: String,
        /// What the server said.
        cause: String,
        /// Whether it cannot be run in any set.
        is_for_all: bool,
    },
    /// Ended because the run was.
    #[error("{program} was ended with its run")]
    Cancelled {
        /// Which.
        program: String,
    },
    /// Anything else: the text is a whole message.
    #[error("{message}")]
    Failed {
        /// What failed and on what, the cause, what to do.
        message: String,
        /// Whether trying again may help.
        passing: bool,
    },
}

impl ToolError {
    /// Whether another attempt may succeed without anyone's doing.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect { passing, .. } | Self::Failed { passing, .. } => *passing,
            Self::Stalled { .. } | Self::LockBudget { .. } => true,
            Self::Run { cause, .. } | Self::Query { cause, .. } => !tells_of_lasting(cause),
            Self::Io { source, .. } => io_passes(source),
            Self::NotInstalled { .. }
            | Self::TimedOut { .. }
            | Self::Assertion { .. }
            | Self::Cancelled { .. } => false,
        }
    }
}
