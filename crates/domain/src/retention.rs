//! Which sets are kept, which are condemned, and by which rule.

use crate::backup::{Backup, Deletion, ValidateStatus};
use crate::ids::BackupId;
use crate::job::Require;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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
}

/// What retention needs to know besides the sets.
#[derive(Clone, Debug)]
pub struct Context {
    /// The present instant.
    pub now: DateTime<Utc>,
    /// The zone whose calendar days, weeks, months and years count.
    pub zone: Tz,
    /// See [`Require`].
    pub require: Require,
    /// Sets that something is working on right now.
    pub busy: BTreeSet<BackupId>,
    /// Sets whose folder is no longer there though nothing recorded its removal.
    pub gone: BTreeSet<BackupId>,
}

/// Why a set is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepReason {
    /// Something is working on it.
    InUse,
    /// It is the newest that meets `require`.
    NewestThatMeetsRequire,
    /// It is the newest proven set of its server.
    NewestProven,
    /// `keep.last`
    Last,
    /// `keep.within`
    Within,
    /// `keep.daily`
    Daily,
    /// `keep.weekly`
    Weekly,
    /// `keep.monthly`
    Monthly,
    /// `keep.yearly`
    Yearly,
    /// It is not good, but there is no newer good one.
    NoNewerGoodSet,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "in use by a run",
            Self::NewestThatMeetsRequire => "newest that meets require",
            Self::NewestProven => "newest proven set of its server",
            Self::Last => "keep.last",
            Self::Within => "keep.within",
            Self::Daily => "keep.daily",
            Self::Weekly => "keep.weekly",
            Self::Monthly => "keep.monthly",
            Self::Yearly => "keep.yearly",
            Self::NoNewerGoodSet => "no newer good set of this job",
        })
    }
}

/// Why a set is condemned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CondemnReason {
    /// No rule keeps it.
    NoRuleKeepsIt,
    /// It is not complete, and there is a newer good one.
    IncompleteAndSuperseded,
    /// Its proof failed, and there is a newer good one.
    FailedProofAndSuperseded,
    /// An earlier pass has begun to remove it.
    RemovalBegun,
    /// Its folder is no longer on this disk, and it was sent nowhere.
    GoneFromDisk,
}

impl fmt::Display for CondemnReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRuleKeepsIt => "no rule keeps it",
            Self::IncompleteAndSuperseded => "not complete, and a newer good set exists",
            Self::FailedProofAndSuperseded => "its proof failed, and a newer good set exists",
            Self::RemovalBegun => "its removal had begun",
            Self::GoneFromDisk => "its folder is gone from disk, and it was sent nowhere",
        })
    }
}

/// What is to become of one set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It stays, for these reasons.
    Keep(Vec<KeepReason>),
    /// It goes.
    Condemn(CondemnReason),
}

/// One line of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The set.
    pub backup: Backup,
    /// What is to become of it.
    pub verdict: Verdict,
}

fn is_good(backup: &Backup) -> bool {
    backup.is_complete() && backup.validate_status != ValidateStatus::Failed
}

fn meets(backup: &Backup, require: Require) -> bool {
    is_good(backup)
        && match require {
            Require::Complete => true,
            Require::Transferred => backup.is_transferred(),
            Require::Validated => backup.validate_status == ValidateStatus::Passed,
        }
}

/// Judges every set. Sets compete only with those of the same tag and job; a set that is deleted is left out.
///
/// Newest first within a group. Only good sets (complete, no failed proof) use up the counts of the policy.
pub fn plan_retention(sets: Vec<Backup>, policy: &KeepPolicy, context: &Context) -> Vec<Decision> {
    let mut groups: BTreeMap<(String, Option<String>), Vec<Backup>> = BTreeMap::new();
    let mut newest_proven: BTreeMap<String, (DateTime<Utc>, BackupId)> = BTreeMap::new();
    for backup in sets.into_iter().filter(|backup| backup.deletion != Deletion::Deleted) {
        if meets(&backup, Require::Validated) && !context.gone.contains(&backup.id) {
            let mine = (backup.started_at, backup.id);
            let newest = newest_proven.entry(backup.tag.clone()).or_insert(mine);
            *newest = (*newest).max(mine);
        }
        let key = (backup.tag.clone(), backup.job.as_ref().map(|job| job.as_str().to_owned()));
        groups.entry(key).or_default().push(backup);
    }
    let newest_proven: BTreeSet<BackupId> = newest_proven.into_values().map(|(_, id)| id).collect();
    groups.into_values().flat_map(|group| judge_group(group, policy, context, &newest_proven)).collect()
}

fn judge_group(
    mut group: Vec<Backup>,
    policy: &KeepPolicy,
    context: &Context,
    newest_proven: &BTreeSet<BackupId>,
) -> Vec<Decision> {
    group.sort_by_key(|backup| std::cmp::Reverse((backup.started_at, backup.id)));
    let present = |backup: &&Backup| !context.gone.contains(&backup.id);
    let newest_good = group.iter().filter(present).find(|b| is_good(b)).map(|b| b.id);
    let newest_required = group.iter().filter(present).find(|b| meets(b, context.require)).map(|b| b.id);
    let mut counters = Counters::new(policy, context);
    let mut newer_good = false;
    group
        .into_iter()
        .map(|backup| {
            let gone = context.gone.contains(&backup.id);
            let mut reasons = Vec::new();
            if context.busy.contains(&backup.id) {
                reasons.push(KeepReason::InUse);
            }
            if Some(backup.id) == newest_required {
                reasons.push(KeepReason::NewestThatMeetsRequire);
            }
            if newest_proven.contains(&backup.id) {
                reasons.push(KeepReason::NewestProven);
            }
            let removal_begun = backup.deletion == Deletion::Deleting;
            if is_good(&backup) && !removal_begun && !gone {
                reasons.extend(counters.rules_that_keep(&backup));
            } else if !newer_good && newest_good.is_none() && !removal_begun && !gone {
                reasons.push(KeepReason::NoNewerGoodSet);
            } else if !newer_good && !removal_begun && !gone {
                // Newer than the newest good one: the latest failure is what people look at.
                reasons.push(KeepReason::NoNewerGoodSet);
            }
            let verdict = if gone && !backup.is_transferred() && !context.busy.contains(&backup.id) {
                Verdict::Condemn(CondemnReason::GoneFromDisk)
            } else if gone && reasons.is_empty() {
                Verdict::Condemn(CondemnReason::NoRuleKeepsIt)
            } else if !reasons.is_empty() {
                Verdict::Keep(reasons)
            } else if removal_begun {
                Verdict::Condemn(CondemnReason::RemovalBegun)
            } else if !backup.is_complete() {
                Verdict::Condemn(CondemnReason::IncompleteAndSuperseded)
            } else if !is_good(&backup) {
                Verdict::Condemn(CondemnReason::FailedProofAndSuperseded)
            } else {
                Verdict::Condemn(CondemnReason::NoRuleKeepsIt)
            };
            newer_good |= is_good(&backup) && !gone && !removal_begun;
            Decision { backup, verdict }
        })
        .collect()
}

/// Counts down each rule of the policy, newest set first.
struct Counters<'a> {
    context: &'a Context,
    within: Option<TimeDelta>,
    last: Option<KeepCount>,
    last_used: u32,
    periods: Vec<(KeepReason, KeepCount, Option<i64>, u32)>,
}

impl<'a> Counters<'a> {
    fn new(policy: &KeepPolicy, context: &'a Context) -> Self {
        let periods = [
            (KeepReason::Daily, policy.daily),
            (KeepReason::Weekly, policy.weekly),
            (KeepReason::Monthly, policy.monthly),
            (KeepReason::Yearly, policy.yearly),
        ];
        Self {
            context,
            within: policy.within.map(|within| TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX)),
            last: policy.last,
            last_used: 0,
            periods: periods
                .into_iter()
                .filter_map(|(reason, count)| count.map(|count| (reason, count, None, 0)))
                .collect(),
        }
    }

    fn rules_that_keep(&mut self, backup: &Backup) -> Vec<KeepReason> {
        let mut reasons = Vec::new();
        if let Some(count) = self.last
            && within_count(count, self.last_used)
        {
            self.last_used += 1;
            reasons.push(KeepReason::Last);
        }
        if self.within.is_some_and(|within| self.context.now - backup.started_at <= within) {
            reasons.push(KeepReason::Within);
        }
        let day = backup.started_at.with_timezone(&self.context.zone).date_naive();
        for (reason, count, current, used) in &mut self.periods {
            let period = match reason {
                KeepReason::Daily => i64::from(day.num_days_from_ce()),
                KeepReason::Weekly => i64::from(day.iso_week().year()) * 100 + i64::from(day.iso_week().week()),
                KeepReason::Monthly => i64::from(day.year()) * 100 + i64::from(day.month()),
                _ => i64::from(day.year()),
            };
            if *current != Some(period) && within_count(*count, *used) {
                *current = Some(period);
                *used += 1;
                reasons.push(*reason);
            }
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
