//! The server that is backed up, in the middle of a dump.

use super::Trial;
use super::stage::{Setting, Stage};
use std::time::Duration;

const KINDS: [&str; 6] = [
    "killed",
    "connection killed",
    "lock held",
    "long query",
    "table dropped",
    "broken view",
];

pub(super) fn inject(trial: &mut Trial) {
    let rounds = trial.plan.rounds(25, 1);
    let mut stage = Stage::with(trial, Setting::default());
    stage.source_link.set_rate(3_000_000);
    stage.start();
    for _ in 0..rounds {
        for kind in KINDS {
            if kind == "table dropped" {
                stage.source.sql(
                    "USE shop; CREATE TABLE shop.zz_fleeting (id INT PRIMARY KEY, t TEXT); \
                     INSERT INTO shop.zz_fleeting SELECT seq, REPEAT('x', 200) FROM seq_1_to_2000",
                );
            }
            stage.await_tool("mydumper", Duration::from_secs(20));
            std::thread::sleep(trial.dice.millis(0, 900));
            one(trial, &mut stage, kind);
            trial.count(kind);
        }
    }
    stage.source_link.set_rate(0);
    stage.restore_after(trial);
}

fn one(trial: &mut Trial, stage: &mut Stage, kind: &str) {
    let lasts = trial.lasts((500, 1_500), (1_000, 12_000));
    let seconds = lasts.as_secs_f64();
    match kind {
        "killed" => {
            stage.source.kill();
            std::thread::sleep(lasts);
            stage.source.start_again();
        }
        "connection killed" => {
            let ids = stage
                .source
                .query("SELECT id FROM information_schema.processlist WHERE user = 'backup'");
            for id in ids.iter().flatten() {
                // It may have gone by itself.
                stage.source.try_sql(&format!("KILL {id}"));
            }
        }
        "lock held" => stage.source.sql(&format!(
            "LOCK TABLES shop.orders WRITE; DO SLEEP({seconds}); UNLOCK TABLES"
        )),
        "long query" => stage
            .source
            .sql(&format!("SELECT SLEEP({seconds}) FROM shop.orders LIMIT 1")),
        "table dropped" => stage.source.sql("DROP TABLE shop.zz_fleeting"),
        _ => {
            stage.source.sql(
                "CREATE TABLE shop.zz_base (id INT); CREATE VIEW shop.zz_broken AS SELECT id FROM shop.zz_base; \
                 DROP TABLE shop.zz_base",
            );
            std::thread::sleep(lasts + Duration::from_secs(3));
            stage.source.sql("DROP VIEW shop.zz_broken");
        }
    }
}
