//! A shared catalog that is away: work goes on, and nothing of it is lost.

use crate::notify::{events, webhook};
use crate::{NEVER, assert_run, backup_job, text};
use mykeeper_e2e::*;
use rustix::process::Signal;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A source, a catalog on a server of its own, and a workspace with both.
fn two_servers() -> (MariaDb, MariaDb, Workspace) {
    let source = MariaDb::with_sample();
    // One that is killed has what it took: the tests' servers write their log once a second by default.
    let catalog = MariaDb::start_with(MariaDbOptions {
        extra: vec!["--innodb-flush-log-at-trx-commit=2".to_owned()],
        ..Default::default()
    });
    catalog.sql("CREATE DATABASE catalogdb");
    catalog.account("keeper", "pw", "ALL ON catalogdb.*");
    let workspace = Workspace::new();
    let file = workspace.password_file("catalog", "pw");
    workspace.write_keeper(&format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"{}\"\n\n{}",
        catalog.port(),
        file.display(),
        workspace.server("shop", &source, "pw")
    ));
    (source, catalog, workspace)
}

/// With a job `prune` that leaves the newest set alone.
fn with_prune(schedule: &str) -> String {
    format!(
        "{schedule}[retention.prune]\ncron = \"{NEVER}\"\ndirectory = \"{{sets}}\"\nkeep = {{ last = 1 }}\n\
         action = \"delete\"\nrequire = \"complete\"\nretry = {{ attempts = 1, delay = \"1s\" }}\n"
    )
}

fn wait_for_empty_journal(workspace: &Workspace) {
    wait_until(Duration::from_secs(40), "what was kept is in the catalog", || {
        (workspace.mykeeper(&["catalog", "status"]).status.code() == Some(0)).then_some(())
    });
}

#[test]
fn without_a_catalog_a_backup_is_made_and_recorded_later() {
    let (_source, mut server, workspace) = two_servers();
    workspace.write_schedule(&with_prune(&backup_job("nightly", r#"["shop"]"#, "")));
    // A new one is as it should be, whoever is asked.
    let no_tables = "no tables of mykeeper's yet";
    workspace
        .mykeeper(&["catalog", "status"])
        .assert_code(0)
        .assert_says(no_tables);
    let check = workspace.mykeeper(&["check"]);
    check
        .assert_code(4)
        .assert_says(no_tables)
        .assert_says("no validation job of any node asks for sets")
        .assert_says("\n1 warning\n");
    workspace
        .mykeeper(&["runs"])
        .assert_code(3)
        .assert_says(no_tables);
    server.stop();
    // What is about the catalog cannot be done; what the catalog only records goes on.
    for command in [&["runs"][..], &["jobs"], &["catalog", "status"]] {
        let finished = workspace.mykeeper(command);
        finished
            .assert_code(3)
            .assert_says("cannot reach the catalog at mysql://keeper@127.0.0.1");
        assert!(!finished.said().contains("panicked"), "{finished}");
    }
    let check = workspace.mykeeper(&["check"]);
    check
        .assert_code(3)
        .assert_says("whether another node's does cannot be told without the catalog");
    assert!(!check.said().contains("of any node"), "{check}");
    let run = workspace.mykeeper(&["run", "nightly"]);
    run.assert_code(0)
        .assert_says("the catalog is away: work goes on")
        .assert_says("complete");
    what_this_node_knows_is_told(&workspace);
    // Which sets may go is not for this node to say.
    workspace
        .mykeeper(&["run", "prune"])
        .assert_code(1)
        .assert_says("nothing is removed while")
        .assert_says("wait for the catalog");
    workspace
        .mykeeper(&["retention", "prune", "--dry-run"])
        .assert_code(3)
        .assert_says("ask again when it is back");
    let check = workspace.mykeeper(&["check"]);
    check.assert_code(3).assert_says("records wait since");
    workspace
        .mykeeper(&["catalog", "status"])
        .assert_code(3)
        .assert_says("records wait since")
        .assert_says("look at [catalog] url");

    server.start_again();
    workspace.mykeeper(&["catalog", "migrate"]).assert_code(0);
    workspace.mykeeper(&["catalog", "status"]).assert_code(4);
    let daemon = workspace.daemon();
    wait_for_empty_journal(&workspace);
    drop(daemon);
    let runs = workspace.runs_of("nightly");
    assert_eq!(runs.len(), 1, "it was recorded once");
    assert_eq!(workspace.runs().len(), 2, "and so was the refused removal");
    assert_run(&runs[0], "succeeded", &["complete"]);
}

/// After one backup of job `nightly` that was made while the catalog was away.
fn what_this_node_knows_is_told(workspace: &Workspace) {
    let ask = |words: &[&str]| {
        let told = workspace.mykeeper(words);
        told.assert_code(3).assert_says("the catalog is away since 20");
        told
    };
    let lines = |told: &Finished| told.stderr.lines().count();
    let runs = ask(&["runs"]);
    runs.assert_says("nightly")
        .assert_says("succeeded")
        .assert_says("this node (testnode)");
    assert_eq!(lines(&runs), 1, "one line says what is not shown: {runs}");
    ask(&["jobs"]).assert_says("succeeded");
    let listed = ask(&["runs", "--json"]).json();
    let (run, set) = (text(&listed[0], "id"), text(&listed[0], "bk_id"));
    let log = workspace.mykeeper(&["run-log", run]);
    log.assert_code(0).assert_says("is complete");
    assert_eq!(lines(&log), 0, "the log is here: {log}");
    // So is the one of the only run whose identity begins so.
    workspace.mykeeper(&["run-log", &run[..8]]).assert_code(0);

    ask(&["backups"]).assert_says(set);
    let backups = ask(&["backups", "--json"]).json();
    assert_eq!(
        backups[0]["validate_status"],
        serde_json::Value::Null,
        "{backups:#}"
    );
    ask(&["show", set])
        .assert_says("shop-schema-create.sql")
        .assert_says("not known while the catalog is away");
    // What others did is not for this node to say.
    let stranger = "00000000-0000-4000-8000-000000000000";
    for words in [
        &["show", stranger][..],
        &["run-log", stranger],
        &["backups", "--tag", "elsewhere"],
        &["backups", "--state", "validated"],
        &["runs", "--missing"],
    ] {
        let told = ask(words);
        assert_eq!(told.stdout, "", "{told}");
    }
}

#[test]
fn slots_go_on_while_the_catalog_is_away_and_each_is_recorded_once() {
    let (_source, mut server, workspace) = two_servers();
    workspace.write_schedule(&backup_job("often", r#"["shop"]"#, "").replace(NEVER, "*/3 * * * * *"));
    let mut daemon = workspace.daemon();
    let complete = || {
        std::fs::read_dir(workspace.sets())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|day| std::fs::read_dir(day.path()).ok())
            .flatten()
            .flatten()
            .filter(|set| set.path().join("mykeeper.manifest.json").exists())
            .count()
    };
    wait_until(LIMIT, "a first set", || (complete() > 0).then_some(()));
    server.kill();
    let before = complete();
    wait_until(LIMIT, "sets while the catalog is away", || {
        (complete() >= before + 3).then_some(())
    });
    let jobs = workspace.mykeeper(&["jobs"]);
    jobs.assert_code(3)
        .assert_says("records wait since")
        .assert_says("often");
    // A restart in between loses nothing of it, however it comes.
    daemon.signal(Signal::KILL);
    daemon.wait_end(LIMIT);
    let mut daemon = workspace.daemon();
    let before = complete();
    wait_until(LIMIT, "sets after a start without a catalog", || {
        (complete() >= before + 2).then_some(())
    });
    server.start_again();
    wait_for_empty_journal(&workspace);
    assert_eq!(daemon.stop(), Some(0));

    let doubled = server.query(
        "SELECT job, slot_ms, COUNT(*) FROM catalogdb.mk_run WHERE slot_ms IS NOT NULL GROUP BY job, slot_ms HAVING COUNT(*) > 1",
    );
    assert!(doubled.is_empty(), "{doubled:?}");
    // From the first slot to the last, every third second.
    let gaps =
        server.value("SELECT (MAX(slot_ms) - MIN(slot_ms)) / 3000 + 1 - COUNT(*) FROM catalogdb.mk_slot");
    assert_eq!(gaps.parse::<f64>().unwrap(), 0.0, "slots without a row");
    let open = server.value("SELECT COUNT(*) FROM catalogdb.mk_run WHERE state IN ('running', 'queued')");
    assert_eq!(open, "0");
    let recorded = server.value("SELECT COUNT(*) FROM catalogdb.user_backup WHERE is_complete = 'Y'");
    assert_eq!(recorded, complete().to_string());
}

/// So many files take a while to be removed.
const MANY: usize = 40_000;

#[test]
fn a_removal_in_which_the_catalog_goes_away_is_carried_on_and_recorded_once() {
    let (_source, mut server, workspace) = two_servers();
    workspace.write_schedule(&with_prune(&backup_job("nightly", r#"["shop"]"#, "")));
    workspace.mykeeper(&["catalog", "migrate"]).assert_code(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    for is_killed in [false, true] {
        let id = text(&workspace.backups()[0], "id").to_owned();
        let set = find_set(&workspace.sets(), &id);
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
        for number in 0..MANY {
            std::fs::write(set.join(format!("{number}.sql")), "").unwrap();
        }
        let aside = set.with_file_name(format!(".{id}.deleting"));
        let prune = workspace.start_mykeeper(&["run", "prune"]);
        wait_until(LIMIT, "the set is set aside", || aside.exists().then_some(()));
        server.kill();
        if is_killed {
            prune.signal(Signal::KILL);
        }
        let prune = prune.finish();
        match is_killed {
            true => assert!(aside.exists(), "it was killed too late: {prune}"),
            // What was removed is removed; that it is recorded waits.
            false => assert!(!aside.exists() && !set.exists(), "{prune}"),
        }
        server.start_again();
        let row = |column: &str| {
            server.value(&format!(
                "SELECT {column} FROM catalogdb.user_backup WHERE bk_id = '{id}'"
            ))
        };
        assert_eq!(
            (row("is_deleted"), row("deletion")),
            ("N".into(), "deleting".into())
        );
        let daemon = workspace.daemon();
        wait_for_empty_journal(&workspace);
        drop(daemon);
        workspace.mykeeper(&["run", "prune"]).assert_code(0);
        assert_eq!(
            (row("is_deleted"), row("deletion")),
            ("Y".into(), "deleted".into())
        );
        assert!(!aside.exists() && !set.exists());
        let removals = format!("SELECT COUNT(*) FROM catalogdb.mk_removal WHERE bk_id = '{id}'");
        assert_eq!(server.value(&removals), "1");
        let left = "SELECT COUNT(*) FROM catalogdb.user_backup WHERE is_deleted = 'N'";
        assert_eq!(server.value(left), "1", "the newest stays");
    }
}

#[test]
fn people_hear_of_no_end_that_only_the_catalog_could_confirm() {
    let (_source, mut server, workspace) = two_servers();
    let (sink, vault) = (HttpSink::start(), RsyncDaemon::start("vault pw"));
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let more = format!(
        "\n{}[notify]\ngather = \"100ms\"\n\n{}",
        workspace.destination("vault", &vault.url(vault.port(), "db1"), "vault pw"),
        webhook(&sink)
    );
    std::fs::write(workspace.config(), format!("{keeper}{more}")).unwrap();
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, "transfer_to = \"vault\""));
    let (password, aside) = (workspace.at("shop.password"), workspace.at("aside"));
    std::fs::rename(&password, &aside).unwrap();
    workspace.mykeeper(&["run", "nightly"]).assert_code(1);
    std::fs::rename(&aside, &password).unwrap();
    assert_eq!(events(&sink, "failure").len(), 1);

    server.stop();
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_eq!(events(&sink, "recovery").len(), 0);
    server.start_again();
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_eq!(events(&sink, "recovery").len(), 1);
    assert_eq!(events(&sink, "failure").len(), 1);
}
