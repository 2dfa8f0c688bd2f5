//! A pass that takes its time: what changes while it removes one set counts for the next.

use super::*;
use mykeeper_catalog::BackupPath;
use mykeeper_daemon::removal::hold;
use std::time::Duration;

/// So many files take a while to be removed.
const MANY: usize = 6_000;

fn fill(place: &Path) {
    for number in 0..MANY {
        std::fs::write(place.join("shop").join(format!("{number}.sql")), "").unwrap();
    }
}

async fn set_aside(place: &Path) {
    let aside = aside(place);
    tokio::time::timeout(Duration::from_secs(60), async {
        while !aside.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn nothing_goes_for_the_sake_of_a_set_that_was_lost_since_the_pass_began() {
    for (require, lost) in [
        ("complete", "its folder"),
        ("complete", "its proof"),
        ("complete", "its mark"),
        // Nothing is proven here.
        ("validated", "its folder"),
    ] {
        let stage = Stage::requiring(require, "{ last = 1 }", "delete").await;
        let (newest, newest_place) = stage.set(0).await;
        let (_, slow) = stage.set(3).await;
        fill(&slow);
        let (id, place) = stage.set(7).await;
        let meddle = async {
            set_aside(&slow).await;
            match lost {
                "its folder" => std::fs::remove_dir_all(&newest_place).unwrap(),
                "its proof" => stage.prove(newest, false).await,
                _ => drop(stage.catalog().mark_deleting(newest, "by another").await.unwrap()),
            }
        };
        let (run, ()) = tokio::join!(stage.prune(), meddle);
        assert!(!slow.exists(), "{lost}");
        assert!(place.join(MANIFEST_FILE).is_file(), "{lost}: {}", run.reason);
        assert_eq!(stage.row(id).await.deletion, Deletion::None, "{lost}");
        assert_eq!(run.state, RunState::Warned, "{lost}: {}", run.reason);
        assert!(run.reason.contains("was to stay"), "{lost}: {}", run.reason);
    }
}

#[tokio::test]
async fn a_set_that_is_proven_while_the_pass_goes_on_stays() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    stage.set(0).await;
    let (_, slow) = stage.set(3).await;
    fill(&slow);
    let (id, place) = stage.set(7).await;
    let meddle = async {
        set_aside(&slow).await;
        stage.prove(id, true).await;
    };
    tokio::join!(stage.prune(), meddle);
    assert!(!slow.exists());
    assert!(place.join(MANIFEST_FILE).is_file());
    assert_eq!(stage.row(id).await.deletion, Deletion::None);
    stage.prune().await;
    assert!(place.is_dir(), "it is the last proven set");
}

#[tokio::test]
async fn a_set_whose_disk_goes_while_the_pass_goes_on_is_not_taken_for_removed() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    stage.set(0).await;
    let (_, slow) = stage.set(3).await;
    fill(&slow);
    let (id, place) = stage.set(7).await;
    let away = stage.dir.path().join("away");
    let meddle = async {
        set_aside(&slow).await;
        std::fs::rename(&place, &away).unwrap();
    };
    tokio::join!(stage.prune(), meddle);
    assert!(!slow.exists());
    assert_eq!(stage.row(id).await.deletion, Deletion::None);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::rename(&away, &place).unwrap();
    stage.prune().await;
    assert!(!place.exists());
}

#[tokio::test]
async fn a_run_that_is_ended_leaves_the_places_that_it_has_not_begun_with() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    stage.set(0).await;
    let (id, own) = stage.set(3).await;
    let copies = stage.dir.path().join("data/copies");
    let copied = rebuilt::copy(&own, &copies);
    fill(&copied);
    let path = BackupPath {
        id: 0,
        bk_server: "10.0.0.1".into(),
        remote_server: "127.0.0.1".into(),
        real_path: copies.display().to_string(),
        tag: "shop".into(),
        is_offline: false,
    };
    stage.catalog().add_path(&path).await.unwrap();
    let engine = Engine::for_foreground(Arc::clone(&stage.environment), None);
    let end = async {
        set_aside(&copied).await;
        engine.end_runs();
    };
    let (run, ()) = tokio::join!(engine.run_now(stage.job()), end);
    let run = run.unwrap();
    assert!(!run.state.is_success(), "{}", run.reason);
    assert!(!copied.exists(), "what was begun is not left half done");
    assert!(own.join(MANIFEST_FILE).is_file(), "{}", run.reason);
    let row = stage.row(id).await;
    assert_eq!(row.deletion, Deletion::Deleting);
    assert!(row.deletion_reason.unwrap().contains("the run was ended before"));
    stage.prune().await;
    assert!(!own.exists());
}

#[test]
fn a_removal_that_nobody_waits_for_any_more_keeps_its_lock_to_its_end() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stage, slow) = runtime.block_on(async {
        let stage = Arc::new(Stage::new("{ last = 1 }", "delete").await);
        stage.set(0).await;
        let (_, slow) = stage.set(3).await;
        fill(&slow);
        (stage, slow)
    });
    let pruned = Arc::clone(&stage);
    runtime.spawn(async move { pruned.prune().await });
    runtime.block_on(set_aside(&slow));
    runtime.shutdown_background();
    let mut looks = 0;
    loop {
        let held = hold(std::slice::from_ref(&slow));
        if !aside(&slow).exists() {
            break;
        }
        assert!(held.is_none(), "another pass could begin after {looks} looks");
        looks += 1;
    }
    assert!(looks > 0, "the test was too slow");
}
