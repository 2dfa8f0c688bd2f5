//! A mistake in the schedule, and those who need no schedule.

use crate::{ALL, backup_job};
use mykeeper_e2e::*;

#[test]
fn who_needs_no_schedule_goes_on_in_spite_of_a_mistake_in_it_and_says_so() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    source.sql("GRANT ALL ON *.* TO 'backup'@'localhost'");
    let sound = backup_job("nightly", ALL, "");
    workspace.write_schedule(&sound);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace.write_schedule(&format!(
        "{sound}[retention.prune]\ncron = \"@daily\"\ndirectory = \"{{sets}}\"\nkepp = {{ last = 1 }}\n"
    ));
    for words in [&["backups"][..], &["runs"], &["paths", "list"], &["notify"]] {
        let shown = workspace.mykeeper(words);
        shown
            .assert_code(0)
            .assert_says("did you mean `keep`?")
            .assert_says("goes on without what could not be read there");
    }
    workspace
        .mykeeper(&["show", "newest"])
        .assert_says("goes on without what could not be read there");
    let planned = workspace.mykeeper(&[
        "restore",
        "newest",
        "--into",
        "shop",
        "--database",
        "shop",
        "--as",
        "shop_again",
        "--dry-run",
    ]);
    planned
        // Nobody has proven it.
        .assert_code(4)
        .assert_says("goes on without what could not be read there")
        .assert_says("shop_again");
    workspace
        .mykeeper(&["status"])
        .assert_code(4)
        .assert_says("no daemon runs on");
    for words in [&["run", "nightly"][..], &["check"], &["daemon"]] {
        workspace
            .mykeeper(words)
            .assert_code(2)
            .assert_says("did you mean `keep`?");
    }
    // Who sends what waits may be what could not be read.
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let near = format!(
        "{keeper}\n[destinations.near]\nurl = \"{}\"\n",
        workspace.at("near").display()
    );
    std::fs::write(workspace.config(), near).unwrap();
    let sends = backup_job("nightly", ALL, "transfer_to = \"near\"");
    workspace.write_schedule(&sends);
    workspace.mykeeper(&["run", "nightly"]).assert_code(1);
    workspace
        .mykeeper(&["status"])
        .assert_code(4)
        .assert_says("1 set waits for near, and no transfer job sends to near");
    workspace.write_schedule(&format!(
        "{sends}[transfer.catch-up]\ncorn = \"@daily\"\ndestination = \"near\"\n"
    ));
    let shown = workspace.mykeeper(&["status"]);
    shown.assert_code(4).assert_says(
        "1 set waits for near; who sends there cannot be told until the mistakes in the files are mended",
    );
    // Servers and catalog are in the other file.
    workspace.write_keeper("[servrs.shop]\n");
    workspace.mykeeper(&["backups"]).assert_code(2);
}
