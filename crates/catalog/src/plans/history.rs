//! Years of a fleet in small: 300 servers, each with its node and its job.

use chrono::{DateTime, Utc};

/// Sets, one each minute; four of five are deleted.
pub(super) const SETS: i64 = 12_000;
/// Runs, one each half minute.
const RUNS: i64 = 24_000;

pub(super) fn began_at() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(BEGAN_MS).unwrap()
}

/// 2026-01-01.
const BEGAN_MS: i64 = 1_767_225_600_000;

/// The identity of the set of this number.
pub(super) fn set_id(number: i64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The statements that make it, the same for both engines. `wall` makes a wall-clock time of milliseconds, with `{}` for
/// them.
pub(super) fn statements(wall: &str) -> Vec<String> {
    let id = |group: &str, number: &str| {
        format!("'00000000-0000-4000-{group}-' || SUBSTR('000000000000' || {number}, -12)")
    };
    let (set, run) = (id("8000", "n"), id("9000", "n"));
    let at = format!("({BEGAN_MS} + n * 60000)");
    let asked = format!("({BEGAN_MS} + n * 30000)");
    let start = wall.replace("{}", &at);
    let kind = "CASE WHEN n % 4001 = 0 THEN 'restore' WHEN n % 5 = 0 THEN 'validation' ELSE 'backup' END";
    // Of this many: a table of numbers from digits.
    let numbers = |most: i64| {
        format!(
            "FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n FROM digit a CROSS JOIN digit b \
             CROSS JOIN digit c CROSS JOIN digit e CROSS JOIN digit f) numbers WHERE n < {most}"
        )
    };
    vec![
        "CREATE TABLE digit (d INTEGER)".to_owned(),
        "INSERT INTO digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)".to_owned(),
        format!(
            "INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, backuped_db, is_complete, \
             bk_size, bk_dir, transfer_complete, remote_dest, master_status, slave_status, tool_version, server_version, \
             tag, is_deleted, validate_status, node, job, started_ms, finished_ms, deletion) \
             SELECT {set}, '10.0.0.' || (n % 300), {start}, {start}, 9, 'shop', \
             CASE WHEN n % 997 = 0 THEN 'N' ELSE 'Y' END, '1G', '/sets/' || n, \
             CASE WHEN n % 991 = 0 THEN 'N,Y' ELSE 'N/A (local backup)' END, 'x', 'x', 'x', '1', '1', \
             'tag-' || (n % 300), CASE WHEN n < {SETS} * 4 / 5 THEN 'Y' ELSE 'N' END, \
             CASE WHEN n % 1013 = 0 THEN 'failed' WHEN n % 2 = 0 THEN 'passed' ELSE 'N/A' END, \
             'keeper-' || (n % 300), 'nightly-' || (n % 300), {at}, {at}, \
             CASE WHEN n < {SETS} * 4 / 5 THEN 'deleted' ELSE 'none' END {}",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_delivery (bk_id, destination, node, arrived, ended_ms) SELECT {set}, 'vault', \
             'keeper-' || (n % 300), CASE WHEN n % 601 = 0 THEN 0 ELSE 1 END, {at} {} AND n >= {SETS} * 4 / 5",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_transfer (id, bk_id, node, destination, target, number, purpose, state, started_ms, \
             finished_ms) SELECT {set}, {set}, 'keeper-' || (n % 300), 'vault', 'x', 1, 'send', 'succeeded', {at}, {at} {}",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_proof (id, bk_id, node, path, sandbox_version, loader_version, passed, started_ms, \
             finished_ms, load_ms, bytes_loaded, set_started_ms, chain, chain_number, digest) SELECT {set}, {set}, \
             'keeper-' || (n % 300), 'x', '1', '1', 1, {at}, {at}, 9, 9, {at}, 'tag-' || (n % 300), n, 'x' {} AND n % 2 = 0",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_proof_database (proof_id, number, db, passed, differences_json, objects_compared, \
             rows_compared, started_ms, finished_ms) SELECT {set}, 0, 'shop', 1, '[]', 1, 1, {at}, {at} {} AND n % 2 = 0",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_proof_document (proof_id, part, json) SELECT {set}, 0, '{{}}' {} AND n % 2 = 0",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_verification (bk_id, node, state, looked_ms, copies_json, gone) SELECT {set}, \
             'keeper-' || (n % 300), CASE WHEN n % 1999 = 0 THEN 'differs' ELSE 'as-written' END, {at}, '[]', \
             CASE WHEN n < {SETS} * 4 / 5 THEN 1 ELSE 0 END {}",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_removal (bk_id, node, path, removed_ms) SELECT {set}, 'keeper-' || (n % 300), 'x', {at} {}",
            numbers(SETS)
        ),
        format!(
            "INSERT INTO mk_job (node, job, kind, since_ms) SELECT 'keeper-' || n, 'nightly-' || n, 'backup', 1 {}",
            numbers(300)
        ),
        format!(
            "INSERT INTO mk_run (id, node, job, kind, trigger_kind, slot_ms, state, requested_ms, finished_ms) \
             SELECT {run}, 'keeper-' || (n % 300), 'nightly-' || (n % 300), {kind}, 'schedule', {asked}, \
             CASE WHEN n % 1009 = 0 THEN 'failed' WHEN n > {RUNS} - 5 THEN 'running' ELSE 'succeeded' END, \
             {asked}, {asked} {}",
            numbers(RUNS)
        ),
        format!(
            "INSERT INTO mk_slot (node, job, slot_ms, run_id) \
             SELECT 'keeper-' || (n % 300), 'nightly-' || (n % 300), {asked}, {run} {}",
            numbers(RUNS)
        ),
        format!(
            "INSERT INTO mk_attempt (id, run_id, number, state, started_ms) SELECT {run}, {run}, 1, \
             CASE WHEN n > {RUNS} - 5 THEN 'running' ELSE 'succeeded' END, {asked} {}",
            numbers(RUNS)
        ),
        format!(
            "INSERT INTO mk_event (id, at_ms, node, kind, subject, message, detail_json) SELECT {run}, {asked}, \
             'keeper-' || (n % 300), 'promise-broken', 'tag-1', 'x', '{{}}' {}",
            numbers(SETS)
        ),
    ]
}
