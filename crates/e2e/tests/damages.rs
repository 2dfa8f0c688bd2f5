//! The damage suite's short form: of each kind of damage the one that tells most, and a good set. The long form is
//! `deploy/test.sh --damages`.
#![expect(clippy::expect_used, reason = "a test ends where its stage does not stand")]

use mykeeper_e2e::damage::{Damage, Plan, damage_of, damages, run, table};
use std::collections::BTreeSet;

/// Of a run that is to be had again: `deploy/test.sh --damages --seed S --only DAMAGE`.
const SEED: u64 = 20_261_123;

/// Whatever witness is disarmed, the last one that must find a damage does.
const SHORT: [&str; 13] = [
    "flip-data",
    "cut-member",
    "no-view",
    "wrong-position",
    "swap-databases",
    "row-removed",
    "row-doubled-keyless",
    "value-digit-gz",
    "column-order",
    "foreign-key-dropped",
    "trigger-dropped",
    "view-definer",
    "trigger-collation",
];

#[track_caller]
fn are_found(names: &[&str]) {
    let find = |name: &&str| damage_of(name).expect("a damage of the suite");
    let plan = Plan {
        seed: SEED,
        damages: names.iter().map(find).collect(),
        every_good_set: false,
    };
    let report = run(&plan, &|_| {});
    let missed: Vec<&String> = report
        .findings
        .iter()
        .filter(|finding| finding.missed)
        .map(|finding| &finding.words)
        .collect();
    assert!(report.is_clean(), "{}\n{missed:#?}", table(&report));
    assert_eq!(report.findings.len(), names.len());
    assert!(!report.good.is_empty(), "a good set was judged, too");
}

#[test]
fn a_damaged_set_never_passes_and_a_good_one_does() {
    are_found(&SHORT);
}

#[test]
fn damages_have_names_of_their_own_and_are_many() {
    let all = damages();
    let names: BTreeSet<&str> = all.iter().map(|damage: &Damage| damage.name).collect();
    assert_eq!(names.len(), all.len(), "two damages bear one name");
    assert!(all.len() >= 60, "{} damages", all.len());
}
