//! Whether this machine's clock may decide what is removed, and what it says of a set's age: by one that is wrong everything is old. A shared catalog has a clock
//! of its own, which is asked; a machine that has its catalog to itself has no other.

use crate::environment::Environment;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{CatalogError, is_shared};
use mykeeper_domain::node::clock_is_off;
use std::fmt;
use tokio::time::Instant;

/// Rules count in hours and days: less decides nothing.
const LEAST: TimeDelta = TimeDelta::hours(1);

/// What the catalog's clock says of a begin.
#[derive(Debug, Default)]
pub(crate) struct ClockAtBegin {
    /// When that was by it, where this machine's was an hour behind and more.
    pub(crate) begun_at: Option<DateTime<Utc>>,
    /// What is wrong with this machine's, for people.
    pub(crate) told: Option<String>,
}

/// Holds an instant of this machine's clock against that of the catalog's. Nothing where the catalog is embedded, or does not
/// answer: then it is not known.
pub(crate) async fn look_at_clock(
    environment: &Environment,
    (started_at, began): (DateTime<Utc>, Instant),
) -> ClockAtBegin {
    if !is_shared(&environment.settings().catalog.url) {
        return ClockAtBegin::default();
    }
    let shared = match environment.catalog.shared_now(environment.clock.now()).await {
        Ok(shared) => shared,
        Err(error) => {
            tracing::debug!(%error, "the clock is not held against the catalog's");
            return ClockAtBegin::default();
        }
    };
    // A clock may have been set meanwhile; this one goes on.
    let lasted = TimeDelta::from_std(began.elapsed()).unwrap_or_default();
    judge(started_at, shared - lasted)
}

fn judge(started_at: DateTime<Utc>, by_catalog: DateTime<Utc>) -> ClockAtBegin {
    let ahead = started_at - by_catalog;
    let Some(off) = clock_is_off(ahead).filter(|_| ahead.abs() >= LEAST) else {
        return ClockAtBegin::default();
    };
    let begun_at = (ahead < TimeDelta::zero()).then_some(by_catalog);
    let taken = match begun_at {
        Some(_) => "retention takes the set to be of",
        None => "by the catalog's the set is of",
    };
    let at = by_catalog.format("%Y-%m-%d %H:%M UTC");
    ClockAtBegin {
        begun_at,
        told: Some(format!(
            "the set was begun while this machine's {}: set right the one that is wrong (NTP); {taken} {at}",
            off.replacen("clock is", "clock was", 1)
        )),
    }
}

/// A clock that may not decide.
#[derive(Debug)]
pub(crate) struct WrongClock(String);

/// What is wrong, and what to do about it: `this machine's clock is 45 d 0 h ahead of the catalog's: set right the one that ...`
impl fmt::Display for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this machine's {}: set right the one that is wrong (NTP)",
            self.0
        )
    }
}

/// `None` where nothing wrong is to be seen.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn wrong_clock(environment: &Environment) -> Result<Option<WrongClock>, CatalogError> {
    if !is_shared(&environment.settings().catalog.url) {
        return Ok(None);
    }
    let before = environment.clock.now();
    let shared = environment.catalog.shared_now(before).await?;
    let after = environment.clock.now();
    // It was asked somewhere between the two.
    let ahead = (before - shared).max((after - shared).min(TimeDelta::zero()));
    let is_off = ahead.abs() >= LEAST;
    Ok(clock_is_off(ahead).filter(|_| is_off).map(WrongClock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_far_behind_makes_no_set_old() {
        let right: DateTime<Utc> = "2026-11-24T04:00:00Z".parse().unwrap();
        for (behind, is_told, is_dated) in [
            (TimeDelta::zero(), false, false),
            (TimeDelta::minutes(59), false, false),
            (TimeDelta::days(400), true, true),
            (TimeDelta::days(-400), true, false),
        ] {
            let clock = judge(right - behind, right);
            assert_eq!(clock.told.is_some(), is_told, "{behind}");
            assert_eq!(clock.begun_at, is_dated.then_some(right), "{behind}");
        }
    }
}
