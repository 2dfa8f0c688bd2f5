//! Originals that one of several destinations still waits for.

use super::*;
use mykeeper_domain::run::RunEnd;
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{DestinationName, NodeName};

const DESTINATIONS: &str = "[destinations.vault]\nurl = \"backup@vault.example:/sets\"\n\
    [destinations.near]\nurl = \"backup@near.example:/sets\"\n";

fn name(text: &str) -> DestinationName {
    DestinationName::new(text).unwrap()
}

impl Stage {
    /// A set of a job that sends to these, and that has arrived nowhere yet.
    pub(super) async fn owed(&self, days_old: i64, transfer_to: &[&str]) -> (BackupId, PathBuf) {
        let started_at = self.clock.now() - TimeDelta::days(days_old);
        let (mut backup, manifest, evidence) = self.set_on_disk(started_at).await;
        backup.transfer_to = transfer_to.iter().copied().map(name).collect();
        backup.transfer_complete = String::new();
        let catalog = self.catalog();
        assert!(
            catalog
                .insert_backup(&backup, &manifest, &evidence)
                .await
                .unwrap()
        );
        (backup.id, backup.dir)
    }

    async fn ended(&self, id: BackupId, to: &str, purpose: TransferPurpose, state: RunState) {
        let target = format!("backup@{to}.example:/sets/{id}");
        self.ended_at(id, (to, target), purpose, state).await;
    }

    pub(super) async fn ended_at(
        &self,
        id: BackupId,
        (to, target): (&str, String),
        purpose: TransferPurpose,
        state: RunState,
    ) {
        let now = self.clock.now();
        let transfer = Transfer {
            id: AttemptId::generate(),
            run_id: None,
            bk_id: id,
            node: self.environment.node.clone(),
            destination: name(to),
            target,
            number: 1,
            purpose,
            state: RunState::Running,
            reason: None,
            sent_bytes: None,
            started_at: now,
            finished_at: None,
        };
        let end = RunEnd {
            state,
            reason: None,
            bk_id: None,
            finished_at: now,
        };
        let catalog = self.catalog();
        catalog.start_transfer(&transfer, "there").await.unwrap();
        assert!(catalog.finish_transfer(transfer.id, &end, None).await.unwrap());
    }

    pub(super) async fn arrived(&self, id: BackupId, to: &str) {
        self.ended(id, to, TransferPurpose::Send, RunState::Succeeded)
            .await;
    }

    async fn waits_for(&self, destination: &str) -> Vec<BackupId> {
        let node = NodeName::new("n1").unwrap();
        let there = name(destination);
        let waiting = self.catalog().pending_transfers(&node, &there, (None, 9)).await;
        waiting.unwrap().sets.iter().map(|set| set.id).collect()
    }
}

#[tokio::test]
async fn an_original_stays_until_it_has_arrived_at_every_destination_that_is_configured() {
    let both = ["vault", "near"];
    for action in ["delete", "mark"] {
        let stage = Stage::set_up(DESTINATIONS, ("transferred", "{ last = 1 }", action)).await;
        let (everywhere, everywhere_dir) = stage.owed(5, &both).await;
        let (owed, owed_dir) = stage.owed(4, &both).await;
        let (dropped, _) = stage.owed(3, &["attic", "near"]).await;
        let (newest, _) = stage.owed(0, &both).await;
        for (id, to) in [
            (everywhere, "vault"),
            (everywhere, "near"),
            // The first of its destinations has it, and with that all that `require` asks for.
            (owed, "vault"),
            (dropped, "near"),
            (newest, "near"),
        ] {
            stage.arrived(id, to).await;
        }

        let told = stage.prune().await;
        assert_eq!(told.state, RunState::Warned, "{}", told.reason);
        assert!(
            told.reason.contains("1 set stays") && told.reason.contains("until sent to near"),
            "{}",
            told.reason
        );
        let dropped_told =
            "1 set goes that never arrived at attic, which the configuration does not name any more";
        assert!(told.reason.contains(dropped_told), "{}", told.reason);
        assert_eq!(everywhere_dir.exists(), action == "mark");
        assert!(stage.row(everywhere).await.original_gone_at.is_some());
        assert!(owed_dir.join(MANIFEST_FILE).exists());
        let row = stage.row(owed).await;
        assert_eq!((row.deletion, row.original_gone_at), (Deletion::None, None));
        assert_eq!(stage.waits_for("near").await, [owed], "and is sent there");
        assert!(stage.row(dropped).await.original_gone_at.is_some());
        let run = stage.catalog().run(told.id).await.unwrap().unwrap();
        let log = std::fs::read_to_string(run.log_path.unwrap()).unwrap();
        for line in [
            format!("set {owed}"),
            "is kept: it has not arrived at near yet".to_owned(),
            "goes: no rule keeps it; it never arrived at attic, which the configuration does not name"
                .to_owned(),
        ] {
            assert!(log.contains(&line), "{line} in {log}");
        }

        stage.arrived(owed, "near").await;
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
        assert!(stage.row(owed).await.original_gone_at.is_some(), "{action}");
        assert_eq!(owed_dir.exists(), action == "mark");
    }
}

#[tokio::test]
async fn a_copy_that_is_found_to_differ_holds_its_original_until_it_is_sent_again() {
    let stage = Stage::set_up(DESTINATIONS, ("complete", "{ last = 1 }", "delete")).await;
    let (old, dir) = stage.owed(4, &["vault", "near"]).await;
    stage.owed(0, &[]).await;
    stage.arrived(old, "vault").await;
    stage.arrived(old, "near").await;
    stage
        .ended(old, "near", TransferPurpose::Verify, RunState::Failed)
        .await;
    assert!(stage.told(old).await.contains("NotArrivedEverywhere"));
    stage.prune().await;
    assert!(dir.exists());
    stage.arrived(old, "near").await;
    stage.prune().await;
    assert!(!dir.exists());
    assert_eq!(stage.row(old).await.deletion, Deletion::None, "its copies stay");
}

#[tokio::test]
async fn an_original_is_not_given_up_for_a_copy_that_was_read_and_differs() {
    let stage = Stage::set_up(DESTINATIONS, ("complete", "{ last = 1 }", "delete")).await;
    let (old, dir) = stage.owed(4, &["vault"]).await;
    stage.owed(0, &[]).await;
    stage.arrived(old, "vault").await;
    stage.clock.advance(TimeDelta::minutes(1));
    stage.found("n2", (old, Path::new("/sets/x")), true).await;
    for read in [false, true] {
        // Also where this machine has read its own.
        if read {
            stage.found("n1", (old, &dir), false).await;
        }
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Warned, "{}", run.reason);
        assert!(
            run.reason
                .contains("since the other copies differ or are missing"),
            "{}",
            run.reason
        );
        assert!(dir.join(MANIFEST_FILE).exists());
    }
    // What was sent again is another copy than the one that was read.
    stage.clock.advance(TimeDelta::minutes(1));
    stage.arrived(old, "vault").await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!dir.exists());
}
