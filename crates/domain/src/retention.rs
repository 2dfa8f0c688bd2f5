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
    /// There is no newer good one: it may be all there is, whether it is good itself or not.
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
    // By server, and by whether its folder is here: a copy elsewhere does not make up for the newest that is here,
    // nor the other way round.
    let mut newest_proven: BTreeMap<(String, bool), (bool, DateTime<Utc>, BackupId)> = BTreeMap::new();
    for backup in sets
        .into_iter()
        .filter(|backup| backup.deletion != Deletion::Deleted)
    {
        let gone = context.gone.contains(&backup.id);
        if meets(&backup, Require::Validated) && (!gone || backup.is_transferred()) {
            // What may be half removed counts only where nothing whole does.
            let mine = (backup.deletion == Deletion::None, backup.started_at, backup.id);
            let newest = newest_proven.entry((backup.tag.clone(), gone)).or_insert(mine);
            *newest = (*newest).max(mine);
        }
        let key = (
            backup.tag.clone(),
            backup.job.as_ref().map(|job| job.as_str().to_owned()),
        );
        groups.entry(key).or_default().push(backup);
    }
    let newest_proven: BTreeSet<BackupId> = newest_proven.into_values().map(|(_, _, id)| id).collect();
    groups
        .into_values()
        .flat_map(|group| judge_group(group, policy, context, &newest_proven))
        .collect()
}

fn judge_group(
    mut group: Vec<Backup>,
    policy: &KeepPolicy,
    context: &Context,
    newest_proven: &BTreeSet<BackupId>,
) -> Vec<Decision> {
    group.sort_by_key(|backup| std::cmp::Reverse((backup.started_at, backup.id)));
    let present = |backup: &&Backup| !context.gone.contains(&backup.id);
    let whole = |backup: &&Backup| present(backup) && backup.deletion == Deletion::None;
    // What may be half removed counts only where nothing whole does.
    let newest_required = group
        .iter()
        .filter(whole)
        .find(|b| meets(b, context.require))
        .or_else(|| group.iter().filter(present).find(|b| meets(b, context.require)))
        .map(|b| b.id);
    // Where none meets `require` (nothing proves sets here, say), the newest good one is what there is.
    let last_resort = match newest_required {
        Some(_) => None,
        None => group.iter().filter(whole).find(|b| is_good(b)).map(|b| b.id),
    };
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
            } else if is_good(&backup) && !removal_begun && backup.is_transferred() {
                // Its copy lies at its destination: the rules hold for it, and it uses up none of their counts here.
                reasons.extend(counters.clone().rules_that_keep(&backup));
            } else if !newer_good && !removal_begun && !gone {
                // It may be all there is; and the latest failure is what people look at.
                reasons.push(KeepReason::NoNewerGoodSet);
            }
            if reasons.is_empty() && Some(backup.id) == last_resort {
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
#[derive(Clone)]
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

    fn rules_that_keep(&mut self, backup: &Backup) -> Vec<KeepReason> {
        let mut reasons = Vec::new();
        if let Some(count) = self.last
            && within_count(count, self.last_used)
        {
            self.last_used += 1;
            reasons.push(KeepReason::Last);
        }
        if self
            .within
            .is_some_and(|within| self.context.now - backup.started_at <= within)
        {
            reasons.push(KeepReason::Within);
        }
        let day = backup.started_at.with_timezone(&self.context.zone).date_naive();
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
        reasons
    }
}

fn within_count(count: KeepCount, used: u32) -> bool {
    match count {
        KeepCount::All => true,
        KeepCount::Newest(limit) => used < limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::LOCAL_BACKUP;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn set(started_at: DateTime<Utc>) -> Backup {
        Backup {
            id: BackupId::generate(),
            node: None,
            job: None,
            run_id: None,
            bk_server: "10.0.0.1".into(),
            tag: "shop".into(),
            started_at,
            finished_at: started_at,
            elapsed_seconds: 0,
            databases: vec!["shop".into()],
            complete: vec![true],
            reason: None,
            size_bytes: Some(1),
            size_text: "1K".into(),
            dir: "/data".into(),
            consistency: None,
            transfer_to: vec![],
            transfer_started_at: None,
            transfer_finished_at: None,
            transfer_complete: LOCAL_BACKUP.into(),
            remote_dest: LOCAL_BACKUP.into(),
            master_status: String::new(),
            slave_status: String::new(),
            tool_version: String::new(),
            server_version: String::new(),
            pybackup_version: String::new(),
            command: String::new(),
            deletion: Deletion::None,
            deletion_reason: None,
            validate_status: ValidateStatus::NotTried,
            manifest_blake3: None,
        }
    }

    fn nightly(days: i64) -> Vec<Backup> {
        (0..days)
            .map(|day| set(at("2026-11-22T04:00:00Z") - TimeDelta::days(day)))
            .collect()
    }

    fn context(require: Require) -> Context {
        Context {
            now: at("2026-11-22T07:30:00Z"),
            zone: Tz::UTC,
            require,
            busy: BTreeSet::new(),
            gone: BTreeSet::new(),
        }
    }

    fn kept(sets: Vec<Backup>, policy: &KeepPolicy, context: &Context) -> Vec<String> {
        plan_retention(sets, policy, context)
            .into_iter()
            .filter(|decision| matches!(decision.verdict, Verdict::Keep(_)))
            .map(|decision| decision.backup.started_at.format("%m-%d").to_string())
            .collect()
    }

    #[test]
    fn the_rules_add_up() {
        let policy = KeepPolicy {
            last: Some(KeepCount::Newest(1)),
            daily: Some(KeepCount::Newest(3)),
            weekly: Some(KeepCount::Newest(2)),
            monthly: Some(KeepCount::Newest(2)),
            ..KeepPolicy::default()
        };
        // 22 November 2026 is a Sunday: the ISO week before ends on the 15th, the month before on 31 October.
        assert_eq!(
            kept(nightly(40), &policy, &context(Require::Complete)),
            ["11-22", "11-21", "11-20", "11-15", "10-31"]
        );
    }

    #[test]
    fn a_policy_that_keeps_nothing_keeps_the_newest_that_meets_require() {
        let mut sets = nightly(5);
        sets[3].validate_status = ValidateStatus::Passed;
        let none = KeepPolicy {
            last: Some(KeepCount::Newest(0)),
            ..KeepPolicy::default()
        };
        assert_eq!(kept(sets.clone(), &none, &context(Require::Validated)), ["11-19"]);
        // Whatever `require` says, the newest proven set of a server stays.
        assert_eq!(kept(sets, &none, &context(Require::Complete)), ["11-22", "11-19"]);
    }

    #[test]
    fn failed_sets_use_up_no_count_and_go_when_a_good_one_is_newer() {
        let mut sets = nightly(4);
        sets[0].complete = vec![false];
        sets[2].complete = vec![true, false];
        sets[3].validate_status = ValidateStatus::Failed;
        let policy = KeepPolicy {
            last: Some(KeepCount::Newest(1)),
            ..KeepPolicy::default()
        };
        let plan = plan_retention(sets, &policy, &context(Require::Complete));
        let verdicts: Vec<&Verdict> = plan.iter().map(|decision| &decision.verdict).collect();
        assert_eq!(verdicts[0], &Verdict::Keep(vec![KeepReason::NoNewerGoodSet]));
        assert_eq!(
            verdicts[1],
            &Verdict::Keep(vec![KeepReason::NewestThatMeetsRequire, KeepReason::Last])
        );
        assert_eq!(
            verdicts[2],
            &Verdict::Condemn(CondemnReason::IncompleteAndSuperseded)
        );
        assert_eq!(
            verdicts[3],
            &Verdict::Condemn(CondemnReason::FailedProofAndSuperseded)
        );
    }

    #[test]
    fn servers_do_not_compete_with_each_other() {
        let mut sets = nightly(2);
        sets[1].tag = "audit".into();
        let policy = KeepPolicy {
            last: Some(KeepCount::Newest(1)),
            ..KeepPolicy::default()
        };
        assert_eq!(kept(sets, &policy, &context(Require::Complete)).len(), 2);
    }

    #[test]
    fn the_newest_proven_set_stays_although_its_removal_had_begun() {
        let mut sets = nightly(2);
        sets[1].validate_status = ValidateStatus::Passed;
        sets[1].deletion = Deletion::Deleting;
        let policy = KeepPolicy {
            last: Some(KeepCount::Newest(1)),
            ..KeepPolicy::default()
        };
        assert_eq!(kept(sets, &policy, &context(Require::Complete)).len(), 2);
    }

    #[test]
    fn a_whole_set_is_not_given_up_for_one_that_may_be_half_removed() {
        let mut sets = nightly(3);
        for set in &mut sets[1..] {
            set.validate_status = ValidateStatus::Passed;
        }
        sets[0].validate_status = ValidateStatus::Failed;
        sets[1].deletion = Deletion::Deleting;
        let none = KeepPolicy {
            last: Some(KeepCount::Newest(0)),
            ..KeepPolicy::default()
        };
        let kept = kept(sets, &none, &context(Require::Validated));
        assert!(kept.contains(&"11-20".to_owned()), "{kept:?}");
    }

    #[test]
    fn where_no_set_meets_require_the_newest_good_one_stays() {
        let policy = KeepPolicy {
            within: Some(Duration::from_secs(3600)),
            ..KeepPolicy::default()
        };
        let mut sets = nightly(4);
        sets[0].complete = vec![false];
        for require in [Require::Validated, Require::Transferred] {
            assert_eq!(kept(sets.clone(), &policy, &context(require)), ["11-22", "11-21"]);
        }
    }

    #[test]
    fn a_set_in_use_stays() {
        let sets = nightly(3);
        let busy = sets[2].id;
        let mut context = context(Require::Complete);
        context.busy.insert(busy);
        let policy = KeepPolicy {
            last: Some(KeepCount::Newest(1)),
            ..KeepPolicy::default()
        };
        assert_eq!(kept(sets, &policy, &context), ["11-22", "11-20"]);
    }

    #[test]
    fn days_are_those_of_the_jobs_zone() {
        // 23:30 and 00:30 in Shanghai are the same day in UTC.
        let sets = vec![set(at("2026-11-20T15:30:00Z")), set(at("2026-11-20T16:30:00Z"))];
        let policy = KeepPolicy {
            daily: Some(KeepCount::All),
            ..KeepPolicy::default()
        };
        let mut context = context(Require::Complete);
        assert_eq!(kept(sets.clone(), &policy, &context).len(), 1);
        context.zone = Tz::Asia__Shanghai;
        assert_eq!(kept(sets, &policy, &context).len(), 2);
    }

    #[test]
    fn a_set_that_is_gone_here_and_lies_at_its_destination_is_kept_as_the_rules_say() {
        let mut sets = nightly(5);
        for set in &mut sets {
            set.transfer_complete = "Y".into();
        }
        sets[4].validate_status = ValidateStatus::Passed;
        sets[3].validate_status = ValidateStatus::Passed;
        let mut context = context(Require::Complete);
        context.gone.extend([sets[1].id, sets[3].id]);
        let policy = KeepPolicy {
            last: Some(KeepCount::Newest(2)),
            ..KeepPolicy::default()
        };
        // The 21st is within the last two and uses up none of them; the 19th and the 18th are the newest proven sets,
        // there and here.
        assert_eq!(
            kept(sets, &policy, &context),
            ["11-22", "11-21", "11-20", "11-19", "11-18"]
        );
    }

    #[test]
    fn a_set_that_is_gone_and_was_sent_nowhere_is_condemned_as_such() {
        let sets = nightly(2);
        let mut context = context(Require::Complete);
        context.gone.insert(sets[0].id);
        let policy = KeepPolicy {
            last: Some(KeepCount::All),
            ..KeepPolicy::default()
        };
        let plan = plan_retention(sets, &policy, &context);
        assert_eq!(plan[0].verdict, Verdict::Condemn(CondemnReason::GoneFromDisk));
        assert!(matches!(plan[1].verdict, Verdict::Keep(_)));
    }

    proptest! {
        #[test]
        fn the_newest_that_meets_require_is_never_condemned(
            flags in prop::collection::vec((any::<bool>(), 0..3_usize, any::<bool>(), 0..4000_i64), 1..40),
            last in 0..3_u32,
            days_ahead in -4000..4000_i64,
            require in prop::sample::select(vec![Require::Complete, Require::Transferred, Require::Validated]),
        ) {
            let sets: Vec<Backup> = flags
                .iter()
                .map(|(complete, validated, transferred, age)| {
                    let mut backup = set(at("2026-11-22T04:00:00Z") - TimeDelta::hours(*age));
                    backup.complete = vec![*complete];
                    backup.validate_status = ValidateStatus::ALL[*validated];
                    backup.transfer_complete = if *transferred { "N,Y".into() } else { "N".into() };
                    backup
                })
                .collect();
            let mut context = context(require);
            context.now += TimeDelta::days(days_ahead);
            let policy = KeepPolicy { last: Some(KeepCount::Newest(last)), ..KeepPolicy::default() };
            let newest = |require| sets.iter().filter(|b| meets(b, require)).map(|b| (b.started_at, b.id)).max();
            let expected: Vec<BackupId> =
                [newest(require), newest(Require::Validated)].into_iter().flatten().map(|(_, id)| id).collect();
            let plan = plan_retention(sets.clone(), &policy, &context);
            prop_assert_eq!(plan.len(), sets.len());
            for decision in plan {
                if expected.contains(&decision.backup.id) {
                    prop_assert!(matches!(decision.verdict, Verdict::Keep(_)));
                }
            }
        }
    }
}
