//! The checksums that mydumper itself takes on the server, from 0.11 on, and keeps in its `metadata`.

use super::{PartFiles, TableName};
use std::collections::BTreeMap;

/// `CHECKSUM TABLE`, asked in the session that dumps.
const DATA: &str = "data_checksum";
/// Each key of a table, and what its checksum is of.
const OF_TABLES: [(&str, &str); 3] = [
    ("schema_checksum", "columns"),
    ("indexes_checksum", "indexes"),
    ("triggers_checksum", "triggers"),
];
const OF_DATABASES: [(&str, &str); 4] = [
    ("schema_checksum", "database"),
    ("post_checksum", "routines"),
    ("triggers_checksum", "triggers"),
    ("events_checksum", "events"),
];

/// What a part's `metadata` has of checksums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DumperChecksums {
    /// Of the rows of tables.
    pub(crate) data: BTreeMap<TableName, u64>,
    /// Of all else, by database, under the names that the evidence has for it.
    pub(crate) others: BTreeMap<String, BTreeMap<String, String>>,
}

impl PartFiles<'_> {
    /// Of the objects that the set must hold.
    pub(super) fn checksums(&self) -> DumperChecksums {
        let mut all = DumperChecksums::default();
        for (database, content) in self.contents() {
            let in_files = self.database_in_files(database);
            let told = self.metadata.as_ref().and_then(|it| it.databases.get(database));
            let mut others: BTreeMap<String, String> = OF_DATABASES
                .iter()
                .filter_map(|(key, what)| Some(((*what).to_owned(), told?.get(*key)?.clone())))
                .collect();
            for table in content.tables.keys() {
                let Some(record) = self.record(in_files, table) else {
                    continue;
                };
                if let Some(value) = record.checksums.get(DATA).and_then(|value| value.parse().ok()) {
                    all.data.insert((database.clone(), table.clone()), value);
                }
                others.extend(OF_TABLES.iter().filter_map(|(key, what)| {
                    let value = record.checksums.get(*key)?;
                    Some((format!("{what} of table {table}"), value.clone()))
                }));
            }
            for view in &content.views {
                let value = self
                    .record(in_files, view)
                    .and_then(|record| record.checksums.get("schema_checksum"));
                others.extend(value.map(|value| (format!("view {view}"), value.clone())));
            }
            if !others.is_empty() {
                all.others.insert(database.clone(), others);
            }
        }
        all
    }
}
