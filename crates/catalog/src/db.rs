//! The two engines, and the one way in which every statement reaches them: bounded in time, explained when it fails.

use crate::error::CatalogError;
use crate::probe;
use crate::ways::Ways;
use chrono_tz::Tz;
use sqlx::mysql::MySqlPool;
use sqlx::sqlite::SqlitePool;
use std::time::Duration;

/// How long one transaction may take where nothing else can be done meanwhile.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(30);
/// How often a transaction that another one was in the way of is tried again.
pub(crate) const COLLISION_TRIES: u32 = 8;

/// The pools of either engine.
pub(crate) enum Db {
    /// SQLite: one connection writes, several read.
    Lite {
        /// SQLite takes one writer at a time; a queue here is fairer than its busy timeout.
        writer: SqlitePool,
        /// In WAL mode readers do not wait for the writer.
        readers: SqlitePool,
    },
    /// MySQL or MariaDB.
    My {
        pool: MySqlPool,
        /// For connections of our own: the probe, and migrations.
        ways: Box<Ways>,
    },
}

/// The catalog over one of the engines.
pub(crate) struct Store {
    pub(crate) db: Db,
    /// Without secrets.
    pub(crate) url: String,
    /// What the seed's DATETIME columns are in.
    pub(crate) zone: Tz,
    /// Whose runs are written: the identity of a `state_dir`. `None` for an embedded catalog, which lies in one.
    pub(crate) keeper: Option<String>,
    /// How long one transaction may take, unless it is known to be a long one.
    pub(crate) limit: Duration,
}

/// Why a transaction came to nothing, before it is explained.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(sqlx::Error),
    /// The server hung up on a statement of so many bytes, and its reason could not be read any more.
    HungUp(sqlx::Error, u64),
    Catalog(CatalogError),
    /// No answer within so long.
    Slow(Duration),
    /// Another process wrote the same row between our look and our own write.
    Raced,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<CatalogError> for Fault {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Fault {
    /// Of a statement that may be larger than the server takes: it ends the connection while the statement is still being
    /// sent, and what it says of that is lost as often as not. `bytes` are a few more than it has, never less.
    pub(crate) fn of_large(error: sqlx::Error, bytes: usize) -> Self {
        match error {
            sqlx::Error::Io(io) if is_hang_up(&io) => Self::HungUp(sqlx::Error::Io(io), bytes as u64),
            error => Self::Sql(error),
        }
    }

    /// Another transaction was in the way (a deadlock, a lock that was waited for too long, a row that changed or
    /// came meanwhile): trying again helps.
    pub(crate) fn is_collision(&self) -> bool {
        match self {
            Self::Raced => true,
            Self::Sql(error) => is_collision(error),
            Self::Catalog(_) | Self::Slow(_) | Self::HungUp(..) => false,
        }
    }
}

fn is_collision(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error)
        if mysql_number(error.as_ref()).is_some_and(|number| matches!(number, 1020 | 1205 | 1213)))
}

fn is_hang_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// More than `max_allowed_packet` of the server takes.
fn is_too_large(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if mysql_number(error.as_ref()) == Some(1153))
}

/// A row of that key is there already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

/// The engine's error number, when the engine is MySQL.
pub(crate) fn mysql_number(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Option<u16> {
    error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number)
}

impl Store {
    /// Turns a fault into what the caller is told.
    pub(crate) async fn explain(&self, action: &'static str, fault: Fault) -> CatalogError {
        match fault {
            Fault::Catalog(error) => error,
            Fault::Slow(limit) => self.unreachable(format!(
                "no answer within {} s while trying to {action}",
                limit.as_secs()
            )),
            Fault::Raced => {
                self.unreachable("another process writes the same row again and again".to_owned())
            }
            Fault::Sql(sqlx::Error::PoolTimedOut) => match &self.db {
                // The pool hides why it could not connect.
                Db::My { pool, ways } => match ways.connect(pool).await {
                    Ok(connected) => self.unreachable(match connected.turned_from {
                        Some(cause) => probe::Cause {
                            words: format!("{}; it is reached as {} from now on", cause.words, ways.shown()),
                            is_shut_out: false,
                            ..cause
                        },
                        None => "all connections are busy".to_owned().into(),
                    }),
                    Err(cause) => self.unreachable(cause),
                },
                Db::Lite { .. } => {
                    self.unreachable("another write has been going on for too long".to_owned())
                }
            },
            Fault::Sql(error) if is_too_large(&error) => {
                let allowed = self.max_packet().await;
                too_large(action, &probe::cause(&error), allowed)
            }
            Fault::Sql(error) => self.explain_sql(action, &error),
            // Where it is away it cannot be asked, and waiting may help.
            Fault::HungUp(error, bytes) => match self.max_packet().await {
                Some(allowed) if allowed < bytes => {
                    let cause =
                        "the server hung up on a statement that is larger than its max_allowed_packet";
                    too_large(action, cause, Some(allowed))
                }
                _ => self.explain_sql(action, &error),
            },
        }
    }

    /// The largest packet that the server takes now, in bytes; `None` where it cannot be asked.
    async fn max_packet(&self) -> Option<u64> {
        match &self.db {
            Db::Lite { .. } => None,
            Db::My { ways, .. } => probe::max_packet(ways.options()).await,
        }
    }

    fn explain_sql(&self, action: &'static str, error: &sqlx::Error) -> CatalogError {
        let cause = probe::cause(error);
        if probe::is_outage(error) {
            return self.unreachable(probe::Cause::from(error));
        }
        if is_collision(error) {
            // As SQLite's busy file: it passes, however long it takes.
            return self.unreachable(format!("another write has been in the way for too long: {cause}"));
        }
        if let sqlx::Error::Database(error) = error {
            let missing = mysql_number(error.as_ref())
                .map_or_else(|| cause.starts_with("no such table"), |number| number == 1146);
            if missing {
                return self.schema("has no tables yet: run \"mykeeper catalog migrate\"");
            }
            let older = mysql_number(error.as_ref()).map_or_else(
                || cause.starts_with("no such column") || cause.contains("has no column named"),
                |number| number == 1054,
            );
            if older {
                return self.schema(&format!(
                    "has older tables ({cause}): run \"mykeeper catalog migrate\""
                ));
            }
        }
        CatalogError::Statement { action, cause }
    }

    pub(crate) fn unreachable(&self, cause: impl Into<probe::Cause>) -> CatalogError {
        let probe::Cause {
            words, is_shut_out, ..
        } = cause.into();
        CatalogError::Unreachable {
            url: self.url.clone(),
            cause: words,
            is_shut_out,
        }
    }

    /// As it is reached now, without secrets.
    pub(crate) fn url_taken(&self) -> &str {
        match &self.db {
            Db::Lite { .. } => &self.url,
            Db::My { ways, .. } => ways.shown(),
        }
    }

    pub(crate) fn schema(&self, problem: &str) -> CatalogError {
        CatalogError::Schema {
            url: self.url.clone(),
            problem: problem.to_owned(),
        }
    }
}

/// What a server that refuses a packet for its size allows, and what to do.
fn too_large(action: &'static str, cause: &str, allowed: Option<u64>) -> CatalogError {
    let allowed = allowed.map_or_else(String::new, |bytes| format!(", which is {bytes} there"));
    CatalogError::Statement {
        action,
        cause: format!(
            "{cause}{allowed}; set max_allowed_packet = 16M or more in the [mysqld] section of the catalog's server"
        ),
    }
}

/// Runs `$body` on a connection of `$pool` within the time limit. A connection whose answer is still owed is not
/// given back to the pool: it would be waited for there. Nor is one on which something failed: SQLite ends a
/// transaction by itself when the disk is full, and sqlx would take it for open ever after.
macro_rules! bounded {
    ($pool:expr, $limit:expr, |$conn:ident| $body:expr) => {
        async {
            let mut held = $pool.acquire().await?;
            let work = async {
                let $conn = &mut *held;
                $body
            };
            match tokio::time::timeout($limit, work).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(fault)) => {
                    drop(held.detach());
                    Err(fault)
                }
                Err(_) => {
                    drop(held.detach());
                    Err($crate::db::Fault::Slow($limit))
                }
            }
        }
        .await
    };
}

/// Reads: the same statements on either engine, `$conn` being a connection of it.
macro_rules! reading {
    ($store:expr, $action:expr, |$conn:ident| $body:expr) => {{
        let outcome: Result<_, $crate::db::Fault> = match &$store.db {
            $crate::db::Db::Lite { readers, .. } => {
                $crate::db::bounded!(readers, $store.limit, |$conn| Ok::<_, $crate::db::Fault>($body))
            }
            $crate::db::Db::My { pool, .. } => {
                $crate::db::bounded!(pool, $store.limit, |$conn| Ok::<_, $crate::db::Fault>($body))
            }
        };
        match outcome {
            Ok(value) => Ok(value),
            Err(fault) => Err($store.explain($action, fault).await),
        }
    }};
}

/// One transaction that writes: the same statements on either engine, `$tx` being a connection of it. `$body` may
/// run more than once, where another transaction was in its way; no new try begins once `$limit` is over.
macro_rules! writing {
    ($store:expr, $action:expr, |$tx:ident| $body:expr) => {
        $crate::db::writing!($store, $action, $store.limit, |$tx| $body)
    };
    ($store:expr, $action:expr, $limit:expr, |$tx:ident| $body:expr) => {{
        let limit: std::time::Duration = $limit;
        let began = tokio::time::Instant::now();
        let mut tries = 0_u32;
        loop {
            let outcome: Result<_, $crate::db::Fault> = match &$store.db {
                $crate::db::Db::Lite { writer, .. } => $crate::db::bounded!(writer, limit, |conn| {
                    // A plain BEGIN that reads first fails at once when another process writes meanwhile.
                    let mut transaction = sqlx::Connection::begin_with(conn, "BEGIN IMMEDIATE").await?;
                    let value = {
                        let $tx = &mut *transaction;
                        $body
                    };
                    transaction.commit().await?;
                    Ok::<_, $crate::db::Fault>(value)
                }),
                $crate::db::Db::My { pool, .. } => $crate::db::bounded!(pool, limit, |conn| {
                    let mut transaction = sqlx::Connection::begin(conn).await?;
                    let value = {
                        let $tx = &mut *transaction;
                        $body
                    };
                    transaction.commit().await?;
                    Ok::<_, $crate::db::Fault>(value)
                }),
            };
            match outcome {
                Ok(value) => break Ok(value),
                Err(fault)
                    if fault.is_collision()
                        && tries < $crate::db::COLLISION_TRIES
                        && began.elapsed() < limit =>
                {
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(u64::from(tries) * 15)).await;
                }
                Err(fault) => break Err($store.explain($action, fault).await),
            }
        }
    }};
}

pub(crate) use {bounded, reading, writing};
