//! Whether this machine's clock may decide what is removed: by one that is wrong everything is old. A shared catalog has a clock
//! of its own, which is asked; a machine that has its catalog to itself has no other.

use crate::environment::Environment;
use chrono::TimeDelta;
use mykeeper_catalog::{CatalogError, is_shared};
use mykeeper_domain::node::clock_is_off;
use std::fmt;

/// Rules count in hours and days: less decides nothing.
const LEAST: TimeDelta = TimeDelta::hours(1);

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
