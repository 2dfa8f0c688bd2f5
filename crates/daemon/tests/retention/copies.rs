//! What a pass says of a set of which it has removed one copy, and another one stays, or may.

use super::*;
use mykeeper_catalog::BackupPath;
use mykeeper_daemon::jobs::verify::look_here;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::removal::{Remainder, SetRemoval};
use mykeeper_domain::run::RunEnd;
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::verification::{Verification, VerificationState};

const CENTRAL: &str =
    "[servers.central]\nhost = \"198.51.100.7\"\nuser = \"u\"\ntag = \"shop\"\naddress = \"10.0.0.9\"\n";

impl Stage {
    /// A set that another node has made and sent here, so many days old: its copy lies in the job's directory.
    pub(super) async fn copy(&self, days_old: i64, change: impl FnOnce(&mut Backup)) -> (BackupId, PathBuf) {
        let started_at = self.clock.now() - TimeDelta::days(days_old);
        let (mut backup, manifest, evidence) = self.set_on_disk(started_at).await;
        let place = backup.folder();
        backup.node = Some("maker".parse().unwrap());
        backup.dir = Path::new("/elsewhere").join(place.strip_prefix(self.dir.path()).unwrap());
        (backup.transfer_complete, backup.remote_dest) = ("Y".into(), "x@n1::data".into());
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
        stage.removed(alone, ("maker", "/elsewhere"), gone_at).await;
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
        let removals = stage.catalog().removals(kept).await.unwrap();
        let [removal] = &removals[..] else {
            panic!("{removals:?}");
        };
        assert_eq!(
            (removal.node.as_str(), Path::new(&removal.path)),
            ("n1", place.as_path())
        );
        stage.clock.advance(TimeDelta::minutes(1));
        stage.prune().await;
        assert_eq!(stage.catalog().removals(kept).await.unwrap(), removals);
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
        (backup.transfer_complete, backup.remote_dest) = ("Y".into(), "x@vault1::data".into());
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

impl Stage {
    /// A machine has removed a folder of the set; the original, where its maker has.
    pub(super) async fn removed(&self, id: BackupId, (node, path): (&str, &str), removed_at: DateTime<Utc>) {
        let removal = SetRemoval {
            bk_id: id,
            node: node.parse().unwrap(),
            run_id: None,
            paths: vec![path.to_owned()],
            removed_at,
            why: "older".to_owned(),
            remainder: match node {
                "maker" => Remainder::Copy,
                _ => Remainder::Another,
            },
            cleared: Vec::new(),
        };
        self.catalog().record_removal(&removal).await.unwrap();
    }

    /// Whether every copy that anyone has read and nobody removed since differs.
    async fn is_damaged(&self, id: BackupId) -> bool {
        let damages = self.catalog().damages(Some(&[id])).await.unwrap();
        damages.get(&id).is_some_and(Damage::is_of_every_copy)
    }

    /// The set of this machine has arrived at a destination, and nobody has read it there.
    pub(super) async fn sent_to(&self, id: BackupId, there: (&str, &str)) {
        self.sent_by("n1", id, there).await;
    }

    /// The same of a set of whichever machine.
    pub(super) async fn sent_by(&self, node: &str, id: BackupId, (destination, target): (&str, &str)) {
        let transfer = Transfer {
            id: AttemptId::generate(),
            run_id: None,
            bk_id: id,
            node: node.parse().unwrap(),
            destination: destination.parse().unwrap(),
            target: target.to_owned(),
            number: 1,
            purpose: TransferPurpose::Send,
            state: RunState::Running,
            reason: None,
            sent_bytes: None,
            started_at: self.clock.now(),
            finished_at: None,
        };
        let end = RunEnd {
            state: RunState::Succeeded,
            reason: None,
            bk_id: Some(id),
            finished_at: self.clock.now(),
        };
        let catalog = self.catalog();
        catalog.start_transfer(&transfer, "").await.unwrap();
        catalog.finish_transfer(transfer.id, &end, None).await.unwrap();
    }

    /// Sets that a transfer job would compare at a destination, some time later.
    async fn compared(&self, destination: &str) -> Vec<BackupId> {
        self.compared_by("n1", destination).await
    }

    /// The same of whichever machine.
    pub(super) async fn compared_by(&self, node: &str, destination: &str) -> Vec<BackupId> {
        let (node, destination) = (node.parse().unwrap(), destination.parse().unwrap());
        let later = self.clock.now() + TimeDelta::days(9);
        let due = self
            .catalog()
            .due_verifications(&node, &destination, later, 9)
            .await;
        due.unwrap().into_iter().map(|backup| backup.id).collect()
    }
}

#[tokio::test]
async fn a_machine_that_had_a_copy_of_the_copy_says_nothing_of_the_destination() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, _) = stage.set(3).await;
    stage.set(0).await;
    stage.sent_to(id, ("vault", "rsync://vault1/sets/x")).await;
    stage.clock.advance(TimeDelta::minutes(1));
    // It had fetched the set.
    stage.found_nothing("n3", id).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    let row = stage.row(id).await;
    assert_eq!(
        (row.deletion, row.original_gone_at.is_some()),
        (Deletion::None, true)
    );
}

#[tokio::test]
async fn a_copy_that_goes_hides_no_other_of_its_machine_that_nobody_has_read() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place) = stage.copy(3, |_| {}).await;
    stage.copy(0, |_| {}).await;
    let mirror = stage.dir.path().join("mirror");
    let other = mirror.join(place.strip_prefix(stage.dir.path().join("data")).unwrap());
    std::fs::create_dir_all(other.join("shop")).unwrap();
    for file in [ORDERS, MANIFEST_FILE] {
        std::fs::copy(place.join(file), other.join(file)).unwrap();
    }
    let known = stage.catalog().paths().await.unwrap().remove(0);
    let path = BackupPath {
        id: 0,
        real_path: mirror.display().to_string(),
        ..known
    };
    stage.catalog().add_path(&path).await.unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!place.exists() && other.is_dir());
    let looks = stage.catalog().verifications(id).await.unwrap();
    assert!(!looks.iter().any(Verification::has_seen_nothing), "{looks:?}");
    assert_eq!(stage.row(id).await.deletion, Deletion::None);
}

#[tokio::test]
async fn a_copy_that_retention_has_removed_is_neither_compared_nor_sent_again() {
    let stage = Stage::with_vault("{ last = 1 }").await;
    let own = stage.dir.path().join("own");
    let mut sets = Vec::new();
    for days_old in [3, 0] {
        let started_at = stage.clock.now() - TimeDelta::days(days_old);
        let (mut backup, manifest, evidence) = stage.set_on_disk(started_at).await;
        let copy = backup.folder();
        // The original lies outside the job's directory, which is that of the destination.
        backup.dir = own.join(copy.strip_prefix(stage.dir.path().join("data")).unwrap());
        std::fs::create_dir_all(backup.dir.join("shop")).unwrap();
        for file in [ORDERS, MANIFEST_FILE] {
            std::fs::copy(copy.join(file), backup.dir.join(file)).unwrap();
        }
        backup.transfer_to = vec!["vault".parse().unwrap()];
        let catalog = stage.catalog();
        catalog
            .insert_backup(&backup, &manifest, &evidence)
            .await
            .unwrap();
        stage
            .sent_to(backup.id, ("vault", &copy.display().to_string()))
            .await;
        sets.push((backup.id, copy, backup.folder()));
    }
    assert_eq!(stage.compared("vault").await.len(), 2);
    stage.found("n1", (sets[0].0, &sets[0].1), false).await;
    stage.clock.advance(TimeDelta::minutes(1));
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!sets[0].1.exists() && sets[0].2.is_dir() && sets[1].1.is_dir());
    assert_eq!(stage.row(sets[0].0).await.deletion, Deletion::None);
    assert_eq!(stage.compared("vault").await, [sets[1].0]);
    let (node, vault) = (&stage.environment.node, "vault".parse().unwrap());
    let pending = stage
        .catalog()
        .pending_transfers(node, &vault, (None, 9))
        .await
        .unwrap()
        .sets;
    assert!(pending.is_empty(), "{pending:?}");
    let row = stage.row(sets[0].0).await;
    assert_eq!(
        row.owed_to().next(),
        None,
        "what was removed holds no original back"
    );
    assert_eq!(row.removed_from, [vault]);
    // Nor is it missed; what another machine has removed of a folder that both have mounted is not either.
    let missed = async |id| {
        let row = stage.row(id).await;
        look_here(&stage.environment, &row).await.unwrap().gone.len()
    };
    assert_eq!(missed(sets[0].0).await, 0);
    let (id, copy, _) = &sets[1];
    stage.found("n1", (*id, copy), false).await;
    std::fs::remove_dir_all(copy).unwrap();
    assert_eq!(missed(*id).await, 1);
    let shown = copy.display().to_string();
    stage.removed(*id, ("other", &shown), stage.clock.now()).await;
    assert_eq!(missed(*id).await, 0);
}

#[tokio::test]
async fn what_another_machine_has_removed_is_not_sent_there_for_ever() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let (id, _) = stage.set(3).await;
    stage.sent_to(id, ("vault", "rsync://sets.example.com/m/x")).await;
    assert_eq!(stage.compared("vault").await, [id]);
    stage.clock.advance(TimeDelta::minutes(1));
    // Its retention has told of what it removed; which destination that was, is not known here.
    stage.removed(id, ("other", "/m/x"), stage.clock.now()).await;
    assert_eq!(stage.compared("vault").await, [] as [BackupId; 0]);
    // Whatever it reads of its other folders since.
    stage.clock.advance(TimeDelta::minutes(1));
    stage.found("other", (id, Path::new("/mirror/x")), false).await;
    assert_eq!(stage.compared("vault").await, [] as [BackupId; 0]);
    // A person has sent it again.
    stage.sent_to(id, ("vault", "rsync://sets.example.com/m/x")).await;
    assert_eq!(stage.compared("vault").await, [id]);
}

#[tokio::test]
async fn an_original_that_was_removed_does_not_make_up_for_a_copy_that_differs() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place) = stage.set(3).await;
    stage.set(0).await;
    stage.sent_to(id, ("vault", "rsync://other/cc/x")).await;
    stage.found("n1", (id, &place), false).await;
    stage.clock.advance(TimeDelta::minutes(1));
    stage.prune().await;
    assert!(!place.exists() && stage.row(id).await.original_gone_at.is_some());
    stage.found("other", (id, Path::new("/cc/x")), true).await;
    assert!(stage.is_damaged(id).await);
}

#[tokio::test]
async fn a_machine_that_knows_one_of_its_folders_speaks_for_no_other_destination_of_its_address() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let gone_at = stage.clock.now() - TimeDelta::days(1);
    let mut sets = Vec::new();
    for days_old in [4, 3, 0] {
        let (id, place) = stage
            .copy(days_old, |backup| backup.original_gone_at = Some(gone_at))
            .await;
        stage.sent_to(id, ("near", "rsync://n1/near/x")).await;
        stage.sent_to(id, ("vault", "rsync://n1/cc/x")).await;
        stage.found("n1", (id, &place), false).await;
        sets.push(id);
    }
    // Of this one the other went before.
    stage.clock.advance(TimeDelta::minutes(1));
    stage.removed(sets[1], ("n1", "/cc/x"), stage.clock.now()).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    let row = stage.row(sets[0]).await;
    assert_eq!((row.deletion, row.removed_from), (Deletion::None, vec![]));
    assert_eq!(stage.row(sets[1]).await.deletion, Deletion::Deleted);
}

#[tokio::test]
async fn a_removal_that_was_not_recorded_is_recorded_by_the_next_pass_of_its_job() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let mut sets = Vec::new();
    for node in ["n1", "n2"] {
        let (id, place) = stage.copy(3, |_| {}).await;
        let mark = format!("retention job prune on {node}: older; in [{place:?}]");
        stage.catalog().mark_deleting(id, &mark).await.unwrap();
        std::fs::remove_dir_all(place).unwrap();
        sets.push(id);
    }
    stage.copy(0, |_| {}).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    let marks = [
        stage.row(sets[0]).await.deletion,
        stage.row(sets[1]).await.deletion,
    ];
    assert_eq!(
        marks,
        [Deletion::None, Deletion::Deleting],
        "another's is its own"
    );
    assert_eq!(stage.catalog().removals(sets[0]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_destination_of_the_same_name_is_not_taken_for_that_of_another_machine() {
    let own = "[destinations.vault]\nurl = \"/nonexistent/vault\"\n";
    let stage = Stage::with_servers(own, "{ last = 1 }", "delete").await;
    let gone_at = stage.clock.now() - TimeDelta::days(1);
    let (id, place) = stage
        .copy(3, |backup| backup.original_gone_at = Some(gone_at))
        .await;
    stage.copy(0, |_| {}).await;
    stage.sent_to(id, ("near", "rsync://n1/near/x")).await;
    stage.sent_to(id, ("vault", "rsync://other/cc/x")).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!place.exists());
    assert_eq!(stage.row(id).await.deletion, Deletion::None, "it is at vault");
}
