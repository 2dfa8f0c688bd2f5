//! SIGTERM: a grace period for what runs, then its end, with a record.

use crate::dump_faults::wait_for_dump;
use crate::{ALL, NEVER, assert_run, backup_job};
use mykeeper_e2e::*;
use rustix::process::Signal;
use std::time::{Duration, Instant};

fn dumping(server: &MariaDb, grace: &str) -> (Workspace, TcpProxy, Daemon) {
    let link = TcpProxy::to(server.port());
    link.set_rate(200_000);
    let workspace = Workspace::new();
    workspace.write_keeper(&format!(
        "{}[daemon]\ngrace = \"{grace}\"\nkill_grace = \"2s\"\n",
        workspace.server_over_tcp("shop", server, link.port(), "pw")
    ));
    workspace.write_schedule(&backup_job("slow", ALL, "").replace(NEVER, "* * * * * *"));
    let daemon = workspace.daemon();
    wait_for_dump(daemon.pid(), &workspace);
    (workspace, link, daemon)
}

#[test]
fn what_runs_is_ended_after_the_grace_and_recorded_as_interrupted() {
    let server = MariaDb::with_sample();
    let (workspace, _link, mut daemon) = dumping(&server, "2s");
    let below = daemon.descendants();
    let began = Instant::now();
    assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "no grace: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(below.iter().all(|process| !process.is_alive()), "{below:?}");
    let runs = workspace.runs();
    let run = runs.iter().find(|run| run["state"] != "skipped").expect("a run");
    assert_run(run, "interrupted", &["stopped"]);
    assert_eq!(workspace.backups()[0]["complete"], serde_json::json!([false]));
}

#[test]
fn what_ends_within_the_grace_ends_well() {
    let server = MariaDb::with_sample();
    let (workspace, link, mut daemon) = dumping(&server, "50s");
    daemon.signal(Signal::TERM);
    wait_until(LIMIT, "the daemon says that it stops", || {
        daemon.notified("STOPPING=1").then_some(())
    });
    link.set_rate(0);
    assert_eq!(daemon.wait_end(LIMIT).code(), Some(0), "{}", daemon.log());
    let runs = workspace.runs();
    assert_eq!(
        runs.iter().filter(|run| run["state"] == "succeeded").count(),
        1,
        "{runs:#?}"
    );
    assert!(runs.iter().all(|run| run["state"] != "running"), "{runs:#?}");
}

#[test]
fn a_second_signal_skips_the_grace() {
    let server = MariaDb::with_sample();
    let (workspace, _link, mut daemon) = dumping(&server, "50s");
    daemon.signal(Signal::TERM);
    wait_until(LIMIT, "the daemon says that it stops", || {
        daemon.notified("STOPPING=1").then_some(())
    });
    let began = Instant::now();
    daemon.signal(Signal::INT);
    daemon.wait_end(LIMIT);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let runs = workspace.runs();
    let run = runs.iter().find(|run| run["state"] != "skipped").expect("a run");
    assert_run(run, "interrupted", &[]);
}
