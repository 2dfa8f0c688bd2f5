//! What an account must be allowed, and what may happen while a restore goes on.

use crate::{Stage, unproven_alone};
use mykeeper_e2e::*;
use std::process::Command;

#[test]
fn an_account_restores_every_kind_of_object_with_what_the_refusal_names_and_progress_is_shown() {
    let stage = Stage::with("", "[\"shop\"]", "all");
    stage
        .target
        .sql("DROP USER restorer@localhost, restorer@'127.0.0.1', restorer@'%'");
    stage.target.account("restorer", &stage.secret, "USAGE ON *.*");
    stage
        .restore(&["--database", "shop", "--as", "copy", "--dry-run"])
        .assert_code(2)
        .assert_says(" on database copy; have an administrator run: GRANT CREATE, ")
        .assert_says("ON `copy`.* TO");
    let refused = stage.restore(&["--dry-run"]);
    refused
        .assert_code(2)
        .assert_says("will be created")
        .assert_says("TRIGGER, CREATE ROUTINE, ALTER ROUTINE, EVENT on database shop;")
        .assert_says("nothing was written");
    stage.grant_as_told(&refused);
    unproven_alone(&stage.restore(&["--dry-run"]));

    // On a terminal a bar shows how much is done, how fast, and how long it will take.
    let line = format!(
        "stty cols 200 rows 50; {} --config {} restore {} --into spare",
        Binary::find().path().display(),
        stage.workspace.config().display(),
        stage.bk_id
    );
    let output = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("TERM", "xterm")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "nobody has proven it: {shown}");
    let bar = shown.split(['\r', '\n']).find(|line| line.contains("restore ["));
    let bar = bar.unwrap_or_default();
    assert!(
        bar.contains(" MiB") && bar.contains("/s, ") && bar.contains(" left"),
        "{shown}"
    );
    stage.assert_equal(&["shop"]);

    let kept = stage.restore(&["--dry-run"]);
    kept.assert_code(2).assert_says("there, which takes --overwrite");
    assert!(
        !kept.said().contains("dropped (") && !kept.said().contains("created"),
        "{kept}"
    );
}

#[test]
fn an_event_that_begins_at_once_makes_no_difference() {
    let stage = Stage::with(
        "SET GLOBAL event_scheduler = OFF; \
         CREATE EVENT shop_old.eats ON SCHEDULE EVERY 1 SECOND DO DELETE FROM shop_old.orders LIMIT 1",
        "[\"shop_old\"]",
        "all",
    );
    stage.target.sql("SET GLOBAL event_scheduler = ON");
    let restored = stage.restore(&["--json"]);
    unproven_alone(&restored);
    let report = restored.json();
    assert_eq!(report["restored"]["databases"][0]["rows"], 100, "{restored}");
    wait_until(LIMIT, "the event runs", || {
        let rows = stage.target.value("SELECT COUNT(*) FROM shop_old.orders");
        (rows != "100").then_some(())
    });
}
