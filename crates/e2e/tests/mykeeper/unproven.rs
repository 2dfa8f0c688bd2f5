//! Which sets are not proven, why not, and who is told when a server has had no proven one for too long.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{NEVER, backup_job, text};
use mykeeper_e2e::*;
use rustix::process::Signal;

const PROVE: &str = "[validation.prove]\ncron = \"NEVER\"\n";

struct Stage {
    source: MariaDb,
    workspace: Workspace,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            source: MariaDb::with_sample(),
            workspace: Workspace::new(),
        };
        stage.promise("");
        stage
    }

    fn promise(&self, line: &str) {
        let server = self.workspace.server("shop", &self.source, "pw");
        let server = server.trim_end();
        // A folder cannot be made below a file.
        let file = self.workspace.at("a-file");
        if !file.exists() {
            std::fs::write(&file, "").unwrap();
        }
        self.workspace.write_keeper(&format!(
            "{server}\n{line}\n\n[destinations.vault]\nurl = \"{}/vault\"\n",
            file.display()
        ));
    }

    fn schedule(&self, validation: &str) {
        let jobs = [
            backup_job("nightly", r#"["shop"]"#, ""),
            backup_job("sent", r#"["shop"]"#, "transfer_to = \"vault\""),
        ];
        let validation = validation.replace("NEVER", NEVER);
        self.workspace
            .write_schedule(&format!("{}{validation}", jobs.concat()));
    }

    /// Each set that is not proven: its reason for programs.
    fn why(&self, id: &str) -> serde_json::Value {
        let listed = self
            .workspace
            .mykeeper(&["backups", "--state", "unproven", "--json"]);
        let listed = listed.assert_code(0).json();
        let sets = listed.as_array().unwrap();
        let set = sets.iter().find(|set| set["id"] == id);
        set.map_or(serde_json::Value::Null, |set| set["unproven"].clone())
    }

    #[track_caller]
    fn assert_why(&self, id: &str, why: &str, words: &str) {
        let reason = self.why(id);
        assert_eq!(reason["why"], why, "{reason:#}");
        assert!(text(&reason, "text").contains(words), "{reason:#}");
        // A person is told the same.
        let shown = self.workspace.mykeeper(&["show", id]);
        shown.assert_code(0).assert_says(words);
        self.workspace
            .mykeeper(&["backups", "--state", "unproven"])
            .assert_says("NOT PROVEN BECAUSE")
            .assert_says(words);
    }
}

#[test]
fn every_set_that_is_not_proven_has_its_reason() {
    let stage = Stage::new();
    let workspace = &stage.workspace;
    stage.schedule("");
    let run = |job: &str, code: i32| {
        let run = workspace.mykeeper(&["run", job]);
        run.assert_code(code);
        text(&workspace.backups()[0], "id").to_owned()
    };
    let first = run("nightly", 0);
    stage.assert_why(&first, "no-job", "no node has a validation job");
    stage.schedule(&format!("{PROVE}tags = [\"another\"]\n"));
    stage.assert_why(
        &first,
        "not-asked-for",
        "prove on testnode: its tag is not asked for",
    );
    stage.schedule(&format!("{PROVE}within = \"1ms\"\n"));
    stage.assert_why(&first, "not-asked-for", "prove on testnode: it is too old");
    stage.schedule(PROVE);
    stage.assert_why(
        &first,
        "waits",
        "it waits for prove on testnode, and is next; next slot at ",
    );
    let second = run("nightly", 0);
    stage.assert_why(&first, "waits", "prove on testnode: 1 set before it");
    let folder = find_set(&workspace.sets(), &first);
    let aside = workspace.at("aside");
    std::fs::rename(&folder, &aside).unwrap();
    stage.assert_why(&first, "not-here", "it does not lie on testnode");
    std::fs::rename(&aside, &folder).unwrap();
    let unsent = run("sent", 1);
    stage.assert_why(&unsent, "not-arrived", "it has not arrived at vault");
    workspace
        .mykeeper(&["mark-deleted", "--bk-id", &unsent])
        .assert_code(0);
    assert!(stage.why(&unsent).is_null());

    // Under way; and cut off, which is no verdict.
    let proving = workspace.start_mykeeper(&["validate", "--bk-id", &second]);
    wait_until(LIMIT, "the set is said to be proven by this node", || {
        let reason = stage.why(&second);
        (reason["why"] == "proving" && reason["since"].is_string() && reason["node"] == "testnode")
            .then_some(())
    });
    stage.assert_why(&first, "waits", "1 set before it");
    proving.signal(Signal::KILL);
    drop(proving.finish());
    let third = run("nightly", 0);
    stage.assert_why(
        &second,
        "waits",
        "; the last try, on testnode, ended interrupted at ",
    );

    std::fs::rename(folder.join("shop.orders.sql.gz"), workspace.at("kept.gz")).unwrap();
    workspace
        .mykeeper(&["validate", "--bk-id", &first])
        .assert_code(1);
    stage.assert_why(&first, "failed", "its proof failed at 20");
    // Mended, it waits again, and what is no longer so is not told.
    let lost = folder.join("shop.orders.sql.gz");
    std::fs::copy(workspace.at("kept.gz"), &lost).unwrap();
    workspace.mykeeper(&["verify", "--bk-id", &first]).assert_code(0);
    stage.assert_why(&first, "waits", "it waits for prove");
    let why = stage.why(&first);
    assert!(why["last_try"].is_null(), "{why:#}");
    std::fs::remove_file(&lost).unwrap();
    workspace
        .mykeeper(&["validate", "--bk-id", &first])
        .assert_code(1);
    workspace
        .mykeeper(&["run", "prove"])
        .assert_code(0)
        .assert_says(&third);
    assert!(stage.why(&third).is_null(), "it is proven");
    let all = workspace.mykeeper(&["backups", "--json"]).json();
    let proven = all
        .as_array()
        .unwrap()
        .iter()
        .find(|set| set["id"] == *third)
        .unwrap();
    assert!(proven["unproven"].is_null(), "{proven:#}");
}

#[test]
fn a_promise_that_is_broken_is_told_once_and_again_when_it_is_kept() {
    let stage = Stage::new();
    let workspace = &stage.workspace;
    stage.schedule(PROVE);
    std::fs::remove_file(workspace.at("a-file")).unwrap();
    std::fs::create_dir_all(workspace.at("a-file/vault")).unwrap();
    stage.promise("proven_within = \"2s\"");
    let standing = || {
        let jobs = workspace.mykeeper(&["jobs", "--json"]);
        (jobs.status.code(), jobs.json()["promises"][0].clone())
    };
    workspace.mykeeper(&["catalog", "migrate"]).assert_code(0);
    let (code, new) = standing();
    assert_eq!(
        (code, text(&new, "state")),
        (Some(0), "kept"),
        "a server that is new: {new:#}"
    );
    let broken = "proven_within = \"2s\" of server shop is broken since";
    let events = || {
        workspace
            .catalog()
            .query("SELECT kind, subject, detail_json FROM mk_event ORDER BY at_ms")
    };

    let daemon = workspace.daemon();
    wait_until(LIMIT, "the daemon notices", || {
        daemon.log().contains(broken).then_some(())
    });
    let (code, now) = standing();
    assert_eq!((code, text(&now, "state")), (Some(4), "broken"), "{now:#}");
    workspace.mykeeper(&["jobs"]).assert_code(4).assert_says(broken);
    workspace
        .mykeeper(&["backups"])
        .assert_code(0)
        .assert_says(broken);
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("promise of server shop")
        .assert_says(broken);
    drop(daemon);
    // Another daemon, that finds it broken as the last one left it, is no second breach.
    let daemon = workspace.daemon();
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    workspace.mykeeper(&["run", "prove"]).assert_code(0);
    assert_eq!(daemon.log().matches(broken).count(), 1, "{}", daemon.log());
    stage.promise("proven_within = \"1h\"");
    daemon.reload();
    wait_until(LIMIT, "the daemon notices that it is kept", || {
        (events().len() > 1).then_some(())
    });
    let found = events();
    let kinds: Vec<&str> = found.iter().map(|event| event[0].as_str()).collect();
    assert_eq!(kinds, ["promise-broken", "promise-kept"], "{found:#?}");
    assert!(found.iter().all(|event| event[1] == "shop"));
    let detail: serde_json::Value = serde_json::from_str(&found[1][2]).unwrap();
    assert_eq!(
        detail["newest"]["bk_id"],
        workspace.backups()[0]["id"],
        "{detail:#}"
    );
    assert_eq!(
        (&detail["state"], &detail["within_seconds"]),
        (&"kept".into(), &3600.into())
    );
    assert!(daemon.log().contains("of server shop holds until"));
    let (code, now) = standing();
    assert_eq!((code, text(&now, "state")), (Some(0), "kept"), "{now:#}");

    // A set that is known to differ wherever it lies keeps no promise.
    stage.promise("proven_within = \"2s\"");
    let id = text(&workspace.backups()[0], "id").to_owned();
    let (_, now) = standing();
    assert_eq!(text(&now["newest"], "bk_id"), id, "{now:#}");
    std::fs::remove_file(find_set(&workspace.sets(), &id).join("shop.orders.sql.gz")).unwrap();
    workspace.mykeeper(&["verify", "--bk-id", &id]).assert_code(1);
    let (_, now) = standing();
    assert!(now["newest"].is_null(), "{now:#}");
}

#[test]
fn of_more_failed_sets_than_are_looked_through_that_is_said() {
    let stage = Stage::new();
    stage.schedule("");
    stage.workspace.mykeeper(&["catalog", "migrate"]).assert_code(0);
    let catalog = stage.workspace.catalog();
    catalog.edit(
        "INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, backuped_db, is_complete, \
         bk_size, bk_dir, transfer_complete, remote_dest, master_status, slave_status, tool_version, server_version, \
         validate_status, tag, node, job, started_ms, finished_ms) \
         WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 2001) \
         SELECT '00000000-0000-4000-8000-' || SUBSTR('000000000000' || n, -12), 'x', '2020-01-01 00:00:00', \
         '2020-01-01 00:00:00', 9, 'shop', 'Y', '1G', '/elsewhere', 'N/A (local backup)', 'x', 'x', 'x', '1', '1', \
         'failed', 'shop', 'testnode', 'nightly', 1577836800000 + n, 1577836800000 + n FROM number",
    );
    let said = "failed proofs: more than 2000 sets that failed are still there";
    stage.workspace.mykeeper(&["check"]).assert_says(said);
    catalog.edit("UPDATE user_backup SET validate_status = 'passed' WHERE started_ms = 1577836800001");
    let check = stage.workspace.mykeeper(&["check"]);
    check.assert_says("it was validated, and failed; no set after it has passed");
    assert!(!check.said().contains(said), "{check}");
}
