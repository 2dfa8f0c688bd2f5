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
use support::{Stage, environment, load, settings};

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

/// Looked at before rsync is called, which would hang on it for as long as the job may run.
#[tokio::test]
async fn a_destination_whose_disk_hangs_is_told_of_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    drop(settings(&dir, "cron = \"0 4 * * *\""));
    let vault = dir.path().join("vault");
    std::fs::create_dir(&vault).unwrap();
    let keeper = dir.path().join("mykeeper.toml");
    let text = std::fs::read_to_string(&keeper).unwrap();
    std::fs::write(&keeper, format!("{text}[destinations.vault]\nurl = {vault:?}\n")).unwrap();
    std::fs::write(
        dir.path().join("schedule.toml"),
        "[transfer.catch-up]\ncron = \"0 4 * * *\"\ndestination = \"vault\"\nretry = { attempts = 1, delay = \"1s\" }\n",
    )
    .unwrap();
    let mut environment = environment(load(dir.path()), Arc::new(SystemClock)).await;
    Arc::get_mut(&mut environment).unwrap().disk = Disk::answering_within(Duration::from_millis(200));
    let stage = Stage { dir, environment };
    let job = stage.environment.settings().jobs.values().next().unwrap().clone();
    let finished = stage.engine().run_now(Arc::clone(&job)).await.unwrap();
    assert_eq!(finished.state, RunState::Succeeded, "{}", finished.reason);
    // As many as may ask one mount hang on it.
    let pipe = vault.join("hangs");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let disk = &stage.environment.disk;
    let hang = |_| {
        let opened = pipe.clone();
        disk.ask(("look at", &vault), move || drop(File::open(opened)))
    };
    let hanging = futures::future::join_all((0..20).map(hang)).await;
    assert!(hanging.iter().all(Result::is_err));
    let finished = stage.engine().run_now(job).await.unwrap();
    assert_eq!(finished.state, RunState::Failed, "{}", finished.reason);
    assert!(
        finished
            .reason
            .contains(&format!("cannot look at {}", vault.display()))
            && finished.reason.contains("does not answer"),
        "{}",
        finished.reason
    );
    rustix::fs::open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
}
