//! The rows of restored tables, read back: how many, what they hold, and what the server itself thinks of the table.

use super::fault::{Lack, failure, refusal, wire_failure, wire_refusal};
use super::wire::{DOUBLE, FLOAT, RowSink, Wire};
use crate::connection::ServerConnection;
use crate::content::{Content, RowHasher, unsigned_zero};
use crate::error::ToolError;
use crate::log::RunLog;
use crate::probe::{connect_options, quoted_name, text};
use futures::{StreamExt, TryStreamExt, stream};
use mykeeper_domain::checksum::SourceChecksum;
use mykeeper_domain::inventory::{DatabaseInventory, TableInventory};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Row, TypeInfo};
use std::collections::BTreeMap;
use std::path::Path;

/// Most connections at a time.
const MOST_CONNECTIONS: u32 = 16;
/// How a session must be so that it yields the bytes that a dump wrote, however long that takes. Each product reads its
/// own comment; MySQL refuses a statement that is nothing else.
const PRELUDE: &str = "SET NAMES binary, time_zone = '+00:00', sql_mode = '' /*M!100101 , max_statement_time = 0 */ \
                       /*!50708 , max_execution_time = 0 */";

/// How a CHAR is read with all its spaces, and without.
const PADDED: &str = "SET SESSION sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'";
const NOT_PADDED: &str = "SET SESSION sql_mode = ''";

/// Types that have a -0.
const REAL: [&str; 2] = ["FLOAT", "DOUBLE"];

/// A server with restored databases.
pub(crate) struct TableReader<'a> {
    pub(crate) connection: &'a ServerConnection,
    /// The socket of a throwaway server: rows are read from it byte for byte, for a fraction of what the client library
    /// takes to make a row of them.
    pub(crate) socket: Option<&'a Path>,
    pub(crate) log: &'a dyn RunLog,
    /// Tables read at a time.
    pub(crate) threads: u32,
}

/// A view that cannot be selected from.
pub(crate) struct BrokenView {
    pub(crate) view: String,
    /// The server's number for the cause.
    pub(crate) code: u16,
    pub(crate) cause: String,
}

/// One table to be read.
struct Task<'t> {
    database: &'t str,
    table: &'t str,
    /// What its rows should be; `None`: they are only counted.
    measure: Option<&'t TableInventory>,
    /// The source's checksum is known.
    has_checksum: bool,
}

/// What was read of one table.
struct Values {
    table: String,
    /// `None` where the table cannot be read.
    rows: Option<u64>,
    content: Option<Content>,
    checksum: Option<u64>,
    fault: Option<String>,
}

impl TableReader<'_> {
    /// Reads every table of `found`, which is called `database` in the server, however long each takes, and enters its
    /// rows and content there. Content and checksum are read of those tables alone for which `measure` knows them. Yields what
    /// `CHECK TABLE` says against tables.
    ///
    /// # Errors
    /// The server is gone.
    pub(crate) async fn read(
        &self,
        database: &str,
        measure: &DatabaseInventory,
        found: &mut DatabaseInventory,
    ) -> Result<BTreeMap<String, String>, ToolError> {
        let at_once = self.threads.clamp(1, MOST_CONNECTIONS) as usize;
        let tables: Vec<&String> = found.tables.keys().collect();
        let shares: Vec<Vec<Task<'_>>> = (0..at_once.min(tables.len()))
            .map(|worker| {
                let share = tables.iter().skip(worker).step_by(at_once);
                share
                    .map(|table| Task {
                        database,
                        table,
                        measure: measure
                            .tables
                            .get(*table)
                            .filter(|measure| measure.content.is_some()),
                        has_checksum: measure.tables.get(*table).is_some_and(has_checksum),
                    })
                    .collect()
            })
            .collect();
        let reading: Vec<_> = shares.into_iter().map(|share| self.read_share(share)).collect();
        let read: Vec<Vec<Values>> = stream::iter(reading)
            .buffer_unordered(at_once)
            .try_collect()
            .await?;
        let mut faults = BTreeMap::new();
        for values in read.into_iter().flatten() {
            faults.extend(values.fault.map(|fault| (values.table.clone(), fault)));
            if let Some(facts) = found.tables.get_mut(&values.table) {
                facts.rows = values.rows;
                facts.content = values.content.map(|content| content.to_string());
                facts.checksum = values.checksum.map(SourceChecksum::Exact);
            }
        }
        Ok(faults)
    }

    /// Opens every view of `found`, and yields those that cannot be selected from. No row is asked for: what a view's
    /// functions make of their rows is the source's business, and a view over everything would be computed whole for its
    /// first row.
    ///
    /// # Errors
    /// The server is gone.
    pub(crate) async fn try_views(
        &self,
        database: &str,
        found: &DatabaseInventory,
    ) -> Result<Vec<BrokenView>, ToolError> {
        let act = format!(
            "select from the restored views on server {}",
            self.connection.name
        );
        let mut broken = Vec::new();
        if found.views.is_empty() {
            return Ok(broken);
        }
        let mut connection = self.connect(&act).await?;
        for view in &found.views {
            let sql = format!(
                "SELECT 1 FROM {}.{} LIMIT 0",
                quoted_name(database),
                quoted_name(view)
            );
            match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await {
                Ok(_) => {}
                Err(error) => {
                    let (code, cause) = refusal(&act, error)?;
                    broken.push(BrokenView {
                        view: view.clone(),
                        code,
                        cause,
                    });
                }
            }
        }
        drop(connection.close().await);
        Ok(broken)
    }

    async fn connect(&self, act: &str) -> Result<MySqlConnection, ToolError> {
        let options = connect_options(self.connection).disable_statement_logging();
        options.connect().await.map_err(|error| failure(act, error))
    }

    /// Tables one after another, over one connection.
    async fn read_share(&self, share: Vec<Task<'_>>) -> Result<Vec<Values>, ToolError> {
        let act = format!("read the restored tables on server {}", self.connection.name);
        let mut session = self.open(&act).await?;
        let mut all = Vec::new();
        for task in share {
            let name = format!("{}.{}", quoted_name(task.database), quoted_name(task.table));
            let fault = check(&mut session.connection, (&act, &name)).await?;
            let read = match task.measure {
                Some(measure) => {
                    let sql = format!("SELECT {} FROM {name}", columns(measure));
                    let read = session.content((&act, &sql), measure).await?;
                    read.map(|content| (Some(content.rows), Some(content)))
                }
                None => match count_rows(&mut session.connection, &name).await {
                    Ok(rows) => Ok((rows, None)),
                    Err(error) => Err(refusal(&act, error)?.1),
                },
            };
            let (rows, content) = read.unwrap_or_else(|said| {
                let text = format!("{}.{}: {said}", task.database, task.table);
                self.log.line("mykeeper", &text);
                (None, None)
            });
            let checksum = if task.has_checksum {
                checksum(&mut session.connection, (&act, &name)).await?
            } else {
                None
            };
            all.push(Values {
                table: task.table.to_owned(),
                rows,
                content,
                checksum,
                fault,
            });
        }
        drop(session.connection.close().await);
        Ok(all)
    }

    async fn open(&self, act: &str) -> Result<Session, ToolError> {
        let mut connection = self.connect(act).await?;
        sqlx::raw_sql(PRELUDE)
            .execute(&mut connection)
            .await
            .map_err(|error| failure(act, error))?;
        let wire = match self.socket {
            None => None,
            Some(socket) => {
                let lost = |error| wire_failure(act, error);
                let mut wire = Wire::connect(socket).await.map_err(lost)?;
                wire.execute(PRELUDE.as_bytes()).await.map_err(lost)?;
                Some(wire)
            }
        };
        Ok(Session { connection, wire })
    }
}

/// What tables are read over.
struct Session {
    connection: MySqlConnection,
    /// To a throwaway server.
    wire: Option<Wire>,
}

impl Session {
    /// Digests the rows as they are, and, where they are not what they should be, as a source would have given them to
    /// its dump that fills each CHAR with spaces up to its length. Yields what the server says against it.
    ///
    /// # Errors
    /// The server is gone, or lacks something.
    async fn content(
        &mut self,
        (act, sql): (&str, &str),
        measure: &TableInventory,
    ) -> Result<Result<Content, String>, ToolError> {
        let is_right = |content: &Content| measure.content.as_ref() == Some(&content.to_string());
        let content = match self.digest((act, sql)).await? {
            Ok(content) => content,
            Err(said) => return Ok(Err(said)),
        };
        if is_right(&content) || measure.rows != Some(content.rows) {
            return Ok(Ok(content));
        }
        if let Err(said) = self.set((act, PADDED)).await? {
            return Ok(Err(said));
        }
        let padded = self.digest((act, sql)).await?;
        if let Err(said) = self.set((act, NOT_PADDED)).await? {
            return Ok(Err(said));
        }
        Ok(Ok(padded.ok().filter(is_right).unwrap_or(content)))
    }

    /// Digests the rows of a SELECT as they come.
    async fn digest(&mut self, (act, sql): (&str, &str)) -> Result<Result<Content, String>, ToolError> {
        let Some(wire) = &mut self.wire else {
            let read = digest_rows(&mut self.connection, sql).await;
            return read.map_or_else(
                |error| refusal(act, error).map(|(_, said)| Err(said)),
                |read| Ok(Ok(read)),
            );
        };
        let mut rows = Digested::default();
        match wire.query(sql.as_bytes(), &mut rows).await {
            Ok(()) => Ok(Ok(rows.hasher.content())),
            Err(error) => wire_refusal(act, error).map(|(_, said)| Err(said)),
        }
    }

    /// Sets something of the session in which content is read.
    async fn set(&mut self, (act, sql): (&str, &'static str)) -> Result<Result<(), String>, ToolError> {
        let refused = match &mut self.wire {
            Some(wire) => match wire.execute(sql.as_bytes()).await {
                Ok(()) => return Ok(Ok(())),
                Err(error) => wire_refusal(act, error)?,
            },
            None => match sqlx::raw_sql(sql).execute(&mut self.connection).await {
                Ok(_) => return Ok(Ok(())),
                Err(error) => refusal(act, error)?,
            },
        };
        Ok(Err(refused.1))
    }
}

/// The digest of rows that come byte for byte.
#[derive(Debug, Default)]
struct Digested {
    hasher: RowHasher,
    are_real: Vec<bool>,
}

impl RowSink for Digested {
    fn columns(&mut self, types: &[u8]) {
        self.are_real = types.iter().map(|of| matches!(*of, FLOAT | DOUBLE)).collect();
    }

    #[inline]
    fn value(&mut self, column: usize, value: Option<&[u8]>) {
        match value {
            None => self.hasher.null(),
            Some(bytes) => {
                let is_real = self.are_real.get(column).copied().unwrap_or_default();
                self.hasher
                    .bytes(if is_real { unsigned_zero(bytes) } else { bytes });
                self.hasher.end_value();
            }
        }
    }

    #[inline]
    fn end_row(&mut self) {
        self.hasher.end_row();
    }
}

/// Digests the rows of a SELECT as they come.
async fn digest_rows(connection: &mut MySqlConnection, sql: &str) -> Result<Content, sqlx::Error> {
    let mut digested = Digested::default();
    let mut rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if digested.are_real.is_empty() {
            let columns = row.columns().iter();
            digested.are_real = columns
                .map(|column| REAL.contains(&column.type_info().name()))
                .collect();
        }
        for index in 0..row.columns().len() {
            digested.value(index, row.try_get_unchecked::<Option<&[u8]>, _>(index)?);
        }
        digested.end_row();
    }
    Ok(digested.hasher.content())
}

async fn count_rows(connection: &mut MySqlConnection, name: &str) -> Result<Option<u64>, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) FROM {name}");
    let row: MySqlRow = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok(text(&row, 0).parse().ok())
}

/// What the server says against a table after looking through it. An engine that cannot be checked says so in a note,
/// which is not against it.
async fn check(
    connection: &mut MySqlConnection,
    (act, name): (&str, &str),
) -> Result<Option<String>, ToolError> {
    let sql = format!("CHECK TABLE {name}");
    let rows = match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await {
        Ok(rows) => rows,
        Err(error) => return refusal(act, error).map(|(_, said)| Some(said)),
    };
    let against = rows
        .iter()
        .map(|row| (text(row, 2).to_ascii_lowercase(), text(row, 3)))
        .find(|(kind, said)| kind == "error" || (kind == "status" && !said.eq_ignore_ascii_case("OK")))
        .map(|(_, said)| said);
    match against
        .as_ref()
        .and_then(|said| Some((Lack::in_words(said)?, said)))
    {
        Some((lack, said)) => Err(lack.error(act, &format!("CHECK TABLE {name}: {said}"))),
        None => Ok(against),
    }
}

/// `None` where the server cannot say: then its rows could not be read either.
async fn checksum(
    connection: &mut MySqlConnection,
    (act, name): (&str, &str),
) -> Result<Option<u64>, ToolError> {
    let sql = format!("CHECKSUM TABLE {name} EXTENDED");
    match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await {
        Ok(rows) => Ok(rows.first().and_then(|row| text(row, 1).parse().ok())),
        Err(error) => refusal(act, error).map(|_| None),
    }
}

fn has_checksum(table: &TableInventory) -> bool {
    table
        .checksum
        .as_ref()
        .is_some_and(|checksum| checksum.exact().is_some())
}

fn columns(measure: &TableInventory) -> String {
    match &measure.content_columns {
        None => "*".to_owned(),
        Some(columns) => columns
            .iter()
            .map(|column| quoted_name(column))
            .collect::<Vec<_>>()
            .join(","),
    }
}
