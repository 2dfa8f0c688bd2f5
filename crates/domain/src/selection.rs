//! Which set is proven next.

use crate::backup::{Backup, Deletion, ValidateStatus};
use crate::run::words;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

words! {
    /// Which of the candidates is taken.
    Select {
        /// The one that was started last.
        Newest = "newest",
        /// The one that was started first.
        Oldest = "oldest",
        /// Any.
        Random = "random",
    }
}

/// What makes a set a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Criteria<'a> {
    /// Started within so long before `now`.
    pub within: Option<Duration>,
    /// One of these tags; empty: any.
    pub tags: &'a [String],
    /// The present instant.
    pub now: DateTime<Utc>,
}

impl Criteria<'_> {
    /// Why `backup` is no candidate; `None` when it is one.
    ///
    /// A set that is not meant to be transferred need not have been.
    pub fn refusal(&self, backup: &Backup) -> Option<&'static str> {
        let local = backup.transfer_complete == crate::backup::LOCAL_BACKUP;
        if !backup.is_complete() {
            Some("it is not complete")
        } else if backup.deletion != Deletion::None {
            Some("it is deleted")
        } else if !backup.is_transferred() && !local {
            Some("it has not arrived at its destination")
        } else if backup.validate_status != ValidateStatus::NotTried {
            Some("it has been tried")
        } else if !self.tags.is_empty() && !self.tags.contains(&backup.tag) {
            Some("its tag is not asked for")
        } else if self.within.is_some_and(|within| {
            TimeDelta::from_std(within).is_ok_and(|within| self.now - backup.started_at > within)
        }) {
            Some("it is too old")
        } else {
            None
        }
    }
}

/// The candidates in the order in which they should be tried. `random` gives a number below its argument.
pub fn order_candidates(
    mut candidates: Vec<Backup>,
    select: Select,
    mut random: impl FnMut(usize) -> usize,
) -> Vec<Backup> {
    candidates.sort_by_key(|backup| (backup.started_at, backup.id));
    match select {
        Select::Oldest => {}
        Select::Newest => candidates.reverse(),
        Select::Random => {
            for last in (1..candidates.len()).rev() {
                candidates.swap(last, random(last + 1).min(last));
            }
        }
    }
    candidates
}
