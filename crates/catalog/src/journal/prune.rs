//! The copy holds what this node has written lately, not its whole history.

use crate::db::{Store, writing};
use crate::error::CatalogError;
use crate::row::ms;
use chrono::{DateTime, TimeDelta, Utc};

/// How long a copy of what is over is kept: a run that is under way longer than this is still there.
const KEPT: TimeDelta = TimeDelta::days(14);
/// Rows at a time: the next look takes the next.
const BATCH: i64 = 500;

/// Removes copies of what has long been over. Only while nothing waits: the shared catalog has all of it.
pub(super) async fn prune(local: &Store, now: DateTime<Utc>) -> Result<(), CatalogError> {
    let before = ms(now - KEPT);
    writing!(local, "prune the journal's copy", |tx| {
        for statement in [
            "DELETE FROM mk_attempt WHERE run_id IN (SELECT id FROM mk_run WHERE finished_ms < ? ORDER BY finished_ms LIMIT ?)",
            "DELETE FROM mk_transfer WHERE id IN (SELECT id FROM mk_transfer WHERE finished_ms < ? LIMIT ?)",
            "DELETE FROM mk_slot WHERE (node, job, slot_ms) IN (SELECT node, job, slot_ms FROM mk_slot WHERE slot_ms < ? LIMIT ?)",
            "DELETE FROM mk_run WHERE id IN (SELECT id FROM mk_run WHERE finished_ms < ? ORDER BY finished_ms LIMIT ?)",
            "DELETE FROM mk_proof_database WHERE proof_id IN (SELECT id FROM mk_proof WHERE finished_ms < ? ORDER BY finished_ms, id LIMIT ?)",
            "DELETE FROM mk_proof_document WHERE proof_id IN (SELECT id FROM mk_proof WHERE finished_ms < ? ORDER BY finished_ms, id LIMIT ?)",
            "DELETE FROM mk_proof WHERE id IN (SELECT id FROM mk_proof WHERE finished_ms < ? ORDER BY finished_ms, id LIMIT ?)",
            "DELETE FROM mk_removal WHERE id IN (SELECT id FROM mk_removal WHERE removed_ms < ? ORDER BY id LIMIT ?)",
            "DELETE FROM mk_delivery WHERE bk_id IN (SELECT bk_id FROM user_backup WHERE finished_ms < ? ORDER BY id LIMIT ?)",
            "DELETE FROM mk_set_clock WHERE bk_id IN (SELECT bk_id FROM user_backup WHERE finished_ms < ? ORDER BY id LIMIT ?)",
            "DELETE FROM user_recover_info WHERE bk_id IN (SELECT bk_id FROM user_backup WHERE finished_ms < ? ORDER BY id LIMIT ?)",
            "DELETE FROM user_backup WHERE id IN (SELECT id FROM user_backup WHERE finished_ms < ? ORDER BY id LIMIT ?)",
            "DELETE FROM mk_lease WHERE name IN (SELECT name FROM mk_lease WHERE until_ms < ? LIMIT ?)",
        ] {
            sqlx::query(statement)
                .bind(before)
                .bind(BATCH)
                .execute(&mut *tx)
                .await?;
        }
        // The contents of a set are most of what the copy holds; they are only ever asked of the shared catalog.
        let sets: Vec<String> = sqlx::query_scalar(
            "SELECT bk_id FROM mk_evidence UNION SELECT bk_id FROM mk_evidence_zstd LIMIT ?",
        )
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        for set in sets {
            for statement in [
                "DELETE FROM mk_file WHERE bk_id = ?",
                "DELETE FROM mk_evidence WHERE bk_id = ?",
                "DELETE FROM mk_evidence_zstd WHERE bk_id = ?",
            ] {
                sqlx::query(statement).bind(&set).execute(&mut *tx).await?;
            }
        }
    })
}
