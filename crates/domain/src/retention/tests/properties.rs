//! Whatever clock, policy and sets there are.

use super::*;
use proptest::prelude::*;

/// Some policies of which nothing can be expected, and one that keeps nothing by itself.
fn zero_policies() -> impl Strategy<Value = KeepPolicy> {
    let count = || {
        prop::option::of(prop::sample::select(vec![
            KeepCount::Newest(0),
            KeepCount::Newest(1),
            KeepCount::All,
        ]))
    };
    let within = prop::option::of((0..100_000_u64).prop_map(Duration::from_secs));
    (count(), within, count(), count(), count(), count()).prop_map(
        |(last, within, daily, weekly, monthly, yearly)| KeepPolicy {
            last,
            within,
            daily,
            weekly,
            monthly,
            yearly,
            ..KeepPolicy::default()
        },
    )
}

/// One set of whatever a wrong clock, a failure or a crash makes of it; and what is known of its folder.
fn any_set() -> impl Strategy<Value = (Backup, u8)> {
    let hours = prop_oneof![-2_000..2_000_i64, -400_000..600_000_i64, Just(-493_000), Just(0)];
    (hours, any::<bool>(), 0..3_usize, any::<bool>(), 0..3_u8, 0..7_u8).prop_map(
        |(hours, complete, validated, transferred, tag, state)| {
            let mut backup = set(at("2026-11-22T04:00:00Z") + TimeDelta::hours(hours));
            backup.complete = vec![complete];
            backup.validate_status = ValidateStatus::ALL[validated];
            backup.transfer_complete = if transferred { "N,Y".into() } else { "N".into() };
            backup.tag = format!("server {tag}");
            if (3..6).contains(&state) {
                backup.deletion = Deletion::Deleting;
            }
            (backup, state)
        },
    )
}

proptest! {
    #[test]
    fn whatever_clock_and_policy_the_newest_that_meets_require_stays(
        sets in prop::collection::vec(any_set(), 1..30),
        policy in zero_policies(),
        now_hours in prop_oneof![Just(0_i64), Just(-493_000), -400_000..600_000_i64],
        require in prop::sample::select(vec![Require::Complete, Require::Transferred, Require::Validated]),
    ) {
        let mut context = context(require);
        context.now += TimeDelta::hours(now_hours);
        for (set, state) in &sets {
            match state {
                3 => drop(context.untouched.insert(set.id)),
                4 => drop(context.begun.insert(set.id)),
                5 => drop(context.busy.insert(set.id)),
                6 => drop(context.damaged.insert(set.id)),
                _ => {}
            }
        }
        let sets: Vec<Backup> = sets.into_iter().map(|(set, _)| set).collect();
        let plan = plan_retention(sets.clone(), &policy, &context);
        prop_assert_eq!(plan.len(), sets.len());
        let kept: BTreeSet<BackupId> = plan
            .iter()
            .filter(|decision| matches!(decision.verdict, Verdict::Keep(_)))
            .map(|decision| decision.backup.id)
            .collect();
        for tag in ["server 0", "server 1", "server 2"] {
            let whole = |set: &&Backup| {
                set.tag == tag
                    && !context.begun.contains(&set.id)
                    && (set.deletion == Deletion::None || context.untouched.contains(&set.id))
            };
            let newest = |wanted: &dyn Fn(&Backup) -> bool| {
                sets.iter().filter(whole).filter(|set| wanted(set)).map(|set| (set.started_at, set.id)).max()
            };
            let not_ahead = |set: &Backup| set.started_at <= context.now + TimeDelta::days(1);
            let pinned = [
                newest(&|set| context.meets(set, require)),
                newest(&|set| context.meets(set, require) && not_ahead(set)),
                newest(&|set| context.meets(set, Require::Validated)),
                newest(&|set| context.meets(set, Require::Validated) && not_ahead(set)),
            ];
            for (_, id) in pinned.into_iter().flatten() {
                prop_assert!(kept.contains(&id));
            }
            if let Some(good) = newest(&|set| context.is_good(set)) {
                prop_assert!(
                    sets.iter().filter(whole).any(|set| context.is_good(set) && kept.contains(&set.id)),
                    "not one good set is left, {good:?} was there"
                );
            }
        }
        for decision in &plan {
            let id = decision.backup.id;
            if context.busy.contains(&id) {
                prop_assert!(matches!(decision.verdict, Verdict::Keep(_)));
            } else if context.begun.contains(&id) {
                prop_assert_eq!(&decision.verdict, &Verdict::Condemn(CondemnReason::RemovalBegun));
            }
        }
    }

    #[test]
    fn a_catalog_that_has_forgotten_its_proofs_does_not_cost_a_server_its_last_proven_set(
        sets in prop::collection::vec((any_set(), any::<bool>()), 1..30),
        policy in zero_policies(),
        now_hours in prop_oneof![Just(0_i64), -4_000..4_000_i64],
        require in prop::sample::select(vec![Require::Complete, Require::Transferred, Require::Validated]),
    ) {
        let mut context = context(require);
        context.now += TimeDelta::hours(now_hours);
        // What was true before the catalog was lost; and some are proven anew, as far as they can be.
        let known: Vec<Backup> = sets.iter().map(|((set, _), _)| set.clone()).collect();
        let rebuilt: Vec<Backup> = sets
            .into_iter()
            .map(|((mut set, _), proven_anew)| {
                set.deletion = Deletion::None;
                set.rebuilt_at = Some(context.now);
                if !proven_anew || set.validate_status == ValidateStatus::Failed {
                    set.validate_status = ValidateStatus::NotTried;
                }
                set
            })
            .collect();
        let plan = plan_retention(rebuilt.clone(), &policy, &context);
        let kept: BTreeSet<BackupId> = plan
            .iter()
            .filter(|decision| matches!(decision.verdict, Verdict::Keep(_)))
            .map(|decision| decision.backup.id)
            .collect();
        for set in known.iter().filter(|set| meets(set, Require::Validated)) {
            let newer_is_proven = rebuilt.iter().any(|other| {
                other.tag == set.tag && other.started_at >= set.started_at
                    && meets(other, Require::Validated) && kept.contains(&other.id)
            });
            prop_assert!(kept.contains(&set.id) || newer_is_proven, "{} is gone", set.started_at);
        }
    }

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
