//! What goes wrong while a set is made.

use crate::{ALL, assert_run, backup_job, shop_workspace, slow_workspace, text};
use mykeeper_e2e::*;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

#[test]
fn a_full_disk_ends_the_run_with_its_reason() {
    let server = MariaDb::with_sample();
    let workspace = shop_workspace(&server, "");
    let Some(disk) = Tmpfs::or_skip(workspace.at("disk"), "size=2m") else {
        return;
    };
    let place = disk.path().display().to_string();
    let plain = "reserve = \"off\"\ncompression = \"none\"\nmydumper = [\"threads=1\"]";
    // Digests hardly compress: more than 2 MB come of it, packed or not.
    workspace.write_schedule(&format!(
        "{}{}",
        backup_job("packed", ALL, "reserve = \"off\"\nstall = \"20s\"").replace("{sets}", &place),
        backup_job("plain", ALL, plain).replace("{sets}", &place)
    ));
    for job in ["packed", "plain"] {
        let began = Instant::now();
        workspace
            .mykeeper(&["run", job])
            .assert_code(1)
            .assert_says("space");
        assert!(
            began.elapsed() < Duration::from_secs(50),
            "{job} took {:?}",
            began.elapsed()
        );
        let run = workspace.only_run_of(job);
        assert_run(&run, "failed", &["space"]);
        let backup = workspace.backups().remove(0);
        assert_eq!(backup["complete"], serde_json::json!([false]), "{backup:#}");
        assert_eq!(backup["transfer_complete"], "Backup failed");
        // There was room to write down what became of it.
        let set = find_set(disk.path(), text(&backup, "id"));
        for record in ["mykeeper.evidence.json", "mykeeper.manifest.json"] {
            assert!(
                set.join(record).is_file(),
                "{job}: there is no {record}: {backup:#}"
            );
        }
        for entry in std::fs::read_dir(&place).unwrap().flatten() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

#[test]
fn a_server_that_dies_in_mid_dump_leaves_a_set_that_is_not_complete() {
    let mut server = MariaDb::with_sample();
    let link = TcpProxy::to(server.port());
    link.set_rate(300_000);
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server_over_tcp("shop", &server, link.port(), "pw"));
    workspace.write_schedule(&backup_job("nightly", ALL, "stall = \"30s\""));
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_dump(running.pid(), &workspace);
    server.kill();
    running.finish().assert_code(1);
    assert_run(&workspace.only_run_of("nightly"), "failed", &[]);
    let backup = workspace.backups().remove(0);
    assert_eq!(backup["complete"], serde_json::json!([false]), "{backup:#}");
    assert!(!text(&backup, "reason").is_empty(), "{backup:#}");
}

#[test]
fn a_dump_that_stalls_is_ended_and_tried_again() {
    let server = MariaDb::with_sample();
    // Once started, it does nothing for ever, and takes no notice of SIGTERM; the second time it works.
    let workspace = Workspace::new();
    let stand_in = workspace.at("mydumper");
    let script = format!(
        "#!/bin/bash\nfor word in \"$@\"; do\n  case $word in --version|-V|--help) exec mydumper \"$@\";; esac\ndone\n\
         if [ ! -e {0}/tried ]; then\n  touch {0}/tried; trap '' TERM\n  sleep 1000 & sleep 1000\n  exit 9\nfi\nexec mydumper \"$@\"\n",
        workspace.path().display()
    );
    std::fs::write(&stand_in, script).unwrap();
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tools = format!(
        "[tools]\nmydumper = \"{}\"\n[daemon]\nkill_grace = \"1s\"\n",
        stand_in.display()
    );
    workspace.write_keeper(&format!("{}{tools}", workspace.server("shop", &server, "pw")));
    workspace.write_schedule(&backup_job(
        "nightly",
        r#"["shop"]"#,
        "stall = \"2s\"\nretry = { attempts = 2, delay = \"1s\" }",
    ));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let run = workspace.only_run_of("nightly");
    assert_run(&run, "succeeded", &[]);
    assert_eq!(run["attempts"][0]["state"], "stalled", "{run:#}");
    assert_eq!(run["attempts"][1]["state"], "succeeded", "{run:#}");
}

#[test]
fn a_run_that_takes_too_long_is_ended() {
    let server = MariaDb::with_sample();
    let link = TcpProxy::to(server.port());
    link.set_rate(50_000);
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server_over_tcp("shop", &server, link.port(), "pw"));
    workspace.write_schedule(&backup_job("nightly", ALL, "timeout = \"4s\""));
    let began = Instant::now();
    workspace.mykeeper(&["run", "nightly"]).assert_code(1);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        began.elapsed()
    );
    assert_run(&workspace.only_run_of("nightly"), "timed-out", &["4s"]);
}

#[test]
fn ctrl_c_ends_a_run_with_its_tools_and_its_record() {
    let server = MariaDb::with_sample();
    let (workspace, _link) = slow_workspace(&server, &backup_job("nightly", ALL, ""));
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_dump(running.pid(), &workspace);
    let below = descendants_of(running.pid());
    assert!(
        below.iter().any(|process| process.name == "mydumper"),
        "{below:?}"
    );
    running.signal(Signal::INT);
    running.finish().assert_code(130).assert_says("cancelled");
    for process in &below {
        assert!(
            !process.is_alive(),
            "{process:?} is left: {}",
            process.command_line()
        );
    }
    let run = workspace.only_run_of("nightly");
    assert_run(&run, "cancelled", &[]);
    let backup = workspace.backups().remove(0);
    assert_eq!(backup["complete"], serde_json::json!([false]), "{backup:#}");
}

#[test]
fn a_database_that_appears_and_goes_during_a_dump_is_no_failure_of_the_others() {
    let server = MariaDb::with_sample();
    let link = TcpProxy::to(server.port());
    link.set_rate(900_000);
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server_over_tcp("shop", &server, link.port(), "pw"));
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, ""));
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_dump(running.pid(), &workspace);
    server.sql("CREATE DATABASE fleeting; CREATE TABLE fleeting.t (a INT); DROP DATABASE fleeting");
    link.set_rate(0);
    running.finish().assert_code(0);
    assert_run(&workspace.only_run_of("nightly"), "succeeded", &[]);
}

#[test]
fn a_dump_that_is_held_up_by_a_writer_is_ended_in_time_and_tried_again() {
    let server = MariaDb::with_sample();
    server.sql("CREATE DATABASE held; CREATE TABLE held.t (a INT)");
    let workspace = shop_workspace(
        &server,
        "lock_budget = \"2s\"\nretry = { attempts = 2, delay = \"8s\" }",
    );
    std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| server.try_sql("INSERT INTO held.t SELECT SLEEP(9) WHERE 'geheim' <> ''"));
        wait_until(LIMIT, "the writer is at work", || {
            let at_work = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
            (server.value(at_work) == "1").then_some(())
        });
        workspace.mykeeper(&["run", "nightly"]).assert_code(0);
        assert!(writer.join().unwrap(), "the writer was disturbed");
    });
    let run = workspace.only_run_of("nightly");
    assert_run(&run, "succeeded", &[]);
    let first = &run["attempts"][0];
    assert_eq!(first["state"], "failed", "{run:#}");
    let reason = text(first, "reason");
    assert!(
        reason.contains("longer than the job's lock_budget of 2s"),
        "{reason}"
    );
    assert!(reason.contains("held up by connection "), "{reason}");
    assert!(!reason.contains("geheim"), "{reason}");
    let backup = workspace.backups().remove(0);
    assert!(backup["lock_held_ms"].is_u64(), "{backup:#}");
    let failed = workspace.backups().remove(1);
    assert!(failed["lock_waited_ms"].as_u64() >= Some(2_000), "{failed:#}");
    workspace
        .mykeeper(&["show", text(&failed, "id")])
        .assert_code(0)
        .assert_says("lock       waited for 2.");
}

#[test]
fn a_long_query_is_named_and_no_folder_is_left_behind() {
    let server = MariaDb::with_sample();
    server.sql("CREATE DATABASE held; CREATE TABLE held.t (a INT)");
    let workspace = shop_workspace(&server, "long_queries = \"abort\"\nlong_query_limit = \"1s\"");
    std::thread::scope(|scope| {
        scope.spawn(|| server.try_sql("INSERT INTO held.t SELECT SLEEP(600) WHERE 'geheim' <> ''"));
        let at_work = "SELECT IFNULL(MAX(ID), '') FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep' AND TIME > 1";
        let id = wait_until(LIMIT, "the writer is at work for a while", || {
            Some(server.value(at_work)).filter(|id| !id.is_empty())
        });
        workspace.mykeeper(&["run", "nightly"]).assert_code(1);
        server.sql(&format!("KILL {id}"));
        let run = workspace.only_run_of("nightly");
        assert_run(
            &run,
            "failed",
            &[&format!("connection {id} (root@localhost, INSERT for ")],
        );
        assert!(!text(&run, "reason").contains("geheim"), "{run:#}");
    });
    assert_eq!(files_below(&workspace.sets()), 0);
    let days = std::fs::read_dir(workspace.sets()).unwrap().flatten();
    for day in days {
        assert_eq!(
            std::fs::read_dir(day.path()).unwrap().count(),
            0,
            "{:?}",
            day.path()
        );
    }
}

/// Waits until a real mydumper writes into a set.
pub(crate) fn wait_for_dump(pid: u32, workspace: &Workspace) {
    wait_until(LIMIT, "a dump is under way", || {
        let runs = descendants_of(pid)
            .iter()
            .any(|process| process.name == "mydumper");
        (runs && files_below(&workspace.sets()) > 2).then_some(())
    });
}

fn files_below(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                files_below(&entry.path())
            } else {
                1
            }
        })
        .sum()
}
