//! A disk that does not answer while sets are to be removed from it.

use super::*;
use mykeeper_daemon::disk::Disk;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use std::fs::File;
use std::time::Duration;

/// More questions than one mount may have open at a time: whoever asks then is told at once.
const QUESTIONS: usize = 9;

#[tokio::test]
async fn a_pass_over_a_disk_that_does_not_answer_removes_and_marks_nothing() {
    let mut stage = Stage::new("{ last = 1 }", "delete").await;
    Arc::get_mut(&mut stage.environment).unwrap().disk = Disk::answering_within(Duration::from_millis(300));
    let sets = [stage.set(7).await, stage.set(3).await, stage.set(0).await];
    // Who opens it to read hangs until somebody opens it to write.
    let pipe = stage.dir.path().join("data/hangs");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let ask = || {
        let opened = pipe.clone();
        let disk = &stage.environment.disk;
        async {
            disk.ask(("look at", &pipe), move || drop(File::open(opened)))
                .await
        }
    };
    for asked in futures::future::join_all((0..QUESTIONS).map(|_| ask())).await {
        asked.unwrap_err();
    }
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Failed, "{}", run.reason);
    let data = stage.dir.path().join("data").display().to_string();
    assert!(
        run.reason.contains("does not answer") && run.reason.contains(&data),
        "{}",
        run.reason
    );
    for (id, place) in &sets {
        assert!(place.join(MANIFEST_FILE).is_file());
        assert_eq!(stage.row(*id).await.deletion, Deletion::None);
    }
    // It answers again.
    rustix::fs::open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let answers = async {
        while stage.environment.disk.is_dir(stage.dir.path()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answers)
        .await
        .unwrap();
    std::fs::remove_file(&pipe).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    let there: Vec<bool> = sets.iter().map(|(_, place)| place.exists()).collect();
    assert_eq!(there, [false, false, true]);
}
