//! A set that lies in several places, of which some are damaged, or far away.

use crate::{Stage, unproven_alone};
use mykeeper_e2e::*;
use std::path::Path;
use std::process::Command;

const DATA: &str = "shop_old.orders.sql.gz";

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Runs a line of a message as a person would paste it.
fn paste(stage: &Stage, line: &str) {
    let program = Binary::find().path().display().to_string();
    let config = stage.workspace.config().display().to_string();
    let line = line.replace(
        &format!("&& mykeeper --config {config} "),
        &format!("&& {program} --config {config} "),
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

#[test]
fn a_whole_copy_is_restored_where_another_is_damaged_and_one_far_away_is_fetched() {
    let secret = secret_text("vault");
    let vault = RsyncDaemon::start(&secret);
    let url = vault.url(vault.port(), "db1");
    let stage = Stage::sent("[\"shop_old\"]", |workspace| {
        workspace.destination("vault", &url, &secret)
    });
    let own = stage.set();
    let day = own.parent().unwrap().file_name().unwrap();
    let elsewhere = stage.workspace.at("elsewhere").join(day);
    std::fs::create_dir_all(&elsewhere).unwrap();
    let copied = Command::new("cp").arg("-a").args([&own, &elsewhere]).status();
    assert!(copied.unwrap().success());
    let copy = elsewhere.join(&stage.bk_id);
    let root = stage.workspace.at("elsewhere").display().to_string();
    let add = [
        "--bk-server",
        "192.0.2.7",
        "--remote-server",
        "b1",
        "--tag",
        "shop",
    ];
    let add = [&["paths", "add", "--real-path", &root][..], &add].concat();
    stage.workspace.mykeeper(&add).assert_code(0);
    flip(&copy.join(DATA));

    let dry = stage.restore(&["--dry-run", "--json"]);
    dry.assert_code(4);
    let plan = dry.json();
    assert_eq!(plan["plan"]["path"], own.display().to_string());
    assert_eq!(plan["differences"], serde_json::json!([]));
    assert_eq!(plan["damaged"][0]["path"], copy.display().to_string());
    let restored = stage.restore(&[]);
    restored
        .assert_code(4)
        .assert_says(&format!("in {}: going on in {}", copy.display(), own.display()));
    let passed_over = format!("passed over: {}: file {DATA}, BLAKE3", copy.display());
    assert_eq!(restored.said().matches(&passed_over).count(), 1, "{restored}");
    stage.assert_equal(&["shop_old"]);

    unproven_alone(&stage.restore(&["--overwrite", "--from", "original", "--dry-run"]))
        .assert_says(&format!("every file in {}", own.display()));
    let refused = stage.restore(&["--overwrite", "--from", "destination"]);
    refused
        .assert_code(1)
        .assert_says("is damaged, and nothing was written")
        .assert_says(DATA);
    assert_eq!(stage.target.value("SELECT COUNT(*) FROM shop_old.orders"), "100");

    // A copy whose own record is not what it was is no whole copy.
    flip(&copy.join(DATA));
    std::fs::write(copy.join("mykeeper.manifest.json"), "{").unwrap();
    stage
        .restore(&["--overwrite", "--from", "destination", "--dry-run"])
        .assert_code(4)
        .assert_says("is not as it was written: file mykeeper.manifest.json, BLAKE3")
        .assert_says("every file in");
    let onto_itself = [
        "restore",
        &stage.bk_id,
        "--into",
        "shop",
        "--overwrite",
        "--dry-run",
    ];
    stage
        .workspace
        .mykeeper(&onto_itself)
        .assert_says("server shop is the one that the set was taken from");
    let own_text = own.display().to_string();
    let other = "bcd36dc6-c9e7-11e7-9e30-005056b15d9c";
    stage
        .workspace
        .mykeeper(&["transfer", "--backup-dir", &own_text, "--bk-id", other])
        .assert_code(2)
        .assert_says(&format!(
            "is the folder of set {}, and --bk-id names {other}",
            stage.bk_id
        ));

    // What lies here is lost.
    std::fs::remove_dir_all(&own).unwrap();
    std::fs::remove_dir_all(&copy).unwrap();
    let gone = stage.restore(&["--overwrite"]);
    gone.assert_code(3).assert_says("is not on this machine");
    let said = gone.assert_says("made known by: ").said();
    assert!(!said.contains(&secret), "{gone}");
    let (_, line) = said.split_once("made known by: ").unwrap();
    let line = line.lines().next().unwrap();
    assert!(line.contains(" --password-file="), "{line}");
    paste(&stage, line);
    let fetched = find_set(&stage.workspace.at("sandbox/fetched-sets"), &stage.bk_id);
    unproven_alone(&stage.restore(&["--overwrite"])).assert_says(&fetched.display().to_string());
    stage.assert_equal(&["shop_old"]);
    // A place that is known to nobody is named.
    let brought = stage.workspace.at("brought").join(&stage.bk_id);
    std::fs::create_dir(stage.workspace.at("brought")).unwrap();
    std::fs::rename(&fetched, &brought).unwrap();
    stage.restore(&["--overwrite"]).assert_code(3);
    for folder in [brought.as_path(), brought.parent().unwrap()] {
        let folder = folder.display().to_string();
        unproven_alone(&stage.restore(&["--overwrite", "--dry-run", "--from", &folder]))
            .assert_says(&brought.display().to_string());
    }
    stage
        .workspace
        .mykeeper(&["mark-deleted", "--bk-id", &stage.bk_id])
        .assert_code(0)
        .assert_says("no file was touched, and its copies stay at vault");
    stage
        .restore(&["--overwrite"])
        .assert_code(3)
        .assert_says("(it is marked as deleted: marked by hand)");
}
