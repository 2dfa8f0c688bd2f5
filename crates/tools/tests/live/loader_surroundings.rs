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
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, SHOP);
    let how = How {
        consistency: Consistency::All,
        compressed: false,
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
