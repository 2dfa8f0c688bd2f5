//! The fault suite's short form: each fault once or a few times, then the audit. The long form is
//! `deploy/test.sh --faults`.
#![expect(clippy::expect_used, reason = "a test ends where its stage does not stand")]

use mykeeper_e2e::faults::{Plan, fault, run, table};

/// Of a run that is to be had again: `deploy/test.sh --faults --seed S --iterations N --only FAULT`.
const SEED: u64 = 20_261_122;

#[track_caller]
fn nothing_comes_of(name: &str, iterations: u32) {
    let plan = Plan {
        iterations,
        seed: SEED,
    };
    let outcome = run(fault(name).expect("a fault of the suite"), plan);
    assert!(
        outcome.is_clean(),
        "{}\n{}\n{}\nkept for a look: {:?}",
        outcome.broken.clone().unwrap_or_default(),
        outcome.findings.all().join("\n"),
        table(std::slice::from_ref(&outcome)),
        outcome.kept
    );
    assert!(
        outcome.injected > 0 || outcome.skipped.is_some(),
        "nothing was injected"
    );
}

#[test]
fn the_daemon_killed_again_and_again_loses_nothing() {
    nothing_comes_of("kill-daemon", 6);
}

#[test]
fn the_daemon_killed_over_a_mariadb_catalog_loses_nothing() {
    nothing_comes_of("kill-daemon-mariadb", 4);
}

#[test]
fn tools_killed_at_work_leave_no_wrong_verdict() {
    nothing_comes_of("kill-tools", 1);
}

#[test]
fn a_catalog_that_goes_away_loses_nothing() {
    nothing_comes_of("catalog", 1);
}

#[test]
fn a_bad_network_leaves_no_copy_that_is_not_whole() {
    nothing_comes_of("network", 1);
}

#[test]
fn a_full_disk_of_sets_loses_nothing() {
    nothing_comes_of("disk-sets", 1);
}

#[test]
fn a_full_disk_of_state_loses_nothing() {
    nothing_comes_of("disk-state", 1);
}

#[test]
fn a_full_disk_of_the_sandbox_condemns_no_set() {
    nothing_comes_of("disk-sandbox", 1);
}

#[test]
fn steps_of_the_clock_lose_no_slot_and_fire_none_twice() {
    nothing_comes_of("clock-steps", 1);
}

#[test]
fn on_days_on_which_the_clock_changes_each_slot_comes_once() {
    nothing_comes_of("clock-changes", 1);
}

#[test]
fn a_suspended_daemon_takes_up_where_it_was() {
    nothing_comes_of("suspended", 1);
}

#[test]
fn a_server_that_fails_in_mid_dump_leaves_no_set_that_is_wrongly_complete() {
    nothing_comes_of("source", 1);
}

#[test]
fn a_daemon_short_of_descriptors_and_of_room_goes_on() {
    nothing_comes_of("limits", 1);
}
