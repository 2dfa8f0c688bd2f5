//! The journal's own table: entries appended, read in order, struck out.

use super::entry::Entry;
use crate::db::{Db, Fault, Store, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms};
use crate::{Backlog, MAX_JOURNAL_BYTES};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

/// Entries read at a time; one may hold the manifest of a large set.
const BATCH: i64 = 50;
/// How often an entry is tried that the catalog refuses for what it holds.
pub(super) const REFUSALS: i64 = 3;

/// An entry with its place in the order.
pub(super) struct Noted {
    pub(super) seq: i64,
    /// Or why it cannot be understood.
    pub(super) entry: Result<Entry, String>,
}

#[derive(FromRow)]
struct NotedRow {
    seq: i64,
    entry: String,
}

/// Makes the table.
pub(super) async fn create(store: &Store) -> Result<(), CatalogError> {
    let Db::Lite { writer, .. } = &store.db else {
        return Err(store.schema("cannot hold a journal: it is no SQLite file"));
    };
    let mut migrator = sqlx::migrate!("../../migrations/journal");
    migrator.set_locking(false);
    migrator.dangerous_set_table_name("journal_migration");
    let made = async {
        let mut connection = writer.acquire().await?;
        let mut transaction = sqlx::Connection::begin_with(&mut *connection, "BEGIN IMMEDIATE").await?;
        migrator
            .run_direct(None, &mut *transaction, false)
            .await
            .map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
        transaction.commit().await
    };
    match made.await {
        Ok(()) => Ok(()),
        Err(error) => Err(store.explain("make the journal", Fault::Sql(error)).await),
    }
}

/// Writes an entry at the end, synced. Gives its place. One that is `held` is not carried out before it is released.
pub(super) async fn append(
    store: &Store,
    entry: &Entry,
    held: bool,
    now: DateTime<Utc>,
) -> Result<i64, CatalogError> {
    const ACTION: &str = "note in the journal";
    let text = serde_json::to_string(entry).map_err(|error| CatalogError::Statement {
        action: ACTION,
        cause: error.to_string(),
    })?;
    let size: i64 = reading!(store, ACTION, |conn| {
        sqlx::query_scalar(
            "SELECT (page_count - freelist_count) * page_size \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )
        .fetch_one(&mut *conn)
        .await?
    })?;
    if u64::try_from(size).unwrap_or(0) + text.len() as u64 > MAX_JOURNAL_BYTES {
        return Err(CatalogError::Statement {
            action: ACTION,
            cause: format!("it has grown to {} MiB already", size / (1024 * 1024)),
        });
    }
    writing!(store, ACTION, |tx| {
        sqlx::query("INSERT INTO journal (noted_ms, entry, held) VALUES (?, ?, ?)")
            .bind(ms(now))
            .bind(text.as_str())
            .bind(held)
            .execute(&mut *tx)
            .await?;
        let seq: i64 = sqlx::query_scalar("SELECT last_insert_rowid()")
            .fetch_one(&mut *tx)
            .await?;
        seq
    })
}

/// The oldest entries that still wait, after `after`.
pub(super) async fn oldest(store: &Store, after: i64) -> Result<Vec<Noted>, CatalogError> {
    let rows: Vec<NotedRow> = reading!(store, "read the journal", |conn| {
        sqlx::query_as("SELECT seq, entry FROM journal WHERE refusals < ? AND seq > ? ORDER BY seq LIMIT ?")
            .bind(REFUSALS)
            .bind(after)
            .bind(BATCH)
            .fetch_all(&mut *conn)
            .await?
    })?;
    Ok(noted(rows))
}

fn noted(rows: Vec<NotedRow>) -> Vec<Noted> {
    rows.into_iter()
        .map(|row| Noted {
            seq: row.seq,
            entry: serde_json::from_str(&row.entry).map_err(|error| error.to_string()),
        })
        .collect()
}

/// Whether any entry waits.
pub(super) async fn waits(store: &Store) -> Result<bool, CatalogError> {
    let count: i64 = reading!(store, "look into the journal", |conn| {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM journal WHERE refusals < ? AND held = 0)")
            .bind(REFUSALS)
            .fetch_one(&mut *conn)
            .await?
    })?;
    Ok(count > 0)
}

/// The copy has it. False when it is no longer there.
pub(super) async fn release(store: &Store, seq: i64) -> Result<bool, CatalogError> {
    writing!(store, "release an entry of the journal", |tx| {
        sqlx::query("UPDATE journal SET held = 0 WHERE seq = ?")
            .bind(seq)
            .execute(&mut *tx)
            .await?
            .rows_affected()
            > 0
    })
}

/// Entries that a process has left held, oldest first.
pub(super) async fn held(store: &Store) -> Result<Vec<Noted>, CatalogError> {
    let rows: Vec<NotedRow> = reading!(store, "read the journal", |conn| {
        sqlx::query_as("SELECT seq, entry FROM journal WHERE held = 1 ORDER BY seq LIMIT 1000")
            .fetch_all(&mut *conn)
            .await?
    })?;
    Ok(noted(rows))
}

/// What was refused is tried again: by a later program, or a catalog that was mended.
pub(super) async fn forgive(store: &Store) -> Result<(), CatalogError> {
    writing!(store, "try refused entries of the journal again", |tx| {
        sqlx::query("UPDATE journal SET refusals = 0 WHERE refusals > 0")
            .execute(&mut *tx)
            .await?;
    })
}

/// It has been carried out.
pub(super) async fn strike(store: &Store, seq: i64) -> Result<(), CatalogError> {
    writing!(store, "strike out an entry of the journal", |tx| {
        sqlx::query("DELETE FROM journal WHERE seq = ?")
            .bind(seq)
            .execute(&mut *tx)
            .await?;
    })
}

/// The catalog refused it for what it holds. Gives whether it is tried again.
pub(super) async fn refused(store: &Store, seq: i64, why: &str) -> Result<bool, CatalogError> {
    let refusals: i64 = writing!(store, "note a refusal in the journal", |tx| {
        sqlx::query("UPDATE journal SET refusals = refusals + 1, refusal = ? WHERE seq = ?")
            .bind(why)
            .bind(seq)
            .execute(&mut *tx)
            .await?;
        sqlx::query_scalar("SELECT COALESCE(MAX(refusals), 0) FROM journal WHERE seq = ?")
            .bind(seq)
            .fetch_one(&mut *tx)
            .await?
    })?;
    Ok(refusals < REFUSALS)
}

/// What waits, and what was refused.
pub(super) async fn backlog(store: &Store) -> Result<Backlog, CatalogError> {
    let (waiting, since_ms, refused, refusal): (i64, Option<i64>, i64, Option<String>) = reading!(
        store,
        "look into the journal",
        |conn| {
            sqlx::query_as(
                "SELECT COUNT(CASE WHEN refusals < ?1 THEN 1 END), MIN(CASE WHEN refusals < ?1 THEN noted_ms END), \
                 COUNT(CASE WHEN refusals >= ?1 THEN 1 END), MAX(CASE WHEN refusals >= ?1 THEN refusal END) \
                 FROM journal",
            )
            .bind(REFUSALS)
            .fetch_one(&mut *conn)
            .await?
        }
    )?;
    let place = Place {
        table: "journal",
        id: "-",
    };
    Ok(Backlog {
        waiting: u64::try_from(waiting).unwrap_or(0),
        since: place.instant_some("noted_ms", since_ms)?,
        refused: u64::try_from(refused).unwrap_or(0),
        refusal,
        away: None,
        is_shut_out: false,
    })
}
