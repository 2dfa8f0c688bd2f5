//! Which databases are taken, and how a set is laid out.

use crate::{ALL, assert_run, backup_job, text};
use mykeeper_e2e::*;
use std::collections::BTreeSet;

#[test]
fn patterns_choose_databases_as_like_does() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    let cases: [(&str, &str, &[&str]); 4] = [
        (
            "logs",
            r#"["union_log_ad_%"]"#,
            &["union_log_ad_201711_db", "union_log_ad_201712_db"],
        ),
        (
            "names",
            r#"["shop", "日志%", "pay$roll"]"#,
            &["pay$roll", "shop", "日志 库-1"],
        ),
        // The underscore is any one character: here a dot and two letters.
        ("one-letter", r#"["shop___"]"#, &["shop.eu"]),
        (
            "without",
            r#"["!mysql", "!shop%", "!union%"]"#,
            &["empty_one", "my-schema", "pay$roll", "日志 库-1"],
        ),
    ];
    let jobs: Vec<String> = cases
        .iter()
        .map(|(name, databases, _)| backup_job(name, databases, ""))
        .collect();
    workspace.write_schedule(&jobs.concat());
    for (name, _, expected) in cases {
        workspace.mykeeper(&["run", name]).assert_code(0);
        let backup = workspace.backups().remove(0);
        let found: BTreeSet<&str> = backup["databases"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|db| db.as_str())
            .collect();
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(found, expected, "{name}");
        // What is not asked for is not in the set either: "shop" is not "shop.eu".
        let set = find_set(&workspace.sets(), text(&backup, "id"));
        let created: BTreeSet<String> = std::fs::read_dir(set)
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix("-schema-create.sql.gz")
                    .map(str::to_owned)
            })
            .collect();
        assert_eq!(
            created.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn per_database_each_database_has_a_folder_and_a_verdict() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    workspace.write_schedule(&backup_job("nightly", ALL, "consistency = \"per-database\""));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let row = workspace
        .catalog()
        .query("SELECT backuped_db, is_complete, bk_id FROM user_backup")
        .remove(0);
    assert_eq!(row[0].split(',').collect::<Vec<_>>(), SAMPLE_DATABASES);
    assert_eq!(row[1], ["Y"; SAMPLE_DATABASES.len()].join(","));
    let set = find_set(&workspace.sets(), &row[2]);
    for database in SAMPLE_DATABASES {
        assert!(set.join(database).join("metadata").is_file(), "{database}");
    }
    workspace
        .mykeeper(&["validate", "--bk-id", &row[2]])
        .assert_code(0);
}

#[test]
fn a_server_with_a_hundred_databases() {
    let server = MariaDb::start();
    let statements: Vec<String> = (0..100)
        .map(|n| format!("CREATE DATABASE db_{n:03}; CREATE TABLE db_{n:03}.t (a INT PRIMARY KEY); INSERT INTO db_{n:03}.t VALUES ({n});"))
        .collect();
    server.sql(&statements.concat());
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    workspace.write_schedule(&format!(
        "{}{}",
        backup_job("together", r#"["db%"]"#, ""),
        backup_job("apart", r#"["db%"]"#, "consistency = \"per-database\"")
    ));
    for (job, marks) in [("together", "Y".to_owned()), ("apart", ["Y"; 100].join(","))] {
        workspace.mykeeper(&["run", job]).assert_code(0);
        let row = workspace
            .catalog()
            .query("SELECT is_complete, backuped_db, bk_id FROM user_backup ORDER BY id DESC")
            .remove(0);
        assert_eq!(row[0], marks);
        assert_eq!(row[1].split(',').count(), 100);
    }
    workspace.mykeeper(&["validate"]).assert_code(0);
    let sql = "SELECT COUNT(*) FROM user_recover_info WHERE recover_status = 'sucess'";
    assert_eq!(workspace.catalog().value(sql), "100");
}

#[test]
fn several_threads_of_the_real_tool_still_yield_a_complete_set() {
    // mydumper 0.10 now and then locks up at its start when it has several threads and a server has several
    // databases: that is noticed, and it is started again, all within one attempt.
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    workspace.write_schedule(&backup_job(
        "nightly",
        ALL,
        "mydumper = [\"compress\", \"threads=4\", \"triggers\", \"events\", \"routines\"]\n\
         retry = { attempts = 1, delay = \"1s\" }",
    ));
    for _ in 0..5 {
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    let runs = workspace.runs_of("nightly");
    assert_eq!(runs.len(), 5);
    runs.iter().for_each(|run| assert_run(run, "succeeded", &[]));
    let complete = workspace
        .catalog()
        .value("SELECT COUNT(*) FROM user_backup WHERE is_complete = 'Y'");
    assert_eq!(complete, "5");
}
