//! Sets of which others know: copies elsewhere, rows of other hosts, what was found of them.

use super::*;
use mykeeper_catalog::WaitingScope;
use mykeeper_domain::proof::Difference;
use mykeeper_domain::schedule::Schedule;
use mykeeper_domain::selection::Criteria;
use mykeeper_domain::verification::{LookedAtCopy, Verification, VerificationState};

impl Stage {
    /// A row that says whatever `change` makes of it, with its folder.
    pub(super) async fn changed(
        &self,
        days_old: i64,
        change: impl FnOnce(&mut Backup),
    ) -> (BackupId, PathBuf) {
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

    /// `node` has read the copy at `place`.
    pub(super) async fn found(&self, node: &str, (id, place): (BackupId, &Path), differs: bool) {
        let difference = Difference {
            database: "shop".into(),
            object: "file shop/shop.orders.sql".into(),
            expected: "1 byte".into(),
            found: "none".into(),
        };
        let found = Verification {
            bk_id: id,
            node: node.parse().unwrap(),
            run_id: None,
            state: if differs {
                VerificationState::Differs
            } else {
                VerificationState::AsWritten
            },
            looked_at: self.clock.now(),
            copies: vec![LookedAtCopy {
                path: place.display().to_string(),
                files: 1,
                bytes: 1,
                differences: if differs { vec![difference] } else { Vec::new() },
                more_differences: 0,
                strangers: Vec::new(),
                differs_since: None,
                read_at: None,
                is_gone: false,
            }],
            unread: Vec::new(),
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
        let said = match action {
            "delete" => "1 removed and marked as deleted, the original alone of 1 set removed",
            _ => "1 marked as deleted, the original alone of 1 set noted as gone",
        };
        assert!(run.reason.contains(said), "{}", run.reason);
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
        let anywhere = WaitingScope {
            reach: None,
            tags: vec![],
            since: None,
            newest_first: true,
        };
        let offered = stage.catalog().validation_candidates(&anywhere, None, 9);
        let offered = offered.await.unwrap().sets;
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
                  [servers.local]\nsocket = \"/y.sock\"\nuser = \"u\"\ntag = \"shared\"\naddress = \"127.0.0.1\"\n\
                  [servers.central]\nhost = \"198.51.100.7\"\nuser = \"u\"\ntag = \"central\"\naddress = \"10.0.0.9\"\n";
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
    stage.found("n1", (newest, &newest_place), true).await;
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
    assert!(reason.contains("damaged here"), "{reason}");
    assert_eq!(stage.row(intact).await.deletion, Deletion::Deleted);
    // What was mended, or read again, is what it was.
    let (mended, place) = stage.changed(0, passed).await;
    stage.found("n1", (mended, &place), true).await;
    stage.found("n1", (mended, &place), false).await;
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

#[tokio::test]
async fn what_another_machine_found_of_its_copy_costs_the_one_that_lies_here_nothing() {
    let stage = Stage::requiring("validated", "{ last = 1 }", "delete").await;
    let passed =
        |backup: &mut Backup| backup.validate_status = mykeeper_domain::backup::ValidateStatus::Passed;
    let (older, older_place) = stage.changed(3, passed).await;
    let (newest, place) = stage.changed(0, passed).await;
    stage.found("n2", (newest, &place), true).await;
    let told = stage.told(newest).await;
    assert!(
        told.contains("NewestProven") && !told.contains("Damaged"),
        "{told}"
    );
    stage.prune().await;
    assert!(place.is_dir() && !older_place.exists());
    assert_eq!(stage.row(older).await.deletion, Deletion::Deleted);
    // What this machine has read differs, also where another has an intact copy: an intact one here is not given up.
    let (_, older_place) = stage.changed(3, passed).await;
    stage.found("n2", (newest, Path::new("/elsewhere")), false).await;
    stage.found("n1", (newest, &place), true).await;
    stage.prune().await;
    assert!(place.is_dir() && older_place.is_dir());
}

#[tokio::test]
async fn a_damaged_set_that_nothing_supersedes_is_told_of() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (damaged, place) = stage.set(3).await;
    stage.set(0).await;
    stage.found("n1", (damaged, &place), true).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    assert!(
        run.reason.contains("1 damaged set stays") && run.reason.contains("mykeeper validate"),
        "{}",
        run.reason
    );
    assert!(place.is_dir());
}

#[tokio::test]
async fn a_copy_of_a_row_that_names_no_machine_is_not_taken_for_the_original() {
    let server =
        "[servers.shop]\nsocket = \"/x.sock\"\nuser = \"u\"\ntag = \"shop\"\naddress = \"10.0.0.7\"\n";
    let stage = Stage::with_servers(server, "{ last = 1 }", "delete").await;
    let mut rows = Vec::new();
    for address in ["10.0.0.7", "10.0.0.8"] {
        for days_old in [3, 0] {
            rows.push(
                stage
                    .changed(days_old, |backup| {
                        (backup.node, backup.job) = (None, None);
                        (backup.tag, backup.bk_server) = (address.into(), address.into());
                        backup.transfer_complete = "N,Y".into();
                        backup.remote_dest = "x@n1::data".into();
                    })
                    .await,
            );
        }
    }
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    let (own, others) = (stage.row(rows[0].0).await, stage.row(rows[2].0).await);
    assert!(!rows[0].1.exists() && !rows[2].1.exists());
    assert_eq!(
        (own.deletion, own.original_gone_at.is_some()),
        (Deletion::None, true)
    );
    assert_eq!(
        (others.deletion, others.original_gone_at),
        (Deletion::Deleted, None)
    );
}

/// A run that stands for a slot, whenever it runs.
async fn run_slot(stage: &Stage, slot: &str) {
    let engine = Engine::for_daemon(Arc::clone(&stage.environment));
    engine.fire(stage.job(), at(slot), Trigger::Schedule);
    engine.stop_taking();
    engine.idle().await;
}

#[tokio::test]
async fn a_run_removes_the_folder_of_its_slots_day_and_what_earlier_runs_had_to_leave() {
    let keep = "{ all_but_day = 2, failed = true }\ndepth = \"day\"";
    let stage = Stage::new(keep, "delete").await;
    let passed =
        |backup: &mut Backup| backup.validate_status = mykeeper_domain::backup::ValidateStatus::Passed;
    let mut places = Vec::new();
    for days_old in 0..6 {
        let change = |backup: &mut Backup| {
            if days_old == 3 {
                passed(backup);
            }
        };
        places.push(stage.changed(days_old, change).await.1);
    }
    let left = || places.iter().map(|place| place.is_dir()).collect::<Vec<_>>();
    // On the 22nd, for the slot of the 21st: the folder of the 19th holds the last proven set, and stays.
    run_slot(&stage, "2026-11-21T00:00:00Z").await;
    assert_eq!(left(), [true; 6]);
    let (_, proven) = stage.changed(0, passed).await;
    run_slot(&stage, "2026-11-22T00:00:00Z").await;
    assert_eq!(left(), [true, true, false, false, true, true]);
    // On a day on which the schedule has no slot it comes to no folder by itself.
    stage.clock.advance(TimeDelta::days(1));
    let weekly = Job {
        schedule: Schedule::parse("0 4 * * 0", chrono_tz::Tz::UTC).unwrap(),
        ..(*stage.job()).clone()
    };
    let engine = Engine::for_foreground(Arc::clone(&stage.environment), None);
    let run = engine.run_now(Arc::new(weekly)).await.unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert_eq!(left(), [true, true, false, false, true, true]);
    stage.prune().await;
    assert_eq!(left(), [true, false, false, false, true, true]);
    assert!(proven.is_dir());
}
