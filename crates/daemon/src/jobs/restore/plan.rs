//! What a restore would write, as people and programs are told.

use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::DatabaseInventory;
use mykeeper_domain::{BackupId, counted};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What happens to one database of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is not there, or empty.
    Created,
    /// It is there, and goes.
    Replaced,
}

/// One database that is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedDatabase {
    /// Its name.
    pub database: String,
    /// What happens to it.
    pub fate: Fate,
    /// What is there now: `3 tables, 1 view`; empty when nothing is.
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

/// A point in the binary log of the server that the set is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The databases that it holds for.
    pub databases: Vec<String>,
    /// The log's file.
    pub file: String,
    /// The position in it.
    pub position: u64,
    /// The GTID, where the server has one.
    pub gtid: Option<String>,
    /// A command that shows what has been written since.
    pub command: String,
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
    /// What of the set is not: each with its reason.
    pub left_out: Vec<String>,
    /// Why it is not done; empty: it may be.
    pub refusals: Vec<String>,
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

/// Where each part of the set stands in the binary log.
pub(super) fn positions(backup: &Backup, evidence: Option<&Evidence>, wanted: &[String]) -> Vec<Position> {
    let is_mariadb = backup.server_version.to_ascii_lowercase().contains("mariadb");
    let program = if is_mariadb {
        "mariadb-binlog"
    } else {
        "mysqlbinlog"
    };
    let mut by_status: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    match evidence.map(|evidence| &evidence.parts) {
        Some(parts) if parts.len() > 1 => {
            for part in parts {
                let databases = part
                    .databases
                    .iter()
                    .filter(|name| wanted.contains(name))
                    .cloned();
                let status = part.master_status.as_deref().unwrap_or_default();
                by_status.entry(status).or_default().extend(databases);
            }
        }
        _ => {
            by_status.insert(&backup.master_status, wanted.to_vec());
        }
    }
    let read = |(status, databases): (&str, Vec<String>)| {
        let mut words = status.splitn(3, ',').map(str::trim);
        let (file, position) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let gtid = words.next().filter(|gtid| !gtid.is_empty()).map(str::to_owned);
        let command = format!("{program} --start-position={position} {file}");
        Some(Position {
            databases,
            file,
            position,
            gtid,
            command,
        })
    };
    by_status
        .into_iter()
        .filter(|(_, databases)| !databases.is_empty())
        .filter_map(read)
        .collect()
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
