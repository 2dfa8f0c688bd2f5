//! No set is blamed for what the throwaway server lacks, or for the order in which it is loaded.

use crate::bench::Bench;
use crate::prove_sets::{Asked, How, SHOP, Set, against, make_set, prove, sql};
use mykeeper_domain::job::{Assertion, Consistency};
use mykeeper_tools::sandbox::ThrowawayServer;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const NOTHING: [&str; 0] = [];

/// A set of a server with nothing but this.
async fn set_of(bench: &Bench, statements: &str) -> Set {
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, statements);
    let how = How {
        consistency: Consistency::All,
        compressed: false,
        packing: None,
    };
    let set = make_set(&source, &bench.path().join("set"), how, false).await;
    source.stop().await;
    set
}

fn script(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_or_ended_is_no_fault_of_the_set() {
    let bench = Bench::new();
    // What is large in a server and small in a file; and more in memory than a server allows unless it is told to.
    let set = set_of(
        &bench,
        &format!(
            "{SHOP} CREATE TABLE wide (c CHAR(250) NOT NULL) CHARACTER SET latin1; \
             INSERT INTO wide SELECT '' FROM seq_1_to_45000; \
             SET max_heap_table_size = 64000000; \
             CREATE TABLE quick (v VARCHAR(8000)) ENGINE=MEMORY CHARACTER SET latin1; \
             INSERT INTO quick SELECT 'x' FROM seq_1_to_3000;"
        ),
    )
    .await;
    let mut asked = Asked::of(&bench);
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());

    for said in [
        ("KILL QUERY CONNECTION_ID()", "interrupted"),
        ("SHUTDOWN", "throwaway"),
    ] {
        asked.asserts = vec![Assertion {
            database: "shop".into(),
            sql: said.0.into(),
        }];
        let error = prove(&bench, &set, &asked).await.unwrap_err();
        assert!(
            error.is_passing() && error.to_string().contains(said.1),
            "{error}"
        );
    }
    asked.asserts.clear();

    asked.sandbox.server = script(
        &bench.path().join("mariadbd"),
        "exec mariadbd \"$@\" --innodb-file-per-table=0 --innodb-data-file-path=ibdata1:12M:autoextend:max:20M",
    );
    let error = prove(&bench, &set, &asked).await.unwrap_err();
    let said = error.to_string();
    assert!(!error.is_passing(), "{said}");
    assert!(
        said.contains("The table 'wide' is full; make room"),
        "{said}: {}",
        bench.log.text()
    );
}

/// Databases that need each other: a default asks a sequence of one that comes later, and one of its own that does; a
/// table refers to one of another database; views stand on tables of one that comes last. To one of them no
/// myloader can be sent.
const ENTANGLED: &str = "
CREATE DATABASE aaa; CREATE DATABASE parent; CREATE DATABASE child; CREATE DATABASE `日.志`; CREATE DATABASE zzz;
CREATE SEQUENCE zzz.numbers START WITH 7; DO NEXTVAL(zzz.numbers);
CREATE SEQUENCE aaa.zz;
CREATE TABLE aaa.asks (id BIGINT NOT NULL DEFAULT (NEXT VALUE FOR zzz.numbers) PRIMARY KEY,
  own BIGINT DEFAULT (NEXT VALUE FOR aaa.zz), x INT);
INSERT INTO aaa.asks (x) VALUES (1), (2);
CREATE TABLE parent.p (id INT PRIMARY KEY); INSERT INTO parent.p VALUES (1), (2);
CREATE TABLE child.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent.p (id)); INSERT INTO child.c VALUES (1, 2);
CREATE TABLE zzz.t (id INT PRIMARY KEY); INSERT INTO zzz.t VALUES (1);
CREATE TABLE `日.志`.t (id INT); INSERT INTO `日.志`.t VALUES (1);
CREATE VIEW aaa.v AS SELECT id FROM zzz.t;
CREATE VIEW `日.志`.v AS SELECT id FROM zzz.t;
CREATE VIEW aaa.a AS SELECT v.id FROM `日.志`.v JOIN aaa.v USING (id);
CREATE FUNCTION aaa.f() RETURNS INT DETERMINISTIC RETURN 1;
";

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_need_each_other_come_back_however_they_are_loaded() {
    let bench = Bench::new();
    let set = set_of(&bench, ENTANGLED).await;
    let mut asked = Asked::of(&bench);
    asked.asserts = vec![Assertion {
        database: "aaa".into(),
        sql: "SELECT NEXT VALUE FOR zzz.numbers > (SELECT MAX(id) FROM asks)".into(),
    }];
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    assert!(
        !bench.log.text().contains("loading it again"),
        "{}",
        bench.log.text()
    );

    // Each leaves something out and says nothing of it.
    asked.myloader = script(
        &bench.path().join("careless-myloader"),
        "case \"$*\" in *--database=parent*) rm d.t00000.00000.sql;; *--database=zzz*) rm d.t00000-schema.sql;; esac\n\
         exec myloader \"$@\"",
    );
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    let again: Vec<&str> = proof
        .warnings
        .iter()
        .filter_map(|text| text.split_once(": loading it again")?.0.into())
        .collect();
    assert_eq!(again, ["aaa", "parent", "zzz"], "{:?}", proof.warnings);

    // Nothing comes by it.
    asked.myloader = script(
        &bench.path().join("failing-myloader"),
        "case $1 in --version) exec myloader --version;; esac\necho '** CRITICAL: no' >&2\nexit 1",
    );
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    assert_eq!(proof.databases.len(), 5);
}
