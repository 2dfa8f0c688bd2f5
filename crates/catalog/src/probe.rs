//! Why the catalog cannot be reached, in the words of whoever refused.

use crate::db::mysql_number;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Executor};
use std::time::Duration;

/// How long one connection may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// Why the catalog cannot be reached.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    /// Without secrets.
    pub(crate) words: String,
    /// As `CatalogError::Unreachable` has it.
    pub(crate) is_shut_out: bool,
    /// Whether it may be otherwise on another way to the same server: nobody listens there, or who comes that way is
    /// another account to it.
    pub(crate) is_of_the_way: bool,
    /// Whether a server said it.
    pub(crate) is_answered: bool,
}

impl From<String> for Cause {
    fn from(words: String) -> Self {
        Self {
            words,
            is_shut_out: false,
            is_of_the_way: false,
            is_answered: false,
        }
    }
}

impl From<&sqlx::Error> for Cause {
    fn from(error: &sqlx::Error) -> Self {
        Self {
            words: cause(error),
            is_shut_out: is_shut_out(error),
            is_of_the_way: is_of_the_way(error),
            is_answered: matches!(error, sqlx::Error::Database(_)),
        }
    }
}

/// One connection, apart from any pool. The error is the real cause, without secrets.
pub(crate) async fn connect(options: &MySqlConnectOptions) -> Result<MySqlConnection, Cause> {
    let attempt = async {
        let mut connection = options.connect().await?;
        prepare(&mut connection).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    match tokio::time::timeout(CONNECT_LIMIT, attempt).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Cause::from(&error)),
        Err(_) => Err(format!("no answer within {} s", CONNECT_LIMIT.as_secs()).into()),
    }
}

/// What every session of ours runs under, whatever the server's own settings: too long a value is an error and is
/// never cut, `||` joins texts as in SQLite, and nobody waits for a lock longer than a statement may take.
pub(crate) async fn prepare(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT', \
             innodb_lock_wait_timeout = 10, lock_wait_timeout = 20",
        )
        .await?;
    Ok(())
}

/// The largest packet that the server takes, in bytes; `None` where it does not tell.
pub(crate) async fn max_packet(options: &MySqlConnectOptions) -> Option<u64> {
    let mut connection = connect(options).await.ok()?;
    let asked = sqlx::query_scalar("SELECT @@max_allowed_packet").fetch_one(&mut connection);
    tokio::time::timeout(CONNECT_LIMIT, asked).await.ok()?.ok()
}

/// The innermost plain words of an error.
pub(crate) fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Configuration(error) | sqlx::Error::Tls(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Whether the account, its password or its rights are at fault, or the database's name: waiting mends none of them.
fn is_shut_out(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    // Access, database, host, table, column, privilege; way of logging in, password that is over, account that is locked.
    mysql_number(error.as_ref()).is_some_and(|number| {
        matches!(
            number,
            1044 | 1045 | 1049 | 1130 | 1142 | 1143 | 1227 | 1251 | 1698 | 1820 | 1862 | 3118 | 4151
        )
    })
}

fn is_of_the_way(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // Access, host, way of logging in.
        sqlx::Error::Database(error) => {
            mysql_number(error.as_ref()).is_some_and(|number| matches!(number, 1045 | 1130 | 1698))
        }
        _ => false,
    }
}

/// Whether the catalog is out of reach, rather than the statement at fault.
pub(crate) fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => match mysql_number(error.as_ref()) {
            Some(number) => {
                // What is at fault is the data or the statement where the SQLSTATE's class says so; of these classes
                // are some refusals, too: rights and databases that are missing, limits of the account.
                let class = error.code().unwrap_or_default().get(..2).map(str::to_owned);
                let is_refusal = matches!(number, 1044 | 1045 | 1049 | 1142 | 1203 | 1226);
                let is_data = matches!(class.as_deref(), Some("21" | "22" | "23" | "42"))
                    // No default, no such character, too large a packet, row or key: of the general class.
                    || matches!(number, 1071 | 1118 | 1153 | 1267 | 1271 | 1300 | 1364 | 1366);
                is_refusal || !is_data
            }
            // SQLITE_BUSY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN, SQLITE_NOTADB, by their primary codes.
            None => error
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 10 | 13 | 14 | 26)),
        },
        _ => false,
    }
}
