//! How a child ended.

use std::fmt;
use std::time::Duration;

use crate::identity::ProcessIdentity;

/// Which of its two streams a child wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes the lines of a child that runs beside its caller, as bytes without their terminators.
pub type LineHandler = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// Why a child is no longer running. The last three say that it was ended from here, whatever code it then gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself with code 0.
    Success,
    /// It exited by itself with another code.
    Failed {
        /// The exit code, 1 to 255.
        code: i32,
    },
    /// A signal that was not sent from here killed it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It ran longer than its whole time.
    TimedOut {
        /// The limit that was reached.
        after: Duration,
    },
    /// It showed no sign of life for too long.
    Stalled {
        /// The limit that was reached.
        after: Duration,
    },
    /// It was told to stop.
    Cancelled,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("exited with code 0"),
            Self::Failed { code } => write!(f, "exited with code {code}"),
            Self::Signaled { signal } => write!(f, "was killed by signal {signal}"),
            Self::TimedOut { after } => write!(f, "was stopped after running for {after:?}"),
            Self::Stalled { after } => write!(f, "was stopped after no sign of life for {after:?}"),
            Self::Cancelled => f.write_str("was stopped on request"),
        }
    }
}

/// A child's end, when nothing of its tree is left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Why it is no longer running.
    pub exit: Exit,
    /// The code the child itself ended with, also after it was stopped; `None` when a signal ended it.
    pub raw: Option<i32>,
    /// The process that ran.
    pub started: ProcessIdentity,
    /// From its start to its own end, without the ending of what it left behind.
    pub elapsed: Duration,
    /// Descendants that outlived the child and were ended.
    pub leftovers: u32,
    /// Lines longer than [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES), handed on without their rest.
    pub lines_cut: u64,
    /// Bytes read from both streams.
    pub output_bytes: u64,
}
