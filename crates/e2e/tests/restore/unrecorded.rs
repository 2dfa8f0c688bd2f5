//! A set as pybackup makes them: nothing but its own files, and what a proof has counted, tells what was written.

use crate::Stage;
use std::collections::BTreeSet;

const UNKNOWN: &str = "only that each file is readable was checked";

#[test]
fn without_a_manifest_a_proof_is_what_later_restores_are_held_against() {
    let stage = Stage::with(
        "USE shop_old; CREATE TABLE shop_old.m (id INT PRIMARY KEY); INSERT INTO shop_old.m SELECT seq FROM seq_1_to_1000",
        "[\"shop_old\"]",
        "all",
    );
    let set = stage.set();
    for entry in std::fs::read_dir(&set).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("mykeeper.") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let catalog = stage.workspace.catalog();
    catalog.edit("UPDATE user_backup SET manifest_blake3 = NULL");
    for table in ["mk_file", "mk_evidence", "mk_evidence_zstd"] {
        catalog.edit(&format!("DELETE FROM {table}"));
    }
    let verify = || stage.workspace.mykeeper(&["verify", "--bk-id", &stage.bk_id]);
    verify().assert_code(4).assert_says(UNKNOWN);
    stage
        .restore(&["--dry-run"])
        .assert_code(4)
        .assert_says(UNKNOWN)
        .assert_says("whether it is as it was written is not known");

    stage
        .workspace
        .mykeeper(&["validate", "--bk-id", &stage.bk_id])
        .assert_code(0);
    verify().assert_code(0);
    stage
        .restore(&["--dry-run"])
        .assert_says("no fewer rows than its proof has counted");

    std::fs::remove_file(set.join("shop_old.m.sql.gz")).unwrap();
    for more in [&["--dry-run"][..], &[]] {
        stage
            .restore(more)
            .assert_code(1)
            .assert_says("rows in the files: expected 1100, as its proof of")
            .assert_says("found 100");
    }
    assert_eq!(stage.databases(), BTreeSet::new());
    verify()
        .assert_code(1)
        .assert_says("rows in the files: expected 1100, as its proof of");
}
