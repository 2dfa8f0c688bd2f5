//! What a set should hold, gathered while it was made. Lies in the set's folder as `mykeeper.evidence.json`.

use crate::backup::Backup;
use crate::inventory::{Coverage, Inventory};
use crate::job::Consistency;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One mydumper's part of the set: the whole of it, or one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEvidence {
    /// Relative to the set's folder; empty for the folder itself.
    pub dir: String,
    /// The databases dumped by it.
    pub databases: Vec<String>,
    /// Everything agrees: exit, log, metadata, files.
    pub complete: bool,
    /// Each thing that speaks against it; for people.
    pub reasons: Vec<String>,
    /// Each thing worth a look that does not.
    pub warnings: Vec<String>,
    /// How mydumper ended: `exit 0`, `signal 9`, `timed out after 6h`.
    pub exit_status: String,
    /// From the dump's own metadata: `file,position[,gtid]`.
    pub master_status: Option<String>,
    /// From the dump's own metadata: `file,position[,gtid]`, or none where the server is no replica.
    pub slave_status: Option<String>,
    /// How long it waited for its lock, in milliseconds; `None` where it took none, or did not say. So with the next.
    #[serde(default)]
    pub lock_waited_ms: Option<u64>,
    /// How long it held its lock, during which nobody could write.
    #[serde(default)]
    pub lock_held_ms: Option<u64>,
}

/// The binary log of a server, and where its replicas reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryLog {
    /// The folder of its files on the server's machine; `None` where it keeps none.
    pub folder: Option<PathBuf>,
    /// The port that it listens on; `None` where it listens on none.
    pub port: Option<u16>,
    /// The databases that the server had besides those that were dumped, but for its own; `None` where the account was not
    /// shown all of them, or of those that were dumped some tables were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Vec<String>>,
}

/// The evidence of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// [`crate::manifest::FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// The row of the catalog as it was when the dump had ended, so that the catalog can be made again from sets.
    pub backup: Backup,
    /// How the set's folder is laid out.
    pub consistency: Consistency,
    /// What kinds of object were asked for.
    pub coverage: Coverage,
    /// What the set must hold: what the server had before and after the dump, with rows counted from the dump.
    pub inventory: Inventory,
    /// One for each mydumper.
    pub parts: Vec<PartEvidence>,
    /// When the inventory was taken.
    pub taken_at: DateTime<Utc>,
    /// What the server says of its binary log; `None` where it was not asked, or did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_log: Option<BinaryLog>,
}
