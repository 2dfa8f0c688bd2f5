//! Sequences come before all tables: a column's default may ask one, also one of another database.

use super::expect::each_statement;
use super::layout::{DatabaseFiles, Layout, SetFile};
use crate::blocking::{READ_WITHIN, off_thread};
use crate::error::ToolError;
use mykeeper_domain::inventory::Inventory;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// A set's files, those of its sequences apart.
#[derive(Debug)]
pub(super) struct Parted {
    /// All else.
    pub(super) layout: Layout,
    /// By database.
    pub(super) sequences: BTreeMap<String, DatabaseFiles>,
}

/// Looks into the definitions of tables for those of sequences, where `inventory` does not know that there are none.
///
/// # Errors
/// The folder does not answer, or the run was ended.
pub(super) async fn part(
    layout: &Layout,
    (inventory, set_dir): (Option<&Inventory>, &Path),
    cancel: &CancellationToken,
) -> Result<Parted, ToolError> {
    let mut parted = Parted {
        layout: layout.clone(),
        sequences: BTreeMap::new(),
    };
    let has_none = |inventory: &Inventory| {
        inventory
            .databases
            .values()
            .all(|content| content.sequences.is_empty())
    };
    if inventory.is_some_and(has_none) {
        return Ok(parted);
    }
    let schemas: Vec<(String, String, SetFile)> = layout
        .databases
        .iter()
        .flat_map(|(database, files)| {
            let schemas = files.schemas.iter();
            schemas.map(move |(table, file)| (database.clone(), table.clone(), file.clone()))
        })
        .collect();
    let found = off_thread(("read", set_dir), READ_WITHIN, cancel, move || {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (database, table, file) in schemas {
            let mut is_sequence = false;
            let read = each_statement(&file, &mut |statement| is_sequence |= makes_sequence(statement));
            // What cannot be read is told when it is loaded.
            if read.is_ok() && is_sequence {
                found.entry(database).or_default().insert(table);
            }
        }
        Ok(found)
    })
    .await?;
    for (database, names) in found {
        if let Some(files) = parted.layout.databases.get_mut(&database) {
            let (schemas, data) = (take(&mut files.schemas, &names), take(&mut files.data, &names));
            let own = DatabaseFiles {
                schemas,
                data,
                ..DatabaseFiles::default()
            };
            parted.sequences.insert(database, own);
        }
    }
    Ok(parted)
}

fn take(files: &mut Vec<(String, SetFile)>, names: &BTreeSet<String>) -> Vec<(String, SetFile)> {
    let (taken, left) = std::mem::take(files)
        .into_iter()
        .partition(|(table, _)| names.contains(table));
    *files = left;
    taken
}

/// Whether a statement makes a sequence: mydumper writes it as the table that a server keeps it in.
pub(crate) fn makes_sequence(statement: &[u8]) -> bool {
    const MARK: &[u8] = b" SEQUENCE=1";
    const WORDS: &[u8] = b"CREATE SEQUENCE ";
    let statement = statement.trim_ascii();
    let options = statement.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    (options.starts_with(b")") && memchr::memmem::find(options, MARK).is_some())
        || statement
            .get(..WORDS.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(WORDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_told_from_a_table() {
        for (statement, is) in [
            (
                "CREATE TABLE `s` (\n  `a` bigint\n) ENGINE=InnoDB SEQUENCE=1",
                true,
            ),
            (
                "CREATE TABLE `s` (\n  `a` bigint\n) ENGINE=InnoDB SEQUENCE=1 COMMENT='x'\n",
                true,
            ),
            ("create sequence `s` start with 1", true),
            (
                "CREATE TABLE `t` (\n  `a` text DEFAULT ' SEQUENCE=1'\n) ENGINE=InnoDB",
                false,
            ),
            ("INSERT INTO t VALUES (' SEQUENCE=1')", false),
        ] {
            assert_eq!(makes_sequence(statement.as_bytes()), is, "{statement}");
        }
    }
}
