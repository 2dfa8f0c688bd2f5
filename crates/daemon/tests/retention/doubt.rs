//! What a pass does not know: whether a disk is there, and whose folder, removal or mark it is. In doubt a set stays.

use super::*;
use mykeeper_catalog::BackupPath;
use mykeeper_daemon::jobs::verify::look_here;
use mykeeper_domain::backup::ValidateStatus;
use mykeeper_domain::transfer::TransferPurpose;

/// Lies where a set was made while those before it were missed.
const MISSED: &str = ".mykeeper-unmounted";

impl Stage {
    /// A machine that runs something.
    pub(super) async fn heard_of(&self, node: &str) {
        let run = Run {
            id: RunId::generate(),
            node: node.parse().unwrap(),
            job: JobName::new("prune").unwrap(),
            kind: JobKind::Retention,
            trigger: Trigger::Manual,
            slot_at: None,
            planned_at: None,
            covers: None,
            retry_of: None,
            state: RunState::Running,
            reason: None,
            bk_id: None,
            requested_at: self.clock.now(),
            started_at: Some(self.clock.now()),
            finished_at: None,
            log_path: None,
        };
        self.catalog().insert_run(&run).await.unwrap();
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// `mykeeper paths add`, for a server of that address.
    async fn path(&self, root: &Path, bk_server: &str) {
        let path = BackupPath {
            id: 0,
            bk_server: bk_server.into(),
            remote_server: "n1".into(),
            real_path: root.display().to_string(),
            tag: "shop".into(),
            is_offline: false,
        };
        self.catalog().add_path(&path).await.unwrap();
    }

    async fn missing_here(&self, id: BackupId) -> usize {
        let row = self.row(id).await;
        look_here(&self.environment, &row).await.unwrap().gone.len()
    }

    async fn mark_of(&self, id: BackupId) -> Deletion {
        self.row(id).await.deletion
    }

    async fn removals(&self, id: BackupId) -> usize {
        self.catalog().removals(id).await.unwrap().len()
    }
}

fn passed(backup: &mut Backup) {
    backup.validate_status = ValidateStatus::Passed;
}

#[tokio::test]
async fn sets_are_not_given_up_for_one_that_was_made_while_their_disk_was_away() {
    for action in ["delete", "mark"] {
        let stage = Stage::requiring("validated", "{ last = 1 }", action).await;
        let (proven, _) = stage.changed(3, passed).await;
        let (sent, _) = stage.set(2).await;
        stage.sent_to(sent, ("vault", "rsync://vault1/m/x")).await;
        let mounted = stage.dir.path().join("mounted");
        std::fs::rename(stage.data(), &mounted).unwrap();
        std::fs::create_dir(stage.data()).unwrap();
        std::fs::write(stage.data().join(MISSED), "").unwrap();
        let (_, newest) = stage.set(0).await;
        for _ in 0..2 {
            let run = stage.prune().await;
            assert_eq!(run.state, RunState::Warned, "{}", run.reason);
            let said = format!(
                "2 sets that should lie in {} are not there",
                stage.data().display()
            );
            assert!(
                run.reason.contains(&said) && run.reason.contains(MISSED),
                "{}",
                run.reason
            );
        }
        let row = stage.row(sent).await;
        assert_eq!((row.deletion, row.original_gone_at), (Deletion::None, None));
        assert_eq!(stage.mark_of(proven).await, Deletion::None, "{action}");
        assert_eq!(
            stage.missing_here(proven).await,
            0,
            "it could not be looked at: nothing is missing"
        );
        assert!(newest.is_dir());
        // Whoever says that it is the right disk is believed.
        std::fs::write(stage.data().join(".mykeeper"), "").unwrap();
        assert_eq!(stage.missing_here(proven).await, 1);
    }
}

#[tokio::test]
async fn of_several_disks_below_a_directory_the_one_that_is_away_costs_no_set() {
    let stage = Stage::requiring("validated", "{ last = 1 }", "delete").await;
    let mut away = Vec::new();
    for (days_old, root) in [(4, "empty"), (3, "with-something")] {
        let (id, place) = stage
            .changed(days_old, |backup| {
                passed(backup);
                let below = backup.dir.strip_prefix(stage.data()).unwrap();
                let to = stage.data().join(root).join(below);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::rename(&backup.dir, &to).unwrap();
                backup.dir = to;
            })
            .await;
        std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
        away.push(id);
    }
    std::fs::write(stage.data().join("with-something/notes.txt"), "").unwrap();
    let (gone, place) = stage.set(2).await;
    std::fs::remove_dir_all(place).unwrap();
    stage.set(0).await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    for root in ["empty", "with-something"] {
        let said = format!(
            "of the 1 set that should lie in {} none is there",
            stage.data().join(root).display()
        );
        assert!(run.reason.contains(&said), "{}", run.reason);
    }
    for id in away {
        assert_eq!(stage.mark_of(id).await, Deletion::None);
    }
    assert_eq!(
        stage.mark_of(gone).await,
        Deletion::Deleted,
        "its disk is there, with newer sets"
    );
}

#[tokio::test]
async fn a_path_that_names_the_jobs_own_directory_stands_in_the_way_of_no_removal() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (old, place) = stage.set(3).await;
    let (sent, _) = stage.set(2).await;
    stage.sent_to(sent, ("vault", "rsync://vault1/m/x")).await;
    stage.set(0).await;
    // Two rows of one folder, and a third way to it.
    stage.path(&stage.data(), "192.0.2.7").await;
    stage.path(&stage.data(), "192.0.2.8").await;
    let alias = stage.data().join("alias");
    std::os::unix::fs::symlink(stage.data(), &alias).unwrap();
    stage.path(&alias, "192.0.2.7").await;
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!place.exists(), "{}", run.reason);
    assert_eq!(stage.mark_of(old).await, Deletion::Deleted);
    let removals = stage.removals(sent).await;
    stage.clock.advance(TimeDelta::minutes(1));
    stage.prune().await;
    assert_eq!(stage.removals(sent).await, removals, "it was told once");
}

#[tokio::test]
async fn what_another_machine_removes_in_its_folder_of_the_same_path_hides_no_loss_here() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let root = stage.dir.path().to_owned();
    let as_here =
        |backup: &mut Backup| backup.dir = root.join(backup.dir.strip_prefix("/elsewhere").unwrap());
    let mut sets = Vec::new();
    for days_old in [3, 2] {
        sets.push(stage.copy(days_old, as_here).await);
    }
    stage.copy(0, as_here).await;
    for ((id, place), root) in sets.iter().zip(["rsync://n1/data/", "/data/"]) {
        let target = format!("{root}{}", place.strip_prefix(stage.data()).unwrap().display());
        stage.sent_by("maker", *id, ("vault", &target)).await;
        stage.found("n1", (*id, place), false).await;
    }
    stage.clock.advance(TimeDelta::minutes(1));
    for (id, place) in &sets {
        let shown = place.display().to_string();
        stage.removed(*id, ("maker", &shown), stage.clock.now()).await;
        std::fs::remove_dir_all(place).unwrap();
    }
    assert_eq!(stage.missing_here(sets[0].0).await, 1);
    assert_eq!(
        stage.missing_here(sets[1].0).await,
        0,
        "that was sent nowhere else: both have mounted it"
    );
}

#[tokio::test]
async fn a_folder_of_two_machines_is_one_whatever_was_sent_to_other_addresses() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let root = stage.dir.path().to_owned();
    let as_here =
        |backup: &mut Backup| backup.dir = root.join(backup.dir.strip_prefix("/elsewhere").unwrap());
    let (id, place) = stage.copy(3, as_here).await;
    let (_, beside) = stage.copy(0, as_here).await;
    let (shown, name) = (place.display().to_string(), place.file_name().unwrap().display());
    stage.sent_by("maker", id, ("vault", &shown)).await;
    stage.found("n1", (id, &place), false).await;
    // One was refused, and what arrived at the other lies in no such folder.
    let refused = ("far", format!("rsync://far.example/sets/2026-11-19/{name}"));
    stage
        .ended_at(id, refused, TransferPurpose::Send, RunState::Failed)
        .await;
    let other = format!("x@other.example:/elsewhere/sets/2026-11-19/{name}");
    stage
        .ended_at(id, ("other", other), TransferPurpose::Send, RunState::Succeeded)
        .await;
    stage.clock.advance(TimeDelta::minutes(1));
    stage.removed(id, ("maker", &shown), stage.clock.now()).await;
    std::fs::remove_dir_all(&place).unwrap();
    assert!(beside.is_dir());
    assert_eq!(
        stage.missing_here(id).await,
        0,
        "it was removed there, and so here"
    );
}

#[tokio::test]
async fn a_copy_that_goes_is_not_that_of_another_machines_folder_of_the_same_path() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place) = stage.copy(3, |_| {}).await;
    stage.copy(0, |_| {}).await;
    let shown = place.display().to_string();
    stage.sent_by("maker", id, ("near", &shown)).await;
    let sent = format!(
        "rsync://n1/{}",
        place.strip_prefix(stage.dir.path()).unwrap().display()
    );
    stage.sent_by("maker", id, ("vault", &sent)).await;
    stage.clock.advance(TimeDelta::minutes(1));
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert!(!place.exists());
    assert_eq!(stage.row(id).await.removed_from, ["vault".parse().unwrap()]);
    // Nor does that the one is gone keep its maker from comparing the other.
    assert_eq!(stage.compared_by("maker", "near").await, [id]);
    assert_eq!(stage.compared_by("maker", "vault").await, []);
}

#[tokio::test]
async fn an_original_whose_removal_was_not_recorded_is_recorded_by_the_next_pass() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place) = stage.changed(3, passed).await;
    stage.set(0).await;
    stage.sent_to(id, ("vault", "rsync://vault1/m/x")).await;
    let mark = format!("retention job prune on n1: no rule keeps it; in [{place:?}]");
    stage.catalog().mark_deleting(id, &mark).await.unwrap();
    std::fs::remove_dir_all(place).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    let row = stage.row(id).await;
    assert_eq!(
        (row.deletion, row.original_gone_at.is_some()),
        (Deletion::None, true),
        "what is at vault is restored, proven and compared again: {row:?}"
    );
    assert_eq!(stage.removals(id).await, 1);
}

#[tokio::test]
async fn a_copy_that_was_told_to_go_is_not_missed_whenever_it_goes() {
    let stage = Stage::new("{ last = 1 }", "mark").await;
    let (id, place) = stage.copy(3, |_| {}).await;
    stage.copy(0, |_| {}).await;
    stage.sent_by("maker", id, ("vault", "rsync://n1/data/x")).await;
    stage.found("n1", (id, &place), false).await;
    stage.clock.advance(TimeDelta::minutes(1));
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
    assert_eq!(stage.removals(id).await, 1);
    // It lies there until another tool removes it, and nobody reads it; nor does it matter who has.
    let look = async || look_here(&stage.environment, &stage.row(id).await).await.unwrap();
    assert!(place.is_dir() && look().await.copies.is_empty());
    stage.clock.advance(TimeDelta::hours(5));
    stage.found("n1", (id, &place), false).await;
    std::fs::remove_dir_all(&place).unwrap();
    let here = look().await;
    assert!(here.gone.is_empty() && !here.is_found(), "{here:?}");
    // What was sent anew is.
    stage.clock.advance(TimeDelta::hours(1));
    stage.sent_by("maker", id, ("vault", "rsync://n1/data/x")).await;
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join(MANIFEST_FILE), "{}").unwrap();
    assert_eq!(look().await.copies, [place]);
}

#[tokio::test]
async fn what_was_removed_beside_a_copy_is_no_look_at_it() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    // Its only file is not as its manifest has it.
    let (id, place) = stage.set(1).await;
    stage.sent_to(id, ("vault", "rsync://vault1/m/x")).await;
    stage.clock.advance(TimeDelta::minutes(1));
    stage
        .removed(id, ("vault1", "/mirror/x"), stage.clock.now())
        .await;
    let run = stage.run(stage.job_called("prove")).await;
    assert_eq!(run.state, RunState::Failed, "{}", run.reason);
    assert!(
        run.reason.contains(&place.display().to_string()),
        "{}",
        run.reason
    );
    assert!(
        run.reason
            .contains("what was sent to vault has arrived there, and nobody has read it since"),
        "{}",
        run.reason
    );
    assert_eq!(stage.row(id).await.validate_status, ValidateStatus::NotTried);
}

#[tokio::test]
async fn the_mark_of_another_machine_is_its_own_to_take_back() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let (id, place) = stage.set(3).await;
    stage.heard_of("n2").await;
    let mark = "retention job prune on n2: no rule keeps it";
    stage.catalog().mark_deleting(id, mark).await.unwrap();
    stage.prune().await;
    assert_eq!(stage.mark_of(id).await, Deletion::Deleting);
    // An original that goes meanwhile takes none back either.
    let shown = place.display().to_string();
    stage.removed(id, ("maker", &shown), stage.clock.now()).await;
    let row = stage.row(id).await;
    assert_eq!(
        (row.deletion_reason.as_deref(), row.deletion),
        (Some(mark), Deletion::Deleting)
    );
}

#[tokio::test]
async fn the_mark_of_a_machine_that_runs_nothing_any_more_is_taken_back() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let (id, _) = stage.set(3).await;
    let mark = "retention job prune on n2: no rule keeps it";
    stage.catalog().mark_deleting(id, mark).await.unwrap();
    stage.prune().await;
    assert_eq!(stage.mark_of(id).await, Deletion::None);
}
