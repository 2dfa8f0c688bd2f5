//! A run of pybackup's command line that was killed, and that a daemon finds, whose files name neither job nor server.

use super::support::{Stage, left};
use super::{NIGHTLY, begin_dump};
use mykeeper_daemon::recovery::settle;
use mykeeper_daemon::state_dir::BEGUN_SET;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::run::{Run, RunState, Trigger};
use mykeeper_domain::{BackupId, JobName, SystemClock};
use std::path::Path;
use std::sync::Arc;

/// What is recorded of a set of which `note` was left.
async fn recorded(note: impl Fn(&Backup) -> Option<String>) -> (Backup, std::path::PathBuf) {
    let stage = Stage::new(NIGHTLY, Arc::new(SystemClock)).await;
    let engine = stage.engine();
    let killed = Run {
        job: JobName::new("pybackup localhost_3306").unwrap(),
        trigger: Trigger::Manual,
        slot_at: None,
        ..left(&stage, RunState::Running)
    };
    stage.environment.catalog.insert_run(&killed).await.unwrap();
    let set = BackupId::generate_as_pybackup();
    let dir = stage.dir.path().join("2017-11-15").join(set.to_string());
    std::fs::create_dir_all(&dir).unwrap();
    begin_dump(&stage, &killed, (set, &dir)).await;
    // As its own process would draft it.
    settle_once(&engine).await;
    let drafted = stage.environment.catalog.backup(set).await.unwrap().unwrap();
    let Some(text) = note(&drafted) else {
        return (drafted, dir);
    };
    let again = Run {
        id: mykeeper_domain::RunId::generate(),
        ..killed
    };
    stage.environment.catalog.insert_run(&again).await.unwrap();
    let other = BackupId::generate_as_pybackup();
    let dir = stage.dir.path().join("2017-11-16").join(other.to_string());
    std::fs::create_dir_all(&dir).unwrap();
    begin_dump(&stage, &again, (other, &dir)).await;
    let private = stage.environment.state.private_dir(again.id).unwrap();
    std::fs::write(
        private.path().join(BEGUN_SET),
        text.replace(&set.to_string(), &other.to_string()),
    )
    .unwrap();
    settle_once(&engine).await;
    (
        stage.environment.catalog.backup(other).await.unwrap().unwrap(),
        dir,
    )
}

async fn settle_once(engine: &mykeeper_daemon::Engine) {
    assert!(settle(engine).await.unwrap().is_empty());
}

#[tokio::test]
async fn its_row_says_what_its_own_process_would_have() {
    let (set, _) = recorded(|drafted| {
        let begun = Backup {
            tag: "国内平台从1".to_owned(),
            bk_server: "106.3.130.84".to_owned(),
            dir: Path::new("/data/backup_db/2017-11-15").to_owned(),
            databases: vec!["fandb".to_owned()],
            command: "mydumper --password=supersecrect database=fandb".to_owned(),
            reason: Some(String::new()),
            ..drafted.clone()
        };
        Some(serde_json::to_string(&begun).unwrap())
    })
    .await;
    assert_eq!(
        (set.tag.as_str(), set.bk_server.as_str(), set.databases.as_slice()),
        ("国内平台从1", "106.3.130.84", &["fandb".to_owned()][..])
    );
    assert_eq!(set.dir, Path::new("/data/backup_db/2017-11-15"));
    assert!(set.command.starts_with("mydumper"));
    assert!(!set.is_complete());
    assert!(
        set.reason
            .is_some_and(|reason| reason.contains("ended while it was dumped"))
    );
}

#[tokio::test]
async fn what_it_has_left_is_taken_for_nothing_where_it_is_half() {
    let (set, dir) = recorded(|_| Some("{\"id\":".to_owned())).await;
    assert_eq!(set.dir, dir);
    assert_eq!(set.tag, "pybackup localhost_3306");
}
