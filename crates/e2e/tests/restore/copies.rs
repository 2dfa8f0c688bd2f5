//! A set that lies in several places, of which some are damaged, or far away.

use crate::{Stage, unproven_alone};
use mykeeper_e2e::*;
use std::path::{Path, PathBuf};
use std::process::Command;

const DATA: &str = "shop_old.orders.sql.gz";

/// The set's folder once more, in a place that the catalog is told of.
fn copy_of(stage: &Stage) -> PathBuf {
    let own = stage.set();
    let root = stage.workspace.at("elsewhere");
    let day = root.join(own.parent().unwrap().file_name().unwrap());
    std::fs::create_dir_all(&day).unwrap();
    let copied = Command::new("cp").arg("-a").args([&own, &day]).status();
    assert!(copied.unwrap().success());
    let add = "paths add --bk-server 192.0.2.7 --remote-server b1 --tag shop --real-path";
    let root = root.display().to_string();
    let add: Vec<&str> = add.split(' ').chain([root.as_str()]).collect();
    stage.workspace.mykeeper(&add).assert_code(0);
    day.join(&stage.bk_id)
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Runs the lines that follow these words in a message, as a person would paste them.
fn paste(stage: &Stage, told: &Finished, words: &str) -> String {
    let said = told.assert_says(words).said();
    let (_, behind) = said.split_once(words).unwrap();
    let lines: Vec<&str> = behind
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .map(str::trim)
        .collect();
    let program = Binary::find().path().display().to_string();
    let config = stage.workspace.config().display().to_string();
    for line in &lines {
        let own = format!("mykeeper --config {config} ");
        let line = match line.strip_prefix(&own) {
            Some(words) => format!("{program} --config {config} {words}"),
            None => (*line).to_owned(),
        };
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
    lines.join("\n")
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
    let copy = copy_of(&stage);
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
    let lines = paste(&stage, &gone, "its place made known by:");
    assert!(!gone.said().contains(&secret), "{gone}");
    assert!(
        lines.contains(" --password-file=") && lines.lines().count() == 2,
        "{lines}"
    );
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

#[test]
fn a_part_of_a_set_without_a_manifest_is_not_refused_for_files_of_its_other_databases() {
    let stage = Stage::with("", "[\"shop\", \"shop.eu\", \"shop_old\"]", "all");
    let (own, copy) = (stage.set(), copy_of(&stage));
    let catalog = stage.workspace.catalog();
    catalog.edit("UPDATE user_backup SET manifest_blake3 = NULL");
    for table in ["mk_file", "mk_evidence", "mk_evidence_zstd"] {
        catalog.edit(&format!("DELETE FROM {table}"));
    }
    std::fs::remove_file(own.join("shop_old-schema-create.sql.gz")).unwrap();
    std::fs::remove_file(copy.join("shop.orders.sql.gz")).unwrap();
    // The first place lacks what is asked for, the other what is not.
    let restored = stage.restore(&["--database", "shop"]);
    restored.assert_says(&format!(
        "{}: file shop.orders.sql.gz: expected present, as in {}",
        copy.display(),
        own.display()
    ));
    assert!(matches!(restored.status.code(), Some(0 | 4)), "{restored}");
    assert!(!restored.said().contains("shop_old-schema"), "{restored}");
    stage.assert_equal(&["shop"]);
    // Each lacks something of the whole.
    let whole = stage.restore(&["--dry-run", "--overwrite"]);
    whole.assert_code(1).assert_says("shop_old-schema-create.sql.gz");
}

#[test]
fn a_set_whose_manifest_is_missing_is_held_against_the_catalog_and_a_copy_without_one_is_none() {
    let stage = Stage::with("", "[\"shop_old\"]", "all");
    let (own, copy) = (stage.set(), copy_of(&stage));
    let manifest = "mykeeper.manifest.json";
    std::fs::remove_file(own.join(manifest)).unwrap();
    let missing = format!(
        "the copy in {} is not as it was written: file {manifest}: expected present, found missing",
        own.display()
    );
    let held = "what is restored was held against the catalog's record";
    stage
        .restore(&["--from", "original", "--dry-run"])
        .assert_code(4)
        .assert_says(&missing)
        .assert_says(held);
    unproven_alone(&stage.restore(&["--dry-run"])).assert_says(&format!("every file in {}", copy.display()));
    // It may be on its way: nothing else shows that all of it is there.
    std::fs::remove_file(copy.join(manifest)).unwrap();
    stage.restore(&["--from", "destination"]).assert_code(3);
    stage.restore(&[]).assert_code(4).assert_says(held);
    stage.assert_equal(&["shop_old"]);
    flip(&own.join(DATA));
    stage
        .restore(&["--overwrite"])
        .assert_code(1)
        .assert_says("is damaged, and nothing was written")
        .assert_says(DATA);
}
