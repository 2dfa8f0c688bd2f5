//! Disks that are changed in turn, folders that were used before their disk was mounted, and sets that somebody else removed.

use super::*;

impl Stage {
    /// Says, as a person does, that what is at `data` now is the right folder.
    fn tell(&self) {
        std::fs::write(self.dir.path().join("data/.mykeeper"), "").unwrap();
    }

    fn note_covered(&self, id: BackupId) {
        let folder = self.environment.state.root().join("covered");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(id.to_string()), "").unwrap();
    }
}

#[tokio::test]
async fn a_set_that_was_seen_on_another_disk_too_is_not_deleted_with_the_one_that_is_here() {
    for action in ["delete", "mark"] {
        let stage = Stage::new("{ last = 1 }", action).await;
        let data = stage.dir.path().join("data");
        let (old, place) = stage.set(9).await;
        assert_eq!(stage.prune().await.state, RunState::Succeeded);
        stage.change_disks("a", None);
        stage.tell();
        let (newer, _) = stage.set(7).await;
        stage.prune().await;
        // A person copies from one disk to the other.
        let relative = place.strip_prefix(&data).unwrap();
        rebuilt::copy(&stage.dir.path().join("a").join(relative), &data);
        let run = stage.prune().await;
        assert!(stage.are_there(&[old, newer]).await, "{}", run.reason);
        let told = "the copy alone of 1 set";
        assert!(run.reason.contains(told), "{}", run.reason);
        if action == "mark" {
            continue;
        }
        assert!(!place.exists());

        // On the disk that is in now it is judged, and goes from there, too.
        stage.change_disks("b", Some("a"));
        assert!(place.is_dir());
        stage.set(1).await;
        let run = stage.prune().await;
        assert!(!place.exists(), "{}", run.reason);
        assert_eq!(stage.row(old).await.deletion, Deletion::Deleted, "{}", run.reason);
    }
}

#[tokio::test]
async fn a_set_below_a_mount_point_is_not_given_up_by_the_word_that_the_folder_is_the_right_one() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    stage.set(9).await;
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    stage.change_disks("a", None);
    let (id, place) = stage.set(8).await;
    stage.note_covered(id);
    stage.change_disks("bare", Some("a"));
    let run = stage.prune().await;
    assert!(
        run.reason.contains("lies below its mount point"),
        "{}",
        run.reason
    );
    // Then as every warning says, while the disk is out.
    stage.change_disks("a", Some("bare"));
    stage.tell();
    assert_eq!(stage.prune().await.state, RunState::Warned);
    stage.change_disks("bare", Some("a"));
    for _ in 0..2 {
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Warned, "{}", run.reason);
        assert!(run.reason.contains("1 set that should lie in "), "{}", run.reason);
        assert!(stage.are_there(&[id]).await, "{}", run.reason);
        assert!(!place.exists() && stage.dir.path().join("bare").is_dir());
    }
}

#[tokio::test]
async fn a_mount_point_that_was_used_before_its_disk_was_is_missed_without_it() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    stage.set(9).await;
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    // A disk is bought, and mounted there.
    stage.change_disks("bare", None);
    stage.tell();
    let (newest, _) = stage.set(8).await;
    stage.prune().await;
    assert_eq!(stage.absent().await, None);
    // One night it is not.
    stage.change_disks("disk", Some("bare"));
    let told = stage.absent().await.unwrap();
    assert!(told.starts_with("1 set that should lie in "), "{told}");
    assert!(
        told.contains("which was seen on another disk: is its disk mounted?"),
        "{told}"
    );
    // What was given up is missed by nobody.
    stage
        .catalog()
        .mark_deleted(newest, "by hand", stage.clock.now())
        .await
        .unwrap();
    assert_eq!(stage.absent().await, None);
}

#[tokio::test]
async fn what_somebody_else_has_removed_is_not_said_to_be_removed_by_the_pass() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (old, place) = stage.set(9).await;
    stage.set(1).await;
    std::fs::remove_dir_all(place).unwrap();
    let run = stage.prune().await;
    let told =
        "1 set kept, 0 removed and marked as deleted, 1 set of which nothing was here any more noted as gone";
    assert!(run.reason.ends_with(told), "{}", run.reason);
    assert_eq!(stage.row(old).await.deletion, Deletion::Deleted);
}

#[tokio::test]
async fn a_proven_set_of_a_disk_that_was_given_up_takes_no_seat_from_one_that_lies_here() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (here, place) = stage.owed(9, &["vault"]).await;
    stage.arrived(here, "vault").await;
    stage.prove(here, true).await;
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    stage.change_disks("a", None);
    stage.tell();
    let (lost, _) = stage.owed(7, &["vault"]).await;
    stage.arrived(lost, "vault").await;
    stage.prove(lost, true).await;
    stage.prune().await;
    stage.change_disks("b", Some("a"));
    let run = stage.prune().await;
    let (_, command) = run.reason.split_once("give up what is not here: ").unwrap();
    let command = command.split_once("; none of them").unwrap().0;
    let ended = std::process::Command::new("sh").args(["-c", command]).status();
    assert!(ended.unwrap().success(), "{command}");
    // A newer one, which nobody has proven.
    stage.set(1).await;
    let run = stage.prune().await;
    assert!(place.is_dir(), "{}", run.reason);
    assert!(stage.told(here).await.contains("NewestProven"));
}
