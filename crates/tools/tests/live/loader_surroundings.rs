//! Wherever a machine's own files lead, a proof is loaded into the throwaway server, and leaves nothing elsewhere.

use crate::bench::{Bench, supervisor};
use crate::prove_sets::{Asked, How, SHOP, Set, against, make_set, prove, sql};
use mykeeper_domain::job::Consistency;
use mykeeper_tools::sandbox::ThrowawayServer;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NOTHING: [&str; 0] = [];

async fn shop_set(bench: &Bench) -> Set {
    set_of(bench, SHOP).await
}

async fn set_of(bench: &Bench, content: &str) -> Set {
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, content);
    let how = How {
        consistency: Consistency::All,
        compressed: false,
        packing: None,
    };
    let set = make_set(&source, &bench.path().join("set"), how, false).await;
    source.stop().await;
    set
}

/// Somebody else's server: every connection that comes is counted and closed.
fn elsewhere() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    std::thread::spawn(move || {
        for call in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(call);
        }
    });
    (port, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_in_the_accounts_own_client_file_gets_nothing_of_a_proof() {
    let mut bench = Bench::new();
    let set = shop_set(&bench).await;
    let (port, calls) = elsewhere();
    let home = bench.sub("home");
    let groups = ["client", "client-server", "client-mariadb", "myloader"];
    let text: String = groups
        .iter()
        .map(|group| format!("[{group}]\nhost=127.0.0.1\nport={port}\nprotocol=tcp\n"))
        .collect();
    std::fs::write(home.join(".my.cnf"), text).unwrap();
    let env = std::env::vars_os().filter(|(name, _)| name != "HOME");
    bench.supervisor = supervisor(env.chain([("HOME".into(), home.into_os_string())]).collect());
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    // Loaded once, by myloader.
    assert_eq!(proof.warnings, NOTHING, "{}", bench.log.text());
    assert_eq!(calls.load(Ordering::Relaxed), 0, "{}", bench.log.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_loader_keeps_for_itself_lies_with_its_server() {
    let bench = Bench::new();
    let set = shop_set(&bench).await;
    let (loader, seen) = (bench.path().join("myloader"), bench.path().join("seen"));
    let script = format!(
        "#!/bin/sh\ncase $1 in --version) ;; *) mktemp -d; echo \"$HOME\" ;; esac >> '{}'\nexec myloader \"$@\"\n",
        seen.display()
    );
    std::fs::write(&loader, script).unwrap();
    std::fs::set_permissions(&loader, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut asked = Asked::of(&bench);
    asked.myloader = loader;
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    let seen = std::fs::read_to_string(&seen).unwrap();
    let folders: Vec<PathBuf> = seen.lines().map(PathBuf::from).collect();
    assert_eq!(folders.len(), 2, "{seen}");
    for folder in folders {
        assert!(
            folder.starts_with(bench.path()) && folder.to_string_lossy().contains("mykeeper-sandbox-"),
            "{seen}"
        );
        assert!(!folder.exists(), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_lie_elsewhere_at_their_source_are_loaded_within_the_throwaway_server() {
    let bench = Bench::new();
    let elsewhere = bench.sub("elsewhere");
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o777)).unwrap();
    let content = "CREATE DATABASE shop; USE shop;
        CREATE TABLE within (id INT PRIMARY KEY); INSERT INTO within VALUES (1), (2);
        CREATE TABLE a (id INT PRIMARY KEY) DATA DIRECTORY='@'; INSERT INTO a SELECT seq FROM seq_1_to_1000;
        CREATE TABLE m (id INT, KEY (id)) ENGINE=MyISAM DATA DIRECTORY='@' INDEX DIRECTORY='@'; INSERT INTO m VALUES (3);
        CREATE TABLE p (id INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10) DATA DIRECTORY='@',
        PARTITION p1 VALUES LESS THAN MAXVALUE); INSERT INTO p VALUES (9), (10);
        CREATE TABLE s (id INT) PARTITION BY RANGE (id) SUBPARTITION BY HASH (id) (PARTITION p0 VALUES LESS THAN (10)
        (SUBPARTITION s0 DATA DIRECTORY='@', SUBPARTITION s1)); INSERT INTO s VALUES (8);";
    let set = set_of(&bench, &content.replace('@', &elsewhere.display().to_string())).await;
    let entries = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&elsewhere).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    // What is there is the source's, and what comes must not be ours.
    assert!(!entries().is_empty(), "the source keeps nothing there");
    std::fs::remove_dir_all(&elsewhere).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o777)).unwrap();
    let watched = std::fs::metadata(&elsewhere).unwrap().modified().unwrap();
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), NOTHING, "{}", bench.log.text());
    assert_eq!(entries(), NOTHING.map(PathBuf::from));
    assert_eq!(
        std::fs::metadata(&elsewhere).unwrap().modified().unwrap(),
        watched,
        "something was there meanwhile"
    );
    assert_eq!(proof.databases[0].rows_compared, 1006);
    assert_eq!(proof.databases[0].tables_exact, 5);
    assert_eq!(
        proof.warnings,
        [
            "shop: 4 tables have a DATA DIRECTORY or INDEX DIRECTORY, first: a; the throwaway server keeps their files in its \
          own folder, and where they lay is not compared"
        ]
    );
}
