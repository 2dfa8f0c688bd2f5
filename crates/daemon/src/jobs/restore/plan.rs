//! What a restore would write, as people and programs are told.

use super::position::Position;
use mykeeper_domain::inventory::DatabaseInventory;
use mykeeper_domain::{BackupId, counted};
use serde::Serialize;
use std::path::PathBuf;

/// What happens to one database of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is not there, or empty.
    Created,
    /// It is there, and goes.
    Replaced,
    /// It is there and stays, but for the tables that are written.
    Added,
    /// It is there, or tables of it are, and nothing is written: that takes `--overwrite`.
    Refused,
}

/// One database that is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedDatabase {
    /// Its name in the set.
    pub database: String,
    /// Its name in the server, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    /// The only tables that are written; `None`: it is written whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_tables: Option<Vec<String>>,
    /// What happens to it.
    pub fate: Fate,
    /// What is there now in its place, or in that of its tables: `3 tables, 1 view`; empty when nothing is.
    pub there_now: String,
    /// Tables; this and the next two are `None` for a set without evidence.
    pub tables: Option<u64>,
    /// Rows.
    pub rows: Option<u64>,
    /// Views, triggers, routines, events: `2 views, 1 event`.
    pub others: Option<String>,
    /// Bytes of statements; `None` for a set without a manifest.
    pub size_bytes: Option<u64>,
}

/// What a restore writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// The set.
    pub bk_id: BackupId,
    /// Where it lies.
    pub path: PathBuf,
    /// The server's name.
    pub into: String,
    /// What it answers to `SELECT VERSION()`.
    pub server_version: String,
    /// What is written.
    pub databases: Vec<PlannedDatabase>,
    /// Why the set may not be worth restoring: nobody has proven it, or its proof failed. `None` where one has passed.
    pub doubt: Option<String>,
    /// Whether the catalog could not tell of the set: what is known of it lies in its own folder.
    pub by_own_record: bool,
    /// That it overwrites the server that the set was taken from.
    pub onto_source: Option<String>,
    /// Events that come to another server as they were, each with what disables it there: `ALTER EVENT ... DISABLE`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disabling: Vec<String>,
    /// What of the set is not: each with its reason. Nobody asked for these by name.
    pub left_out: Vec<String>,
    /// What becomes of names there, where the server takes them otherwise than the set's.
    pub names: Vec<String>,
    /// Why it is not done; empty: it may be.
    pub refusals: Vec<String>,
    /// What the account lacks for it, each with what an administrator may run.
    pub missing_rights: Vec<String>,
    /// `it needs about 3 GiB: ...; 90 GiB of 100 GiB are free in /var/lib/mysql`, or why that cannot be known.
    pub space: String,
    /// Where the set stands in its server's binary log.
    pub continue_from: Vec<Position>,
}

/// `3 tables, 1 view`
pub(super) fn census(database: &DatabaseInventory) -> String {
    let tables = (database.tables.len(), "table");
    let others = other_objects(database);
    [some(tables), (!others.is_empty()).then_some(others)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn other_objects(database: &DatabaseInventory) -> String {
    let counts = [
        (database.views.len(), "view"),
        (database.sequences.len(), "sequence"),
        (database.triggers.len(), "trigger"),
        (database.procedures.len() + database.functions.len(), "routine"),
        (database.events.len(), "event"),
    ];
    counts.into_iter().filter_map(some).collect::<Vec<_>>().join(", ")
}

/// `None` where there is none.
pub(super) fn some((count, word): (usize, &str)) -> Option<String> {
    (count > 0).then(|| counted(count, word, &format!("{word}s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_census_counts_what_is_there() {
        let mut database = DatabaseInventory::default();
        assert_eq!(census(&database), "");
        database
            .tables
            .insert("t".into(), mykeeper_domain::inventory::TableInventory::default());
        database.events.extend(["e".to_owned(), "f".to_owned()]);
        assert_eq!(census(&database), "1 table, 2 events");
    }
}
