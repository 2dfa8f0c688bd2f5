//! Why there is no figure.

use std::io;
use std::path::PathBuf;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The binary was not built.
    #[error("there is no {}: build it with 'cargo build --release -p mykeeper-cli'", path.display())]
    NoBinary {
        /// Where it should lie.
        path: PathBuf,
    },
    /// A call of the system failed.
    #[error("cannot {act}: {source}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What was measured is not what should have been.
    #[error("{0}")]
    Unfit(String),
}

impl BenchError {
    /// For `map_err`.
    pub(crate) fn io(act: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { act, source }
    }
}
