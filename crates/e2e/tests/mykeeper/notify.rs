//! Who is told, of what, and what becomes of it when nobody takes it.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{NEVER, backup_job};
use mykeeper_domain::{Clock, SystemClock};
use mykeeper_e2e::*;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A job that succeeds at every second.
pub(crate) fn prune(name: &str, more: &str) -> String {
    format!(
        "[retention.{name}]\ncron = \"* * * * * *\"\ndirectory = \"{{sets}}\"\nkeep = {{ last = 1 }}\n{more}\n\n"
    )
}

/// A job that fails at every second: its server is not there.
pub(crate) fn failing(name: &str) -> String {
    backup_job(name, r#"["shop"]"#, "").replace(NEVER, "* * * * * *")
}

/// A server that is not there: a backup of it fails at once.
pub(crate) fn no_server(workspace: &Workspace, more: &str) -> String {
    let file = workspace.password_file("shop", "pw");
    format!(
        "[servers.shop]\nsocket = \"{}\"\nuser = \"backup\"\npassword_file = \"{}\"\n{more}\n\n",
        workspace.at("no.sock").display(),
        file.display()
    )
}

pub(crate) fn webhook(sink: &HttpSink) -> String {
    format!("[notify.webhook.chat]\nurl = \"{}/hook\"\n", sink.url())
}

pub(crate) fn messages(sink: &HttpSink) -> Vec<Value> {
    let posted = sink.posted();
    posted
        .iter()
        .map(|posted| serde_json::from_str(&posted.body).unwrap())
        .collect()
}

/// The events of one kind in all messages.
pub(crate) fn events(sink: &HttpSink, kind: &str) -> Vec<Value> {
    let all = messages(sink);
    let all = all
        .iter()
        .flat_map(|message| message["events"].as_array().unwrap().clone());
    all.filter(|event| event["kind"] == kind).collect()
}

#[track_caller]
pub(crate) fn wait_for(daemon: &Daemon, what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < LIMIT,
            "waited in vain: {what}\n{}",
            daemon.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_failure_is_told_once_and_its_end_to_webhook_mail_and_command_with_every_secret_kept() {
    let workspace = Workspace::new();
    let chat = HttpSink::start();
    let sinks = [SinkTls::Starttls, SinkTls::Implicit, SinkTls::None].map(|tls| {
        let folder = workspace.at(&format!("{tls:?}"));
        std::fs::create_dir(&folder).unwrap();
        SmtpSink::start(&folder, tls)
    });
    let (secret_path, token, password) = ("T0/B1/s3cretpath", "tok3n-of-chat", "pa55-of-mail");
    workspace.password_file("chat-url", &format!("{}/{secret_path}", chat.url()));
    workspace.password_file("chat-token", token);
    workspace.password_file("mail", password);
    let script = workspace.at("page");
    let paged = workspace.at("paged");
    std::fs::write(
        &script,
        format!("#!/bin/sh\nprintf '%s %s\\n' \"$1\" \"$MYKEEPER_NOTIFY_KIND\" >> {0}\ncat \"$MYKEEPER_NOTIFY_FILE\" >> {0}\n", paged.display()),
    )
    .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mails: String = ["starttls", "implicit", "none"]
        .iter()
        .zip(&sinks)
        .map(|(tls, sink)| {
            let more = match *tls {
                "none" => String::new(),
                _ => format!("ca = \"{}\"\nuser = \"u\"\npassword_file = \"mail.password\"\n", sink.ca().display()),
            };
            format!(
                "[notify.mail.{tls}]\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\n{more}\
                 from = \"mykeeper <backup@example.org>\"\nto = [\"ops@example.org\", \"Dba <dba@example.org>\"]\n\n",
                sink.port()
            )
        })
        .collect();
    workspace.write_keeper(&format!(
        "{}[notify]\ngather = \"200ms\"\n\n\
         [notify.webhook.chat]\nurl_file = \"chat-url.password\"\ntoken_file = \"chat-token.password\"\n\
         body = '{{\"text\": \"*{{{{subject}}}}*\\n{{{{text}}}}\", \"events\": \"{{{{events}}}}\"}}'\n\n\
         {mails}\
         [notify.command.pager]\nprogram = \"{}\"\nargs = [\"{{{{subject}}}}\"]\non = [\"failure\"]\n",
        no_server(&workspace, ""),
        script.display()
    ));
    workspace.write_schedule(&failing("old"));
    workspace.mykeeper(&["check", "--offline"]).assert_code(0);

    workspace
        .mykeeper(&["notify", "test"])
        .assert_code(0)
        .assert_says("the test message was taken");
    assert_eq!(chat.posted().len(), 1);
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "the failure is told to all", || {
        chat.posted().len() > 1 && sinks.iter().all(|sink| sink.mails().len() > 1)
    });
    // Some more failures, which are the same trouble.
    wait_for(&daemon, "it fails again", || workspace.runs_of("old").len() > 2);
    workspace.write_schedule(&prune("old", ""));
    daemon.reload();
    wait_for(&daemon, "the recovery is told to all", || {
        chat.posted().len() > 2 && sinks.iter().all(|sink| sink.mails().len() > 2)
    });

    let posted = &chat.posted()[1];
    assert_eq!(posted.path, format!("/{secret_path}"));
    assert!(
        posted.headers.contains(&format!("authorization: Bearer {token}")),
        "{posted:?}"
    );
    let body: Value = serde_json::from_str(&posted.body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(
        text.starts_with("*mykeeper on testnode: failure: job old*\n"),
        "{text}"
    );
    assert_eq!(body["events"][0]["kind"], "failure");
    let recovered: Value = serde_json::from_str(&chat.posted()[2].body).unwrap();
    assert_eq!(recovered["events"][0]["kind"], "recovery", "{recovered}");
    for (sink, is_encrypted) in sinks.iter().zip([true, true, false]) {
        let mail = &sink.mails()[1];
        assert_eq!(
            (mail.is_encrypted, mail.login.is_some()),
            (is_encrypted, is_encrypted),
            "{mail:?}"
        );
        assert_eq!(mail.to.len(), 2, "{mail:?}");
        assert!(
            mail.data
                .contains("Subject: mykeeper on testnode: failure: job old"),
            "{mail:?}"
        );
        assert!(mail.data.contains("Auto-Submitted: auto-generated"), "{mail:?}");
    }
    let told = std::fs::read_to_string(&paged).unwrap();
    assert_eq!(
        told.matches("\"kind\":\"failure\",\"topic\":\"job old\"").count(),
        1,
        "{told}"
    );
    assert!(!told.contains("recovery"), "it is told of failures alone: {told}");

    let shown = workspace.mykeeper(&["notify", "--json"]);
    shown.assert_code(0);
    assert_eq!(shown.json()["troubles"], serde_json::json!({}), "{shown}");
    assert_eq!(daemon.stop(), Some(0));
    for secret in ["s3cretpath", token, password] {
        assert!(
            !daemon.log().contains(secret) && !shown.said().contains(secret),
            "{secret}"
        );
        let kept = std::process::Command::new("grep")
            .args(["-rlF", secret])
            .arg(workspace.at("state"))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&kept.stdout),
            "",
            "{secret} lies in state_dir"
        );
    }
}

#[test]
fn a_sink_that_is_down_slow_or_answers_500_holds_up_nothing_and_gets_the_message_after_a_restart() {
    let workspace = Workspace::new();
    let (chat, slow) = (HttpSink::start(), HttpSink::start());
    chat.set(Manner::IsDown);
    slow.set(Manner::Hangs);
    workspace.write_keeper(&format!(
        "{}[notify]\ngather = \"100ms\"\n\n{}\n[notify.webhook.slow]\nurl = \"{}/hook\"\n",
        no_server(&workspace, ""),
        webhook(&chat),
        slow.url()
    ));
    workspace.write_schedule(&format!("{}{}", failing("bad"), prune("good", "")));
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "it is tried", || chat.tried() > 1 && slow.tried() > 0);
    let runs = workspace.runs_of("good").len();
    wait_for(&daemon, "jobs go on", || {
        workspace.runs_of("good").len() > runs + 1
    });
    let shown = workspace.mykeeper(&["notify"]);
    shown
        .assert_code(4)
        .assert_says("webhook.chat")
        .assert_says("failing since")
        .assert_says("cannot be reached")
        .assert_says("not taken yet");
    workspace
        .mykeeper(&["check"])
        .assert_says("webhook.chat cannot be told since");
    let test = workspace.mykeeper(&["notify", "test", "webhook.chat"]);
    test.assert_code(3).assert_says("127.0.0.1");
    assert!(
        !test.said().contains("/hook"),
        "a URL's path may be a secret: {test}"
    );
    chat.set(Manner::Answers(500));
    wait_for(&daemon, "500 is shown", || {
        workspace.mykeeper(&["notify"]).said().contains("answered 500")
    });

    let began = Instant::now();
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "a slow sink held up the end: {:?}",
        began.elapsed()
    );
    chat.set(Manner::Takes);
    slow.set(Manner::Takes);
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "both get what waited", || {
        [&chat, &slow]
            .iter()
            .all(|sink| !events(sink, "failure").is_empty())
    });
    wait_for(&daemon, "nothing is failing", || {
        workspace.mykeeper(&["notify"]).status.code() == Some(0)
    });
    let of_job = events(&chat, "failure");
    assert_eq!(of_job.len(), 1, "told more than once: {of_job:#?}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_ping_tells_start_success_and_failure_in_order_also_of_a_run_in_the_foreground() {
    let workspace = Workspace::new();
    let sink = HttpSink::start();
    sink.set(Manner::Answers(503));
    workspace.password_file("bad-ping", &format!("{}/p/s3cretpath?x=1", sink.url()));
    let good = format!("ping = \"{}/good/\"", sink.url());
    workspace.write_keeper(&no_server(&workspace, ""));
    workspace.write_schedule(&format!(
        "{}{}",
        prune("good", &good).replace("* * * * * *", NEVER),
        backup_job("bad", r#"["shop"]"#, "ping_file = \"bad-ping.password\"")
    ));
    // Nobody takes it: it waits, and the run's own end says what the run has come to.
    workspace.mykeeper(&["run", "good"]).assert_code(0);
    workspace
        .mykeeper(&["notify"])
        .assert_code(4)
        .assert_says("ping good")
        .assert_says("answered 503");
    sink.set(Manner::Takes);
    let mut daemon = workspace.daemon();
    let paths = |part: &str| -> Vec<String> {
        sink.posted()
            .into_iter()
            .map(|posted| posted.path)
            .filter(|path| path.contains(part))
            .collect()
    };
    wait_for(&daemon, "what waited arrives", || paths("good").len() == 2);
    assert_eq!(paths("good"), ["/good/start", "/good"]);
    assert_eq!(daemon.stop(), Some(0));
    // Without a daemon the command delivers by itself.
    let failed = workspace.mykeeper(&["run", "bad"]);
    failed.assert_code(1);
    assert_eq!(
        paths("/p/"),
        ["/p/s3cretpath/start?x=1", "/p/s3cretpath/fail?x=1"]
    );
    let said = sink.posted().pop().unwrap().body;
    let (at, _) = said.split_once(' ').unwrap();
    assert!(
        at.parse::<chrono::DateTime<chrono::Utc>>().is_ok(),
        "it bears its time: {said}"
    );
    assert!(said.contains("no.sock"), "the reason goes along: {said}");
    assert!(!failed.said().contains("s3cretpath"), "{failed}");
}

#[test]
fn missed_slots_broken_promises_and_refused_reloads_are_told_and_so_is_their_end() {
    let workspace = Workspace::new();
    let sink = HttpSink::start();
    let keeper = |within: &str| {
        format!(
            "{}[notify]\ngather = \"100ms\"\n\n{}",
            no_server(&workspace, &format!("proven_within = \"{within}\"")),
            webhook(&sink)
        )
    };
    workspace.write_keeper(&keeper("2s"));
    let schedule = format!(
        "{}{}",
        prune("often", ""),
        backup_job("nightly", r#"["shop"]"#, "")
    );
    workspace.write_schedule(&schedule);
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "the broken promise is told", || {
        !events(&sink, "promise").is_empty()
    });
    assert_eq!(events(&sink, "promise")[0]["topic"], "server shop");

    workspace.write_schedule(&schedule.replace("keep =", "kept ="));
    daemon.reload();
    wait_for(&daemon, "the refused reload is told", || {
        !events(&sink, "reload").is_empty()
    });
    let told = events(&sink, "reload")[0]["message"].as_str().unwrap().to_owned();
    assert!(told.contains("kept"), "it says why: {told}");
    assert!(
        told.contains("schedule.toml:4:") && !told.contains("^^"),
        "it says where, in words: {told}"
    );
    workspace.write_schedule(&schedule);
    daemon.reload();
    wait_for(&daemon, "the reload that went well is told", || {
        events(&sink, "recovery")
            .iter()
            .any(|event| event["topic"] == "reload")
    });

    assert_eq!(daemon.stop(), Some(0));
    let runs = workspace.runs_of("often").len();
    std::thread::sleep(Duration::from_millis(2_500));
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "the missed slots are told", || {
        !events(&sink, "missed").is_empty()
    });
    let missed = &events(&sink, "missed")[0];
    assert_eq!(missed["topic"], "slots of job often", "after {runs} runs");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(
        events(&sink, "promise").len(),
        1,
        "told once, whatever restarts in between"
    );
}

#[test]
fn hundreds_of_jobs_that_fail_at_once_are_one_message() {
    const JOBS: usize = 80;
    let workspace = Workspace::new();
    let sink = HttpSink::start();
    workspace.write_keeper(&format!(
        "{}[limits]\nper_server = 20\n\n[notify]\ngather = \"3s\"\n\n{}",
        no_server(&workspace, ""),
        webhook(&sink)
    ));
    let at = SystemClock.now() + chrono::TimeDelta::seconds(5);
    let jobs: String = (0..JOBS)
        .map(|number| {
            failing(&format!("j{number}")).replace("* * * * * *", &at.format("%S %M %H * * *").to_string())
        })
        .collect();
    workspace.write_schedule(&jobs);
    let mut daemon = workspace.daemon();
    let told = || -> u64 {
        messages(&sink)
            .iter()
            .map(|message| message["count"].as_u64().unwrap())
            .sum()
    };
    wait_for(&daemon, "all are told", || told() == JOBS as u64);
    let messages = messages(&sink);
    // On a machine that is busy they do not all fail within the first window; the next is twice as long.
    assert!(messages.len() <= 3, "{} messages", messages.len());
    assert!(
        messages
            .iter()
            .all(|message| message["events"].as_array().unwrap().len() <= 50)
    );
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_job_that_fails_for_another_reason_is_told_of_at_once_and_what_is_gathered_is_shown() {
    let workspace = Workspace::new();
    let sink = HttpSink::start();
    let keeper = |gather: &str| {
        format!(
            "{}[notify]\ngather = \"{gather}\"\n\n{}",
            no_server(&workspace, ""),
            webhook(&sink)
        )
    };
    workspace.write_keeper(&keeper("100ms"));
    workspace.write_schedule(&failing("bad"));
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "the failure is told", || {
        events(&sink, "failure").len() == 1
    });
    assert!(
        events(&sink, "failure")[0]["message"]
            .to_string()
            .contains("no.sock")
    );

    // The same job, and another cause.
    let file = workspace.at("shop.password");
    std::fs::rename(&file, workspace.at("away")).unwrap();
    wait_for(&daemon, "the other cause is told, within `repeat`", || {
        events(&sink, "failure").len() == 2
    });
    let told = events(&sink, "failure")[1]["message"].to_string();
    assert!(
        told.contains("shop.password") && told.contains("another reason"),
        "{told}"
    );
    workspace
        .mykeeper(&["notify"])
        .assert_code(0)
        .assert_says("shop.password");
    // Neither cause is told twice.
    std::fs::rename(workspace.at("away"), &file).unwrap();
    let runs = workspace.runs_of("bad").len();
    wait_for(&daemon, "it fails some more", || {
        workspace.runs_of("bad").len() > runs + 2
    });
    assert_eq!(events(&sink, "failure").len(), 2);
    workspace
        .mykeeper(&["notify"])
        .assert_says("of which was told 2")
        .assert_says("no.sock");
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("job bad: its last run failed at");
    assert_eq!(daemon.stop(), Some(0));

    workspace.write_keeper(&keeper("10m"));
    workspace.write_schedule(&failing("other"));
    let mut daemon = workspace.daemon();
    wait_for(&daemon, "it is shown to be gathered", || {
        let shown = workspace.mykeeper(&["notify"]);
        shown.said().contains("gathered since") && shown.said().contains("messages are made of them at")
    });
    workspace
        .mykeeper(&["check"])
        .assert_says("messages are made of them at");
    let gathered = workspace.mykeeper(&["notify", "--json"]).json()["gathered"].clone();
    assert!(gathered["goes_at"].is_string(), "{gathered}");
    assert_eq!(daemon.stop(), Some(0));
}
