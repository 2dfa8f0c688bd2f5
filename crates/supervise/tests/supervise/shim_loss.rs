//! The shim itself is killed, or no longer answers.

use std::time::Duration;

use mykeeper_supervise::{ChildSpec, Limits, SuperviseError, become_subreaper};
use rustix::process::Signal;

use crate::support::{Heard, Mark, eventually, own_zombies, parent, send, sh, start, start_heard};

const LONERS: &str = r#"
setsid sh -c '(trap "" TERM HUP; while :; do sleep 0.1; done) & sleep 1000 & exit 0' &
sleep 1000 &
echo ready
"#;

#[tokio::test]
async fn a_killed_shim_takes_the_tool_along() {
    let child = start(ChildSpec::new("sleep").arg("1000")).await;
    let identity = child.identity().clone();
    // Nobody looks after the child here: what kills it is the kernel.
    let frozen = std::time::Instant::now();
    send(parent(identity.pid), Signal::KILL);
    while identity.is_alive() {
        assert!(
            frozen.elapsed() < crate::support::LONG,
            "the tool survived its shim"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_killed_shim_is_told_and_its_tree_is_killed() {
    let mark = Mark::new();
    let heard = Heard::default();
    let spec = mark.on(sh(&format!("{LONERS} wait")));
    let mut child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    mark.at_least(5).await;
    send(parent(child.identity().pid), Signal::KILL);
    let error = child.wait().await.unwrap_err();
    let pid = child.identity().pid;
    assert!(
        matches!(error, SuperviseError::ShimLost { pid: Some(lost), .. } if lost == pid),
        "{error:?}"
    );
    mark.assert_gone();
}

#[tokio::test]
async fn a_subreaper_reaps_what_a_killed_shim_leaves() {
    become_subreaper().unwrap();
    let mark = Mark::new();
    let heard = Heard::default();
    let spec = mark.on(sh(&format!("{LONERS} wait")));
    let mut child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    mark.at_least(5).await;
    send(parent(child.identity().pid), Signal::KILL);
    child.wait().await.unwrap_err();
    mark.assert_gone();
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test]
async fn a_shim_killed_after_its_run_was_dropped_leaves_nothing() {
    become_subreaper().unwrap();
    let mark = Mark::new();
    let heard = Heard::default();
    let spec = mark.on(sh(&format!("trap '' TERM; {LONERS} while :; do sleep 0.1; done")));
    let child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    mark.at_least(5).await;
    let shim = parent(child.identity().pid);
    drop(child);
    send(shim, Signal::KILL);
    mark.gone().await;
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test]
async fn a_frozen_shim_does_not_hold_the_run() {
    become_subreaper().unwrap();
    let mark = Mark::new();
    let limits = Limits {
        grace: Duration::from_millis(100),
        ..Limits::default()
    };
    let spec = mark.on(sh("sleep 1000 & sleep 1000")).limits(limits);
    let child = start(spec).await;
    send(parent(child.identity().pid), Signal::STOP);
    let error = child.stop().await.unwrap_err();
    assert!(matches!(error, SuperviseError::ShimLost { .. }), "{error:?}");
    mark.gone().await;
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}
