//! What lies in the databases of a server.

use super::{Probe, optional_text, quoted_name, text};
use crate::error::ToolError;
use mykeeper_domain::inventory::{DatabaseInventory, Inventory, TableInventory};
use mykeeper_domain::space::Volume;
use sqlx::Row;
use sqlx::mysql::MySqlRow;
use std::collections::BTreeMap;

/// How many databases one question is about.
pub(super) const DATABASES_PER_QUERY: usize = 100;
/// How many tables one question is about.
const TABLES_PER_QUERY: usize = 50;

/// Database and table.
type TableName = (String, String);

/// What was found out about tables being empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whether each has no row.
    pub(crate) answers: BTreeMap<TableName, bool>,
    /// One that another has locked; those behind it were not asked.
    pub(crate) locked: Option<TableName>,
}

/// An inventory with what the inventory itself has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The objects. Rows are not counted.
    pub inventory: Inventory,
    /// Views that cannot be selected from: database, view, what the server says.
    pub broken_views: Vec<(String, String, String)>,
    /// What mydumper knows nothing of, for people: `package shop.p`.
    pub unknown_objects: Vec<String>,
}

impl Probe {
    /// The objects of these databases, as far as the account can see them; a database that is not there is not in
    /// it. Rows are not counted.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn inventory(&mut self, databases: &[String]) -> Result<Inventory, ToolError> {
        Ok(self.find(databases).await?.inventory)
    }

    /// As [`Probe::inventory`], with what is worth a word besides.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn find(&mut self, databases: &[String]) -> Result<Found, ToolError> {
        let mut found = Found::default();
        found.inventory.lower_case_table_names = self.lower_case_table_names().await?;
        for some in databases.chunks(DATABASES_PER_QUERY) {
            self.find_schemas(some, &mut found).await?;
            self.find_tables(some, &mut found).await?;
            self.find_programs(some, &mut found).await?;
        }
        Ok(found)
    }

    /// How the server keeps and compares names; `None` where it tells none of the ways that are known.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn lower_case_table_names(&mut self) -> Result<Option<u8>, ToolError> {
        let sql = "SELECT CAST(@@lower_case_table_names AS CHAR)".to_owned();
        let rows = self.raw("ask how names are kept", sql).await?;
        Ok(rows.first().and_then(|row| text(row, 0).parse().ok()))
    }

    async fn find_schemas(&mut self, databases: &[String], found: &mut Found) -> Result<(), ToolError> {
        let sql = of_databases(
            "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
             FROM information_schema.SCHEMATA WHERE SCHEMA_NAME",
            databases,
        );
        for row in self.rows("list the databases", sql, databases).await? {
            let name = text(&row, 0);
            // The server compares names without regard to case here.
            if databases.contains(&name) {
                let database = DatabaseInventory {
                    charset: text(&row, 1),
                    collation: text(&row, 2),
                    ..Default::default()
                };
                found.inventory.databases.insert(name, database);
            }
        }
        Ok(())
    }

    async fn find_tables(&mut self, databases: &[String], found: &mut Found) -> Result<(), ToolError> {
        let sql = of_databases(
            // The comment tells of a broken view only when a column is asked for that makes the server open it.
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COMMENT, CREATE_TIME, \
             CAST(DATA_LENGTH AS CHAR), CAST(INDEX_LENGTH AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA",
            databases,
        );
        for row in self.rows("list the tables", sql, databases).await? {
            let (schema, name, kind) = (text(&row, 0), text(&row, 1), text(&row, 2));
            let Some(database) = found.inventory.databases.get_mut(&schema) else {
                continue;
            };
            match kind.as_str() {
                "VIEW" | "SYSTEM VIEW" => {
                    let comment = text(&row, 4);
                    if !comment.is_empty() && !comment.eq_ignore_ascii_case("VIEW") {
                        found.broken_views.push((schema, name.clone(), comment));
                    }
                    database.views.insert(name);
                }
                "SEQUENCE" => {
                    database.sequences.insert(name);
                }
                other => {
                    if other == "SYSTEM VERSIONED" {
                        found.unknown_objects.push(format!(
                            "the history of the system-versioned table {schema}.{name}"
                        ));
                    }
                    let table = TableInventory {
                        engine: optional_text(&row, 3),
                        rows: None,
                        data_bytes: number(&row, 6),
                        index_bytes: number(&row, 7),
                        ..TableInventory::default()
                    };
                    database.tables.insert(name, table);
                }
            }
        }
        Ok(())
    }

    /// What the tables of these databases take, by the server's own account.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn volume(&mut self, databases: &[String]) -> Result<Volume, ToolError> {
        let mut volume = Volume::default();
        for some in databases.chunks(DATABASES_PER_QUERY) {
            let sql = of_databases(
                "SELECT CAST(COUNT(*) AS CHAR), CAST(SUM(DATA_LENGTH) AS CHAR), CAST(SUM(INDEX_LENGTH) AS CHAR) \
                 FROM information_schema.TABLES WHERE TABLE_TYPE <> 'VIEW' AND TABLE_SCHEMA",
                some,
            );
            for row in self.rows("ask how large the tables are", sql, some).await? {
                volume.tables = volume.tables.saturating_add(number(&row, 0).unwrap_or(0));
                volume.data_bytes = volume.data_bytes.saturating_add(number(&row, 1).unwrap_or(0));
                volume.index_bytes = volume.index_bytes.saturating_add(number(&row, 2).unwrap_or(0));
            }
        }
        Ok(volume)
    }

    async fn find_programs(&mut self, databases: &[String], found: &mut Found) -> Result<(), ToolError> {
        let sql = of_databases(
            "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS \
             WHERE TRIGGER_SCHEMA",
            databases,
        );
        for row in self.rows("list the triggers", sql, databases).await? {
            if let Some(database) = found.inventory.databases.get_mut(&text(&row, 0)) {
                database.triggers.insert(text(&row, 1), text(&row, 2));
            }
        }
        let sql = of_databases(
            "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA",
            databases,
        );
        for row in self.rows("list the routines", sql, databases).await? {
            let (schema, name, kind) = (text(&row, 0), text(&row, 1), text(&row, 2));
            let Some(database) = found.inventory.databases.get_mut(&schema) else {
                continue;
            };
            match kind.as_str() {
                "PROCEDURE" => {
                    database.procedures.insert(name);
                }
                "FUNCTION" => {
                    database.functions.insert(name);
                }
                other => found
                    .unknown_objects
                    .push(format!("{} {schema}.{name}", other.to_lowercase())),
            }
        }
        let sql = of_databases(
            "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA",
            databases,
        );
        for row in self.rows("list the events", sql, databases).await? {
            if let Some(database) = found.inventory.databases.get_mut(&text(&row, 0)) {
                database.events.insert(text(&row, 1));
            }
        }
        Ok(())
    }

    /// Which of these tables have no row now. A table that cannot be asked is in neither answer. The first one that
    /// another has locked ends it: there may be thousands of them, each to be waited for.
    ///
    /// # Errors
    /// [`ToolError::Query`], when the connection is gone.
    pub(crate) async fn emptiness(&mut self, tables: &[TableName]) -> Result<Asked, ToolError> {
        const ACTION: &str = "ask which tables are empty";
        let mut asked = Asked::default();
        for some in tables.chunks(TABLES_PER_QUERY) {
            match self.raw(ACTION, exists(some)).await {
                Ok(row) => {
                    note(&row, some, &mut asked.answers);
                    continue;
                }
                Err(error) if self.is_gone() => return Err(error),
                // One of them is gone, corrupt, locked or forbidden: find out about the others.
                Err(_) => {}
            }
            let mut refused = 0;
            for table in some {
                let alone = std::slice::from_ref(table);
                match self.raw(ACTION, exists(alone)).await {
                    Ok(row) => note(&row, alone, &mut asked.answers),
                    Err(error) if self.is_gone() => return Err(error),
                    Err(_) if self.met_a_lock() => {
                        asked.locked = Some(table.clone());
                        return Ok(asked);
                    }
                    Err(error) => {
                        refused += 1;
                        if refused == some.len() {
                            self.server_version().await.map_err(|_| error)?;
                        }
                    }
                }
            }
        }
        Ok(asked)
    }
}

/// A number that was asked for as text: the engines give it different types.
fn number(row: &MySqlRow, index: usize) -> Option<u64> {
    optional_text(row, index)?.parse().ok()
}

pub(super) fn of_databases(sql: &str, databases: &[String]) -> String {
    format!("{sql} IN ({})", vec!["?"; databases.len()].join(","))
}

fn exists(tables: &[TableName]) -> String {
    let each: Vec<String> = tables
        .iter()
        .map(|(database, table)| {
            format!(
                "IF(EXISTS(SELECT 1 FROM {}.{} LIMIT 1),'1','0')",
                quoted_name(database),
                quoted_name(table)
            )
        })
        .collect();
    format!("SELECT {}", each.join(","))
}

fn note(rows: &[MySqlRow], tables: &[TableName], answers: &mut BTreeMap<TableName, bool>) {
    let Some(row) = rows.first().filter(|row| row.len() == tables.len()) else {
        return;
    };
    for (index, table) in tables.iter().enumerate() {
        answers.insert(table.clone(), text(row, index) == "0");
    }
}
