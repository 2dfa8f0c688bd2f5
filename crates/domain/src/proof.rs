//! What a restore test found.

pub mod document;
mod set;

pub use document::{Link, ProofDocument};
pub use set::{InventorySummary, ProvenSet};

use crate::counted;
use crate::ids::{BackupId, NodeName, RunId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a line begins that tells of tables without rows, of a set whose own files alone speak for it.
pub const NOTHING_TELLS: &str = "nothing tells how many rows there were in";

/// One thing that came back other than it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Database.
    pub database: String,
    /// Which object, and what of it.
    pub object: String,
    /// As the evidence has it.
    pub expected: String,
    /// As it came back.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What concerns the whole set has no database.
        if !self.database.is_empty() {
            write!(f, "{}: ", self.database)?;
        }
        write!(
            f,
            "{}: expected {}, found {}",
            self.object, self.expected, self.found
        )
    }
}

/// The proof of one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProof {
    /// Database; for what concerns the whole set (a damaged file) the empty text.
    pub database: String,
    /// Whether everything came back.
    pub passed: bool,
    /// Empty when passed.
    pub differences: Vec<Difference>,
    /// What the loader or the comparison failed with, when it did.
    pub error: Option<String>,
    /// How many objects were compared.
    pub objects_compared: u64,
    /// How many rows were counted.
    pub rows_compared: u64,
    /// Tables whose rows were compared one and all, by the digest of what they hold.
    #[serde(default)]
    pub tables_exact: u64,
    /// Tables whose rows were only counted.
    #[serde(default)]
    pub tables_counted: u64,
    /// When its load began.
    pub started_at: DateTime<Utc>,
    /// When its comparison ended.
    pub finished_at: DateTime<Utc>,
}

/// A statement of the schedule, tried in what was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertedValue {
    /// The database that was current.
    pub database: String,
    /// The statement.
    pub sql: String,
    /// What it yielded, or why it yielded nothing; `not run: ` and the server's words where it is no statement that can be
    /// run there; `None` where it was not tried: the set does not hold the database.
    pub value: Option<String>,
    /// Whether the value is true, as SQL has it; `None` where it was not tried, or could not be run.
    pub held: Option<bool>,
}

/// The proof of one set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The set.
    pub bk_id: BackupId,
    /// The run.
    pub run_id: Option<RunId>,
    /// The machine that restored it.
    pub node: NodeName,
    /// Where the set's files lay.
    pub path: String,
    /// The throwaway server's version.
    pub sandbox_version: String,
    /// The loader's version.
    pub loader_version: String,
    /// The version of what dumped the set, as its row has it.
    #[serde(default)]
    pub dumper_version: Option<String>,
    /// The version of the server that was dumped.
    #[serde(default)]
    pub source_version: Option<String>,
    /// One for each database of the set, and for what concerns the whole set.
    pub databases: Vec<DatabaseProof>,
    /// Each statement of the schedule with its value, those that held too.
    #[serde(default)]
    pub asserts: Vec<AssertedValue>,
    /// What was not looked at, or went otherwise than it should, without being held against the set; for people.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether it failed for the files at `path` alone, which are not those that were written: what another copy holds
    /// it does not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copy_differs: bool,
    /// Bytes of files that were read and digested, as they lie on disk.
    #[serde(default)]
    pub bytes_checked: u64,
    /// Bytes that were loaded, decompressed.
    #[serde(default)]
    pub bytes_loaded: u64,
    /// How long the set took to come back, in milliseconds: from the begin of the load until the last definition was
    /// there, without the comparing. `None` where nothing was loaded.
    #[serde(default)]
    pub load_ms: Option<u64>,
    /// BLAKE3 of the manifest that lay beside the files; `None` where there was none.
    #[serde(default)]
    pub manifest_blake3: Option<String>,
    /// BLAKE3 of the evidence that lay there.
    #[serde(default)]
    pub evidence_blake3: Option<String>,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// What is known of the set itself; `None` for a proof that was recorded before this was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<ProvenSet>,
    /// Its place among the proofs of its server, which the catalog gives it; `None` before, and where `set` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
}

impl Proof {
    /// Every database passed, and there was at least one.
    pub fn passed(&self) -> bool {
        !self.databases.is_empty() && self.databases.iter().all(|database| database.passed)
    }

    /// The warnings that tell what nobody knows of the set: it may be less than it was.
    pub fn untold(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().filter(|line| line.contains(NOTHING_TELLS))
    }

    /// Every reason why it did not pass, for people.
    pub fn faults(&self) -> Vec<String> {
        let failed = self.databases.iter().filter(|database| !database.passed);
        let lines = failed.flat_map(|database| {
            let error = database.error.iter().map(|error| {
                if database.database.is_empty() {
                    error.clone()
                } else {
                    format!("{}: {error}", database.database)
                }
            });
            error.chain(database.differences.iter().map(ToString::to_string))
        });
        lines.collect()
    }

    /// What to do where a statement of the schedule, and not the set, may be to blame; for people.
    pub fn advice(&self) -> Option<String> {
        let has_failed = self.asserts.iter().any(|value| value.held == Some(false));
        has_failed.then(|| {
            format!(
                "if the assert is wrong and not the set, correct it and prove the set again: \"mykeeper validate --bk-id {}\"",
                self.bk_id
            )
        })
    }

    /// The first reasons why it did not pass, in one line for people.
    pub fn summary(&self) -> String {
        if self.databases.iter().all(|database| database.passed) {
            let objects: u64 = self.databases.iter().map(|d| d.objects_compared).sum();
            let rows: u64 = self.databases.iter().map(|d| d.rows_compared).sum();
            return format!(
                "{} restored, {} and {} {}",
                counted(
                    self.databases.iter().filter(|d| !d.database.is_empty()).count(),
                    "database",
                    "databases"
                ),
                counted(objects, "object", "objects"),
                counted(rows, "row", "rows"),
                match self.manifest_blake3 {
                    Some(_) => "as they were",
                    // With nothing but themselves to be compared with.
                    None => "as its files have them",
                }
            );
        }
        let lines = self.faults();
        let more = lines.len().saturating_sub(3);
        let mut text = lines.into_iter().take(3).collect::<Vec<_>>().join("; ");
        if self.copy_differs {
            text = format!("in {}: {text}", self.path);
        }
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}
