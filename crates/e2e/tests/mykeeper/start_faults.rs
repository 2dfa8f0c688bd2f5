//! What keeps a run from beginning: told in a sentence, recorded, nothing lost.

use crate::{ALL, NEVER, assert_run, backup_job, shop_workspace, text};
use mykeeper_e2e::*;

#[test]
fn a_wrong_password_and_a_server_that_is_down() {
    let mut server = MariaDb::with_sample();
    let workspace = shop_workspace(&server, "");
    let secret = "not-the-password-5317";
    workspace.password_file("shop", secret);
    let finished = workspace.mykeeper(&["run", "nightly"]);
    finished.assert_code(1).assert_says("Access denied");
    assert!(!finished.said().contains(secret), "{finished}");
    assert_run(
        &workspace.only_run_of("nightly"),
        "failed",
        &["shop", "Access denied"],
    );

    workspace.password_file("shop", "pw");
    server.stop();
    let finished = workspace.mykeeper(&["run", "nightly"]);
    finished
        .assert_code(1)
        .assert_says("cannot connect to server shop");
    assert_run(&workspace.runs_of("nightly")[0], "failed", &["shop", "s.sock"]);
    let check = workspace.mykeeper(&["check"]);
    check.assert_code(3).assert_says("FAILED");

    // A server that comes back while the job still tries.
    server.start_again();
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_eq!(
        workspace.backups().len(),
        1,
        "a run that never began leaves no set"
    );
}

#[test]
fn a_server_that_comes_back_between_two_attempts_is_backed_up() {
    let mut server = MariaDb::with_sample();
    let workspace = shop_workspace(&server, "retry = { attempts = 20, delay = \"1s\" }");
    server.stop();
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    let catalog = workspace.catalog();
    wait_until(LIMIT, "the first attempt fails", || {
        let tables = workspace.at("state/catalog.db").exists()
            && catalog.value("SELECT COUNT(*) FROM sqlite_master WHERE name = 'mk_attempt'") == "1";
        (tables && catalog.value("SELECT COUNT(*) FROM mk_attempt WHERE state = 'failed'") != "0")
            .then_some(())
    });
    server.start_again();
    running.finish().assert_code(0);
    let run = workspace.only_run_of("nightly");
    assert_run(&run, "succeeded", &[]);
    assert!(
        run["attempts"]
            .as_array()
            .is_some_and(|attempts| attempts.len() > 1),
        "{run:#}"
    );
}

#[test]
fn databases_that_are_not_there() {
    let server = MariaDb::with_sample();
    let workspace = shop_workspace(&server, "");
    workspace.write_schedule(&format!(
        "{}{}",
        backup_job("unknown", r#"["shopp"]"#, ""),
        backup_job("nothing-left", r#"["!%"]"#, "")
    ));
    workspace
        .mykeeper(&["run", "unknown"])
        .assert_code(1)
        .assert_says("shopp");
    assert_run(
        &workspace.only_run_of("unknown"),
        "failed",
        &["no database of server shop", "日志 库-1"],
    );
    let finished = workspace.mykeeper(&["run", "nothing-left"]);
    // Excluding everything may be refused when the file is read, or when the run begins.
    assert!(matches!(finished.status.code(), Some(1 | 2)), "{finished}");
    assert!(finished.said().contains("nothing-left"), "{finished}");
    assert!(workspace.backups().is_empty());
}

#[test]
fn a_missing_privilege_is_named_with_the_statement_that_grants_it() {
    let server = MariaDb::with_sample();
    let workspace = shop_workspace(&server, "");
    for host in ["localhost", "127.0.0.1", "%"] {
        server.sql(&format!(
            "REVOKE TRIGGER, EVENT, RELOAD ON *.* FROM backup@'{host}'"
        ));
    }
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("GRANT");
    assert_run(
        &workspace.only_run_of("nightly"),
        "failed",
        &["TRIGGER", "GRANT", "shop"],
    );
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("TRIGGER")
        .assert_says("GRANT");
}

#[test]
fn a_database_that_the_account_is_not_shown_does_not_pass_for_none() {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE shown; CREATE TABLE shown.t (id INT); INSERT INTO shown.t VALUES (1); \
         CREATE DATABASE hidden; CREATE TABLE hidden.t (id INT)",
    );
    let workspace = shop_workspace(&server, "");
    workspace.write_schedule(&backup_job("all", r#"["%"]"#, ""));
    for host in ["localhost", "127.0.0.1", "%"] {
        server.sql(&format!(
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM backup@'{host}'; GRANT RELOAD ON *.* TO backup@'{host}'; \
             GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON shown.* TO backup@'{host}'; \
             GRANT SELECT ON mysql.proc TO backup@'{host}'"
        ));
    }
    let hidden = "GRANT SHOW DATABASES ON *.*";
    workspace.mykeeper(&["check"]).assert_says(hidden);
    // `mysql` is shown because of `mysql.proc`, and is not granted as a whole.
    workspace
        .mykeeper(&["run", "all"])
        .assert_code(1)
        .assert_says("`mysql`");
    workspace.write_schedule(&backup_job("all", r#"["!mysql"]"#, ""));
    workspace
        .mykeeper(&["run", "all"])
        .assert_code(4)
        .assert_says(hidden);
    for host in ["localhost", "127.0.0.1", "%"] {
        server.sql(&format!("GRANT SHOW DATABASES ON *.* TO backup@'{host}'"));
    }
    workspace
        .mykeeper(&["run", "all"])
        .assert_code(1)
        .assert_says("`hidden`");
}

#[test]
fn a_job_for_several_databases_asks_for_events_on_those_that_mydumper_passes() {
    let server = MariaDb::start();
    for database in ["one", "two"] {
        server.sql(&format!(
            "CREATE DATABASE {database}; CREATE TABLE {database}.t (id INT); INSERT INTO {database}.t VALUES (1); \
             CREATE EVENT {database}.e ON SCHEDULE EVERY 1 YEAR DO DO 1"
        ));
    }
    let workspace = shop_workspace(&server, "");
    workspace.write_schedule(&backup_job("both", r#"["one", "two"]"#, ""));
    let grant = |what: &str| {
        for host in ["localhost", "127.0.0.1", "%"] {
            server.sql(&format!("GRANT {what} TO backup@'{host}'"));
        }
    };
    for host in ["localhost", "127.0.0.1", "%"] {
        server.sql(&format!(
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM backup@'{host}'"
        ));
    }
    // As README has it, but for the databases that are not dumped. LOCK TABLES is for mydumper 1.0.
    for database in ["one", "two"] {
        grant(&format!(
            "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON {database}.*"
        ));
    }
    grant("SELECT ON mysql.proc");
    grant("RELOAD, SHOW DATABASES, BINLOG MONITOR, SLAVE MONITOR, PROCESS ON *.*");
    let version = std::process::Command::new("mydumper").arg("--version").output();
    // Later ones look only into the databases that they are given.
    if String::from_utf8_lossy(&version.unwrap().stdout).contains("mydumper 0.10") {
        let words = "GRANT EVENT ON `mysql`.* TO `backup`@`localhost`; GRANT EVENT ON `sys`.* TO `backup`@`localhost`;";
        workspace
            .mykeeper(&["check"])
            .assert_code(3)
            .assert_says("asks every database that the account sees for its events")
            .assert_says(words);
        workspace
            .mykeeper(&["run", "both"])
            .assert_code(1)
            .assert_says(words);
        assert!(workspace.backups().is_empty(), "a dump was begun");
        grant("EVENT ON mysql.*");
        grant("EVENT ON sys.*");
    }
    workspace.mykeeper(&["check"]).assert_says("privileges suffice");
    workspace.mykeeper(&["run", "both"]).assert_code(0);
}

#[test]
fn a_directory_that_is_not_there_or_cannot_be_written() {
    let server = MariaDb::with_sample();
    let workspace = shop_workspace(&server, "");
    let missing = workspace.at("no-such-mount");
    let file = workspace.at("a-file");
    std::fs::write(&file, "").unwrap();
    let job = backup_job("missing", r#"["shop"]"#, "").replace("{sets}", &missing.display().to_string())
        + &backup_job("no-folder", r#"["shop"]"#, "").replace("{sets}", &file.display().to_string());
    workspace.write_schedule(&job);
    workspace
        .mykeeper(&["run", "missing"])
        .assert_code(1)
        .assert_says("no-such-mount");
    assert_run(
        &workspace.only_run_of("missing"),
        "failed",
        &["cannot create the set's folder", "no-such-mount"],
    );
    assert!(
        !missing.exists(),
        "a mount that is missing must not be papered over"
    );
    workspace.mykeeper(&["run", "no-folder"]).assert_code(1);
    assert_run(&workspace.only_run_of("no-folder"), "failed", &["a-file"]);
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("no-such-mount");
}

#[test]
fn a_read_only_directory() {
    let server = MariaDb::with_sample();
    let workspace = shop_workspace(&server, "");
    let disk = workspace.at("disk");
    let Some(mounted) = Tmpfs::or_skip(disk.clone(), "size=4m") else {
        return;
    };
    let remounted = std::process::Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(remounted.success());
    // The disk is so small that a dump would be refused for that.
    let job = backup_job("nightly", r#"["shop"]"#, "reserve = \"off\"")
        .replace("{sets}", &disk.display().to_string());
    workspace.write_schedule(&job);
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("Read-only file system");
    assert_run(
        &workspace.only_run_of("nightly"),
        "failed",
        &["Read-only file system"],
    );
    drop(mounted);
}

#[test]
fn tools_that_are_not_installed() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    let shop = workspace.server("shop", &server, "pw");
    let vault = format!(
        "[destinations.vault]\nurl = \"{}\"\n\n",
        workspace.at("vault").display()
    );
    std::fs::create_dir(workspace.at("vault")).unwrap();
    let good = format!("{shop}{vault}");
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, "transfer_to = \"vault\""));

    workspace.write_keeper(&format!("{good}[tools]\nmydumper = \"/nowhere/mydumper\"\n"));
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("apt-get install mydumper");
    assert_run(
        &workspace.runs_of("nightly")[0],
        "failed",
        &["/nowhere/mydumper", "not installed"],
    );
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("/nowhere/mydumper");

    workspace.write_keeper(&format!("{good}[tools]\nrsync = \"/nowhere/rsync\"\n"));
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("/nowhere/rsync");
    assert_run(
        &workspace.runs_of("nightly")[0],
        "failed",
        &["/nowhere/rsync", "not installed"],
    );
    let backup = workspace.backups().remove(0);
    assert_eq!(
        backup["complete"],
        serde_json::json!([true]),
        "the set is complete, only not sent: {backup:#}"
    );

    workspace.write_keeper(&format!("{good}[tools]\nmyloader = \"/nowhere/myloader\"\n"));
    let finished = workspace.mykeeper(&["validate", "--bk-id", text(&backup, "id")]);
    assert!(matches!(finished.status.code(), Some(1 | 3)), "{finished}");
    finished.assert_says("/nowhere/myloader");
    let catalog = workspace.catalog();
    assert_eq!(
        catalog.value("SELECT validate_status FROM user_backup WHERE is_complete = 'Y'"),
        "N/A",
        "what could not be tried has not failed"
    );

    workspace.write_keeper(&format!("{good}[sandbox]\nserver = \"/nowhere/mariadbd\"\n"));
    workspace.write_schedule(&format!("[validation.prove]\ncron = \"{NEVER}\"\n"));
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("/nowhere/mariadbd");
}

#[test]
fn a_password_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let server = MariaDb::start();
    let workspace = shop_workspace(&server, "");
    std::fs::set_permissions(
        workspace.at("shop.password"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("shop.password")
        .assert_says("chmod");
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("shop.password");
    assert_run(
        &workspace.only_run_of("nightly"),
        "failed",
        &["shop.password", "chmod"],
    );
}

#[test]
fn all_mistakes_of_both_files_are_told_at_once() {
    let workspace = Workspace::new();
    workspace.write_keeper(
        "[servers.shop]\nsocket = \"/run/s.sock\"\nusr = \"backup\"\n\n[destinations.vault]\nurl = \"\"\n",
    );
    workspace.write_schedule(&format!(
        "{}{}",
        backup_job("one", ALL, "transfer_to = \"valut\"").replace("\"shop\"", "\"shpo\""),
        backup_job("two", r#"["a", "!b"]"#, "").replace(NEVER, "0 0 30 2 *")
    ));
    let finished = workspace.mykeeper(&["check", "--offline"]);
    finished.assert_code(2);
    for word in [
        "usr",
        "user",
        "valut",
        "vault",
        "shpo",
        "shop",
        "!b",
        "0 0 30 2 *",
        "mykeeper.toml",
        "schedule.toml",
    ] {
        finished.assert_says(word);
    }
}
