//! A disk that hangs: the run that needs it fails and says so, and holds up no other.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[expect(dead_code, reason = "what these tests share with others")]
mod support;

use mykeeper_daemon::disk::Disk;
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::JobReport;
use mykeeper_domain::SystemClock;
use mykeeper_domain::job::Job;
use mykeeper_domain::run::RunState;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Stage, environment, settings};

#[tokio::test]
async fn a_run_whose_disk_hangs_fails_with_its_path_and_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(
        &dir,
        "cron = \"0 4 * * *\"\nretry = { attempts = 1, delay = \"1s\" }",
    );
    let mut environment = environment(settings, Arc::new(SystemClock)).await;
    Arc::get_mut(&mut environment).unwrap().disk = Disk::answering_within(Duration::from_millis(300));
    let stage = Stage { dir, environment };
    // Who opens it to read hangs until somebody opens it to write.
    let pipe = stage.dir.path().join("data/hangs");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let asked = pipe.clone();
    let work: Work = Box::new(move |context| {
        Box::pin(async move {
            let opened = asked.clone();
            context
                .ask_disk(("look at", &asked), move || drop(File::open(opened)))
                .await?;
            Ok(JobReport::done("it answered", None))
        })
    });
    let hanging = Arc::new(Job {
        name: "hanging".parse().unwrap(),
        ..Job::clone(&stage.job())
    });
    let finished = stage.engine().do_now(hanging, work).await.unwrap();
    assert_eq!(finished.state, RunState::Failed, "{}", finished.reason);
    let told = format!("cannot look at {}: the file system at ", pipe.display());
    assert!(
        finished.reason.starts_with(&told) && finished.reason.contains("does not answer"),
        "{}",
        finished.reason
    );
    // It hangs on; a retention job that looks through the same folder does not wait for it.
    let began = Instant::now();
    let finished = stage.engine().run_now(stage.job()).await.unwrap();
    assert_eq!(finished.state, RunState::Succeeded, "{}", finished.reason);
    assert!(began.elapsed() < Duration::from_secs(10));
    // The thread goes, or the runtime would wait for it.
    rustix::fs::open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
}
