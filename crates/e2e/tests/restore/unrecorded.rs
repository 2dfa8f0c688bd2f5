//! A set as pybackup makes them: nothing but its own files, and what a proof has counted, tells what was written.

use crate::Stage;
use std::collections::BTreeSet;
use std::path::PathBuf;

const UNKNOWN: &str = "only that each file is readable was checked";

/// The set as pybackup would have made it.
fn without_records(stage: &Stage) -> PathBuf {
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
    set
}

#[test]
fn without_a_manifest_a_proof_is_what_later_restores_are_held_against() {
    let stage = Stage::with(
        "USE shop_old; CREATE TABLE shop_old.m (id INT PRIMARY KEY); INSERT INTO shop_old.m SELECT seq FROM seq_1_to_1000",
        "[\"shop_old\"]",
        "all",
    );
    let set = without_records(&stage);
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

#[test]
fn a_set_that_lost_its_rows_before_anybody_looked_is_not_proven_to_be_as_it_was() {
    let stage = Stage::with(
        "USE shop_old; CREATE TABLE shop_old.m (id INT PRIMARY KEY, a CHAR(32), b CHAR(32)); \
         INSERT INTO shop_old.m SELECT seq, MD5(RAND()), MD5(RAND()) FROM seq_1_to_50000",
        "[\"shop_old\"]",
        "all",
    );
    let set = without_records(&stage);
    std::fs::remove_file(set.join("shop_old.m.sql.gz")).unwrap();
    let validate = || stage.workspace.mykeeper(&["validate", "--bk-id", &stage.bk_id]);
    let verify = || stage.workspace.mykeeper(&["verify", "--bk-id", &stage.bk_id]);
    let smaller = "size of the files: expected about ";
    let untold = "nothing tells how many rows there were in m: no file holds any";

    // Its row knows that there was more. What is left of it may be all that there is.
    validate()
        .assert_code(1)
        .assert_says(smaller)
        .assert_says("(bk_size), found ");
    assert_eq!(stage.workspace.backups()[0]["validate_status"], "failed");
    verify().assert_code(1).assert_says(smaller);
    stage
        .restore(&["--dry-run"])
        .assert_code(4)
        .assert_says("holds much less than when it was made")
        .assert_says(smaller)
        .assert_says(untold);

    // Where the row does not, it is said that nobody does.
    stage
        .workspace
        .catalog()
        .edit("UPDATE user_backup SET bk_size = '4.0K'");
    let verified = verify();
    verified.assert_code(4).assert_says(untold);
    // An empty table is in nearly every set of pybackup's: its proof warns nobody each night.
    for (code, proven) in [(0, validate()), (4, verify()), (4, stage.restore(&[]))] {
        proven.assert_code(code).assert_says(untold);
        for claim in ["rows as they were", "as it was written"] {
            assert!(!proven.said().contains(claim), "{proven}");
        }
    }
    let shown = stage.workspace.mykeeper(&["show", &stage.bk_id]);
    shown.assert_says(untold);
}
