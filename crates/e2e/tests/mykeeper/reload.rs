//! SIGHUP: both files are read again.

use crate::{NEVER, backup_job, text};
use mykeeper_e2e::*;
use rustix::process::Signal;

fn succeeded(workspace: &Workspace, job: &str) -> usize {
    let sql = format!("SELECT COUNT(*) FROM mk_run WHERE job = '{job}' AND state = 'succeeded'");
    workspace.catalog().value(&sql).parse().unwrap_or(0)
}

fn prune(name: &str, cron: &str) -> String {
    format!("[retention.{name}]\ncron = \"{cron}\"\ndirectory = \"{{sets}}\"\nkeep = {{ last = 1 }}\n\n")
}

#[test]
fn sighup_takes_up_new_jobs_drops_removed_ones_and_leaves_running_ones_alone() {
    let source = MariaDb::with_sample();
    // Through a slow link a dump takes half a minute, or until the link is made fast.
    let link = TcpProxy::to(source.port());
    link.set_rate(100_000);
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server_over_tcp("shop", &source, link.port(), "pw"));
    let every_second = "* * * * * *";
    let slow = backup_job("slow", r#"["shop"]"#, "").replace(NEVER, every_second);
    workspace.write_schedule(&format!("{slow}{}", prune("old", every_second)));
    let mut daemon = workspace.daemon();
    wait_until(LIMIT, "the job 'old' runs", || {
        (succeeded(&workspace, "old") > 0).then_some(())
    });
    let dumping = |daemon: &Daemon| {
        daemon
            .descendants()
            .into_iter()
            // Not the one that is asked its version, nor the shim.
            .find(|process| process.name == "mydumper" && process.command_line().contains("--outputdir"))
    };
    let dump = wait_until(LIMIT, "a dump runs", || dumping(&daemon));

    wait_until(LIMIT, "the service manager is told that something runs", || {
        let told = daemon.notifications();
        let runs = |line: &String| line.contains(" under way") && !line.contains(" 0 runs under way");
        told.iter().any(runs).then_some(())
    });

    // The running job is removed too: what runs goes on, what is to come does not.
    workspace.write_schedule(&prune("new", every_second));
    daemon.reload();
    assert!(daemon.notified("RELOADING=1"), "{:?}", daemon.notifications());
    wait_until(LIMIT, "the job 'new' runs", || {
        (succeeded(&workspace, "new") > 0).then_some(())
    });
    let old = succeeded(&workspace, "old");
    assert!(dump.is_alive(), "the reload ended a running dump");
    link.set_rate(0);
    wait_until(
        LIMIT,
        &format!("the running dump ends well\n{}", daemon.log()),
        || (succeeded(&workspace, "slow") > 0).then_some(()),
    );
    let new = succeeded(&workspace, "new");
    wait_until(LIMIT, "the job 'new' goes on", || {
        (succeeded(&workspace, "new") > new + 1).then_some(())
    });
    assert_eq!(succeeded(&workspace, "old"), old, "a removed job has fired");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_bad_file_at_a_reload_changes_nothing_and_is_told_everywhere() {
    let source = MariaDb::start();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&prune("steady", "* * * * * *"));
    let mut daemon = workspace.daemon();
    wait_until(LIMIT, "the job runs", || {
        (succeeded(&workspace, "steady") > 0).then_some(())
    });

    workspace.write_schedule(
        "[retention.steady]\ncron = \"61 * * * *\"\ndirectroy = \"/x\"\nkeep = { last = 1 }\n",
    );
    daemon.reload();
    let before = succeeded(&workspace, "steady");
    wait_until(LIMIT, "the job of the old file goes on", || {
        (succeeded(&workspace, "steady") > before + 1).then_some(())
    });
    let log = daemon.log();
    for word in ["schedule.toml", "61", "directroy", "directory"] {
        assert!(log.contains(word), "the log should say {word:?}:\n{log}");
    }
    let jobs = workspace.mykeeper(&["jobs"]);
    jobs.assert_code(2).assert_says("directroy").assert_says("steady");
    let status = daemon.notifications();
    assert!(
        status
            .iter()
            .any(|line| line.starts_with("STATUS=") && line.contains("refused")),
        "{status:?}"
    );

    // And a good one is taken up again.
    workspace.write_schedule(&prune("better", "* * * * * *"));
    daemon.reload();
    wait_until(LIMIT, "the job of the good file runs", || {
        (succeeded(&workspace, "better") > 0).then_some(())
    });
    let jobs = workspace.mykeeper(&["jobs", "--json"]);
    jobs.assert_code(0);
    assert_eq!(text(&jobs.json()["jobs"][0], "name"), "better");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_syntax_error_at_the_start_is_told_with_its_place_and_nothing_is_touched() {
    let workspace = Workspace::new();
    workspace.write_keeper("");
    workspace.write_schedule(
        "[retention.prune]\ncron = \"30 7 * * *\"\ndirectory = \"/tmp\nkeep = { last = 3 }\n",
    );
    let finished = workspace.mykeeper(&["daemon"]);
    finished
        .assert_code(2)
        .assert_says("schedule.toml")
        .assert_says("directory = \"/tmp");
    assert!(
        finished.said().contains(":3:") || finished.said().contains("3 |"),
        "{finished}"
    );
    assert!(
        !workspace.at("state/catalog.db").exists(),
        "the catalog was touched"
    );
}

#[test]
fn two_signals_at_once_are_one_reload_each_and_do_not_stop_the_daemon() {
    let workspace = Workspace::new();
    workspace.write_keeper("");
    workspace.write_schedule(&prune("steady", "* * * * * *"));
    let mut daemon = workspace.daemon();
    for _ in 0..20 {
        daemon.signal(Signal::HUP);
    }
    wait_until(LIMIT, "the job runs", || {
        (succeeded(&workspace, "steady") > 1).then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn the_service_manager_is_told_how_the_daemon_is_and_its_watchdog_is_answered() {
    let workspace = Workspace::new();
    workspace.write_keeper("");
    workspace.write_schedule(&prune("old", NEVER));
    let mut daemon = workspace.daemon();
    let told = |daemon: &Daemon, start: &str| {
        daemon
            .notifications()
            .iter()
            .filter(|line| line.starts_with(start))
            .count()
    };
    wait_until(LIMIT, "the watchdog is answered again and again", || {
        (told(&daemon, "WATCHDOG=1") >= 3).then_some(())
    });
    let lines = daemon.notifications();
    let first = |start: &str| lines.iter().position(|line| line.starts_with(start));
    assert!(
        first("EXTEND_TIMEOUT_USEC=").is_some_and(|asked| Some(asked) < first("READY=1")),
        "a start that takes long asks for time: {lines:?}"
    );
    assert!(
        told(&daemon, "STATUS=1 job,") >= 1,
        "{:?}",
        daemon.notifications()
    );
    assert_eq!(daemon.stop(), Some(0));
}
