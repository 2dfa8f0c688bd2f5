//! What did not arrive, and that nothing sends later.

use crate::notify::{events, webhook};
use crate::{ALL, NEVER, backup_job};
use mykeeper_e2e::*;

#[test]
fn sets_that_wait_for_a_destination_without_a_transfer_job_are_named_and_the_trouble_is_not_over_before_they_arrived()
 {
    let source = MariaDb::with_sample();
    let mut vault = RsyncDaemon::start("vault pw");
    let (workspace, sink) = (Workspace::new(), HttpSink::start());
    workspace.write_keeper(&format!(
        "{}{}[notify]\ngather = \"100ms\"\n\n{}",
        workspace.server("shop", &source, "pw"),
        workspace.destination("vault", &vault.url(vault.port(), "db1"), "vault pw"),
        webhook(&sink)
    ));
    let nightly = backup_job("nightly", ALL, "transfer_to = \"vault\"");
    workspace.write_schedule(&nightly);
    let nobody = "no transfer job sends to vault: add a [transfer.NAME] with destination = \"vault\"";
    workspace
        .mykeeper(&["check", "--offline"])
        .assert_code(4)
        .assert_says(nobody);

    vault.stop();
    let failed = workspace.mykeeper(&["run", "nightly"]);
    failed
        .assert_code(1)
        .assert_says("nothing sends it later")
        .assert_says(nobody);
    assert!(!failed.said().contains("left to a transfer job"), "{failed}");
    assert_eq!(events(&sink, "failure").len(), 1);

    vault.start_again();
    let checked = workspace.mykeeper(&["check"]);
    checked
        .assert_code(4)
        .assert_says("1 set waits for vault, and no transfer job sends to vault")
        .assert_says("job nightly: its last run failed at");
    workspace
        .mykeeper(&["status"])
        .assert_code(4)
        .assert_says("1 set waits for vault");

    // The next set arrives, and the first goes on waiting.
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_eq!(events(&sink, "recovery").len(), 0);
    let told = events(&sink, "failure");
    let last = told.last().unwrap()["message"].to_string();
    assert!(
        last.contains("it is not over: 1 set waits for vault"),
        "{told:#?}"
    );

    workspace.write_schedule(&format!(
        "{nightly}[transfer.catch-up]\ncron = \"{NEVER}\"\ndestination = \"vault\"\n"
    ));
    let checked = workspace.mykeeper(&["check"]);
    checked.assert_says("1 set waits for vault: job catch-up sends them");
    assert!(!checked.said().contains("no transfer job"), "{checked}");
    workspace.mykeeper(&["status"]).assert_code(0);
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_eq!(events(&sink, "recovery").len(), 1);
    let checked = workspace.mykeeper(&["check"]);
    assert!(!checked.said().contains("for vault"), "{checked}");
    workspace.mykeeper(&["status"]).assert_code(0);
}

#[test]
fn a_trouble_is_not_over_by_a_run_whose_set_does_not_arrive() {
    let source = MariaDb::with_sample();
    let (workspace, sink) = (Workspace::new(), HttpSink::start());
    let (near, mounted) = (workspace.at("near"), workspace.at("mounted"));
    std::fs::create_dir(&near).unwrap();
    workspace.write_keeper(&format!(
        "{}[destinations.near]\nurl = \"{}\"\n\n[notify]\ngather = \"100ms\"\n\n{}",
        workspace.server("shop", &source, "pw"),
        near.display(),
        webhook(&sink)
    ));
    workspace.write_schedule(&format!(
        "{}[transfer.catch-up]\ncron = \"{NEVER}\"\ndestination = \"near\"\n",
        backup_job("nightly", r#"["shop"]"#, "transfer_to = \"near\"")
    ));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let (password, away) = (workspace.at("shop.password"), workspace.at("away"));
    std::fs::rename(&password, &away).unwrap();
    workspace.mykeeper(&["run", "nightly"]).assert_code(1);
    std::fs::rename(&away, &password).unwrap();
    assert_eq!(events(&sink, "failure").len(), 1);

    // It works again, but its disk is away.
    std::fs::rename(&near, &mounted).unwrap();
    std::fs::create_dir(&near).unwrap();
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(4)
        .assert_says("nothing was sent to near");
    assert_eq!(events(&sink, "recovery").len(), 0);
    let told = events(&sink, "failure");
    let last = told.last().unwrap()["message"].to_string();
    assert!(
        told.len() == 2 && last.contains("it is not over: 1 set waits for near: job catch-up sends them"),
        "{told:#?}"
    );

    std::fs::remove_dir(&near).unwrap();
    std::fs::rename(&mounted, &near).unwrap();
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_eq!(events(&sink, "recovery").len(), 1);
}

#[test]
fn sets_that_wait_for_a_name_that_is_configured_no_more_are_told_of_until_they_are_elsewhere() {
    let source = MariaDb::with_sample();
    let mut vault = RsyncDaemon::start("vault pw");
    let workspace = Workspace::new();
    let url = vault.url(vault.port(), "db1");
    let configure = |name: &str| {
        workspace.write_keeper(&format!(
            "{}{}",
            workspace.server("shop", &source, "pw"),
            workspace.destination(name, &url, "vault pw")
        ));
        workspace.write_schedule(&format!(
            "{}[transfer.catch-up]\ncron = \"{NEVER}\"\ndestination = \"{name}\"\n",
            backup_job("nightly", ALL, &format!("transfer_to = \"{name}\""))
        ));
    };
    vault.stop();
    configure("vault1");
    workspace.mykeeper(&["run", "nightly"]).assert_code(1);
    workspace
        .mykeeper(&["status"])
        .assert_code(0)
        .assert_says("1 set waits for vault1: job catch-up sends them");
    vault.start_again();

    configure("vaultA");
    let told = "1 set waits for vault1, which is not configured any more";
    let id = workspace.backups()[0]["id"].as_str().unwrap().to_owned();
    workspace
        .mykeeper(&["status"])
        .assert_code(4)
        .assert_says(told)
        .assert_says("1 of them is nowhere else: mykeeper")
        .assert_says(&format!("transfer --backup-dir FOLDER --bk-id {id} --to NAME"));
    workspace.mykeeper(&["check"]).assert_code(4).assert_says(told);
    workspace
        .mykeeper(&["run", "catch-up"])
        .assert_code(4)
        .assert_says("nothing waits to be sent to vaultA")
        .assert_says(told);
    let unsent = workspace.mykeeper(&["status", "--json"]).json()["unsent"].clone();
    assert_eq!(unsent[0]["is_configured"], false, "{unsent:#}");

    // Its name again.
    configure("vault1");
    workspace.mykeeper(&["status"]).assert_code(0);
    workspace
        .mykeeper(&["run", "catch-up"])
        .assert_code(0)
        .assert_says("1 set sent to vault1");
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
}
