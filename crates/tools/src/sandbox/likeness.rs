//! In what a throwaway server has to be like the server that a set comes from.

use crate::error::ToolError;
use mykeeper_domain::inventory::Inventory;
use sqlx::{AssertSqlSafe, MySqlConnection, Row};
use std::collections::BTreeSet;

/// Engines that may lie in a plugin and do no harm: they keep their rows here, or nowhere. Those that reach for another
/// server (FEDERATED, SPIDER, CONNECT) are never loaded.
const HARMLESS: [(&str, &str); 2] = [("ARCHIVE", "ha_archive"), ("BLACKHOLE", "ha_blackhole")];

/// What is asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Likeness {
    /// Names of databases and tables are kept in lower case: `lower_case_table_names = 1`.
    pub(super) lower_case: bool,
    /// Engines of the source's tables, in capitals.
    engines: BTreeSet<String>,
}

impl Likeness {
    /// To a server of which only its `lower_case_table_names` is known, before it is asked what it holds.
    pub fn by_names(lower_case_table_names: Option<u8>) -> Self {
        Self {
            // On this file system no server could be told of the third way, 2.
            lower_case: lower_case_table_names == Some(1),
            engines: BTreeSet::new(),
        }
    }

    /// To the server that holds these.
    pub fn to(inventory: &Inventory) -> Self {
        let tables = inventory
            .databases
            .values()
            .flat_map(|content| content.tables.values());
        Self {
            engines: tables
                .filter_map(|table| Some(table.engine.as_ref()?.to_ascii_uppercase()))
                .collect(),
            ..Self::by_names(inventory.lower_case_table_names)
        }
    }
}

/// What the server has after the harmless ones of those that `likeness` names are loaded, in capitals. What cannot be
/// loaded is missing in it.
///
/// # Errors
/// The server is gone.
pub(super) async fn load_engines(
    connection: &mut MySqlConnection,
    likeness: &Likeness,
    is_mariadb: bool,
) -> Result<BTreeSet<String>, ToolError> {
    let present = engines(connection).await?;
    let wanted = HARMLESS
        .iter()
        .filter(|(engine, _)| likeness.engines.contains(*engine) && !present.contains(*engine));
    let mut is_other = false;
    for (engine, library) in wanted {
        let sql = if is_mariadb {
            format!("INSTALL SONAME '{library}'")
        } else {
            format!("INSTALL PLUGIN {engine} SONAME '{library}.so'")
        };
        let installed = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await;
        is_other |= installed.is_ok();
    }
    if is_other {
        engines(connection).await
    } else {
        Ok(present)
    }
}

async fn engines(connection: &mut MySqlConnection) -> Result<BTreeSet<String>, ToolError> {
    let rows = sqlx::raw_sql("SHOW ENGINES").fetch_all(connection).await;
    let rows = rows.map_err(|error| ToolError::Failed {
        message: format!("cannot ask the throwaway server for its engines: {error}"),
        passing: true,
    })?;
    let is_there = |row: &sqlx::mysql::MySqlRow| {
        let support: Option<Vec<u8>> = row.try_get_unchecked(1).ok();
        support.is_some_and(|support| support == b"YES" || support == b"DEFAULT")
    };
    let name = |row: &sqlx::mysql::MySqlRow| {
        let name: Vec<u8> = row.try_get_unchecked(0).ok()?;
        Some(String::from_utf8_lossy(&name).to_ascii_uppercase())
    };
    Ok(rows.iter().filter(|row| is_there(row)).filter_map(name).collect())
}
