//! By which clock nodes judge each other: that of the catalog's server, where they share one, since theirs may differ.
//! An embedded catalog has the clock of its own machine, which its caller gives.

use crate::CatalogError;
use crate::db::{Db, Store, reading};
use crate::row::Place;
use chrono::{DateTime, Utc};

/// Milliseconds since 1970, whatever the session's zone.
const SERVER_CLOCK: &str =
    "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000";

/// The question for the time of those that share this catalog; `None` where one machine has it to itself.
pub(crate) fn clock_sql(store: &Store) -> Option<&'static str> {
    match &store.db {
        Db::Lite { .. } => None,
        Db::My { .. } => Some(SERVER_CLOCK),
    }
}

/// The time by which all judge, in milliseconds since 1970, asked on `$conn`; `$now` where it is the caller's.
macro_rules! shared_now {
    ($store:expr, $conn:expr, $now:expr) => {
        match $crate::clock::clock_sql($store) {
            Some(sql) => sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *$conn).await?,
            None => $crate::row::ms($now),
        }
    };
}

pub(crate) use shared_now;

/// The time by which all judge, `now` where the catalog is embedded.
pub(crate) async fn now(store: &Store, now: DateTime<Utc>) -> Result<DateTime<Utc>, CatalogError> {
    let now_ms = reading!(store, "ask for the time", |conn| shared_now!(store, conn, now))?;
    let place = Place {
        table: "the catalog's clock",
        id: "UTC_TIMESTAMP",
    };
    place.instant("now", now_ms)
}
