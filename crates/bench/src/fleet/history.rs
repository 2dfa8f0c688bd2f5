//! Years of 300 servers, each with its node, its job and a set every so often.

use chrono::{DateTime, TimeDelta, Utc};

/// Which engine holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    MariaDb,
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::MariaDb => "MariaDB",
        }
    }

    /// Texts one after the other.
    fn join(self, parts: &[&str]) -> String {
        match self {
            Self::Sqlite => parts.join(" || "),
            Self::MariaDb => format!("CONCAT({})", parts.join(", ")),
        }
    }

    /// The wall clock of UTC.
    fn wall(self, ms: &str) -> String {
        match self {
            Self::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%S', {ms} / 1000, 'unixepoch')"),
            Self::MariaDb => format!("TIMESTAMPADD(SECOND, {ms} DIV 1000, '1970-01-01 00:00:00')"),
        }
    }
}

/// 2024-01-01; a set each minute.
const BEGAN_MS: i64 = 1_704_067_200_000;

/// When the last set was made.
pub(super) fn end(sets: u32) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(BEGAN_MS).unwrap_or_default() + TimeDelta::minutes(sets.into())
}

pub(super) fn set_id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

pub(super) fn run_id(number: u32) -> String {
    format!("00000000-0000-4000-9000-{number:012}")
}

/// What makes it: nine of ten sets are deleted, one in two is proven, one in some hundreds is out of the common.
pub(super) fn statements((sets, runs): (u32, u32), engine: Engine) -> Vec<String> {
    let id = |group: &str| {
        let padded = engine.join(&["'000000000000'", "n"]);
        engine.join(&[
            &format!("'00000000-0000-4000-{group}-'"),
            &format!("SUBSTR({padded}, -12)"),
        ])
    };
    let (set, run) = (id("8000"), id("9000"));
    let of = |name: &str| engine.join(&[&format!("'{name}'"), "(n % 300)"]);
    let (node, job, tag, server) = (of("keeper-"), of("nightly-"), of("tag-"), of("10.0.0."));
    let at = format!("({BEGAN_MS} + n * 60000)");
    let asked = format!(
        "({BEGAN_MS} + n * {})",
        u64::from(sets) * 60_000 / u64::from(runs.max(1))
    );
    let start = engine.wall(&at);
    let gone = u64::from(sets) * 9 / 10;
    let numbers = |most: u32| {
        format!(
            "FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d + 1000000 * h.d AS n \
             FROM digit h CROSS JOIN digit g CROSS JOIN digit f CROSS JOIN digit e CROSS JOIN digit c CROSS JOIN digit b \
             CROSS JOIN digit a) numbers WHERE n < {most}"
        )
    };
    let of_sets = numbers(sets);
    let kind = "CASE WHEN n % 40001 = 0 THEN 'restore' WHEN n % 5 = 0 THEN 'validation' ELSE 'backup' END";
    let dir = engine.join(&["'/data/sets/'", "n"]);
    vec![
        "CREATE TABLE digit (d INTEGER)".to_owned(),
        "INSERT INTO digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)".to_owned(),
        format!(
            "INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, backuped_db, is_complete, \
             bk_size, bk_dir, transfer_complete, remote_dest, master_status, slave_status, tool_version, server_version, \
             bk_command, tag, is_deleted, validate_status, node, job, started_ms, finished_ms, deletion) \
             SELECT {set}, {server}, {start}, {start}, 9, 'shop', CASE WHEN n % 997 = 0 THEN 'N' ELSE 'Y' END, '1G', \
             {dir}, CASE WHEN n % 991 = 0 THEN 'N,Y' ELSE 'N/A (local backup)' END, 'N/A (local backup)', \
             'binlog.000123,4567', 'Not a slave', '0.10', '10.11', 'mydumper --compress --threads 4 --outputdir x', \
             {tag}, CASE WHEN n < {gone} THEN 'Y' ELSE 'N' END, \
             CASE WHEN n % 1013 = 0 THEN 'failed' WHEN n % 2 = 0 THEN 'passed' ELSE 'N/A' END, {node}, {job}, {at}, \
             {at}, CASE WHEN n < {gone} THEN 'deleted' ELSE 'none' END {of_sets}"
        ),
        format!(
            "INSERT INTO mk_delivery (bk_id, destination, node, arrived, ended_ms) SELECT {set}, 'vault', {node}, \
             CASE WHEN n % 601 = 0 THEN 0 ELSE 1 END, {at} {of_sets} AND n >= {gone}"
        ),
        format!(
            "INSERT INTO mk_transfer (id, bk_id, node, destination, target, number, purpose, state, started_ms, \
             finished_ms) SELECT {set}, {set}, {node}, 'vault', 'x', 1, 'send', 'succeeded', {at}, {at} {of_sets}"
        ),
        format!(
            "INSERT INTO mk_proof (id, bk_id, node, path, sandbox_version, loader_version, passed, started_ms, \
             finished_ms, load_ms, bytes_loaded, set_started_ms, chain, chain_number, digest) SELECT {set}, {set}, \
             {node}, 'x', '1', '1', 1, {at}, {at}, 9, 9, {at}, {tag}, n, 'x' {of_sets} AND n % 2 = 0"
        ),
        format!(
            "INSERT INTO mk_verification (bk_id, node, state, looked_ms, copies_json, gone) SELECT {set}, {node}, \
             CASE WHEN n % 19999 = 0 THEN 'differs' ELSE 'as-written' END, {at}, '[]', \
             CASE WHEN n < {gone} THEN 1 ELSE 0 END {of_sets}"
        ),
        format!(
            "INSERT INTO mk_job (node, job, kind, since_ms) SELECT {node}, {job}, 'backup', 1 {}",
            numbers(300)
        ),
        format!(
            "INSERT INTO mk_run (id, node, job, kind, trigger_kind, slot_ms, state, requested_ms, finished_ms) \
             SELECT {run}, {node}, {job}, {kind}, 'schedule', {asked}, CASE WHEN n % 1009 = 0 THEN 'failed' \
             WHEN n + 5 > {runs} THEN 'running' ELSE 'succeeded' END, {asked}, {asked} {}",
            numbers(runs)
        ),
        format!(
            "INSERT INTO mk_attempt (id, run_id, number, state, started_ms) SELECT {run}, {run}, 1, \
             CASE WHEN n + 5 > {runs} THEN 'running' ELSE 'succeeded' END, {asked} {}",
            numbers(runs)
        ),
    ]
}
