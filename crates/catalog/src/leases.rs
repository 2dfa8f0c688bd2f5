//! `mk_lease`: who works on what, until when.

use crate::Lease;
use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, signed};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

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

#[derive(FromRow)]
struct LeaseRow {
    name: String,
    holder: String,
    until_ms: i64,
}

pub(crate) async fn list(
    store: &Store,
    prefix: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Lease>, CatalogError> {
    let rows: Vec<LeaseRow> = reading!(store, "list leases", |conn| {
        // No LIKE: a name may hold its wildcards.
        sqlx::query_as(
            "SELECT name, holder, until_ms FROM mk_lease WHERE SUBSTR(name, 1, ?) = ? AND until_ms > ? ORDER BY name",
        )
        .bind(signed(prefix.chars().count() as u64))
        .bind(prefix)
        .bind(ms(now))
        .fetch_all(&mut *conn)
        .await?
    })?;
    let lease = |row: LeaseRow| {
        let place = Place {
            table: "mk_lease",
            id: &row.name,
        };
        Ok(Lease {
            until: place.instant("until_ms", row.until_ms)?,
            name: row.name,
            holder: row.holder,
        })
    };
    rows.into_iter().map(lease).collect()
}
