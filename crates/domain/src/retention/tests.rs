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
        lock_waited_ms: None,
        lock_held_ms: None,
        rebuilt_at: None,
        selected_by: None,
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
        untouched: BTreeSet::new(),
        begun: BTreeSet::new(),
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
fn where_no_set_meets_require_the_newest_good_one_is_pinned_although_a_rule_keeps_it_too() {
    let policy = KeepPolicy {
        last: Some(KeepCount::Newest(2)),
        ..KeepPolicy::default()
    };
    let plan = plan_retention(nightly(3), &policy, &context(Require::Validated));
    let pinned: Vec<bool> = plan.iter().map(Decision::is_pinned).collect();
    assert_eq!(pinned, [true, false, false]);
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

#[test]
fn a_mark_on_a_set_of_which_nothing_is_gone_is_no_reason_to_remove_it() {
    let mut sets = nightly(3);
    for set in &mut sets {
        set.deletion = Deletion::Deleting;
    }
    let mut context = context(Require::Complete);
    context.untouched.extend(sets.iter().map(|set| set.id));
    let policy = KeepPolicy {
        last: Some(KeepCount::Newest(2)),
        ..KeepPolicy::default()
    };
    let plan = plan_retention(sets, &policy, &context);
    assert!(matches!(plan[1].verdict, Verdict::Keep(_)));
    assert_eq!(plan[2].verdict, Verdict::Condemn(CondemnReason::NoRuleKeepsIt));
}

#[test]
fn what_is_half_removed_goes_whatever_the_policy_says_and_shields_nothing() {
    let mut sets = nightly(3);
    sets[0].deletion = Deletion::Deleting;
    let mut context = context(Require::Complete);
    context.begun.insert(sets[0].id);
    let all = KeepPolicy {
        last: Some(KeepCount::All),
        ..KeepPolicy::default()
    };
    let plan = plan_retention(sets.clone(), &all, &context);
    assert_eq!(plan[0].verdict, Verdict::Condemn(CondemnReason::RemovalBegun));
    assert_eq!(plan[0].backup.id, sets[0].id);
    let none = KeepPolicy::default();
    assert_eq!(kept(sets.clone(), &none, &context), ["11-21"]);
    context.busy.insert(sets[0].id);
    assert_eq!(kept(sets, &none, &context), ["11-22", "11-21"]);
}

#[test]
fn a_set_from_the_future_does_not_cost_the_real_ones_their_place() {
    let mut sets = nightly(5);
    let mut wrong = set(at("2099-01-01T04:00:00Z"));
    wrong.validate_status = ValidateStatus::Passed;
    sets.push(wrong);
    sets.push(set(at("1970-01-01T00:00:07Z")));
    sets[1].validate_status = ValidateStatus::Passed;
    let policy = KeepPolicy {
        last: Some(KeepCount::Newest(1)),
        ..KeepPolicy::default()
    };
    assert_eq!(
        kept(sets, &policy, &context(Require::Validated)),
        ["01-01", "11-22", "11-21"]
    );
}

#[test]
fn what_a_rebuilt_catalog_does_not_know_as_proven_is_not_given_up_before_a_new_proof() {
    let mut sets = nightly(5);
    for set in &mut sets[1..] {
        set.rebuilt_at = Some(at("2026-11-21T12:00:00Z"));
    }
    sets[3].complete = vec![false];
    let policy = KeepPolicy {
        last: Some(KeepCount::Newest(1)),
        ..KeepPolicy::default()
    };
    let context = context(Require::Complete);
    let plan = plan_retention(sets.clone(), &policy, &context);
    for at in [1, 2, 4] {
        let expected = Verdict::Keep(vec![KeepReason::UnprovenSinceRebuild]);
        assert_eq!(plan[at].verdict, expected, "{at}");
    }
    // What is not complete was no proven set either.
    assert_eq!(
        plan[3].verdict,
        Verdict::Condemn(CondemnReason::IncompleteAndSuperseded)
    );
    // An older one that is proven anew frees what is older still; one of another job frees nothing.
    sets[2].validate_status = ValidateStatus::Passed;
    assert_eq!(kept(sets.clone(), &policy, &context), ["11-22", "11-21", "11-20"]);
    sets[2].job = Some("other".parse().unwrap());
    assert_eq!(
        kept(sets.clone(), &policy, &context),
        ["11-22", "11-21", "11-18", "11-20"]
    );
    sets[2].job = None;
    sets[0].validate_status = ValidateStatus::Passed;
    assert_eq!(kept(sets, &policy, &context), ["11-22"]);
}

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
        },
    )
}

/// One set of whatever a wrong clock, a failure or a crash makes of it; and what is known of its folder.
fn any_set() -> impl Strategy<Value = (Backup, u8)> {
    let hours = prop_oneof![-2_000..2_000_i64, -400_000..600_000_i64, Just(-493_000), Just(0)];
    (hours, any::<bool>(), 0..3_usize, any::<bool>(), 0..3_u8, 0..6_u8).prop_map(
        |(hours, complete, validated, transferred, tag, state)| {
            let mut backup = set(at("2026-11-22T04:00:00Z") + TimeDelta::hours(hours));
            backup.complete = vec![complete];
            backup.validate_status = ValidateStatus::ALL[validated];
            backup.transfer_complete = if transferred { "N,Y".into() } else { "N".into() };
            backup.tag = format!("server {tag}");
            if state >= 3 {
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
                newest(&|set| meets(set, require)),
                newest(&|set| meets(set, require) && not_ahead(set)),
                newest(&|set| meets(set, Require::Validated)),
                newest(&|set| meets(set, Require::Validated) && not_ahead(set)),
            ];
            for (_, id) in pinned.into_iter().flatten() {
                prop_assert!(kept.contains(&id));
            }
            if let Some(good) = newest(&is_good) {
                prop_assert!(
                    sets.iter().filter(whole).any(|set| is_good(set) && kept.contains(&set.id)),
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
