//! What `mykeeper import` makes of scripts, held against what the scripts remove, day by day.

use super::*;
use chrono::Days;
use proptest::prelude::*;
use std::path::Path;

/// A folder of a day: its name, and its time, which is that of the newest folder in it.
type Folders = BTreeMap<NaiveDate, DateTime<Utc>>;

const ZONE: Tz = Tz::Asia__Shanghai;

fn day_of(instant: DateTime<Utc>) -> NaiveDate {
    instant.with_timezone(&ZONE).date_naive()
}

/// `find ... ! -name "*-01" -mtime +N -exec rm -r {}`, and the keep rules that are written for it.
fn find_rule(days: u64) -> KeepPolicy {
    KeepPolicy {
        within: Some(Duration::from_secs((days + 2) * 86_400)),
        month_days: BTreeSet::from([1]),
        failed: true,
        ..KeepPolicy::default()
    }
}

fn find_removes(folders: &Folders, now: DateTime<Utc>, days: u64) -> Vec<NaiveDate> {
    let is_old = |time: DateTime<Utc>| (now - time).num_days() > i64::try_from(days).unwrap();
    let old = folders.iter().filter(|(_, time)| is_old(**time));
    old.map(|(day, _)| *day)
        .filter(|day| !day.to_string().ends_with("-01"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_an_imported_job_removes_the_script_would_have_removed(
        hours in prop::collection::vec((0..24_i64, 0..3_usize, any::<bool>(), 0..8_u8), 120),
        days in 1..40_u64,
        skipped in prop::collection::btree_set(0..120_usize, 0..9),
        require in prop::sample::select(vec![Require::Complete, Require::Transferred, Require::Validated]),
    ) {
        let day_ago = u32::try_from(days).unwrap();
        let policies = [
            find_rule(days),
            KeepPolicy { all_but_day: Some(day_ago), failed: true, ..KeepPolicy::default() },
        ];
        for (number, policy) in policies.iter().enumerate() {
            let mut due = DueDays::of(None, Path::new("/data"), policy);
            let mut removed_so_far = BTreeSet::new();
            let mut sets: Vec<Backup> = Vec::new();
            let mut folders = Folders::new();
            for (at_day, (hour, more, complete, state)) in hours.iter().enumerate() {
                let midnight = at("2026-01-01T16:00:00Z") + TimeDelta::days(i64::try_from(at_day).unwrap());
                for nth in 0..=*more {
                    let mut made = set(midnight + TimeDelta::hours(*hour) + TimeDelta::minutes(i64::try_from(nth).unwrap()));
                    made.complete = vec![*complete];
                    made.validate_status = ValidateStatus::ALL[usize::from(*state) % 3];
                    folders.insert(day_of(made.started_at), made.started_at);
                    sets.push(made);
                }
                // On some days neither runs; on the others, at the same instant.
                let now = midnight + TimeDelta::hours(23) + TimeDelta::minutes(30);
                if skipped.contains(&at_day) {
                    continue;
                }
                let removed = match number {
                    0 => find_removes(&folders, now, days),
                    _ => day_of(now).checked_sub_days(Days::new(days)).into_iter().collect(),
                };
                removed_so_far.extend(removed);
                due.come_to(day_of(now));
                let context = Context {
                    now,
                    zone: ZONE,
                    days: sets.iter().map(|set| (set.id, day_of(set.started_at))).collect(),
                    damaged: sets.iter().step_by(7).map(|set| set.id).collect(),
                    // In use on one day, and not on the next.
                    busy: sets.iter().skip(at_day % 3).step_by(3).map(|set| set.id).collect(),
                    due_days: due.days().clone(),
                    ..context(require)
                };
                let plan = plan_retention(sets.clone(), policy, &context);
                let gone: BTreeSet<BackupId> = plan
                    .iter()
                    .filter(|decision| matches!(decision.verdict, Verdict::Condemn(_)))
                    .map(|decision| decision.backup.id)
                    .collect();
                for set in sets.iter().filter(|set| gone.contains(&set.id)) {
                    let day = day_of(set.started_at);
                    prop_assert!(removed_so_far.contains(&day), "{day} is removed by {now}, and not by the script");
                }
                // What the script has removed stays for a reason, and not for the rule: no day is left for ever.
                let stay = plan.iter().filter(|decision| number == 1 && removed_so_far.contains(&day_of(decision.backup.started_at)));
                for decision in stay {
                    if let Verdict::Keep(reasons) = &decision.verdict {
                        prop_assert!(!reasons.contains(&KeepReason::AllButDay), "{reasons:?}");
                    }
                }
                due.forget_all_but(&sets.iter().map(|set| day_of(set.started_at)).collect());
                sets.retain(|set| !gone.contains(&set.id));
            }
            // It does remove: the job is no empty one.
            if days < 30 {
                prop_assert!(sets.len() < hours.iter().map(|(_, more, ..)| more + 1).sum());
            }
        }
    }
}
