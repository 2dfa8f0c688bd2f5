//! Columns whose values mydumper does not write.
//!
//! It asks for `*`, which leaves out what is INVISIBLE, unless the table has a generated column: then it names the
//! columns that are not generated, and invisible ones are among them. Measured with 0.10.1 and 1.0.1 on MariaDB 10.11;
//! with `complete-insert` 1.0 always names them, 0.10 only writes the names of what `*` gave it. The hidden columns of
//! a system-versioned table are not in the catalogue; declared ones are generated there, which costs no value.
//!
//! Up to 0.10.1 it takes MySQL 8's `DEFAULT_GENERATED`, which is no more than an expression as default value, for a
//! generated column: see issues 221 and 273 of mydumper.

use super::inventory::{DATABASES_PER_QUERY, of_databases};
use super::{Probe, text};
use crate::error::ToolError;
use std::collections::BTreeSet;

/// A column that is marked as invisible or generated in some way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnFacts {
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) column: String,
    /// `EXTRA` of the server's catalogue: `STORED GENERATED, INVISIBLE`.
    pub(crate) extra: String,
}

/// A column whose values are in no dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostColumn {
    pub(crate) database: String,
    pub(crate) table: String,
    /// For people, with the column's name.
    pub(crate) why: String,
}

impl Probe {
    /// The marked columns of these databases.
    pub(crate) async fn marked_columns(
        &mut self,
        databases: &[String],
    ) -> Result<Vec<ColumnFacts>, ToolError> {
        let mut columns = Vec::new();
        for some in databases.chunks(DATABASES_PER_QUERY) {
            let sql = of_databases(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, EXTRA FROM information_schema.COLUMNS \
                 WHERE (EXTRA LIKE '%INVISIBLE%' OR EXTRA LIKE '%GENERATED%') AND TABLE_SCHEMA",
                some,
            );
            let rows = self.rows("list the columns", sql, some).await?;
            columns.extend(rows.iter().map(|row| ColumnFacts {
                database: text(row, 0),
                table: text(row, 1),
                column: text(row, 2),
                extra: text(row, 3).to_ascii_uppercase(),
            }));
        }
        Ok(columns)
    }
}

/// Which of the marked columns a mydumper of this version leaves out. Pure.
pub(crate) fn lost_columns(
    columns: &[ColumnFacts],
    version: (u32, u32, u32),
    complete_insert: bool,
) -> Vec<LostColumn> {
    let mistakes_defaults = version <= (0, 10, 1);
    let names_all = complete_insert && version >= (1, 0, 0);
    let is_named = |column: &&ColumnFacts| {
        is_generated(&column.extra) || (mistakes_defaults && is_default(&column.extra))
    };
    let named: BTreeSet<(&str, &str)> = columns
        .iter()
        .filter(is_named)
        .map(|column| (column.database.as_str(), column.table.as_str()))
        .collect();
    let mut lost = Vec::new();
    for column in columns.iter().filter(|column| !is_generated(&column.extra)) {
        let ColumnFacts {
            database,
            table,
            column: name,
            extra,
        } = column;
        let why = if mistakes_defaults && is_default(extra) {
            "has an expression as default value, which this mydumper takes for a generated column: it leaves its values \
             out; install mydumper 0.10.3 or later"
        } else if extra.contains("INVISIBLE")
            && !names_all
            && !named.contains(&(database.as_str(), table.as_str()))
        {
            "is INVISIBLE: mydumper leaves its values out; make it visible for the dump, or use mydumper 1.0 with the \
             option \"complete-insert\""
        } else {
            continue;
        };
        lost.push(LostColumn {
            database: database.clone(),
            table: table.clone(),
            why: format!("column {database}.{table}.{name} {why}"),
        });
    }
    lost
}

fn is_default(extra: &str) -> bool {
    extra.contains("DEFAULT_GENERATED")
}

fn is_generated(extra: &str) -> bool {
    ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT GENERATED"]
        .iter()
        .any(|kind| extra.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(columns: &[(&str, &str, &str)], version: (u32, u32, u32), complete_insert: bool) -> Vec<String> {
        let columns: Vec<ColumnFacts> = columns
            .iter()
            .map(|(table, column, extra)| ColumnFacts {
                database: "d".into(),
                table: (*table).into(),
                column: (*column).into(),
                extra: (*extra).into(),
            })
            .collect();
        lost_columns(&columns, version, complete_insert)
            .into_iter()
            .map(|lost| lost.why.split(' ').nth(1).unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn an_invisible_column_is_lost_unless_the_columns_are_named() {
        let columns = [
            ("plain", "b", "INVISIBLE"),
            ("plain", "id", "AUTO_INCREMENT, INVISIBLE"),
            ("with", "b", "INVISIBLE"),
            ("with", "g", "VIRTUAL GENERATED"),
            ("hidden", "g", "STORED GENERATED, INVISIBLE"),
            ("versioned", "row_start", "STORED GENERATED, INVISIBLE"),
        ];
        assert_eq!(lost(&columns, (0, 10, 0), false), ["d.plain.b", "d.plain.id"]);
        assert_eq!(lost(&columns, (0, 10, 0), true), ["d.plain.b", "d.plain.id"]);
        assert_eq!(lost(&columns, (1, 0, 1), false), ["d.plain.b", "d.plain.id"]);
        assert_eq!(lost(&columns, (1, 0, 1), true), [""; 0]);
    }

    #[test]
    fn an_old_mydumper_takes_a_default_for_a_generated_column() {
        let columns = [
            ("t", "at", "DEFAULT_GENERATED ON UPDATE CURRENT_TIMESTAMP"),
            ("t", "b", "INVISIBLE"),
        ];
        assert_eq!(lost(&columns, (0, 10, 0), false), ["d.t.at"]);
        assert_eq!(lost(&columns, (0, 10, 7), false), ["d.t.b"]);
    }
}
