//! The list of a set's files with their sizes and digests.

use crate::ids::BackupId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The manifest's own name within the set's folder.
pub const MANIFEST_FILE: &str = "mykeeper.manifest.json";
/// The evidence's name within the set's folder.
pub const EVIDENCE_FILE: &str = "mykeeper.evidence.json";
/// The version of the two formats that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the set's folder, with `/` between parts.
    pub path: String,
    /// As it lies on disk.
    pub size_bytes: u64,
    /// BLAKE3 of the file as it lies on disk, 64 hexadecimal digits.
    pub blake3: String,
    /// Size when decompressed; equal to `size_bytes` for a plain file.
    pub plain_bytes: u64,
    /// Rows in its INSERT statements; `None` for a file that is not table data.
    pub rows: Option<u64>,
}

/// All files of a set but the manifest itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// The set.
    pub bk_id: BackupId,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// Sorted by path.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Bytes of all files on disk.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}
