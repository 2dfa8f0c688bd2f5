//! What a proof says of the set that it is of: what never changes in the set's row, and what the set holds.

use crate::backup::Backup;
use crate::evidence::Evidence;
use crate::ids::{BackupId, JobName, NodeName, RunId};
use crate::inventory::{DatabaseInventory, Inventory};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How much of each kind one database holds, by the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventorySummary {
    /// Database.
    pub database: String,
    /// Default character set.
    pub charset: String,
    /// Default collation.
    pub collation: String,
    /// Base tables.
    pub tables: u64,
    /// Rows of all tables whose rows were counted.
    pub rows: u64,
    /// Tables of which a digest of all rows is known.
    pub digested: u64,
    /// Views.
    pub views: u64,
    /// Sequences.
    pub sequences: u64,
    /// Triggers.
    pub triggers: u64,
    /// Procedures and functions.
    pub routines: u64,
    /// Events.
    pub events: u64,
    /// Objects whose definition is known.
    pub definitions: u64,
}

impl InventorySummary {
    fn of((name, database): (&String, &DatabaseInventory)) -> Self {
        let tables = database.tables.values();
        Self {
            database: name.clone(),
            charset: database.charset.clone(),
            collation: database.collation.clone(),
            tables: tables.len() as u64,
            rows: tables.clone().filter_map(|table| table.rows).sum(),
            digested: tables.filter(|table| table.content.is_some()).count() as u64,
            views: database.views.len() as u64,
            sequences: database.sequences.len() as u64,
            triggers: database.triggers.len() as u64,
            routines: (database.procedures.len() + database.functions.len()) as u64,
            events: database.events.len() as u64,
            definitions: database.definitions.len() as u64,
        }
    }

    fn all(inventory: &Inventory) -> Vec<Self> {
        inventory.databases.iter().map(Self::of).collect()
    }
}

/// The set as it was made. Each field is that of [`Backup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the field of its name in Backup")]
pub struct ProvenSet {
    pub bk_id: BackupId,
    pub node: Option<NodeName>,
    pub job: Option<JobName>,
    pub run_id: Option<RunId>,
    pub bk_server: String,
    /// The server, as far as the catalog goes: its proofs are chained by it, as its sets are kept by it.
    pub tag: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub databases: Vec<String>,
    pub complete: Vec<bool>,
    pub size_bytes: Option<u64>,
    pub dir: String,
    pub master_status: String,
    pub slave_status: String,
    pub tool_version: String,
    pub server_version: String,
    /// BLAKE3 of the manifest, as the catalog has known it since the dump.
    pub manifest_blake3: Option<String>,
    /// What is in it, by its evidence; empty for a set of pybackup's.
    pub inventory: Vec<InventorySummary>,
}

impl ProvenSet {
    /// From its row and its evidence.
    pub fn of(backup: &Backup, evidence: Option<&Evidence>) -> Self {
        Self {
            bk_id: backup.id,
            node: backup.node.clone(),
            job: backup.job.clone(),
            run_id: backup.run_id,
            bk_server: backup.bk_server.clone(),
            tag: backup.tag.clone(),
            started_at: backup.started_at,
            finished_at: backup.finished_at,
            databases: backup.databases.clone(),
            complete: backup.complete.clone(),
            size_bytes: backup.size_bytes,
            dir: backup.dir.display().to_string(),
            master_status: backup.master_status.clone(),
            slave_status: backup.slave_status.clone(),
            tool_version: backup.tool_version.clone(),
            server_version: backup.server_version.clone(),
            manifest_blake3: backup.manifest_blake3.clone(),
            inventory: evidence
                .map(|evidence| InventorySummary::all(&evidence.inventory))
                .unwrap_or_default(),
        }
    }
}
