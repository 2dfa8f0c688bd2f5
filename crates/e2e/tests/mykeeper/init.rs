//! `mykeeper init`: from nothing to the first backup.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use mykeeper_e2e::*;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn init_writes_what_was_answered_and_ends_with_the_command_that_makes_the_first_backup() {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1);",
    );
    let workspace = Workspace::new();
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
    ];
    workspace
        .mykeeper(&bad)
        .assert_says("61")
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
    let made = workspace.mykeeper(&words);
    // The account is not there yet, as the check says after the statements that make it.
    made.assert_code(3)
        .assert_says("GRANT SELECT")
        .assert_says("FAILED");
    let account = std::fs::read_to_string(workspace.at("shop-account.sql")).unwrap();
    let password = std::fs::read_to_string(workspace.at("shop.password")).unwrap();
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
