//! The daemon killed outright, and two of everything.

use crate::dump_faults::wait_for_dump;
use crate::{ALL, NEVER, assert_run, backup_job, slow_workspace};
use mykeeper_e2e::*;
use rustix::process::Signal;
use std::time::Duration;

/// A job `slow`, due every second.
fn every_second() -> String {
    backup_job("slow", ALL, "missed = \"skip\"").replace(NEVER, "* * * * * *")
}

#[test]
fn nothing_outlives_a_killed_daemon_and_the_next_one_tells_what_was_lost() {
    let server = MariaDb::with_sample();
    let (workspace, link) = slow_workspace(&server, &every_second());
    let mut daemon = workspace.daemon();
    wait_for_dump(daemon.pid(), &workspace);
    let below = daemon.descendants();
    assert!(
        below.iter().any(|process| process.name == "mydumper"),
        "{below:?}"
    );
    daemon.signal(Signal::KILL);
    daemon.wait_end(LIMIT);
    wait_until(
        Duration::from_secs(30),
        "every child of the killed daemon ends",
        || below.iter().all(|process| !process.is_alive()).then_some(()),
    );
    let catalog = workspace.catalog();
    let lost = catalog.value("SELECT id FROM mk_run WHERE state = 'running'");
    assert!(!lost.is_empty(), "the run was not recorded before it began");
    // Nobody has settled it yet, and nobody is told that it runs.
    for command in ["runs", "jobs"] {
        let told = workspace.mykeeper(&[command]);
        told.assert_says("running?")
            .assert_says("no daemon lives, and its process has ended");
    }
    let told = workspace.mykeeper(&["runs", "--json"]).json();
    let run = told
        .as_array()
        .unwrap()
        .iter()
        .find(|run| run["id"] == lost.as_str());
    assert_eq!(run.unwrap()["lives"], serde_json::json!(false), "{told:#}");

    link.set_rate(0);
    let mut daemon = workspace.daemon();
    let run = workspace
        .runs()
        .into_iter()
        .find(|run| run["id"] == lost.as_str());
    assert_run(&run.expect("the lost run is in the catalog"), "interrupted", &[]);
    wait_until(
        LIMIT,
        &format!("the next slot's run succeeds\n{}", daemon.log()),
        || (catalog.value("SELECT COUNT(*) FROM mk_run WHERE state = 'succeeded'") != "0").then_some(()),
    );
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_second_daemon_on_one_state_dir_is_refused() {
    let workspace = Workspace::new();
    workspace.write_keeper("");
    workspace.write_schedule("");
    let mut first = workspace.daemon();
    let second = workspace.mykeeper(&["daemon"]);
    second
        .assert_code(3)
        .assert_says("another mykeeper daemon")
        .assert_says(&first.pid().to_string());
    assert_eq!(first.stop(), Some(0));
    let mut third = workspace.daemon();
    assert_eq!(third.stop(), Some(0));
}

#[test]
fn a_job_never_runs_beside_itself() {
    let server = MariaDb::with_sample();
    let (workspace, link) = slow_workspace(&server, &every_second());
    let mut daemon = workspace.daemon();
    wait_for_dump(daemon.pid(), &workspace);
    let beside = workspace.mykeeper(&["run", "slow"]);
    beside.assert_code(3).assert_says("running already");
    let dumps = daemon
        .descendants()
        .into_iter()
        .filter(|process| process.name == "mydumper")
        .count();
    assert_eq!(dumps, 1);
    let skipped = wait_until(LIMIT, "the slots that come meanwhile are skipped", || {
        workspace
            .runs()
            .into_iter()
            .find(|run| run["state"] == "skipped" && run["trigger"] == "schedule")
    });
    assert_run(&skipped, "skipped", &["overlap"]);
    link.set_rate(0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_run_in_the_foreground_that_is_killed_leaves_nothing_running() {
    let server = MariaDb::with_sample();
    let (workspace, _link) = slow_workspace(&server, &backup_job("nightly", ALL, ""));
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_dump(running.pid(), &workspace);
    let lives = &workspace.runs()[0]["lives"];
    assert_eq!(
        *lives,
        serde_json::json!(true),
        "a run that a command keeps lives"
    );
    let below = descendants_of(running.pid());
    running.signal(Signal::KILL);
    wait_until(
        Duration::from_secs(30),
        "every child of the killed command ends",
        || below.iter().all(|process| !process.is_alive()).then_some(()),
    );
    drop(running);
    let mut daemon = workspace.daemon();
    assert_run(&workspace.only_run_of("nightly"), "interrupted", &[]);
    assert_eq!(daemon.stop(), Some(0));
}
