//! What `state_dir` takes on a full disk, and tells of a daemon that is gone.

use crate::NEVER;
use crate::notify::prune;
use mykeeper_e2e::*;
use rustix::process::Signal;

/// A workspace whose only job comes when a person calls it.
fn quiet_workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write_keeper("");
    workspace.write_schedule(&prune("p", "").replace("* * * * * *", NEVER));
    workspace
}

#[test]
fn on_a_full_disk_the_check_fails_and_no_daemon_is_taken_for_the_one_before_it() {
    let workspace = quiet_workspace();
    let Some(disk) = Tmpfs::or_skip(workspace.at("state"), "size=2m") else {
        return;
    };
    let catalog = workspace.at("catalog.db").display().to_string();
    workspace.write_keeper(&format!("[catalog]\nurl = \"sqlite:{catalog}\"\n"));
    let mut killed = workspace.daemon();
    killed.signal(Signal::KILL);
    killed.wait_end(LIMIT);
    disk.fill_bytes(0);
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("FAILED  state_dir")
        .assert_says("No space left on device");
    // What the killed one had said takes room that the next one needs.
    let mut living = workspace.daemon();
    let of_the_killed = format!("pid {}", killed.pid());
    for looks in ["jobs", "status", "check"] {
        let shown = workspace.mykeeper(&[looks]);
        assert!(!shown.said().contains(&of_the_killed), "{shown}");
    }
    disk.make_room();
    assert_eq!(living.stop(), Some(0), "{}", living.log());
}

#[test]
fn a_check_warns_where_a_daemon_has_run_and_runs_no_more_however_it_ended() {
    let workspace = quiet_workspace();
    workspace
        .mykeeper(&["check"])
        .assert_code(0)
        .assert_says("none has run on");
    let mut daemon = workspace.daemon();
    workspace
        .mykeeper(&["check"])
        .assert_code(0)
        .assert_says("runs since");
    assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("no daemon runs on")
        .assert_says("the last one stopped at 20");
    for looks in ["jobs", "status"] {
        workspace
            .mykeeper(&[looks])
            .assert_code(4)
            .assert_says("no daemon runs on");
    }
    // One that was killed, also before it could tell anything.
    let mut daemon = workspace.daemon();
    daemon.signal(Signal::KILL);
    daemon.wait_end(LIMIT);
    for _ in ["with what it told", "without"] {
        workspace
            .mykeeper(&["check"])
            .assert_code(4)
            .assert_says("no daemon runs on");
        drop(std::fs::remove_file(workspace.at("state/daemon.json")));
    }
}
