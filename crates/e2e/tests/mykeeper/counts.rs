//! What a person is told about which sets count.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{NEVER, backup_job, text};
use mykeeper_e2e::*;

/// Two jobs of one server, each of its own database: `small`, and `empty`, whose sets have a copy in a vault.
fn stage(promise: &str) -> (MariaDb, Workspace) {
    let source = MariaDb::with_sample();
    let workspace = Workspace::new();
    let vault = workspace.at("vault");
    std::fs::create_dir(&vault).unwrap();
    let server = workspace.server("shop", &source, "pw");
    workspace.write_keeper(&format!(
        "{}\n{promise}\n\n[destinations.vault]\nurl = \"{}\"\n",
        server.trim_end(),
        vault.display()
    ));
    workspace.write_schedule(&schedule());
    (source, workspace)
}

fn schedule() -> String {
    [
        backup_job("small", r#"["my-schema"]"#, ""),
        backup_job("empty", r#"["empty_one"]"#, "transfer_to = \"vault\""),
        format!("[validation.prove]\ncron = \"{NEVER}\"\n"),
    ]
    .concat()
}

fn run(workspace: &Workspace, job: &str) -> String {
    workspace.mykeeper(&["run", job]).assert_code(0);
    text(&workspace.backups()[0], "id").to_owned()
}

/// Breaks one file of a set's folder below `root`.
fn damage(root: &std::path::Path, id: &str) {
    let file = find_set(root, id).join("mykeeper.evidence.json");
    std::fs::write(&file, "rotten").unwrap();
}

#[test]
fn a_set_whose_every_copy_differs_is_called_damaged_wherever_it_is_told_of() {
    let (_source, workspace) = stage("");
    let (lone, sent) = (run(&workspace, "small"), run(&workspace, "empty"));
    for id in [&lone, &sent] {
        workspace.mykeeper(&["validate", "--bk-id", id]).assert_code(0);
    }
    damage(&workspace.sets(), &lone);
    damage(&workspace.sets(), &sent);
    workspace
        .mykeeper(&["verify", "--bk-id", &lone])
        .assert_code(1)
        .assert_says("no copy that is whole is known");
    workspace
        .mykeeper(&["verify", "--bk-id", &sent])
        .assert_code(1)
        .assert_says("to mend it:\n");

    let listed = |state: &str| -> Vec<String> {
        let listed = workspace.mykeeper(&["backups", "--state", state, "--json"]);
        let sets = listed.assert_code(0).json();
        let ids = sets
            .as_array()
            .unwrap()
            .iter()
            .map(|set| text(set, "id").to_owned());
        ids.collect()
    };
    assert_eq!(listed("damaged"), [&*lone]);
    assert_eq!(listed("validated"), [&*sent], "its copy is whole");
    let all = workspace.backups();
    assert_eq!(
        (&all[0]["damaged"], &all[1]["damaged"]),
        (&false.into(), &true.into())
    );
    assert!(all[1]["damage"]["copies"][0]["since"].is_string(), "{:#}", all[1]);
    let said = workspace.mykeeper(&["backups"]).said();
    let row = |id: &str| said.lines().find(|line| line.contains(id)).unwrap().to_owned();
    assert!(row(&lone).contains(" damaged "), "{said}");
    assert!(row(&sent).contains("passed (1 copy differs)"), "{said}");
    workspace
        .mykeeper(&["show", &lone])
        .assert_says("validated  damaged")
        .assert_says(" on testnode differs since 20");
    workspace
        .mykeeper(&["show", &sent])
        .assert_says(" on testnode differs since 20")
        .assert_says(" on testnode was as written at 20");
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says(&format!("set {lone}: of shop"))
        .assert_says(&format!(
            "\"mykeeper --config {} run small\" makes another",
            workspace.config().display()
        ))
        .assert_says(&format!("set {sent}: of shop"))
        .assert_says("to mend it:\n")
        .assert_says("then look again: mykeeper --config");
}

#[test]
fn a_set_is_named_by_the_beginning_of_its_identity_or_as_the_newest() {
    let (_source, mut workspace) = stage("");
    let (small, empty) = (run(&workspace, "small"), run(&workspace, "empty"));
    let shown = |wanted: &str| {
        let shown = workspace.mykeeper(&["show", wanted, "--json"]);
        text(&shown.assert_code(0).json()["backup"], "id").to_owned()
    };
    assert_eq!(shown(&small[..35]), small);
    assert_eq!(shown(&empty.to_uppercase()[..35]), empty);
    assert_eq!(shown("newest"), empty);
    assert_eq!(shown("newest:small"), small, "of a job");
    assert_eq!(shown("newest:shop"), empty, "of a server");
    let common: String = small
        .chars()
        .zip(empty.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a)
        .collect();
    if common.len() >= 4 {
        workspace
            .mykeeper(&["show", &common])
            .assert_code(2)
            .assert_says("of several sets begin with")
            .assert_says(&small)
            .assert_says(&empty);
    }
    for (wanted, words) in [
        ("abc", "is no bk_id"),
        ("ffff", "no set whose bk_id begins"),
        ("newest:x", "job \"x\""),
    ] {
        workspace
            .mykeeper(&["show", wanted])
            .assert_code(2)
            .assert_says(words);
    }
    let newest = "newest:small";
    workspace
        .mykeeper(&["verify", "--bk-id", newest])
        .assert_says(&small);
    workspace
        .mykeeper(&["validate", "--bk-id", newest])
        .assert_code(0)
        .assert_says(&small);
    workspace
        .mykeeper(&["proof", newest])
        .assert_code(0)
        .assert_says(&small);
    workspace
        .mykeeper(&["restore", newest, "--into", "shop", "--as", "x", "--dry-run"])
        .assert_says("my-schema");
    let sets = workspace.sets().display().to_string();
    workspace
        .mykeeper(&["transfer", "--backup-dir", &sets, "--bk-id", newest])
        .assert_code(0);
    assert!(find_set(&workspace.at("vault"), &small).is_dir());

    // Deleted sets are not in the way, and are not lost from sight either.
    workspace
        .mykeeper(&["mark-deleted", "--bk-id", &empty])
        .assert_code(0);
    assert_eq!(shown("newest"), small);
    let said = workspace.mykeeper(&["backups"]).said();
    assert!(
        !said.contains(&empty) && said.contains("1 deleted set is not shown"),
        "{said}"
    );
    workspace
        .mykeeper(&["backups", "--all"])
        .assert_says(&empty)
        .assert_says("JOB");
    workspace
        .mykeeper(&["backups", "--state", "deleted"])
        .assert_says(&empty);

    // One zone for all that a person reads.
    workspace.surround(Surroundings {
        variables: vec![("TZ".into(), "Asia/Shanghai".into())],
        ..Surroundings::default()
    });
    for args in [&["backups"][..], &["runs"], &["show", &small], &["jobs"]] {
        workspace
            .mykeeper(args)
            .assert_code(0)
            .assert_says("Asia/Shanghai");
    }
    workspace
        .mykeeper(&["jobs"])
        .assert_says("NEXT, IF A DAEMON RUNS (Asia/Shanghai)")
        .assert_says("nothing will fire until");
}

#[test]
fn a_promise_is_one_about_each_job_and_check_says_where_it_cannot_be_kept() {
    let (_source, workspace) = stage("proven_within = \"1d\"");
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("cannot be kept: by the schedule the newest proven set of job small gets as old as");
    let small = run(&workspace, "small");
    workspace.mykeeper(&["run", "prove"]).assert_code(0);
    let standing = || workspace.mykeeper(&["jobs", "--json"]).json()["promises"][0].clone();
    let before = standing();
    let job = |standing: &serde_json::Value, name: &str| -> serde_json::Value {
        let jobs = standing["jobs"].as_array().unwrap().iter();
        jobs.clone().find(|job| job["job"] == name).unwrap().clone()
    };
    assert_eq!(
        job(&before, "small")["newest"]["bk_id"],
        small.as_str(),
        "{before:#}"
    );
    assert!(job(&before, "empty")["newest"].is_null(), "{before:#}");
    let daemon = workspace.daemon();
    drop(daemon);
    // What is proven of one job does not stand for the other, whose time is over.
    let server = std::fs::read_to_string(workspace.config()).unwrap();
    std::fs::write(workspace.config(), server.replace("\"1d\"", "\"1s\"")).unwrap();
    run(&workspace, "small");
    workspace.mykeeper(&["run", "prove"]).assert_code(0);
    let daemon = workspace.daemon();
    wait_until(LIMIT, "the daemon notices", || {
        (standing()["state"] == "broken").then_some(())
    });
    workspace
        .mykeeper(&["jobs"])
        .assert_code(4)
        .assert_says("no set of job empty is proven");
    wait_until(LIMIT, "it is recorded", || {
        let events = workspace.mykeeper(&["runs", "--events", "--json"]).json();
        (events[0]["kind"] == "promise-broken").then_some(())
    });
    workspace
        .mykeeper(&["runs", "--events"])
        .assert_code(0)
        .assert_says("promise-broken")
        .assert_says("of job empty");
    drop(daemon);
    workspace.write_schedule(
        &schedule()
            .replace("server = \"shop\"", "server = \"shop\"\n")
            .replace(
                "[validation.prove]\n",
                "[validation.prove]\ntags = [\"another\"]\n",
            ),
    );
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("no validation job of any node asks for sets with the tag \"shop\"")
        .assert_says("no daemon runs on");
    workspace.write_schedule(&format!("[validation.prove]\ncron = \"{NEVER}\"\n"));
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("is of server shop; add one");
}

#[test]
fn a_verdict_that_was_changed_in_the_catalog_shows() {
    let (_source, workspace) = stage("");
    let id = run(&workspace, "small");
    workspace.mykeeper(&["validate", "--bk-id", &id]).assert_code(0);
    let proof = || workspace.mykeeper(&["proof", &id]);
    proof().assert_code(0);
    let catalog = workspace.catalog();
    for (wrong, right, words) in [
        (
            "UPDATE mk_proof SET passed = 0",
            "UPDATE mk_proof SET passed = 1",
            "mk_proof or mk_proof_database say otherwise",
        ),
        (
            "UPDATE user_backup SET validate_status = 'failed'",
            "UPDATE user_backup SET validate_status = 'passed'",
            "validate_status of set",
        ),
    ] {
        catalog.edit(wrong);
        proof().assert_code(1).assert_says(words);
        catalog.edit(right);
        proof().assert_code(0);
    }
    // The catalog is lost: a chain of the same server begins again, which is a gap and no lie.
    let kept = workspace.at("kept.json").display().to_string();
    workspace
        .mykeeper(&["proof", &id, "--output", &kept])
        .assert_code(0);
    std::fs::remove_file(workspace.at("state/catalog.db")).unwrap();
    for rest in ["catalog.db-wal", "catalog.db-shm"] {
        drop(std::fs::remove_file(workspace.at("state").join(rest)));
    }
    let sets = workspace.sets().display().to_string();
    workspace
        .mykeeper(&["catalog", "rebuild", "--from", &sets])
        .assert_says(&id);
    workspace.mykeeper(&["validate", "--bk-id", &id]).assert_code(0);
    let again = workspace.at("again.json").display().to_string();
    workspace
        .mykeeper(&["proof", &id, "--output", &again])
        .assert_code(0);
    workspace
        .mykeeper(&["proof", "--verify", &kept, &again])
        .assert_code(4)
        .assert_says("it is of another chain of the same server");
}
