//! Nothing a child forks outlives it, whatever ends it.

use std::process::{Command, Stdio};
use std::time::Duration;

use mykeeper_supervise::{ChildSpec, Exit, Limits};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::support::{Mark, STAND_IN, eventually, own_zombies, run, run_until, send, sh, start_heard};

/// A child in the group, one in a session of its own, and one that was forked twice, left the session and ignores
/// SIGTERM and SIGHUP.
const FAMILY: &str = r#"
sleep 1000 &
setsid sleep 1000 &
setsid sh -c '(trap "" TERM HUP; while :; do sleep 0.1; done) & sleep 1000 & exit 0' &
"#;

/// The shim, the tool and the four of [`FAMILY`], without the short sleeps of one of them.
const ALL: usize = 6;

const SHORT: Duration = Duration::from_millis(300);

fn family(mark: &Mark, then: &str) -> ChildSpec {
    let limits = Limits {
        grace: SHORT,
        ..Limits::default()
    };
    mark.on(sh(&format!("{FAMILY}\n{then}"))).limits(limits)
}

#[tokio::test]
async fn a_family_dies_when_its_tool_exits() {
    let mark = Mark::new();
    let finished = run(family(&mark, "sleep 0.5; exit 9")).await.unwrap();
    mark.assert_gone();
    assert_eq!(finished.exit, Exit::Failed { code: 9 });
    // The loop's own sleeps come and go.
    assert!((4..=6).contains(&finished.leftovers), "{}", finished.leftovers);
}

#[tokio::test]
async fn a_family_dies_when_its_tool_is_killed() {
    let mark = Mark::new();
    let finished = run(family(&mark, "sleep 0.5; kill -KILL $$")).await.unwrap();
    mark.assert_gone();
    assert_eq!(finished.exit, Exit::Signaled { signal: 9 });
}

#[tokio::test]
async fn a_family_dies_on_timeout() {
    let mark = Mark::new();
    let mut spec = family(&mark, "trap '' TERM; while :; do sleep 0.05; done");
    spec.limits.timeout = Some(Duration::from_secs(1));
    let finished = run(spec).await.unwrap();
    mark.assert_gone();
    assert!(matches!(finished.exit, Exit::TimedOut { .. }));
}

#[tokio::test]
async fn a_family_dies_on_cancel() {
    let mark = Mark::new();
    let cancel = CancellationToken::new();
    let child = tokio::spawn(run_until(family(&mark, "wait"), cancel.clone()));
    mark.at_least(ALL).await;
    cancel.cancel();
    assert_eq!(child.await.unwrap().unwrap().exit, Exit::Cancelled);
    mark.assert_gone();
}

#[tokio::test]
async fn a_family_dies_when_the_run_is_dropped() {
    let mark = Mark::new();
    let child = tokio::spawn(run(family(&mark, "wait")));
    mark.at_least(ALL).await;
    child.abort();
    mark.gone().await;
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test]
async fn a_run_may_be_dropped_at_any_moment() {
    let mark = Mark::new();
    for microseconds in (0..30_000).step_by(750) {
        let one = run(family(&mark, "wait"));
        assert!(
            tokio::time::timeout(Duration::from_micros(microseconds), one)
                .await
                .is_err()
        );
    }
    mark.gone().await;
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test]
async fn a_family_dies_when_its_supervising_process_is_killed() {
    let mark = Mark::new();
    let mut daemon = Command::new(STAND_IN)
        .args(["supervise", "sh", "-c", &format!("{FAMILY}\nwait")])
        .args(["sh"])
        .env("TEST_MARK", "none")
        .arg(mark.text())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The mark is in the command lines of daemon, shim and tool; subshells keep the tool's.
    mark.at_least(3).await;
    let tree = tree_of(daemon.id(), ALL).await;
    send(daemon.id(), Signal::KILL);
    daemon.wait().unwrap();
    mark.gone().await;
    eventually("everything it had started is gone", || {
        tree.iter().all(|identity| !identity.is_alive())
    })
    .await;
}

#[tokio::test]
async fn a_family_dies_when_its_supervising_process_is_killed_while_it_starts() {
    let mark = Mark::new();
    for milliseconds in 0..20 {
        let mut daemon = Command::new(STAND_IN)
            .args([
                "supervise",
                "env",
                &format!("TEST_MARK={}", mark.text()),
                "sh",
                "-c",
            ])
            .arg(format!("{FAMILY}\nwait"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        send(daemon.id(), Signal::KILL);
        daemon.wait().unwrap();
    }
    mark.gone().await;
}

#[tokio::test]
async fn what_forks_faster_than_it_is_looked_at_dies_too() {
    let mark = Mark::new();
    let script = "trap '' TERM; while :; do setsid sh -c 'trap \"\" TERM; (sleep 3) & (sleep 3) & exit' & sleep 0.01; done";
    let limits = Limits {
        grace: SHORT,
        timeout: Some(Duration::from_secs(1)),
        stall: None,
    };
    let finished = run(mark.on(sh(script)).limits(limits)).await.unwrap();
    assert!(matches!(finished.exit, Exit::TimedOut { .. }));
    mark.assert_gone();
}

#[tokio::test]
async fn orphans_are_reaped_while_the_tool_runs() {
    let script =
        "i=0; while [ $i -lt 50 ]; do sh -c 'sleep 0 & exit' ; i=$((i+1)); done; echo ready; sleep 1000";
    let heard = crate::support::Heard::default();
    let child = start_heard(sh(script), &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    let shim = crate::support::parent(child.identity().pid).to_string();
    eventually("the shim has no zombies", || {
        let stats = crate::support::processes().into_iter().map(crate::support::stat);
        stats
            .filter(|stat| stat.len() > 1 && stat[0] == "Z" && stat[1] == shim)
            .count()
            == 0
    })
    .await;
    child.stop().await.unwrap();
}

/// Identities of all descendants, once there are enough.
async fn tree_of(root: u32, count: usize) -> Vec<mykeeper_supervise::ProcessIdentity> {
    let mut tree = Vec::new();
    eventually("the tree is complete", || {
        let table: Vec<(u32, u32)> = crate::support::processes()
            .into_iter()
            .filter_map(|pid| Some((pid, crate::support::stat(pid).get(1)?.parse().ok()?)))
            .collect();
        let mut found = vec![root];
        let mut at = 0;
        while at < found.len() {
            let children = table
                .iter()
                .filter(|(_, parent)| *parent == found[at])
                .map(|(pid, _)| *pid);
            let children: Vec<u32> = children.collect();
            found.extend(children);
            at += 1;
        }
        tree = found[1..]
            .iter()
            .filter_map(|pid| mykeeper_supervise::ProcessIdentity::of(*pid).ok())
            .collect();
        tree.len() >= count
    })
    .await;
    tree
}
