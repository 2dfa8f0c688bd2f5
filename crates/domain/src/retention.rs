//! Which sets are kept, which are condemned, and by which rule.

mod due;
mod rules;

pub use due::DueDays;
pub use rules::{KeepCount, KeepPolicy};

use crate::backup::{Backup, Deletion, ValidateStatus};
use crate::ids::{BackupId, DestinationName};
use crate::job::Require;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use rules::Counters;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
    /// Sets that are marked as being deleted, and of which nothing has been taken away yet.
    pub untouched: BTreeSet<BackupId>,
    /// Sets of which something has been taken away: no rule can bring them back.
    pub begun: BTreeSet<BackupId>,
    /// Sets whose folders here differ from what was written, as this machine has read them.
    pub damaged: BTreeSet<BackupId>,
    /// Sets whose other copies are known to differ, as far as anybody has read any, and whose original here is not.
    pub only_whole: BTreeSet<BackupId>,
    /// The destinations that sets are still to be sent to from here: what goes before that never arrives there.
    pub owed: BTreeMap<BackupId, Vec<DestinationName>>,
    /// The days whose folders the sets lie in, where each lies in one: `<directory>/<YYYY-MM-DD>/<bk_id>`.
    pub days: BTreeMap<BackupId, NaiveDate>,
    /// The days whose folders `all_but_day` does not keep: see [`DueDays`].
    pub due_days: BTreeSet<NaiveDate>,
}

/// Clocks are put right by less. A set from later than this was made while a clock was wrong.
const AHEAD: TimeDelta = TimeDelta::days(1);

impl Context {
    /// Whether the set says that it was made in the future.
    fn is_future(&self, backup: &Backup) -> bool {
        self.now
            .checked_add_signed(AHEAD)
            .is_some_and(|latest| backup.dated_at() > latest)
    }

    /// Complete, no failed proof, and not known to be damaged.
    fn is_good(&self, backup: &Backup) -> bool {
        is_good(backup) && !self.damaged.contains(&backup.id)
    }

    fn meets(&self, backup: &Backup, require: Require) -> bool {
        self.is_good(backup) && meets(backup, require)
    }

    fn decide(&self, backup: Backup, verdict: Verdict) -> Decision {
        let owed_to = self.owed.get(&backup.id).cloned().unwrap_or_default();
        Decision {
            backup,
            verdict,
            owed_to,
        }
    }

    /// Whether something of it may have been taken away.
    fn may_be_half_removed(&self, backup: &Backup) -> bool {
        backup.deletion == Deletion::Deleting && !self.untouched.contains(&backup.id)
    }
}

/// Why a set is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepReason {
    /// Something is working on it.
    InUse,
    /// It is the newest that meets `require`.
    NewestThatMeetsRequire,
    /// It is the newest proven set of its job.
    NewestProven,
    /// Its row was made again from its own record, which does not tell whether it was proven: it may be the last that
    /// was. So until one of its group that is not older is proven.
    UnprovenSinceRebuild,
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
    /// `keep.month_days`
    MonthDays,
    /// `keep.all_but_day`
    AllButDay,
    /// It is damaged, and no newer one of its group is proven: something may be saved from it yet.
    Damaged,
    /// There is no newer good one: it may be all there is, whether it is good itself or not.
    NoNewerGoodSet,
    /// No rule keeps it, but every other copy that anyone has read, or looked for, differs or is missing.
    OnlyWholeCopy,
    /// No rule keeps it, but its copies are not to be seen in the folders that they were sent to.
    CopiesNotSeen,
    /// It would go, but another of its places here may only be unmounted.
    PlaceAway,
    /// No rule keeps it, but a destination waits for it: see [`Decision::owed_to`].
    NotArrivedEverywhere,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "in use by a run",
            Self::NewestThatMeetsRequire => "newest that meets require",
            Self::NewestProven => "newest proven set of its job",
            Self::UnprovenSinceRebuild => {
                "its row was rebuilt, and whether it was proven is not known; kept until \"mykeeper validate\" has \
                 proven it or a newer set of this job"
            }
            Self::Last => "keep.last",
            Self::Within => "keep.within",
            Self::Daily => "keep.daily",
            Self::Weekly => "keep.weekly",
            Self::Monthly => "keep.monthly",
            Self::Yearly => "keep.yearly",
            Self::MonthDays => "keep.month_days",
            Self::AllButDay => "keep.all_but_day",
            Self::Damaged => {
                "damaged here, and no newer set of this job is proven"
            }
            Self::NoNewerGoodSet => "no newer good set of this job",
            Self::OnlyWholeCopy => {
                "its other copies differ or are missing; kept until \"mykeeper transfer\" has mended one of them"
            }
            Self::CopiesNotSeen => {
                "its copies are not to be seen in the folders that they were sent to; kept until one is"
            }
            Self::PlaceAway => {
                "another copy of it here is on a disk that may not be mounted; kept until that is to be seen"
            }
            Self::NotArrivedEverywhere => "it has not arrived everywhere yet",
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
    /// It is damaged here, no rule keeps it, and a newer one is proven.
    DamagedAndSuperseded,
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
            Self::DamagedAndSuperseded => "damaged here, and a newer proven set exists",
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
    /// The destinations that it is still to be sent to from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed_to: Vec<DestinationName>,
}

impl Decision {
    /// Why it stays or goes, for people.
    pub fn why(&self) -> String {
        let reasons = match &self.verdict {
            Verdict::Keep(reasons) => reasons,
            Verdict::Condemn(reason) => return reason.to_string(),
        };
        let told = reasons.iter().map(|reason| match reason {
            KeepReason::NotArrivedEverywhere => {
                let names: Vec<&str> = self.owed_to.iter().map(DestinationName::as_str).collect();
                format!("it has not arrived at {} yet", names.join(", "))
            }
            reason => reason.to_string(),
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Whether it is kept whatever the rules say, and others may go since it stays.
    pub fn is_pinned(&self) -> bool {
        let pins = [
            KeepReason::NewestThatMeetsRequire,
            KeepReason::NewestProven,
            KeepReason::NoNewerGoodSet,
        ];
        is_good(&self.backup)
            && matches!(&self.verdict, Verdict::Keep(reasons) if reasons.iter().any(|reason| pins.contains(reason)))
    }
}

/// Whether a set that was planned to stay can still stand in for those that go: by the catalog it is all that it was.
/// What has been found of its copies since is asked apart from this.
pub fn still_serves(planned: &Backup, found: Option<&Backup>) -> bool {
    found.is_some_and(|found| {
        is_good(found)
            && (found.deletion == Deletion::None || found.deletion == planned.deletion)
            && (planned.validate_status != ValidateStatus::Passed || meets(found, Require::Validated))
            && (!planned.has_arrived() || found.has_arrived())
    })
}

fn is_good(backup: &Backup) -> bool {
    backup.is_complete() && backup.validate_status != ValidateStatus::Failed
}

fn meets(backup: &Backup, require: Require) -> bool {
    is_good(backup)
        && match require {
            Require::Complete => true,
            Require::Transferred => backup.has_arrived(),
            Require::Validated => backup.validate_status == ValidateStatus::Passed,
        }
}

/// Tag and job.
type Group = (String, Option<String>);

fn group_of(backup: &Backup) -> Group {
    let job = backup.job.as_ref().map(|job| job.as_str().to_owned());
    (backup.tag.clone(), job)
}

/// Judges every set. Sets compete only with those of the same tag and job; a set that is deleted is left out.
///
/// Newest first within a group, after sets that are half removed. Only good sets (complete, no failed proof, not
/// damaged) use up the counts of the policy. A set from the future uses up none and is newer than none: the newest of the others is kept
/// beside it.
pub fn plan_retention(sets: Vec<Backup>, policy: &KeepPolicy, context: &Context) -> Vec<Decision> {
    let mut groups: BTreeMap<Group, Vec<Backup>> = BTreeMap::new();
    // By job, since a promise is judged so, and by whether its folder is here: a copy elsewhere does not make up for the
    // newest that is here, nor the other way round.
    let mut newest_proven = BTreeMap::new();
    let mut decisions = Vec::new();
    for backup in sets
        .into_iter()
        .filter(|backup| backup.deletion != Deletion::Deleted)
    {
        if context.begun.contains(&backup.id) {
            let verdict = if context.busy.contains(&backup.id) {
                Verdict::Keep(vec![KeepReason::InUse])
            } else {
                Verdict::Condemn(CondemnReason::RemovalBegun)
            };
            decisions.push(context.decide(backup, verdict));
            continue;
        }
        let gone = context.gone.contains(&backup.id);
        if context.meets(&backup, Require::Validated) && (!gone || backup.has_arrived()) {
            // What may be half removed counts only where nothing whole does.
            let mine = (
                !context.may_be_half_removed(&backup),
                backup.dated_at(),
                backup.id,
            );
            let key = (group_of(&backup), gone, context.is_future(&backup));
            let newest = newest_proven.entry(key).or_insert(mine);
            *newest = mine.max(*newest);
        }
        groups.entry(group_of(&backup)).or_default().push(backup);
    }
    let newest_proven: BTreeSet<BackupId> = newest_proven.into_values().map(|(_, _, id)| id).collect();
    let groups = groups.into_values();
    decisions.extend(groups.flat_map(|group| judge_group(group, policy, context, &newest_proven)));
    decisions
}

/// The sets of a group, newest first, that are kept whatever the rules say.
#[derive(Default)]
struct Pinned {
    /// The newest that meets `require`.
    required: BTreeSet<BackupId>,
    /// The newest good one, where none meets `require` (nothing proves sets here, say).
    last_resort: BTreeSet<BackupId>,
    /// When the newest that is proven was started: what was proven before it may be forgotten.
    proven_at: Option<DateTime<Utc>>,
}

impl Pinned {
    /// Looked for among all, and among those that are not from the future: whichever clock was wrong, one is right.
    fn of(group: &[Backup], context: &Context) -> Self {
        let mut pinned = Self::default();
        for with_future in [true, false] {
            let present = |backup: &&Backup| {
                !context.gone.contains(&backup.id) && (with_future || !context.is_future(backup))
            };
            let whole = |backup: &&Backup| present(backup) && !context.may_be_half_removed(backup);
            // What may be half removed counts only where nothing whole does.
            let meets_require = group
                .iter()
                .filter(whole)
                .find(|b| context.meets(b, context.require));
            let required = meets_require.or_else(|| {
                group
                    .iter()
                    .filter(present)
                    .find(|b| context.meets(b, context.require))
            });
            pinned.required.extend(required.map(|b| b.id));
            if meets_require.is_none() {
                let good = group.iter().filter(whole).find(|b| context.is_good(b));
                pinned.last_resort.extend(good.map(|b| b.id));
            }
            // Ends with those that are not from the future.
            let proven = group
                .iter()
                .filter(whole)
                .find(|b| context.meets(b, Require::Validated));
            pinned.proven_at = proven.map(Backup::dated_at);
        }
        pinned
    }

    /// Whether it may be the last that was proven, for all that a rebuilt catalog knows.
    fn may_have_been_proven(&self, backup: &Backup, context: &Context) -> bool {
        backup.rebuilt_at.is_some()
            && context.is_good(backup)
            && backup.validate_status == ValidateStatus::NotTried
            && self
                .proven_at
                .is_none_or(|proven_at| proven_at < backup.dated_at())
    }
}

fn judge_group(
    mut group: Vec<Backup>,
    policy: &KeepPolicy,
    context: &Context,
    newest_proven: &BTreeSet<BackupId>,
) -> Vec<Decision> {
    group.sort_by_key(|backup| std::cmp::Reverse((backup.dated_at(), backup.id)));
    let pinned = Pinned::of(&group, context);
    let mut counters = Counters::new(policy, context);
    let (mut newer_good, mut newer_proven) = (false, false);
    group
        .into_iter()
        .map(|backup| {
            let gone = context.gone.contains(&backup.id);
            let mut reasons = Vec::new();
            if context.busy.contains(&backup.id) {
                reasons.push(KeepReason::InUse);
            }
            if pinned.required.contains(&backup.id) {
                reasons.push(KeepReason::NewestThatMeetsRequire);
            }
            if newest_proven.contains(&backup.id) {
                reasons.push(KeepReason::NewestProven);
            }
            let removal_begun = context.may_be_half_removed(&backup);
            let is_unproven = !removal_begun && pinned.may_have_been_proven(&backup, context);
            if is_unproven {
                reasons.push(KeepReason::UnprovenSinceRebuild);
            }
            let future = context.is_future(&backup);
            let good = context.is_good(&backup);
            // What is said of it besides being damaged is reason enough.
            let damaged = is_good(&backup) && !good;
            if good && !removal_begun && !gone && !future {
                reasons.extend(counters.rules_that_keep(&backup));
            } else if good && !removal_begun && (backup.has_arrived() || !gone) {
                // Its copy lies at its destination, or it is from the future: the rules hold for it, and it uses up
                // none of their counts here.
                reasons.extend(counters.clone().rules_that_keep(&backup));
            } else if damaged && !removal_begun {
                if !newer_proven {
                    reasons.push(KeepReason::Damaged);
                }
                if !gone {
                    // Another copy may mend it: a month, say, is not given up for what one disk has lost of it.
                    reasons.extend(counters.clone().rules_that_keep(&backup));
                }
            } else if !damaged && !newer_good && !removal_begun && !gone {
                // It may be all there is; and the latest failure is what people look at.
                reasons.push(KeepReason::NoNewerGoodSet);
            }
            if !good && !damaged && policy.failed && !removal_begun && !gone {
                reasons.extend(counters.clone().rules_that_keep(&backup));
            }
            // Also where a rule keeps it: others go since it stays, and whoever removes them looks whether it does.
            if pinned.last_resort.contains(&backup.id) {
                reasons.push(KeepReason::NoNewerGoodSet);
            }
            let is_lost = gone && !backup.has_arrived() && !is_unproven;
            let verdict = if is_lost && !context.busy.contains(&backup.id) {
                Verdict::Condemn(CondemnReason::GoneFromDisk)
            } else if gone && reasons.is_empty() {
                Verdict::Condemn(CondemnReason::NoRuleKeepsIt)
            } else if !reasons.is_empty() {
                Verdict::Keep(reasons)
            } else if removal_begun {
                Verdict::Condemn(CondemnReason::RemovalBegun)
            } else if !backup.is_complete() {
                Verdict::Condemn(CondemnReason::IncompleteAndSuperseded)
            } else if damaged {
                Verdict::Condemn(CondemnReason::DamagedAndSuperseded)
            } else if !is_good(&backup) {
                Verdict::Condemn(CondemnReason::FailedProofAndSuperseded)
            // Not of one that is not good: it would be held for a copy that is worth nothing.
            } else if context.only_whole.contains(&backup.id) {
                Verdict::Keep(vec![KeepReason::OnlyWholeCopy])
            } else if context.owed.contains_key(&backup.id) {
                Verdict::Keep(vec![KeepReason::NotArrivedEverywhere])
            } else {
                Verdict::Condemn(CondemnReason::NoRuleKeepsIt)
            };
            let counts = !gone && !removal_begun && !future;
            newer_good |= good && counts;
            newer_proven |= counts && context.meets(&backup, Require::Validated);
            context.decide(backup, verdict)
        })
        .collect()
}

#[cfg(test)]
mod tests;
