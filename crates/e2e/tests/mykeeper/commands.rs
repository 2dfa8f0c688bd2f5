//! The other commands, on sets that are really there.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{ALL, NEVER, backup_job, text};
use mykeeper_e2e::*;
use std::collections::BTreeSet;
use std::path::Path;

fn retention(keep: &str, action: &str, require: &str) -> String {
    format!(
        "[retention.prune]\ncron = \"{NEVER}\"\ndirectory = \"{{sets}}\"\nkeep = {keep}\naction = \"{action}\"\n\
         require = \"{require}\"\n\n"
    )
}

#[test]
fn retention_shows_what_it_would_do_then_does_it() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    let job = backup_job("nightly", r#"["pay$roll"]"#, "");
    workspace.write_schedule(&format!(
        "{job}{}",
        retention("{ last = 1 }", "delete", "complete")
    ));
    let ids: Vec<String> = (0..3)
        .map(|_| {
            workspace.mykeeper(&["run", "nightly"]).assert_code(0);
            text(&workspace.backups()[0], "id").to_owned()
        })
        .collect();
    // A folder that the catalog does not know, and a way out of the directory.
    let stranger = workspace.sets().join("2020-01-01/not-a-set");
    std::fs::create_dir_all(&stranger).unwrap();
    let dry = workspace.mykeeper(&["retention", "prune", "--dry-run"]);
    dry.assert_code(0);
    for id in &ids {
        dry.assert_says(id);
    }
    assert_eq!(
        dry.stdout.lines().filter(|line| line.contains("remove")).count(),
        2,
        "{dry}"
    );
    assert!(
        find_set(&workspace.sets(), &ids[0]).is_dir(),
        "a dry run removed something"
    );

    workspace.mykeeper(&["run", "prune"]).assert_code(0);
    let states = |id: &str| {
        workspace.catalog().value(&format!(
            "SELECT is_deleted FROM user_backup WHERE bk_id = '{id}'"
        ))
    };
    assert_eq!(
        ids.iter().map(|id| states(id)).collect::<Vec<_>>(),
        ["Y", "Y", "N"]
    );
    assert!(find_set(&workspace.sets(), &ids[2]).is_dir());
    for id in &ids[..2] {
        let left = std::fs::read_dir(workspace.sets())
            .unwrap()
            .flatten()
            .any(|day| day.path().join(id).exists());
        assert!(!left, "{id} is still there");
    }
    assert!(stranger.is_dir(), "what the catalog does not know was touched");
}

#[test]
fn the_newest_proven_set_is_kept_whatever_is_said() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    let job = backup_job("nightly", r#"["pay$roll"]"#, "");
    workspace.write_schedule(&format!(
        "{job}{}",
        retention("{ last = 1 }", "delete", "validated")
    ));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let proven = text(&workspace.backups()[0], "id").to_owned();
    workspace
        .mykeeper(&["validate", "--bk-id", &proven])
        .assert_code(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace.mykeeper(&["run", "prune"]).assert_code(0);
    assert!(
        find_set(&workspace.sets(), &proven).is_dir(),
        "the only proven set is gone"
    );
    let left: Vec<serde_json::Value> = workspace
        .backups()
        .into_iter()
        .filter(|backup| backup["deletion"] == "none")
        .collect();
    assert_eq!(left.len(), 2, "{left:#?}");
}

#[test]
fn a_set_that_leads_out_of_its_directory_is_not_removed() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    let job = backup_job("nightly", r#"["pay$roll"]"#, "");
    workspace.write_schedule(&format!(
        "{job}{}",
        retention("{ last = 1 }", "delete", "complete")
    ));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let id = text(&workspace.backups()[0], "id").to_owned();
    let set = find_set(&workspace.sets(), &id);
    let outside = workspace.at("outside");
    std::fs::rename(&set, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &set).unwrap();
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace.mykeeper(&["run", "prune"]);
    assert!(
        outside.join("metadata").is_file(),
        "a link was followed out of the directory"
    );
}

#[test]
fn sets_that_another_tool_removed_are_marked() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    workspace.write_schedule(&backup_job("nightly", r#"["pay$roll"]"#, ""));
    for _ in 0..3 {
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    let ids: Vec<String> = workspace
        .backups()
        .iter()
        .map(|backup| text(backup, "id").to_owned())
        .collect();
    let gone = find_set(&workspace.sets(), &ids[0]);
    std::fs::remove_dir_all(&gone).unwrap();
    workspace
        .mykeeper(&["mark-deleted", "--backup-dir", &gone.display().to_string()])
        .assert_code(0);
    workspace
        .mykeeper(&["mark-deleted", "--bk-id", &ids[1], &ids[2]])
        .assert_code(0);
    assert_eq!(
        workspace.catalog().column("SELECT is_deleted FROM user_backup"),
        ["Y", "Y", "Y"]
    );
    assert!(
        find_set(&workspace.sets(), &ids[1]).is_dir(),
        "marking removes nothing"
    );
    let unknown = workspace.mykeeper(&["mark-deleted", "--bk-id", "00000000-0000-4000-8000-000000000000"]);
    assert_ne!(unknown.status.code(), Some(0), "{unknown}");
    let quoted = workspace.mykeeper(&[
        "mark-deleted",
        "--backup-dir",
        "/tmp/x'; DROP TABLE user_backup; --",
    ]);
    assert_ne!(quoted.status.code(), Some(0), "{quoted}");
    assert_eq!(workspace.backups().len(), 3);
}

#[test]
fn transfer_sends_a_finished_set_by_hand() {
    let server = MariaDb::with_sample();
    let vault = RsyncDaemon::start("vault pw");
    let workspace = Workspace::new();
    workspace.write_keeper(&format!(
        "{}{}",
        workspace.server("shop", &server, "pw"),
        workspace.destination("vault", &vault.url(vault.port(), "db1"), "vault pw")
    ));
    workspace.write_schedule(&backup_job("nightly", r#"["pay$roll"]"#, ""));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let backup = workspace.backups().remove(0);
    assert_eq!(backup["transfer_complete"], "N/A (local backup)");
    let (id, dir) = (text(&backup, "id").to_owned(), text(&backup, "dir").to_owned());
    workspace
        .mykeeper(&["transfer", "--backup-dir", &dir, "--bk-id", &id])
        .assert_code(0);
    assert!(find_set(&vault.vault(), &id).join("metadata").is_file());
    assert!(
        text(&workspace.backups()[0], "transfer_complete").ends_with('Y'),
        "{:#}",
        workspace.backups()[0]
    );
}

#[test]
fn restore_brings_a_set_back_and_overwrites_nothing_unasked() {
    let server = MariaDb::with_sample();
    let target = MariaDb::start();
    let workspace = Workspace::new();
    let shop = workspace.server("shop", &server, "pw");
    target.account("restorer", "pw", "ALL ON *.*");
    let file = workspace.password_file("spare", "pw");
    workspace.write_keeper(&format!(
        "{shop}[servers.spare]\nsocket = \"{}\"\nuser = \"restorer\"\npassword_file = \"{}\"\n",
        target.socket().display(),
        file.display()
    ));
    workspace.write_schedule(&backup_job("nightly", ALL, ""));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let id = text(&workspace.backups()[0], "id").to_owned();
    workspace
        .mykeeper(&["restore", &id, "--into", "spare"])
        .assert_code(4)
        .assert_says("is not proven")
        .assert_says("; 1 warning");
    assert_eq!(
        fingerprint(&target, &SAMPLE_DATABASES),
        fingerprint(&server, &SAMPLE_DATABASES)
    );
    let kinds = "SELECT COUNT(*) FROM information_schema.views WHERE table_schema NOT IN ('sys', 'mysql') UNION ALL \
                 SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema NOT IN ('sys', 'mysql') UNION ALL \
                 SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema NOT IN ('sys', 'mysql') UNION ALL \
                 SELECT COUNT(*) FROM information_schema.events";
    assert_eq!(target.query(kinds), server.query(kinds));

    target.sql("DELETE FROM shop.orders WHERE id > 5");
    let refused = workspace.mykeeper(&["restore", &id, "--into", "spare", "--database", "shop"]);
    assert_ne!(refused.status.code(), Some(0), "{refused}");
    refused.assert_says("--overwrite");
    assert_eq!(
        target.value("SELECT COUNT(*) FROM shop.orders"),
        "5",
        "a refused restore has changed something"
    );
    workspace
        .mykeeper(&[
            "restore",
            &id,
            "--into",
            "spare",
            "--database",
            "shop",
            "--overwrite",
        ])
        .assert_code(4)
        .assert_says("; 1 warning");
    assert_eq!(
        fingerprint(&target, &SAMPLE_DATABASES),
        fingerprint(&server, &SAMPLE_DATABASES)
    );
}

#[test]
fn what_a_person_reads_is_all_there() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    workspace.write_schedule(&backup_job("nightly", ALL, "").replace(NEVER, "30 2 * * *"));
    workspace.mykeeper(&["catalog", "migrate"]).assert_code(0);
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("warning validation: no validation job of any node asks for sets with the tag \"shop\"")
        .assert_says("note    retention: no retention job looks at ")
        .assert_says("\n1 warning\n");
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let run = workspace.only_run_of("nightly");
    let id = text(&run, "id");
    workspace
        .mykeeper(&["runs"])
        .assert_code(0)
        .assert_says("nightly")
        .assert_says("succeeded");
    workspace
        .mykeeper(&["run-log", id])
        .assert_code(0)
        .assert_says("mydumper")
        .assert_says("complete");
    let bk_id = text(&run, "bk_id");
    let shown = workspace.mykeeper(&["show", bk_id]);
    shown
        .assert_code(0)
        .assert_says("日志 库-1")
        .assert_says("24615")
        .assert_says("complete   yes");
    let jobs = workspace.mykeeper(&["jobs", "--next", "3"]);
    jobs.assert_code(0)
        .assert_says("nightly")
        .assert_says("02:30:00")
        .assert_says("no daemon");
    workspace
        .mykeeper(&["catalog", "status"])
        .assert_code(0)
        .assert_says("SQLite");
    workspace
        .mykeeper(&[
            "backups", "--state", "complete", "--tag", "shop", "--server", "shop",
        ])
        .assert_code(0)
        .assert_says(bk_id);
    assert!(
        !workspace
            .mykeeper(&["backups", "--tag", "other"])
            .said()
            .contains(bk_id)
    );

    for (words, says) in [
        (&["run", "nigthly"][..], "nightly"),
        (&["show", "00000000-0000-4000-8000-000000000000"], "no set"),
        (&["run-log", "ffff"], "no run"),
        (&["runs", "--since", "yesterdayish"], "yesterdayish"),
        (&["no-such-command"], "no-such-command"),
    ] {
        workspace.mykeeper(words).assert_code(2).assert_says(says);
    }
    let nowhere = workspace.at("nowhere.toml");
    let finished = Binary::find().run(&nowhere, &["check"]);
    finished.assert_code(2).assert_says("nowhere.toml");
}

#[test]
fn the_printed_examples_are_sound() {
    let workspace = Workspace::new();
    let keeper = workspace.mykeeper(&["config", "example", "--keeper"]);
    let schedule = workspace.mykeeper(&["config", "example", "--schedule"]);
    keeper.assert_code(0).assert_says("[servers.shop]");
    schedule.assert_code(0).assert_says("[backup.shop-nightly]");
}

/// What is in backquotes in the first column of the table of commands: the words after `mykeeper`.
fn commands_of_readme() -> Vec<Vec<String>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `mykeeper "));
    let calls = rows.flat_map(|row| {
        let (column, _) = row[2..].split_once(" | ").unwrap();
        let spans = column.split('`').skip(1).step_by(2);
        spans.map(str::to_owned).collect::<Vec<_>>()
    });
    let words = |call: String| {
        let words = call.split(|c: char| c.is_whitespace() || "[]|\\.".contains(c));
        let words = words.filter(|word| !word.is_empty()).skip(1);
        words.map(str::to_owned).collect()
    };
    calls.map(words).collect()
}

#[test]
fn the_readme_names_every_command_and_no_flag_that_is_not_there() {
    let workspace = Workspace::new();
    let help = |words: &[&str]| {
        let help = workspace.mykeeper(&[words, &["--help"]].concat());
        help.assert_code(0);
        help.stdout.clone()
    };
    let commands = commands_of_readme();
    let named: BTreeSet<&str> = commands.iter().map(|words| words[0].as_str()).collect();
    let all = help(&[]);
    let listed = all
        .split_once("Commands:\n")
        .unwrap()
        .1
        .lines()
        .take_while(|line| !line.is_empty());
    let there: BTreeSet<&str> = listed
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split(' ').next())
        .filter(|word| *word != "help")
        .collect();
    assert_eq!(named, there);
    for words in &commands {
        let said = help(&[&words[0]]);
        let below = words.get(1).filter(|word| said.contains(&format!("\n  {word} ")));
        let said = below.map_or(said.clone(), |below| help(&[&words[0], below]));
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(said.contains(flag), "{words:?} has no {flag}:\n{said}");
        }
    }
}
