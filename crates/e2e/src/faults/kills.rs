//! kill -9: of the daemon, of everything at once, of each tool.

use super::Trial;
use super::stage::{Engine, Setting, Stage};
use crate::processes::ProcessId;
use std::time::Duration;

/// How long a phase is waited for before the kill comes anyhow.
const PHASE_WITHIN: Duration = Duration::from_secs(8);

/// How long a tool is waited for that is to be killed: a whole dump comes before it is proven.
const TOOL_WITHIN: Duration = Duration::from_secs(60);

/// When the daemon is killed.
const INSTANTS: [&str; 7] = [
    "start", "any time", "any time", "mydumper", "rsync", "myloader", "mariadbd",
];

pub(super) fn of_daemon_over_sqlite(trial: &mut Trial) {
    let rounds = trial.plan.iterations;
    of_daemon(trial, Engine::Sqlite, rounds);
}

pub(super) fn of_daemon_over_mariadb(trial: &mut Trial) {
    let rounds = trial.plan.rounds(2, 2);
    of_daemon(trial, Engine::MariaDb, rounds);
}

fn of_daemon(trial: &mut Trial, engine: Engine, rounds: u32) {
    let mut stage = Stage::with(
        trial,
        Setting {
            engine,
            near: true,
            ..Setting::default()
        },
    );
    stage.start();
    for round in 0..rounds {
        // The first kills meet each phase once, whatever the seed; the others meet any.
        let instant = match INSTANTS.get(1 + round as usize) {
            Some(instant) => instant,
            None => trial.dice.pick(&INSTANTS),
        };
        match instant {
            "start" => {
                stage.kill();
                stage.begin();
                std::thread::sleep(trial.dice.millis(0, 400));
            }
            "any time" => std::thread::sleep(trial.dice.millis(0, 5_000)),
            tool => {
                stage.await_tool(tool, PHASE_WITHIN);
                std::thread::sleep(trial.dice.millis(0, 400));
            }
        }
        if trial.dice.percent(25) {
            stage.kill_everything();
            trial.count("with all its children");
        } else {
            stage.kill();
            trial.count("alone");
        }
        if trial.dice.percent(50) {
            std::thread::sleep(trial.dice.millis(0, 2_500));
        }
        stage.start();
        stage.look_for_strangers(trial);
    }
    stage.restore_after(trial);
}

pub(super) fn of_tools(trial: &mut Trial) {
    let tools = ["mydumper", "rsync", "myloader", "mariadbd"];
    let rounds = trial.plan.rounds(10, 1);
    let mut stage = Stage::with(
        trial,
        Setting {
            near: true,
            ..Setting::default()
        },
    );
    // Slow enough that a tool is met while it works.
    stage.source_link.set_rate(4_000_000);
    stage.vault_link.set_rate(2_000_000);
    stage.start();
    for _ in 0..rounds {
        for tool in tools {
            // One that is asked its version may be gone before the kill comes.
            let hit = (0..20).any(|_| {
                let found = stage.await_tool(tool, TOOL_WITHIN);
                assert!(!found.is_empty(), "no {tool} came to be killed");
                std::thread::sleep(trial.dice.millis(0, 300));
                let found = stage.tools(tool);
                found.iter().for_each(ProcessId::kill);
                !found.is_empty()
            });
            assert!(hit, "every {tool} was gone before it could be killed");
            trial.count(tool);
        }
    }
    stage.source_link.set_rate(0);
    stage.vault_link.set_rate(0);
    stage.finish(trial);
}
