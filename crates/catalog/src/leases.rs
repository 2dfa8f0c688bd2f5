//! `mk_lease`: who works on what, until when.

use crate::clock::shared_now;
use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, signed};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use std::time::Duration;

/// Who works on what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// On what: `set:<bk_id>:validate`.
    pub name: String,
    /// Who: `<node> <run>`.
    pub holder: String,
    /// Until when, unless it is renewed, by the clock that it was taken by.
    pub until: DateTime<Utc>,
}

/// By which clock a lease runs out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseClock {
    /// The holder's: what no other node takes, and whose times are held against the holder's own.
    #[default]
    Own,
    /// That of the catalog's server, where nodes share one: a node whose clock is wrong neither takes what another holds, nor
    /// loses what it holds itself.
    Shared,
}

/// How long a lease is to last.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTerm {
    /// By which clock.
    pub clock: LeaseClock,
    /// Now, by the holder's clock.
    pub from: DateTime<Utc>,
    /// By the holder's clock, too: for [`LeaseClock::Shared`] only the time between the two counts.
    pub until: DateTime<Utc>,
}

impl LeaseTerm {
    /// From `now` on for so long, by the clock that all nodes share.
    pub fn shared(now: DateTime<Utc>, lasts: Duration) -> Self {
        let until = TimeDelta::from_std(lasts)
            .ok()
            .and_then(|lasts| now.checked_add_signed(lasts));
        Self {
            clock: LeaseClock::Shared,
            from: now,
            until: until.unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }
}

pub(crate) async fn acquire(
    store: &Store,
    name: &str,
    holder: &str,
    term: LeaseTerm,
) -> Result<bool, CatalogError> {
    writing!(store, "take a lease", |tx| {
        // Asked before the row is: who waits for it takes it for one that is held longer.
        let now = match term.clock {
            LeaseClock::Own => ms(term.from),
            LeaseClock::Shared => shared_now!(store, tx, term.from),
        };
        let until = now.saturating_add(ms(term.until).saturating_sub(ms(term.from)));
        let taken = sqlx::query(
            "UPDATE mk_lease SET holder = ?, until_ms = ? WHERE name = ? AND (holder = ? OR until_ms <= ?)",
        )
        .bind(holder)
        .bind(until)
        .bind(name)
        .bind(holder)
        .bind(now)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if taken > 0 {
            true
        } else {
            let made = sqlx::query("INSERT INTO mk_lease (name, holder, until_ms) VALUES (?, ?, ?)")
                .bind(name)
                .bind(holder)
                .bind(until)
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
    (clock, now): (LeaseClock, DateTime<Utc>),
) -> Result<Vec<Lease>, CatalogError> {
    let rows: Vec<LeaseRow> = reading!(store, "list leases", |conn| {
        let now = match clock {
            LeaseClock::Own => ms(now),
            LeaseClock::Shared => shared_now!(store, conn, now),
        };
        // No LIKE: a name may hold its wildcards.
        sqlx::query_as(
            "SELECT name, holder, until_ms FROM mk_lease WHERE SUBSTR(name, 1, ?) = ? AND until_ms > ? ORDER BY name",
        )
        .bind(signed(prefix.chars().count() as u64))
        .bind(prefix)
        .bind(now)
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
