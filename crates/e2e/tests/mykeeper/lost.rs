//! A set that nobody else has, and that somebody removed beside mykeeper.

use crate::{ALL, backup_job};
use mykeeper_e2e::*;

#[test]
fn a_set_that_is_nowhere_else_and_not_where_it_was_made_is_told_of_until_somebody_says_what_became_of_it() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&backup_job("nightly", ALL, ""));
    for _ in 0..2 {
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    let id = workspace.backups()[1]["id"].as_str().unwrap().to_owned();
    workspace.mykeeper(&["status"]).assert_code(0);
    let folder = find_set(&workspace.sets(), &id);
    let aside = workspace.at("aside");
    std::fs::rename(&folder, &aside).unwrap();
    let gone = format!("its folder {} is not there", folder.display());
    workspace
        .mykeeper(&["status"])
        .assert_code(4)
        .assert_says("1 set that nobody else has is not in place, of the newest 100")
        .assert_says(&gone);
    workspace
        .mykeeper(&["check"])
        .assert_says(&format!("warning set {id}: of shop, started at"))
        .assert_says(&gone);

    std::fs::rename(&aside, &folder).unwrap();
    workspace.mykeeper(&["status"]).assert_code(0);
    std::fs::remove_dir_all(&folder).unwrap();
    workspace
        .mykeeper(&["mark-deleted", "--bk-id", &id])
        .assert_code(0);
    workspace.mykeeper(&["status"]).assert_code(0);
    let checked = workspace.mykeeper(&["check"]);
    assert!(!checked.said().contains(&id), "{checked}");
}
