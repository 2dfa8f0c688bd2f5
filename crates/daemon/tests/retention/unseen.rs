//! Originals whose copies are not to be seen when they are about to go.

use super::*;
use mykeeper_domain::proof::Difference;
use mykeeper_domain::transfer::TransferPurpose;
use mykeeper_domain::verification::{LookedAtCopy, Verification, VerificationState};

/// A set that no rule keeps, which has arrived in a folder of this machine; the folder, and the set's in it.
async fn sent_to_a_folder(vault: &Path, more: &str) -> (Stage, (BackupId, PathBuf), PathBuf) {
    let destinations = format!("[destinations.vault]\nurl = {vault:?}\n{more}");
    let stage = Stage::set_up(&destinations, ("complete", "{ last = 1 }", "delete")).await;
    let (old, dir) = stage.owed(4, &["vault"]).await;
    stage.owed(0, &[]).await;
    let relative = dir.strip_prefix(stage.dir.path().join("data")).unwrap();
    let copy = vault.join(relative);
    let target = ("vault", copy.display().to_string());
    stage
        .ended_at(old, target, TransferPurpose::Send, RunState::Succeeded)
        .await;
    (stage, (old, dir), copy)
}

#[tokio::test]
async fn an_original_stays_while_the_folder_that_has_its_copy_is_not_mounted() {
    let disk = tempfile::tempdir().unwrap();
    let vault = disk.path().join("vault");
    let (stage, (old, dir), copy) = sent_to_a_folder(&vault, "").await;
    for is_empty in [false, true] {
        if is_empty {
            std::fs::create_dir(&vault).unwrap();
        }
        assert!(stage.told(old).await.contains("CopiesNotSeen"));
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Warned, "{}", run.reason);
        assert!(
            run.reason
                .contains("not to be seen in the folders that they were sent to"),
            "{}",
            run.reason
        );
        assert!(dir.join(MANIFEST_FILE).exists());
        assert_eq!(stage.row(old).await.deletion, Deletion::None);
    }
    // A folder is no copy, nor is one that lacks a file, or has half of one.
    std::fs::create_dir_all(copy.join("shop")).unwrap();
    assert!(stage.told(old).await.contains("CopiesNotSeen"));
    std::fs::remove_dir_all(&copy).unwrap();
    rebuilt::copy(&dir, &vault);
    for damage in ["", "xx"] {
        match damage {
            "" => std::fs::remove_file(copy.join(ORDERS)).unwrap(),
            longer => std::fs::write(copy.join(ORDERS), longer).unwrap(),
        }
        assert!(stage.told(old).await.contains("CopiesNotSeen"), "{damage:?}");
    }
    // The disk is back.
    std::fs::write(copy.join(ORDERS), "x").unwrap();
    let told = stage.told(old).await;
    let alone =
        "the original alone goes: it has arrived at vault, where it was last seen on 2026-11-22 07:30 UTC";
    assert!(told.ends_with(alone), "{told}");
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!dir.exists());
    assert_eq!(stage.row(old).await.deletion, Deletion::None, "its copy stays");
}

#[tokio::test]
async fn a_copy_that_is_not_to_be_seen_holds_no_original_that_has_arrived_elsewhere() {
    let disk = tempfile::tempdir().unwrap();
    let far = "[destinations.far]\nurl = \"backup@far.example:/sets\"\n";
    let (stage, (old, dir), _) = sent_to_a_folder(&disk.path().join("vault"), far).await;
    stage.arrived(old, "far").await;
    stage.prune().await;
    assert!(!dir.exists());
}

#[tokio::test]
async fn an_original_is_not_given_up_for_a_copy_that_was_looked_for_and_is_missing() {
    let far = "[destinations.far]\nurl = \"backup@far.example:/sets\"\n";
    let stage = Stage::set_up(far, ("complete", "{ last = 1 }", "delete")).await;
    let (old, dir) = stage.owed(4, &["far"]).await;
    stage.owed(0, &[]).await;
    stage.arrived(old, "far").await;
    stage.clock.advance(TimeDelta::minutes(1));
    let missing = Difference {
        database: String::new(),
        object: "set".into(),
        expected: "present".into(),
        found: "missing".into(),
    };
    let looked_for = LookedAtCopy {
        path: format!("/sets/{old}"),
        files: 0,
        bytes: 0,
        differences: vec![missing],
        more_differences: 0,
        strangers: Vec::new(),
        differs_since: None,
        read_at: None,
        is_gone: true,
    };
    let looked = Verification {
        bk_id: old,
        node: "far".parse().unwrap(),
        run_id: None,
        state: VerificationState::Differs,
        looked_at: stage.clock.now(),
        copies: vec![looked_for],
        unread: Vec::new(),
    };
    stage.catalog().record_verification(&looked).await.unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    assert!(run.reason.contains("differ or are missing"), "{}", run.reason);
    assert!(dir.join(MANIFEST_FILE).exists());
    // What is sent again is another copy than the one that was looked for.
    stage.clock.advance(TimeDelta::minutes(1));
    stage.arrived(old, "far").await;
    stage.prune().await;
    assert!(!dir.exists());
}

#[tokio::test]
async fn what_another_machine_read_in_the_folder_that_is_away_here_is_no_copy_and_elsewhere_is_while_it_lives()
 {
    let disk = tempfile::tempdir().unwrap();
    let (stage, (old, dir), copy) = sent_to_a_folder(&disk.path().join("vault"), "").await;
    stage.clock.advance(TimeDelta::minutes(1));
    stage.found("bh", (old, &copy), false).await;
    assert!(stage.told(old).await.contains("CopiesNotSeen"));
    stage.found("bh", (old, Path::new("/srv/sets/x")), false).await;
    let read_at = stage.clock.now();
    stage.clock.advance(TimeDelta::days(60));
    assert!(
        stage.told(old).await.contains("CopiesNotSeen"),
        "nobody has heard of it for long"
    );
    stage.clock.advance(read_at - stage.clock.now());
    stage.prune().await;
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_folder_whose_destination_has_another_name_now_or_none_is_looked_at_all_the_same() {
    let disk = tempfile::tempdir().unwrap();
    let vault = disk.path().join("vault");
    for name in ["store", ""] {
        let destinations = match name {
            "" => String::new(),
            name => format!("[destinations.{name}]\nurl = {vault:?}\n"),
        };
        let stage = Stage::set_up(&destinations, ("complete", "{ last = 1 }", "delete")).await;
        let (old, dir) = stage.owed(4, &["vault"]).await;
        stage.owed(0, &[]).await;
        let copy = vault.join(dir.strip_prefix(stage.dir.path().join("data")).unwrap());
        let target = ("vault", copy.display().to_string());
        stage
            .ended_at(old, target, TransferPurpose::Send, RunState::Succeeded)
            .await;
        assert!(stage.told(old).await.contains("CopiesNotSeen"), "{name}");
        assert_eq!(rebuilt::copy(&dir, &vault), copy);
        stage.prune().await;
        assert!(!dir.exists(), "{name}");
    }
}

#[tokio::test]
async fn a_set_whose_maker_is_not_certain_is_held_for_its_copies_as_well() {
    let disk = tempfile::tempdir().unwrap();
    let vault = disk.path().join("vault");
    let destinations = format!("[destinations.vault]\nurl = {vault:?}\n");
    let stage = Stage::set_up(&destinations, ("complete", "{ last = 1 }", "delete")).await;
    // As pybackup writes it: whose address it is nobody can tell.
    let anyones = |backup: &mut Backup| {
        (backup.node, backup.bk_server) = (None, "localhost".into());
        backup.transfer_complete = String::new();
    };
    let (old, dir) = stage.changed(4, anyones).await;
    stage.changed(0, anyones).await;
    let copy = vault.join(dir.strip_prefix(stage.dir.path().join("data")).unwrap());
    let target = ("vault", copy.display().to_string());
    stage
        .ended_at(old, target, TransferPurpose::Send, RunState::Succeeded)
        .await;
    std::fs::create_dir_all(&copy).unwrap();
    assert!(stage.told(old).await.contains("CopiesNotSeen"));
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    assert!(dir.join(MANIFEST_FILE).exists());
    std::fs::remove_dir(&copy).unwrap();
    rebuilt::copy(&dir, &vault);
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!dir.exists());
}
