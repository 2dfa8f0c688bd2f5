//! Not the whole set under its own names: one database under another, tables alone; and what goes on from there.

use crate::{Stage, unproven_alone};
use mykeeper_e2e::*;
use std::collections::{BTreeMap, BTreeSet};

/// What names its own database where a server writes it down so, or its author typed it.
const NAMES_ITSELF: &str = "USE shop; CREATE SEQUENCE numbers; \
     CREATE TABLE abc (id INT NOT NULL DEFAULT (NEXT VALUE FOR shop.numbers) PRIMARY KEY, x INT); INSERT INTO abc (x) VALUES (1); \
     SET sql_mode = 'ANSI_QUOTES'; CREATE TRIGGER shop.typed AFTER INSERT ON shop.visits FOR EACH ROW SET @seen = \"path\"; \
     SET sql_mode = DEFAULT; CREATE PROCEDURE shop.far() SELECT COUNT(*) FROM shop.orders; \
     CREATE EVENT shop.late ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO DELETE FROM shop.audit WHERE id < 0";

fn tables_of(server: &MariaDb, database: &str) -> BTreeMap<String, String> {
    let prefix = format!("`{database}`.");
    let found = fingerprint(server, &[database]).into_iter();
    found
        .map(|(table, rows)| (table.trim_start_matches(&prefix).to_owned(), rows))
        .collect()
}

#[test]
fn a_database_comes_back_under_another_name_and_the_one_beside_it_is_not_touched() {
    let stage = Stage::with(NAMES_ITSELF, "[\"shop\", \"shop_old\"]", "all");
    // A proof loads it as a restore does: the sequence before the table that asks it.
    stage
        .workspace
        .mykeeper(&["validate", "--bk-id", &stage.bk_id])
        .assert_code(0);
    stage.target.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.visits (mine INT); INSERT INTO shop.visits VALUES (7); \
         CREATE EVENT shop.late ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01' DO SELECT 1",
    );
    let copy = "shop-copy-复";
    let renamed = ["--database", "shop", "--as", copy];
    let dry = stage.restore(&[&renamed[..], &["--dry-run"]].concat());
    dry.assert_code(4)
        .assert_says(&format!("created, as {copy}"))
        .assert_says("these go on naming shop")
        .assert_says(&format!("what enables them: ALTER EVENT `{copy}`.`late` ENABLE"));
    assert!(!dry.to_string().contains("`late` DISABLE"), "{dry}");
    // Under its own name it may run in both servers.
    let moved = stage.restore(&["--database", "shop", "--overwrite", "--dry-run"]);
    moved
        .assert_says("run in both where they are enabled")
        .assert_says("  ALTER EVENT `shop`.`late` DISABLE;");
    assert_eq!(stage.databases(), BTreeSet::from(["shop".to_owned()]));

    let as_dumped = tables_of(&stage.source, "shop");
    stage.source.sql(
        "USE shop; CREATE TABLE since (how VARCHAR(20)); \
         SET binlog_format = 'STATEMENT'; INSERT INTO since VALUES ('as a statement'); \
         SET binlog_format = 'ROW'; INSERT INTO since VALUES ('as rows'); \
         USE shop_old; INSERT INTO orders VALUES (901, 'of the one beside it')",
    );
    let restored = stage.restore(&[&renamed[..], &["--json"]].concat());
    restored.assert_code(4);
    assert_eq!(tables_of(&stage.target, copy), as_dumped);
    let report = restored.json();
    let database = &report["restored"]["databases"][0];
    assert_eq!(database["database"], copy);
    assert_eq!(database["restored_from"], "shop");
    assert_eq!(database["differences"], serde_json::json!([]), "{restored}");
    let warnings = report["restored"]["warnings"].to_string();
    assert!(
        warnings.contains("in what they do: event late, procedure far\""),
        "{warnings}"
    );
    // It would work on the tables of the database that it names.
    let status = format!("SELECT status FROM information_schema.events WHERE event_schema = '{copy}'");
    assert_eq!(stage.target.value(&status), "DISABLED");
    assert!(
        warnings.contains(&format!("ALTER EVENT `{copy}`.`late` ENABLE")),
        "{warnings}"
    );
    stage.target.sql(&format!("ALTER EVENT `{copy}`.`late` ENABLE"));
    assert_eq!(stage.target.value(&status), "ENABLED");
    let position = &report["plan"]["continue_from"][0];
    let command = position["command"].as_str().unwrap();
    assert!(
        command.contains(&format!("--rewrite-db='shop->{copy}' --database=shop")),
        "{command}"
    );
    // Of the database what was logged as a statement and as rows, of the one beside it nothing.
    let socket = stage.target.socket();
    let into = format!(
        "{command} | mariadb --no-defaults -uroot --socket={}",
        socket.display()
    );
    let applied = std::process::Command::new("sh")
        .args(["-c", &into])
        .output()
        .unwrap();
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(
        stage.target.query(&format!("SELECT how FROM `{copy}`.since")),
        [["as a statement"], ["as rows"]]
    );
    assert_eq!(stage.target.value("SELECT mine FROM shop.visits"), "7");
    assert_eq!(position["follow"], serde_json::json!([]));
    let why = position["follow_caveat"].as_str().unwrap();
    assert!(why.contains("under another name"), "{why}");

    let triggers = |database: &str| {
        let sql = "SELECT trigger_name, event_object_schema, event_object_table, sql_mode FROM information_schema.triggers";
        stage
            .target
            .query(&format!("{sql} WHERE trigger_schema = '{database}' ORDER BY 1"))
    };
    assert_eq!(triggers("shop"), [[""; 0]; 0]);
    assert_eq!(triggers(copy).len(), 3);
    assert_eq!(triggers(copy)[2], ["typed", copy, "visits", "ANSI_QUOTES"]);
    assert_eq!(stage.target.value("SELECT mine FROM shop.visits"), "7");
    stage
        .target
        .sql(&format!("INSERT INTO `{copy}`.abc (x) VALUES (2)"));
    assert_eq!(
        stage
            .target
            .value(&format!("SELECT COUNT(*) FROM `{copy}`.best_customers")),
        "500"
    );

    stage
        .restore(&renamed)
        .assert_code(2)
        .assert_says(&format!("has a database {copy} already"));
    assert_eq!(stage.target.value("SELECT mine FROM shop.visits"), "7");
    stage
        .restore(&["--as", copy])
        .assert_code(2)
        .assert_says("names one database, and 2 would be restored");
    stage
        .restore(&["--database", "shop", "--as", "mysql"])
        .assert_code(2)
        .assert_says("is the server's own");
}

#[test]
fn tables_come_back_alone_and_all_else_stays_as_it_is() {
    let stage = Stage::with("", "[\"shop\", \"shop.eu\"]", "all");
    stage.target.sql(
        "CREATE DATABASE shop CHARACTER SET latin1; CREATE TABLE shop.mine (id INT); INSERT INTO shop.mine VALUES (7)",
    );
    // What is not restored need not be whole, but that is said.
    let other = stage.set().join("shop.customers.sql.gz");
    std::fs::write(&other, "damaged").unwrap();
    let tables = ["--table", "shop.orders", "--table", "shop.eu.order lines.2017"];
    let dry = stage.restore(&[&tables[..], &["--dry-run"]].concat());
    dry.assert_code(4)
        .assert_says("will get orders")
        .assert_says("created with order lines.2017 alone")
        .assert_says("not as written are shop.customers.sql.gz, of what is not restored")
        .assert_says("every file that was asked for in ")
        .assert_says("table orders refers by foreign key to what is not restored with it: customers");
    assert_eq!(stage.target.value("SHOW TABLES FROM shop"), "mine");

    stage
        .restore(&tables)
        .assert_code(4)
        .assert_says("2 databases, 3 objects and 20200 rows as they were")
        .assert_says("for database in shop shop.eu; do mariadb-binlog ")
        .assert_says("take out by hand what is not of shop.orders, shop.eu.order lines.2017")
        .assert_says("it cannot follow from there: only some tables")
        .assert_says("shop: its default collation is latin1_swedish_ci");
    let of_source = tables_of(&stage.source, "shop");
    let of_target = || tables_of(&stage.target, "shop");
    assert_eq!(of_target().keys().collect::<Vec<_>>(), ["`mine`", "`orders`"]);
    assert_eq!(of_target()["`orders`"], of_source["`orders`"]);
    stage.assert_equal(&["shop.eu"]);
    let names = |sql: &str| stage.target.query(sql).concat();
    assert_eq!(
        names("SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema LIKE 'shop%'"),
        ["orders_audit"]
    );
    assert_eq!(
        names("SELECT routine_name FROM information_schema.routines WHERE routine_schema LIKE 'shop%'"),
        [""; 0]
    );
    assert_eq!(
        names(
            "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = 'shop'"
        ),
        ["latin1"]
    );

    stage.target.sql("DELETE FROM shop.orders WHERE id > 3");
    let orders = &tables[..2];
    stage
        .restore(orders)
        .assert_code(2)
        .assert_says("has a table shop.orders already; --overwrite");
    assert_eq!(stage.target.value("SELECT COUNT(*) FROM shop.orders"), "3");
    stage.restore(&[orders, &["--overwrite"]].concat()).assert_code(4);
    assert_eq!(of_target()["`orders`"], of_source["`orders`"]);
    assert_eq!(stage.target.value("SELECT id FROM shop.mine"), "7");

    stage.target.sql(
        "DROP TABLE shop.orders; CREATE TRIGGER shop.orders_audit AFTER INSERT ON shop.mine FOR EACH ROW SET @a = 1; \
         CREATE VIEW shop.audit AS SELECT 1 AS a",
    );
    stage
        .restore(&[orders, &["--table", "shop.audit", "--overwrite"]].concat())
        .assert_code(2)
        .assert_says("has a trigger shop.orders_audit on table mine")
        .assert_says("has a view shop.audit where the table would be");
    for (table, said) in [
        ("shop.oders", "did you mean \"shop.orders\"?"),
        ("shop.nope", "of database shop; it holds: "),
        ("shop.paid_orders", "is a view of database shop"),
        ("orders", "is no table; write the database, a dot and the table"),
        ("mysql.user", "is the server's own"),
        ("shpo.orders", "did you mean \"shop\"?"),
    ] {
        stage
            .restore(&["--table", table])
            .assert_code(2)
            .assert_says(said);
    }
}

#[test]
fn a_restored_server_follows_from_the_position_that_is_printed() {
    // It has been a replica itself.
    let stage = Stage::with(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_LOG_FILE = 'up.000003', MASTER_LOG_POS = 777",
        "[\"shop_old\"]",
        "all",
    );
    stage
        .source
        .account("replica", "follows", "REPLICATION SLAVE ON *.*");
    // Its set holds one database of several: no other goes along.
    stage.source.sql(
        "USE shop_old; INSERT INTO orders VALUES (900, 'after the dump'); CREATE DATABASE since; \
         USE since; CREATE TABLE t (id INT); INSERT INTO t VALUES (1); USE shop; CREATE TABLE since (id INT)",
    );
    stage
        .target
        .sql("SET GLOBAL server_id = 8; CREATE DATABASE shop; CREATE TABLE shop.audit (mine INT)");
    let restored = stage.restore(&["--json"]);
    unproven_alone(&restored);
    let report = restored.json();
    let positions = report["plan"]["continue_from"].as_array().unwrap();
    assert_eq!(positions.len(), 2, "{restored}");
    // The command names the log where it lies, and the run's log tells all of it.
    let command = positions[0]["command"].as_str().unwrap();
    let log = std::path::Path::new(command.rsplit(' ').next().unwrap());
    assert!(log.is_absolute() && log.exists(), "{command}");
    let shown = std::process::Command::new("sh")
        .args(["-c", &format!("{command} --verbose")])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("after the dump"), "{shown}");
    assert!(
        !shown.contains("CREATE TABLE") && !shown.contains("CREATE DATABASE"),
        "{shown}"
    );
    let why = positions[0]["follow_caveat"].as_str().unwrap();
    assert!(
        why.contains("its source had besides: ") && why.contains("shop"),
        "{why}"
    );
    let run = stage.workspace.only_run_of("restore into spare");
    stage
        .workspace
        .mykeeper(&["run-log", run["id"].as_str().unwrap()])
        .assert_says(command)
        .assert_says("START SLAVE");
    let of_primary = &positions[1];
    assert_eq!(
        (
            of_primary["of"].as_str(),
            of_primary["file"].as_str(),
            of_primary["position"].as_u64()
        ),
        (Some("primary"), Some("up.000003"), Some(777))
    );
    assert_eq!(stage.target.value("SELECT COUNT(*) FROM shop_old.orders"), "100");
    let statements = positions[0]["follow"].as_array().unwrap();
    for statement in statements.iter().map(|statement| statement.as_str().unwrap()) {
        let statement = if statement.starts_with("CHANGE MASTER TO") {
            let port = format!("MASTER_PORT = {},", stage.source.port());
            assert!(statement.contains(&port), "{statement}");
            // An address of documents is nobody's.
            let statement = statement.replace("'192.0.2.7'", "'127.0.0.1'");
            assert!(statement.contains("'REPLICATION-USER'"), "{statement}");
            statement
                .replace("REPLICATION-USER", "replica")
                .replace("ITS-PASSWORD", "follows")
        } else {
            statement.to_owned()
        };
        stage.target.sql(&statement);
    }
    wait_until(LIMIT, "what was written after the dump arrives", || {
        let found = stage
            .target
            .value("SELECT note FROM shop_old.orders WHERE id = 900");
        (found == "after the dump").then_some(())
    });
    assert_eq!(
        tables_of(&stage.target, "shop_old"),
        tables_of(&stage.source, "shop_old")
    );
    assert_eq!(
        stage.databases(),
        BTreeSet::from(["shop", "shop_old"].map(str::to_owned))
    );
    assert_eq!(stage.target.query("SHOW TABLES FROM shop"), [["audit"]]);
    stage.target.sql("STOP SLAVE");
}
