//! The same rows as the commands list them.

use crate::OLD;
use crate::stage::{Stage, bk_id};

/// Whoever wrote a row, it is listed, and says what pybackup's columns say.
pub(crate) fn the_commands_show_old_and_new_rows_alike(stage: &Stage) {
    let listed = stage.workspace.backups();
    let of = |id: &str| listed.iter().find(|set| set["id"] == id);
    let old = of(&bk_id(1)).unwrap();
    assert_eq!(old["tag"], OLD);
    assert_eq!(old["transfer_complete"], "N,N,Y");
    assert_eq!(old["databases"], serde_json::json!(["fandb", "test", "日志_库"]));
    let new = listed
        .iter()
        .find(|set| set["databases"] == serde_json::json!(["shop"]));
    assert_eq!(new.unwrap()["tag"], OLD);
    assert_eq!(of(&bk_id(3)).unwrap()["tag"], OLD);
    // pybackup has marked it.
    let usual = stage.workspace.mykeeper(&["backups", "--json"]);
    usual.assert_code(0).assert_says(&bk_id(1));
    assert!(!usual.said().contains(&bk_id(3)), "{usual}");
    let keys = |set: &serde_json::Value| -> Vec<String> {
        let object = set.as_object().unwrap();
        object.keys().cloned().collect()
    };
    assert_eq!(keys(old), keys(new.unwrap()));
    stage
        .workspace
        .mykeeper(&["backups"])
        .assert_code(0)
        .assert_says(OLD);
    stage
        .workspace
        .mykeeper(&["show", &bk_id(1)])
        .assert_code(0)
        .assert_says("日志_库");
}
