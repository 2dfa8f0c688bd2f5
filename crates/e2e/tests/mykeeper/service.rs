//! The service: its unit as systemd reads it, and a reload that says what came of it. `deploy/test.sh --service` has
//! it booted.
#![expect(
    clippy::expect_used,
    reason = "a stage that cannot be set up fails its test on the spot"
)]

use crate::{NEVER, backup_job, slow_workspace};
use mykeeper_e2e::*;
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/systemd")
        .canonicalize()
        .expect("deploy/systemd is there")
}

/// What `systemd-analyze` says, on either output, and its exit code.
fn analyze(words: &[&str]) -> (String, Option<i32>) {
    let output = Command::new("systemd-analyze")
        .args(words)
        .env("SYSTEMD_COLORS", "0")
        .output()
        .expect("systemd-analyze can be started");
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.code())
}

/// A root folder with the unit in its place and all that it calls, and drop-ins.
fn root_with(drop_ins: &[PathBuf]) -> Scratch {
    let root = Scratch::new();
    let at = |path: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder within our own");
        path
    };
    std::fs::copy("/bin/true", at("usr/bin/mykeeper")).expect("a program in its place");
    std::fs::copy(
        deploy().join("mykeeper.service"),
        at("usr/lib/systemd/system/mykeeper.service"),
    )
    .expect("the unit in its place");
    for target in [
        "basic",
        "shutdown",
        "sysinit",
        "network-online",
        "time-sync",
        "multi-user",
    ] {
        std::fs::write(at(&format!("usr/lib/systemd/system/{target}.target")), "[Unit]\n").expect("a target");
    }
    for drop_in in drop_ins {
        let name = drop_in.file_name().expect("a name").to_string_lossy();
        std::fs::copy(
            drop_in,
            at(&format!("etc/systemd/system/mykeeper.service.d/{name}")),
        )
        .expect("a drop-in in its place");
    }
    root
}

fn verify(root: &Scratch) -> String {
    let root = format!("--root={}", root.path().display());
    // It ends with 0 for keys that it does not know, and says so.
    analyze(&[
        "verify",
        "--man=no",
        "--recursive-errors=no",
        &root,
        "mykeeper.service",
    ])
    .0
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_nor_with_any_example_of_a_drop_in() {
    let mut examples: Vec<PathBuf> = std::fs::read_dir(deploy().join("examples"))
        .expect("examples are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    examples.sort();
    assert!(examples.len() >= 3, "{examples:?}");
    assert_eq!(verify(&root_with(&[])), "");
    assert_eq!(verify(&root_with(&examples)), "", "{examples:?}");
    // Those of the documented layout of several nodes.
    for node in ["db1", "vault", "prover"] {
        let drop_in = deploy().join("../nodes").join(node).join("node.conf");
        assert_eq!(verify(&root_with(&[drop_in])), "", "{node}");
    }
    // And it would find something.
    let broken = root_with(&[]);
    let unit = broken.path().join("usr/lib/systemd/system/mykeeper.service");
    let text = std::fs::read_to_string(&unit).expect("the unit");
    std::fs::write(&unit, text.replace("WatchdogSec=", "WatchdogSecs=")).expect("the unit, broken");
    assert!(verify(&broken).contains("WatchdogSecs"), "{}", verify(&broken));
}

#[test]
fn a_start_that_fails_is_tried_again_for_as_long_as_it_takes() {
    let unit = std::fs::read_to_string(deploy().join("mykeeper.service")).expect("the unit");
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        line.expect("the key is in the unit")
    };
    let seconds = |key: &str| -> u32 {
        let value = value(key);
        let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
        let (number, unit) = value.split_at(end);
        let times = if unit == "min" { 60 } else { 1 };
        number.parse::<u32>().expect("a number") * times
    };
    // Of a cause that passes by itself, a full disk say, nobody else tells: each start fails at once.
    let starts = seconds("StartLimitIntervalSec=") / seconds("RestartSec=") + 1;
    let limit: u32 = value("StartLimitBurst=").parse().expect("a number");
    assert!(
        starts < limit,
        "{starts} starts in a row reach the limit of {limit}"
    );
}

#[test]
fn the_service_manager_is_told_how_many_runs_are_under_way_when_they_begin_and_when_they_end() {
    let source = MariaDb::with_sample();
    let never = backup_job("one", r#"["shop"]"#, "");
    let every_second = never.replace(NEVER, "* * * * * *");
    let (workspace, link) = slow_workspace(&source, &every_second);
    let mut daemon = workspace.daemon();
    let tells_last = |daemon: &Daemon, runs: &str| {
        let told = daemon.notifications();
        let last = told.iter().rfind(|line| line.starts_with("STATUS="));
        last.is_some_and(|line| line.contains(runs)).then_some(())
    };
    let end_it = || {
        link.set_rate(100_000_000);
        wait_until(LIMIT, "that it has ended is told", || {
            tells_last(&daemon, "0 runs under way")
        });
    };
    // One that began and ends between two looks, and that only a reload in its midst tells of.
    wait_until(LIMIT, "a run begins", || {
        (!workspace.runs_of("one").is_empty()).then_some(())
    });
    workspace.write_schedule(&never);
    daemon.reload();
    tells_last(&daemon, "1 run under way").expect("the run goes on");
    end_it();
    // One that goes on for longer.
    link.set_rate(200_000);
    workspace.write_schedule(&every_second);
    daemon.reload();
    wait_until(LIMIT, "a run that has begun is told of", || {
        tells_last(&daemon, "1 run under way")
    });
    workspace.write_schedule(&never);
    daemon.reload();
    end_it();
    assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
}

#[test]
fn the_unit_is_shut_off_from_the_host_as_far_as_backups_allow() {
    let unit = deploy().join("mykeeper.service");
    let unit = unit.to_str().expect("a path in UTF-8");
    let (said, code) = analyze(&["security", "--no-pager", "--offline=true", "--threshold=20", unit]);
    assert_eq!(code, Some(0), "above 2.0:\n{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
}

#[test]
fn a_reload_that_is_asked_for_returns_when_it_is_in_force_and_fails_with_the_reason_when_it_is_refused() {
    let source = MariaDb::start();
    let mut workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &source, "pw"));
    workspace.write_schedule(&backup_job("one", r#"["shop"]"#, ""));
    workspace
        .mykeeper(&["reload"])
        .assert_code(3)
        .assert_says("no daemon lives");

    let mut daemon = workspace.daemon();
    workspace
        .mykeeper(&["reload"])
        .assert_code(0)
        .assert_says("no job changed");
    let every_second = backup_job("two", r#"["shop"]"#, "").replace(NEVER, "* * * * * *");
    workspace.write_schedule(&every_second);
    workspace
        .mykeeper(&["reload"])
        .assert_code(0)
        .assert_says("added: two")
        .assert_says("removed: one");
    wait_until(LIMIT, "the new job runs", || {
        (!workspace.runs().is_empty()).then_some(())
    });
    // A daemon that is started by hand hears of bad files as well, and is shown beside them.
    workspace.write_schedule("[backup.two]\ncron = \"61 * * * *\"\n");
    workspace
        .mykeeper(&["reload"])
        .assert_code(2)
        .assert_says("nothing has changed")
        .assert_says("schedule.toml:2");
    assert!(daemon.log().contains("the reload is refused"), "{}", daemon.log());
    workspace
        .mykeeper(&["status"])
        .assert_code(4)
        .assert_says("a daemon goes on by the files as they were")
        .assert_says("schedule.toml:2");
    workspace.write_schedule(&every_second);
    assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
    assert!(!workspace.at("state/control.sock").exists());

    // Within its service the daemon is found without the files, so that it hears of the bad ones and keeps why.
    let folder = workspace.at("run");
    std::fs::create_dir(&folder).expect("a folder within our own");
    workspace.surround(Surroundings {
        variables: vec![("RUNTIME_DIRECTORY".into(), folder.display().to_string())],
        ..Surroundings::default()
    });
    let mut daemon = workspace.daemon();
    workspace.write_schedule("[backup.two]\ncron = \"61 * * * *\"\n");
    workspace
        .mykeeper(&["reload"])
        .assert_code(2)
        .assert_says("nothing has changed")
        .assert_says("schedule.toml:2");
    assert!(daemon.log().contains("the reload is refused"), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
}
