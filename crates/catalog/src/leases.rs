//! `mk_lease`: who works on what, until when.

use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{ms, signed};
use chrono::{DateTime, Utc};

pub(crate) async fn acquire(
    store: &Store,
    name: &str,
    holder: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, CatalogError> {
    writing!(store, "take a lease", |tx| {
        let taken = sqlx::query(
            "UPDATE mk_lease SET holder = ?, until_ms = ? WHERE name = ? AND (holder = ? OR until_ms <= ?)",
        )
        .bind(holder)
        .bind(ms(until))
        .bind(name)
        .bind(holder)
        .bind(ms(now))
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if taken > 0 {
            true
        } else {
            let made = sqlx::query("INSERT INTO mk_lease (name, holder, until_ms) VALUES (?, ?, ?)")
                .bind(name)
                .bind(holder)
                .bind(ms(until))
                .execute(&mut *tx)
                .await;
            match made {
                Err(error) if is_duplicate(&error) => false,
                made => made?.rows_affected() > 0,
            }
        }
    })
}

pub(crate) async fn release(store: &Store, name: &str, holder: &str) -> Result<(), CatalogError> {
    writing!(store, "give back a lease", |tx| {
        sqlx::query("DELETE FROM mk_lease WHERE name = ? AND holder = ?")
            .bind(name)
            .bind(holder)
            .execute(&mut *tx)
            .await?;
    })
}

pub(crate) async fn list(
    store: &Store,
    prefix: &str,
    now: DateTime<Utc>,
) -> Result<Vec<String>, CatalogError> {
    reading!(store, "list leases", |conn| {
        // No LIKE: a name may hold its wildcards.
        sqlx::query_scalar(
            "SELECT name FROM mk_lease WHERE SUBSTR(name, 1, ?) = ? AND until_ms > ? ORDER BY name",
        )
        .bind(signed(prefix.chars().count() as u64))
        .bind(prefix)
        .bind(ms(now))
        .fetch_all(&mut *conn)
        .await?
    })
}
