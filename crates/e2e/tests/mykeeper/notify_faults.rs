//! Nothing that is to be told is lost: where the disk takes nothing, where one of many refuses it, where a process ends.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::notify::{events, failing, messages, no_server, prune, wait_for, webhook};
use crate::{NEVER, backup_job};
use mykeeper_e2e::*;
use serde_json::Value;
use std::path::Path;

fn with_topic<'a>(events: &'a [Value], topic: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["topic"] == topic).collect()
}

/// Nothing can be written below it, as on a disk that is full; given back it is as it was.
fn blocked<T>(folder: &Path, meanwhile: impl FnOnce() -> T) -> T {
    let aside = folder.with_extension("aside");
    let was_there = folder.exists();
    if was_there {
        std::fs::rename(folder, &aside).unwrap();
    }
    std::fs::write(folder, "").unwrap();
    let done = meanwhile();
    std::fs::remove_file(folder).unwrap();
    if was_there {
        std::fs::rename(aside, folder).unwrap();
    }
    done
}

#[test]
fn what_state_dir_does_not_take_for_a_while_is_told_all_the_same_and_once() {
    let workspace = Workspace::new();
    let (chat, second) = (HttpSink::start(), HttpSink::start());
    workspace.write_keeper(&format!(
        "{}[notify]\ngather = \"100ms\"\n\n{}\n{}",
        no_server(&workspace, "proven_within = \"1s\""),
        webhook(&chat),
        webhook(&second).replace("chat", "second")
    ));
    let nightly = backup_job("nightly", r#"["shop"]"#, "");
    workspace.write_schedule(&format!("{nightly}{}", failing("bad")));
    let state = workspace.at("state");
    // Nothing can be noted at all.
    let mut daemon = blocked(&state.join("notify"), || {
        let daemon = workspace.daemon();
        wait_for(&daemon, "it is said", || daemon.log().contains("waits in memory"));
        wait_for(&daemon, "the promise is broken", || {
            daemon.log().contains("promise")
        });
        daemon
    });
    let sinks = [&chat, &second];
    wait_for(&daemon, "both troubles are told to both", || {
        sinks.iter().all(|sink| {
            !with_topic(&events(sink, "failure"), "job bad").is_empty()
                && !with_topic(&events(sink, "promise"), "server shop").is_empty()
        })
    });
    // It is noted, and no message can be made of it.
    blocked(&state.join("notify/queue"), || {
        workspace.write_schedule(&format!("{nightly}{}", prune("bad", "")));
        daemon.reload();
        wait_for(&daemon, "it is said", || {
            daemon.log().contains("cannot be gathered until")
        });
    });
    wait_for(&daemon, "the end is told to both", || {
        sinks.iter().all(|sink| !events(sink, "recovery").is_empty())
    });
    assert_eq!(daemon.stop(), Some(0));
    for sink in sinks {
        for (kind, topic) in [
            ("failure", "job bad"),
            ("promise", "server shop"),
            ("recovery", "job bad"),
        ] {
            let told = events(sink, kind);
            assert_eq!(with_topic(&told, topic).len(), 1, "{kind} of {topic}: {told:#?}");
        }
    }
}

#[test]
fn what_one_receiver_refuses_holds_up_nothing_else_and_comes_in_short() {
    let workspace = Workspace::new();
    let chat = HttpSink::start();
    let (mails, dead) = (workspace.at("mails"), "gone@example.org");
    std::fs::create_dir(&mails).unwrap();
    let mail = SmtpSink::start(&mails, SinkTls::None);
    chat.set(Manner::AnswersFor("job one", 413));
    mail.set(SmtpManner::AnswersFor(dead, "550 no such user"));
    workspace.write_keeper(&format!(
        "{}[notify]\ngather = \"100ms\"\n\n{}\n[notify.mail.ops]\nhost = \"localhost\"\nport = {}\ntls = \"none\"\n\
         from = \"backup@example.org\"\nto = [\"{dead}\", \"ops@example.org\"]\n",
        no_server(&workspace, ""),
        webhook(&chat),
        mail.port()
    ));
    workspace.write_schedule(&failing("one"));
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "it is refused", || {
        workspace.mykeeper(&["notify"]).said().contains("answered 413")
    });
    workspace.write_schedule(&format!("{}{}", failing("one"), failing("two")));
    daemon.reload();
    wait_for(&daemon, "the next message goes before it", || {
        !with_topic(&events(&chat, "failure"), "job two").is_empty()
    });
    wait_for(&daemon, "both mails reach the one who lives", || {
        mail.mails().len() == 2
    });
    let shown = workspace.mykeeper(&["notify"]);
    shown
        .assert_code(4)
        .assert_says("took the mail for")
        .assert_says("no such user");
    for taken in mail.mails() {
        assert!(
            taken.to.len() == 1 && taken.to[0].contains("ops@example.org"),
            "{taken:?}"
        );
    }
    chat.set(Manner::Takes);
    mail.set(SmtpManner::Takes);
    wait_for(&daemon, "nothing is left", || {
        let waiting = workspace.at("state/notify/queue").read_dir().unwrap().count();
        waiting == 0 && !with_topic(&events(&chat, "failure"), "job one").is_empty()
    });
    let to_dead = |taken: &Mailed| taken.to.len() == 1 && taken.to[0].contains(dead);
    let mails = mail.mails();
    assert_eq!(
        (mails.len(), mails.iter().filter(|taken| to_dead(taken)).count()),
        (4, 2),
        "each has each mail once: {mails:#?}"
    );
    let one = messages(&chat)
        .into_iter()
        .find(|message| message["events"][0]["topic"] == "job one")
        .unwrap();
    assert!(
        one["text"].as_str().unwrap().chars().count() < 1_700,
        "it comes in short: {one:#}"
    );
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_mail_server_that_is_down_slow_or_refuses_holds_up_nothing_and_gets_the_mail_later() {
    let workspace = Workspace::new();
    let folder = workspace.at("mails");
    std::fs::create_dir(&folder).unwrap();
    let sink = SmtpSink::start(&folder, SinkTls::Starttls);
    sink.set(SmtpManner::IsDown);
    workspace.write_keeper(&format!(
        "{}[notify]\ngather = \"100ms\"\n\n[notify.mail.ops]\nhost = \"localhost\"\nport = {}\nca = \"{}\"\n\
         from = \"backup@example.org\"\nto = [\"ops@example.org\"]\non = [\"failure\"]\n",
        no_server(&workspace, ""),
        sink.port(),
        sink.ca().display()
    ));
    workspace.write_schedule(&format!("{}{}", failing("bad"), prune("good", "")));
    let shows = |words: &str| workspace.mykeeper(&["notify"]).said().contains(words);
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "that it is down is shown", || shows("failing since"));
    let runs = workspace.runs_of("good").len();
    for answer in ["451 come back later", "554 not from you"] {
        sink.set(SmtpManner::Answers(answer));
        let words = answer.split_once(' ').unwrap().1;
        wait_for(&daemon, answer, || shows(words));
    }
    assert!(workspace.runs_of("good").len() > runs, "jobs did not go on");
    sink.set(SmtpManner::Hangs);
    let tried = sink.tried();
    wait_for(&daemon, "it is asked again", || sink.tried() > tried);
    let began = std::time::Instant::now();
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        began.elapsed().as_secs() < 10,
        "it held up the end: {:?}",
        began.elapsed()
    );
    sink.set(SmtpManner::Takes);
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "it gets what waited", || !sink.mails().is_empty());
    wait_for(&daemon, "nothing is failing", || !shows("failing since"));
    assert!(
        sink.mails()[0].data.contains("failure: job bad"),
        "{:?}",
        sink.mails()
    );
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(sink.mails().len(), 1, "{:?}", sink.mails());
}

#[test]
fn an_address_of_pings_that_hangs_is_down_or_is_slow_holds_up_no_run_and_hears_of_it_in_order() {
    let workspace = Workspace::new();
    let sink = HttpSink::start();
    sink.set(Manner::Hangs);
    workspace.write_keeper(&no_server(&workspace, ""));
    let every_second = prune("good", &format!("ping = \"{}/good\"", sink.url()));
    workspace.write_schedule(&every_second);
    let goes_on = |daemon: &Daemon| {
        let runs = workspace.runs_of("good").len();
        wait_for(daemon, "runs go on", || {
            workspace.runs_of("good").len() > runs + 2
        });
    };
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "it is called", || sink.tried() > 0);
    goes_on(&daemon);
    workspace
        .mykeeper(&["notify"])
        .assert_says("ping good")
        .assert_says("not taken yet");
    let began = std::time::Instant::now();
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        began.elapsed().as_secs() < 10,
        "it held up the end: {:?}",
        began.elapsed()
    );

    sink.set(Manner::IsDown);
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "that it is down is shown", || {
        workspace.mykeeper(&["notify"]).said().contains("failing since")
    });
    goes_on(&daemon);
    assert_eq!(daemon.stop(), Some(0));

    workspace.write_schedule(&every_second.replace("* * * * * *", NEVER));
    sink.set(Manner::TakesAfter(std::time::Duration::from_millis(700)));
    let mut daemon = workspace.daemon();
    let began = std::time::Instant::now();
    let run = workspace.mykeeper(&["run", "good"]);
    run.assert_code(0);
    assert!(
        began.elapsed().as_secs() < 10,
        "it held up the run: {:?}",
        began.elapsed()
    );
    wait_for(&daemon, "nothing is left", || {
        let waiting = workspace.at("state/notify/queue").read_dir().unwrap().count();
        waiting == 0
    });
    assert_eq!(daemon.stop(), Some(0));
    let heard: Vec<String> = sink.posted().into_iter().map(|posted| posted.path).collect();
    let expected: Vec<&str> = heard.iter().rev().map(String::as_str).take(2).collect();
    assert_eq!(expected, ["/good", "/good/start"], "{heard:?}");
    assert!(
        heard.windows(2).all(|two| two[0] != two[1]) && heard.len() >= 4,
        "begin and end in turn: {heard:?}"
    );
}

#[test]
fn a_webhook_over_tls_is_told_where_its_certificate_is_vouched_for_and_a_command_that_fails_is_shown() {
    let workspace = Workspace::new();
    let (right, wrong) = (workspace.at("right"), workspace.at("wrong"));
    for folder in [&right, &wrong] {
        std::fs::create_dir(folder).unwrap();
    }
    let sink = HttpSink::start_tls(&right);
    // Another's certificate vouches for another.
    let other = HttpSink::start_tls(&wrong);
    let keeper = |ca: &str| format!("{}{ca}\n", webhook(&sink));
    for (ca, expected) in [
        (String::new(), "certificate"),
        (format!("ca = \"{}\"", other.ca().display()), "certificate"),
        (
            format!("ca = \"{}\"", workspace.at("nowhere.pem").display()),
            "nowhere.pem",
        ),
    ] {
        workspace.write_keeper(&keeper(&ca));
        workspace.write_schedule("");
        let tried = workspace.mykeeper(&["notify", "test"]);
        tried.assert_code(3).assert_says(expected);
        assert!(!tried.said().contains("/hook"), "{tried}");
    }
    assert_eq!(sink.posted().len(), 0);
    workspace.write_keeper(&format!(
        "{}\n[notify.command.pager]\nprogram = \"/bin/sh\"\nargs = [\"-c\", \"echo no line >&2; exit 7\"]\n",
        keeper(&format!("ca = \"{}\"", sink.ca().display()))
    ));
    workspace
        .mykeeper(&["notify", "test"])
        .assert_code(3)
        .assert_says("exited with code 7")
        .assert_says("no line")
        .assert_says("webhook.chat: the test message was taken");
    assert_eq!(sink.posted().len(), 1);
}

#[test]
fn what_is_over_by_a_restart_is_told_as_over_and_no_mistake_shows_a_secret_url() {
    let workspace = Workspace::new();
    let chat = HttpSink::start();
    // What is broken has never been told: only what lies in state_dir says so, as a daemon that died has left it.
    workspace.write_keeper(&format!(
        "{}[notify]\ngather = \"100ms\"\n\n{}",
        no_server(&workspace, "proven_within = \"9h\""),
        webhook(&chat)
    ));
    let job = |ping: &str| prune("prune", ping).replace("* * * * * *", NEVER);
    let good = format!("{}{}", backup_job("nightly", r#"["shop"]"#, ""), job(""));
    workspace.write_schedule(&good);
    let notify = workspace.at("state/notify");
    std::fs::create_dir(&notify).unwrap();
    let left = serde_json::json!({
        "server shop": {
            "kind": "promise", "since": "2026-01-01T00:00:00Z", "seen_at": "2026-01-01T00:00:00Z",
            "told_at": "2026-01-01T00:00:00Z", "count": 1, "message": "it is broken",
        }
    });
    std::fs::write(notify.join("troubles.json"), left.to_string()).unwrap();
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "the promise is kept", || {
        !with_topic(&events(&chat, "recovery"), "server shop").is_empty()
    });
    workspace.write_schedule(&format!(
        "{good}{}",
        job("pign = \"https://hc.example.org/s3cret-path\"").replace("retention.prune", "retention.other")
    ));
    daemon.reload();
    wait_for(&daemon, "the refused reload is told", || {
        !events(&chat, "reload").is_empty()
    });
    let shown = workspace.mykeeper(&["jobs"]);
    shown.assert_says("https://hc.example.org/***");
    assert_eq!(daemon.stop(), Some(0));
    let told: String = chat.posted().into_iter().map(|posted| posted.body).collect();
    // A place in the file, and nothing of the line that has the mistake.
    assert!(
        told.contains("schedule.toml:") && told.contains("unknown key"),
        "{told}"
    );
    for text in [told, daemon.log(), shown.said()] {
        assert!(!text.contains("s3cret-path"), "{text}");
    }
    let kept = std::process::Command::new("grep")
        .args(["-rlF", "s3cret-path"])
        .arg(workspace.at("state"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");

    workspace.write_schedule(&good);
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "the start has mended it", || {
        !with_topic(&events(&chat, "recovery"), "reload").is_empty()
    });
    assert_eq!(daemon.stop(), Some(0));
}
