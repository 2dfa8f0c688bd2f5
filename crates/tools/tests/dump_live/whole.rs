//! Dumps in which nothing goes wrong, and mistakes that are found before anything is started.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::support::{AWKWARD, AWKWARD_NAMES, Dump, Server, reasons, rows, tempdir};
use mykeeper_domain::inventory::Coverage;
use mykeeper_domain::job::Consistency;
use mykeeper_tools::ToolError;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn one_snapshot_holds_exactly_what_was_asked_for() {
    let server = Server::start_with(&["--sql-mode="]);
    server.sql(AWKWARD);
    let dump = Dump::full(&AWKWARD_NAMES);
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert_eq!(result.complete, [true]);
    assert!(result.ended.is_none());
    assert_eq!(result.coverage, Coverage::ALL);
    let databases: BTreeSet<&str> = result.inventory.databases.keys().map(String::as_str).collect();
    assert_eq!(databases, BTreeSet::from(AWKWARD_NAMES));
    for (database, table, expected) in [
        ("shop", "orders", 20_007),
        ("shop", "audit", 0),
        ("shop", "ms", 2),
        ("shop", "ms_empty", 0),
        ("shop", "ar", 1),
        ("shop", "types", 257),
        ("shop", "gen", 3),
        ("shop", "part", 9),
        ("shop", "od.d tbl-x", 1),
        ("日志 库-1", "表 一", 1),
        ("a$b", "t", 2),
        ("has space", "t t", 1),
    ] {
        assert_eq!(
            rows(&result.inventory, database, table),
            Some(expected),
            "{database}.{table}"
        );
    }
    let listed: Vec<&str> = result.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        listed,
        dump.names(),
        "every file is listed, and none else is there"
    );
    for other in ["shop2.", "shop.eu", "Shop."] {
        assert!(
            !listed.iter().any(|path| path.starts_with(other)),
            "{other} was not asked for"
        );
    }
    for file in &result.files {
        let bytes = std::fs::read(dump.set_dir.join(&file.path)).unwrap();
        assert_eq!(
            file.blake3,
            blake3::hash(&bytes).to_hex().to_string(),
            "{}",
            file.path
        );
        assert_eq!(file.size_bytes, bytes.len() as u64);
    }
    assert!(
        result.master_status.starts_with("bin.00000"),
        "{}",
        result.master_status
    );
    assert_eq!(result.slave_status, "Not a slave");
    assert!(result.server_version.contains("MariaDB"));
    assert!(
        result.command.contains("--threads=2") && !result.command.contains("geheim"),
        "{}",
        result.command
    );
    assert!(!dump.log.text().contains("geheim"));
    assert!(
        dump.log
            .progress
            .lock()
            .unwrap()
            .last()
            .is_some_and(|bytes| *bytes > 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_database_lies_in_its_own_folder() {
    let server = Server::start_with(&["--sql-mode="]);
    server.sql(AWKWARD);
    let mut dump = Dump::full(&["shop", "shop.eu", "日志 库-1", "empty_one"]);
    dump.consistency = Consistency::PerDatabase;
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert_eq!(result.complete, [true; 4]);
    assert_eq!(dump.names(), ["empty_one", "shop", "shop.eu", "日志 库-1"]);
    assert!(result.files.iter().any(|file| file.path == "日志 库-1/metadata"));
    assert_eq!(rows(&result.inventory, "shop", "orders"), Some(20_007));
    assert_eq!(result.command.lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_databases_are_one_dump() {
    let server = Server::start();
    let names: Vec<String> = (0..100).map(|n| format!("db_{n:03}")).collect();
    let sql: String = names
        .iter()
        .map(|name| {
            format!(
                "CREATE DATABASE {name}; CREATE TABLE {name}.t (id INT); INSERT INTO {name}.t VALUES (1);"
            )
        })
        .collect();
    server.sql(&sql);
    server.sql("CREATE DATABASE db_0001; CREATE TABLE db_0001.t (id INT)");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let dump = Dump::of(&names, &[]);
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert_eq!(result.inventory.databases.len(), 100);
    assert!(
        result
            .inventory
            .databases
            .values()
            .all(|content| content.tables["t"].rows == Some(1))
    );
    assert_eq!(result.files.len(), 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_change_what_is_looked_for() {
    let server = Server::start_with(&["--sql-mode="]);
    server.sql(AWKWARD);
    let admin = server.admin();
    let info = Dump::full(&[]).info().await.unwrap();
    for (options, coverage) in [
        (
            vec!["no-data"],
            Coverage {
                data: false,
                triggers: false,
                routines: false,
                events: false,
                schemas: true,
            },
        ),
        (
            vec!["no-schemas"],
            Coverage {
                data: true,
                triggers: false,
                routines: false,
                events: false,
                schemas: false,
            },
        ),
        (
            vec!["tables-list=shop.orders,shop.v1,shop.audit"],
            Coverage {
                triggers: false,
                routines: false,
                events: false,
                ..Coverage::ALL
            },
        ),
        (
            vec!["no-views", "triggers"],
            Coverage {
                routines: false,
                events: false,
                ..Coverage::ALL
            },
        ),
        (
            vec!["ignore-engines=MyISAM", "rows=500"],
            Coverage {
                triggers: false,
                routines: false,
                events: false,
                ..Coverage::ALL
            },
        ),
        (
            vec!["chunk-filesize=1", "statement-size=2000"],
            Coverage {
                triggers: false,
                routines: false,
                events: false,
                ..Coverage::ALL
            },
        ),
        (
            vec!["build-empty-files", "complete-insert"],
            Coverage {
                triggers: false,
                routines: false,
                events: false,
                ..Coverage::ALL
            },
        ),
    ] {
        let dump = Dump::of(&["shop"], &options);
        let result = dump.run(&admin).await.unwrap();
        if info.version >= (0, 11, 0) && options[0].starts_with("ignore-engines") {
            // 1.0.1 stops at the first table of such an engine, loses all behind it and exits 0.
            assert!(
                reasons(&result)
                    .iter()
                    .any(|reason| reason.contains("exit 0, but table shop.orders")),
                "{:?}",
                reasons(&result)
            );
            continue;
        }
        assert_eq!(reasons(&result), [""; 0], "{options:?}");
        assert_eq!(result.coverage, coverage, "{options:?}");
        let shop = &result.inventory.databases["shop"];
        let expected = if coverage.data { Some(20_007) } else { None };
        assert_eq!(shop.tables["orders"].rows, expected, "{options:?}");
        assert_eq!(
            shop.tables.len(),
            match options[0] {
                o if o.starts_with("tables") => 2,
                o if o.starts_with("ignore") => 7,
                _ => 9,
            }
        );
        assert_eq!(
            shop.views.len(),
            match options[0] {
                o if o.starts_with("tables") => 1,
                "no-views" | "no-schemas" => 0,
                _ => 2,
            }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_database_can_be_dumped() {
    let server = Server::start();
    let result = Dump::full(&["mysql"]).run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert!(
        !result.inventory.databases["mysql"]
            .tables
            .contains_key("slow_log")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_a_chinese_name_will_do() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); INSERT INTO shop.t VALUES (1)");
    let mut dump = Dump::full(&["shop"]);
    let dir = tempdir();
    dump.set_dir = dir.path().join("备份 集");
    std::fs::create_dir(&dump.set_dir).unwrap();
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert_eq!(rows(&result.inventory, "shop", "t"), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_beside_the_set_matches_it() {
    use mykeeper_domain::manifest::{EVIDENCE_FILE, MANIFEST_FILE, Manifest};
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); INSERT INTO shop.t VALUES (1)");
    let dump = Dump::full(&["shop"]);
    let result = dump.run(&server.admin()).await.unwrap();
    let (mut manifest, evidence) = support_record(&result);
    let digest = mykeeper_tools::mydumper::write_set_record(&dump.set_dir, &mut manifest, &evidence, ())
        .await
        .unwrap();
    let written = std::fs::read(dump.set_dir.join(MANIFEST_FILE)).unwrap();
    assert_eq!(digest, blake3::hash(&written).to_hex().to_string());
    let read: Manifest = serde_json::from_slice(&written).unwrap();
    let mut listed: Vec<String> = read.files.iter().map(|file| file.path.clone()).collect();
    assert!(listed.is_sorted() && listed.contains(&EVIDENCE_FILE.to_owned()));
    listed.push(MANIFEST_FILE.to_owned());
    listed.sort();
    assert_eq!(listed, dump.names());
}

fn support_record(
    result: &mykeeper_tools::mydumper::DumpResult,
) -> (
    mykeeper_domain::manifest::Manifest,
    mykeeper_domain::evidence::Evidence,
) {
    use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
    use mykeeper_domain::manifest::FORMAT_VERSION;
    let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let id: mykeeper_domain::BackupId = "0192f0c1-2222-7333-8444-555566667777".parse().unwrap();
    let backup = Backup {
        id,
        node: None,
        job: None,
        run_id: None,
        bk_server: String::new(),
        tag: String::new(),
        started_at: now,
        finished_at: now,
        elapsed_seconds: 0,
        databases: vec!["shop".into()],
        complete: result.complete.clone(),
        reason: None,
        size_bytes: None,
        size_text: String::new(),
        dir: "/".into(),
        consistency: Some(Consistency::All),
        transfer_to: Vec::new(),
        transfer_started_at: None,
        transfer_finished_at: None,
        transfer_complete: String::new(),
        remote_dest: String::new(),
        master_status: result.master_status.clone(),
        slave_status: result.slave_status.clone(),
        tool_version: String::new(),
        server_version: result.server_version.clone(),
        pybackup_version: String::new(),
        command: result.command.clone(),
        deletion: Deletion::None,
        deletion_reason: None,
        validate_status: ValidateStatus::NotTried,
        manifest_blake3: None,
        lock_waited_ms: None,
        lock_held_ms: None,
        original_gone_at: None,
        begun_by_catalog_at: None,
        arrived: Vec::new(),
        removed_from: Vec::new(),
        rebuilt_at: None,
        selected_by: None,
    };
    let evidence = mykeeper_domain::evidence::Evidence {
        version: FORMAT_VERSION,
        backup,
        consistency: Consistency::All,
        coverage: result.coverage,
        inventory: result.inventory.clone(),
        parts: result.parts.clone(),
        taken_at: now,
        binary_log: None,
    };
    let manifest = mykeeper_domain::manifest::Manifest {
        version: FORMAT_VERSION,
        bk_id: id,
        created_at: now,
        files: result.files.clone(),
    };
    (manifest, evidence)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_said_before_anything_is_written() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop");
    let admin = server.admin();
    let wrong = server.connection("dba", "falsch");
    let down = server.connection("dba", "geheim");
    let down = mykeeper_tools::ServerConnection {
        endpoint: mykeeper_domain::server::Endpoint::Tcp {
            host: "127.0.0.1".into(),
            port: 9,
        },
        ..down
    };
    for (connection, databases, options, passing, words) in [
        (
            &wrong,
            "shop",
            "compress",
            false,
            "cannot connect to server shop: Access denied for user 'dba'",
        ),
        (
            &down,
            "shop",
            "compress",
            true,
            "cannot connect to server shop: 127.0.0.1:9: ",
        ),
        (
            &admin,
            "nothere",
            "compress",
            false,
            "server shop has no database nothere",
        ),
        (&admin, "shop", "compres", false, "did you mean \"compress\"?"),
        (&admin, "shop", "password=x", false, "cannot be given in a job"),
    ] {
        let dump = Dump::of(&[databases], &[options]);
        let error = dump.run(connection).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.is_passing(), passing, "{error}");
        assert!(!error.to_string().contains("falsch"));
        assert_eq!(dump.names(), [""; 0]);
    }
    let mut dump = Dump::full(&["shop"]);
    dump.program = "/nonexistent/mydumper".into();
    let error = dump.run(&admin).await.unwrap_err();
    assert!(matches!(error, ToolError::NotInstalled { .. }), "{error}");
    assert!(error.to_string().contains("apt-get install mydumper"), "{error}");
    let mut dump = Dump::full(&["shop"]);
    dump.program = "/bin/echo".into();
    assert!(
        dump.run(&admin)
            .await
            .unwrap_err()
            .to_string()
            .contains("is it mydumper?")
    );
}
