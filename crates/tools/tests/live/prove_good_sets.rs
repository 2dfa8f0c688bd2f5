//! Sets with nothing wrong pass, however awkward.

use crate::bench::Bench;
use crate::prove_sets::{AWKWARD, Asked, How, SHOP, against, make_set, manifest, prove, rows, sql};
use mykeeper_domain::job::{Assertion, Consistency};
use mykeeper_domain::packing::{PackFormat, Packing};
use mykeeper_tools::sandbox::ThrowawayServer;
use std::os::unix::fs::PermissionsExt;

const NOTHING: [&str; 0] = [];

/// Dumped so, compressed by nobody.
const PLAIN: How = How {
    consistency: Consistency::All,
    compressed: false,
    packing: None,
};
const PLAIN_EACH: How = How {
    consistency: Consistency::PerDatabase,
    ..PLAIN
};

async fn awkward_sets_pass(how: How) {
    let consistency = how.consistency;
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, AWKWARD);
    let set = make_set(&source, &bench.path().join("set"), how, true).await;
    source.stop().await;
    let mut asked = Asked::of(&bench);
    asked.asserts = vec![
        Assertion {
            database: "shop".into(),
            sql: "SELECT COUNT(*) > 0 FROM orders WHERE g = d * 2".into(),
        },
        Assertion {
            database: "日志 库-1".into(),
            sql: "SELECT s = '待处理' FROM `状态 表` WHERE id = 1".into(),
        },
        Assertion {
            database: "elsewhere".into(),
            sql: "SELECT 0".into(),
        },
    ];
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    assert!(proof.passed());
    let again = "addressed: loading it again";
    assert!(!bench.log.text().contains(again), "{}", bench.log.text());
    let counted = rows(&proof);
    assert_eq!(counted["addressed"], 260);
    assert_eq!(counted["日志 库-1"], 3);
    assert_eq!(counted["日志.库"], 4);
    assert_eq!(counted["shop.eu"], 5);
    assert_eq!(counted["x-schema"], 8);
    assert!(counted.contains_key("empty_one") && counted["mysql"] > 0);
    assert!(proof.sandbox_version.contains("MariaDB") && proof.loader_version.contains("myloader"));
    if consistency == Consistency::PerDatabase {
        asked.with_evidence = false;
        let proof = prove(&bench, &set, &asked).await.unwrap();
        assert_eq!(against(&proof), NOTHING, "without evidence: {}", bench.log.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_sets_of_one_folder_pass() {
    awkward_sets_pass(PLAIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_sets_of_one_folder_pass_packed_by_gzip() {
    awkward_sets_pass(How {
        packing: Some(Packing::of(PackFormat::Gzip)),
        ..PLAIN
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_sets_of_a_folder_each_pass() {
    awkward_sets_pass(PLAIN_EACH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_sets_of_a_folder_each_pass_compressed() {
    awkward_sets_pass(How {
        compressed: true,
        ..PLAIN_EACH
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_sets_of_a_folder_each_pass_packed_by_zstd() {
    awkward_sets_pass(How {
        packing: Some(Packing::of(PackFormat::Zstd)),
        ..PLAIN_EACH
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_on_a_database_that_was_never_asked_for_is_left_out() {
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, SHOP);
    sql(
        &source,
        "CREATE DATABASE crm; CREATE TABLE crm.people (id INT); CREATE VIEW shop.v_crm AS SELECT id FROM crm.people; CREATE VIEW shop.a_crm AS SELECT id FROM shop.v_crm;",
    );
    let how = How {
        consistency: Consistency::PerDatabase,
        compressed: true,
        packing: None,
    };
    let mut set = make_set(&source, &bench.path().join("set"), how, false).await;
    source.stop().await;
    std::fs::remove_dir_all(set.dir.join("crm")).unwrap();
    set.files.retain(|file| !file.path.starts_with("crm/"));
    set.databases.retain(|name| name != "crm");
    set.evidence.inventory.databases.remove("crm");
    set.evidence.parts.retain(|part| part.dir != "crm");
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    assert!(
        bench
            .log
            .text()
            .contains("view v_crm stands on what is not part of the set")
    );
    assert_eq!(
        proof.warnings,
        [
            "shop: 2 views are left out and not compared, as they stand on databases that the set does not hold: a_crm, v_crm"
        ]
    );

    // The database that it names now is none of the set's either, but none that its source knew.
    set.rewrite("shop/shop.v_crm-schema-view.sql.gz", |text| {
        text.replace("crm`.", "crn`.")
    });
    set.files = manifest(&set.dir);
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    let lines = against(&proof);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("ERROR 1146: Table 'crn.people'")),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loader_stands_back_as_far_as_its_server() {
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, SHOP);
    let how = How {
        consistency: Consistency::All,
        compressed: false,
        packing: None,
    };
    let set = make_set(&source, &bench.path().join("set"), how, false).await;
    source.stop().await;
    let (loader, seen) = (bench.path().join("myloader"), bench.path().join("seen"));
    let script = format!("#!/bin/sh\nnice >> '{}'\nexec myloader \"$@\"\n", seen.display());
    std::fs::write(&loader, script).unwrap();
    std::fs::set_permissions(&loader, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut asked = Asked::of(&bench);
    asked.myloader = loader;
    asked.sandbox.nice = 7;
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    let own = rustix::process::getpriority_process(None).unwrap();
    let seen = std::fs::read_to_string(&seen).unwrap();
    // The first time it is asked for its version.
    assert_eq!(
        seen.lines().last(),
        Some(own.max(7).to_string().as_str()),
        "{seen}"
    );
    assert!(seen.lines().count() > 1, "{seen}");
}
