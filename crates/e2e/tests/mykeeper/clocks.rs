//! Nodes with one catalog and clocks that differ: a set belongs to who holds it, whatever the time is there.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::validators::{LEASE, node, prove_every_second, server_of_nodes};
use crate::{add_path, backup_job};
use mykeeper_e2e::*;
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How far a clock is off.
const OFF: i64 = 600;

fn status_of(maker: &Workspace, name: &str) -> Value {
    let shown = maker.mykeeper(&["status", "--json"]).json();
    let nodes = shown["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["node"] == name);
    node.cloned().unwrap_or_default()
}

#[test]
fn nodes_whose_clocks_differ_take_no_set_from_one_that_lives_and_each_from_one_that_died() {
    let server = server_of_nodes();
    let maker = node(&server, "maker");
    maker.write_schedule(&backup_job("nightly", r#"["tiny"]"#, ""));
    maker.mykeeper(&["run", "nightly"]).assert_code(0);
    add_path(&maker, &maker.sets());

    for (round, holder_is_off) in [-OFF, OFF].into_iter().enumerate() {
        if round > 0 {
            maker.mykeeper(&["run", "nightly"]).assert_code(0);
        }
        let names = [format!("holder{round}"), format!("taker{round}")];
        let [mut holder, mut taker] = names.each_ref().map(|name| node(&server, name));
        for (workspace, off) in [(&mut holder, holder_is_off), (&mut taker, -holder_is_off)] {
            let Some((clock, surroundings)) = FakeClock::new(workspace.path()) else {
                eprintln!("SKIPPED: libfaketime is not installed: run deploy/install-needs.sh");
                return;
            };
            clock.set(off);
            workspace.surround(surroundings);
        }
        let slow = "assert = [{ database = \"tiny\", sql = \"SELECT SLEEP(80) = 0\" }]";
        holder.write_schedule(&prove_every_second(slow));
        taker.write_schedule(&prove_every_second(""));
        let mut first = holder.daemon();
        wait_until(LIMIT, "the holder is at the set", || {
            let held = server.value(&format!(
                "SELECT COUNT(*) FROM catalogdb.mk_lease WHERE name LIKE '%:validate' AND holder LIKE '{} %'",
                names[0]
            ));
            (held == "1").then_some(())
        });
        let mut second = taker.daemon();
        let began = Instant::now();
        wait_until(LIMIT, "a lease would have run out", || {
            (began.elapsed() > LEASE + Duration::from_secs(2)).then_some(())
        });
        let proofs = || server.query("SELECT bk_id, node FROM catalogdb.mk_proof");
        assert_eq!(proofs().len(), round, "{:?}\n{}", proofs(), second.log());

        // Both are known to live, and each with its clock.
        for (name, off) in names.iter().zip([holder_is_off, -holder_is_off]) {
            let shown = status_of(&maker, name);
            assert_eq!(shown["vitality"], "alive", "{shown:#}");
            let ahead = shown["clock_ahead_seconds"].as_f64().unwrap();
            assert!((ahead - off as f64).abs() < 20.0, "{shown:#}");
        }
        maker
            .mykeeper(&["status"])
            .assert_code(4)
            .assert_says("its clock is 10 min ahead of the catalog's")
            .assert_says("its clock is 10 min behind the catalog's");
        assert!(
            first.log().contains("this machine's clock is 10 min"),
            "{}",
            first.log()
        );

        first.signal(Signal::KILL);
        first.wait_end(LIMIT);
        wait_until(LIMIT, "the other has proven its set", || {
            (proofs().len() == round + 1).then_some(())
        });
        assert!(
            proofs().iter().all(|proof| proof[1].starts_with("taker")),
            "{:?}",
            proofs()
        );
        // The one that lives is not taken for lost, nor the dead one for alive.
        wait_until(LIMIT, "the dead one is missed", || {
            (status_of(&maker, &names[0])["vitality"] == "silent").then_some(())
        });
        assert_eq!(status_of(&maker, &names[1])["vitality"], "alive");
        assert_eq!(second.stop(), Some(0));
        maker.mykeeper(&["status", "--forget", &names[0]]).assert_code(0);
    }
}

#[test]
fn nothing_is_removed_by_a_clock_that_is_not_the_catalogs() {
    let server = server_of_nodes();
    let mut maker = node(&server, "maker");
    let prune = "[retention.prune]\ncron = \"NEVER\"\ndirectory = \"{sets}\"\nkeep = { within = \"30d\" }\n\
                 action = \"delete\"\nrequire = \"complete\"\n";
    let prune = prune.replace("NEVER", crate::NEVER);
    maker.write_schedule(&format!("{}{prune}", backup_job("nightly", r#"["tiny"]"#, "")));
    for _ in 0..2 {
        maker.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    let Some((clock, surroundings)) = FakeClock::new(maker.path()) else {
        eprintln!("SKIPPED: libfaketime is not installed: run deploy/install-needs.sh");
        return;
    };
    maker.surround(surroundings);
    clock.set(45 * 86_400);
    let told =
        "nothing is removed: 1 set would go, and this machine's clock is 45 d 0 h ahead of the catalog's";
    maker.mykeeper(&["run", "prune"]).assert_code(1).assert_says(told);
    maker
        .mykeeper(&["retention", "prune", "--dry-run"])
        .assert_says(told);
    clock.set(0);
    maker
        .mykeeper(&["run", "prune"])
        .assert_code(0)
        .assert_says("2 sets kept");
}

#[test]
fn a_set_that_was_made_by_a_clock_far_behind_is_not_old_by_the_right_one() {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE catalogdb; CREATE DATABASE tiny; CREATE TABLE tiny.t (id INT PRIMARY KEY); \
         INSERT INTO tiny.t VALUES (1), (2);",
    );
    server.account("keeper", "pw", "ALL ON catalogdb.*");
    let mut maker = node(&server, "maker");
    let prune = format!(
        "[retention.prune]\ncron = \"{}\"\ndirectory = \"{{sets}}\"\nkeep = {{ within = \"30d\" }}\n\
         action = \"delete\"\nrequire = \"complete\"\n",
        crate::NEVER
    );
    maker.write_schedule(&format!("{}{prune}", backup_job("nightly", r#"["tiny"]"#, "")));
    maker.mykeeper(&["catalog", "migrate"]).assert_code(0);
    let Some((clock, surroundings)) = FakeClock::new(maker.path()) else {
        eprintln!("SKIPPED: libfaketime is not installed: run deploy/install-needs.sh");
        return;
    };
    maker.surround(surroundings);
    clock.set(-400 * 86_400);
    maker
        .mykeeper(&["run", "nightly"])
        .assert_code(4)
        .assert_says("the set was begun while this machine's clock was 400 d 0 h behind the catalog's: set right the one")
        .assert_says("retention takes the set to be of 20");
    clock.set(0);
    maker.mykeeper(&["run", "nightly"]).assert_code(0);
    maker
        .mykeeper(&["retention", "prune", "--dry-run"])
        .assert_says("within");
    maker
        .mykeeper(&["run", "prune"])
        .assert_code(0)
        .assert_says("by the catalog's clock of 20")
        .assert_says("2 sets kept");
}
