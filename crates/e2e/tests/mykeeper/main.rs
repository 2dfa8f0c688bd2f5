//! The whole way through: the built binary, real servers, real tools.

mod accounting;
mod ahead;
mod as_root;
mod away;
mod backups;
mod clocks;
mod commands;
mod copies;
mod counts;
mod couriers;
mod crash;
mod credentials;
mod disks;
mod dump_faults;
mod immediate;
mod import;
mod init;
mod logrotate;
mod lost;
mod missing_copies;
mod mysql;
mod namesakes;
mod nodes;
mod notify;
mod notify_faults;
mod package;
mod proofs;
mod rebuild;
mod reload;
mod secrets;
mod send_faults;
mod service;
mod space;
mod start_faults;
mod state_dir;
mod stop;
mod story;
mod typo;
mod unproven;
mod unsent;
mod validation;
mod validators;
mod verify;
mod ways;

use mykeeper_e2e::{MariaDb, TcpProxy, Workspace};
use std::path::Path;

/// A cron expression that does not come during the tests.
const NEVER: &str = "0 0 29 2 *";

/// Every option of mydumper that the tests use, on one thread: with several, mydumper 0.10 now and then locks up
/// at its start, which only the tests about that should meet.
const DUMP: &str = r#"mydumper = ["threads=1", "triggers", "events", "routines"]"#;

/// A backup job of everything but the system's own databases, never retried, that only a person runs.
fn backup_job(name: &str, databases: &str, more: &str) -> String {
    let retry = if more.contains("retry") {
        ""
    } else {
        "retry = { attempts = 1, delay = \"1s\" }"
    };
    let dump = if more.contains("mydumper") { "" } else { DUMP };
    format!(
        "[backup.{name}]\ncron = \"{NEVER}\"\nserver = \"shop\"\ndatabases = {databases}\ndirectory = \"{{sets}}\"\n\
         {dump}\n{retry}\n{more}\n\n"
    )
}

/// All databases of the sample.
const ALL: &str = r#"["!mysql"]"#;

/// A workspace over one server with a backup job `nightly` of the database `shop`.
fn shop_workspace(server: &MariaDb, more: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", server, "pw"));
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, more));
    workspace
}

/// A workspace over one server whose dump takes long for as long as the way to it is slow.
fn slow_workspace(server: &MariaDb, schedule: &str) -> (Workspace, TcpProxy) {
    let link = TcpProxy::to(server.port());
    link.set_rate(200_000);
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server_over_tcp("shop", server, link.port(), "pw"));
    workspace.write_schedule(schedule);
    (workspace, link)
}

/// Tells the catalog that sets of `shop` may lie below that folder as well.
#[track_caller]
fn add_path(workspace: &Workspace, real_path: &Path) {
    let words = "paths add --bk-server 192.0.2.7 --remote-server 127.0.0.1 --tag shop --real-path";
    let path = real_path.display().to_string();
    let words: Vec<&str> = words.split(' ').chain([path.as_str()]).collect();
    workspace.mykeeper(&words).assert_code(0);
}

/// Text of a JSON value, or nothing.
fn text<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Fails the test unless the run ended so, for a reason that holds each of these words.
#[track_caller]
fn assert_run(run: &serde_json::Value, state: &str, reasons: &[&str]) {
    assert_eq!(run["state"], state, "{run:#}");
    for reason in reasons {
        assert!(
            text(run, "reason").contains(reason),
            "the reason should hold {reason:?}: {run:#}"
        );
    }
    let left_open: Vec<&serde_json::Value> = run["attempts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|attempt| attempt["state"] == "running")
        .collect();
    assert!(left_open.is_empty(), "attempts left open: {left_open:#?}");
}
