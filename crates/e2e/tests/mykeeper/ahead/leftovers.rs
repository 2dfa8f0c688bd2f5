//! What went ahead of sets that never arrived, or is not of its set.

use super::*;

/// A set's note as a run leaves it that is killed while it sends.
fn note(workspace: &Workspace, place: (&str, &str), has_strays: bool) -> PathBuf {
    let (bk_id, run) = place;
    let set = find_set(&workspace.sets(), bk_id);
    let day = set.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let noted = serde_json::json!({
        "bk_id": bk_id, "destination": "vault", "relative": format!("{day}/{bk_id}"), "run": run,
        "has_strays": has_strays
    });
    let folder = workspace.at("state/ahead");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{bk_id}.vault.json"));
    std::fs::write(&path, noted.to_string()).unwrap();
    path
}

/// As a power cut does, while no more of the dump comes.
fn kill_while_held(running: Started, link: &TcpProxy) {
    link.set_rate(HELD);
    let below = descendants_of(running.pid());
    running.signal(rustix::process::Signal::KILL);
    wait_until(LIMIT, "every child of the killed command ends", || {
        below.iter().all(|process| !process.is_alive()).then_some(())
    });
}

#[test]
fn what_went_ahead_of_a_dump_that_fails_is_removed_and_that_is_recorded() {
    let Stage {
        workspace,
        link,
        vault,
        road: _road,
        source: _source,
    } = stage("[\"vault\", \"near\"]");
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_arrivals(&vault.vault(), 2);
    wait_for_arrivals(&workspace.at("near"), 0);
    link.cut_now();
    running.finish().assert_code(1);
    for root in [&vault.vault(), &workspace.at("near")] {
        assert_eq!(sets_at(root), Vec::<PathBuf>::new(), "not even a folder");
    }
    assert_eq!(noted(&workspace), 0);
    assert_transfers(
        &workspace,
        "near ahead failed, vault ahead failed, near clear succeeded, vault clear succeeded",
    );
    let told = transfers(&workspace, "reason");
    assert!(told[3].contains("was removed from rsync://"), "{told:?}");
    assert_eq!(workspace.backups()[0]["transfer_complete"], "Backup failed");
    assert_run(&workspace.only_run_of("nightly"), "failed", &[]);
}

#[test]
fn what_a_killed_run_had_sent_ahead_is_removed_by_the_next_that_sends_there() {
    let Stage {
        workspace,
        link,
        vault,
        road: _road,
        source: _source,
    } = stage("\"vault\"");
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_arrivals(&vault.vault(), 1);
    kill_while_held(running, &link);
    assert_not_whole(&vault.vault());
    assert_eq!(noted(&workspace), 1);
    link.set_rate(0);
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    assert_eq!(sets_at(&vault.vault()), Vec::<PathBuf>::new());
    assert_eq!(noted(&workspace), 0);
    assert_transfers(&workspace, "vault ahead interrupted, vault clear succeeded");
}

/// It lies on a disk of this machine, and may be what takes the room of the next.
#[test]
fn what_a_killed_run_had_sent_ahead_goes_before_a_set_that_does_not_go_ahead_itself() {
    let stage = stage("\"near\"");
    let (workspace, link) = (&stage.workspace, &stage.link);
    let near = workspace.at("near");
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_arrivals(&near, 1);
    kill_while_held(running, link);
    assert_eq!((sets_at(&near).len(), noted(workspace)), (1, 1));
    the_audit_sees_it(&stage, &sets_at(&near)[0]);
    link.set_rate(0);
    let all_at_once = format!("transfer_to = \"near\"\nstream = false\n{ONCE}");
    workspace.write_schedule(&backup_job("nightly", ALL, &all_at_once));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_copy(workspace, &near);
    assert_eq!(noted(workspace), 0);
    let names: Vec<String> = sets_at(&near)
        .iter()
        .map(|set| set.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        names,
        [text(&workspace.backups()[0], "id")],
        "only the set that is whole"
    );
}

/// What the fault suite's audit says of a folder that went ahead of a set which never became complete.
fn the_audit_sees_it(stage: &Stage, arriving: &Path) {
    // The next command settles the killed run; what lies in another destination it leaves there.
    stage.workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    let audited = || {
        let found = audit_sets(&Audited {
            workspace: &stage.workspace,
            catalog: stage.workspace.catalog(),
            source: &stage.source,
            vault: Some((&stage.vault, stage.vault.vault().join("db1"))),
            near: Some(stage.workspace.at("near")),
            watched: Watched {
                started_ms: 0,
                ready_ms: 0,
                until_ms: 0,
            },
            databases: &SAMPLE_DATABASES,
        });
        let mut all = found.all();
        all.retain(|finding| finding.contains(".arriving"));
        all.join("\n")
    };
    assert_eq!(audited(), "");
    let (notes, away) = (
        stage.workspace.at("state/ahead"),
        stage.workspace.at("state/away"),
    );
    std::fs::rename(&notes, &away).unwrap();
    assert!(audited().contains("nothing says that it is to be removed"));
    std::fs::rename(&away, &notes).unwrap();
    let metadata = arriving.join("metadata");
    std::fs::write(&metadata, "").unwrap();
    assert!(audited().contains("holds metadata, and its set is not complete"));
    std::fs::remove_file(metadata).unwrap();
    let own = arriving.with_extension("");
    std::fs::create_dir(&own).unwrap();
    assert!(audited().contains("is left beside the copy that has its name"));
    std::fs::remove_dir(own).unwrap();
}

#[test]
fn a_set_that_was_sent_whole_is_removed_as_a_leftover_by_nobody() {
    let Stage {
        workspace,
        link,
        vault,
        road: _road,
        source: _source,
    } = stage("\"vault\"");
    link.set_rate(0);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let run = text(&workspace.only_run_of("nightly"), "id").to_owned();
    assert_copy(&workspace, &vault.vault());

    // Killed before it forgot: its set is complete.
    note(&workspace, (&bk_id, &run), false);
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    assert_eq!(noted(&workspace), 0);
    // A catalog that was lost knows neither set nor run.
    let catalog = workspace.catalog();
    for table in ["user_backup", "mk_transfer", "mk_delivery", "mk_attempt"] {
        catalog.edit(&format!("DELETE FROM {table}"));
    }
    let path = note(&workspace, (&bk_id, &run), false);
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    let log = workspace.mykeeper(&["check"]);
    log.assert_says("went ahead to vault")
        .assert_says(&format!("remove it there by hand, and then {}", path.display()));
    assert!(path.exists(), "it stays noted");
    // Nor where the set is called incomplete: a manifest lies there.
    let there = find_set(&vault.vault(), &bk_id);
    let files = names(&there);
    catalog.edit(&format!(
        "INSERT INTO mk_attempt (id, run_id, number, bk_id, state, started_ms, finished_ms) \
         VALUES ('{bk_id}', '{run}', 1, '{bk_id}', 'failed', 1, 2)"
    ));
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    assert_eq!(names(&there), files);
    assert_eq!(noted(&workspace), 0);
}

#[test]
fn files_that_are_not_of_a_set_are_removed_before_its_copy_counts() {
    let Stage {
        workspace,
        link,
        mut vault,
        road: _road,
        source: _source,
    } = stage("\"vault\"");
    link.set_rate(0);
    vault.stop();
    workspace.mykeeper(&["run", "nightly"]).assert_code(1);
    vault.start_again();
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let run = text(&workspace.only_run_of("nightly"), "id").to_owned();
    let set = find_set(&workspace.sets(), &bk_id);
    let day = set.parent().unwrap().file_name().unwrap();
    let there = vault.vault().join("db1").join(day).join(&bk_id);
    std::fs::create_dir_all(&there).unwrap();
    std::fs::write(
        there.join("shop.dropped.sql.gz"),
        "of a table that was dropped meanwhile",
    )
    .unwrap();
    note(&workspace, (&bk_id, &run), true);

    // A vault that lets nothing be removed gets nothing on top of it.
    vault.refuse("delete");
    workspace
        .mykeeper(&["run", "catch-up"])
        .assert_code(1)
        .assert_says("by hand");
    assert_eq!(names(&there), ["shop.dropped.sql.gz"]);
    assert_eq!(noted(&workspace), 1);
    // Nor twice a row of that.
    workspace.mykeeper(&["run", "catch-up"]).assert_code(1);
    assert_transfers(&workspace, "vault clear failed, vault send failed");
    // A person does it, and the vault still refuses.
    std::fs::remove_dir_all(&there).unwrap();
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    assert_copy(&workspace, &vault.vault());
    assert_eq!(noted(&workspace), 0);
}

#[test]
fn no_copy_keeps_a_file_that_went_ahead_and_is_not_of_its_set() {
    let source = MariaDb::with_sample();
    let vault = RsyncDaemon::start("vault pw");
    let workspace = Workspace::new();
    // One that takes back a definition that it has written, when it has arrived: of rows that go the set would not be complete.
    let dumper = workspace.at("mydumper");
    let script = format!(
        "#!/bin/sh\nmydumper \"$@\"\nstatus=$?\ncase \"$*\" in *--outputdir=*) ;; *) exit $status ;; esac\n\
         printf 'CREATE TABLE `stray` (id INT);\\n' >shop.stray-schema.sql\ni=0\n\
         while [ $i -lt 200 ] && ! ls {}/db1/*/*/shop.stray-schema.sql.gz; do sleep 0.05; i=$((i+1)); done\n\
         rm -f shop.stray-schema.sql.gz\nexit $status\n",
        vault.vault().display()
    );
    std::fs::write(&dumper, script).unwrap();
    std::fs::set_permissions(&dumper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    workspace.write_keeper(&format!(
        "{}{}[tools]\nmydumper = \"{}\"\n",
        workspace.server("shop", &source, "pw"),
        workspace.destination("vault", &vault.url(vault.port(), "db1"), "vault pw"),
        dumper.display()
    ));
    workspace.write_schedule(&backup_job(
        "nightly",
        ALL,
        &format!("transfer_to = \"vault\"\n{ONCE}"),
    ));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    assert_copy(&workspace, &vault.vault());
    assert_transfers(
        &workspace,
        "vault ahead succeeded, vault clear succeeded, vault send succeeded",
    );
    assert_eq!(noted(&workspace), 0);
}

#[test]
fn where_nothing_was_accepted_nothing_is_remembered() {
    let Stage {
        workspace,
        link: _link,
        vault: _vault,
        road: _road,
        source: _source,
    } = stage("\"vault\"");
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    std::fs::write(workspace.config(), keeper.replace("/vault/db1", "/nomodule/db1")).unwrap();
    let run = workspace.mykeeper(&["run", "nightly"]);
    run.assert_code(1).assert_says("no such module");
    assert_eq!(noted(&workspace), 0, "{run}");
    assert_eq!(transfers(&workspace, "purpose"), ["send"]);
}
