//! Tables that their source keeps outside its own folder, by `DATA DIRECTORY` or `INDEX DIRECTORY`.
//!
//! Loaded as they are written, their files would lie there: on the server that they come from, beside its own. So they
//! are loaded by us, in a mode in which the server pays no heed to such words; myloader would set another.

use super::expect::{Expected, each_statement};
use super::layout::{DatabaseFiles, Layout};
use crate::blocking::{READ_WITHIN, off_thread};
use crate::error::ToolError;
use mykeeper_domain::counted;
use mykeeper_domain::definition::UNKNOWN;
use regex::{Captures, Regex};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// A directory of a table or a partition, however it is spaced. A column may be called so, too.
const NAMED: &str = r#"(?i-u)DIRECTORY\s*=?\s*['"]"#;
/// The same as a server writes it, beside what else stands in quotes.
const WRITTEN: &str =
    r"(?i)\s(?:DATA|INDEX) DIRECTORY ?= ?'(?:[^'\\]|''|\\.)*'|('(?:[^'\\]|''|\\.)*'|`(?:[^`]|``)*`)";
/// The facts of a table in which one may stand.
const FACTS: [&str; 2] = ["options", "partitions"];
/// What makes the server leave them out. In a strict mode it would refuse them instead.
pub(super) const STAY_WITHIN: &str = "SET SESSION sql_mode=CONCAT(REPLACE(REPLACE(REPLACE(@@sql_mode,\
                                      'STRICT_TRANS_TABLES',''),'STRICT_ALL_TABLES',''),'TRADITIONAL',''),\
                                      ',NO_DIR_IN_CREATE')";

/// Which tables these are.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// Database to tables, as the names of files have them.
    databases: BTreeMap<String, BTreeSet<String>>,
}

impl Elsewhere {
    /// Looks through the definitions of a set's tables.
    ///
    /// # Errors
    /// A file cannot be read, or the run was ended.
    pub(super) async fn find(
        set_dir: &Path,
        layout: &Layout,
        cancel: &CancellationToken,
    ) -> Result<Self, ToolError> {
        let layout = layout.clone();
        off_thread(("read", set_dir), READ_WITHIN, cancel, move || {
            let named = regex::bytes::Regex::new(NAMED).map_err(|error| unreadable(&error))?;
            let mut databases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (database, files) in &layout.databases {
                for (table, file) in &files.schemas {
                    let mut is_elsewhere = false;
                    each_statement(file, &mut |statement| is_elsewhere |= named.is_match(statement))?;
                    if is_elsewhere {
                        databases
                            .entry(database.clone())
                            .or_default()
                            .insert(table.clone());
                    }
                }
            }
            Ok(Self { databases })
        })
        .await
    }

    /// A database's files without those of these tables, and those.
    pub(super) fn split(&self, database: &str, files: &DatabaseFiles) -> (DatabaseFiles, DatabaseFiles) {
        let tables = self.databases.get(database);
        files
            .clone()
            .split(&|table| tables.is_some_and(|tables| tables.contains(table)))
    }

    /// Takes the directories out of what should come back. Yields what is said of them, for people.
    ///
    /// # Errors
    /// A defect of ours.
    pub(super) fn leave_out(&self, expected: &mut Expected) -> Result<Vec<String>, ToolError> {
        let written = Regex::new(WRITTEN).map_err(|error| unreadable(&error))?;
        let mut notes = Vec::new();
        for (database, tables) in &self.databases {
            let known = expected.databases.get_mut(database);
            for (object, definition) in known.into_iter().flat_map(|known| &mut known.definitions) {
                let Some(table) = object.strip_prefix("table ") else {
                    continue;
                };
                for fact in FACTS {
                    let Some(value) = definition.0.get_mut(fact) else {
                        continue;
                    };
                    if value.starts_with("BLAKE3 ") {
                        // Long ones are known by their digest alone; that of another table has nothing to leave out.
                        if tables.contains(table) {
                            UNKNOWN.clone_into(value);
                        }
                        continue;
                    }
                    let bare = written.replace_all(value, |found: &Captures<'_>| {
                        found
                            .get(1)
                            .map_or(String::new(), |quoted| quoted.as_str().to_owned())
                    });
                    *value = bare.into_owned();
                }
            }
            let first = tables.first().map_or("", String::as_str);
            notes.push(format!(
                "{database}: {} DATA DIRECTORY or INDEX DIRECTORY, first: {first}; the throwaway server keeps their files \
                 in its own folder, and where they lay is not compared",
                counted(tables.len(), "table has a", "tables have a")
            ));
        }
        Ok(notes)
    }
}

fn unreadable(error: &regex::Error) -> ToolError {
    ToolError::Failed {
        message: format!("cannot read dumps: {error}"),
        passing: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::definition::Definition;
    use mykeeper_domain::inventory::{Coverage, DatabaseInventory};

    fn left_of(fact: &str, value: &str) -> String {
        let definition: Definition = [(fact.to_owned(), value.to_owned())].into_iter().collect();
        let mut database = DatabaseInventory::default();
        database.definitions.insert("table t".into(), definition);
        let mut expected = Expected {
            databases: [("shop".to_owned(), database)].into(),
            coverage: Coverage::ALL,
        };
        let elsewhere = Elsewhere {
            databases: [("shop".to_owned(), ["t".to_owned()].into())].into(),
        };
        assert_eq!(elsewhere.leave_out(&mut expected).unwrap().len(), 1);
        expected.databases["shop"].definitions["table t"].0[fact].clone()
    }

    #[test]
    fn directories_are_left_out_and_what_only_speaks_of_them_is_not() {
        for (fact, value, left) in [
            (
                "options",
                "ENGINE=MyISAM DATA DIRECTORY='/d''2/' INDEX DIRECTORY='/d3/' COMMENT='x DATA DIRECTORY=''/y'' '",
                "ENGINE=MyISAM COMMENT='x DATA DIRECTORY=''/y'' '",
            ),
            (
                "partitions",
                "PARTITION BY RANGE (` DATA DIRECTORY = 'x'`) (PARTITION `p0` VALUES LESS THAN (10) DATA DIRECTORY = '/d2' \
                 INDEX DIRECTORY = '/d3' ENGINE = MyISAM)",
                "PARTITION BY RANGE (` DATA DIRECTORY = 'x'`) (PARTITION `p0` VALUES LESS THAN (10) ENGINE = MyISAM)",
            ),
            ("partitions", "BLAKE3 00", UNKNOWN),
        ] {
            assert_eq!(left_of(fact, value), left);
        }
    }

    #[test]
    fn a_column_of_that_name_is_no_directory() {
        let named = regex::bytes::Regex::new(NAMED).unwrap();
        assert!(!named.is_match(b"CREATE TABLE `t` (\n  `data directory` text DEFAULT 'x'\n)"));
        assert!(named.is_match(b" PARTITION p0 DATA DIRECTORY = '/d'"));
        assert!(named.is_match(b") ENGINE=InnoDB data directory\t\"/d\""));
    }
}
