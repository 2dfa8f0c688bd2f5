//! Sets of servers that keep names or tables in other ways than a throwaway server does by itself.

use crate::bench::Bench;
use crate::prove_sets::{Asked, How, against, make_set, manifest, prove, sql};
use mykeeper_domain::inventory::{Inventory, TableInventory};
use mykeeper_domain::job::{Assertion, Consistency};
use mykeeper_domain::proof::Proof;
use mykeeper_tools::ToolError;
use mykeeper_tools::sandbox::{Likeness, ThrowawayServer};

const HOW: How = How {
    consistency: Consistency::All,
    compressed: false,
    packing: None,
};
/// `SOCKET` is the server's own.
const OBJECTS: &str = "CREATE DATABASE Shop; USE Shop;
CREATE TABLE Orders (Id INT PRIMARY KEY, t TEXT); INSERT INTO Orders VALUES (1, 'a'), (2, 'b');
CREATE TABLE Past (id INT) ENGINE=ARCHIVE; INSERT INTO Past VALUES (1), (2), (3);
CREATE TABLE Hole (id INT) ENGINE=BLACKHOLE; INSERT INTO Hole VALUES (1);
INSTALL SONAME 'ha_federatedx';
CREATE SERVER itself FOREIGN DATA WRAPPER mysql
  OPTIONS (USER 'root', HOST 'localhost', DATABASE 'shop', SOCKET 'SOCKET');
CREATE TABLE Remote (id INT, t TEXT) ENGINE=FEDERATED CONNECTION='itself/orders';
CREATE TRIGGER tr BEFORE INSERT ON Orders FOR EACH ROW SET NEW.t = (SELECT MAX(id) FROM Past);
CREATE FUNCTION most() RETURNS INT READS SQL DATA RETURN (SELECT MAX(Id) FROM ORDERS);
CREATE VIEW V_Orders AS SELECT Orders.Id, most() AS m FROM Orders;
";

/// How the source is: it keeps names in lower case, and has these engines.
fn source() -> Likeness {
    let mut inventory = Inventory {
        lower_case_table_names: Some(1),
        ..Inventory::default()
    };
    let content = inventory.databases.entry("shop".into()).or_default();
    for engine in ["ARCHIVE", "BLACKHOLE"] {
        let table = TableInventory {
            engine: Some(engine.into()),
            ..TableInventory::default()
        };
        content.tables.insert(engine.into(), table);
    }
    Likeness::to(&inventory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_passes_whose_server_kept_names_in_lower_case_and_tables_in_plugins() {
    let bench = Bench::new();
    let source = ThrowawayServer::start_like(&source(), &bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(
        &source,
        &OBJECTS.replace("SOCKET'", &format!("{}'", source.socket().display())),
    );
    let mut set = make_set(&source, &bench.path().join("set"), HOW, false).await;
    source.stop().await;
    let inventory = &set.evidence.inventory;
    assert_eq!(inventory.lower_case_table_names, Some(1));
    let engines: Vec<&str> = inventory.databases["shop"]
        .tables
        .values()
        .filter_map(|table| table.engine.as_deref())
        .collect();
    assert_eq!(engines, ["BLACKHOLE", "InnoDB", "ARCHIVE", "FEDERATED"]);
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());
    let uncompared = "shop: the throwaway server has no engine FEDERATED: of 1 table, first: remote, engine, options and \
                      partitions are not compared";
    assert_eq!(proof.warnings, [uncompared], "{}", bench.log.text());
    assert_eq!(proof.databases[0].rows_compared, 7);

    // An engine whose options no other knows.
    set.rewrite("shop.remote-schema.sql", |text| {
        text.replace("ENGINE=FEDERATED", "ENGINE=CONNECT `TABLE_TYPE`='MYSQL'")
    });
    set.files = manifest(&set.dir);
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());

    // One with options of columns and keys, as its own server writes them.
    let (column, key) = ("int(11) DEFAULT NULL `FLAG`='1'", "(`id`) `CLUSTERING`=YES");
    set.rewrite("shop.remote-schema.sql", |text| {
        let with_key = text.replace(
            "`t` text DEFAULT NULL",
            &format!("`t` text DEFAULT NULL,\n  KEY `k` {key}"),
        );
        with_key.replace("int(11) DEFAULT NULL", column)
    });
    set.files = manifest(&set.dir);
    let content = set.evidence.inventory.databases.get_mut("shop").unwrap();
    let facts = &mut content.definitions.get_mut("table remote").unwrap().0;
    facts.insert("column `id`".into(), column.into());
    facts.insert("key `k`".into(), key.into());
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());
    let content = set.evidence.inventory.databases.get_mut("shop").unwrap();
    let facts = &mut content.definitions.get_mut("table remote").unwrap().0;
    facts.insert("column `id`".into(), column.replace("int(11)", "int(10)"));
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    let differs =
        "shop: table remote, column `id`: expected int(10) DEFAULT NULL, found int(11) DEFAULT NULL";
    assert_eq!(against(&proof), [differs]);
    let facts = &mut set
        .evidence
        .inventory
        .databases
        .get_mut("shop")
        .unwrap()
        .definitions;
    facts.remove("table remote");

    // What is known of a server of before names were asked for.
    set.evidence.inventory.lower_case_table_names = None;
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert!(
        against(&proof)
            .iter()
            .any(|line| line.contains("trigger tr: expected present, found missing")),
        "{:?}",
        against(&proof)
    );
}

fn asked(bench: &Bench, statements: &[&str]) -> Asked {
    let mut asked = Asked::of(bench);
    asked.asserts = statements
        .iter()
        .map(|sql| Assertion {
            database: "shop".into(),
            sql: (*sql).into(),
        })
        .collect();
    asked
}

fn told(result: Result<Proof, ToolError>) -> (String, bool) {
    match result {
        Err(error @ ToolError::Assertion { is_for_all, .. }) => (error.to_string(), is_for_all),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assert_that_cannot_be_run_speaks_neither_for_a_set_nor_against_it() {
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(
        &source,
        "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY, price INT);
         INSERT INTO orders VALUES (1, 10), (2, 20)",
    );
    let mut set = make_set(&source, &bench.path().join("set"), HOW, false).await;
    source.stop().await;
    let holds = "SELECT COUNT(*) = 2 FROM orders";

    let typo = asked(&bench, &[holds, "SELECT COUNT(*) FORM orders WHERE"]);
    let (said, is_for_all) = told(prove(&bench, &set, &typo).await);
    assert!(is_for_all && said.contains("ERROR 1064"), "{said}");
    assert!(
        said.starts_with(
            "the assert on database shop cannot be run, which says nothing of the set: SELECT COUNT(*) FORM"
        ) && said.ends_with("; correct it in the schedule"),
        "{said}"
    );
    assert!(
        !bench.log.text().contains(holds),
        "it was found before anything was loaded"
    );

    for (statement, number) in [
        ("SELECT COUNT(*) FROM ordrs", "ERROR 1146"),
        ("SELECT MAX(prize) FROM orders", "ERROR 1054"),
        ("SELECT total(1)", "ERROR 1305"),
    ] {
        let (said, is_for_all) = told(prove(&bench, &set, &asked(&bench, &[holds, statement])).await);
        assert!(!is_for_all && said.contains(number), "{said}");
    }

    let (said, is_for_all) = told(prove(&bench, &set, &asked(&bench, &["SELECT * FROM orders"])).await);
    assert!(
        !is_for_all && said.contains("it yields 2 columns, and an assert is of one value"),
        "{said}"
    );
    // Rows without end are not waited for.
    let endless = "SELECT 1 FROM seq_1_to_10000000 AS a, seq_1_to_10000000 AS b";
    let proof = prove(&bench, &set, &asked(&bench, &[endless])).await.unwrap();
    assert_eq!(proof.asserts[0].value.as_deref(), Some("more than one row"));
    assert!(!proof.passed());

    // What holds, what does not, and what the set should hold and does not, beside one that cannot be run.
    set.evidence
        .inventory
        .databases
        .get_mut("shop")
        .unwrap()
        .tables
        .insert(
            "audit".into(),
            TableInventory {
                rows: Some(1),
                ..TableInventory::default()
            },
        );
    let mut asked = asked(
        &bench,
        &[
            holds,
            "SELECT MAX(price) > 20 FROM orders",
            "SELECT 1 FROM audit",
            "SELECT 1 FROM ordrs",
        ],
    );
    asked.by_restore = true;
    let proof = prove(&bench, &set, &asked).await.unwrap();
    let values: Vec<_> = proof
        .asserts
        .iter()
        .map(|value| (value.held, value.value.as_deref()))
        .collect();
    assert_eq!(
        values,
        [
            (Some(true), Some("1")),
            (Some(false), Some("0")),
            (Some(false), Some("ERROR 1146: Table 'shop.audit' doesn't exist")),
            (
                None,
                Some("not run: ERROR 1146: Table 'shop.ordrs' doesn't exist")
            ),
        ]
    );
    let against = against(&proof);
    assert!(
        against.contains(
            &"shop: assert SELECT MAX(price) > 20 FROM orders: expected a true value, found 0".to_owned()
        ),
        "{against:?}"
    );
    assert_eq!(
        proof.warnings.last().map(String::as_str),
        Some(
            "the assert on shop cannot be run: SELECT 1 FROM ordrs: ERROR 1146: Table 'shop.ordrs' doesn't exist"
        )
    );
}
