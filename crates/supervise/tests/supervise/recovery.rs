//! After a crash: ending what an identity names, and nothing else.

use std::process::{Command, Stdio};
use std::time::Duration;

use mykeeper_supervise::{Activity, ChildRecord, ChildSpec, ProcessIdentity, end_leftovers};
use rustix::process::Signal;

use crate::support::{
    Heard, Mark, STAND_IN, eventually, parent, processes, send, sh, start_heard, stat, supervisor,
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn an_identity_survives_being_written_down() {
    // Through the same text form a catalog would store.
    let own = ProcessIdentity::of(std::process::id()).unwrap();
    assert!(own.is_alive());
    let copy: ProcessIdentity = serde_json::from_str(&serde_json::to_string(&own).unwrap()).unwrap();
    assert_eq!(copy, own);
}

#[tokio::test]
async fn a_process_with_the_same_number_is_left_alone() {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let identity = ProcessIdentity::of(child.id()).unwrap();
    let earlier = ProcessIdentity {
        start_time_ticks: identity.start_time_ticks - 1,
        ..identity.clone()
    };
    let other_boot = ProcessIdentity {
        boot_id: "another".into(),
        ..identity.clone()
    };
    for stranger in [earlier, other_boot] {
        assert!(!stranger.is_alive());
        assert_eq!(stranger.kill_tree(Duration::ZERO).await.unwrap(), 0);
    }
    assert!(identity.is_alive());
    assert_eq!(identity.kill_tree(Duration::ZERO).await.unwrap(), 1);
    assert!(!identity.is_alive());
    child.wait().unwrap();
    assert_eq!(identity.kill_tree(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test]
async fn a_tree_gets_its_grace() {
    let heard = Heard::default();
    let spec = sh("trap 'echo caught; exit' TERM; echo ready; while :; do sleep 0.05; done");
    let mut child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    assert!(child.identity().kill_tree(Duration::from_secs(30)).await.unwrap() >= 1);
    child.wait().await.unwrap();
    assert!(heard.has("caught"));
}

#[tokio::test]
async fn what_survived_daemon_and_shim_is_found_by_its_mark() {
    let mark = Mark::new();
    let loner =
        r#"setsid sh -c '(trap "" TERM HUP; while :; do sleep 0.1; done) & exit 0' & wait; sleep 1000"#;
    let mut daemon = Command::new(STAND_IN)
        .args([
            "supervise",
            "env",
            &format!("TEST_MARK={}", mark.text()),
            "sh",
            "-c",
            loner,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Daemon, shim, tool and the loner, which by then has become the shim's child.
    let mut shim = 0;
    let mut tool = 0;
    eventually("the loner is alone", || {
        let children = |of: u32| -> Vec<u32> {
            processes()
                .into_iter()
                .filter(|pid| stat(*pid).get(1).is_some_and(|parent| *parent == of.to_string()))
                .collect()
        };
        shim = children(daemon.id()).first().copied().unwrap_or(0);
        let adopted = if shim == 0 { Vec::new() } else { children(shim) };
        tool = adopted
            .iter()
            .copied()
            .find(|pid| stat(*pid)[2] == pid.to_string() && leads(*pid))
            .unwrap_or(0);
        adopted.len() == 2 && tool != 0
    })
    .await;
    let identity = ProcessIdentity::of(tool).unwrap();
    // Frozen first, so that neither can clean up after the other.
    send(shim, Signal::STOP);
    send(daemon.id(), Signal::KILL);
    daemon.wait().unwrap();
    send(shim, Signal::KILL);
    eventually("the tool died with its shim", || !identity.is_alive()).await;
    assert!(!mark.living().is_empty(), "the loner should have survived this");
    assert!(identity.kill_tree(Duration::from_millis(100)).await.unwrap() >= 1);
    mark.assert_gone();
}

/// Whether it is not the loner's session leader's orphan: the tool runs `sh -c` with the whole script.
fn leads(pid: u32) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.contains("wait; sleep 1000") && parent(pid) != 1
}

fn records(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_child_is_written_down_while_it_lives_and_its_keeper_answers_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = supervisor().recording_in(folder.path());
    let start = |spec| {
        supervisor.start(
            spec,
            CancellationToken::new(),
            Activity::new(),
            Box::new(|_, _| {}),
        )
    };
    let child = start(ChildSpec::new("sleep").arg("1000")).await.unwrap();
    assert_eq!(records(folder.path()), 1);
    let found = end_leftovers(folder.path(), Duration::ZERO).await.unwrap();
    assert!(found.is_empty() && child.identity().is_alive(), "{found:?}");
    child.stop().await.unwrap();
    assert_eq!(records(folder.path()), 0, "after its end");
    drop(start(ChildSpec::new("sleep").arg("1000")).await.unwrap());
    eventually("the record of a dropped child goes", || {
        records(folder.path()) == 0
    })
    .await;
}

#[tokio::test]
async fn what_outlived_daemon_and_shim_is_ended_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mark = Mark::new();
    let loner = r#"setsid sh -c '(trap "" TERM HUP; echo >"$0"; while :; do sleep 0.1; done) & exit 0' "$0"; sleep 1000"#;
    let is_alone = folder.path().join("alone");
    let mut daemon = Command::new(STAND_IN)
        .arg("supervise-recording")
        .arg(folder.path())
        .args(["env", &format!("TEST_MARK={}", mark.text()), "sh", "-c", loner])
        .arg(&is_alone)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut record = None;
    eventually("the child is written down and has a loner", || {
        let written = std::fs::read_dir(folder.path()).unwrap().flatten();
        let mut texts = written.filter_map(|entry| std::fs::read(entry.path()).ok());
        record = texts.find_map(|text| serde_json::from_slice::<ChildRecord>(&text).ok());
        record.is_some() && is_alone.exists()
    })
    .await;
    let record = record.unwrap();
    // Stopped first, so that it cannot clean up after its shim.
    send(daemon.id(), Signal::STOP);
    send(record.shim.clone().unwrap().pid, Signal::KILL);
    send(daemon.id(), Signal::KILL);
    daemon.wait().unwrap();
    eventually("the tool died with its shim", || !record.child.is_alive()).await;
    assert!(!mark.living().is_empty(), "the loner should have survived this");
    let found = end_leftovers(folder.path(), Duration::from_millis(100))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert!(
        found[0].ended.as_ref().is_ok_and(|signalled| *signalled >= 1),
        "{found:?}"
    );
    assert_eq!(found[0].record, record);
    assert_eq!(record.owner.as_deref(), Some("a run"));
    mark.assert_gone();
    assert_eq!(records(folder.path()), 1, "only what the loner wrote");
}
