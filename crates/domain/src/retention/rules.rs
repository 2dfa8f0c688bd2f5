//! What a policy keeps, rule by rule.

use super::{Context, KeepReason};
use crate::backup::Backup;
use chrono::{Datelike, TimeDelta};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// How many of a kind are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeepCount {
    /// The newest so many.
    Newest(u32),
    /// Every one.
    All,
}

/// The `keep` table of a retention job. A set is kept when any rule keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepPolicy {
    /// The newest sets.
    pub last: Option<KeepCount>,
    /// Sets started within so long.
    pub within: Option<Duration>,
    /// The newest set of each of the last days that have one.
    pub daily: Option<KeepCount>,
    /// So with ISO weeks.
    pub weekly: Option<KeepCount>,
    /// So with months.
    pub monthly: Option<KeepCount>,
    /// So with years.
    pub yearly: Option<KeepCount>,
    /// Every set of these days of each month, 1 to 31: of the day that it was started on, and of the day whose folder
    /// it lies in.
    pub month_days: BTreeSet<u32>,
    /// Every set that does not lie in the folder of the day so many days before the one that the run stands for, or of one
    /// that an earlier run of the job has come to: see [`DueDays`](super::DueDays).
    pub all_but_day: Option<u32>,
    /// Whether the rules keep sets that are not complete or not proven, too, without counting them.
    pub failed: bool,
}

/// Counts down each rule of the policy, newest set first.
#[derive(Clone)]
pub(super) struct Counters<'a> {
    context: &'a Context,
    policy: &'a KeepPolicy,
    within: Option<TimeDelta>,
    last: Option<KeepCount>,
    last_used: u32,
    periods: Vec<(KeepReason, KeepCount, Option<i64>, u32)>,
}

impl<'a> Counters<'a> {
    pub(super) fn new(policy: &'a KeepPolicy, context: &'a Context) -> Self {
        let periods = [
            (KeepReason::Daily, policy.daily),
            (KeepReason::Weekly, policy.weekly),
            (KeepReason::Monthly, policy.monthly),
            (KeepReason::Yearly, policy.yearly),
        ];
        Self {
            context,
            policy,
            within: policy
                .within
                .map(|within| TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX)),
            last: policy.last,
            last_used: 0,
            periods: periods
                .into_iter()
                .filter_map(|(reason, count)| count.map(|count| (reason, count, None, 0)))
                .collect(),
        }
    }

    /// The rules that keep the next set; each that counts is used up by one.
    pub(super) fn rules_that_keep(&mut self, backup: &Backup) -> Vec<KeepReason> {
        let mut reasons = Vec::new();
        if let Some(count) = self.last
            && within_count(count, self.last_used)
        {
            self.last_used += 1;
            reasons.push(KeepReason::Last);
        }
        if self
            .within
            .is_some_and(|within| self.context.now - backup.dated_at() <= within)
        {
            reasons.push(KeepReason::Within);
        }
        let day = backup.dated_at().with_timezone(&self.context.zone).date_naive();
        for (reason, count, current, used) in &mut self.periods {
            let period = match reason {
                KeepReason::Daily => i64::from(day.num_days_from_ce()),
                KeepReason::Weekly => {
                    i64::from(day.iso_week().year()) * 100 + i64::from(day.iso_week().week())
                }
                KeepReason::Monthly => i64::from(day.year()) * 100 + i64::from(day.month()),
                _ => i64::from(day.year()),
            };
            if *current != Some(period) && within_count(*count, *used) {
                *current = Some(period);
                *used += 1;
                reasons.push(*reason);
            }
        }
        let in_folder = self.context.days.get(&backup.id).copied();
        let days = [Some(day), in_folder].into_iter().flatten();
        if days
            .map(|day| day.day())
            .any(|day| self.policy.month_days.contains(&day))
        {
            reasons.push(KeepReason::MonthDays);
        }
        let is_due = in_folder.is_some_and(|day| self.context.due_days.contains(&day));
        if self.policy.all_but_day.is_some() && !is_due {
            reasons.push(KeepReason::AllButDay);
        }
        reasons
    }
}

fn within_count(count: KeepCount, used: u32) -> bool {
    match count {
        KeepCount::All => true,
        KeepCount::Newest(limit) => used < limit,
    }
}
