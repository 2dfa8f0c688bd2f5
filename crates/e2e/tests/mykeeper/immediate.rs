//! Sets that are proven as soon as they are complete.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::dump_faults::wait_for_dump;
use crate::{ALL, NEVER, assert_run, backup_job, text};
use mykeeper_e2e::*;
use rustix::process::Signal;
use std::path::PathBuf;

/// So slow that the sample is never dumped, and quick enough to begin.
const HELD: u64 = 20_000;
const SLOW: u64 = 400_000;
const PROOF: &str = "proof of nightly";

fn schedule(more: &str, cron: &str) -> String {
    format!(
        "{}[validation.prove]\ncron = \"{NEVER}\"\n{more}\n",
        backup_job(
            "nightly",
            ALL,
            "prove = \"immediately\"\nmissed = \"skip\"\ntransfer_to = \"near\""
        )
        .replace(NEVER, cron)
    )
}

/// A job `nightly` that asks for its proofs itself, behind a link.
fn stage(source: &MariaDb) -> (Workspace, TcpProxy) {
    let link = TcpProxy::to(source.port());
    let workspace = Workspace::new();
    std::fs::create_dir(workspace.at("near")).unwrap();
    workspace.write_keeper(&format!(
        "{}[destinations.near]\nurl = \"{}\"\n",
        workspace.server_over_tcp("shop", source, link.port(), "pw"),
        workspace.at("near").display()
    ));
    workspace.write_schedule(&schedule("", NEVER));
    (workspace, link)
}

/// What throwaway servers have left.
fn sandboxes(workspace: &Workspace) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace.at("sandbox")).unwrap().flatten();
    let is_server = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        !name.contains("-template-") && !name.ends_with(".lock")
    };
    entries.map(|entry| entry.path()).filter(is_server).collect()
}

/// Waits until a throwaway server is ready while `pid` still dumps, over a link that does not let it end.
fn wait_for_server(workspace: &Workspace, link: &TcpProxy, pid: u32) {
    wait_for_dump(pid, workspace);
    link.set_rate(HELD);
    wait_until(LIMIT, "a throwaway server lies ready", || {
        let runs = workspace.runs_of("nightly");
        let run = runs.iter().find(|run| run["state"] == "running")?;
        let log = workspace.mykeeper(&["run-log", text(run, "id")]);
        log.said().contains("is ready after").then_some(())
    });
    let names: Vec<String> = descendants_of(pid).into_iter().map(|child| child.name).collect();
    assert!(
        names.iter().any(|name| name == "mydumper"),
        "it is still dumped: {names:?}"
    );
}

#[test]
fn a_set_is_proven_once_it_is_complete_in_a_server_that_was_started_while_it_was_dumped() {
    let source = MariaDb::with_sample();
    let (workspace, link) = stage(&source);
    link.set_rate(SLOW);
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_server(&workspace, &link, running.pid());
    let catalog = workspace.catalog();
    assert_eq!(
        catalog.value("SELECT COUNT(*) FROM mk_run"),
        "1",
        "no proof has begun"
    );
    link.set_rate(0);
    running.finish().assert_code(0).assert_says("is proven");
    let proof = workspace.only_run_of(PROOF);
    assert_run(&proof, "succeeded", &["is proven"]);
    assert_eq!(
        (text(&proof, "kind"), text(&proof, "trigger")),
        ("validation", "backup")
    );
    assert_run(
        &workspace.only_run_of("nightly"),
        "succeeded",
        &["arrived at near"],
    );
    assert_eq!(workspace.runs_of("prove").len(), 0, "no slot was waited for");
    let log = workspace.mykeeper(&["run-log", text(&proof, "id")]);
    log.assert_says("that lies ready is taken");
    assert!(
        !log.said().contains("is ready after"),
        "no other was started: {log}"
    );
    assert_eq!(
        catalog.value(
            "SELECT b.validate_status || ' ' || (p.path = b.bk_dir) || ' ' || (p.finished_ms >= b.finished_ms) \
             FROM user_backup b JOIN mk_proof p ON p.bk_id = b.bk_id"
        ),
        "passed 1 1",
        "the original, once"
    );
    assert_eq!(sandboxes(&workspace), Vec::<PathBuf>::new());

    // A dump that fails leaves no server, and no proof begins.
    link.set_rate(SLOW);
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_dump(running.pid(), &workspace);
    link.set_rate(HELD);
    wait_until(LIMIT, "a throwaway server is started", || {
        (!sandboxes(&workspace).is_empty()).then_some(())
    });
    let below = descendants_of(running.pid());
    link.cut_now();
    running.finish().assert_code(1);
    link.heal();
    link.set_rate(0);
    wait_until(LIMIT, "every child has ended", || {
        below.iter().all(|process| !process.is_alive()).then_some(())
    });
    assert_eq!(sandboxes(&workspace), Vec::<PathBuf>::new());
    assert_eq!(workspace.runs_of(PROOF).len(), 1);

    // What its validation job asks for decides.
    workspace.write_schedule(&schedule(
        "assert = [{ database = \"shop\", sql = \"SELECT COUNT(*) < 0 FROM orders\" }]",
        NEVER,
    ));
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("did not come back as it was");
    assert_run(&workspace.runs_of(PROOF)[0], "failed", &["SELECT COUNT(*) < 0"]);
    assert_run(&workspace.runs_of("nightly")[0], "succeeded", &[]);

    // Without a server to restore into the backup is as good as ever, and the set waits for its turn.
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let broken = keeper.replace("[sandbox]\n", "[sandbox]\nserver = \"/bin/false\"\n");
    std::fs::write(workspace.config(), broken).unwrap();
    workspace.mykeeper(&["run", "nightly"]).assert_code(4);
    assert_run(
        &workspace.runs_of(PROOF)[0],
        "warned",
        &["is left to validation job prove: "],
    );
    assert_run(&workspace.runs_of("nightly")[0], "succeeded", &["complete after"]);
    assert_eq!(workspace.backups()[0]["validate_status"], "N/A");
    std::fs::write(workspace.config(), keeper).unwrap();
    workspace.write_schedule(&schedule("", NEVER));
    workspace.mykeeper(&["run", "prove"]).assert_code(0);
    assert_eq!(workspace.backups()[0]["validate_status"], "passed");
}

#[test]
fn a_daemon_that_is_killed_while_a_server_lies_ready_leaves_none() {
    let source = MariaDb::with_sample();
    let (workspace, link) = stage(&source);
    workspace.write_schedule(&schedule("", "* * * * * *"));
    link.set_rate(SLOW);
    let mut daemon = workspace.daemon();
    wait_for_server(&workspace, &link, daemon.pid());
    let (below, folders) = (daemon.descendants(), sandboxes(&workspace));
    assert_eq!(folders.len(), 1, "{folders:?}");
    daemon.signal(Signal::KILL);
    daemon.wait_end(LIMIT);
    wait_until(LIMIT, "every child of the killed daemon ends", || {
        below.iter().all(|process| !process.is_alive()).then_some(())
    });
    // The next finds nothing in its way, and the sets that follow are proven.
    workspace.write_schedule(&schedule("", "*/5 * * * * *"));
    link.set_rate(0);
    let mut daemon = workspace.daemon();
    assert!(!folders[0].exists(), "what it left is removed");
    wait_until(LIMIT, &format!("a set is proven\n{}", daemon.log()), || {
        let proofs = workspace.runs_of(PROOF);
        proofs.iter().any(|run| run["state"] == "succeeded").then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(sandboxes(&workspace), Vec::<PathBuf>::new());
    assert_eq!(
        workspace
            .catalog()
            .value("SELECT COUNT(*) FROM mk_run WHERE state IN ('queued', 'running')"),
        "0"
    );
}
