//! Timeout, stall, cancellation and the grace between SIGTERM and SIGKILL.

use std::time::{Duration, Instant};

use mykeeper_supervise::{Activity, Exit, Limits};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::support::{
    Heard, LONG, Mark, eventually, parent, run, run_until, send, sh, start_heard, supervisor,
};

const SHORT: Duration = Duration::from_millis(300);

fn limits() -> Limits {
    Limits {
        grace: SHORT,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_killed_after_the_grace() {
    let heard = Heard::default();
    let spec = sh("trap '' TERM; echo ready; while :; do sleep 0.05; done").limits(limits());
    let child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    let before = Instant::now();
    let finished = child.stop().await.unwrap();
    assert_eq!((finished.exit, finished.raw), (Exit::Cancelled, None));
    assert!(before.elapsed() >= SHORT, "killed before the grace was over");
}

#[tokio::test]
async fn a_grace_of_nothing_kills_at_once() {
    let heard = Heard::default();
    let limits = Limits {
        grace: Duration::ZERO,
        ..Limits::default()
    };
    let spec = sh("trap 'echo caught' TERM; echo ready; while :; do sleep 0.05; done").limits(limits);
    let child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    assert_eq!(child.stop().await.unwrap().raw, None);
    assert!(!heard.has("caught"));
}

#[tokio::test]
async fn a_timeout_is_told_even_when_the_child_then_exits_with_0() {
    let limits = Limits {
        timeout: Some(SHORT),
        ..Limits::default()
    };
    let finished = run(sh("trap 'exit 0' TERM; while :; do sleep 0.05; done").limits(limits))
        .await
        .unwrap();
    assert_eq!(finished.exit, Exit::TimedOut { after: SHORT });
    assert!(finished.elapsed >= SHORT);
}

#[tokio::test]
async fn a_timeout_strikes_through_a_flood() {
    let limits = Limits {
        timeout: Some(SHORT),
        stall: Some(LONG),
        grace: SHORT,
    };
    let finished = run(sh("trap '' TERM; yes").limits(limits)).await.unwrap();
    assert_eq!(finished.exit, Exit::TimedOut { after: SHORT });
    assert!(finished.elapsed < LONG);
    assert!(finished.output_bytes > 0);
}

#[tokio::test]
async fn a_silent_child_stalls() {
    let limits = Limits {
        stall: Some(SHORT),
        ..limits()
    };
    let finished = run(sh("echo one; sleep 1000").limits(limits)).await.unwrap();
    assert_eq!(finished.exit, Exit::Stalled { after: SHORT });
}

#[tokio::test]
async fn a_stall_comes_after_output_and_outlives_a_closed_stdout() {
    let limits = Limits {
        stall: Some(SHORT),
        ..limits()
    };
    let finished = run(sh("exec >&- 2>&-; sleep 1000").limits(limits)).await.unwrap();
    assert_eq!(finished.exit, Exit::Stalled { after: SHORT });
}

#[tokio::test]
async fn output_on_either_stream_keeps_a_stall_away() {
    let limits = Limits {
        stall: Some(Duration::from_secs(3)),
        ..limits()
    };
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; echo $i; sleep 0.2; printf . >&2; done";
    let finished = run(sh(script).limits(limits)).await.unwrap();
    assert_eq!(finished.exit, Exit::Success);
    assert!(
        finished.elapsed > Duration::from_secs(3),
        "the run was too short to prove anything"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_touch_keeps_a_stall_away() {
    let limits = Limits {
        stall: Some(Duration::from_secs(2)),
        ..limits()
    };
    let activity = Activity::new();
    let touched = activity.clone();
    let touching = tokio::spawn(async move {
        loop {
            touched.touch();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let spec = sh("sleep 4").limits(limits);
    let finished = supervisor()
        .run(spec, CancellationToken::new(), activity, &mut |_, _| {})
        .await
        .unwrap();
    touching.abort();
    assert_eq!(finished.exit, Exit::Success);
}

#[tokio::test]
async fn an_activity_of_long_ago_does_not_stall_a_new_child() {
    let activity = Activity::new();
    tokio::time::sleep(SHORT).await;
    let limits = Limits {
        stall: Some(Duration::from_secs(3)),
        ..limits()
    };
    let spec = sh("sleep 0.1").limits(limits);
    let finished = supervisor()
        .run(spec, CancellationToken::new(), activity, &mut |_, _| {})
        .await
        .unwrap();
    assert_eq!(finished.exit, Exit::Success);
}

#[tokio::test]
async fn what_was_cancelled_before_its_start_ends_as_cancelled() {
    let mark = Mark::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let finished = run_until(mark.on(sh("sleep 1000")), cancel).await.unwrap();
    assert_eq!(finished.exit, Exit::Cancelled);
    mark.assert_gone();
}

#[tokio::test]
async fn the_shim_outlives_the_signals_a_service_manager_sends_to_all() {
    let heard = Heard::default();
    let spec = sh("trap 'echo caught' TERM; echo ready; while ! [ \"$done\" ]; do sleep 0.05; done")
        .limits(limits());
    let child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    let shim = parent(child.identity().pid);
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::HUP,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
    ] {
        send(shim, signal);
    }
    send(child.identity().pid, Signal::TERM);
    eventually("the child has caught its own signal", || heard.has("caught")).await;
    assert!(!child.has_exited());
    assert_eq!(child.stop().await.unwrap().exit, Exit::Cancelled);
}
