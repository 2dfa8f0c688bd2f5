//! The catalog's server: killed, stopped, restarted, read-only, while everything else goes on.

use super::Trial;
use super::stage::{Engine, Setting, Stage, now_ms};
use rustix::process::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const KINDS: [&str; 4] = ["killed", "stopped", "restarted", "read-only"];
/// What is met: a dump, a transfer, a proof, whatever comes.
const PHASES: [&str; 4] = ["mydumper", "rsync", "myloader", ""];
/// An outage that lasts so long has a slot of a backup in it, and the time to begin it.
const TELLING: Duration = Duration::from_secs(13);
/// A catalog that says nothing is taken to be away after ten seconds.
const TELLING_IN_SILENCE: Duration = Duration::from_secs(22);

pub(super) fn inject(trial: &mut Trial) {
    let rounds = trial.plan.rounds(20, 1);
    let mut stage = Stage::with(
        trial,
        Setting {
            engine: Engine::MariaDb,
            ..Setting::default()
        },
    );
    stage.start();
    // All goes well once before anything is injected: there is something to send, prove and delete.
    stage.heal();
    // Outages in which backups had the time to go on.
    let mut telling = Vec::new();
    let kinds = if trial.plan.is_short() {
        &KINDS[..1]
    } else {
        &KINDS
    };
    for round in 0..rounds {
        for (index, kind) in kinds.iter().enumerate() {
            let phase = PHASES[(index + round as usize) % PHASES.len()];
            if !phase.is_empty() {
                stage.await_tool(phase, Duration::from_secs(12));
                std::thread::sleep(trial.dice.millis(0, 500));
            }
            let lasts = trial.lasts((14_000, 15_000), (2_000, 30_000));
            let restarts = !trial.plan.is_short() && trial.dice.percent(40);
            take_away(&mut stage, kind);
            let began = now_ms();
            if restarts {
                std::thread::sleep(lasts / 2);
                stage.kill();
                stage.begin();
                trial.count("daemon killed meanwhile");
                std::thread::sleep(lasts / 2);
            } else if trial.plan.is_short() {
                await_backup(&stage, began, lasts);
            } else {
                std::thread::sleep(lasts);
            }
            let ended = now_ms();
            give_back(&mut stage, kind);
            trial.count(kind);
            if restarts {
                // A daemon starts without its catalog: there is no excuse.
                stage.ready_after(&format!("started while the catalog was {kind}"), &[]);
            }
            let needed = match *kind {
                "stopped" => TELLING_IN_SILENCE,
                _ => TELLING,
            };
            if !restarts && lasts >= needed {
                telling.push((*kind, (began, ended)));
            }
            // Outages come one after another too, before all is well again. After the last one it is waited for anyhow.
            let is_last = round + 1 == rounds && index + 1 == kinds.len();
            if trial.dice.percent(30) && !is_last {
                stage.heal();
            }
        }
    }
    stage.heal();
    for (kind, outage) in telling {
        backups_went_on(trial, &stage, kind, outage);
    }
    stage.stop();
    stage.judge(trial);
}

/// Returns when a set that was begun after `began` is complete, and after `limit` anyhow.
fn await_backup(stage: &Stage, began: i64, limit: Duration) {
    let waited = Instant::now();
    while waited.elapsed() < limit && !has_set_since(stage, began) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The identity of a set begins with the time at which it was begun.
fn has_set_since(stage: &Stage, began: i64) -> bool {
    let entries = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries(stage.workspace.sets())
        .flat_map(|day| entries(day.path()))
        .filter(|set| set.path().join("mykeeper.manifest.json").exists())
        .filter_map(|set| {
            uuid::Uuid::parse_str(set.file_name().to_str()?)
                .ok()?
                .get_timestamp()
        })
        .any(|begun| i64::try_from(begun.to_unix().0).is_ok_and(|seconds| seconds * 1000 > began))
}

fn take_away(stage: &mut Stage, kind: &str) {
    let server = stage.keeper.as_mut().expect("the stage has a catalog server");
    match kind {
        "killed" => server.kill(),
        "stopped" => server.signal(Signal::STOP),
        "restarted" => server.stop(),
        _ => server.sql("SET GLOBAL read_only = 1"),
    }
}

fn give_back(stage: &mut Stage, kind: &str) {
    let server = stage.keeper.as_mut().expect("the stage has a catalog server");
    match kind {
        "stopped" => server.signal(Signal::CONT),
        "read-only" => server.sql("SET GLOBAL read_only = 0"),
        _ => server.start_again(),
    }
}

/// The slots that came meanwhile were run meanwhile, not once the catalog was back. What is sent, and who works on a
/// set, is for the catalog to say: a transfer may have to wait.
fn backups_went_on(trial: &mut Trial, stage: &Stage, kind: &str, (began, ended): (i64, i64)) {
    let query = format!(
        "SELECT COUNT(*) FROM user_backup WHERE started_ms > {began} AND started_ms < {ended} AND is_complete = 'Y'"
    );
    if stage.catalog().value(&query) == "0" {
        trial.findings.lost.push(format!(
            "no backup went on in the {} s in which the catalog was {kind}",
            (ended - began) / 1000
        ));
    }
}
