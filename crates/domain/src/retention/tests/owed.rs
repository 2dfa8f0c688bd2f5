//! Sets that a destination waits for.

use super::*;

#[test]
fn what_a_destination_waits_for_stays_unless_it_is_worth_nothing() {
    let mut sets = nightly(6);
    for (set, arrived) in sets.iter_mut().zip([true, true, false, true, false, false]) {
        set.transfer_complete = if arrived { "Y".into() } else { "N".into() };
    }
    sets[4].validate_status = ValidateStatus::Failed;
    let mut context = context(Require::Transferred);
    let near = DestinationName::new("near").unwrap();
    let vault = DestinationName::new("vault").unwrap();
    context.owed = BTreeMap::from([
        (sets[0].id, vec![near.clone()]),
        // Arrived at the first of its destinations.
        (sets[1].id, vec![near.clone()]),
        (sets[2].id, vec![near, vault.clone()]),
        (sets[4].id, vec![vault.clone()]),
        (sets[5].id, vec![vault.clone()]),
    ]);
    context.damaged.insert(sets[5].id);
    context.only_whole.extend([sets[3].id, sets[4].id]);
    sets[1].validate_status = ValidateStatus::Passed;
    sets[0].validate_status = ValidateStatus::Passed;
    let policy = KeepPolicy {
        last: Some(KeepCount::Newest(1)),
        ..KeepPolicy::default()
    };
    let plan = plan_retention(sets, &policy, &context);
    let told: Vec<String> = plan.iter().map(Decision::why).collect();
    assert_eq!(
        told,
        [
            "newest that meets require, newest proven set of its job, keep.last",
            "it has not arrived at near yet",
            "it has not arrived at near, vault yet",
            "its other copies differ or are missing; kept until \"mykeeper transfer\" has mended one of them",
            "its proof failed, and a newer good set exists",
            "damaged here, and a newer proven set exists",
        ]
    );
    assert!(!plan[1].is_pinned(), "others do not go for its sake");
}
