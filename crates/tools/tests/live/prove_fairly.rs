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
