//! Copies of a set that are not where they were.

use crate::text;
use crate::validation::change;
use crate::verify::{Stage, flip};

const DATA: &str = "shop.orders.sql.gz";

#[test]
fn a_copy_that_is_no_longer_where_it_was_is_a_finding_wherever_sets_are_told_of() {
    let job =
        "[validation.look]\ncron = \"NEVER\"\nselect = \"oldest\"\nverify = true\nverify_every = \"1ms\"\n";
    let stage = Stage::new(job);
    let workspace = &stage.workspace;
    for number in [0, 1, 2] {
        let id = &stage.sets[number];
        workspace.mykeeper(&["validate", "--bk-id", id]).assert_code(0);
    }
    // One of two.
    let (vault, aside) = (stage.copy(2), workspace.at("aside"));
    std::fs::rename(&vault, &aside).unwrap();
    let arrived = format!("{}: the copy that arrived at vault on 20", vault.display());
    let told = stage.verify(2);
    told.assert_code(4).assert_says(&arrived);
    stage.run("look").assert_code(4).assert_says(&arrived);
    workspace
        .mykeeper(&["backups"])
        .assert_says("passed (1 copy missing)");
    stage.mend(&told);
    stage.verify(2).assert_code(0).assert_says("2 copies");

    // The disk of the copies is away: nothing is lost, and nothing was seen.
    let (root, mounted) = (workspace.at("vault"), workspace.at("mounted"));
    std::fs::rename(&root, &mounted).unwrap();
    stage
        .verify(2)
        .assert_code(4)
        .assert_says("could not be looked at");
    stage
        .run("look")
        .assert_code(4)
        .assert_says("could not be looked at");
    std::fs::create_dir(&root).unwrap();
    stage
        .verify(2)
        .assert_code(4)
        .assert_says("could not be looked at");
    let damaged = || {
        workspace
            .mykeeper(&["backups", "--state", "damaged", "--json"])
            .json()
    };
    assert_eq!(damaged(), serde_json::json!([]));
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&mounted, &root).unwrap();

    // All copies of the newest set.
    std::fs::remove_dir_all(&vault).unwrap();
    let own = stage.original(2);
    std::fs::remove_dir_all(&own).unwrap();
    let restore = |wanted: &str| {
        let restore = [
            "restore",
            wanted,
            "--into",
            "shop",
            "--database",
            "shop",
            "--as",
            "again",
        ];
        workspace.mykeeper(&[&restore[..], &["--despite-missing-rights", "--dry-run"]].concat())
    };
    for wanted in ["newest", "newest-proven:nightly"] {
        restore(wanted)
            .assert_says(&format!("skipped: {}", stage.sets[2]))
            .assert_says(&stage.sets[1]);
    }
    // Without a name it is the set that should be there, and is not.
    workspace
        .mykeeper(&["verify"])
        .assert_code(1)
        .assert_says(&stage.sets[2])
        .assert_says(&format!("{}: the set's own folder is not there", own.display()));
    stage
        .run("look")
        .assert_code(1)
        .assert_says(&format!("set {} lacks copies that were here", stage.sets[2]));
    assert_eq!(text(&damaged()[0], "id"), stage.sets[2]);
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("is missing since 20");
    let unproven = workspace.mykeeper(&["backups", "--state", "unproven"]);
    unproven
        .assert_says(&stage.sets[2])
        .assert_says("it was proven, and is damaged now");
    restore("newest").assert_says(&stage.sets[1]);

    // What a promise counted on is lost: without a daemon, too.
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let promised = keeper.replacen("[servers.shop]\n", "[servers.shop]\nproven_within = \"1d\"\n", 1);
    std::fs::write(workspace.config(), promised).unwrap();
    workspace.mykeeper(&["jobs"]).assert_code(0);
    for number in [0, 1] {
        flip(&stage.original(number).join(DATA));
        flip(&stage.copy(number).join(DATA));
        stage.verify(number).assert_code(1);
    }
    workspace
        .mykeeper(&["jobs"])
        .assert_code(4)
        .assert_says("no set of job nightly is proven any more");

    // Deleted, it does not count as good again.
    workspace
        .mykeeper(&["mark-deleted", "--bk-id", &stage.sets[2]])
        .assert_code(0);
    workspace
        .mykeeper(&["backups", "--all", "--state", "deleted"])
        .assert_says(" damaged ");
    stage.verify(2).assert_code(3).assert_says("is marked as");
    workspace
        .mykeeper(&["verify", "--bk-id", "01936b3e-0000-7000-8000-0000000000aa"])
        .assert_code(3)
        .assert_says("the catalog knows no set");
    // What another machine has, it may have in a folder of the same path.
    change(
        &workspace.catalog(),
        &format!(
            "UPDATE user_backup SET node = 'other' WHERE bk_id = '{id}'; UPDATE mk_transfer SET node = 'other' \
             WHERE bk_id = '{id}'; UPDATE mk_proof SET node = 'other' WHERE bk_id = '{id}'; \
             DELETE FROM mk_verification WHERE bk_id = '{id}'",
            id = stage.sets[1]
        ),
    );
    std::fs::remove_dir_all(stage.copy(1)).unwrap();
    stage
        .verify(1)
        .assert_code(3)
        .assert_says("is in the catalog, and not on this machine");
}
