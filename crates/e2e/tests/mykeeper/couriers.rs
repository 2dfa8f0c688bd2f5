//! Who tells people where commands and a daemon live beside each other: the daemon, which knows what is in the files now.

use crate::dump_faults::wait_for_dump;
use crate::notify::{events, failing, messages, no_server, prune, wait_for, webhook};
use crate::{NEVER, backup_job};
use mykeeper_e2e::*;
use rustix::process::Signal;

/// A node whose job `slow` is dumped through a link that makes it long, and whose job `bad` fails at every second.
struct Stage {
    workspace: Workspace,
    keeper: String,
    link: TcpProxy,
    _server: MariaDb,
}

impl Stage {
    fn new() -> Self {
        let server = MariaDb::with_sample();
        let link = TcpProxy::to(server.port());
        link.set_rate(50_000);
        let workspace = Workspace::new();
        let none = no_server(&workspace, "").replace("[servers.shop]", "[servers.none]");
        let shop = workspace.server_over_tcp("shop", &server, link.port(), "pw");
        let keeper = format!("{shop}\n{none}\n[notify]\ngather = \"100ms\"\n\n");
        Self {
            workspace,
            keeper,
            link,
            _server: server,
        }
    }

    fn schedule(&self, ping: &str) {
        let bad = failing("bad").replace("server = \"shop\"", "server = \"none\"");
        let slow = backup_job("slow", r#"["shop"]"#, ping);
        let idle = prune("idle", "").replace("* * * * * *", NEVER);
        self.workspace.write_schedule(&format!("{slow}{bad}{idle}"));
    }
}

#[test]
fn a_command_that_began_before_a_channel_was_added_leaves_the_telling_to_the_daemon() {
    let stage = Stage::new();
    let sink = HttpSink::start();
    stage.workspace.write_keeper(&stage.keeper);
    stage.schedule(&format!("ping = \"{}/p\"", sink.url()));
    let running = stage.workspace.start_mykeeper(&["run", "slow"]);
    wait_for_dump(running.pid(), &stage.workspace);

    stage
        .workspace
        .write_keeper(&format!("{}{}", stage.keeper, webhook(&sink)));
    let mut daemon = stage.workspace.daemon();
    let is_told = || {
        let posted = sink.posted();
        posted
            .iter()
            .any(|posted| posted.path == "/hook" && posted.body.contains("job bad"))
    };
    wait_for(&daemon, "people are told while the run goes on", is_told);
    running.signal(Signal::KILL);
    drop(running);
    stage.link.set_rate(0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_command_that_is_stopped_while_it_is_to_tell_people_is_named() {
    let stage = Stage::new();
    let sink = HttpSink::start();
    stage
        .workspace
        .write_keeper(&format!("{}{}", stage.keeper, webhook(&sink)));
    stage.schedule("");
    let mut workspace = stage.workspace;
    let running = workspace.start_mykeeper(&["run", "slow"]);
    wait_for_dump(running.pid(), &workspace);
    running.signal(Signal::STOP);
    let mut daemon = workspace.daemon();
    let inbox = workspace.at("state/notify/inbox.jsonl");
    wait_for(&daemon, "something is to be told", || inbox.exists());
    workspace.mykeeper(&["notify"]).assert_code(0);
    // Five minutes later.
    if let Some((clock, surroundings)) = FakeClock::new(workspace.path()) {
        clock.set(300);
        workspace.surround(surroundings);
        let named = format!("process {} was to tell people", running.pid());
        workspace
            .mykeeper(&["notify"])
            .assert_code(4)
            .assert_says("nobody is told of anything")
            .assert_says(&named);
        workspace.mykeeper(&["check"]).assert_says(&named);
    } else {
        eprintln!("SKIPPED in part: libfaketime is not installed: run deploy/install-needs.sh");
    }
    assert!(messages(&sink).is_empty());
    running.signal(Signal::CONT);
    wait_for(&daemon, "it yields to the daemon", || {
        !events(&sink, "failure").is_empty()
    });
    running.signal(Signal::KILL);
    drop(running);
    stage.link.set_rate(0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn who_is_not_told_any_more_troubles_nobody_and_a_test_that_is_taken_ends_a_trouble() {
    let workspace = Workspace::new();
    let (chat, gone) = (HttpSink::start(), HttpSink::start());
    for sink in [&chat, &gone] {
        sink.set(Manner::Answers(503));
    }
    let head = format!(
        "{}[notify]\ngather = \"100ms\"\ngive_up = \"3s\"\n\n",
        no_server(&workspace, "")
    );
    let chat_toml = webhook(&chat);
    let gone_toml = webhook(&gone).replace("webhook.chat", "webhook.gone");
    workspace.write_keeper(&format!("{head}{chat_toml}\n{gone_toml}"));
    workspace.write_schedule(&backup_job("bad", r#"["shop"]"#, ""));
    workspace.mykeeper(&["run", "bad"]).assert_code(1);
    let mut daemon = workspace.daemon();
    let shown = || workspace.mykeeper(&["notify", "--json"]).json();
    wait_for(&daemon, "both are given up", || {
        let shown = shown();
        let told = shown["told"].as_array().map(Vec::as_slice).unwrap_or_default();
        told.iter()
            .all(|one| one["lost"].as_u64() > Some(0) && one["waiting"] == 0)
    });
    let of_node = || workspace.mykeeper(&["status", "--json"]).json()["nodes"][0]["untold"].to_string();
    wait_for(&daemon, "the others are told of it", || {
        of_node().contains("webhook.chat") && of_node().contains("webhook.gone")
    });

    chat.set(Manner::Takes);
    workspace
        .mykeeper(&["notify", "test", "webhook.chat"])
        .assert_code(0);
    workspace.write_keeper(&format!("{head}{chat_toml}"));
    daemon.reload();
    wait_for(&daemon, "nobody is in trouble any more", || of_node() == "[]");
    workspace.mykeeper(&["notify"]).assert_code(0);
    assert_eq!(daemon.stop(), Some(0));
    // Who stopped it is not told that all is well.
    workspace
        .mykeeper(&["check"])
        .assert_says("the last one stopped at");
}

#[test]
fn slots_that_a_persons_own_run_was_in_the_way_of_are_told_with_their_end() {
    let stage = Stage::new();
    let sink = HttpSink::start();
    let workspace = &stage.workspace;
    workspace.write_keeper(&format!("{}{}", stage.keeper, webhook(&sink)));
    let slow = backup_job("slow", r#"["shop"]"#, "");
    workspace.write_schedule(&slow);
    let mut daemon = workspace.daemon();
    let running = workspace.start_mykeeper(&["run", "slow"]);
    wait_for_dump(running.pid(), workspace);
    workspace.write_schedule(&slow.replace(NEVER, "* * * * * *"));
    daemon.reload();
    let of_slots = |kind: &str| {
        let mut told = events(&sink, kind);
        told.retain(|event| event["topic"] == "slots of job slow");
        told
    };
    wait_for(&daemon, "the slots are told", || !of_slots("missed").is_empty());
    let told = of_slots("missed")[0]["message"].to_string();
    assert!(
        told.contains("a run of this job that was asked for by hand is still under way"),
        "{told}"
    );
    workspace.mykeeper(&["notify"]).assert_says("slots of job slow");
    workspace.write_schedule(&slow);
    daemon.reload();
    assert!(of_slots("recovery").is_empty());

    stage.link.set_rate(0);
    running.finish().assert_code(0);
    wait_for(&daemon, "their end is told", || !of_slots("recovery").is_empty());
    let shown = workspace.mykeeper(&["notify"]);
    assert!(!shown.said().contains("slots of job slow"), "{shown}");
    assert_eq!((of_slots("missed").len(), of_slots("recovery").len()), (1, 1));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_run_by_hand_that_was_killed_is_told_of_once_though_its_end_cannot_be_recorded() {
    let stage = Stage::new();
    let sink = HttpSink::start();
    let workspace = &stage.workspace;
    workspace.write_keeper(&format!("{}{}", stage.keeper, webhook(&sink)));
    workspace.write_schedule(&backup_job("slow", r#"["shop"]"#, ""));
    let running = workspace.start_mykeeper(&["run", "slow"]);
    wait_for_dump(running.pid(), workspace);
    running.signal(Signal::KILL);
    drop(running);
    stage.link.set_rate(0);
    workspace.catalog().edit(
        "CREATE TRIGGER held BEFORE UPDATE ON mk_run WHEN NEW.state = 'interrupted' BEGIN SELECT RAISE(ABORT, 'held'); END",
    );
    for _ in 0..2 {
        let mut daemon = workspace.daemon();
        wait_for(&daemon, "people hear of it", || {
            events(&sink, "failure").len() == 1
        });
        assert_eq!(workspace.runs_of("slow")[0]["state"], "running");
        assert_eq!(daemon.stop(), Some(0));
    }
    workspace.catalog().edit("DROP TRIGGER held");
    let mut daemon = workspace.daemon();
    assert_eq!(workspace.runs_of("slow")[0]["state"], "interrupted");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(events(&sink, "failure").len(), 1);
}
