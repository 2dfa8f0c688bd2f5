//! The whole proof: shown, written as a document, chained; and how long a set takes to come back.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{backup_job, text};
use mykeeper_e2e::*;

/// A validation job that warns of every set, since none comes back within a millisecond.
const PROVE: &str = r#"
[validation.prove]
cron = "NEVER"
select = "oldest"
max_restore_time = "1ms"
assert = [{ database = "shop", sql = "SELECT COUNT(*) FROM orders" }, { database = "away", sql = "SELECT 1" }]
"#;

#[test]
fn a_proof_is_a_document_that_shows_when_it_was_edited() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    let told = HttpSink::start();
    workspace.write_keeper(&format!(
        "{}[notify.webhook.chat]\nurl = \"{}\"\n",
        workspace.server("shop", &source, "pw"),
        told.url()
    ));
    let prove = PROVE.replace("NEVER", crate::NEVER);
    workspace.write_schedule(&format!("{}{prove}", backup_job("nightly", r#"["shop"]"#, "")));
    for _ in 0..2 {
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    }
    let ids: Vec<String> = workspace
        .backups()
        .iter()
        .rev()
        .map(|backup| text(backup, "id").to_owned())
        .collect();
    workspace
        .mykeeper(&["proof", &ids[0]])
        .assert_code(3)
        .assert_says("no proof yet");
    for _ in &ids {
        workspace
            .mykeeper(&["run", "prove"])
            .assert_code(4)
            .assert_says("max_restore_time");
    }
    let told: Vec<String> = told.posted().into_iter().map(|posted| posted.body).collect();
    assert_eq!(told.len(), 1, "the same broken promise is told once: {told:#?}");
    assert!(told[0].contains("restore time of job nightly"), "{told:#?}");

    let shown = workspace.mykeeper(&["show", &ids[0], "--json"]).json();
    let proof = &shown["proofs"][0];
    assert_eq!(proof["asserts"][0]["value"], "20000", "{proof:#}");
    assert_eq!(proof["asserts"][0]["held"], true);
    assert!(proof["asserts"][1]["held"].is_null());
    assert!(proof["warnings"][0].as_str().unwrap().contains("away"));
    assert!(proof["load_ms"].as_u64().unwrap() > 1);
    assert!(proof["bytes_checked"].as_u64().unwrap() > 0 && proof["bytes_loaded"].as_u64().unwrap() > 0);
    assert!(proof["databases"][0]["tables_exact"].as_u64().unwrap() > 0);
    assert_eq!(proof["manifest_blake3"], shown["backup"]["manifest_blake3"]);
    let manifest =
        std::fs::read(find_set(&workspace.sets(), &ids[0]).join("mykeeper.manifest.json")).unwrap();
    assert_eq!(
        proof["manifest_blake3"],
        blake3::hash(&manifest).to_hex().as_str()
    );
    workspace
        .mykeeper(&["show", &ids[0]])
        .assert_code(0)
        .assert_says("assert holds: shop: SELECT COUNT(*) FROM orders: 20000")
        .assert_says("compared row by row");

    let files: Vec<String> = ["first.json", "second.json"]
        .map(|name| workspace.at(name).display().to_string())
        .into();
    for (id, file) in ids.iter().zip(&files) {
        workspace
            .mykeeper(&["proof", id, "--output", file])
            .assert_code(0);
    }
    workspace
        .mykeeper(&["proof", &ids[0], "--output", &files[0]])
        .assert_code(3)
        .assert_says("it is there already, and no proof is written over another file");
    let first: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
    let second: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[1]).unwrap()).unwrap();
    assert_eq!(second["chain"]["number"], 2);
    assert_eq!(second["chain"]["previous"], first["digest"]);
    assert_eq!(first["set"]["inventory"][0]["database"], "shop");
    assert_eq!(digest_by_hand(&first), first["digest"].as_str().unwrap());
    let verify = |file: &str| workspace.mykeeper(&["proof", "--verify", file, &files[1]]);
    verify(&files[0]).assert_code(0);

    // Edited; and edited by one who knows how to make a digest.
    let mut edited = first.clone();
    edited["proof"]["asserts"][0]["value"] = "20001".into();
    let lie = workspace.at("lie.json").display().to_string();
    std::fs::write(&lie, edited.to_string()).unwrap();
    verify(&lie).assert_code(1).assert_says(&lie);
    edited["digest"] = digest_by_hand(&edited).into();
    std::fs::write(&lie, edited.to_string()).unwrap();
    verify(&lie).assert_code(1).assert_says(&lie);

    let listed = workspace.mykeeper(&["backups", "--json"]).json();
    assert!(
        listed[0]["restore"]["seconds"].as_f64().unwrap() > 0.0,
        "{listed:#}"
    );
    assert!(listed[0]["restore"]["trend_percent"].is_i64(), "{listed:#}");
    assert!(listed[1]["restore"].is_null(), "only the newest of its server");
    workspace
        .mykeeper(&["backups"])
        .assert_code(0)
        .assert_says("RESTORE")
        .assert_says(" %)");
}

#[test]
fn a_set_is_verified_without_being_restored() {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, ""));
    workspace
        .mykeeper(&["verify"])
        .assert_code(3)
        .assert_says("no complete set");
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace
        .mykeeper(&["verify"])
        .assert_code(0)
        .assert_says("as it was written");
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let set = find_set(&workspace.sets(), &bk_id);
    let verify = || workspace.mykeeper(&["verify", "--bk-id", &bk_id]);

    let manifest = set.join("mykeeper.manifest.json");
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, [&whole[..], b"\n"].concat()).unwrap();
    verify()
        .assert_code(1)
        .assert_says("mykeeper.manifest.json, BLAKE3");
    std::fs::write(&manifest, whole).unwrap();
    std::fs::write(set.join("shop.more.sql"), "INSERT INTO x VALUES (1);\n").unwrap();
    verify()
        .assert_code(1)
        .assert_says("shop.more.sql: expected absent");
    std::fs::remove_file(set.join("shop.more.sql")).unwrap();
    verify().assert_code(0);
    std::fs::remove_file(set.join("shop.orders.sql.gz")).unwrap();
    verify()
        .assert_code(1)
        .assert_says("shop.orders.sql.gz: expected present, found missing");
    assert_eq!(workspace.backups()[0]["validate_status"], "N/A", "it is no proof");
}

/// As an auditor would: the members of each object are sorted by name already in this value.
fn digest_by_hand(document: &serde_json::Value) -> String {
    let mut body = document.clone();
    body.as_object_mut().unwrap().remove("digest");
    blake3::hash(body.to_string().as_bytes()).to_hex().to_string()
}
