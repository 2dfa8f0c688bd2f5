//! The days whose folders `all_but_day` does not keep.

use super::KeepPolicy;
use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// More days than these are not remembered: the oldest are forgotten, and their folders stay.
const MOST_DAYS: usize = 400;

/// The days that a job with `all_but_day` has come to, so many days after each, and whose folders were not empty when
/// its last pass was planned.
///
/// A script that removes the folder of one day knows no tomorrow: what was in use on that one night, or the newest proven
/// set, it took all the same. A job leaves it, and has to remember that it was due. Only days are remembered that the job
/// came to under the very policy that it has now: another would not have removed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueDays {
    /// Where the folders lie.
    directory: PathBuf,
    /// What the job kept when it came to them.
    keep: KeepPolicy,
    days: BTreeSet<NaiveDate>,
}

impl DueDays {
    /// What a job with `keep` for `directory` still has before it, of what was remembered.
    pub fn of(remembered: Option<Self>, directory: &Path, keep: &KeepPolicy) -> Self {
        remembered
            .filter(|due| due.directory == directory && due.keep == *keep)
            .unwrap_or_else(|| Self {
                directory: directory.to_path_buf(),
                keep: keep.clone(),
                days: BTreeSet::new(),
            })
    }

    /// A run that stands for `day` begins: the folder of so many days before is due.
    pub fn come_to(&mut self, day: NaiveDate) {
        let days_ago = self.keep.all_but_day.map(u64::from);
        let due = days_ago.and_then(|days_ago| day.checked_sub_days(Days::new(days_ago)));
        self.days.extend(due);
        while self.days.len() > MOST_DAYS {
            self.days.pop_first();
        }
    }

    /// A pass has seen sets of the days of `seen` alone: the others need not be come back to.
    pub fn forget_all_but(&mut self, seen: &BTreeSet<NaiveDate>) {
        self.days.retain(|day| seen.contains(day));
    }

    /// The days.
    pub fn days(&self) -> &BTreeSet<NaiveDate> {
        &self.days
    }
}
