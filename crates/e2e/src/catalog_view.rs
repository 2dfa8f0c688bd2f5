//! The catalog as a dashboard sees it: through SQL, beside the binary.

use crate::mariadb::MariaDb;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Column, ConnectOptions, Connection, Row, TypeInfo, ValueRef};
use std::path::{Path, PathBuf};

/// Either kind of catalog.
#[derive(Debug)]
pub enum CatalogView<'a> {
    /// The embedded one.
    Sqlite(PathBuf),
    /// A server and the database in it.
    MariaDb(&'a MariaDb, String),
}

impl<'a> CatalogView<'a> {
    /// The embedded one in this file.
    pub fn sqlite(path: &Path) -> Self {
        Self::Sqlite(path.to_path_buf())
    }

    /// A database of a server.
    pub fn mariadb(server: &'a MariaDb, database: &str) -> Self {
        Self::MariaDb(server, database.to_owned())
    }

    /// Rows of a query, columns as text, NULL as `NULL`.
    pub fn query(&self, query: &str) -> Vec<Vec<String>> {
        match self {
            Self::MariaDb(server, database) => server.query(&format!("USE `{database}`; {query}")),
            Self::Sqlite(path) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let rows = runtime.expect("a runtime").block_on(sqlite_rows(path, query));
                rows.unwrap_or_else(|error| panic!("a query failed on {}: {error}\n{query}", path.display()))
            }
        }
    }

    /// Changes it, as somebody would who is not mykeeper.
    pub fn edit(&self, statement: &str) {
        match self {
            Self::MariaDb(server, database) => drop(server.query(&format!("USE `{database}`; {statement}"))),
            Self::Sqlite(path) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let edited = runtime.expect("a runtime").block_on(sqlite_edit(path, statement));
                edited.unwrap_or_else(|error| {
                    panic!("an edit failed on {}: {error}\n{statement}", path.display())
                });
            }
        }
    }

    /// The first column of every row.
    pub fn column(&self, query: &str) -> Vec<String> {
        self.query(query)
            .into_iter()
            .filter_map(|row| row.into_iter().next())
            .collect()
    }

    /// The first column of the first row; the empty text when there is none.
    pub fn value(&self, query: &str) -> String {
        self.column(query).into_iter().next().unwrap_or_default()
    }
}

async fn sqlite_edit(path: &Path, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

async fn sqlite_rows(path: &Path, query: &str) -> Result<Vec<Vec<String>>, sqlx::Error> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .connect()
        .await?;
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .fetch_all(&mut connection)
        .await?;
    rows.iter()
        .map(|row| (0..row.columns().len()).map(|index| cell(row, index)).collect())
        .collect()
}

fn cell(row: &sqlx::sqlite::SqliteRow, index: usize) -> Result<String, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok("NULL".to_owned());
    }
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        "INTEGER" | "INT4" | "INT8" | "BOOLEAN" => row
            .try_get_unchecked::<i64, _>(index)
            .map(|value| value.to_string()),
        "REAL" => row
            .try_get_unchecked::<f64, _>(index)
            .map(|value| value.to_string()),
        "BLOB" => {
            let bytes = row.try_get_unchecked::<Vec<u8>, _>(index)?;
            Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        }
        _ => row
            .try_get_unchecked::<String, _>(index)
            .map_err(|error| sqlx::Error::Protocol(format!("column {}: {error}", row.column(index).name()))),
    }
}
