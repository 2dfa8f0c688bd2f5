//! Bringing the tables up, and telling how far they are.

use crate::MigrationStatus;
use crate::db::{Db, Fault, Store, bounded, reading};
use crate::error::CatalogError;
use crate::probe;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, Executor};
use std::time::Duration;

/// Where the applied migrations are noted: with our own prefix, since the database is shared with pybackup's users.
const TABLE: &str = "mk_migration";
/// Widening a large table copies it.
const LIMIT: Duration = Duration::from_secs(3600);
/// How long another node's migration is waited for.
const LOCK_WAIT_SECONDS: i64 = 1800;

const ACTION: &str = "migrate";

fn migrator(db: &Db) -> Migrator {
    let mut migrator = match db {
        Db::Lite { .. } => sqlx::migrate!("../../migrations/sqlite"),
        Db::My { .. } => sqlx::migrate!("../../migrations/mysql"),
    };
    // MariaDB refuses the endless lock that sqlx asks for, and sqlx does not look: the lock is taken here.
    migrator.set_locking(false);
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

fn latest(db: &Db) -> i64 {
    migrator(db)
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// Creates, adopts or brings up the tables.
pub(crate) async fn migrate(store: &Store) -> Result<MigrationStatus, CatalogError> {
    refuse_newer(store).await?;
    let work = async {
        match &store.db {
            Db::Lite { writer, .. } => {
                let mut connection = writer.acquire().await?;
                // One transaction around all of it: SQLite's DDL takes part, and other processes wait.
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                run(store, &mut *transaction).await?;
                transaction.commit().await?;
                Ok(())
            }
            Db::My { pool, ways } => {
                let mut connection = ways
                    .connect(pool)
                    .await
                    .map_err(|cause| Fault::Catalog(store.unreachable(cause)))?
                    .connection;
                let locked: Option<i64> = sqlx::query_scalar(
                    "SELECT CAST(GET_LOCK(CONCAT('mykeeper.', LEFT(DATABASE(), 48)), ?) AS SIGNED)",
                )
                .bind(LOCK_WAIT_SECONDS)
                .fetch_one(&mut connection)
                .await?;
                if locked != Some(1) {
                    return Err(CatalogError::Statement {
                        action: ACTION,
                        cause: "another node has been migrating it for half an hour".to_owned(),
                    }
                    .into());
                }
                heal(&mut connection).await?;
                note_what_there_was(&mut connection).await?;
                run(store, &mut connection).await?;
                // Gives back the lock, too. MySQL may have hung up before it is told goodbye, which is no error then.
                drop(connection.close().await);
                Ok(())
            }
        }
    };
    let outcome: Result<(), Fault> = tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
        Err(store
            .unreachable("the migration has not come to an end within an hour".to_owned())
            .into())
    });
    if let Err(fault) = outcome {
        return Err(store.explain(ACTION, fault).await);
    }
    status(store).await
}

/// A migration that was cut off half way is noted as such by sqlx and refused ever after. Ours can be run again, so
/// the note is taken back. Only under the lock: otherwise it may be one that is under way.
async fn heal(connection: &mut sqlx::MySqlConnection) -> Result<(), Fault> {
    if has_notes(connection).await? {
        let cut_off = connection
            .execute("DELETE FROM mk_migration WHERE success = FALSE")
            .await?
            .rows_affected();
        if cut_off > 0 {
            tracing::warn!(
                migrations = cut_off,
                "a migration was cut off half way and is run again"
            );
        }
    }
    Ok(())
}

/// What the first migrations change, and migration 25 asks for: whether `user_backup_path` had an `is_offline` of its own.
/// NULL where they were done before, since it cannot be told then.
async fn note_what_there_was(connection: &mut sqlx::MySqlConnection) -> Result<(), Fault> {
    let extended: i64 = match has_notes(connection).await? {
        true => {
            sqlx::query_scalar("SELECT COUNT(*) FROM mk_migration WHERE version >= 3")
                .fetch_one(&mut *connection)
                .await?
        }
        false => 0,
    };
    connection
        .execute(match extended {
            0 => {
                "SET @mk_had_is_offline = (SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
                 AND TABLE_NAME = 'user_backup_path' AND COLUMN_NAME = 'is_offline')"
            }
            _ => "SET @mk_had_is_offline = NULL",
        })
        .await?;
    Ok(())
}

async fn has_notes(connection: &mut sqlx::MySqlConnection) -> Result<bool, Fault> {
    let noted: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'mk_migration'",
    )
    .fetch_one(connection)
    .await?;
    Ok(noted > 0)
}

async fn run<C: sqlx::migrate::Migrate>(store: &Store, connection: &mut C) -> Result<(), Fault> {
    migrator(&store.db)
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) => Fault::Sql(error),
            MigrateError::ExecuteMigration(error, version) if !probe::is_outage(&error) => {
                Fault::Catalog(CatalogError::Statement {
                    action: ACTION,
                    cause: format!("migration {version}: {}", probe::cause(&error)),
                })
            }
            MigrateError::ExecuteMigration(error, _) => Fault::Sql(error),
            MigrateError::VersionMissing(version) => Fault::Catalog(newer(store, version)),
            other => Fault::Catalog(CatalogError::Statement {
                action: ACTION,
                cause: other.to_string(),
            }),
        })
}

fn newer(store: &Store, applied: i64) -> CatalogError {
    store.schema(&format!(
        "was migrated by a newer mykeeper (its tables are at version {applied}, this program knows them up to {}): \
         use that version or a later one",
        latest(&store.db)
    ))
}

/// Tables of a version that this program does not know are not touched.
pub(crate) async fn refuse_newer(store: &Store) -> Result<(), CatalogError> {
    let applied = applied(store).await?;
    if applied > latest(&store.db) {
        Err(newer(store, applied))
    } else {
        Ok(())
    }
}

async fn applied(store: &Store) -> Result<i64, CatalogError> {
    if !has_table(store, TABLE).await? {
        return Ok(0);
    }
    reading!(store, "read the applied migrations", |conn| {
        let version: Option<i64> =
            sqlx::query_scalar("SELECT MAX(version) FROM mk_migration WHERE success = TRUE")
                .fetch_one(&mut *conn)
                .await?;
        version.unwrap_or(0)
    })
}

async fn has_table(store: &Store, table: &str) -> Result<bool, CatalogError> {
    const ACTION: &str = "look for tables";
    let outcome: Result<i64, Fault> = match &store.db {
        Db::Lite { readers, .. } => bounded!(readers, store.limit, |conn| {
            Ok(
                sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?")
                    .bind(table)
                    .fetch_one(&mut *conn)
                    .await?,
            )
        }),
        Db::My { pool, .. } => bounded!(pool, store.limit, |conn| {
            Ok(sqlx::query_scalar(
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
            )
            .bind(table)
            .fetch_one(&mut *conn)
            .await?)
        }),
    };
    match outcome {
        Ok(count) => Ok(count > 0),
        Err(fault) => Err(store.explain(ACTION, fault).await),
    }
}

/// How far the tables are. Changes nothing.
pub(crate) async fn status(store: &Store) -> Result<MigrationStatus, CatalogError> {
    let backups = if has_table(store, "user_backup").await? {
        let count: i64 = reading!(store, "count the sets", |conn| {
            sqlx::query_scalar("SELECT COUNT(*) FROM user_backup")
                .fetch_one(&mut *conn)
                .await?
        })?;
        u64::try_from(count).ok()
    } else {
        None
    };
    Ok(MigrationStatus {
        engine: engine(store).await?,
        url: store.url_taken().to_owned(),
        applied: applied(store).await?,
        latest: latest(&store.db),
        backups,
    })
}

async fn engine(store: &Store) -> Result<String, CatalogError> {
    let outcome: Result<String, Fault> = match &store.db {
        Db::Lite { readers, .. } => bounded!(readers, store.limit, |conn| {
            let version: String = sqlx::query_scalar("SELECT sqlite_version()")
                .fetch_one(&mut *conn)
                .await?;
            Ok(format!("SQLite {version}"))
        }),
        Db::My { pool, .. } => bounded!(pool, store.limit, |conn| {
            let version: String = sqlx::query_scalar("SELECT VERSION()")
                .fetch_one(&mut *conn)
                .await?;
            // `10.11.14-MariaDB-0+deb12u1-log`: what follows the name is the packager's.
            Ok(match version.find("MariaDB") {
                Some(at) => version[..at + "MariaDB".len()].to_owned(),
                None => format!("MySQL {version}"),
            })
        }),
    };
    match outcome {
        Ok(engine) => Ok(engine),
        Err(fault) => Err(store.explain("ask for the engine's version", fault).await),
    }
}
