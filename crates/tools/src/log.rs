//! Where the output of tools goes.

/// How far a phase of a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `dump`, `transfer`, `verify`, `restore`, `compare`, `remove`.
    pub phase: &'static str,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes in all, where that is known.
    pub total_bytes: Option<u64>,
}

/// The run's log: one file per run, and whoever watches.
///
/// Called from within the reading of a child's output: an implementation must not block for long.
pub trait RunLog: Send + Sync {
    /// One line: who says it (`mydumper`, `rsync`, `mykeeper`), and what. Never holds a secret.
    fn line(&self, source: &str, text: &str);
    /// How far the run has come.
    fn progress(&self, progress: Progress);
}

/// Drops everything; for checks that belong to no run.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl RunLog for NoLog {
    fn line(&self, _source: &str, _text: &str) {}
    fn progress(&self, _progress: Progress) {}
}
