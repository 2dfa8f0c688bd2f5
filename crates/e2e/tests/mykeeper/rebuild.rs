//! The catalog is gone, and the sets are there.

use crate::{ALL, backup_job, text};
use mykeeper_e2e::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Outcome and reason by set.
fn outcomes(finished: &Finished) -> BTreeMap<String, (String, String)> {
    let report = finished.json();
    let sets = report["sets"].as_array().into_iter().flatten();
    sets.map(|set| {
        let told = (text(set, "outcome").to_owned(), text(set, "reason").to_owned());
        (text(set, "bk_id").to_owned(), told)
    })
    .collect()
}

#[test]
fn a_lost_catalog_is_made_again_from_the_sets() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    workspace.write_schedule(&format!(
        "{}{}",
        backup_job("nightly", ALL, ""),
        backup_job("small", r#"["pay$roll"]"#, "consistency = \"per-database\"")
    ));
    // A new machine: nothing is missing, and a look makes nothing.
    let file = workspace.at("state/catalog.db");
    std::fs::remove_dir(workspace.at("state")).unwrap();
    workspace
        .mykeeper(&["check"])
        .assert_says("state is not there yet, and can be made");
    let beside = std::fs::read_dir(workspace.at("")).unwrap();
    let names: Vec<String> = beside
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|name| name == "state" || name.contains("check")),
        "{names:?}"
    );
    for look in [
        &["backups", "--json"][..],
        &["runs", "--json"],
        &["paths", "list"],
        &["jobs"],
    ] {
        let fresh = workspace.mykeeper(look);
        fresh.assert_code(0).assert_says("there is no catalog yet");
    }
    workspace.mykeeper(&["check"]).assert_says("is not there yet");
    assert!(!file.exists(), "a look has made a catalog");
    for job in ["nightly", "small", "small", "small"] {
        workspace.mykeeper(&["run", job]).assert_code(0);
    }
    let mut before = workspace.backups();
    let ids: Vec<String> = before
        .iter()
        .rev()
        .map(|set| text(set, "id").to_owned())
        .collect();
    let files_before = workspace.mykeeper(&["show", &ids[0], "--json"]).json();
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        drop(std::fs::remove_file(workspace.at("state").join(name)));
    }
    let sets = workspace.sets();
    let from = sets.display().to_string();
    // Of the last two, one has lost a file, and the record of the other was changed.
    let cut: PathBuf = find_set(&sets, &ids[2]);
    std::fs::remove_file(cut.join("pay$roll/metadata")).unwrap();
    let changed = find_set(&sets, &ids[3]);
    let evidence = changed.join("mykeeper.evidence.json");
    let words = std::fs::read_to_string(&evidence).unwrap();
    std::fs::write(&evidence, words.replace("pay$roll", "pay$role")).unwrap();
    let stranger = "0f0e0d0c-0b0a-4908-8706-050403020100";
    std::fs::create_dir(sets.join(stranger)).unwrap();

    // A look makes no new one in place of the lost one, and who makes one is told.
    let advice = format!("catalog rebuild --from {from}");
    for look in [
        &["backups"][..],
        &["runs"],
        &["show", &ids[0]],
        &["restore", "newest", "--into", "shop"],
    ] {
        workspace.mykeeper(look).assert_code(3).assert_says(&advice);
    }
    for look in ["check", "jobs"] {
        workspace.mykeeper(&[look]).assert_says(&advice);
    }
    let plan = ["catalog", "rebuild", "--from", &from, "--dry-run", "--json"];
    let without = workspace.mykeeper(&plan);
    workspace
        .mykeeper(&["catalog", "status"])
        .assert_code(4)
        .assert_says(&advice);
    assert!(!file.exists(), "a look has made a catalog");
    workspace
        .mykeeper(&["catalog", "migrate"])
        .assert_code(0)
        .assert_says("as if it had been lost")
        .assert_says(&advice);
    workspace.mykeeper(&["check"]).assert_says(&advice);
    let dry = workspace.mykeeper(&plan);
    dry.assert_code(4);
    assert!(workspace.backups().is_empty(), "a dry run has written");
    let made = workspace.mykeeper(&["catalog", "rebuild", "--from", &from, "--json"]);
    made.assert_code(4).assert_says("is not known again");
    assert_eq!(outcomes(&dry), outcomes(&made));
    assert_eq!(outcomes(&without), outcomes(&made));
    workspace.mykeeper(&["catalog", "status"]).assert_code(0);
    let told = outcomes(&made);
    for (id, outcome, reason) in [
        (ids[0].as_str(), "added", ""),
        (&ids[1], "added", ""),
        (&ids[2], "incomplete", "pay$roll/metadata"),
        (&ids[3], "damaged", "not the file that the manifest lists"),
        (stranger, "no-record", "not finished"),
    ] {
        let (found, why) = &told[id];
        assert_eq!(found, outcome, "{id}: {told:#?}");
        assert!(why.contains(reason), "{id}: {told:#?}");
    }

    before.retain(|set| [&ids[0], &ids[1]].iter().any(|id| **id == text(set, "id")));
    let after = workspace.backups();
    let whole: Vec<_> = after
        .iter()
        .filter(|set| text(set, "id") != ids[2])
        .cloned()
        .map(|mut set| {
            let rebuilt = set.as_object_mut().and_then(|set| set.remove("rebuilt_at"));
            assert!(rebuilt.is_some(), "{set:#}");
            set
        })
        .collect();
    assert_eq!(whole, before);
    let cut = after.iter().find(|set| text(set, "id") == ids[2]).unwrap();
    assert_eq!(cut["complete"], serde_json::json!([false]), "{cut:#}");
    let files_after = workspace.mykeeper(&["show", &ids[0], "--json"]).json();
    for part in ["files", "evidence"] {
        assert_eq!(files_after[part], files_before[part], "{part}");
    }
    workspace
        .mykeeper(&["validate", "--bk-id", &ids[1]])
        .assert_code(0);

    // Again: nothing changes, and what is proven stays so.
    let again = workspace.mykeeper(&["catalog", "rebuild", "--from", &from]);
    again.assert_code(4).assert_says("already there");
    assert_eq!(workspace.backups().len(), 3);
    let proven = workspace.mykeeper(&["backups", "--state", "validated"]);
    proven.assert_code(0).assert_says(&ids[1]);
    let own = find_set(&sets, &ids[0]).display().to_string();
    workspace
        .mykeeper(&["catalog", "rebuild", "--from", &own])
        .assert_code(0);
    workspace
        .mykeeper(&["catalog", "rebuild", "--from", "/nonexistent"])
        .assert_code(2)
        .assert_says("/nonexistent");
}
