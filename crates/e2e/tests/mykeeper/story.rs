//! The main job: on schedule, on real servers, with both kinds of catalog.

use mykeeper_e2e::*;
use std::time::Duration;

/// A backup every few seconds, each sent, proven and, when a newer one is proven, removed.
const SCHEDULE: &str = r#"
[backup.nightly]
cron        = "*/6 * * * * *"
server      = "shop"
databases   = ["!mysql"]
directory   = "{sets}"
transfer_to = "vault"
mydumper    = ["threads=2", "triggers", "events", "routines", "use-savepoints"]
stall       = "8s"
retry       = { attempts = 5, delay = "1s" }

[transfer.catch-up]
cron        = "*/7 * * * * *"
destination = "vault"

[validation.prove]
cron        = "*/3 * * * * *"
select      = "oldest"
assert      = [{ database = "shop", sql = "SELECT COUNT(*) = 20000 FROM orders" }]

[retention.prune]
cron        = "*/5 * * * * *"
directory   = "{sets}"
keep        = { last = 1 }
action      = "delete"
require     = "validated"
"#;

/// Long enough for two sets to be made, sent and proven on a slow machine.
const STORY: Duration = Duration::from_secs(120);

#[test]
fn with_the_embedded_catalog_a_schedule_yields_proven_backups() {
    let workspace = Workspace::new();
    let path = workspace.at("state/catalog.db");
    story(
        &workspace,
        "[catalog]\nurl = \"sqlite:catalog.db\"\n\n",
        &CatalogView::sqlite(&path),
    );
}

#[test]
fn with_a_mariadb_catalog_a_schedule_yields_proven_backups() {
    let workspace = Workspace::new();
    let server = MariaDb::start();
    server.sql("CREATE DATABASE catalogdb");
    server.account(
        "keeper",
        "catalog pw'\"",
        "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON catalogdb.*",
    );
    let file = workspace.password_file("catalog", "catalog pw'\"");
    let section = format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"{}\"\ntimezone = \"Asia/Shanghai\"\n\n",
        server.port(),
        file.display()
    );
    story(&workspace, &section, &CatalogView::mariadb(&server, "catalogdb"));
}

fn story(workspace: &Workspace, catalog_section: &str, catalog: &CatalogView) {
    let source = MariaDb::with_sample();
    let vault = RsyncDaemon::start("vault pw");
    workspace.write_keeper(&format!(
        "{catalog_section}{}{}",
        workspace.server("shop", &source, "shop pw"),
        workspace.destination("vault", &vault.url(vault.port(), "db1"), "vault pw")
    ));
    workspace.write_schedule(SCHEDULE);

    let mut daemon = workspace.daemon();
    let what = || format!("a set is made, sent and proven\n{}", daemon.log());
    let bk_id = wait_until(STORY, &what(), || {
        let found = catalog.value(
            "SELECT bk_id FROM user_backup WHERE validate_status = 'passed' AND transfer_complete LIKE '%Y' ORDER BY id",
        );
        (!found.is_empty()).then_some(found)
    });
    wait_until(
        STORY,
        "the original of an older set is removed when a newer one is proven",
        || {
            let sql =
                "SELECT COUNT(*) FROM user_backup WHERE original_gone_ms IS NOT NULL AND is_deleted = 'N'";
            (catalog.value(sql) != "0").then_some(())
        },
    );
    wait_until(STORY, "a retention pass is recorded", || {
        let sql = "SELECT COUNT(*) FROM mk_run WHERE job = 'prune' AND state = 'succeeded'";
        (catalog.value(sql) != "0").then_some(())
    });
    assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
    assert!(daemon.notified("STOPPING=1"), "{:?}", daemon.notifications());

    the_seeds_tables_tell_the_story(catalog, &bk_id);
    every_run_has_an_end(workspace);

    let set = find_set(&vault.vault(), &bk_id);
    let target = MariaDb::start();
    load_set(&set, &SAMPLE_DATABASES, &target);
    assert_eq!(
        fingerprint(&target, &SAMPLE_DATABASES),
        fingerprint(&source, &SAMPLE_DATABASES)
    );
}

fn the_seeds_tables_tell_the_story(catalog: &CatalogView, bk_id: &str) {
    let sql = format!(
        "SELECT backuped_db, is_complete, bk_size, transfer_complete, remote_dest, master_status, slave_status, \
         bk_server, tag, validate_status, bk_dir, tool_version, server_version FROM user_backup WHERE bk_id = '{bk_id}'"
    );
    let row = catalog.query(&sql).remove(0);
    let listed: Vec<&str> = row[0].split(',').collect();
    assert_eq!(listed, SAMPLE_DATABASES, "{row:?}");
    assert_eq!(row[1], "Y", "one snapshot over all: {row:?}");
    assert!(row[2].ends_with(['K', 'M']), "{row:?}");
    assert!(
        row[3].split(',').all(|attempt| attempt == "Y" || attempt == "N"),
        "{row:?}"
    );
    assert!(
        row[4].starts_with("rsync://platform@127.0.0.1:") && row[4].contains("/vault/db1"),
        "{row:?}"
    );
    assert!(row[5].starts_with("mysql-bin.0"), "{row:?}");
    assert_eq!(row[6], "Not a slave");
    assert_eq!(row[7], "192.0.2.7");
    assert_eq!(row[8], "shop");
    assert_eq!(row[9], "passed");
    assert!(row[10].ends_with(bk_id), "{row:?}");
    assert!(row[11].contains("mydumper"), "{row:?}");
    assert!(row[12].contains("MariaDB"), "{row:?}");

    let mut proven = catalog.query(&format!(
        "SELECT db, recover_status, tag FROM user_recover_info WHERE bk_id = '{bk_id}'"
    ));
    proven.sort();
    let mut expected: Vec<Vec<String>> = SAMPLE_DATABASES
        .iter()
        .map(|database| vec![(*database).to_owned(), "sucess".to_owned(), "shop".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(proven, expected);
    let files = catalog.value(&format!("SELECT COUNT(*) FROM mk_file WHERE bk_id = '{bk_id}'"));
    assert!(
        files.parse::<u32>().is_ok_and(|count| count > 40),
        "{files} files"
    );
}

fn every_run_has_an_end(workspace: &Workspace) {
    let runs = workspace.runs();
    for job in ["nightly", "prove", "prune", "catch-up"] {
        assert!(
            runs.iter().any(|run| run["job"] == job),
            "no run of {job}: {runs:#?}"
        );
    }
    for run in &runs {
        let state = run["state"].as_str().unwrap_or_default();
        assert!(!["queued", "running"].contains(&state), "left open: {run:#}");
        assert!(
            run["reason"].is_string() && run["finished_at"].is_string(),
            "a run without reason or end: {run:#}"
        );
    }
    let mut slots: Vec<String> = runs
        .iter()
        .map(|run| format!("{} {}", run["job"], run["slot_at"]))
        .collect();
    let all = slots.len();
    slots.sort();
    slots.dedup();
    assert_eq!(slots.len(), all, "a slot has fired twice");
}
