//! `CHECKSUM TABLE`, when a table was last changed, and the formulas by which mydumper checks definitions.

use super::inventory::{DATABASES_PER_QUERY, of_databases};
use super::{Probe, optional_text, quoted_name, text};
use crate::error::ToolError;
use crate::mydumper::TableName;
use mykeeper_domain::inventory::DatabaseInventory;
use std::collections::BTreeMap;

/// Before and behind the text that a checksum of mydumper's is of, in its column `col`.
const FORMULA: [&str; 2] = [
    "SELECT COALESCE(LOWER(CONV(BIT_XOR(CAST(CRC32(col) AS UNSIGNED)), 10, 16)), 0) FROM (",
    ") AS a",
];
/// A text as it is whatever became of its white space.
macro_rules! bare {
    ($text:literal) => {
        concat!(
            "SELECT REPLACE(REPLACE(REPLACE(REPLACE(",
            $text,
            ", CHAR(32), ''), CHAR(13), ''), CHAR(10), ''), CHAR(9), '') AS col"
        )
    };
}
/// What is checked of a database, and how 1.0 does it; a view's text is not the same in every server.
const OF_DATABASE: [(&str, &str); 4] = [
    (
        "database",
        "SELECT CONCAT(DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME) AS col \
         FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?",
    ),
    (
        "routines",
        "SELECT REPLACE(ROUTINE_DEFINITION, ' ', '') AS col FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?",
    ),
    (
        "triggers",
        concat!(
            bare!("ACTION_STATEMENT"),
            " FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ?"
        ),
    ),
    (
        "events",
        concat!(
            bare!("EVENT_DEFINITION"),
            " FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?"
        ),
    ),
];
const OF_TABLE: [(&str, &str); 3] = [
    (
        "columns",
        "SELECT CONCAT_WS(' ', COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE) AS col \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
    ),
    (
        "indexes",
        "SELECT CONCAT_WS(' ', INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME) AS col \
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
    ),
    (
        "triggers",
        concat!(
            bare!("ACTION_STATEMENT"),
            " FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ?"
        ),
    ),
];

/// When tables were last changed, as far as the server knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// By the server's clock; `None` where it has seen no change.
    pub(crate) changed_at: BTreeMap<TableName, Option<String>>,
    /// The second in which it was asked.
    pub(crate) now: String,
    /// It holds every table's definition in memory, and with it what it has seen of changes.
    pub(crate) remembers: bool,
}

impl Probe {
    /// `CHECKSUM TABLE`, row by row; `None` where the server cannot say.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub(crate) async fn checksum(
        &mut self,
        (database, table): (&str, &str),
    ) -> Result<Option<u64>, ToolError> {
        let sql = format!(
            "CHECKSUM TABLE {}.{} EXTENDED",
            quoted_name(database),
            quoted_name(table)
        );
        let rows = self.raw("ask for a table's checksum", sql).await?;
        Ok(rows
            .first()
            .and_then(|row| optional_text(row, 1))
            .and_then(|value| value.parse().ok()))
    }

    /// By which this connection is known to the server.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub(crate) async fn connection_id(&mut self) -> Result<u64, ToolError> {
        let sql = "SELECT CAST(CONNECTION_ID() AS CHAR)".to_owned();
        let rows = self.raw("ask for the connection's number", sql).await?;
        Ok(rows
            .first()
            .and_then(|row| text(row, 0).parse().ok())
            .unwrap_or_default())
    }

    /// When the tables of these databases were last changed.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub(crate) async fn changes(&mut self, databases: &[String]) -> Result<Changes, ToolError> {
        const ACTION: &str = "ask when the tables were changed";
        // MySQL 8 would answer with what it knew a day ago.
        let fresh = "SET /*!80000 SESSION information_schema_stats_expiry = 0, */ @mykeeper_asks = 1";
        self.raw(ACTION, fresh.to_owned()).await?;
        let mut changes = Changes {
            remembers: self.remembers().await?,
            ..Changes::default()
        };
        // The earliest moment: what is changed after it bears its second, or a later one.
        let now = self.raw(ACTION, "SELECT CAST(NOW() AS CHAR)".to_owned()).await?;
        changes.now = now.first().map(|row| text(row, 0)).unwrap_or_default();
        for some in databases.chunks(DATABASES_PER_QUERY) {
            let sql = of_databases(
                "SELECT TABLE_SCHEMA, TABLE_NAME, CAST(UPDATE_TIME AS CHAR) FROM information_schema.TABLES \
                 WHERE TABLE_TYPE <> 'VIEW' AND TABLE_SCHEMA",
                some,
            );
            for row in self.rows(ACTION, sql, some).await? {
                changes
                    .changed_at
                    .insert((text(&row, 0), text(&row, 1)), optional_text(&row, 2));
            }
        }
        Ok(changes)
    }

    /// InnoDB forgets when a table was changed as it puts its definition out of memory, which it does only where there
    /// are more of them than it may keep.
    async fn remembers(&mut self) -> Result<bool, ToolError> {
        const ACTION: &str = "ask how many definitions the server keeps";
        let open = "SHOW GLOBAL STATUS LIKE 'Open_table_definitions'".to_owned();
        let most = "SHOW GLOBAL VARIABLES LIKE 'table_definition_cache'".to_owned();
        let mut numbers = Vec::new();
        for sql in [open, most] {
            let rows = self.raw(ACTION, sql).await?;
            numbers.extend(rows.first().and_then(|row| text(row, 1).parse::<u64>().ok()));
        }
        Ok(matches!(numbers.as_slice(), [open, most] if open < most))
    }

    /// Takes those of `expected`'s checksums of mydumper 1.0's that can be compared, of the database called `target`
    /// here, and enters them into `found`.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub(crate) async fn dumper_checksums(
        &mut self,
        target: &str,
        expected: &BTreeMap<String, String>,
        found: &mut DatabaseInventory,
    ) -> Result<(), ToolError> {
        let mut asked: Vec<(String, &str, Vec<String>)> = OF_DATABASE
            .iter()
            .map(|(what, sql)| ((*what).to_owned(), *sql, vec![target.to_owned()]))
            .collect();
        for table in found.tables.keys() {
            let names = || vec![target.to_owned(), table.clone()];
            asked.extend(
                OF_TABLE
                    .iter()
                    .map(|(what, sql)| (format!("{what} of table {table}"), *sql, names())),
            );
        }
        for (what, sql, names) in asked {
            if !expected.contains_key(&what) {
                continue;
            }
            let sql = format!("{}{sql}{}", FORMULA[0], FORMULA[1]);
            let rows = self.rows("take mydumper's checksums", sql, &names).await?;
            found
                .dumper_checksums
                .extend(rows.first().map(|row| (what, text(row, 0))));
        }
        Ok(())
    }
}
