//! Folders of sets whose disks are not mounted: a mount point that is empty, or gone.

use crate::verify::Stage;
use crate::{NEVER, backup_job, text};
use mykeeper_e2e::*;
use std::path::Path;

const LOOK: &str =
    "[transfer.look]\ncron = \"NEVER\"\ndestination = \"vault\"\nverify = true\nverify_every = \"1ms\"\n";

impl Stage {
    fn rows_of_vault(&self) -> String {
        self.workspace
            .catalog()
            .value("SELECT count(*) FROM mk_transfer WHERE destination = 'vault'")
    }
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn where_sets_should_lie_and_none_does_nothing_is_written_and_nothing_taken_for_gone() {
    let stage = Stage::new(LOOK);
    let workspace = &stage.workspace;
    let (vault, mounted) = (workspace.at("vault"), workspace.at("mounted"));
    // Another destination, which goes on.
    std::fs::create_dir(workspace.at("far")).unwrap();
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let far = format!(
        "\n[destinations.far]\nurl = \"{}\"\n",
        workspace.at("far").display()
    );
    std::fs::write(workspace.config(), format!("{keeper}{far}")).unwrap();
    let nightly = backup_job("nightly", r#"["shop"]"#, r#"transfer_to = ["vault", "far"]"#);
    workspace.write_schedule(&format!("{nightly}{}", LOOK.replace("NEVER", NEVER)));

    let missed = format!(
        "of the 3 sets that should lie in {0} none is there: is its disk mounted? If they were removed on purpose, or it is a new disk: \
         mkdir -p {0} && touch {0}/.mykeeper",
        vault.display()
    );
    let own = stage.original(0);
    let send = [
        "transfer",
        "--backup-dir",
        own.to_str().unwrap(),
        "--bk-id",
        &stage.sets[0],
    ];
    let send = [&send[..], &["--to", "vault"]].concat();
    std::fs::rename(&vault, &mounted).unwrap();
    let rows = stage.rows_of_vault();
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir_all(vault.join("lost+found")).unwrap();
            // It tells nothing of a disk.
            std::fs::write(vault.join("backup.log"), "").unwrap();
        }
        let run = stage.run("nightly");
        run.assert_code(4)
            .assert_says(&format!("nothing was sent to vault: {missed}"))
            .assert_says("arrived at far");
        let look = stage.run("look");
        look.assert_code(1).assert_says(&missed);
        assert!(!look.said().contains("again"), "{look}");
        workspace.mykeeper(&send).assert_code(1).assert_says(&missed);
        let verify = workspace.mykeeper(&["verify", "--bk-id", &stage.sets[2]]);
        verify.assert_code(4).assert_says("could not be looked at");
        workspace
            .mykeeper(&["check"])
            .assert_code(if is_there { 4 } else { 3 })
            .assert_says(&format!("destination vault: {missed}"));
        assert_eq!(entries(&vault), if is_there { 2 } else { 0 });
        assert_eq!(stage.rows_of_vault(), rows, "nothing was begun, nor compared");
    }
    let damaged = workspace.mykeeper(&["backups", "--state", "damaged", "--json"]);
    assert_eq!(damaged.json(), serde_json::json!([]));
    let pending = "SELECT count(*) FROM mk_delivery WHERE destination = 'vault' AND arrived = 0";
    assert_eq!(workspace.catalog().value(pending), "2", "the delivery stays owed");

    std::fs::remove_dir_all(&vault).unwrap();
    std::fs::rename(&mounted, &vault).unwrap();
    stage
        .run("look")
        .assert_code(0)
        .assert_says("2 sets sent to vault");
    assert_eq!(workspace.catalog().value(pending), "0");

    // A new disk.
    std::fs::rename(&vault, &mounted).unwrap();
    std::fs::create_dir(&vault).unwrap();
    let again = missed.replace("the 3 sets", "the 5 sets");
    workspace.mykeeper(&send).assert_code(1).assert_says(&again);
    std::fs::write(vault.join(".mykeeper"), "").unwrap();
    workspace
        .mykeeper(&send)
        .assert_code(0)
        .assert_says("has arrived at");
    assert!(stage.copy(0).is_dir());
}

/// The sets that are not deleted, and that lie below a mount point: nowhere that shows.
fn covered_by_the_mount(workspace: &Workspace, sets: &Path) -> Vec<String> {
    let catalog = workspace.catalog();
    let mut ids = catalog.column("SELECT bk_id FROM user_backup WHERE is_deleted = 'N'");
    ids.retain(|id| {
        let mut days = std::fs::read_dir(sets).into_iter().flatten().flatten();
        !days.any(|day| day.path().join(id).is_dir())
    });
    ids
}

#[test]
fn a_set_is_made_where_those_before_it_are_missed_and_that_is_said() {
    let stage = Stage::new("");
    let (workspace, sets) = (&stage.workspace, stage.workspace.sets());
    let nightly = backup_job("nightly", r#"["shop"]"#, "");
    workspace.write_schedule(&format!(
        "{nightly}[retention.prune]\ncron = \"{NEVER}\"\ndirectory = {sets:?}\nkeep = {{ last = 1 }}\naction = \"delete\"\n\
         require = \"complete\"\n"
    ));
    let mounted = workspace.at("mounted");
    std::fs::rename(&sets, &mounted).unwrap();
    std::fs::create_dir(&sets).unwrap();
    std::fs::write(sets.join("pybackup.log"), "").unwrap();
    let missed = format!(
        "of the 3 sets that should lie in {} none is there",
        sets.display()
    );
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says(&format!("job nightly: {missed}"));
    assert_eq!(entries(&sets), 1);
    stage.run("nightly").assert_code(4).assert_says(&missed);
    let newest = text(&workspace.backups()[0], "id").to_owned();
    assert!(find_set(&sets, &newest).is_dir());
    // That one lies there now tells nothing of the others.
    let away = format!(
        "3 sets that should lie in {0} are not there, and what is there was made without its disk (so says \
         {0}/.mykeeper-unmounted.",
        sets.display()
    );
    // Nor does a dump of another catalog, which misses nothing there.
    let ours = std::fs::read_to_string(workspace.config()).unwrap();
    std::fs::write(workspace.config(), ours.replace("/state\"", "/other-state\"")).unwrap();
    workspace.mykeeper(&["catalog", "migrate"]).assert_code(0);
    stage.run("nightly").assert_code(0);
    std::fs::write(workspace.config(), ours).unwrap();
    stage.run("nightly").assert_code(4).assert_says(&away);
    workspace.mykeeper(&["check"]).assert_code(4).assert_says(&away);
    stage.run("prune").assert_code(4).assert_says(&away);
    workspace
        .mykeeper(&["verify", "--bk-id", &stage.sets[0]])
        .assert_code(4)
        .assert_says("could not be looked at");
    let deleted = || {
        workspace
            .catalog()
            .column("SELECT bk_id FROM user_backup WHERE is_deleted = 'Y'")
    };
    assert_eq!(
        deleted(),
        [newest],
        "the newer of the two is kept, and those before both"
    );

    // It is mounted over what was made meanwhile.
    std::fs::rename(&sets, workspace.at("below")).unwrap();
    std::fs::rename(&mounted, &sets).unwrap();
    workspace
        .mykeeper(&["verify", "--bk-id", &stage.sets[0]])
        .assert_code(0);
    stage.run("nightly").assert_code(0);
    let covered = covered_by_the_mount(workspace, &sets);
    let [covered] = &covered[..] else {
        panic!("{covered:?}");
    };
    // Also where no retention job would tell of it.
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("1 set was made while the disk of ")
        .assert_says(&format!("mark-deleted --bk-id {covered}"));
    stage
        .run("prune")
        .assert_code(4)
        .assert_says("1 set was made while the disk of ")
        .assert_says(&format!("mark-deleted --bk-id {covered}"));
    assert!(!deleted().contains(covered));
    workspace
        .mykeeper(&["verify", "--bk-id", covered])
        .assert_code(3)
        .assert_says("could not be looked at");
    workspace
        .mykeeper(&["mark-deleted", "--bk-id", covered])
        .assert_code(0);
    stage.run("prune").assert_code(0);
    let check = workspace.mykeeper(&["check"]);
    assert!(!check.said().contains("1 set was made while"), "{check}");

    // It is gone for good, and the disk that is there is a new one.
    std::fs::remove_dir_all(&sets).unwrap();
    std::fs::create_dir(&sets).unwrap();
    std::fs::write(sets.join(".mykeeper"), "").unwrap();
    stage.run("nightly").assert_code(0);
}
