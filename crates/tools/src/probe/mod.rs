//! Asks the server that is backed up: version, databases, what lies in them, what the account may do.

mod inventory;
mod missing;
mod privileges;

pub use inventory::Found;
pub use missing::{MissingGroup, group_missing};
pub use privileges::{Flavor, MissingPrivilege, PrivilegeNeed, ServerVersion, missing_privileges};

use crate::connection::ServerConnection;
use crate::error::ToolError;
use mykeeper_domain::server::{Endpoint, TlsMode};
use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

const CONNECT_LIMIT: Duration = Duration::from_secs(15);
const QUERY_LIMIT: Duration = Duration::from_secs(300);
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// One connection to the server. Everything it asks is bounded in time.
#[derive(Debug)]
pub struct Probe {
    connection: MySqlConnection,
    server: String,
}

impl Probe {
    /// Connects.
    ///
    /// # Errors
    /// [`ToolError::Connect`]: passing when the server is down or full, not when it refuses the account.
    pub async fn connect(connection: &ServerConnection) -> Result<Self, ToolError> {
        let refused = |cause: String, passing| ToolError::Connect {
            server: connection.name.clone(),
            cause,
            passing,
        };
        let options = connect_options(connection);
        match tokio::time::timeout(CONNECT_LIMIT, MySqlConnection::connect_with(&options)).await {
            Ok(Ok(open)) => Ok(Self {
                connection: open,
                server: connection.name.clone(),
            }),
            Ok(Err(error)) => {
                let (cause, passing) = connect_cause(&error, &connection.endpoint);
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

    /// Ends the connection in good order.
    pub async fn close(self) {
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
        bounded(action, &self.server, rows).await
    }

    /// Rows of a statement that cannot be prepared everywhere.
    pub(crate) async fn raw(&mut self, action: &str, sql: String) -> Result<Vec<MySqlRow>, ToolError> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.connection);
        bounded(action, &self.server, rows).await
    }
}

async fn bounded<T>(
    action: &str,
    server: &str,
    query: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ToolError> {
    let failed = |cause| ToolError::Query {
        action: action.to_owned(),
        server: server.to_owned(),
        cause,
    };
    match tokio::time::timeout(QUERY_LIMIT, query).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sqlx::Error::Database(error))) => Err(failed(error.message().to_owned())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {} s", QUERY_LIMIT.as_secs()))),
    }
}

pub(crate) fn connect_options(connection: &ServerConnection) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .username(&connection.user)
        .charset("utf8mb4");
    if let Some(password) = &connection.password {
        options = options.password(password.expose_secret());
    }
    options = match &connection.endpoint {
        Endpoint::Socket(path) => options.socket(path),
        Endpoint::Tcp { host, port } => options.host(host).port(*port),
    };
    if let Some(ca) = &connection.tls.ca {
        options = options.ssl_ca(ca);
    }
    options.ssl_mode(match connection.tls.mode {
        TlsMode::Disabled => MySqlSslMode::Disabled,
        TlsMode::Preferred => MySqlSslMode::Preferred,
        TlsMode::Required => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
        TlsMode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
    })
}

/// What went wrong, for people, and whether it may pass.
fn connect_cause(error: &sqlx::Error, endpoint: &Endpoint) -> (String, bool) {
    match error {
        sqlx::Error::Database(database) => {
            let number = database
                .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
                .map(sqlx::mysql::MySqlDatabaseError::number);
            // Access denied and its kin do not pass by themselves; a full, starting or stopping server does.
            let refused = matches!(
                number,
                Some(1044 | 1045 | 1130 | 1227 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3159 | 4151)
            );
            (database.message().to_owned(), !refused)
        }
        // A certificate that is refused comes as this kind too.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            (format!("{endpoint}: encryption: {io}"), false)
        }
        sqlx::Error::Io(io) => (format!("{endpoint}: {io}"), true),
        sqlx::Error::Tls(tls) => (format!("{endpoint}: encryption: {tls}"), false),
        other => (format!("{endpoint}: {other}"), true),
    }
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
