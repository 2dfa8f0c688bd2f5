mod clock;
mod owed;
mod properties;
mod whole_months;

use super::*;
use std::time::Duration;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn set(started_at: DateTime<Utc>) -> Backup {
    let set: Backup = serde_json::from_str(include_str!("../../fixtures/set.json")).unwrap();
    Backup {
        id: BackupId::generate(),
        started_at,
        finished_at: started_at,
        ..set
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
        damaged: BTreeSet::new(),
        only_whole: BTreeSet::new(),
        days: BTreeMap::new(),
        due_days: BTreeSet::new(),
        owed: BTreeMap::new(),
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
fn the_last_proven_set_of_a_job_does_not_go_for_one_of_another_job() {
    let mut sets = nightly(4);
    for set in [1, 3] {
        sets[set].validate_status = ValidateStatus::Passed;
    }
    for set in [2, 3] {
        sets[set].job = Some(crate::ids::JobName::new("hourly").unwrap());
    }
    let policy = KeepPolicy {
        last: Some(KeepCount::Newest(1)),
        ..KeepPolicy::default()
    };
    assert_eq!(kept(sets, &policy, &context(Require::Complete)).len(), 4);
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

#[test]
fn a_damaged_set_costs_no_intact_one_its_place() {
    let mut sets = nightly(5);
    for set in [0, 2, 3] {
        sets[set].validate_status = ValidateStatus::Passed;
    }
    let mut context = context(Require::Validated);
    context.damaged.insert(sets[0].id);
    let policy = KeepPolicy {
        last: Some(KeepCount::Newest(1)),
        ..KeepPolicy::default()
    };
    let verdicts = |context: &Context| -> Vec<Verdict> {
        let plan = plan_retention(sets.clone(), &policy, context);
        assert!(
            plan.iter()
                .all(|decision| !decision.is_pinned() || !context.damaged.contains(&decision.backup.id))
        );
        plan.into_iter().map(|decision| decision.verdict).collect()
    };
    let no_rule = Verdict::Condemn(CondemnReason::NoRuleKeepsIt);
    // The newest is not the one that is proven, and stays: nothing newer is. The rule keeps it and another for it.
    let of_newest = verdicts(&context);
    assert_eq!(
        of_newest[0],
        Verdict::Keep(vec![KeepReason::Damaged, KeepReason::Last])
    );
    assert_eq!(of_newest[1], Verdict::Keep(vec![KeepReason::Last]));
    assert_eq!(
        of_newest[2],
        Verdict::Keep(vec![KeepReason::NewestThatMeetsRequire, KeepReason::NewestProven])
    );
    assert_eq!(of_newest[3..], [no_rule.clone(), no_rule]);
    // An older one goes, since one that is newer is proven and intact.
    context.damaged = BTreeSet::from([sets[3].id]);
    assert_eq!(
        verdicts(&context)[3],
        Verdict::Condemn(CondemnReason::DamagedAndSuperseded)
    );
    // Where all are damaged, all that may be all there is stay.
    context.damaged = sets.iter().map(|set| set.id).collect();
    assert!(
        verdicts(&context)
            .iter()
            .all(|verdict| *verdict == Verdict::Keep(vec![KeepReason::Damaged, KeepReason::Last]))
    );
}

#[test]
fn a_month_is_not_given_up_for_what_one_disk_has_lost_of_it() {
    let mut sets = nightly(60);
    sets[0].validate_status = ValidateStatus::Passed;
    let mut context = context(Require::Complete);
    // The last of October: it stays for the copies of it that may mend it, and what stands in for it does, too.
    context.damaged.insert(sets[22].id);
    let policy = KeepPolicy {
        monthly: Some(KeepCount::Newest(2)),
        ..KeepPolicy::default()
    };
    assert_eq!(kept(sets, &policy, &context), ["11-22", "10-31", "10-30"]);
}

#[test]
fn days_of_the_month_are_kept_by_start_and_by_folder() {
    let sets = nightly(60);
    let mut context = context(Require::Complete);
    // Of the second by its start, of the first by its folder: the script began before midnight.
    let late = sets
        .iter()
        .find(|set| set.started_at == at("2026-10-02T04:00:00Z"))
        .unwrap();
    context.days.insert(late.id, "2026-10-01".parse().unwrap());
    let policy = KeepPolicy {
        month_days: BTreeSet::from([1, 15]),
        ..KeepPolicy::default()
    };
    assert_eq!(
        kept(sets, &policy, &context),
        ["11-22", "11-15", "11-01", "10-15", "10-02", "10-01"]
    );
}

#[test]
fn all_but_one_day_are_kept_by_their_folders() {
    let sets = nightly(6);
    let mut context = context(Require::Complete);
    context.days = sets
        .iter()
        .map(|set| (set.id, set.started_at.date_naive()))
        .collect();
    // One that lies in no day's folder is of no day.
    context.days.remove(&sets[3].id);
    let policy = |days| KeepPolicy {
        all_but_day: Some(days),
        ..KeepPolicy::default()
    };
    let mut kept_for = |days, due: &[&str]| {
        context.due_days = due.iter().map(|day| day.parse().unwrap()).collect();
        kept(sets.clone(), &policy(days), &context)
    };
    assert_eq!(kept_for(3, &["2026-11-19"]).len(), 6);
    assert_eq!(
        kept_for(2, &["2026-11-20"]),
        ["11-22", "11-21", "11-19", "11-18", "11-17"]
    );
    // Whatever day it is, where no run has come to it none goes.
    assert_eq!(kept_for(2, &[]).len(), 6);
    // What an earlier run has come to goes when it can. Today's newest stays whatever is said.
    assert_eq!(
        kept_for(2, &["2026-11-17", "2026-11-20", "2026-11-22"]),
        ["11-22", "11-21", "11-19", "11-18"]
    );
}

#[test]
fn a_day_that_was_come_to_stays_due_until_its_folder_is_empty_or_the_policy_another() {
    let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
    let keep = |days| KeepPolicy {
        all_but_day: Some(days),
        ..KeepPolicy::default()
    };
    let directory = std::path::Path::new("/data");
    let mut due = DueDays::of(None, directory, &keep(2));
    due.come_to(day("2026-03-01"));
    due.come_to(day("2026-03-02"));
    let of = |days: &[&str]| -> BTreeSet<NaiveDate> { days.iter().map(|text| day(text)).collect() };
    assert_eq!(*due.days(), of(&["2026-02-27", "2026-02-28"]));
    due.forget_all_but(&of(&["2026-02-27", "2026-03-01"]));
    assert_eq!(*due.days(), of(&["2026-02-27"]));
    let read = serde_json::from_str(&serde_json::to_string(&due).unwrap()).unwrap();
    assert_eq!(DueDays::of(Some(read), directory, &keep(2)), due);
    // Under another policy, or in another directory, the job has not come to that day.
    for (directory, keep) in [("/data", keep(3)), ("/other", keep(2))] {
        let anew = DueDays::of(Some(due.clone()), std::path::Path::new(directory), &keep);
        assert!(anew.days().is_empty());
    }
}

#[test]
fn failed_sets_stay_as_long_as_good_ones_where_that_is_asked_for() {
    let mut sets = nightly(4);
    sets[1].complete = vec![false];
    sets[2].validate_status = ValidateStatus::Failed;
    sets[3].complete = vec![false];
    let mut policy = KeepPolicy {
        within: Some(Duration::from_secs(60 * 3600)),
        ..KeepPolicy::default()
    };
    let context = context(Require::Complete);
    assert_eq!(kept(sets.clone(), &policy, &context), ["11-22"]);
    policy.failed = true;
    assert_eq!(kept(sets, &policy, &context), ["11-22", "11-21", "11-20"]);
}
