//! The throwaway server that a validation restores into.

use std::path::PathBuf;

/// `[sandbox]` of `mykeeper.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The server program: a name that is looked up on PATH and in the usual sbin folders, or a path.
    pub server: PathBuf,
    /// Where throwaway servers have their folders.
    pub directory: PathBuf,
    /// Size of the buffer pool, bytes.
    pub memory_bytes: u64,
    /// Loader threads.
    pub threads: u32,
    /// How far the server and the loader stand back for others, 0 to 19, as nice(1) has it.
    pub nice: u8,
}
