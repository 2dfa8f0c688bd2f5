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
    pub(super) fn status(&self, number: usize) -> String {
        self.workspace.catalog().value(&format!(
            "SELECT validate_status FROM user_backup WHERE bk_id = '{}'",
            self.sets[number]
        ))
    }

    pub(super) fn verify(&self, number: usize) -> Finished {
        self.workspace
            .mykeeper(&["verify", "--bk-id", &self.sets[number]])
    }

    /// Does what a message says mends it, as the one line that a person would copy.
    #[track_caller]
    pub(super) fn mend(&self, told: &Finished) -> String {
        let said = told.said();
        let Some((_, rest)) = said.split_once("to mend it:\n") else {
            // What a job says, and keeps, is one line that names who tells.
            told.assert_says("tells what mends it");
            assert!(!said.contains("look again"), "{told}");
            let id = said.split_once(" verify --bk-id ").unwrap().1;
            let id = &id[..36];
            return self.mend(&self.workspace.mykeeper(&["verify", "--bk-id", id]));
        };
        let command = rest.lines().next().unwrap().trim();
        assert!(rest.contains("\n  then look again: mykeeper "), "{told}");
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

    // At a destination beside the first, of which the seed's columns tell nothing, too.
    let manifest = vault.join("mykeeper.manifest.json");
    std::fs::remove_file(&manifest).unwrap();
    let id = &stage.sets[0];
    change(
        &stage.workspace.catalog(),
        &format!("UPDATE user_backup SET transfer_complete = 'N' WHERE bk_id = '{id}'"),
    );
    let told = stage.verify(0);
    told.assert_code(1).assert_says(&vault.display().to_string());
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
            "INSERT INTO mk_transfer SELECT '01936b3e-0000-7000-8000-000000000002', run_id, bk_id, node, 'far', 'rsync://far/x', number, purpose, state, \
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
    // What could not be compared there, or sent there again, has arrived all the same; and what another node has read of
    // the copy here says nothing of that one.
    let ended = |number: u32, purpose: &str, state: &str| {
        format!(
            "INSERT INTO mk_transfer SELECT '01936b3e-0000-7000-8000-00000000001{number}', run_id, bk_id, node, destination, \
             target, number, '{purpose}', '{state}', reason, sent_bytes, started_ms + {number}, finished_ms + {number} \
             FROM mk_transfer WHERE bk_id = '{}' AND id = '01936b3e-0000-7000-8000-000000000002'; ",
            stage.sets[1]
        )
    };
    change(
        &catalog,
        &format!(
            "{}{}{}\
             INSERT INTO mk_verification (bk_id, node, state, looked_ms, copies_json) VALUES ('{}', 'other', 'differs', \
             9000000000000, '[{{\"path\":\"{}\",\"files\":1,\"bytes\":1,\"differences\":[{{\"database\":\"\",\
             \"object\":\"file a\",\"expected\":\"present\",\"found\":\"missing\"}}]}}]')",
            ended(3, "send", "failed"),
            ended(4, "verify", "warned"),
            ended(5, "verify", "cancelled"),
            stage.sets[1],
            stage.copy(1).display()
        ),
    );
    let told = stage.workspace.mykeeper(&validate);
    told.assert_code(1)
        .assert_says("what was sent to far has arrived there, and nobody has read it since")
        .assert_says(&format!(
            "verify --bk-id {}\" on a node that has it",
            stage.sets[1]
        ))
        .assert_says("counts until 20");
    assert_eq!(stage.status(1), "N/A");
    // A row of pybackup's tells by itself that its set has arrived.
    change(
        &catalog,
        &format!(
            "CREATE TABLE kept AS SELECT * FROM mk_transfer WHERE bk_id = '{id}'; \
             DELETE FROM mk_transfer WHERE bk_id = '{id}'; \
             UPDATE user_backup SET remote_dest = 'a@far::sets' WHERE bk_id = '{id}'",
            id = stage.sets[1]
        ),
    );
    stage
        .workspace
        .mykeeper(&validate)
        .assert_code(1)
        .assert_says("what was sent to a@far::sets has arrived there, and nobody has read it since");
    assert_eq!(stage.status(1), "N/A");
    // Not for ever.
    change(
        &catalog,
        "INSERT INTO mk_transfer SELECT * FROM kept; DROP TABLE kept; \
         UPDATE mk_transfer SET finished_ms = finished_ms - 2700000000 WHERE destination = 'far'",
    );
    stage.workspace.mykeeper(&validate).assert_code(1);
    assert_eq!(stage.status(1), "failed");

    // What is gone from here speaks for the set no longer.
    std::fs::remove_dir_all(stage.original(0)).unwrap();
    std::fs::remove_dir_all(stage.copy(0)).unwrap();
    stage
        .verify(0)
        .assert_code(1)
        .assert_says("lacks copies that were here")
        .assert_says("the set's own folder is not there");
    let found = stage.verified(0);
    for copy in found["copies"].as_array().unwrap() {
        assert_eq!(copy["is_gone"], true, "{found:#}");
    }
}

#[test]
fn a_copy_that_cannot_be_read_is_passed_over_and_blamed_for_nothing() {
    let apart = crate::backup_job(
        "apart",
        r#"["shop"]"#,
        "transfer_to = \"vault\"\nconsistency = \"per-database\"",
    );
    let stage = Stage::new(&apart);
    stage.run("apart").assert_code(0);
    let id = text(&stage.workspace.backups()[0], "id").to_owned();
    let own = find_set(&stage.workspace.sets(), &id);
    let vault = find_set(&stage.workspace.at("vault"), &id);
    // Root may read everything: a link that leads nowhere cannot be followed by anyone.
    std::fs::rename(vault.join("shop"), vault.join("aside")).unwrap();
    std::os::unix::fs::symlink("shop", vault.join("shop")).unwrap();
    let validate = || stage.workspace.mykeeper(&["validate", "--bk-id", &id]);
    let told = validate();
    told.assert_code(1)
        .assert_says(&format!("is proven in {}", own.display()))
        .assert_says("not every copy of it could be read");
    assert!(!told.said().contains("found missing"), "{told}");
    // While it may be whole, the set has not failed.
    let file = own.join("shop").join(DATA);
    let whole = std::fs::read(&file).unwrap();
    flip(&file);
    let status = || {
        let catalog = stage.workspace.catalog();
        catalog.value(&format!(
            "SELECT validate_status FROM user_backup WHERE bk_id = '{id}'"
        ))
    };
    change(
        &stage.workspace.catalog(),
        &format!("UPDATE user_backup SET validate_status = 'N/A' WHERE bk_id = '{id}'"),
    );
    validate().assert_code(1).assert_says("counts until 20");
    assert_eq!(status(), "N/A");
    // When it was last seen long ago, the others speak for the set, though it is the first of its places.
    change(
        &stage.workspace.catalog(),
        &format!(
            "UPDATE mk_transfer SET finished_ms = finished_ms - 2700000000 WHERE bk_id = '{id}'; \
             DELETE FROM mk_verification WHERE bk_id = '{id}'; DELETE FROM mk_proof WHERE bk_id = '{id}'"
        ),
    );
    validate()
        .assert_code(1)
        .assert_says("no copy of it here is as it was written");
    assert_eq!(status(), "failed");
    std::fs::write(&file, whole).unwrap();
    validate().assert_code(1).assert_says("is proven in");
    assert_eq!(status(), "passed");
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
    // The first place is held against the others before it is believed.
    let whole = std::fs::read(own.join(DATA)).unwrap();
    std::fs::remove_file(vault.join(DATA)).unwrap();
    let lacks = format!(
        "{}: file {DATA}: expected present, as in {}",
        vault.display(),
        own.display()
    );
    stage
        .workspace
        .mykeeper(&[&restore[..], &["--dry-run"]].concat())
        .assert_says(&lacks);
    stage
        .run("prove")
        .assert_code(1)
        .assert_says(&format!("set {id} is proven in {}", own.display()))
        .assert_says(&lacks);
    assert_eq!(stage.status(0), "passed");
    change(
        &catalog,
        &format!("UPDATE user_backup SET validate_status = 'N/A' WHERE bk_id = '{id}'"),
    );
    std::fs::write(vault.join(DATA), &whole).unwrap();
    // A place that it has not been seen to arrive at has no copy that could be believed.
    let sent = "transfer_complete";
    change(
        &catalog,
        &format!("UPDATE user_backup SET {sent} = 'N/A (local backup)' WHERE bk_id = '{id}'"),
    );
    std::fs::rename(vault.join("mykeeper.manifest.json"), stage.workspace.at("aside")).unwrap();
    stage
        .workspace
        .mykeeper(&["validate", "--bk-id", id])
        .assert_code(0)
        .assert_says("is proven: ")
        // Without a manifest nothing tells that an empty table was empty.
        .assert_says("how many rows there were in audit")
        .assert_says(&own.display().to_string());
    std::fs::rename(stage.workspace.at("aside"), vault.join("mykeeper.manifest.json")).unwrap();
    change(
        &catalog,
        &format!("UPDATE user_backup SET {sent} = 'Y', validate_status = 'N/A' WHERE bk_id = '{id}'"),
    );
    flip(&vault.join(DATA));
    std::fs::remove_file(own.join(DATA)).unwrap();
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
    // One that was cut says nothing of one that is whole, whichever comes first.
    std::fs::copy(own.join(DATA), vault.join(DATA)).unwrap();
    let metadata = std::fs::read(own.join("metadata")).unwrap();
    for (cut, intact) in [(&own, &vault), (&vault, &own)] {
        change(
            &catalog,
            &format!("UPDATE user_backup SET validate_status = 'N/A' WHERE bk_id = '{id}'"),
        );
        std::fs::write(cut.join("metadata"), "").unwrap();
        let told = stage.workspace.mykeeper(&["validate", "--bk-id", id]);
        told.assert_says(&intact.display().to_string());
        assert_eq!(stage.status(0), "passed");
        let planned = stage.workspace.mykeeper(&[&restore[..], &["--dry-run"]].concat());
        planned.assert_says(&format!(
            "every file in {} is readable, and they hold no fewer rows than its proof has counted",
            intact.display()
        ));
        std::fs::write(cut.join("metadata"), &metadata).unwrap();
    }
}
