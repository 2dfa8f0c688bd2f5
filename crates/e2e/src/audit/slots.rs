//! Every slot of every job, exactly once.

use super::{Audited, Findings};
use std::collections::{BTreeMap, BTreeSet};

/// A slot: its job and its time in milliseconds since 1970.
type Slot = (String, i64);

pub(super) fn look(audited: &Audited<'_>, findings: &mut Findings) {
    let mut taken: BTreeMap<Slot, Vec<String>> = BTreeMap::new();
    for row in audited.catalog.query("SELECT job, slot_ms, run_id FROM mk_slot") {
        taken
            .entry((row[0].clone(), number(&row[1])))
            .or_default()
            .push(row[2].clone());
    }
    let covered: Vec<(String, i64, i64)> = audited
        .catalog
        .query("SELECT job, covers_after_ms, slot_ms FROM mk_run WHERE covers_after_ms IS NOT NULL")
        .iter()
        .map(|row| (row[0].clone(), number(&row[1]), number(&row[2])))
        .collect();
    for (job, seconds) in crons(audited) {
        // Slots that were missed in great number may share the row of the newest of them.
        let is_covered = |slot_ms: i64| {
            covered
                .iter()
                .any(|(name, after_ms, until_ms)| *name == job && *after_ms < slot_ms && slot_ms < *until_ms)
        };
        for slot_ms in slots_between(audited.watched.ready_ms, audited.watched.until_ms, &seconds) {
            let is_taken = taken.contains_key(&(job.clone(), slot_ms));
            if is_taken && is_covered(slot_ms) {
                findings.doubled.push(format!(
                    "the slot {} of {job} has a row, and another covers it",
                    shown(slot_ms)
                ));
            }
            if !is_taken && !is_covered(slot_ms) {
                findings
                    .lost
                    .push(format!("the slot {} of {job} has no row", shown(slot_ms)));
            }
        }
        let own = taken.keys().filter(|(name, _)| *name == job);
        for (_, slot_ms) in own {
            let is_due = slot_ms % 1000 == 0 && seconds.contains(&(slot_ms / 1000).rem_euclid(60));
            if !is_due || *slot_ms < audited.watched.started_ms {
                findings.wrong.push(format!(
                    "{job} has a row for {}, which is no slot of it",
                    shown(*slot_ms)
                ));
            }
        }
    }
    each_slot_has_its_run(audited, &taken, findings);
}

fn each_slot_has_its_run(
    audited: &Audited<'_>,
    taken: &BTreeMap<Slot, Vec<String>>,
    findings: &mut Findings,
) {
    let mut ran: BTreeMap<Slot, BTreeSet<String>> = BTreeMap::new();
    let rows = audited
        .catalog
        .query("SELECT job, slot_ms, id FROM mk_run WHERE slot_ms IS NOT NULL");
    for row in rows {
        ran.entry((row[0].clone(), number(&row[1])))
            .or_default()
            .insert(row[2].clone());
    }
    for (slot, runs) in taken {
        let (job, when) = (&slot.0, shown(slot.1));
        let known = ran.remove(slot).unwrap_or_default();
        if runs.len() > 1 || known.len() > 1 {
            findings
                .doubled
                .push(format!("the slot {when} of {job} has the runs {known:?}"));
        }
        if let Some(run) = runs.iter().find(|run| !known.contains(*run)) {
            findings
                .lost
                .push(format!("the slot {when} of {job} has no run {run}"));
        }
    }
    for ((job, slot_ms), runs) in ran {
        findings.doubled.push(format!(
            "the runs {runs:?} of {job} are for {}, which they did not take",
            shown(slot_ms)
        ));
    }
}

/// Each job of the schedule and the seconds of a minute at which it is due. Of cron the suite uses `*/N * * * * *`.
fn crons(audited: &Audited<'_>) -> Vec<(String, BTreeSet<i64>)> {
    let text = std::fs::read_to_string(audited.workspace.at("schedule.toml")).expect("our own schedule.toml");
    let table: toml::Table = text.parse().expect("our own schedule.toml is TOML");
    let mut found = Vec::new();
    for jobs in table.values().filter_map(toml::Value::as_table) {
        for (name, job) in jobs {
            let Some(cron) = job.get("cron").and_then(toml::Value::as_str) else {
                continue;
            };
            let step: i64 = cron
                .strip_suffix(" * * * * *")
                .and_then(|seconds| seconds.strip_prefix("*/"))
                .and_then(|step| step.parse().ok())
                .unwrap_or_else(|| panic!("the audit cannot work out the slots of {name}: {cron}"));
            found.push((
                name.clone(),
                (0..60).filter(|second| second % step == 0).collect(),
            ));
        }
    }
    found
}

fn slots_between(from_ms: i64, until_ms: i64, seconds: &BTreeSet<i64>) -> impl Iterator<Item = i64> {
    (from_ms / 1000 + 1..=until_ms / 1000)
        .filter(|second| seconds.contains(&second.rem_euclid(60)))
        .map(|second| second * 1000)
}

fn number(text: &str) -> i64 {
    text.parse()
        .unwrap_or_else(|_| panic!("the catalog has {text:?} where a number should be"))
}

/// A time for people.
pub(crate) fn shown(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(|| ms.to_string(), |at| at.to_rfc3339())
}
