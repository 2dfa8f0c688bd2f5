//! Whether this machine's clock may decide what is removed: by one that is wrong everything is old.
//!
//! A shared catalog has a clock of its own, which is asked. Where a machine has its catalog to itself, `state_dir/clock-seen`
//! holds the time of the last run that went by a clock that was believed: one that is before that, or months after, is
//! believed when a person says so.

use crate::environment::Environment;
use crate::state_dir::StateDir;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mykeeper_catalog::{CatalogError, RunFilter, is_shared};
use mykeeper_domain::node::clock_is_off;
use mykeeper_tools::rsync::shell_word;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

/// A clock that goes back by less was set right.
const BACK: TimeDelta = TimeDelta::hours(1);
/// A machine that was off for longer is taken for one whose clock is wrong.
const AHEAD: TimeDelta = TimeDelta::days(60);

/// A clock that may not decide.
#[derive(Debug)]
pub(crate) struct WrongClock {
    told: String,
    seen: Option<DateTime<Utc>>,
}

/// What is wrong, and what to do about it: `this machine's clock is 45 d 0 h ahead of the catalog's: set right the one that ...`
impl fmt::Display for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl WrongClock {
    /// Remembers when it was right last: the run that is refused is none to go by.
    pub(crate) fn remember(&self, state: &StateDir) {
        let kept = self.seen.map_or(Ok(()), |seen| write(state, seen));
        if let Err(error) = kept {
            tracing::warn!(%error, "when this machine's clock was right last is not noted");
        }
    }
}

/// `None` where nothing wrong is to be seen.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn wrong_clock(environment: &Environment) -> Result<Option<WrongClock>, CatalogError> {
    if is_shared(&environment.settings().catalog.url) {
        let before = environment.clock.now();
        let shared = environment.catalog.shared_now(before).await?;
        let after = environment.clock.now();
        // It was asked somewhere between the two.
        let ahead = (before - shared).max((after - shared).min(TimeDelta::zero()));
        return Ok(clock_is_off(ahead).map(|off| WrongClock {
            told: format!("this machine's {off}: set right the one that is wrong (NTP)"),
            seen: None,
        }));
    }
    let now = environment.clock.now();
    let seen = match noted(&environment.state) {
        Some(seen) => Some(seen),
        None => last_run(environment, now).await?,
    };
    Ok(seen.filter(|seen| !is_near(*seen, now)).map(|seen| {
        let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let told = format!(
            "this machine's clock says {}, and a run has ended at {}: set it right, or, if it is right now: date -u \
             +%FT%TZ > {}",
            shown(now),
            shown(seen),
            shell_word(&file(&environment.state).display().to_string())
        );
        WrongClock {
            told,
            seen: Some(seen),
        }
    }))
}

fn is_near(seen: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now >= seen - BACK && now <= seen + AHEAD
}

/// When a run of this node has ended last, or one of the last at a time that the clock agrees with. Where there was none it is
/// believed.
async fn last_run(
    environment: &Environment,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, CatalogError> {
    let filter = RunFilter {
        node: Some(environment.node.clone()),
        limit: 16,
        ..RunFilter::default()
    };
    let runs = environment.catalog.runs(&filter).await?;
    let mut over = runs.iter().filter_map(|run| run.finished_at);
    let newest = over.next();
    Ok(newest.map(|newest| over.find(|at| is_near(*at, now)).unwrap_or(newest)))
}

/// Notes the time at the end of a run, where it is believed.
pub(crate) fn note(environment: &Environment) {
    if is_shared(&environment.settings().catalog.url) {
        return;
    }
    let (state, now) = (&environment.state, environment.clock.now());
    if noted(state).is_some_and(|seen| !is_near(seen, now)) {
        return;
    }
    if let Err(error) = write(state, now) {
        tracing::debug!(%error, "the time of the last run is not noted");
    }
}

fn file(state: &StateDir) -> PathBuf {
    state.root().join("clock-seen")
}

/// `None` where none was noted, or what was is no time.
fn noted(state: &StateDir) -> Option<DateTime<Utc>> {
    std::fs::read_to_string(file(state)).ok()?.trim().parse().ok()
}

/// Whole or not at all.
fn write(state: &StateDir, now: DateTime<Utc>) -> io::Result<()> {
    let draft = state.root().join(format!("clock-seen.{}", std::process::id()));
    let mut open = std::fs::File::create(&draft)?;
    writeln!(open, "{}", now.to_rfc3339_opts(SecondsFormat::Secs, true))?;
    std::fs::rename(&draft, file(state))
}
