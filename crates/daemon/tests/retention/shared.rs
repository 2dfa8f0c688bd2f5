//! Sets of which others know: copies elsewhere, rows of other hosts, what was found of them.

use super::*;
use mykeeper_domain::proof::Difference;
use mykeeper_domain::selection::Criteria;
use mykeeper_domain::verification::{LookedAtCopy, Verification, VerificationState};

impl Stage {
    /// A row that says whatever `change` makes of it, with its folder.
    async fn changed(&self, days_old: i64, change: impl FnOnce(&mut Backup)) -> (BackupId, PathBuf) {
        let started_at = self.clock.now() - TimeDelta::days(days_old);
        let (mut backup, manifest, evidence) = self.set_on_disk(started_at).await;
        change(&mut backup);
        assert!(
            self.catalog()
                .insert_backup(&backup, &manifest, &evidence)
                .await
                .unwrap()
        );
        (backup.id, backup.folder())
    }

    async fn found_to_differ(&self, id: BackupId, differs: bool) {
        let difference = Difference {
            database: "shop".into(),
            object: "file shop/shop.orders.sql".into(),
            expected: "1 byte".into(),
            found: "none".into(),
        };
        let found = Verification {
            bk_id: id,
            node: self.environment.node.clone(),
            run_id: None,
            state: if differs {
                VerificationState::Differs
            } else {
                VerificationState::AsWritten
            },
            looked_at: self.clock.now(),
            copies: vec![LookedAtCopy {
                path: "/x".into(),
                files: 1,
                bytes: 1,
                differences: if differs { vec![difference] } else { Vec::new() },
                more_differences: 0,
                strangers: Vec::new(),
                differs_since: None,
            }],
        };
        self.catalog().record_verification(&found).await.unwrap();
    }
}

#[tokio::test]
async fn an_original_goes_and_the_set_stays_for_its_copy() {
    for action in ["delete", "mark"] {
        let stage = Stage::new("{ last = 1 }", action).await;
        let (sent, place) = stage
            .changed(3, |backup| backup.transfer_complete = "N,Y".into())
            .await;
        let (local, _) = stage.set(2).await;
        stage.set(0).await;
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
        assert_eq!(place.exists(), action == "mark");
        let row = stage.row(sent).await;
        assert_eq!(row.deletion, Deletion::None, "{row:?}");
        assert_eq!(row.original_gone_at, Some(stage.clock.now()));
        assert!(
            row.deletion_reason.clone().unwrap().contains("original is gone"),
            "{row:?}"
        );
        assert_eq!(stage.row(local).await.deletion, Deletion::Deleted);
        // Those who prove the copy are still offered it.
        let offered = stage.catalog().validation_candidates(None, 9).await.unwrap();
        let criteria = Criteria {
            within: None,
            tags: &[],
            now: stage.clock.now(),
        };
        assert!(
            offered
                .iter()
                .any(|set| set.id == sent && criteria.refusal(set).is_none())
        );
        // It is judged once, also where its folder still lies about after the mark, and where it does not.
        for _ in 0..2 {
            let told = stage.told(sent).await;
            assert_eq!(told, "", "{action}");
            assert_eq!(stage.prune().await.state, RunState::Succeeded);
            assert_eq!(stage.row(sent).await, row);
            drop(std::fs::remove_dir_all(&place));
        }
    }
}

#[tokio::test]
async fn an_original_that_a_script_has_removed_does_not_cost_the_set_its_copy() {
    let stage = Stage::new("{ last = 1 }", "mark").await;
    let (sent, place) = stage
        .changed(3, |backup| backup.transfer_complete = "Y".into())
        .await;
    let (local, other) = stage.set(2).await;
    stage.set(0).await;
    std::fs::remove_dir_all(place).unwrap();
    std::fs::remove_dir_all(other).unwrap();
    stage.prune().await;
    let row = stage.row(sent).await;
    assert_eq!(
        (row.deletion, row.original_gone_at.is_some()),
        (Deletion::None, true)
    );
    assert_eq!(stage.row(local).await.deletion, Deletion::Deleted);
}

#[tokio::test]
async fn rows_of_other_hosts_are_not_taken_for_sets_that_are_gone_from_this_one() {
    let server = "[servers.shop]\nsocket = \"/x.sock\"\nuser = \"u\"\ntag = \"N/A\"\naddress = \"10.0.0.7\"\n\
                  [servers.local]\nsocket = \"/y.sock\"\nuser = \"u\"\ntag = \"shared\"\naddress = \"127.0.0.1\"\n";
    let stage = Stage::with_servers(server, "{ last = 1 }", "delete").await;
    stage.set(0).await;
    let mut others = Vec::new();
    for (tag, address) in [
        ("N/A", "10.0.0.8"),
        ("N/A", ""),
        ("N/A", "N/A"),
        ("shared", "127.0.0.1"),
        ("shared", "10.0.0.9"),
    ] {
        let (id, place) = stage
            .changed(4, |backup| {
                (backup.node, backup.job) = (None, None);
                (backup.tag, backup.bk_server) = (tag.into(), address.into());
            })
            .await;
        std::fs::remove_dir_all(place).unwrap();
        others.push(id);
    }
    let (own, place) = stage
        .changed(4, |backup| {
            (backup.node, backup.job) = (None, None);
            (backup.tag, backup.bk_server) = ("N/A".into(), "10.0.0.7".into());
        })
        .await;
    std::fs::remove_dir_all(place).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    for id in others {
        assert_eq!(stage.row(id).await.deletion, Deletion::None);
    }
    assert_eq!(stage.row(own).await.deletion, Deletion::Deleted);
}

#[tokio::test]
async fn a_set_that_was_found_to_differ_costs_no_intact_one_its_place() {
    let stage = Stage::requiring("validated", "{ last = 1 }", "delete").await;
    let passed =
        |backup: &mut Backup| backup.validate_status = mykeeper_domain::backup::ValidateStatus::Passed;
    let (older, older_place) = stage.changed(5, passed).await;
    let (intact, place) = stage.changed(3, passed).await;
    let (newest, newest_place) = stage.changed(0, passed).await;
    stage.found_to_differ(newest, true).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(
        stage.told(newest).await.contains("Damaged"),
        "{}",
        stage.told(newest).await
    );
    assert!(place.is_dir() && newest_place.is_dir() && !older_place.exists());
    assert_eq!(stage.row(older).await.deletion, Deletion::Deleted);
    // A newer one is proven: then it goes, and says why.
    let (_, newer) = stage
        .changed(0, |backup| {
            passed(backup);
            backup.started_at = stage.clock.now() + TimeDelta::minutes(1);
        })
        .await;
    stage.prune().await;
    assert!(newer.is_dir() && !newest_place.exists() && !place.exists());
    let reason = stage.row(newest).await.deletion_reason.unwrap();
    assert!(reason.contains("damaged wherever it was read"), "{reason}");
    assert_eq!(stage.row(intact).await.deletion, Deletion::Deleted);
    // What was mended, or read again, is what it was.
    let (mended, _) = stage.changed(0, passed).await;
    stage.found_to_differ(mended, true).await;
    stage.found_to_differ(mended, false).await;
    assert!(!stage.told(mended).await.contains("Damaged"));
}

#[tokio::test]
async fn a_job_for_folders_of_days_leaves_what_lies_deeper_and_what_its_days_keep() {
    let keep = "{ within = \"2d\", month_days = [19], all_but_day = 4, failed = true }\ndepth = \"day\"";
    let stage = Stage::new(keep, "delete").await;
    stage.set(0).await;
    let (_, of_that_day) = stage.set(4).await;
    let (_, of_another) = stage.set(5).await;
    let (_, of_the_19th) = stage.set(3).await;
    let (_, deeper) = stage
        .changed(4, |backup| {
            let to = stage
                .dir
                .path()
                .join("data/shop/2026-11-18")
                .join(backup.id.to_string());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::rename(&backup.dir, &to).unwrap();
            backup.dir = to;
        })
        .await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!of_that_day.exists());
    assert!(of_another.is_dir() && of_the_19th.is_dir() && deeper.is_dir());
}
