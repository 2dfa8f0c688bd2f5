//! The documented layout of several nodes, as its files lie in deploy/nodes, on one machine with one shared catalog.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use mykeeper_e2e::*;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const NODES: [&str; 3] = ["db1", "vault", "prover"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nodes")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(folder().join(path)).unwrap()
}

/// One of the nodes, its places and addresses those of this test, its proofs due at every second.
fn node(name: &str, (server, rsync, sink): (&MariaDb, &RsyncDaemon, &HttpSink), more: &str) -> Workspace {
    let workspace = Workspace::new();
    for file in ["chat.url", "shop-nightly.ping", "prove.ping"] {
        let url = workspace.password_file(file, &format!("{}/{name}/{file}", sink.url()));
        std::fs::rename(url, workspace.at(file)).unwrap();
    }
    workspace.password_file("catalog", &format!("password of {name}"));
    workspace.password_file("shop", "pw");
    workspace.password_file("rsync", "pw");
    let path = |path: &Path| path.display().to_string();
    let replaced = |text: String| {
        text.replace("/etc/mykeeper", &path(workspace.path()))
            .replace("10.0.0.5:3306", &format!("127.0.0.1:{}", server.port()))
            .replace("/run/mysqld/mysqld.sock", &path(&server.socket()))
            .replace(
                "rsync://platform@10.0.0.20/db_backup/db1",
                &rsync.url(rsync.port(), "db1"),
            )
            .replace("/var/backups/mykeeper", &path(&workspace.sets()))
            .replace("/srv/db_backup", &path(&rsync.vault()))
            .replace(
                "\"/var/tmp\"",
                &format!("\"{}\"\nmemory = \"64 MiB\"", path(&workspace.at("sandbox"))),
            )
            .replace("*/15 * * * *", "* * * * * *")
            .replace("*/5 * * * *", "* * * * * *")
    };
    let keeper = replaced(read(&format!("{name}/mykeeper.toml")));
    let state = format!("\nstate_dir = \"{}\"\n\n[catalog]", path(&workspace.at("state")));
    let keeper = keeper.replacen("\n[catalog]", &state, 1);
    std::fs::write(
        workspace.config(),
        format!("{keeper}\n[daemon]\nlease = \"3s\"\n"),
    )
    .unwrap();
    let schedule = replaced(read(&format!("{name}/schedule.toml")));
    std::fs::write(workspace.at("schedule.toml"), format!("{schedule}{more}")).unwrap();
    workspace
}

fn status(node: &Workspace) -> (Option<i32>, Vec<Value>) {
    let shown = node.mykeeper(&["status", "--json"]);
    let nodes = shown.json()["nodes"].as_array().cloned();
    assert!(nodes.is_some(), "{shown}");
    (shown.status.code(), nodes.unwrap_or_default())
}

fn vitality(nodes: &[Value], name: &str) -> String {
    let node = nodes.iter().find(|node| node["node"] == name);
    node.map_or_else(String::new, |node| node["vitality"].as_str().unwrap().to_owned())
}

#[test]
fn three_nodes_as_documented_share_one_catalog_and_one_takes_over_from_another_that_dies() {
    for name in NODES {
        let file = folder().join(name).join("mykeeper.toml");
        Binary::find().run(&file, &["check", "--offline"]).assert_code(0);
    }
    let (mut server, rsync) = (MariaDb::start(), RsyncDaemon::start("pw"));
    server.sql(
        "CREATE DATABASE tiny; CREATE TABLE tiny.t (id INT PRIMARY KEY); INSERT INTO tiny.t VALUES (1), (2);",
    );
    let grants = ["10.0.0.11", "10.0.0.20", "10.0.0.21"]
        .iter()
        .fold(read("grants.sql"), |text, address| {
            text.replace(address, "127.0.0.1")
        });
    server.sql(&grants);
    server.backup_account("backup", "pw");
    std::fs::create_dir(rsync.vault().join("db1")).unwrap();

    let slow = "assert = [{ database = \"tiny\", sql = \"SELECT SLEEP(100) = 0\" }]\n";
    let sink = HttpSink::start();
    let around = (&server, &rsync, &sink);
    let db1 = node("db1", around, "");
    let text = std::fs::read_to_string(db1.at("schedule.toml")).unwrap();
    std::fs::write(db1.at("schedule.toml"), text.replace("[\"%\"]", "[\"tiny\"]")).unwrap();
    let (vault, prover) = (node("vault", around, ""), node("prover", around, slow));
    let mut maker = db1.daemon();
    let real_path = rsync.vault().join("db1").display().to_string();
    db1.mykeeper(&["run", "shop-nightly"]).assert_code(0);
    // A folder that was never named, or is none.
    let unfound = "1 set waits for its proof and is not found here (tag shop)";
    vault
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says(unfound)
        .assert_says("nothing says in which folder");
    vault
        .mykeeper(&["run", "prove"])
        .assert_code(4)
        .assert_says("1 lie elsewhere")
        .assert_says("nothing says in which folder");
    let unknown = [
        "--bk-server",
        "10.0.0.11",
        "--remote-server",
        "10.0.0.20",
        "--real-path",
        "/srv",
        "--tag",
        "shpo",
    ];
    db1.mykeeper(&[&["paths", "add"], &unknown[..]].concat())
        .assert_code(4)
        .assert_says("no set has the tag \"shpo\"")
        .assert_says("did you mean \"shop\"?")
        .assert_says("path 1 is recorded");
    db1.mykeeper(&["paths", "remove", "1"]).assert_code(0);
    let add = |real_path: &str, said: &str| {
        let server = ["--bk-server", "10.0.0.11", "--remote-server", "10.0.0.20"];
        let folder = ["--tag", "shop", "--real-path", real_path];
        db1.mykeeper(&[&["paths", "add"], &server[..], &folder[..]].concat())
            .assert_code(0)
            .assert_says(said);
    };
    add("/no/such/folder", "is no folder of this machine");
    vault
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says(unfound)
        .assert_says("is not in /no/such/folder");
    add(&real_path, "is recorded");
    let found = vault.mykeeper(&["check"]);
    assert!(!found.said().contains("is not found here"), "{found}");

    // The prover has a set and is long at it; the others that come are the vault's.
    let mut slow_one = prover.daemon();
    let held = wait_until(
        LIMIT,
        &format!("the prover is at a set\n{}", slow_one.log()),
        || {
            let held = server.query(
                "SELECT name FROM catalogdb.mk_lease WHERE name LIKE '%:validate' AND holder LIKE 'prover %'",
            );
            held.into_iter().next()
        },
    );
    let held = held[0].split(':').nth(1).unwrap().to_owned();
    let mut keeper = vault.daemon();
    for _ in 0..2 {
        db1.mykeeper(&["run", "shop-nightly"]).assert_code(0);
    }
    let proofs = || server.query("SELECT bk_id, node FROM catalogdb.mk_proof");
    wait_until(LIMIT, "the vault has proven the other sets", || {
        (proofs().len() == 2).then_some(())
    });
    assert!(
        proofs()
            .iter()
            .all(|proof| proof[0] != held && proof[1] == "vault"),
        "{:?}",
        proofs()
    );

    // Each of them shows all of them.
    for workspace in [&db1, &vault, &prover] {
        let (code, nodes) = status(workspace);
        let found: BTreeSet<&str> = nodes.iter().map(|node| node["node"].as_str().unwrap()).collect();
        assert_eq!(found, BTreeSet::from(NODES), "{nodes:#?}");
        assert!(nodes.iter().all(|node| node["vitality"] == "alive"), "{nodes:#?}");
        assert_eq!(code, Some(0));
        let of = |name: &str| nodes.iter().find(|node| node["node"] == name).unwrap();
        assert_eq!(of("prover")["running"][0]["job"], "prove", "{nodes:#?}");
        assert!(
            of("db1")["next"]["job"].is_string() && of("db1")["version"].is_string(),
            "{nodes:#?}"
        );
    }
    for called in [
        "/db1/shop-nightly.ping",
        "/vault/prove.ping",
        "/prover/prove.ping/start",
    ] {
        wait_until(LIMIT, called, || {
            let posted = sink.posted();
            posted.iter().any(|posted| posted.path == called).then_some(())
        });
    }
    let jobs = server.query(
        "SELECT DISTINCT node, job FROM catalogdb.mk_run WHERE kind IN ('backup', 'transfer', 'retention')",
    );
    assert!(
        jobs.iter().all(|row| (row[0] == "db1") != (row[1] == "prune")),
        "each does its own: {jobs:?}"
    );

    slow_one.signal(Signal::KILL);
    slow_one.wait_end(LIMIT);
    // It is known at once where it ran.
    let (code, nodes) = status(&prover);
    assert_eq!(
        (code, vitality(&nodes, "prover").as_str()),
        (Some(4), "silent"),
        "{nodes:#?}"
    );
    wait_until(LIMIT, "the vault has proven what the prover had", || {
        (proofs().len() == 3).then_some(())
    });
    let proven: BTreeSet<String> = proofs().into_iter().map(|proof| proof[0].clone()).collect();
    assert!(
        proven.len() == 3 && proven.contains(&held),
        "each once: {proven:?}"
    );
    let (code, nodes) = wait_until(LIMIT, "the prover is missed", || {
        let (code, nodes) = status(&db1);
        (vitality(&nodes, "prover") == "silent").then_some((code, nodes))
    });
    assert_eq!(code, Some(4));
    assert_eq!(
        (
            vitality(&nodes, "vault").as_str(),
            vitality(&nodes, "db1").as_str()
        ),
        ("alive", "alive")
    );
    db1.mykeeper(&["status"])
        .assert_code(4)
        .assert_says("not heard of since")
        .assert_says("alive since");
    vault
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("node prover: not heard of since")
        .assert_says("status --forget prover");
    // One that is gone for good is shown until a person says so.
    db1.mykeeper(&["status", "--forget", "db1"])
        .assert_code(2)
        .assert_says("lives");
    db1.mykeeper(&["status", "--forget", "prover"]).assert_code(0);
    let (code, nodes) = status(&db1);
    assert_eq!((code, nodes.len()), (Some(0), 2), "{nodes:#?}");
    // A folder that was copied, and its name left as it was.
    let copied = std::fs::read_to_string(prover.config()).unwrap();
    std::fs::write(prover.config(), copied.replace("\"prover\"", "\"vault\"")).unwrap();
    prover
        .mykeeper(&["daemon"])
        .assert_code(3)
        .assert_says("another daemon called vault lives");
    assert_eq!((keeper.stop(), maker.stop()), (Some(0), Some(0)));
    let (_, nodes) = status(&db1);
    assert_eq!(vitality(&nodes, "vault"), "stopped", "{nodes:#?}");
    server.stop();
    db1.mykeeper(&["status"])
        .assert_code(3)
        .assert_says("no daemon runs")
        .assert_says("cannot be told until the catalog answers");
}

/// Stopped when it goes.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_rsync_daemon_of_the_layout_takes_what_its_account_sends_and_nobody_elses() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path().join(name);
    std::fs::create_dir_all(at("sets/db1")).unwrap();
    std::fs::write(at("secrets"), "platform:pw of platform\n").unwrap();
    std::fs::set_permissions(at("secrets"), std::fs::Permissions::from_mode(0o600)).unwrap();
    // The account of the layout is not on this machine.
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let conf = read("rsyncd.conf")
        .replace("/srv/db_backup", &at("sets").display().to_string())
        .replace("/etc/rsyncd.secrets", &at("secrets").display().to_string())
        .replace("uid = mykeeper", &format!("uid = {}", user.as_raw()))
        .replace("gid = mykeeper", &format!("gid = {}", group.as_raw()));
    let chroot = if is_root() { "" } else { "use chroot = no\n" };
    std::fs::write(at("rsyncd.conf"), format!("{chroot}{conf}")).unwrap();
    let port = free_port();
    let log = std::fs::File::create(at("log")).unwrap();
    let child = Command::new("rsync")
        .args([
            "--daemon",
            "--no-detach",
            "--address=127.0.0.1",
            "--log-file=/dev/stderr",
        ])
        .arg(format!("--port={port}"))
        .arg(format!("--config={}", at("rsyncd.conf").display()))
        .stderr(log)
        .spawn()
        .unwrap();
    let _daemon = Stopped(child);
    wait_until(LIMIT, "the rsync daemon answers", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    std::fs::write(at("file"), "sent").unwrap();
    let send = |password: &str| {
        std::fs::write(at("password"), password).unwrap();
        std::fs::set_permissions(at("password"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let sent = Command::new("rsync")
            .arg(format!("--password-file={}", at("password").display()))
            .arg(at("file"))
            .arg(format!("rsync://platform@127.0.0.1:{port}/db_backup/db1/"))
            .output();
        sent.unwrap().status.success()
    };
    assert!(!send("another"));
    let log = || std::fs::read_to_string(at("log")).unwrap();
    assert!(send("pw of platform"), "{}", log());
    assert_eq!(std::fs::read_to_string(at("sets/db1/file")).unwrap(), "sent");
    assert!(!log().contains("Unknown"), "{}", log());
}
