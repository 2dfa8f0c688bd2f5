//! Why the catalog cannot be reached, in the words of whoever refused.

use crate::db::mysql_number;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Executor};
use std::time::Duration;

/// How long one connection may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// One connection, apart from any pool. The error is the real cause, without secrets.
pub(crate) async fn connect(options: &MySqlConnectOptions) -> Result<MySqlConnection, String> {
    let attempt = async {
        let mut connection = options.connect().await?;
        prepare(&mut connection).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    match tokio::time::timeout(CONNECT_LIMIT, attempt).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(cause(&error)),
        Err(_) => Err(format!("no answer within {} s", CONNECT_LIMIT.as_secs())),
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

/// The innermost plain words of an error.
pub(crate) fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Configuration(error) | sqlx::Error::Tls(error) => error.to_string(),
        other => other.to_string(),
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
            // Too many connections, access denied, unknown database, shutting down, host blocked or not allowed,
            // killed, limits of the account; read-only; disk or table full, errors of the file system, out of memory;
            // a cluster's node that is not ready; a limit on the time of statements.
            Some(number) => matches!(
                number,
                1021 | 1026
                    | 1030
                    | 1037
                    | 1038
                    | 1040
                    | 1041
                    | 1044
                    | 1045
                    | 1049
                    | 1053
                    | 1047
                    | 1077
                    | 1114
                    | 1129
                    | 1130
                    | 1142
                    | 1180
                    | 1184
                    | 1203
                    | 1226
                    | 1290
                    | 1317
                    | 1698
                    | 1792
                    | 1836
                    | 1927
                    | 1969
                    | 3024
                    | 4031
            ),
            // SQLITE_BUSY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN, SQLITE_NOTADB, by their primary codes.
            None => error
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 10 | 13 | 14 | 26)),
        },
        _ => false,
    }
}
