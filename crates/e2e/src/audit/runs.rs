//! What the catalog says of runs, and whether its tables agree with each other.

use super::{Audited, Findings};
use crate::catalog_view::CatalogView;

/// Rows that no other row accounts for: what is said of them, and how they are found.
const STRAYS: [(&str, &str); 11] = [
    (
        "an attempt of a run that is not there",
        "SELECT id FROM mk_attempt WHERE run_id NOT IN (SELECT id FROM mk_run)",
    ),
    (
        "files of a set that is not there",
        "SELECT DISTINCT bk_id FROM mk_file WHERE bk_id NOT IN (SELECT bk_id FROM user_backup)",
    ),
    (
        "evidence of a set that is not there",
        "SELECT DISTINCT bk_id FROM mk_evidence_zstd WHERE bk_id NOT IN (SELECT bk_id FROM user_backup)",
    ),
    (
        "a transfer of a set that is not there",
        "SELECT id FROM mk_transfer WHERE bk_id NOT IN (SELECT bk_id FROM user_backup)",
    ),
    (
        "a proof of a set that is not there",
        "SELECT id FROM mk_proof WHERE bk_id NOT IN (SELECT bk_id FROM user_backup)",
    ),
    (
        "a delivery of a set that is not there",
        "SELECT bk_id FROM mk_delivery WHERE bk_id NOT IN (SELECT bk_id FROM user_backup)",
    ),
    (
        "a run whose set is not there, though it went well",
        "SELECT id FROM mk_run WHERE kind = 'backup' AND state IN ('succeeded', 'warned') \
         AND (bk_id IS NULL OR bk_id NOT IN (SELECT bk_id FROM user_backup))",
    ),
    (
        "a set whose run is not there",
        "SELECT bk_id FROM user_backup WHERE run_id IS NOT NULL AND run_id NOT IN (SELECT id FROM mk_run)",
    ),
    (
        "a run done again that is not there",
        "SELECT id FROM mk_run WHERE retry_of IS NOT NULL AND retry_of NOT IN (SELECT id FROM mk_run)",
    ),
    (
        "a run done again that had gone well",
        "SELECT a.id FROM mk_run a JOIN mk_run b ON b.id = a.retry_of WHERE b.state IN ('succeeded', 'warned')",
    ),
    (
        "a lost end: a run without reason or time",
        "SELECT id FROM mk_run WHERE state NOT IN ('queued', 'running') AND (reason IS NULL OR finished_ms IS NULL)",
    ),
];

pub(super) fn look(audited: &Audited<'_>, findings: &mut Findings) {
    let catalog = &audited.catalog;
    own_checks(catalog, findings);
    nothing_waits(audited, findings);
    for (what, query) in STRAYS {
        for id in catalog.column(query) {
            findings.wrong.push(format!("{what}: {id}"));
        }
    }
    for (table, query) in [
        ("run", "SELECT id, job FROM mk_run WHERE state = 'running'"),
        (
            "attempt",
            "SELECT id, run_id FROM mk_attempt WHERE state NOT IN \
             ('succeeded', 'warned', 'failed', 'timed-out', 'stalled', 'cancelled', 'interrupted', 'skipped')",
        ),
        (
            "transfer",
            "SELECT id, bk_id FROM mk_transfer WHERE state NOT IN \
             ('succeeded', 'warned', 'failed', 'timed-out', 'stalled', 'cancelled', 'interrupted', 'skipped')",
        ),
        // One run of a job may wait for the next start.
        (
            "queued run beside another",
            "SELECT MAX(id), job FROM mk_run WHERE state = 'queued' GROUP BY job HAVING COUNT(*) > 1",
        ),
    ] {
        for row in catalog.query(query) {
            findings
                .wrong
                .push(format!("{table} {} ({}) runs, and nothing runs", row[0], row[1]));
        }
    }
    let not_complete = "SELECT r.id, b.bk_id FROM mk_run r JOIN user_backup b ON b.bk_id = r.bk_id \
                        WHERE r.kind = 'backup' AND r.state IN ('succeeded', 'warned') AND b.is_complete LIKE '%N%'";
    for row in catalog.query(not_complete) {
        findings.wrong.push(format!(
            "the run {} went well, and its set {} is not complete",
            row[0], row[1]
        ));
    }
}

/// Once the catalog is back, all that was kept for it is in it.
fn nothing_waits(audited: &Audited<'_>, findings: &mut Findings) {
    let journal = audited.workspace.at("state/journal.db");
    if journal.exists() {
        let waiting =
            CatalogView::sqlite(&journal).query("SELECT seq, COALESCE(refusal, ''), entry FROM journal");
        for row in waiting {
            findings.lost.push(format!(
                "record {} is not in the catalog: {} {}",
                row[0], row[1], row[2]
            ));
        }
    }
}

/// What the engine itself thinks of its tables.
fn own_checks(catalog: &CatalogView<'_>, findings: &mut Findings) {
    match catalog {
        CatalogView::Sqlite(_) => {
            let said = catalog.column("PRAGMA integrity_check");
            if said != ["ok"] {
                findings.wrong.push(format!("the catalog is damaged: {said:?}"));
            }
            for row in catalog.query("PRAGMA foreign_key_check") {
                findings
                    .wrong
                    .push(format!("the catalog's own references do not hold: {row:?}"));
            }
        }
        CatalogView::MariaDb(_, _) => {
            for table in catalog.column("SHOW TABLES") {
                for row in catalog.query(&format!("CHECK TABLE `{table}` EXTENDED")) {
                    if row.last().is_none_or(|said| said != "OK") {
                        findings.wrong.push(format!("the catalog is damaged: {row:?}"));
                    }
                }
            }
        }
    }
}
