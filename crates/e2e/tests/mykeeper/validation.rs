//! Sets that are damaged, and the proof that tells.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{ALL, add_path, backup_job, text};
use mykeeper_e2e::*;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::path::{Path, PathBuf};

/// Each damage of its own kind; the file concerned and what is done to it.
type Damage = (&'static str, &'static str, fn(&Path));

fn truncate(path: &Path) {
    let size = std::fs::metadata(path).unwrap().len();
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(size / 2)
        .unwrap();
}

fn shorten(path: &Path) {
    let size = std::fs::metadata(path).unwrap().len();
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(size - 8)
        .unwrap();
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

const DAMAGES: [Damage; 8] = [
    ("a data file is missing", "shop.orders.sql.gz", remove),
    ("a data file is cut in half", "shop.orders.sql.gz", truncate),
    ("a data file lacks its end", "shop.orders.sql.gz", shorten),
    ("one bit of a data file is flipped", "shop.customers.sql.gz", flip),
    (
        "a table's definition is missing",
        "shop.customers-schema.sql.gz",
        remove,
    ),
    ("a view is missing", "shop.paid_orders-schema-view.sql.gz", remove),
    (
        "routines and events are missing",
        "shop-schema-post.sql.gz",
        remove,
    ),
    (
        "a trigger is missing",
        "shop.orders-schema-triggers.sql.gz",
        remove,
    ),
];

#[test]
fn a_set_with_a_damaged_or_missing_file_does_not_pass() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, ""));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let set = find_set(&workspace.sets(), &bk_id);
    let good = workspace.at("good");
    copy(&set, &good);
    let catalog = workspace.catalog();

    for (what, file, damage) in DAMAGES {
        damage(&set.join(file));
        let finished = workspace.mykeeper(&["validate", "--bk-id", &bk_id]);
        assert_eq!(finished.status.code(), Some(1), "{what}: {finished}");
        assert!(
            finished.said().contains(file),
            "{what}: the message should name {file}: {finished}"
        );
        let status = catalog.value(&format!(
            "SELECT validate_status FROM user_backup WHERE bk_id = '{bk_id}'"
        ));
        assert_eq!(status, "failed", "{what}");
        let _ = std::fs::remove_dir_all(&set);
        copy(&good, &set);
    }
    let row = catalog.query(&format!(
        "SELECT db, recover_status FROM user_recover_info WHERE bk_id = '{bk_id}'"
    ));
    assert!(row.iter().any(|row| row[1] == "failed"), "{row:?}");

    workspace
        .mykeeper(&["validate", "--bk-id", &bk_id])
        .assert_code(0);
    assert_eq!(catalog.value("SELECT validate_status FROM user_backup"), "passed");
    assert_eq!(
        leftovers(&workspace),
        Vec::<PathBuf>::new(),
        "the throwaway server has left something"
    );
}

#[test]
fn a_set_that_has_moved_is_found_through_user_backup_path() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&backup_job("nightly", ALL, "consistency = \"per-database\""));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let backup = workspace.backups().remove(0);
    let bk_id = text(&backup, "id");
    let set = find_set(&workspace.sets(), bk_id);
    let day = set.parent().unwrap().file_name().unwrap();
    let elsewhere = workspace.at("elsewhere");
    std::fs::create_dir_all(elsewhere.join(day)).unwrap();
    std::fs::rename(&set, elsewhere.join(day).join(bk_id)).unwrap();

    let lost = workspace.mykeeper(&["validate", "--bk-id", bk_id]);
    assert_ne!(lost.status.code(), Some(0), "{lost}");
    let place = elsewhere.display().to_string();
    add_path(&workspace, &elsewhere);
    workspace
        .mykeeper(&["paths", "list"])
        .assert_code(0)
        .assert_says(&place);
    workspace.mykeeper(&["validate", "--bk-id", bk_id]).assert_code(0);
    let shown = workspace.mykeeper(&["show", bk_id, "--json"]).json();
    let passed = shown["proofs"][0]["databases"].as_array().unwrap();
    assert_eq!(passed.len(), SAMPLE_DATABASES.len(), "{shown:#}");
    assert!(
        passed.iter().all(|database| database["passed"] == true),
        "{shown:#}"
    );
}

#[test]
fn an_assertion_fails_the_set_only_where_it_can_be_run() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    // Of the other server nothing is backed up, though it has the same databases.
    let spare = workspace.server("spare", &source, "pw");
    workspace.write_keeper(&format!(
        "{}{spare}tag = \"spare\"\n",
        workspace.server("shop", &source, "pw")
    ));
    let assert = |statements: &[(&str, &str)]| {
        let all: Vec<String> = statements
            .iter()
            .map(|(database, sql)| format!("{{ database = \"{database}\", sql = \"{sql}\" }}"))
            .collect();
        workspace.write_schedule(&format!(
            "{}[validation.prove]\ncron = \"{}\"\nassert = [{}]\n\
             [validation.others]\ncron = \"@yearly\"\ntags = [\"shpo\"]\n",
            backup_job("nightly", r#"["shop"]"#, "compression = \"zstd\""),
            crate::NEVER,
            all.join(", ")
        ));
    };
    let statuses = || {
        let all = workspace
            .catalog()
            .query("SELECT validate_status FROM user_backup ORDER BY validate_status");
        all.concat()
    };
    let (misspelt, too_many) = (
        "SELECT COUNT(*) FROM ordrs",
        "SELECT COUNT(*) > 90000 FROM orders",
    );
    assert(&[
        ("shop", too_many),
        ("shop", misspelt),
        ("shop", "SELECT COUNT(*) FORM orders WHERE"),
        ("shop_old", "SELECT 1"),
    ]);
    let check = workspace.mykeeper(&["check"]);
    check
        .assert_code(3)
        .assert_says("warning job others: no server here has the tag \"shpo\"")
        .assert_says("did you mean \"shop\"?")
        .assert_says("warning job nightly: compression = \"zstd\": myloader 0.10")
        .assert_says("ok      job prove on server shop: 1 assert can be run")
        .assert_says(&format!(
            "FAILED  job prove on server shop: its assert on shop cannot be run there: {misspelt}"
        ))
        .assert_says("FORM orders WHERE: ERROR 1064")
        .assert_says("warning job prove: its assert on shop_old is never tried");
    assert!(!check.said().contains("on server spare"), "{check}");
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let prove = || {
        let proven = workspace.mykeeper(&["run", "prove"]);
        let tried = proven.said().matches("proving set").count();
        (proven, tried)
    };
    let (refused, tried) = prove();
    refused
        .assert_code(1)
        .assert_says("the assert on database shop cannot be run")
        .assert_says("ERROR 1064");
    assert_eq!(
        tried, 0,
        "a set was read for a statement that no server understands"
    );
    assert_eq!(statuses(), ["N/A", "N/A"]);
    // It came to no set, and is told of each that waits for the job.
    let unproven = || {
        workspace
            .mykeeper(&["backups", "--state", "unproven", "--json"])
            .json()
    };
    for set in unproven().as_array().unwrap() {
        let why = crate::text(&set["unproven"], "text");
        assert!(
            why.contains("the last try, on testnode, ended failed") && why.contains("ERROR 1064"),
            "{why}"
        );
    }

    assert(&[("shop", misspelt), ("shop_old", "SELECT 1")]);
    let (refused, tried) = prove();
    refused
        .assert_code(1)
        .assert_says(misspelt)
        .assert_says("Table 'shop.ordrs' doesn't exist")
        .assert_says("is left for another run: it holds shop, of which an assert could not be run");
    assert_eq!(tried, 1, "another set was restored for the same statement");
    assert_eq!(statuses(), ["N/A", "N/A"]);

    assert(&[("shop", too_many), ("shop_old", "SELECT 1")]);
    workspace
        .mykeeper(&["run", "prove"])
        .assert_code(1)
        .assert_says("90000")
        .assert_says("make another: mykeeper ")
        .assert_says("if the assert is wrong and not the set, correct it and prove the set again: \"mykeeper --config ");
    assert_eq!(statuses(), ["N/A", "failed"]);
    let why = unproven().to_string();
    assert!(why.contains("correct it and prove the set again"), "{why}");

    // What two sets have failed with a third will.
    let again = workspace.mykeeper(&["run", "prove"]);
    again
        .assert_code(1)
        .assert_says("of job nightly has failed so, too, and another one will hardly do better");
    assert!(!again.said().contains("make another"), "{again}");
    assert_eq!(statuses(), ["failed", "failed"]);

    // They are not forgotten for having their verdict, until a newer one passes.
    assert(&[("shop", "SELECT COUNT(*) FROM orders"), ("shop_old", "SELECT 1")]);
    let newest = workspace.backups()[0]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let nothing = "no set waits for its proof";
    workspace
        .mykeeper(&["run", "prove"])
        .assert_code(4)
        .assert_says(&format!(
            "{nothing}; set {newest} of shop has failed, and none after it has passed: its proof failed: "
        ))
        .assert_says("90000");
    let named = format!("warning set {newest}: of job nightly, started at ");
    workspace
        .mykeeper(&["check"])
        .assert_says(&named)
        .assert_says("90000");
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace.mykeeper(&["run", "prove"]).assert_code(0);
    workspace
        .mykeeper(&["run", "prove"])
        .assert_code(0)
        .assert_says(nothing);
    let check = workspace.mykeeper(&["check"]);
    assert!(!check.said().contains(&named), "{check}");
}

/// Changes the embedded catalog, beside the binary.
pub(crate) fn change(catalog: &CatalogView<'_>, statement: &str) {
    let path = match catalog {
        CatalogView::Sqlite(path) => Some(path),
        CatalogView::MariaDb(..) => None,
    }
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .connect()
            .await
            .unwrap();
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    });
}

#[test]
fn a_set_that_cannot_be_tried_holds_up_no_other_and_comes_last() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&format!(
        "{}[validation.prove]\ncron = \"{}\"\nselect = \"oldest\"\nretry = {{ attempts = 1, delay = \"1s\" }}\n",
        backup_job("nightly", r#"["shop"]"#, ""),
        crate::NEVER
    ));
    let catalog = workspace.catalog();
    let status = |bk_id: &str| {
        catalog.value(&format!(
            "SELECT validate_status FROM user_backup WHERE bk_id = '{bk_id}'"
        ))
    };
    let back_up = || {
        let before = catalog.column("SELECT bk_id FROM user_backup");
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
        let mut after = catalog.column("SELECT bk_id FROM user_backup");
        after.retain(|bk_id| !before.contains(bk_id));
        after.remove(0)
    };
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let first = catalog.value("SELECT bk_id FROM user_backup");
    let second = back_up();
    // Nobody can say what should be in it.
    change(&catalog, "CREATE TABLE aside AS SELECT * FROM mk_evidence_zstd");
    change(
        &catalog,
        &format!("UPDATE mk_evidence_zstd SET packed = x'00' WHERE bk_id = '{first}'"),
    );

    let proven = workspace.mykeeper(&["run", "prove"]);
    proven
        .assert_code(4)
        .assert_says(&format!("set {first} could not be tried"))
        .assert_says(&format!("set {second} is proven"));
    assert_eq!((status(&first), status(&second)), ("N/A".into(), "passed".into()));

    let third = back_up();
    let proven = workspace.mykeeper(&["run", "prove"]);
    proven
        .assert_code(0)
        .assert_says(&format!("set {third} is proven"));
    assert!(!proven.said().contains("could not be tried"), "{proven}");
    workspace
        .mykeeper(&["run", "prove"])
        .assert_code(1)
        .assert_says(&first);
    assert_eq!(status(&first), "N/A");

    change(
        &catalog,
        &format!(
            "UPDATE mk_evidence_zstd SET packed = (SELECT packed FROM aside WHERE bk_id = '{first}') WHERE bk_id = '{first}'"
        ),
    );
    workspace.mykeeper(&["run", "prove"]).assert_code(0);
    assert_eq!(status(&first), "passed");
}

#[test]
fn a_proof_that_is_cancelled_leaves_no_server_and_no_verdict() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&backup_job("nightly", ALL, ""));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let running = workspace.start_mykeeper(&["validate"]);
    let server = wait_until(LIMIT, "the throwaway server runs", || {
        descendants_of(running.pid())
            .into_iter()
            .find(|process| process.name.starts_with("mariadbd"))
    });
    running.signal(rustix::process::Signal::INT);
    let finished = running.finish();
    assert_eq!(finished.status.code(), Some(130), "{finished}");
    assert!(!server.is_alive(), "the throwaway server outlives its proof");
    assert_eq!(
        workspace
            .catalog()
            .value("SELECT validate_status FROM user_backup"),
        "N/A"
    );
    assert_eq!(
        leftovers(&workspace),
        Vec::<PathBuf>::new(),
        "the throwaway server has left something"
    );
}

/// What lies in the sandbox's directory besides what is kept for the next proof: a prepared folder and locks.
fn leftovers(workspace: &Workspace) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace.at("sandbox"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let is_kept = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.contains("-template-") || name.ends_with(".lock")
    };
    entries.filter(|path| !is_kept(path)).collect()
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}
