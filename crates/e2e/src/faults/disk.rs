//! The disk of sets, of the sandbox and of state: full by bytes and by inodes, read-only, slow.

use super::Trial;
use super::stage::{Setting, Stage};
use crate::scratch::{Tmpfs, is_root};
use rustix::process::Signal;
use std::time::{Duration, Instant};

pub(super) fn of_sets(trial: &mut Trial) {
    let kinds = ["bytes", "inodes", "read-only", "slow"];
    inject(
        trial,
        ("sets", "size=96m,nr_inodes=6000,mode=0755"),
        &kinds,
        "mydumper",
    );
}

pub(super) fn of_sandbox(trial: &mut Trial) {
    let kinds = ["bytes", "inodes", "read-only", "slow"];
    inject(
        trial,
        ("sandbox", "size=600m,nr_inodes=9000,mode=1777"),
        &kinds,
        "mariadbd",
    );
}

pub(super) fn of_state(trial: &mut Trial) {
    // The open catalog keeps its file system writable: a state_dir that is read-only is met at the daemon's start.
    inject(
        trial,
        ("state", "size=48m,nr_inodes=4000,mode=0700"),
        &["bytes", "inodes"],
        "mydumper",
    );
}

fn inject(trial: &mut Trial, (place, options): (&str, &str), kinds: &[&str], tool: &str) {
    if !is_root() {
        return trial.skip("only root can mount a file system that can be full");
    }
    let mut stage = Stage::with(trial, Setting::default());
    let Some(disk) = stage.mount(place, options) else {
        return trial.skip("a file system that can be full cannot be mounted here");
    };
    let rounds = trial.plan.rounds(25, 1);
    stage.source_link.set_rate(4_000_000);
    stage.start();
    for _ in 0..rounds {
        for kind in kinds {
            // Before, while and after a tool writes there.
            if trial.dice.percent(75) {
                stage.await_tool(tool, Duration::from_secs(12));
            }
            std::thread::sleep(trial.dice.millis(0, 400));
            let lasts = trial.lasts((800, 2_000), (1_500, 6_000));
            match *kind {
                "bytes" => disk.fill_bytes(trial.dice.pick(&[0, 20_000, 300_000, 900_000])),
                "inodes" => disk.fill_inodes(trial.dice.pick(&[0, 3, 20])),
                "read-only" => read_only(&disk),
                _ => slow_down(&stage, tool, lasts),
            }
            if *kind != "slow" {
                std::thread::sleep(lasts);
            }
            if *kind == "read-only" {
                assert!(disk.read_only(false), "{place} can be written again");
            }
            disk.make_room();
            trial.count(kind);
        }
    }
    stage.source_link.set_rate(0);
    drop(disk);
    stage.finish(trial);
}

/// As soon as nobody has a file open for writing; not at all when somebody always has.
fn read_only(disk: &Tmpfs) {
    let began = Instant::now();
    while !disk.read_only(true) && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// There is no disk here that could be slowed down: whoever writes is stopped most of the time.
fn slow_down(stage: &Stage, tool: &str, lasts: Duration) {
    let began = Instant::now();
    while began.elapsed() < lasts {
        let writers = stage.tools(tool);
        writers.iter().for_each(|writer| writer.signal(Signal::STOP));
        std::thread::sleep(Duration::from_millis(180));
        writers.iter().for_each(|writer| writer.signal(Signal::CONT));
        std::thread::sleep(Duration::from_millis(20));
    }
}
