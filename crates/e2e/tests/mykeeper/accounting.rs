//! Every slot is answered for, and what was interrupted is done again; so many at a time.

use crate::dump_faults::wait_for_dump;
use crate::{ALL, NEVER, assert_run, backup_job, slow_workspace, text};
use chrono::TimeDelta;
use mykeeper_domain::{Clock, SystemClock};
use mykeeper_e2e::*;
use rustix::process::Signal;

/// A cron expression that comes once, in a few seconds.
fn soon() -> String {
    let at = SystemClock.now() + TimeDelta::seconds(4);
    at.format("%-S %-M %-H %-d %-m *").to_string()
}

const THREE: &str = "retry = { attempts = 3, delay = \"1s\" }";

/// The run that does the interrupted one again, once it has ended.
fn done_again(workspace: &Workspace, daemon: &Daemon) -> serde_json::Value {
    wait_until(LIMIT, &format!("the run is done again\n{}", daemon.log()), || {
        let runs = workspace.runs();
        runs.into_iter()
            .find(|run| run["trigger"] == "retry" && !run["finished_at"].is_null())
    })
}

fn assert_nothing_is_missing(workspace: &Workspace) {
    workspace
        .mykeeper(&["runs", "--missing"])
        .assert_code(0)
        .assert_says("no slot is missing");
}

#[test]
fn a_dump_that_was_killed_with_its_daemon_is_made_again_by_the_next() {
    let server = MariaDb::with_sample();
    let (workspace, link) = slow_workspace(&server, &backup_job("once", ALL, THREE).replace(NEVER, &soon()));
    let mut daemon = workspace.daemon();
    wait_for_dump(daemon.pid(), &workspace);
    daemon.signal(Signal::KILL);
    daemon.wait_end(LIMIT);
    let records = || std::fs::read_dir(workspace.at("state/children")).map_or(0, Iterator::count);
    assert!(records() > 0, "the dump was not written down");
    link.set_rate(0);
    let mut daemon = workspace.daemon();
    let again = done_again(&workspace, &daemon);
    assert_run(&again, "succeeded", &[]);
    let runs = workspace.runs_of("once");
    assert_eq!(runs.len(), 2, "{runs:#?}");
    let lost = runs
        .iter()
        .find(|run| run["trigger"] == "schedule")
        .expect("the first run");
    assert_run(lost, "interrupted", &[]);
    assert_eq!(again["retry_of"], lost["id"]);
    assert_eq!(
        (&lost["followed_by"], &again["follows"]),
        (&again["id"], &lost["id"])
    );
    assert_eq!(again["attempts"][0]["number"], 2, "attempts count across");
    assert_nothing_is_missing(&workspace);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(records(), 0, "records of children are left");
    let mut daemon = workspace.daemon();
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(workspace.runs_of("once").len(), 2, "and not once more");
}

#[test]
fn a_set_that_was_complete_is_sent_by_the_next_daemon_and_not_made_again() {
    let source = MariaDb::with_sample();
    let vault = RsyncDaemon::start("vault pw");
    let link = TcpProxy::to(vault.port());
    link.set_rate(2_000);
    let workspace = Workspace::new();
    workspace.write_keeper(&format!(
        "{}{}",
        workspace.server("shop", &source, "pw"),
        workspace.destination("vault", &vault.url(link.port(), "db1"), "vault pw")
    ));
    let more = format!("transfer_to = \"vault\"\n{THREE}");
    workspace.write_schedule(&backup_job("once", ALL, &more).replace(NEVER, &soon()));
    let mut daemon = workspace.daemon();
    let catalog = workspace.catalog();
    // What went while it was dumped is on its way when it is complete, on such a link.
    let sending = "SELECT COUNT(*) FROM mk_transfer t JOIN user_backup b ON b.bk_id = t.bk_id \
                   WHERE t.state = 'running' AND b.is_complete = 'Y'";
    wait_until(LIMIT, "the set is being sent", || {
        (catalog.value(sending) == "1").then_some(())
    });
    daemon.signal(Signal::KILL);
    daemon.wait_end(LIMIT);
    link.set_rate(0);
    let mut daemon = workspace.daemon();
    let again = done_again(&workspace, &daemon);
    assert_run(&again, "succeeded", &["arrived at vault"]);
    let sets = workspace.backups();
    assert_eq!(sets.len(), 1, "{sets:#?}");
    assert_eq!(again["bk_id"], sets[0]["id"]);
    assert!(text(&sets[0], "transfer_complete").ends_with('Y'), "{sets:#?}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_slot_without_a_row_is_told_with_its_reason_until_the_next_start() {
    let workspace = Workspace::new();
    workspace.write_keeper("");
    workspace.write_schedule(
        "[retention.often]\ncron = \"* * * * * *\"\ndirectory = \"{sets}\"\nkeep = { last = 3 }\n",
    );
    workspace.mykeeper(&["runs", "--missing"]).assert_code(0);
    let mut daemon = workspace.daemon();
    assert_nothing_is_missing(&workspace);
    assert_eq!(daemon.stop(), Some(0));
    let told = wait_until(LIMIT, "slots pass", || {
        let told = workspace.mykeeper(&["runs", "--missing", "--json"]);
        (told.status.code() == Some(4) && told.json()["total"].as_u64() > Some(2)).then_some(told)
    });
    let first = &told.json()["missing"][0];
    assert_eq!(first["job"], "often");
    assert!(
        text(first, "why").starts_with("no daemon runs on this state_dir since 20"),
        "{first:#}"
    );
    workspace
        .mykeeper(&["runs", "--missing", "--limit", "1"])
        .assert_code(4)
        .assert_says("more");
    workspace
        .mykeeper(&["runs", "--missing", "--job", "another"])
        .assert_code(0);
    let mut daemon = workspace.daemon();
    wait_until(LIMIT, "the next start has decided them", || {
        (workspace.mykeeper(&["runs", "--missing"]).status.code() == Some(0)).then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_command_that_was_killed_is_settled_by_the_next_command() {
    let server = MariaDb::with_sample();
    let (workspace, link) = slow_workspace(&server, &backup_job("nightly", ALL, ""));
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_dump(running.pid(), &workspace);
    running.signal(Signal::KILL);
    drop(running);
    link.set_rate(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let runs = workspace.runs_of("nightly");
    assert_eq!(runs.len(), 2, "{runs:#?}");
    assert_run(&runs[0], "succeeded", &[]);
    assert_run(&runs[1], "interrupted", &[]);
    let sets = workspace.backups();
    assert_eq!(sets.len(), 2, "the set that was cut off has its row: {sets:#?}");
}

#[test]
fn dumps_of_one_server_come_one_after_another_and_say_what_they_wait_for() {
    let server = MariaDb::with_sample();
    let jobs = [backup_job("first", ALL, ""), backup_job("second", ALL, "")].concat();
    let (workspace, link) = slow_workspace(&server, &jobs);
    let first = workspace.start_mykeeper(&["run", "first"]);
    wait_for_dump(first.pid(), &workspace);
    let second = workspace.start_mykeeper(&["run", "second"]);
    let waits = wait_until(LIMIT, "the second waits", || {
        let run = workspace.runs_of("second").pop()?;
        text(&run, "reason")
            .starts_with("waits for server shop")
            .then_some(run)
    });
    let holder = workspace.only_run_of("first");
    assert_run(
        &waits,
        "running",
        &[&format!("pid {}, run {}", first.pid(), text(&holder, "id"))],
    );
    assert_eq!(waits["attempts"], serde_json::json!([]), "its dump has not begun");
    link.set_rate(0);
    first.finish().assert_code(0);
    second
        .finish()
        .assert_code(0)
        .assert_says("waits for server shop, in use")
        .assert_says("server shop is free after");
}
