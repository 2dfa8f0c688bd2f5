//! The night the catalog is gone, too: a set comes back by what lies in its own folder.

use crate::Stage;
use mykeeper_e2e::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NOT_KNOWN: &str = "not known is whether set";
const JOB: &str = "[backup.nightly]\ncron = \"0 4 1 1 *\"\nserver = \"shop\"\ndatabases = [\"shop_old\"]\n\
                   directory = \"{sets}\"\nmydumper = [\"compress\", \"triggers\", \"routines\", \"events\"]\n";

fn assert_equal(target: &MariaDb, source: &MariaDb) {
    assert_eq!(
        fingerprint(target, &["shop_old"]),
        fingerprint(source, &["shop_old"])
    );
}

#[test]
fn a_set_is_restored_by_its_own_records_while_a_shared_catalog_is_away() {
    let (source, target) = (MariaDb::with_sample(), MariaDb::start());
    let mut catalog = MariaDb::start();
    catalog.sql("CREATE DATABASE catalogdb");
    catalog.account("keeper", "pw", "ALL ON catalogdb.*");
    target.account("restorer", "pw", "ALL PRIVILEGES ON *.*");
    let workspace = Workspace::new();
    let file = workspace.password_file("same", "pw");
    workspace.write_keeper(&format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"{file}\"\n\n{}\
         [servers.spare]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"restorer\"\npassword_file = \"{file}\"\n",
        catalog.port(),
        workspace.server("shop", &source, "pw"),
        target.port(),
        file = file.display()
    ));
    workspace.write_schedule(JOB);
    workspace.mykeeper(&["catalog", "migrate"]).assert_code(0);
    let made = workspace.mykeeper(&["run", "nightly", "--json"]).json();
    let id = made["bk_id"].as_str().unwrap().to_owned();
    let set = find_set(&workspace.sets(), &id);
    workspace.mykeeper(&["validate", "--bk-id", &id]).assert_code(0);
    catalog.stop();

    let restore = |which: &str, more: &[&str]| {
        let mut words = vec!["restore", which, "--into", "spare"];
        words.extend(more);
        workspace.mykeeper(&words)
    };
    // Which is the newest, the catalog alone knows; what lies here is named with the whole command.
    let newest = restore("newest-proven:shop", &["--database", "shop_old", "--as", "s 9"]);
    newest
        .assert_code(3)
        .assert_says("the catalog alone can tell: cannot reach the catalog at mysql://keeper@")
        .assert_says("whether they are proven is not known")
        .assert_says(&format!(
            " restore {id} --from {} --into spare --database shop_old --as 's 9'",
            set.display()
        ));
    restore("newest:nobody", &[])
        .assert_code(3)
        .assert_says("no complete set of that name lies in");

    let dry = restore(&id, &["--dry-run"]);
    dry.assert_code(4);
    for said in [
        "the catalog is away",
        NOT_KNOWN,
        "whose manifest is the one that this machine wrote",
    ] {
        assert!(dry.stderr.contains(said), "{said}: {dry}");
    }
    let dry = restore(&id[..13], &["--dry-run", "--json"]).json();
    assert_eq!(dry["plan"]["by_own_record"], true);
    assert!(dry["plan"]["continue_from"][0]["file"].is_string(), "{dry:#}");
    assert!(target.query("SHOW DATABASES LIKE 'shop%'").is_empty());

    let restored = restore(&id, &[]);
    restored
        .assert_code(4)
        .assert_says("as they were; 1 warning")
        .assert_says("--start-position=");
    assert!(restored.stderr.contains(NOT_KNOWN), "{restored}");
    assert_equal(&target, &source);
    restore(&id, &[])
        .assert_code(2)
        .assert_says("has a database shop_old already");

    // What it promises holds: each file is read before anything is written, and the manifest itself is known.
    let path = set.join("shop_old.archive.sql.gz");
    let path = if path.exists() { path } else { a_data_file(&set) };
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    restore(&id, &["--overwrite"])
        .assert_code(1)
        .assert_says("is damaged, and nothing was written")
        .assert_says(path.file_name().unwrap().to_str().unwrap());
    std::fs::write(&path, &bytes).unwrap();
    assert_equal(&target, &source);
    let manifest = set.join("mykeeper.manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{text} ")).unwrap();
    let from = set.display().to_string();
    restore(&id, &["--overwrite", "--from", &from])
        .assert_code(3)
        .assert_says("is not the one that this machine wrote");
    std::fs::write(&manifest, &text).unwrap();

    // Elsewhere on this machine, where nothing but --from tells of it.
    let attic = workspace.at("attic");
    std::fs::create_dir(&attic).unwrap();
    std::fs::rename(&set, attic.join(&id)).unwrap();
    restore(&id, &["--dry-run"])
        .assert_code(3)
        .assert_says("its folder is not found on this machine")
        .assert_says("name the folder that has it with --from");
    restore(&id, &["--overwrite", "--from", &attic.display().to_string()]).assert_code(4);
    assert_equal(&target, &source);

    catalog.start_again();
    wait_until(Duration::from_secs(40), "the runs are recorded", || {
        workspace.mykeeper(&["run", "nightly"]);
        (workspace.mykeeper(&["catalog", "status"]).status.code() == Some(0)).then_some(())
    });
    let states: Vec<String> = workspace
        .runs_of("restore into spare")
        .iter()
        .map(|run| run["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["warned", "failed", "warned"]);
}

fn a_data_file(set: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = std::fs::read_dir(set)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.ends_with(".sql.gz") && !name.contains("-schema")
        })
        .collect();
    files.sort();
    files.remove(0)
}

#[test]
fn a_set_is_restored_by_its_own_records_where_the_catalog_is_lost_or_another() {
    let stage = Stage::with("", "[\"shop_old\"]", "all");
    let path = stage.set();
    let file = stage.workspace.at("state/catalog.db");
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        drop(std::fs::remove_file(stage.workspace.at("state").join(name)));
    }
    let newest = ["restore", "newest", "--into", "spare"];
    stage
        .workspace
        .mykeeper(&newest)
        .assert_code(3)
        .assert_says(&format!("--from {} --into spare", path.display()));
    let restored = stage.restore(&[]);
    restored.assert_code(4).assert_says("as they were; 1 warning");
    for said in ["there is no catalog", "catalog rebuild --from", NOT_KNOWN] {
        assert!(restored.stderr.contains(said), "{said}: {restored}");
    }
    assert!(!file.exists(), "a restore has made a catalog");
    stage.assert_equal(&["shop_old"]);
    stage.nothing_is_left();

    // One that cannot be read is no better.
    std::fs::write(&file, "no database").unwrap();
    stage
        .restore(&["--overwrite"])
        .assert_code(4)
        .assert_says("as they were; 1 warning");
    std::fs::remove_file(&file).unwrap();

    // A catalog of another site knows other sets: its own, and none by this name.
    let made = stage.workspace.mykeeper(&["run", "nightly", "--json"]).json();
    let other = made["bk_id"].as_str().unwrap();
    let attic = stage.workspace.at("attic");
    std::fs::create_dir(&attic).unwrap();
    std::fs::rename(&path, attic.join(&stage.bk_id)).unwrap();
    stage
        .restore(&["--dry-run"])
        .assert_code(2)
        .assert_says("the catalog knows no set")
        .assert_says("name the folder that has it with --from");
    stage.target.sql("DROP DATABASE shop_old");
    let from = attic.display().to_string();
    stage
        .restore(&["--from", &from])
        .assert_code(4)
        .assert_says(NOT_KNOWN)
        .assert_says("as they were; 1 warning");
    stage.assert_equal(&["shop_old"]);
    assert_eq!(
        stage.workspace.only_run_of("restore into spare")["state"],
        "warned"
    );
    assert_eq!(
        stage.workspace.backups()[0]["id"],
        other,
        "the set of another has no row"
    );

    // Without its manifest nothing tells what it is.
    std::fs::remove_file(attic.join(&stage.bk_id).join("mykeeper.manifest.json")).unwrap();
    std::fs::remove_file(attic.join(&stage.bk_id).join("mykeeper.evidence.json")).unwrap();
    stage
        .restore(&["--from", &from, "--overwrite"])
        .assert_code(3)
        .assert_says("holds no mykeeper.manifest.json");
    stage.assert_equal(&["shop_old"]);
}
