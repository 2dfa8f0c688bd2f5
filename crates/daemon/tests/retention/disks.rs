//! Places that may only be unmounted, or that the configuration does not name any more.

use super::*;
use mykeeper_catalog::BackupPath;

const CENTRAL: &str =
    "[servers.shop]\nsocket = \"/x.sock\"\nuser = \"u\"\ntag = \"shop\"\naddress = \"10.0.0.9\"\n";

impl Stage {
    async fn know(&self, root: &Path) -> i64 {
        let path = BackupPath {
            id: 0,
            bk_server: "10.0.0.9".into(),
            remote_server: "n1".into(),
            real_path: root.display().to_string(),
            tag: "shop".into(),
            is_offline: false,
        };
        self.catalog().add_path(&path).await.unwrap()
    }

    /// Gives the older one, where it was made, and its copy in the second folder.
    async fn two_and_a_copy_of_the_older(&self) -> (BackupId, PathBuf, PathBuf, PathBuf) {
        let (id, place) = self.copy(3, |_| {}).await;
        self.copy(0, |_| {}).await;
        let other = self.dir.path().join("data/other");
        self.know(&other).await;
        let copy = rebuilt::copy(&place, &other);
        self.found("n1", (id, &copy), false).await;
        (id, place, other, copy)
    }

    pub(super) async fn absent(&self) -> Option<String> {
        let (settings, root) = (self.environment.settings(), self.dir.path().join("data"));
        let absent = self.environment.whereabouts(&settings).absent(&root).await;
        absent.unwrap().map(|absent| absent.to_string())
    }
}

#[tokio::test]
async fn a_folder_that_holds_none_of_its_sets_is_missed_whatever_else_lies_there() {
    for is_of_pybackup in [false, true] {
        let stage = Stage::with_servers(CENTRAL, "{ last = 1 }", "delete").await;
        let change = |backup: &mut Backup| {
            if is_of_pybackup {
                (backup.node, backup.job) = (None, None);
                backup.bk_server = "10.0.0.9".into();
            }
        };
        let mut sets = Vec::new();
        for days_old in [3, 0] {
            sets.push(stage.changed(days_old, change).await);
        }
        assert_eq!(stage.absent().await, None);
        let data = stage.dir.path().join("data");
        let mounted = stage.dir.path().join("mounted");
        std::fs::rename(&data, &mounted).unwrap();
        std::fs::create_dir_all(data.join("2026-11-22/notes")).unwrap();
        std::fs::write(data.join("backup.log"), "").unwrap();
        let told = stage.absent().await.unwrap();
        assert!(told.starts_with("of the 2 sets that should lie in "), "{told}");
        // The way out that it names.
        let (_, command) = told.split_once("new disk: ").unwrap();
        let ended = std::process::Command::new("sh").args(["-c", command]).status();
        assert!(ended.unwrap().success(), "{command}");
        assert_eq!(stage.absent().await, None);
        // One of them is enough.
        std::fs::remove_file(data.join(".mykeeper")).unwrap();
        let (_, newest) = &sets[1];
        let there = newest.strip_prefix(&data).unwrap();
        std::fs::rename(mounted.join(there), newest).unwrap();
        assert_eq!(stage.absent().await, None, "{is_of_pybackup}");
    }
}

#[tokio::test]
async fn a_set_that_a_mount_covers_is_not_marked_until_it_is_given_up() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let (id, place) = stage.set(3).await;
    let (lost, other) = stage.set(2).await;
    stage.set(0).await;
    let note = stage
        .environment
        .state
        .root()
        .join("covered")
        .join(id.to_string());
    std::fs::create_dir_all(note.parent().unwrap()).unwrap();
    std::fs::write(&note, "").unwrap();
    let below = stage.dir.path().join("below");
    std::fs::rename(&place, &below).unwrap();
    std::fs::remove_dir_all(other).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    let told = format!(
        "lies below its mount point: unmount it, move what is there ({})",
        place.display()
    );
    assert!(run.reason.contains(&told), "{}", run.reason);
    assert_eq!(stage.row(id).await.deletion, Deletion::None);
    assert_eq!(stage.row(lost).await.deletion, Deletion::Deleted);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::rename(&below, &place).unwrap();
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    assert!(!note.exists(), "it lies on the right disk");
}

#[tokio::test]
async fn a_set_is_not_forgotten_in_the_place_whose_disk_is_away() {
    let stage = Stage::new("{ last = 1 }", "delete").await;
    let (id, place, other, copy) = stage.two_and_a_copy_of_the_older().await;
    let away = stage.dir.path().join("away");
    std::fs::rename(&other, &away).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    assert!(
        run.reason
            .contains("another copy should lie where no disk may be mounted"),
        "{}",
        run.reason
    );
    assert!(place.is_dir());
    assert_eq!(stage.catalog().removals(id).await.unwrap().len(), 0);
    std::fs::rename(&away, &other).unwrap();
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    assert!(!place.exists() && !copy.exists());
}

#[tokio::test]
async fn a_removal_is_not_taken_for_done_where_its_folder_is_not_looked_at() {
    for keeps_another in [false, true] {
        let stage = Stage::new("{ last = 9 }", "delete").await;
        let (id, place) = stage.copy(3, |_| {}).await;
        stage.copy(0, |_| {}).await;
        let mark = format!(
            "retention job prune on n1: no rule keeps it; in [{place:?}]; its removal failed: I/O error"
        );
        stage.catalog().mark_deleting(id, &mark).await.unwrap();
        let path = stage.catalog().paths().await.unwrap().remove(0);
        stage.catalog().remove_path(path.id).await.unwrap();
        if keeps_another {
            stage.know(&stage.dir.path().join("data/other")).await;
        }
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Warned, "{}", run.reason);
        let told = format!("the removal of set {id} from {} was begun", place.display());
        assert!(run.reason.contains(&told), "{}", run.reason);
        assert_eq!(
            stage.row(id).await.deletion,
            Deletion::Deleting,
            "{keeps_another}"
        );
        assert!(stage.catalog().removals(id).await.unwrap().is_empty());
        // It is looked at again, and a rule keeps it.
        stage.catalog().add_path(&path).await.unwrap();
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
        assert_eq!(stage.row(id).await.deletion, Deletion::None);
        assert!(place.join(MANIFEST_FILE).is_file());
    }
}

#[tokio::test]
async fn a_removal_is_not_taken_for_done_where_its_mark_names_no_folder() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let (id, place) = stage.copy(3, |_| {}).await;
    let (own, own_place) = stage.set(2).await;
    stage.copy(0, |_| {}).await;
    for id in [id, own] {
        let mark = "retention job prune on n1: no rule keeps it";
        stage.catalog().mark_deleting(id, mark).await.unwrap();
    }
    let away = stage.dir.path().join("away");
    std::fs::rename(&place, &away).unwrap();
    std::fs::remove_dir_all(own_place).unwrap();
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    let told = format!("the removal of set {id} was begun, and its mark does not say from which folders");
    assert!(run.reason.contains(&told), "{}", run.reason);
    assert_eq!(stage.row(id).await.deletion, Deletion::Deleting);
    assert!(stage.catalog().removals(id).await.unwrap().is_empty());
    // What this machine made itself, and what should lie here, is judged as ever.
    assert!(!run.reason.contains(&own.to_string()), "{}", run.reason);
    assert_eq!(stage.row(own).await.deletion, Deletion::Deleted);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::rename(&away, &place).unwrap();
    stage.prune().await;
    assert_eq!(stage.row(id).await.deletion, Deletion::None);
}

#[tokio::test]
async fn a_removal_that_failed_half_way_is_finished_though_nothing_else_lies_where_it_was_through() {
    // Whether the place that it has emptied is there; whether the mark names it.
    for (is_there, is_named) in [(true, true), (true, false), (false, true)] {
        let stage = Stage::new("{ last = 1 }", "delete").await;
        let (id, place, other, copy) = stage.two_and_a_copy_of_the_older().await;
        let mut places = vec![&place];
        places.extend(is_named.then_some(&copy));
        let mark = format!(
            "retention job prune on n1: no rule keeps it; in {places:?}; its removal failed: I/O error"
        );
        stage.catalog().mark_deleting(id, &mark).await.unwrap();
        std::fs::remove_dir_all(&copy).unwrap();
        if !is_there {
            std::fs::remove_dir_all(&other).unwrap();
        }
        std::fs::rename(&place, aside(&place)).unwrap();
        std::fs::remove_file(aside(&place).join(MANIFEST_FILE)).unwrap();
        let run = stage.prune().await;
        let is_finished = is_there && is_named;
        assert_eq!(run.state == RunState::Succeeded, is_finished, "{}", run.reason);
        assert_eq!(!aside(&place).exists(), is_finished, "{}", run.reason);
        // Its maker has it still.
        let expected = match is_finished {
            true => Deletion::None,
            false => Deletion::Deleting,
        };
        assert_eq!(stage.row(id).await.deletion, expected, "{}", run.reason);
    }
}

#[tokio::test]
async fn the_machine_of_a_mark_is_found_whatever_its_job_is_called() {
    let stage = Stage::new("{ last = 9 }", "delete").await;
    let (id, _) = stage.copy(3, |_| {}).await;
    stage.heard_of("bh").await;
    for job in ["clean", "clean on monday", "clean on n1: old"] {
        let mark = format!("retention job {job} on bh: no rule keeps it");
        stage.catalog().mark_deleting(id, &mark).await.unwrap();
        let told = stage.told(id).await;
        assert!(
            told.contains("another machine removes its own copy"),
            "{job}: {told}"
        );
    }
}

impl Stage {
    /// Unmounts what is at `data`, if anything is, and mounts another disk there.
    pub(super) fn change_disks(&self, out: &str, into: Option<&str>) {
        let (data, dir) = (self.dir.path().join("data"), self.dir.path());
        std::fs::rename(&data, dir.join(out)).unwrap();
        match into {
            Some(into) => std::fs::rename(dir.join(into), &data).unwrap(),
            None => std::fs::create_dir(&data).unwrap(),
        }
    }

    async fn missing_of(&self, id: BackupId) -> usize {
        let row = self.row(id).await;
        mykeeper_daemon::jobs::verify::look_here(&self.environment, &row)
            .await
            .unwrap()
            .gone
            .len()
    }

    pub(super) async fn are_there(&self, ids: &[BackupId]) -> bool {
        for id in ids {
            if self.row(*id).await.deletion != Deletion::None {
                return false;
            }
        }
        true
    }
}

#[tokio::test]
async fn disks_that_are_changed_in_turn_cost_no_set_of_the_one_that_is_out() {
    for action in ["mark", "delete"] {
        let stage = Stage::new("{ last = 9 }", action).await;
        let mut on_a = vec![stage.set(9).await.0, stage.set(8).await.0];
        assert_eq!(stage.prune().await.state, RunState::Succeeded);
        stage.change_disks("a", None);
        let data = stage.dir.path().join("data");
        std::fs::write(data.join(".mykeeper"), "").unwrap();
        let (on_b, _) = stage.set(7).await;
        for _ in 0..2 {
            let run = stage.prune().await;
            assert_eq!(run.state, RunState::Warned, "{}", run.reason);
            let told = format!("2 sets that should lie in {} are not on the disk", data.display());
            assert!(run.reason.contains(&told), "{}", run.reason);
            assert!(stage.are_there(&on_a).await, "{}", run.reason);
            assert_eq!(stage.missing_of(on_a[0]).await, 0, "nobody has looked at it");
        }
        stage.change_disks("b", Some("a"));
        on_a.push(stage.set(6).await.0);
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Warned, "{}", run.reason);
        assert!(stage.are_there(&[on_b]).await, "{}", run.reason);
        // What is removed from the disk that is in has gone, also the last of all that it had.
        stage.change_disks("a", Some("b"));
        std::fs::remove_dir_all(stage.row(on_b).await.dir).unwrap();
        let run = stage.prune().await;
        assert_eq!(
            stage.row(on_b).await.deletion,
            Deletion::Deleted,
            "{}",
            run.reason
        );
        assert!(stage.are_there(&on_a).await, "{}", run.reason);
        // A disk that is lost for good is told by the command that the pass names.
        let (_, command) = run.reason.split_once("give up what is not here: ").unwrap();
        let command = command.split_once("; none of them").unwrap().0;
        let ended = std::process::Command::new("sh").args(["-c", command]).status();
        assert!(ended.unwrap().success(), "{command}");
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
        for id in on_a {
            assert_eq!(stage.row(id).await.deletion, Deletion::Deleted, "{}", run.reason);
        }
    }
}

#[tokio::test]
async fn a_folder_without_an_identity_is_not_the_disk_that_a_set_was_seen_on() {
    let stage = Stage::new("{ last = 9 }", "mark").await;
    let (id, _) = stage.set(9).await;
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    let (unseen, _) = stage.set(8).await;
    stage.change_disks("a", None);
    stage.set(7).await;
    // Made while the disk was away, by whoever marks nothing.
    let run = stage.prune().await;
    assert_eq!(run.state, RunState::Warned, "{}", run.reason);
    assert!(stage.are_there(&[id, unseen]).await, "{}", run.reason);
}

#[tokio::test]
async fn sets_of_a_day_whose_folder_leads_to_a_disk_that_is_away_are_not_gone() {
    let stage = Stage::new("{ last = 9 }", "mark").await;
    let (id, place) = stage.set(9).await;
    stage.set(0).await;
    let (day, other) = (place.parent().unwrap(), stage.dir.path().join("bigger"));
    std::fs::rename(day, &other).unwrap();
    std::os::unix::fs::symlink(&other, day).unwrap();
    assert_eq!(stage.prune().await.state, RunState::Succeeded);
    std::fs::rename(&other, stage.dir.path().join("unplugged")).unwrap();
    for is_mount_point in [false, true] {
        if is_mount_point {
            std::fs::create_dir(&other).unwrap();
        }
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Warned, "{}", run.reason);
        assert!(stage.are_there(&[id]).await, "{}", run.reason);
        // Nobody says of it that it is the right one: each set is given up by its name.
        let told = format!("\"mykeeper mark-deleted --bk-id {id}\"");
        assert!(
            run.reason.contains(&told) && !run.reason.contains(".mykeeper"),
            "{}",
            run.reason
        );
    }
}

#[tokio::test]
async fn a_restore_of_what_is_not_here_tells_where_it_was_last_seen() {
    use mykeeper_daemon::jobs::restore::prepare;
    use mykeeper_domain::job::{RestoreFrom, RestoreTask};
    let stage = Stage::with_servers(CENTRAL, "{ last = 9 }", "delete").await;
    let (id, place) = stage.set(3).await;
    std::fs::remove_dir_all(place).unwrap();
    let task = RestoreTask {
        set: id,
        into: "shop".parse().unwrap(),
        databases: vec![],
        new_name: None,
        tables: vec![],
        overwrite: false,
        from: RestoreFrom::Any,
        despite_missing_rights: false,
    };
    let obstacle = async || match prepare(&stage.environment, &task).await {
        Ok(_) => panic!("it is not here"),
        Err(obstacle) => obstacle.to_string(),
    };
    let told = obstacle().await;
    assert!(!told.contains("last seen"), "{told}");
    stage.sent_to(id, ("vault", "rsync://vault1/m/x")).await;
    stage.clock.advance(TimeDelta::minutes(1));
    stage.found("bh", (id, Path::new("/copies/x")), false).await;
    stage.found("dr", (id, Path::new("/damaged/x")), true).await;
    let told = obstacle().await;
    let seen = "; last seen as it was written: /copies/x on bh, 2026-11-22 07:31 UTC; \
                at vault (rsync://vault1/m/x), 2026-11-22 07:30 UTC";
    assert!(told.contains(seen) && !told.contains("/damaged"), "{told}");
}
