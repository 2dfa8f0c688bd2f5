//! What the daemon itself may lack: file descriptors, a state_dir that can be written, being the only one.

use super::Trial;
use super::stage::{Setting, Stage};

/// What a full disk is called by the system and by SQLite.
const IS_FULL: [&str; 2] = ["No space left on device", "disk is full"];

pub(super) fn inject(trial: &mut Trial) {
    let mut stage = Stage::with(
        trial,
        Setting {
            through: ["prlimit", "--nofile=64:64"].map(str::to_owned).to_vec(),
            ..Setting::default()
        },
    );
    let disk = stage.mount("state", "size=48m,nr_inodes=4000,mode=0700");
    stage.start();
    trial.count("64 descriptors");
    let rounds = trial.plan.rounds(25, 1);
    for _ in 0..rounds {
        std::thread::sleep(trial.dice.millis(2_000, 6_000));
        second_daemon(trial, &stage);
        let Some(disk) = &disk else { continue };
        stage.stop();
        disk.read_only(true);
        refused(trial, &stage, "read-only state_dir", "Read-only file system");
        disk.read_only(false);
        disk.fill_bytes(0);
        stage.begin();
        trial.count("full state_dir");
        std::thread::sleep(trial.dice.millis(500, 3_000));
        disk.make_room();
        // On a full disk a daemon may refuse to start, or go on as well as it can.
        stage.ready_after("started on a full state_dir", &IS_FULL);
    }
    drop(disk);
    stage.finish(trial);
}

fn second_daemon(trial: &mut Trial, stage: &Stage) {
    let first = format!("(pid {})", stage.daemon().pid());
    refused(trial, stage, "second daemon", &first);
}

/// A daemon that cannot work says so at once and ends; whoever started it sees why.
fn refused(trial: &mut Trial, stage: &Stage, kind: &str, why: &str) {
    let finished = stage.workspace.mykeeper(&["daemon"]);
    trial.count(kind);
    let said = finished.said();
    if finished.status.code() != Some(3) || said.contains("panicked") || !said.contains(why) {
        trial.findings.wrong.push(format!("{kind}: {finished}"));
    }
}
