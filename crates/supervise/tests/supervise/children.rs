//! One child: its start, its end, its handle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use mykeeper_supervise::{Activity, ChildSpec, Exit, ShimCommand, SuperviseError};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{
    Heard, LONG, Mark, args, eventually, own_zombies, run, run_until, run_with, send, sh, start, start_heard,
    start_until, supervisor,
};

#[tokio::test]
async fn a_child_that_succeeds_is_a_success() {
    let finished = run(ChildSpec::new("true")).await.unwrap();
    assert_eq!(
        (finished.exit, finished.raw, finished.leftovers),
        (Exit::Success, Some(0), 0)
    );
    assert!(finished.elapsed < LONG);
}

#[tokio::test]
async fn an_exit_code_is_kept() {
    let finished = run(sh("exit 42")).await.unwrap();
    assert_eq!(
        (finished.exit, finished.raw),
        (Exit::Failed { code: 42 }, Some(42))
    );
}

#[tokio::test]
async fn a_tool_that_exits_127_was_found() {
    assert_eq!(
        run(sh("exit 127")).await.unwrap().exit,
        Exit::Failed { code: 127 }
    );
}

#[tokio::test]
async fn a_signal_from_elsewhere_is_told() {
    let finished = run(sh("kill -SEGV $$")).await.unwrap();
    assert_eq!(
        (finished.exit, finished.raw),
        (Exit::Signaled { signal: 11 }, None)
    );
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    for program in ["no-such-program-anywhere", "/no/such/program"] {
        let error = run(ChildSpec::new(program)).await.unwrap_err();
        assert!(
            matches!(&error, SuperviseError::NotFound { program: named } if named == Path::new(program)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_told_from_a_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = run(ChildSpec::new(&file)).await.unwrap_err();
    assert!(
        matches!(&error, SuperviseError::NotExecutable { program, .. } if *program == file),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_entered_is_told_from_a_missing_program() {
    let error = run(ChildSpec::new("true").current_dir("/no/such/folder"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SuperviseError::WorkingFolder { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_shim_that_is_missing_is_an_error() {
    let shim = ShimCommand {
        program: "/no/such/shim".into(),
        args: Vec::new(),
    };
    let error = run_with(shim, ChildSpec::new("true")).await.unwrap_err();
    assert!(matches!(error, SuperviseError::Shim { .. }), "{error:?}");
}

#[tokio::test]
async fn a_shim_that_is_none_is_lost() {
    for (program, first) in [("true", ""), ("echo", "nonsense")] {
        let shim = ShimCommand {
            program: program.into(),
            args: args([first]),
        };
        let error = run_with(shim, ChildSpec::new("true")).await.unwrap_err();
        assert!(
            matches!(error, SuperviseError::ShimLost { pid: None, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn no_zombie_remains() {
    for _ in 0..5 {
        run(sh("sleep 0 & exit 3")).await.unwrap();
        run(ChildSpec::new("no-such-program-anywhere")).await.unwrap_err();
    }
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_children_run_at_once() {
    let children: Vec<_> = (0..50)
        .map(|code| tokio::spawn(run(sh(&format!("sleep 0.2; exit {code}")))))
        .collect();
    for (code, child) in children.into_iter().enumerate() {
        let finished = child.await.unwrap().unwrap();
        assert_eq!(finished.raw, Some(i32::try_from(code).unwrap()));
    }
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test]
async fn the_identity_is_announced_while_the_child_runs() {
    let (sender, mut receiver) = watch::channel(None);
    let cancel = CancellationToken::new();
    let child = tokio::spawn(run_until(sh("sleep 1000").announce_to(sender), cancel.clone()));
    let identity = receiver.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(identity.is_alive());
    cancel.cancel();
    let finished = child.await.unwrap().unwrap();
    assert_eq!(finished.started, identity);
    assert!(!identity.is_alive());
}

#[tokio::test]
async fn a_handle_shows_the_child_and_stops_it() {
    let heard = Heard::default();
    let spec = sh("trap 'echo stopping; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    let child = start_heard(spec, &heard).await;
    eventually("the child is ready", || heard.has("ready")).await;
    let identity = child.identity().clone();
    assert!(identity.is_alive() && !child.has_exited());
    let finished = child.stop().await.unwrap();
    assert_eq!((finished.exit, finished.raw), (Exit::Cancelled, Some(5)));
    assert!(heard.has("stopping"), "output while stopping is lost");
    assert!(!identity.is_alive());
}

#[tokio::test]
async fn a_handle_can_be_waited_for_again_and_again() {
    let spec = sh("exit 6");
    let mut child = start(spec).await;
    child.exited().await;
    assert!(child.has_exited());
    for _ in 0..2 {
        assert_eq!(child.wait().await.unwrap().exit, Exit::Failed { code: 6 });
    }
    assert_eq!(child.stop().await.unwrap().exit, Exit::Failed { code: 6 });
}

#[tokio::test]
async fn a_wait_that_was_dropped_costs_nothing() {
    let mut child = start(sh("sleep 0.3; exit 7")).await;
    while tokio::time::timeout(Duration::from_millis(1), child.wait())
        .await
        .is_err()
    {}
    assert_eq!(child.wait().await.unwrap().exit, Exit::Failed { code: 7 });
}

#[tokio::test]
async fn a_handle_obeys_the_token_it_was_started_with() {
    let cancel = CancellationToken::new();
    let mut child = start_until(sh("sleep 1000"), &cancel).await;
    cancel.cancel();
    assert_eq!(child.wait().await.unwrap().exit, Exit::Cancelled);
}

#[tokio::test]
async fn a_dropped_handle_ends_the_child_at_once() {
    let mark = Mark::new();
    let spec = mark.on(sh("sleep 1000 & sleep 1000"));
    let child = start(spec).await;
    mark.at_least(4).await;
    let before = Instant::now();
    drop(child);
    assert!(before.elapsed() < Duration::from_secs(1), "dropping blocked");
    mark.gone().await;
    eventually("no zombie is left", || own_zombies().is_empty()).await;
}

#[tokio::test]
async fn a_panic_in_the_callers_closure_ends_the_child() {
    let mark = Mark::new();
    let spec = mark.on(sh("echo now; sleep 1000"));
    let ear = Box::new(|_, _: &[u8]| panic!("on purpose"));
    let mut child = supervisor()
        .start(spec, CancellationToken::new(), Activity::new(), ear)
        .await
        .unwrap();
    let error = child.wait().await.unwrap_err();
    assert!(matches!(error, SuperviseError::Unwatched { .. }), "{error:?}");
    assert!(child.has_exited());
    mark.gone().await;
}

#[tokio::test]
async fn a_runtime_that_shuts_down_ends_the_child() {
    let mark = Mark::new();
    let spec = mark.on(sh("sleep 1000"));
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let child = runtime.block_on(start(spec));
        let alive = child.identity().is_alive();
        drop(runtime);
        alive
    });
    assert!(elsewhere.join().unwrap());
    mark.gone().await;
}

#[tokio::test]
async fn a_stopped_process_is_ended_too() {
    let cancel = CancellationToken::new();
    let mut child = start_until(sh("sleep 1000"), &cancel).await;
    send(child.identity().pid, Signal::STOP);
    let before = Instant::now();
    cancel.cancel();
    let finished = child.wait().await.unwrap();
    assert_eq!((finished.exit, finished.raw), (Exit::Cancelled, None));
    assert!(
        before.elapsed() < Duration::from_secs(9),
        "SIGTERM waited for SIGKILL"
    );
}
