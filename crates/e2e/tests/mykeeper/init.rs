//! `mykeeper init`: from nothing to the first backup.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use mykeeper_e2e::*;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

#[test]
fn init_writes_what_was_answered_and_ends_with_the_command_that_makes_the_first_backup() {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1);",
    );
    let mut workspace = Workspace::new();
    let (socket, state) = (
        server.socket().display().to_string(),
        workspace.at("state").display().to_string(),
    );
    let sets = workspace.at("new-sets").display().to_string();
    let vault = workspace.at("vault");
    std::fs::create_dir(&vault).unwrap();
    let before = names(&workspace);

    // Nobody to ask: every flag that is missing is named, and nothing is written.
    workspace
        .mykeeper(&["init", "--socket", &socket])
        .assert_code(2)
        .assert_says("--directory DIR");
    let bad = [
        "init",
        "--socket",
        &socket,
        "--directory",
        &sets,
        "--cron",
        "61 * * * *",
        "--job",
        "a b",
        "--destination",
        "http://x/y",
    ];
    workspace
        .mykeeper(&bad)
        .assert_code(2)
        .assert_says("--cron: ")
        .assert_says("61")
        .assert_says("--job: ")
        .assert_says("--destination: ")
        .assert_says("nothing was written");
    assert_eq!(names(&workspace), before);

    let vault_url = vault.display().to_string();
    let words = [
        "init",
        "--node",
        "first",
        "--state-dir",
        &state,
        "--socket",
        &socket,
        "--directory",
        &sets,
        "--databases",
        "shop",
        "--destination",
        &vault_url,
        "--no-prove",
    ];
    // Whoever runs the service reads what is no secret, whatever root's umask is.
    workspace.surround(Surroundings {
        through: ["sh", "-c", "umask 077; exec \"$0\" \"$@\""]
            .map(str::to_owned)
            .to_vec(),
        ..Surroundings::default()
    });
    let made = workspace.mykeeper(&words);
    workspace.surround(Surroundings::default());
    for name in ["mykeeper.toml", "schedule.toml"] {
        let mode = std::fs::metadata(workspace.at(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
    // The account is not there yet, as the check says after the statements that make it.
    made.assert_code(3)
        .assert_says("GRANT SELECT")
        .assert_says("FAILED");
    let account = std::fs::read_to_string(workspace.at("shop-account.sql")).unwrap();
    let password = std::fs::read_to_string(workspace.at("shop.password")).unwrap();
    assert!(
        account.contains("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `shop`.* TO")
            && !account.contains("EVENT ON *.*"),
        "no more than is dumped: {account}"
    );
    assert!(
        account.contains(password.trim()) && !made.said().contains(password.trim()),
        "{made}"
    );
    for name in ["shop-account.sql", "shop.password"] {
        let mode = std::fs::metadata(workspace.at(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    assert!(
        !keeper.contains("catalog") && !keeper.contains("port"),
        "only what was answered: {keeper}"
    );
    server.sql(&account);

    // A second time nothing is overwritten.
    let again = workspace.mykeeper(&words);
    again.assert_code(2).assert_says("already; nothing was written");
    assert_eq!(std::fs::read_to_string(workspace.config()).unwrap(), keeper);

    // Exactly what it printed, as a person would paste it.
    let printed = made.stdout.lines().last().unwrap();
    assert!(
        printed.starts_with("mykeeper ") && printed.contains(" run shop-nightly"),
        "{made}"
    );
    let folder = Binary::find().path().parent().unwrap().display().to_string();
    let ran = Command::new("sh")
        .args(["-c", printed])
        .env("PATH", format!("{folder}:/usr/sbin:/usr/bin:/sbin:/bin"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let sets = workspace.backups();
    assert_eq!(sets.len(), 1, "{sets:#?}");
    assert!(vault.read_dir().unwrap().next().is_some(), "it was sent");
    let status = workspace.mykeeper(&["check"]).status.code();
    assert!(
        matches!(status, Some(0 | 4)),
        "the account can do all that it should: {status:?}"
    );
}

fn names(workspace: &Workspace) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.path()).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// `mykeeper init` at a terminal, where somebody answers each question when it is asked and then goes: all that could be
/// seen there, and the exit code.
fn at_a_terminal(workspace: &Workspace, words: &[&str], answers: &[(&str, &str)]) -> (String, Option<i32>) {
    let program = Binary::find().path().display().to_string();
    let line = format!(
        "'{program}' --config '{}' init {}",
        workspace.config().display(),
        words.join(" ")
    );
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = Arc::new(Mutex::new(String::new()));
    let (mut output, written) = (script.stdout.take().unwrap(), Arc::clone(&seen));
    let reading = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut piece) {
            written
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    });
    let mut typed = script.stdin.take().unwrap();
    let mut asked = 0;
    for (question, answer) in answers {
        asked = wait_until(LIMIT, question, || {
            let seen = seen.lock().unwrap();
            seen[asked..].find(question).map(|at| asked + at + question.len())
        });
        typed.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    if let Some((last, _)) = answers.last() {
        wait_until(LIMIT, "the next question", || {
            let seen = seen.lock().unwrap();
            seen[asked..].contains("press Enter").then_some(last)
        });
    }
    drop(typed);
    let code = wait_until(LIMIT, "it ends", || script.try_wait().unwrap()).code();
    reading.join().unwrap();
    let seen = seen.lock().unwrap().clone();
    (seen, code)
}

#[test]
fn at_a_terminal_what_no_flag_says_is_asked_for_and_who_goes_before_the_end_loses_nothing() {
    let workspace = Workspace::new();
    let at = |name: &str| workspace.at(name).display().to_string();
    let state = format!("'{}'", at("state"));
    let words = ["--node", "first", "--state-dir", &state];
    let before = names(&workspace);
    let (seen, code) = at_a_terminal(&workspace, &words, &[]);
    assert!(
        code == Some(2) && seen.contains("nothing was written"),
        "{code:?} {seen}"
    );
    assert_eq!(names(&workspace), before);
    // What cannot be is told before anything is asked.
    let (seen, code) = at_a_terminal(
        &workspace,
        &[&words[..], &["--cron", "'61 * * * *'"]].concat(),
        &[],
    );
    assert!(
        code == Some(2) && seen.contains("--cron: ") && !seen.contains("A name for the server"),
        "{code:?} {seen}"
    );
    std::fs::write(workspace.at("schedule.toml"), "").unwrap();
    let (seen, code) = at_a_terminal(&workspace, &words, &[]);
    assert!(
        code == Some(2) && seen.contains("schedule.toml is there already") && !seen.contains("A name for"),
        "{code:?} {seen}"
    );
    std::fs::remove_file(workspace.at("schedule.toml")).unwrap();

    let (socket, sets, vault) = (at("no.sock"), at("new-sets"), at("vault"));
    let answers = [
        // Whoever answers what cannot be is told at once, and asked again.
        ("A name for the server [shop]: ", "no name"),
        ("is no name here", ""),
        ("Its socket, or its host", &socket),
        ("Its account for backups [backup]: ", ""),
        ("Its password (empty: one is made up): ", "hunter2-typed"),
        ("The folder for sets", "sets"),
        ("is no absolute path", &sets),
        ("Where sets are sent", &vault),
        ("When (cron)", "61 3 * * *"),
        ("cannot be read", "30 3 * * *"),
        ("Restore each set", "n"),
    ];
    let (seen, code) = at_a_terminal(&workspace, &words, &answers);
    // No server is there, as the check says; and the terminal was closed when it was asked whether the account is.
    assert_eq!(code, Some(3), "{seen}");
    assert!(
        !seen.contains("hunter2") && !seen.contains("nothing was written"),
        "{seen}"
    );
    assert!(
        seen.contains(" check:") && seen.contains("run shop-nightly"),
        "{seen}"
    );
    let read = |name: &str| std::fs::read_to_string(workspace.at(name)).unwrap();
    assert_eq!(read("shop.password"), "hunter2-typed\n");
    let (keeper, schedule) = (read("mykeeper.toml"), read("schedule.toml"));
    assert!(keeper.contains(&socket) && keeper.contains(&vault), "{keeper}");
    assert!(
        schedule.contains("30 3 * * *") && schedule.contains(&sets) && !schedule.contains("[validation"),
        "{schedule}"
    );
    assert!(workspace.at("new-sets").is_dir());
}
