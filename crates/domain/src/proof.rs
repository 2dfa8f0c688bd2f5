//! What a restore test found.

use crate::counted;
use crate::ids::{BackupId, NodeName, RunId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// When its load began.
    pub started_at: DateTime<Utc>,
    /// When its comparison ended.
    pub finished_at: DateTime<Utc>,
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
    /// One for each database of the set, and for what concerns the whole set.
    pub databases: Vec<DatabaseProof>,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

impl Proof {
    /// Every database passed, and there was at least one.
    pub fn passed(&self) -> bool {
        !self.databases.is_empty() && self.databases.iter().all(|database| database.passed)
    }

    /// The first reasons why it did not pass, in one line for people.
    pub fn summary(&self) -> String {
        let failed: Vec<&DatabaseProof> = self
            .databases
            .iter()
            .filter(|database| !database.passed)
            .collect();
        if failed.is_empty() {
            let objects: u64 = self.databases.iter().map(|d| d.objects_compared).sum();
            let rows: u64 = self.databases.iter().map(|d| d.rows_compared).sum();
            return format!(
                "{} restored, {} and {} as they were",
                counted(
                    self.databases.iter().filter(|d| !d.database.is_empty()).count(),
                    "database",
                    "databases"
                ),
                counted(objects, "object", "objects"),
                counted(rows, "row", "rows")
            );
        }
        let lines: Vec<String> = failed
            .iter()
            .flat_map(|database| {
                let error = database.error.iter().map(|error| {
                    if database.database.is_empty() {
                        error.clone()
                    } else {
                        format!("{}: {error}", database.database)
                    }
                });
                error.chain(database.differences.iter().map(ToString::to_string))
            })
            .collect();
        let more = lines.len().saturating_sub(3);
        let mut text = lines.into_iter().take(3).collect::<Vec<_>>().join("; ");
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}
