//! Nothing a child forks outlives it, whatever ends it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use mykeeper_supervise::{ChildSpec, Exit, Limits};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::support::{Mark, STAND_IN, eventually, own_zombies, run, run_until, send, sh, start_heard};

/// A child in the group, one in a session of its own, and two that were forked twice and left the session, of which
/// one ignores SIGTERM and SIGHUP.
const FAMILY: &str = r#"
sleep 1000 &
setsid sleep 1000 &
setsid sh -c '(trap "" TERM HUP; : > "$FAMILY/deaf"; while :; do sleep 0.1; done) & sleep 1000 & exit 0' &
"#;

const UNTIL_TOLD: &str = r#"while [ ! -e "$FAMILY/go" ]; do sleep 0.02; done;"#;

const SHORT: Duration = Duration::from_millis(300);

struct Family {
    mark: Mark,
    folder: tempfile::TempDir,
}

impl Family {
    fn new() -> Self {
        Self {
            mark: Mark::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A tool that starts the family and then runs `then`.
    fn with_tool(&self, then: &str) -> ChildSpec {
        let limits = Limits {
            grace: SHORT,
            ..Limits::default()
        };
        let spec = sh(&format!("{FAMILY}\n{then}")).env("FAMILY", self.folder.path());
        self.mark.on(spec).limits(limits)
    }

    fn is_complete(&self) -> bool {
        let sleeps = self.mark.living().into_iter().filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| command == b"sleep\x001000\0")
        });
        sleeps.count() == 3 && self.folder.path().join("deaf").exists()
    }

    async fn complete(&self) {
        eventually("the family is complete", || self.is_complete()).await;
    }

    fn tell(&self) {
        fs::write(self.folder.path().join("go"), "").unwrap();
    }
}

#[tokio::test]
async fn a_family_dies_when_its_tool_exits() {
    let family = Family::new();
    let child = tokio::spawn(run(family.with_tool(&format!("{UNTIL_TOLD} exit 9"))));
    family.complete().await;
    family.tell();
    let finished = child.await.unwrap().unwrap();
    family.mark.assert_gone();
    assert_eq!(finished.exit, Exit::Failed { code: 9 });
    // Besides the four, the deaf one's own short sleeps.
    assert!(finished.leftovers >= 4, "{}", finished.leftovers);
}

#[tokio::test]
async fn a_family_dies_when_its_tool_is_killed() {
    let family = Family::new();
    let child = tokio::spawn(run(family.with_tool(&format!("{UNTIL_TOLD} kill -KILL $$"))));
    family.complete().await;
    family.tell();
    let finished = child.await.unwrap().unwrap();
    family.mark.assert_gone();
    assert_eq!(finished.exit, Exit::Signaled { signal: 9 });
}

#[tokio::test]
async fn a_family_dies_on_timeout() {
    let family = Family::new();
    let mut spec = family.with_tool("trap '' TERM; while :; do sleep 0.05; done");
    spec.limits.timeout = Some(Duration::from_secs(2));
    let child = tokio::spawn(run(spec));
    family.complete().await;
    let finished = child.await.unwrap().unwrap();
    family.mark.assert_gone();
    assert!(matches!(finished.exit, Exit::TimedOut { .. }));
}

#[tokio::test]
async fn a_family_dies_on_cancel() {
    let family = Family::new();
    let cancel = CancellationToken::new();
    let child = tokio::spawn(run_until(family.with_tool("wait"), cancel.clone()));
    family.complete().await;
    cancel.cancel();
    assert_eq!(child.await.unwrap().unwrap().exit, Exit::Cancelled);
    family.mark.assert_gone();
}

#[tokio::test]
async fn a_family_dies_when_the_run_is_dropped() {
    let family = Family::new();
    let child = tokio::spawn(run(family.with_tool("wait")));
    family.complete().await;
    child.abort();
    family.mark.gone().await;
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test]
async fn a_run_may_be_dropped_at_any_moment() {
    let family = Family::new();
    for microseconds in (0..30_000).step_by(750) {
        let one = run(family.with_tool("wait"));
        let ended = tokio::time::timeout(Duration::from_micros(microseconds), one).await;
        assert!(ended.is_err(), "{ended:?}");
    }
    family.mark.gone().await;
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

/// A process that supervises a family, of which everything bears the mark.
fn supervising_process(family: &Family) -> std::process::Child {
    Command::new(STAND_IN)
        .args(["supervise", "env", &format!("TEST_MARK={}", family.mark.text())])
        .arg(format!("FAMILY={}", family.folder.path().display()))
        .args(["sh", "-c", &format!("{FAMILY}\nwait")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_family_dies_when_its_supervising_process_is_killed() {
    let family = Family::new();
    let mut daemon = supervising_process(&family);
    family.complete().await;
    send(daemon.id(), Signal::KILL);
    daemon.wait().unwrap();
    family.mark.gone().await;
}

#[tokio::test]
async fn a_family_dies_when_its_supervising_process_is_killed_while_it_starts() {
    let family = Family::new();
    for milliseconds in 0..20 {
        let mut daemon = supervising_process(&family);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        send(daemon.id(), Signal::KILL);
        daemon.wait().unwrap();
    }
    family.mark.gone().await;
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
