//! Copies of a set that are not as it was written, where another one is.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::text;
use crate::validation::change;
use crate::verify::{Stage, flip};
use mykeeper_e2e::*;
use std::process::Command;

const PROVE: &str = "[validation.prove]\ncron = \"NEVER\"\nselect = \"oldest\"\n";
const DATA: &str = "shop.orders.sql.gz";

impl Stage {
    fn status(&self, number: usize) -> String {
        self.workspace.catalog().value(&format!(
            "SELECT validate_status FROM user_backup WHERE bk_id = '{}'",
            self.sets[number]
        ))
    }

    fn verify(&self, number: usize) -> Finished {
        self.workspace
            .mykeeper(&["verify", "--bk-id", &self.sets[number]])
    }

    /// Does what a message says mends it, as the one line that a person would copy.
    #[track_caller]
    fn mend(&self, told: &Finished) -> String {
        let said = told.assert_says("to mend it: ").said();
        let (_, rest) = said.split_once("to mend it: ").unwrap();
        let (command, _) = rest.split_once("; then look again").unwrap();
        let program = Binary::find().path().display().to_string();
        // It names the configuration that it was told of.
        let line = match command.strip_prefix("mykeeper ") {
            Some(words) => format!("{program} {words}"),
            None => command.to_owned(),
        };
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        command.to_owned()
    }
}

fn count(told: &Finished, what: &str) -> usize {
    told.said().matches(what).count()
}

#[test]
fn a_rotten_copy_does_not_cost_the_set_its_proof_and_is_mended_as_told() {
    let stage = Stage::new(PROVE);
    let (vault, own) = (stage.copy(0), stage.original(0));
    flip(&vault.join(DATA));
    let run = stage.run("prove");
    run.assert_code(1)
        .assert_says(&format!("set {} is proven in {}", stage.sets[0], own.display()));
    let line = format!("{}: file {DATA}, BLAKE3: expected ", vault.display());
    assert_eq!(count(&run, &line), 1, "once: {run}");
    assert_eq!(stage.status(0), "passed");
    let shown = stage
        .workspace
        .mykeeper(&["show", &stage.sets[0], "--json"])
        .json();
    let proof = &shown["proofs"][0];
    assert_eq!(text(proof, "path"), own.display().to_string());
    let warning = proof["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with(&format!(
            "the copy in {} is not as the set was written",
            vault.display()
        )) && warning.contains(DATA),
        "{proof:#}"
    );
    stage
        .workspace
        .mykeeper(&["proof", &stage.sets[0]])
        .assert_code(0)
        .assert_says("was not restored");
    let found = stage.verified(0);
    assert_eq!(found["state"], "differs");
    let copies = found["copies"].as_array().unwrap();
    assert_eq!(copies.len(), 2, "{found:#}");
    assert_eq!(copies[0]["differences"].as_array().unwrap().len(), 1);
    assert_eq!(copies[1]["differences"], serde_json::json!([]));
    let command = stage.mend(&run);
    assert!(
        command.starts_with("mykeeper --config ") && command.contains(" transfer --backup-dir "),
        "{command}"
    );
    stage.verify(0).assert_code(0).assert_says("2 copies");

    // The other way round: what lies here is made from the copy, also where a file is too much.
    flip(&own.join(DATA));
    std::fs::write(own.join("shop.more.sql"), "INSERT INTO x VALUES (1);\n").unwrap();
    let told = stage.verify(0);
    told.assert_code(1).assert_says("shop.more.sql: expected absent");
    assert_eq!(count(&told, "shop.more.sql: expected absent"), 1, "{told}");
    let command = stage.mend(&told);
    assert!(command.starts_with("rsync "), "{command}");
    stage.verify(0).assert_code(0).assert_says("2 copies");
}

#[test]
fn a_set_fails_for_its_files_only_where_every_copy_differs_and_is_tried_again_when_one_does_not() {
    let stage = Stage::new(PROVE);
    let (vault, own) = (stage.copy(0), stage.original(0));
    let whole = std::fs::read(own.join(DATA)).unwrap();
    flip(&vault.join(DATA));
    std::fs::remove_file(own.join(DATA)).unwrap();
    // Where another node has one that is whole, the set is not to blame.
    let catalog = stage.workspace.catalog();
    change(
        &catalog,
        &format!(
            "INSERT INTO mk_run (id, node, job, kind, trigger_kind, state, requested_ms) \
             VALUES ('01936b3e-0000-7000-8000-000000000001', 'other', 'x', 'validation', 'manual', 'succeeded', 9000000000000); \
             INSERT INTO mk_verification (bk_id, node, state, looked_ms, copies_json) VALUES ('{}', 'other', 'as-written', \
             1767225600000, '[{{\"path\":\"/there\",\"files\":1,\"bytes\":1,\"differences\":[]}}]')",
            stage.sets[0]
        ),
    );
    stage
        .workspace
        .mykeeper(&["validate", "--bk-id", &stage.sets[0]])
        .assert_code(1)
        .assert_says("on other it was as written in /there at 2026-01-01 00:00 UTC");
    assert_eq!(stage.status(0), "N/A");
    // Not for ever: a node that does nothing any more says nothing either.
    change(&catalog, "DELETE FROM mk_run WHERE node = 'other'");
    let run = stage.run("prove");
    run.assert_code(1)
        .assert_says("no copy of it here is as it was written");
    for place in [
        format!("{}: file {DATA}, BLAKE3", vault.display()),
        format!("{}: file {DATA}: expected present, found missing", own.display()),
    ] {
        assert_eq!(count(&run, &place), 1, "{place}, once: {run}");
    }
    assert_eq!(stage.status(0), "failed");
    // It is not tried again while nothing has changed.
    stage
        .run("prove")
        .assert_code(0)
        .assert_says(&format!("set {} is proven", stage.sets[1]));
    stage.verify(0).assert_code(1);
    assert_eq!(stage.status(0), "failed");

    std::fs::write(own.join(DATA), whole).unwrap();
    let told = stage.verify(0);
    told.assert_code(1)
        .assert_says("the next validation run tries it again");
    assert_eq!(stage.status(0), "N/A");
    stage.run("prove").assert_code(1).assert_says(&format!(
        "set {} is proven in {}",
        stage.sets[0],
        own.display()
    ));
    assert_eq!(stage.status(0), "passed");

    // A copy that is sent anew frees the set as well.
    flip(&vault.join(DATA));
    let manifest = own.join("mykeeper.manifest.json");
    let record = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, [&record[..], b"\n"].concat()).unwrap();
    std::fs::write(vault.join("mykeeper.manifest.json"), "{}").unwrap();
    stage
        .workspace
        .mykeeper(&["validate", "--bk-id", &stage.sets[0]])
        .assert_code(1);
    assert_eq!(stage.status(0), "failed");
    std::fs::write(&manifest, record).unwrap();
    let send = [
        "transfer",
        "--backup-dir",
        own.to_str().unwrap(),
        "--bk-id",
        &stage.sets[0],
    ];
    stage.workspace.mykeeper(&send).assert_code(0);
    assert_eq!(stage.status(0), "N/A");
    stage.run("prove").assert_code(0);
    assert_eq!(stage.status(0), "passed");
}

#[test]
fn a_set_has_not_failed_while_a_copy_may_be_whole_that_is_not_read() {
    let stage = Stage::new(PROVE);
    let (vault, own) = (stage.workspace.at("vault"), stage.original(0));
    stage.verify(0).assert_code(0).assert_says("2 copies");
    // Nothing is mounted there.
    let mounted = stage.workspace.at("mounted");
    std::fs::rename(&vault, &mounted).unwrap();
    std::fs::create_dir(&vault).unwrap();
    let whole = std::fs::read(own.join(DATA)).unwrap();
    flip(&own.join(DATA));
    let prove = || stage.workspace.mykeeper(&["validate", "--bk-id", &stage.sets[0]]);
    prove()
        .assert_code(1)
        .assert_says(&format!("the copy in {}/", vault.display()));
    assert_eq!(stage.status(0), "N/A");
    let found = stage.verified(0);
    assert_eq!(found["copies"].as_array().unwrap().len(), 2, "{found:#}");
    std::fs::remove_dir(&vault).unwrap();
    std::fs::rename(&mounted, &vault).unwrap();
    prove().assert_code(0);
    assert_eq!(stage.status(0), "passed");

    // What has arrived where nobody here can read it may be whole as well.
    std::fs::write(own.join(DATA), whole).unwrap();
    let catalog = stage.workspace.catalog();
    flip(&stage.original(1).join(DATA));
    flip(&stage.copy(1).join(DATA));
    change(
        &catalog,
        &format!(
            "INSERT INTO mk_transfer SELECT '01936b3e-0000-7000-8000-000000000002', run_id, bk_id, node, 'far', target, number, purpose, state, \
             reason, sent_bytes, started_ms, finished_ms FROM mk_transfer WHERE bk_id = '{}' AND purpose = 'send'",
            stage.sets[1]
        ),
    );
    let validate = ["validate", "--bk-id", &stage.sets[1]];
    stage
        .workspace
        .mykeeper(&validate)
        .assert_code(1)
        .assert_says("what was sent to far has arrived there, and nobody has read it since");
    assert_eq!(stage.status(1), "N/A");
    change(&catalog, "DELETE FROM mk_transfer WHERE destination = 'far'");
    stage.workspace.mykeeper(&validate).assert_code(1);
    assert_eq!(stage.status(1), "failed");
}

#[test]
fn a_set_without_a_manifest_is_taken_from_no_copy_that_lacks_a_file() {
    let stage = Stage::new(PROVE);
    let (vault, own) = (stage.copy(0), stage.original(0));
    let (id, catalog) = (&stage.sets[0], stage.workspace.catalog());
    change(
        &catalog,
        &format!(
            "UPDATE user_backup SET manifest_blake3 = NULL WHERE bk_id = '{id}'; \
             DELETE FROM mk_file WHERE bk_id = '{id}'; DELETE FROM mk_evidence WHERE bk_id = '{id}'; \
             DELETE FROM mk_evidence_zstd WHERE bk_id = '{id}'"
        ),
    );
    let whole = std::fs::read(own.join(DATA)).unwrap();
    flip(&vault.join(DATA));
    std::fs::remove_file(own.join(DATA)).unwrap();
    let restore = [
        "restore",
        id,
        "--into",
        "shop",
        "--database",
        "shop",
        "--as",
        "again",
        "--despite-missing-rights",
    ];
    stage
        .workspace
        .mykeeper(&restore)
        .assert_says("expected present, as in ");
    stage.run("prove").assert_code(1).assert_says(&format!(
        "file {DATA}: expected present, as in {}, found missing",
        vault.display()
    ));
    assert_eq!(stage.status(0), "failed");
    std::fs::write(own.join(DATA), whole).unwrap();
    stage
        .workspace
        .mykeeper(&["validate", "--bk-id", id])
        .assert_code(1)
        .assert_says(&format!("set {id} is proven in {}", own.display()));
    assert_eq!(stage.status(0), "passed");
}
