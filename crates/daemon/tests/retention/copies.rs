//! What a pass says of a set of which it has removed one copy, and another one stays, or may.

use super::*;
use mykeeper_catalog::BackupPath;
use mykeeper_domain::verification::{Verification, VerificationState};

const CENTRAL: &str =
    "[servers.central]\nhost = \"198.51.100.7\"\nuser = \"u\"\ntag = \"shop\"\naddress = \"10.0.0.9\"\n";

impl Stage {
    /// A set that another node has made and sent here, so many days old: its copy lies in the job's directory.
    async fn copy(&self, days_old: i64, change: impl FnOnce(&mut Backup)) -> (BackupId, PathBuf) {
        let started_at = self.clock.now() - TimeDelta::days(days_old);
        let (mut backup, manifest, evidence) = self.set_on_disk(started_at).await;
        let place = backup.folder();
        backup.node = Some("maker".parse().unwrap());
        backup.dir = Path::new("/elsewhere").join(place.strip_prefix(self.dir.path()).unwrap());
        backup.transfer_complete = "Y".into();
        change(&mut backup);
        let catalog = self.catalog();
        assert!(
            catalog
                .insert_backup(&backup, &manifest, &evidence)
                .await
                .unwrap()
        );
        let path = BackupPath {
            id: 0,
            bk_server: backup.bk_server.clone(),
            remote_server: "n1".into(),
            real_path: self.dir.path().join("data").display().to_string(),
            tag: backup.tag.clone(),
            is_offline: false,
        };
        if catalog.paths().await.unwrap().is_empty() {
            catalog.add_path(&path).await.unwrap();
        }
        (backup.id, place)
    }

    /// The node has looked and found nothing of the set.
    async fn found_nothing(&self, node: &str, id: BackupId) {
        let found = Verification {
            bk_id: id,
            node: node.parse().unwrap(),
            run_id: None,
            state: VerificationState::AsWritten,
            looked_at: self.clock.now(),
            copies: Vec::new(),
            unread: Vec::new(),
        };
        self.catalog().record_verification(&found).await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_that_goes_first_does_not_cost_the_set_its_original() {
    for action in ["delete", "mark"] {
        let stage = Stage::new("{ last = 1 }", action).await;
        let (kept, place) = stage.copy(3, |_| {}).await;
        let gone_at = stage.clock.now() - TimeDelta::days(1);
        let (alone, _) = stage
            .copy(2, |backup| backup.original_gone_at = Some(gone_at))
            .await;
        stage
            .catalog()
            .mark_original_gone(alone, "older", gone_at)
            .await
            .unwrap();
        stage.copy(0, |_| {}).await;
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
        assert_eq!(place.exists(), action == "mark");
        let row = stage.row(kept).await;
        assert_eq!(
            (row.deletion, row.original_gone_at),
            (Deletion::None, None),
            "{action}: {row:?}"
        );
        assert_eq!(
            stage.row(alone).await.deletion,
            Deletion::Deleted,
            "{action}: nothing stays"
        );
        // The maker can tell that its original is the last of it; and it is said once, wherever the folder lies about.
        let looks = stage.catalog().verifications(kept).await.unwrap();
        let [look] = &looks[..] else {
            panic!("{looks:?}");
        };
        assert_eq!((look.node.as_str(), look.copies.len()), ("n1", 0));
        stage.clock.advance(TimeDelta::minutes(1));
        stage.prune().await;
        assert_eq!(stage.catalog().verifications(kept).await.unwrap(), looks);
        assert_eq!(stage.row(kept).await, row);
        // Nor is a set kept for a maker that has long been gone.
        stage.clock.advance(TimeDelta::days(31));
        let (late, _) = stage.copy(32, |_| {}).await;
        stage.prune().await;
        assert_eq!(stage.row(late).await.deletion, Deletion::Deleted, "{action}");
    }
}

#[tokio::test]
async fn an_original_whose_copy_went_first_is_the_last_of_its_set() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let mut sets = Vec::new();
    for days_old in [3, 2, 0] {
        let started_at = stage.clock.now() - TimeDelta::days(days_old);
        let (mut backup, manifest, evidence) = stage.set_on_disk(started_at).await;
        backup.transfer_complete = "Y".into();
        let catalog = stage.catalog();
        catalog
            .insert_backup(&backup, &manifest, &evidence)
            .await
            .unwrap();
        sets.push(backup.id);
    }
    stage.found_nothing("vault1", sets[0]).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert_eq!(stage.row(sets[0]).await.deletion, Deletion::Deleted);
    let other = stage.row(sets[1]).await;
    assert_eq!(
        (other.deletion, other.original_gone_at.is_some()),
        (Deletion::None, true)
    );
}

#[tokio::test]
async fn an_original_that_was_dumped_over_the_network_does_not_cost_the_set_its_copy() {
    let stage = Stage::with_servers(CENTRAL, "{ last = 1 }", "delete").await;
    let mut rows = Vec::new();
    for (address, days_old) in [("10.0.0.9", 3), ("", 2), ("10.0.0.9", 0)] {
        let started_at = stage.clock.now() - TimeDelta::days(days_old);
        let (mut backup, manifest, evidence) = stage.set_on_disk(started_at).await;
        (backup.node, backup.job) = (None, None);
        backup.bk_server = address.into();
        backup.transfer_complete = "N,N,Y".into();
        let catalog = stage.catalog();
        catalog
            .insert_backup(&backup, &manifest, &evidence)
            .await
            .unwrap();
        rows.push((backup.id, backup.folder()));
    }
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    for (id, place) in &rows[..2] {
        assert!(!place.exists());
        let row = stage.row(*id).await;
        assert_eq!(
            (row.deletion, row.original_gone_at.is_some()),
            (Deletion::None, true),
            "{row:?}"
        );
    }
}
