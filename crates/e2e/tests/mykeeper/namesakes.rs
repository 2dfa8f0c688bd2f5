//! Two daemons of one node's name: each would take the other's runs for its own.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::notify::{events, prune, wait_for, webhook};
use crate::validators::{LEASE, node, server_of_nodes};
use mykeeper_e2e::*;
use rustix::process::Signal;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TOLD: &str = "another daemon called vault lives";

/// A catalog, and so many installations whose node is called `vault`.
fn vaults<const COUNT: usize>(sink: &HttpSink) -> (MariaDb, [Workspace; COUNT]) {
    let server = server_of_nodes();
    let vaults = [(); COUNT].map(|()| {
        let vault = node(&server, "vault");
        let keeper = std::fs::read_to_string(vault.config()).unwrap();
        let told = format!("{keeper}\n[notify]\ngather = \"100ms\"\n\n{}", webhook(sink));
        std::fs::write(vault.config(), told).unwrap();
        vault.write_schedule(&prune("often", "").replace("* * * * * *", crate::NEVER));
        vault
    });
    (server, vaults)
}

/// How the rows of the name are, as `status` on any of them says.
fn vitalities(asked: &Workspace) -> Vec<String> {
    let nodes = asked.mykeeper(&["status", "--json"]).json()["nodes"].clone();
    let nodes: Vec<Value> = nodes.as_array().cloned().unwrap_or_default();
    nodes
        .iter()
        .map(|node| node["vitality"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_daemon_does_not_start_beside_one_of_its_name_and_does_once_that_is_gone() {
    let sink = HttpSink::start();
    let (server, [first, second]) = vaults(&sink);
    let mut living = first.daemon();
    let refused = second.mykeeper(&["daemon"]);
    refused
        .assert_code(3)
        .assert_says(TOLD)
        .assert_says(&format!(
            "(pid {}), with its state in {}",
            living.pid(),
            first.at("state").display()
        ))
        .assert_says("give this machine a \"node\" of its own in");
    let refused = |daemon: &Daemon| daemon.own_log().contains("waiting to see whether it lives");

    // Killed a moment ago: the kernel knows, whichever folder the next one has.
    for next in [&first, &second] {
        living.signal(Signal::KILL);
        living.wait_end(LIMIT);
        living = next.daemon();
        assert!(!refused(&living), "{}", living.own_log());
    }
    living.signal(Signal::KILL);
    living.wait_end(LIMIT);

    // One of another machine, on a folder of the same name, is heard again and again.
    let dir = first.at("state").display().to_string();
    let elsewhere = format!(
        "UPDATE catalogdb.mk_node SET heard_ms = ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000), report_json = \
         JSON_REPLACE(report_json, '$.process.seat', 'another', '$.process.host', 'far') WHERE state_dir = '{dir}'"
    );
    server.sql(&elsewhere);
    let is_over = AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                server.sql(&elsewhere);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let refused = first.mykeeper(&["daemon"]);
        is_over.store(true, Ordering::SeqCst);
        refused
    });
    refused
        .assert_code(3)
        .assert_says(TOLD)
        .assert_says("on host far");
    // It is not heard of any more: who starts waits for no longer than that takes.
    server.sql(&elsewhere);
    let began = Instant::now();
    let mut last = first.daemon();
    assert!(
        last.own_log().contains("waiting to see whether it lives"),
        "{}",
        last.own_log()
    );
    assert!(began.elapsed() < LEASE * 10, "{:?}", began.elapsed());
    assert_eq!(last.stop(), Some(0));
    // Nor is one that said that it stops in the way, or one that waits told to stop.
    let mut last = second.daemon();
    assert_eq!(last.stop(), Some(0));
    assert!(events(&sink, "failure").is_empty());
}

#[test]
fn two_daemons_of_one_name_that_meet_are_told_of_once_and_so_is_their_end() {
    let sink = HttpSink::start();
    let (_server, [first, second]) = vaults(&sink);
    let mut hung = first.daemon();
    wait_until(LIMIT, "the first is heard of", || {
        (vitalities(&second) == ["alive"]).then_some(())
    });
    hung.signal(Signal::STOP);
    wait_until(LIMIT, "the first is not heard of", || {
        (vitalities(&second) == ["silent"]).then_some(())
    });
    let mut other = second.daemon();
    hung.signal(Signal::CONT);
    let told = |kind: &str| {
        let mut told = events(&sink, kind);
        told.retain(|event| event["topic"] == "node name");
        told
    };
    // Each of them tells it.
    wait_for(&other, "people hear of it", || told("failure").len() == 2);
    let message = told("failure")[0]["message"].to_string();
    assert!(
        message.contains("another daemon is called vault, too") && message.contains("give each machine"),
        "{message}"
    );
    first
        .mykeeper(&["status"])
        .assert_code(4)
        .assert_says("2 daemons are called vault");
    for asked in [&first, &second] {
        asked
            .mykeeper(&["check"])
            .assert_says("2 daemons are called vault");
    }
    // Of two of one name the one that died can be forgotten, while the other lives.
    other.signal(Signal::KILL);
    other.wait_end(LIMIT);
    wait_for(&hung, "people hear of its end", || told("recovery").len() == 1);
    let message = told("recovery")[0]["message"].to_string();
    assert!(
        message.contains("no other daemon is called vault any more"),
        "{message}"
    );
    wait_until(LIMIT, "the other is missed", || {
        vitalities(&first).contains(&"silent".to_owned()).then_some(())
    });
    first
        .mykeeper(&["check"])
        .assert_says("node vault: not heard of since");
    first.mykeeper(&["status", "--forget", "vault"]).assert_code(0);
    assert_eq!(vitalities(&first), ["alive"]);
    assert_eq!(told("failure").len(), 2);
    assert_eq!(hung.stop(), Some(0));
}
