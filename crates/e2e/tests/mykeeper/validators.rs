//! Several nodes with one catalog: each set is proven once, whoever dies meanwhile.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::notify::{events, webhook};
use crate::{NEVER, add_path, backup_job, text};
use mykeeper_e2e::*;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(90);
/// Heartbeats keep it for as long as its holder lives.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// A server with the catalog that nodes share, and the database `tiny`.
pub(crate) fn server_of_nodes() -> MariaDb {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE catalogdb; CREATE DATABASE tiny; CREATE TABLE tiny.t (id INT PRIMARY KEY); \
         INSERT INTO tiny.t VALUES (1), (2);",
    );
    server.account("keeper", "pw", "ALL ON catalogdb.*");
    server
}

/// A node of its own, whose catalog lies on `server`.
pub(crate) fn node(server: &MariaDb, name: &str) -> Workspace {
    let workspace = Workspace::new();
    let file = workspace.password_file("catalog", "pw");
    workspace.write_keeper(&format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"{}\"\n\n[daemon]\nlease = \"{}s\"\n\n{}",
        server.port(),
        file.display(),
        LEASE.as_secs(),
        workspace.server("shop", server, "pw")
    ));
    let text = std::fs::read_to_string(workspace.config()).unwrap();
    std::fs::write(
        workspace.config(),
        text.replace("node = \"testnode\"", &format!("node = \"{name}\"")),
    )
    .unwrap();
    workspace
}

pub(crate) fn prove_every_second(more: &str) -> String {
    format!("[validation.prove]\ncron = \"* * * * * *\"\n{more}\n")
}

#[test]
fn several_validators_prove_each_set_once_and_one_that_dies_is_replaced() {
    let server = server_of_nodes();
    let maker = node(&server, "maker");
    maker.write_schedule(&backup_job("nightly", r#"["tiny"]"#, ""));
    for _ in 0..6 {
        maker.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    add_path(&maker, &maker.sets());
    let passed = || {
        let count =
            server.value("SELECT COUNT(*) FROM catalogdb.user_backup WHERE validate_status = 'passed'");
        count.parse::<usize>().unwrap()
    };

    // Another proves each set between a node's look at what waits and its lease.
    server.sql(
        "CREATE TRIGGER catalogdb.sooner AFTER INSERT ON catalogdb.mk_lease FOR EACH ROW UPDATE catalogdb.user_backup \
         SET validate_status = 'passed' WHERE NEW.name = CONCAT('set:', bk_id, ':validate')",
    );
    let late = node(&server, "late");
    late.write_schedule(&prove_every_second(""));
    late.mykeeper(&["run", "prove"])
        .assert_code(0)
        .assert_says("no set waits");
    assert_eq!(
        server.value("SELECT COUNT(*) FROM catalogdb.mk_proof"),
        "0",
        "none twice"
    );
    server.sql("DROP TRIGGER catalogdb.sooner; UPDATE catalogdb.user_backup SET validate_status = 'N/A'");

    // The first takes a set and holds it for long.
    let slow = node(&server, "slow");
    let assert = "assert = [{ database = \"tiny\", sql = \"SELECT SLEEP(80) = 0\" }]";
    slow.write_schedule(&prove_every_second(assert));
    let mut first = slow.daemon();
    let held = wait_until(LIMIT, "the first node is at a set", || {
        let held = server.query("SELECT name, holder FROM catalogdb.mk_lease WHERE name LIKE '%:validate'");
        held.into_iter().next()
    });
    let taken_at = Instant::now();
    assert!(held[1].starts_with("slow "), "{held:?}");
    let slow_set = held[0].split(':').nth(1).unwrap().to_owned();

    let others = ["one", "two"].map(|name| {
        let workspace = node(&server, name);
        workspace.write_schedule(&prove_every_second(""));
        workspace
    });
    let daemons = others.each_ref().map(Workspace::daemon);
    // Who has no job of its own is told whom each waits for, too.
    let unproven = maker
        .mykeeper(&["backups", "--state", "unproven", "--json"])
        .json();
    let reasons = unproven.as_array().unwrap().iter();
    for set in reasons.filter(|set| set["id"] != *slow_set) {
        let why = text(&set["unproven"], "why");
        assert!(["waits", "proving"].contains(&why), "{set:#}");
    }
    wait_until(LIMIT, "the others have proven all other sets", || {
        (passed() == 5).then_some(())
    });
    // Longer than a lease lasts that nobody renews, and with others that look every second.
    wait_until(LIMIT, "a lease would have run out", || {
        (taken_at.elapsed() > LEASE + Duration::from_secs(2)).then_some(())
    });
    assert_eq!(passed(), 5, "the heartbeats of the first keep its set");
    maker
        .mykeeper(&["show", &slow_set])
        .assert_code(0)
        .assert_says("it is being proven by slow since 20");

    first.signal(Signal::KILL);
    first.wait_end(LIMIT);
    wait_until(LIMIT, "another node has proven its set", || {
        (passed() == 6).then_some(())
    });
    drop(daemons);
    let proofs = server.query("SELECT bk_id, node FROM catalogdb.mk_proof");
    let proven: BTreeSet<&String> = proofs.iter().map(|proof| &proof[0]).collect();
    assert_eq!((proofs.len(), proven.len()), (6, 6), "each once: {proofs:?}");
    let nodes: BTreeSet<&str> = proofs.iter().map(|proof| proof[1].as_str()).collect();
    assert_eq!(nodes, BTreeSet::from(["one", "two"]), "{proofs:?}");
    assert_eq!(
        server.value("SELECT COUNT(*) FROM catalogdb.mk_run WHERE kind = 'validation' AND state = 'failed'"),
        "0"
    );
}

#[test]
fn a_set_that_another_node_made_and_that_takes_long_to_come_back_is_told_of_where_it_is_proven() {
    let server = server_of_nodes();
    let (maker, prover) = (node(&server, "maker"), node(&server, "prover"));
    let sink = HttpSink::start();
    for workspace in [&maker, &prover] {
        let keeper = std::fs::read_to_string(workspace.config()).unwrap();
        let told = format!("{keeper}\n[notify]\ngather = \"100ms\"\n\n{}", webhook(&sink));
        std::fs::write(workspace.config(), told).unwrap();
    }
    maker.write_schedule(&backup_job("nightly", r#"["tiny"]"#, ""));
    for _ in 0..2 {
        maker.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    add_path(&maker, &maker.sets());
    let prove = |limit: &str| {
        let job =
            prove_every_second(&format!("max_restore_time = \"{limit}\"")).replace("* * * * * *", NEVER);
        prover.write_schedule(&job);
        prover.mykeeper(&["run", "prove"])
    };
    prove("1ms").assert_code(4).assert_says("max_restore_time");
    let broken = events(&sink, "promise");
    assert_eq!(broken.len(), 1, "{broken:#?}");
    assert!(
        text(&broken[0], "topic").contains("restore time of job nightly"),
        "{broken:#?}"
    );
    // Nor is it forgotten by a daemon there, which has no such job.
    let mut daemon = prover.daemon();
    wait_until(LIMIT, "it is in trouble still", || {
        let shown = prover.mykeeper(&["notify", "--json"]).json();
        shown["troubles"]["restore time of job nightly"]
            .is_object()
            .then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
    prove("1h").assert_code(0);
    let over = events(&sink, "recovery");
    assert_eq!(over.len(), 1, "{over:#?}");
    assert!(text(&over[0], "topic").contains("job nightly"), "{over:#?}");
}

/// Its folder of the destination `vault`.
fn with_vault(node: &Workspace) -> PathBuf {
    let vault = node.at("vault");
    std::fs::create_dir(&vault).unwrap();
    let keeper = std::fs::read_to_string(node.config()).unwrap();
    let more = format!("\n[destinations.vault]\nurl = \"{}\"\n", vault.display());
    std::fs::write(node.config(), format!("{keeper}{more}")).unwrap();
    vault
}

fn spoil(set: &Path) {
    let mut files = std::fs::read_dir(set).unwrap().flatten();
    let is_data = |name: &str| name.starts_with("tiny.t.") && !name.contains("schema");
    let data = files.find(|file| is_data(file.file_name().to_str().unwrap()));
    std::fs::write(data.unwrap().path(), "x").unwrap();
}

#[test]
fn a_doubt_ends_with_the_command_that_it_names_on_the_node_that_it_names() {
    let server = server_of_nodes();
    let (maker, other) = (node(&server, "maker"), node(&server, "other"));
    let (here, there) = (with_vault(&maker), with_vault(&other));
    maker.write_schedule(&backup_job("nightly", r#"["tiny"]"#, "transfer_to = \"vault\""));
    other.write_schedule("");
    maker.mykeeper(&["run", "nightly"]).assert_code(0);
    let id = text(&maker.backups()[0], "id").to_owned();
    let copied = Command::new("cp").arg("-aT").args([&here, &there]).status();
    assert!(copied.unwrap().success());
    other.mykeeper(&["verify", "--bk-id", &id]).assert_code(0);
    for root in [&maker.sets(), &here] {
        spoil(&find_set(root, &id));
    }
    let validate = || maker.mykeeper(&["validate", "--bk-id", &id]);
    let status = || {
        let query = format!("SELECT validate_status FROM catalogdb.user_backup WHERE bk_id = '{id}'");
        server.value(&query)
    };
    let told = validate();
    told.assert_code(1).assert_says("was as written at ");
    assert_eq!(status(), "N/A", "{told}");
    let said = told.said();
    let (before, _) = said.split_once("\" on other tells").unwrap();
    let (_, command) = before.rsplit_once("\"mykeeper ").unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    // It still is.
    other.mykeeper(&words).assert_code(0);
    validate().assert_code(1).assert_says("was as written at ");
    spoil(&find_set(&there, &id));
    other.mykeeper(&words).assert_code(1);
    validate()
        .assert_code(1)
        .assert_says("no copy of it here is as it was written");
    assert_eq!(status(), "failed");
}

#[test]
fn a_set_is_proven_however_many_wait_elsewhere() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    let validation = |name: &str, select: &str| {
        format!("[validation.{name}]\ncron = \"{NEVER}\"\nselect = \"{select}\"\n")
    };
    let jobs = [
        backup_job("nightly", r#"["shop"]"#, ""),
        validation("last", "newest"),
        validation("any", "random"),
    ];
    workspace.write_schedule(&jobs.concat());
    for _ in 0..2 {
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    // Made later, by another node, in a folder that is its own.
    workspace.catalog().edit(
        "INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, backuped_db, is_complete, \
         bk_size, bk_dir, transfer_complete, remote_dest, master_status, slave_status, tool_version, server_version, \
         tag, node, job, started_ms, finished_ms) \
         WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 12000) \
         SELECT '00000000-0000-4000-8000-' || SUBSTR('000000000000' || n, -12), 'x', '2099-01-01 00:00:00', \
         '2099-01-01 00:00:00', 9, 'shop', 'Y', '1G', '/elsewhere', 'N/A (local backup)', 'x', 'x', 'x', '1', '1', \
         'shop', 'elsewhere', 'nightly', 4070908800000, 4070908800000 FROM number",
    );
    let listed = || {
        let listed = workspace.mykeeper(&["backups", "--state", "unproven", "--limit", "13000", "--json"]);
        let listed = listed.assert_code(0).json();
        listed.as_array().unwrap().clone()
    };
    let sets = listed();
    let (away, here): (Vec<_>, Vec<_>) = sets.iter().partition(|set| set["node"] == "elsewhere");
    assert_eq!((away.len(), here.len()), (12_000, 2));
    for set in &here {
        assert_eq!(set["unproven"]["why"], "waits", "{set:#}");
        assert!(set["unproven"]["before"].as_u64().unwrap() < 2, "{set:#}");
    }
    for set in &away {
        assert_eq!(set["unproven"]["why"], "not-here", "{set:#}");
    }
    for (job, left) in [("last", 1), ("any", 0)] {
        workspace
            .mykeeper(&["run", job])
            .assert_code(0)
            .assert_says("proven");
        let left_here = listed().iter().filter(|set| set["node"] != "elsewhere").count();
        assert_eq!(left_here, left, "{job}");
    }
    for job in ["last", "any"] {
        workspace
            .mykeeper(&["run", job])
            .assert_code(0)
            .assert_says("no set on this machine waits for its proof; more than 1000 lie elsewhere");
    }
}
