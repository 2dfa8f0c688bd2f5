//! `CHECKSUM TABLE` of the source finds what the dump never had.

use crate::bench::Bench;
use crate::prove_sets::{Asked, How, Set, against, client, make_set, make_set_by, prove, sql, stand_in};
use mykeeper_domain::checksum::SourceChecksum;
use mykeeper_domain::job::Consistency;
use mykeeper_tools::sandbox::ThrowawayServer;
use std::path::Path;
use std::time::Duration;

const HOW: How = How {
    consistency: Consistency::All,
    compressed: false,
    packing: None,
};
const TABLES: &str = "CREATE DATABASE shop; USE shop;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, note TEXT, price DECIMAL(10,2), at TIMESTAMP(3) NULL);
INSERT INTO orders (note, price, at) SELECT CONCAT('row ', seq), seq / 3, '2026-01-01 10:00:00.125' FROM seq_1_to_500;
CREATE TABLE bits (b BIT(20), c CHAR(9), x BLOB, d DOUBLE, z DATE, t TIME(2), y YEAR, e ENUM('a','b')) ENGINE=InnoDB;
INSERT INTO bits VALUES (b'10101', 'a ', x'0022', 1/7, '0000-00-00', '11:11:11.11', 2020, 'b'), (NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE ms LIKE bits; ALTER TABLE ms ENGINE=MyISAM; INSERT INTO ms SELECT * FROM bits;
CREATE TABLE ar LIKE bits; ALTER TABLE ar ENGINE=Aria; INSERT INTO ar SELECT * FROM bits;
CREATE TABLE gen (a INT, b INT AS (a + 1) STORED, c INT AS (a + 2)); INSERT INTO gen (a) VALUES (1), (2);
CREATE TABLE part (id INT) PARTITION BY HASH (id) (PARTITION p0 COMMENT 'user \"u\", Password \"geheim\"',
PARTITION p1 COMMENT 'x', PARTITION p2); INSERT INTO part SELECT seq FROM seq_1_to_9;
CREATE TABLE altered (id INT PRIMARY KEY, v INT); INSERT INTO altered VALUES (1, 2), (2, 3);
ALTER TABLE altered ADD COLUMN n INT DEFAULT 5 FIRST; ALTER TABLE altered DROP COLUMN v;
CREATE TABLE packed (id INT PRIMARY KEY, v VARCHAR(30)) ROW_FORMAT=COMPRESSED; INSERT INTO packed VALUES (1, 'a');
CREATE TABLE none (id INT);
CREATE TABLE rough (f FLOAT COMMENT 'LONG'); INSERT INTO rough VALUES (1/3);
SET GLOBAL mysql56_temporal_format = OFF;
CREATE TABLE olden (id INT, d DATETIME(3), t TIME COMMENT 'LONG', s TIMESTAMP NULL) ENGINE=InnoDB;
INSERT INTO olden VALUES (1, '2020-01-01 10:00:00.125', '11:11:11', '2020-01-01 10:00:00'), (2, NULL, NULL, NULL);
CREATE FUNCTION later(at DATETIME) RETURNS DATETIME DETERMINISTIC RETURN at + INTERVAL 1 DAY;
CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = CONCAT(NEW.note, ';
');
CREATE PROCEDURE p() BEGIN SELECT 1;
 SELECT 2;
END;
";

async fn source(bench: &Bench) -> ThrowawayServer {
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    let tables = delimited(TABLES).replace("LONG", &"long ".repeat(60));
    sql(&source, &format!("SET sql_mode='';{tables}"));
    settle().await;
    source
}

/// The client must not end a procedure at its first semicolon.
fn delimited(text: &str) -> String {
    text.replace("CREATE PROCEDURE", "DELIMITER //\nCREATE PROCEDURE")
        .replace("CREATE TRIGGER", "DELIMITER //\nCREATE TRIGGER")
        .replace("\n');\n", "\n')//\n")
        .replace("END;\n", "END//\nDELIMITER ;\n")
}

/// What was changed in this very second may be changed again in it, and nobody could tell.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

fn checksum<'s>(set: &'s Set, table: &str) -> &'s SourceChecksum {
    let facts = &set.evidence.inventory.databases["shop"].tables[table];
    facts.checksum.as_ref().unwrap()
}

fn why(set: &Set, table: &str) -> String {
    match checksum(set, table) {
        SourceChecksum::NotTaken(why) => why.clone(),
        SourceChecksum::Exact(value) => format!("exact: {value}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_dump_never_had_fails_the_proof_and_one_that_came_and_went_does_not() {
    let bench = Bench::new();
    let source = source(&bench).await;
    let good = make_set(&source, &bench.path().join("good"), HOW, false).await;
    let exact = |set: &Set| -> Vec<String> {
        let tables = set.evidence.inventory.databases["shop"].tables.keys();
        tables
            .filter(|table| checksum(set, table).exact().is_some())
            .cloned()
            .collect()
    };
    assert_eq!(
        exact(&good),
        [
            "altered", "ar", "bits", "gen", "ms", "none", "orders", "packed", "part"
        ]
    );
    assert_eq!(
        why(&good, "rough"),
        "column `f` is a FLOAT, of which a dump does not hold every digit"
    );
    assert_eq!(why(&good, "olden"), "column `d` is of an old format");
    let text = serde_json::to_string(&good.evidence).unwrap();
    assert!(text.contains("(PARTITION `p0` COMMENT"), "{text}");
    assert!(!text.contains("geheim"), "{text}");
    let drop_row = stand_in(&bench, "drops", ("", "sed -i '/^(77,/d' $there/shop.orders.sql"));
    let damaged = make_set_by(&drop_row, &source, &bench.path().join("damaged"), (HOW, false)).await;
    assert_eq!(
        damaged.evidence.inventory.databases["shop"].tables["orders"].rows,
        Some(499)
    );
    let work = format!(
        "{} \"INSERT INTO packed VALUES (9,'x'); DELETE FROM packed WHERE id=9; INSERT INTO altered VALUES (5, 9)\"",
        client(&source, "shop")
    );
    let busy = stand_in(&bench, "busy", ("", &work));
    settle().await;
    let changed = make_set_by(&busy, &source, &bench.path().join("changed"), (HOW, false)).await;
    source.stop().await;
    assert_eq!(
        why(&changed, "packed"),
        "its rows changed and changed back during the dump"
    );
    assert_eq!(why(&changed, "altered"), "its rows changed during the dump");

    for set in [&good, &changed] {
        let proof = prove(&bench, set, &Asked::of(&bench)).await.unwrap();
        assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());
    }
    let proof = prove(&bench, &damaged, &Asked::of(&bench)).await.unwrap();
    let said = against(&proof);
    let expected = checksum(&damaged, "orders").exact().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(&format!(
            "shop: table orders, CHECKSUM TABLE of the source: expected {expected}, found "
        )),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_that_mydumper_takes_itself_are_kept_and_compared() {
    let bench = Bench::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may be run with another mydumper"
    )]
    let Some(program) = std::env::var_os("MYKEEPER_TEST_MYDUMPER") else {
        eprintln!("skipped: MYKEEPER_TEST_MYDUMPER names no mydumper of 0.16 or later");
        return;
    };
    let source = source(&bench).await;
    let mut set = make_set_by(
        Path::new(&program),
        &source,
        &bench.path().join("set"),
        (HOW, false),
    )
    .await;
    source.stop().await;
    assert!(checksum(&set, "orders").exact().is_some());
    assert!(why(&set, "ms").starts_with("its engine keeps no snapshot"));
    let others = &mut set
        .evidence
        .inventory
        .databases
        .get_mut("shop")
        .unwrap()
        .dumper_checksums;
    for what in [
        "database",
        "routines",
        "triggers",
        "columns of table orders",
        "indexes of table gen",
    ] {
        assert!(others.contains_key(what), "{what}: {others:?}");
    }
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());
    let content = set.evidence.inventory.databases.get_mut("shop").unwrap();
    content.dumper_checksums.insert("routines".into(), "1".into());
    content.tables.get_mut("orders").unwrap().checksum = Some(SourceChecksum::Exact(1));
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    let said = against(&proof);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("shop: table orders, CHECKSUM TABLE of the source: expected 1,"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("shop: mydumper's checksum of routines: expected 1,"),
        "{said:?}"
    );
}

/// MySQL alone has a -0 to print; what is written of it reads the same everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_zero_comes_back_without_its_sign_and_fails_no_set() {
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(
        &source,
        "CREATE DATABASE shop; USE shop; CREATE TABLE real_ones (id INT, d DOUBLE, f DOUBLE(7,2), v VARCHAR(9));
         INSERT INTO real_ones VALUES (1, 0, 0, '-0'), (2, 1.5, -2, '0');
         CREATE TABLE others (d DOUBLE); INSERT INTO others VALUES (0), (1)",
    );
    settle().await;
    let sign = stand_in(
        &bench,
        "signs",
        (
            "",
            "sed -i 's/^(1,0,0.00,/(1,-0,-0.00,/' $there/shop.real_ones.sql",
        ),
    );
    let mut set = make_set_by(&sign, &source, &bench.path().join("set"), (HOW, false)).await;
    source.stop().await;
    let text = std::fs::read_to_string(set.dir.join("shop.real_ones.sql")).unwrap();
    assert!(text.contains("(1,-0,-0.00,\"-0\")"), "{text}");
    assert_eq!(
        why(&set, "real_ones"),
        "a number in its rows is -0, which comes back as 0"
    );
    assert!(checksum(&set, "others").exact().is_some());
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());
    assert_eq!(proof.databases[0].tables_exact, 2);
    // The sign of a text is part of it.
    set.rewrite("shop.real_ones.sql", |text| text.replace("\"-0\"", "\"0\""));
    set.files = crate::prove_sets::manifest(&set.dir);
    let mut asked = Asked::of(&bench);
    asked.by_restore = true;
    let proof = prove(&bench, &set, &asked).await.unwrap();
    let said = against(&proof);
    assert!(
        said.len() == 1 && said[0].starts_with("shop: table real_ones, content: "),
        "{said:?}"
    );
}
