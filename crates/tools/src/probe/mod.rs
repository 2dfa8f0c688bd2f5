//! Asks the server that is backed up: version, databases, what lies in them, what the account may do.

mod checksums;
mod columns;
mod connecting;
mod definers;
mod definitions;
mod holders;
mod inventory;
mod missing;
mod privileges;
mod sessions;
mod statements;

pub(crate) use checksums::Changes;
pub(crate) use columns::{LostColumn, lost_columns};
use connecting::connect_cause;
pub(crate) use connecting::connect_options;
pub(crate) use definers::account_name;
pub(crate) use definitions::{
    DATABASE_COLLATION, Options, SPACED_ENDS, TableTraits, Traits, is_digest, without_format,
    without_options, without_secrets,
};
pub(crate) use holders::InTheWay;
pub use inventory::Found;
pub use missing::{MissingGroup, group_missing, sees_every_database};
pub(crate) use privileges::{DatabaseNeed, RestoreNeed, missing_for_restore};
pub use privileges::{Flavor, MissingPrivilege, PrivilegeNeed, ServerVersion, missing_privileges};
pub(crate) use sessions::{Session, Standing};
pub use statements::Verdict;

use crate::connection::ServerConnection;
use crate::error::ToolError;
use mykeeper_domain::evidence::BinaryLog;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

const CONNECT_LIMIT: Duration = Duration::from_secs(15);
const QUERY_LIMIT: Duration = Duration::from_secs(300);
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// So long a question waits for a table that another has locked; the server's default is a day or a year.
const LOCK_WAIT: Duration = Duration::from_secs(20);
/// Modes that mydumper 0.10 takes over from the server, were it not told otherwise; combined ones, like `ORACLE`, are listed
/// with all that they stand for.
const CHANGE_DUMPS: [&str; 3] = ["NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "PAD_CHAR_TO_FULL_LENGTH"];
/// Numbers of the server's errors: a lock that was waited for too long; a statement that took too long, as MariaDB and
/// as MySQL say it.
const LOCK_WAIT_ERROR: u16 = 1205;
const STATEMENT_TIME_ERRORS: [u16; 2] = [1969, 3024];

/// One connection to the server. Everything it asks is bounded in time, here and on the server, which would go on with
/// a question that nobody waits for any more.
#[derive(Debug)]
pub struct Probe {
    connection: MySqlConnection,
    server: String,
    query_limit: Duration,
    health: Health,
}

/// What the last question has shown of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    /// A question got no answer in time. What comes later over this connection may be the answer to that one.
    gone: bool,
    /// The server's number for what was wrong with the last question; 0 when nothing was.
    error: u16,
}

impl Probe {
    /// Connects.
    ///
    /// # Errors
    /// [`ToolError::Connect`]: passing when the server is down or full, not when it refuses the account.
    pub async fn connect(connection: &ServerConnection) -> Result<Self, ToolError> {
        Self::connect_answering(connection, QUERY_LIMIT).await
    }

    /// As [`Probe::connect`]; every question is given up after `limit`.
    ///
    /// # Errors
    /// As [`Probe::connect`].
    pub(crate) async fn connect_answering(
        connection: &ServerConnection,
        limit: Duration,
    ) -> Result<Self, ToolError> {
        let refused = |cause: String, passing| ToolError::Connect {
            server: connection.name.clone(),
            cause,
            passing,
        };
        let options = connect_options(connection);
        match tokio::time::timeout(CONNECT_LIMIT, MySqlConnection::connect_with(&options)).await {
            Ok(Ok(open)) => {
                let mut probe = Self {
                    connection: open,
                    server: connection.name.clone(),
                    query_limit: CONNECT_LIMIT,
                    health: Health::default(),
                };
                for sql in [lock_wait(LOCK_WAIT.min(limit)), statement_time(limit)] {
                    // What a server does not know is bounded here alone.
                    let limited = probe.raw("say how long to wait", sql).await;
                    if let (Err(error), true) = (limited, probe.is_gone()) {
                        return Err(refused(error.to_string(), true));
                    }
                }
                probe.query_limit = limit;
                Ok(probe)
            }
            Ok(Err(error)) => {
                let (cause, passing) = connect_cause(&error, connection);
                Err(refused(cause, passing))
            }
            Err(_) => Err(refused(
                format!(
                    "no answer from {} within {} s",
                    connection.endpoint,
                    CONNECT_LIMIT.as_secs()
                ),
                true,
            )),
        }
    }

    /// `SELECT VERSION()`: `10.11.14-MariaDB-0+deb12u2`.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn server_version(&mut self) -> Result<String, ToolError> {
        let rows = self
            .rows("read the version", "SELECT VERSION()".to_owned(), &[])
            .await?;
        Ok(rows.first().map(|row| text(row, 0)).unwrap_or_default())
    }

    /// Which of its sessions' own SQL modes change what a dump says, as the server has them globally: `ANSI_QUOTES`.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn modes_that_change_dumps(&mut self) -> Result<Vec<String>, ToolError> {
        const SQL: &str = "SELECT @@GLOBAL.sql_mode";
        let rows = self.raw("read the server's SQL modes", SQL.to_owned()).await?;
        let modes = rows.first().map(|row| text(row, 0)).unwrap_or_default();
        let changes = |mode: &&str| CHANGE_DUMPS.contains(mode);
        Ok(modes.split(',').filter(changes).map(str::to_owned).collect())
    }

    /// Where the server keeps its binary log, and its port.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub(crate) async fn binary_log(&mut self) -> Result<BinaryLog, ToolError> {
        const SQL: &str =
            "SELECT CONCAT(@@GLOBAL.port, ''), CONCAT(COALESCE(@@GLOBAL.log_bin_basename, ''), '')";
        let rows = self.raw("ask where the binary log lies", SQL.to_owned()).await?;
        let told = |column| rows.first().map(|row| text(row, column)).unwrap_or_default();
        let folder = Path::new(&told(1)).parent().map(Path::to_owned);
        Ok(BinaryLog {
            folder: folder.filter(|folder| folder.is_absolute()),
            port: told(0).parse().ok().filter(|port| *port > 0),
            beside: None,
        })
    }

    /// All databases that the account can see, virtual ones too, in the server's order.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn databases(&mut self) -> Result<Vec<String>, ToolError> {
        let sql = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME".to_owned();
        let rows = self.rows("list the databases", sql, &[]).await?;
        Ok(rows.iter().map(|row| text(row, 0)).collect())
    }

    /// Whether the server can encrypt connections.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn can_encrypt(&mut self) -> Result<bool, ToolError> {
        let rows = self
            .raw(
                "read the server's variables",
                "SHOW GLOBAL VARIABLES LIKE '%ssl%'".to_owned(),
            )
            .await?;
        let variables: BTreeMap<String, String> =
            rows.iter().map(|row| (text(row, 0), text(row, 1))).collect();
        let is = |name: &str| variables.get(name);
        // MySQL 8.4 has no have_ssl any more.
        Ok(is("have_ssl").map_or_else(
            || is("ssl_cert").is_some_and(|certificate| !certificate.is_empty()),
            |have| have == "YES",
        ))
    }

    /// `@@version_comment`: `MySQL Community Server - GPL`, or a packager's own words.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub(crate) async fn version_comment(&mut self) -> Result<String, ToolError> {
        let rows = self
            .raw("read the server's version", "SELECT @@version_comment".to_owned())
            .await?;
        Ok(rows.first().map(|row| text(row, 0)).unwrap_or_default())
    }

    /// `SHOW GRANTS` of the account with the roles that are active when it connects. Password digests, which old
    /// MariaDB prints with them, are cut out.
    ///
    /// # Errors
    /// [`ToolError::Query`].
    pub async fn grants(&mut self) -> Result<Vec<String>, ToolError> {
        const ACTION: &str = "read the account's privileges";
        let mut rows = self.raw(ACTION, "SHOW GRANTS".to_owned()).await?;
        let is_mysql = !self
            .server_version()
            .await?
            .to_ascii_lowercase()
            .contains("mariadb");
        if is_mysql && let Ok(role_rows) = self.raw(ACTION, "SELECT CURRENT_ROLE()".to_owned()).await {
            let roles = role_rows.first().map(|row| text(row, 0)).unwrap_or_default();
            if !roles.is_empty() && roles != "NONE" {
                rows.extend(
                    self.raw(ACTION, format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"))
                        .await?,
                );
            }
        }
        Ok(rows
            .iter()
            .map(|row| privileges::without_digest(&text(row, 0)))
            .collect())
    }

    /// From now on a question waits no longer than this, a second at least, for a table that another has locked.
    pub(crate) async fn wait_for_locks(&mut self, limit: Duration) -> Result<(), ToolError> {
        self.raw("say how long to wait", lock_wait(limit)).await?;
        Ok(())
    }

    /// Ends the connection in good order.
    pub async fn close(self) {
        if self.is_gone() {
            return;
        }
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.connection.close()).await;
    }

    /// Rows of a statement with bound values. `sql` is put together from our own words and quoted names alone.
    async fn rows(
        &mut self,
        action: &str,
        sql: String,
        values: &[String],
    ) -> Result<Vec<MySqlRow>, ToolError> {
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for value in values {
            query = query.bind(value);
        }
        let rows = query.fetch_all(&mut self.connection);
        bounded(action, &self.server, (self.query_limit, &mut self.health), rows).await
    }

    /// Whether the connection is given up.
    pub(crate) fn is_gone(&self) -> bool {
        self.health.gone
    }

    /// The server's number for what was wrong with the last question; 0 when nothing was.
    fn error_number(&self) -> u16 {
        self.health.error
    }

    /// Whether the last question was given up because of another's lock.
    pub(crate) fn met_a_lock(&self) -> bool {
        self.health.error == LOCK_WAIT_ERROR
    }

    /// Whether the last question took too long, for whatever reason.
    pub(crate) fn took_too_long(&self) -> bool {
        self.health.gone || self.met_a_lock() || STATEMENT_TIME_ERRORS.contains(&self.health.error)
    }

    /// Rows of a statement that cannot be prepared everywhere.
    pub(crate) async fn raw(&mut self, action: &str, sql: String) -> Result<Vec<MySqlRow>, ToolError> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.connection);
        bounded(action, &self.server, (self.query_limit, &mut self.health), rows).await
    }
}

async fn bounded<T>(
    action: &str,
    server: &str,
    (limit, health): (Duration, &mut Health),
    query: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ToolError> {
    let failed = |cause| ToolError::Query {
        action: action.to_owned(),
        server: server.to_owned(),
        cause,
    };
    if health.gone {
        return Err(failed("the connection gave no answer before".to_owned()));
    }
    health.error = 0;
    match tokio::time::timeout(limit, query).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sqlx::Error::Database(error))) => {
            health.error = error_number(error.as_ref()).unwrap_or_default();
            Err(failed(error.message().to_owned()))
        }
        Ok(Err(error)) => {
            health.gone = true;
            Err(failed(error.to_string()))
        }
        Err(_) => {
            health.gone = true;
            Err(failed(format!("no answer within {} s", limit.as_secs())))
        }
    }
}

/// `limit` in whole seconds, one at least.
fn lock_wait(limit: Duration) -> String {
    format!("SET SESSION lock_wait_timeout = {}", limit.as_secs().max(1))
}

/// Bounds what the server does for one statement: MariaDB each, in seconds, MySQL those that read, in milliseconds.
/// Each takes the other's words for a comment. A little more than is waited here, so that one reason is told.
fn statement_time(limit: Duration) -> String {
    let seconds = limit.as_secs().max(1) + 1;
    format!(
        "SET /*M!100101 SESSION max_statement_time = {seconds}, */ /*!50708 SESSION max_execution_time = {}, */ \
         @mykeeper_limit = {seconds}",
        seconds * 1000
    )
}

fn error_number(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number)
}

/// A column as text, whatever character set the server gives it.
pub(crate) fn text(row: &MySqlRow, index: usize) -> String {
    optional_text(row, index).unwrap_or_default()
}

fn optional_text(row: &MySqlRow, index: usize) -> Option<String> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).ok()?;
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A name in backticks.
pub(crate) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::server::{Endpoint, PasswordSource, Tls};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let packet = [&length[..3], &[sequence], payload].concat();
        stream.write_all(&packet).await.unwrap();
    }

    async fn receive(stream: &mut TcpStream) -> Vec<u8> {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        payload
    }

    /// Takes the connection and what is set on it, and never answers a question.
    async fn silent_server(listener: TcpListener, said: tokio::sync::mpsc::UnboundedSender<String>) {
        const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = b"\x0a5.7.1\0\x01\0\0\0abcdefgh\0".to_vec();
        hello.extend([0x08, 0x82, 45, 2, 0, 0x08, 0, 21]);
        hello.extend(*b"\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0");
        send(&mut stream, 0, &hello).await;
        receive(&mut stream).await;
        send(&mut stream, 2, &OK).await;
        loop {
            let question = String::from_utf8_lossy(&receive(&mut stream).await).into_owned();
            let is_set = question.contains("SET ");
            said.send(question).unwrap();
            if is_set {
                send(&mut stream, 1, &OK).await;
            }
        }
    }

    #[tokio::test]
    async fn a_question_without_an_answer_is_the_last_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (said, mut questions) = tokio::sync::mpsc::unbounded_channel();
        let server = tokio::spawn(silent_server(listener, said));
        let connection = ServerConnection {
            name: "shop".into(),
            endpoint: Endpoint::Tcp {
                host: "127.0.0.1".into(),
                port,
            },
            user: "u".into(),
            password: None,
            password_source: PasswordSource::None,
            tls: Tls::default(),
        };
        let mut probe = Probe::connect(&connection).await.unwrap();
        probe.query_limit = Duration::from_millis(200);
        let tables: Vec<(String, String)> = (0..50).map(|n| ("d".into(), format!("t{n}"))).collect();
        assert!(probe.emptiness(&tables).await.is_err());
        assert!(probe.is_gone());
        let error = probe.databases().await.unwrap_err().to_string();
        assert!(error.contains("gave no answer before"), "{error}");
        probe.close().await;
        server.abort();
        let mut asked = Vec::new();
        while let Some(question) = questions.recv().await {
            asked.push(question);
        }
        assert!(
            asked
                .iter()
                .any(|question| question.contains("lock_wait_timeout = 20")),
            "{asked:?}"
        );
        assert!(
            asked
                .iter()
                .any(|question| question.contains("max_statement_time = 301")
                    && question.contains("max_execution_time = 301000")),
            "{asked:?}"
        );
        let about_tables = asked
            .iter()
            .filter(|question| question.contains("EXISTS"))
            .count();
        assert_eq!(about_tables, 1, "{asked:?}");
    }
}
