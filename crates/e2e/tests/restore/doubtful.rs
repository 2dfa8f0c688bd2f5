//! A set that is damaged, or whose proof failed, and what is taken for the newest.

use crate::Stage;
use mykeeper_e2e::*;
use std::collections::BTreeSet;

#[test]
fn a_damaged_file_is_named_before_anything_is_written() {
    let stage = Stage::new("");
    stage
        .target
        .sql("CREATE DATABASE shop; CREATE TABLE shop.mine (id INT)");
    let path = stage.set().join("shop.orders.sql.gz");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for more in [&["--overwrite"][..], &["--overwrite", "--dry-run"]] {
        let refused = stage.restore(more);
        refused
            .assert_code(1)
            .assert_says("shop.orders.sql.gz")
            .assert_says("is damaged");
    }
    // A rehearsal tells all that stands in the way.
    stage
        .restore(&["--dry-run"])
        .assert_code(2)
        .assert_says("has a database shop already")
        .assert_says("is damaged")
        .assert_says("shop.orders.sql.gz");
    assert_eq!(stage.databases(), BTreeSet::from(["shop".to_owned()]));
    assert_eq!(stage.target.value("SHOW TABLES FROM shop"), "mine");
    assert_eq!(
        stage.workspace.only_run_of("restore into spare")["state"],
        "failed"
    );

    // Its proof fails. Who asks for the newest is given none that is known to be bad, and told so.
    let validate = ["validate", "--bk-id", &stage.bk_id];
    stage.workspace.mykeeper(&validate).assert_code(1);
    let newest = |word: &str, code| {
        let restore = [
            "restore",
            word,
            "--into",
            "spare",
            "--database",
            "shop_old",
            "--dry-run",
        ];
        let found = stage.workspace.mykeeper(&restore);
        found.assert_code(code);
        found
    };
    newest("newest", 3)
        .assert_says("knows no complete set that is not deleted but these, which are passed by")
        .assert_says("its proof failed: in ");
    newest("newest-proven", 3).assert_says("knows no proven set");
    let made = stage.workspace.mykeeper(&["run", "nightly", "--json"]);
    let again = made.json()["bk_id"].as_str().unwrap().to_owned();
    assert!(!newest("newest:shop", 4).said().contains("skipped"));
    stage
        .workspace
        .mykeeper(&["validate", "--bk-id", "newest"])
        .assert_code(0);
    newest("newest-proven:nightly", 0).assert_says(&again);
    let shown = stage.workspace.mykeeper(&["show", "newest-proven", "--json"]);
    assert_eq!(shown.json()["backup"]["id"], again.as_str());
    // A newer one is damaged.
    let made = stage.workspace.mykeeper(&["run", "nightly", "--json"]);
    let third = made.json()["bk_id"].as_str().unwrap().to_owned();
    std::fs::write(find_set(&stage.workspace.sets(), &third).join("metadata"), "x").unwrap();
    stage
        .workspace
        .mykeeper(&["verify", "--bk-id", &third])
        .assert_code(1);
    newest("newest", 4)
        .assert_says(&format!("skipped: {third}: shop, job nightly"))
        .assert_says(&format!("set {again} in "));
    // And now they all are.
    let path = find_set(&stage.workspace.sets(), &again).join("shop.orders.sql.gz");
    std::fs::write(&path, "x").unwrap();
    stage
        .workspace
        .mykeeper(&["verify", "--bk-id", &again])
        .assert_code(1);
    newest("newest", 3)
        .assert_says(&format!("{again}: shop, job nightly"))
        .assert_says("it is damaged: ");

    // A database whose files are whole can be had, and it is said what is known of the set.
    newest(&again, 4)
        .assert_says(&format!(
            "warning: set {again} is damaged: no copy is known to be as it was written"
        ))
        .assert_says("not as written are shop.orders.sql.gz, of what is not restored");
    stage
        .workspace
        .mykeeper(&["mark-deleted", "--bk-id", &again])
        .assert_code(0);
    newest(&again, 4)
        .assert_says(&format!("warning: set {again} is damaged: "))
        .assert_says(&format!("; set {again} is marked as deleted"));
    let failed = stage.restore(&["--database", "shop_old"]);
    failed
        .assert_code(4)
        .assert_says(&format!("warning: set {} failed its proof at ", stage.bk_id))
        .assert_says("; 1 warning");
    stage.assert_equal(&["shop_old"]);
}

#[test]
fn a_set_that_comes_back_to_its_own_server_is_told_where_to_stop_and_not_to_follow_itself() {
    let stage = Stage::with("", "[\"shop_old\"]", "all");
    stage.source.sql("DROP DATABASE shop_old");
    stage
        .source
        .account("restorer", &stage.secret, "ALL PRIVILEGES ON *.*");
    // The same server, under another name and by another account.
    let keeper = std::fs::read_to_string(stage.workspace.config()).unwrap();
    let again = format!(
        "[servers.again]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"restorer\"\npassword_file = \"target.password\"\n",
        stage.source.port()
    );
    std::fs::write(stage.workspace.config(), format!("{keeper}\n{again}")).unwrap();
    let follow = |server: &str| {
        let words = ["restore", &stage.bk_id, "--into", server, "--dry-run", "--json"];
        let planned = stage.workspace.mykeeper(&words).json();
        planned["plan"]["continue_from"][0]["follow"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(follow("again"), 0);
    // Another one of this machine may follow it.
    assert!(follow("spare") > 0);
    let restored = stage
        .workspace
        .mykeeper(&["restore", &stage.bk_id, "--into", "again"]);
    restored
        .assert_says("--stop-position=POSITION or --stop-datetime")
        .assert_says("this is the server that the set is of");
    assert!(!restored.said().contains("CHANGE MASTER"), "{restored}");
}
