//! `user_backup`: the sets, pybackup's and ours.

mod list;
mod pages;
mod row;
mod waiting;

use crate::contents::{PART_BYTES, STATEMENT_BYTES, batch_bytes, batches, pack};
use crate::db::{Fault, STATEMENT_LIMIT, Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{ms, signed, to_json};
use crate::zone::to_wall;
use chrono::{DateTime, Utc};
pub(crate) use list::{count_deleted, list};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{FileEntry, Manifest};
pub(crate) use pages::{Narrow, Order, Stream, Walk, rows, rows_by_name, streams_of};
use row::consistency_word;
pub(crate) use row::{BackupRow, columns, into_list};
use sqlx::QueryBuilder;
use std::time::Duration;
pub(crate) use waiting::{here, waiting};

/// What each statement of half a megabyte adds to the time that writing a set may take.
const LIMIT_PER_BATCH: Duration = Duration::from_secs(5);

macro_rules! insert_row {
    ($tx:ident, $backup:ident, $zone:expr, $databases:ident, $transfer_to:ident) => {
        sqlx::query(
            "INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, backuped_db, \
             is_complete, bk_size, bk_dir, transfer_start, transfer_end, transfer_complete, remote_dest, \
             master_status, slave_status, tool_version, server_version, pybackup_version, bk_command, tag, \
             is_deleted, validate_status, node, job, run_id, bk_bytes, databases_json, reason, consistency, \
             transfer_to, started_ms, finished_ms, transfer_started_ms, transfer_finished_ms, deletion, \
             deletion_reason, manifest_blake3, lock_waited_ms, lock_held_ms, rebuilt_ms, original_gone_ms, transfer_elapsed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
             ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind($backup.id.to_string())
        .bind($backup.bk_server.as_str())
        .bind(to_wall($backup.started_at, $zone))
        .bind(to_wall($backup.finished_at, $zone))
        .bind($backup.elapsed_seconds)
        .bind($backup.selected_by.clone().unwrap_or_else(|| $backup.databases.join(",")))
        .bind($backup.complete.iter().map(|part| if *part { "Y" } else { "N" }).collect::<Vec<_>>().join(","))
        .bind($backup.size_text.as_str())
        .bind($backup.dir.to_string_lossy().into_owned())
        .bind($backup.transfer_started_at.map(|at| to_wall(at, $zone)))
        .bind($backup.transfer_finished_at.map(|at| to_wall(at, $zone)))
        .bind($backup.transfer_complete.as_str())
        .bind($backup.remote_dest.as_str())
        .bind($backup.master_status.as_str())
        .bind($backup.slave_status.as_str())
        .bind($backup.tool_version.as_str())
        .bind($backup.server_version.as_str())
        .bind($backup.pybackup_version.as_str())
        .bind($backup.command.as_str())
        .bind($backup.tag.as_str())
        .bind(if $backup.deletion == Deletion::Deleted { "Y" } else { "N" })
        .bind($backup.validate_status.as_str())
        .bind($backup.node.as_ref().map(|node| node.as_str()))
        .bind($backup.job.as_ref().map(|job| job.as_str()))
        .bind($backup.run_id.map(|id| id.to_string()))
        .bind($backup.size_bytes.map(signed))
        .bind($databases.as_str())
        .bind($backup.reason.as_deref())
        .bind($backup.consistency.map(consistency_word))
        .bind($transfer_to.as_str())
        .bind(ms($backup.started_at))
        .bind(ms($backup.finished_at))
        .bind($backup.transfer_started_at.map(ms))
        .bind($backup.transfer_finished_at.map(ms))
        .bind($backup.deletion.as_str())
        .bind($backup.deletion_reason.as_deref())
        .bind($backup.manifest_blake3.as_deref())
        .bind($backup.lock_waited_ms.map(signed))
        .bind($backup.lock_held_ms.map(signed))
        .bind($backup.rebuilt_at.map(ms))
        .bind($backup.original_gone_at.map(ms))
        .bind(
            $backup
                .transfer_started_at
                .zip($backup.transfer_finished_at)
                .map(|(from, to)| (to - from).num_seconds()),
        )
        .execute(&mut *$tx)
        .await
    };
}

/// What else a set has in the catalog, ready to be written.
struct Parcel<'a> {
    databases: String,
    transfer_to: String,
    evidence: Vec<u8>,
    files: Vec<(usize, &'a [FileEntry])>,
}

impl Parcel<'_> {
    fn time_limit(&self) -> Duration {
        let statements = self.files.len() + self.evidence.len().div_ceil(PART_BYTES);
        STATEMENT_LIMIT + LIMIT_PER_BATCH * u32::try_from(statements).unwrap_or(u32::MAX)
    }
}

pub(crate) async fn insert(
    store: &Store,
    backup: &Backup,
    manifest: &Manifest,
    evidence: &Evidence,
) -> Result<bool, CatalogError> {
    const ACTION: &str = "write a set";
    let parcel = Parcel {
        databases: to_json(ACTION, &backup.databases)?,
        transfer_to: to_json(ACTION, &backup.transfer_to)?,
        evidence: pack(ACTION, evidence)?,
        files: batches(manifest),
    };
    let id = backup.id.to_string();
    let limit = parcel.time_limit();
    writing!(store, ACTION, limit, |tx| {
        let Parcel {
            databases,
            transfer_to,
            evidence,
            files,
        } = &parcel;
        match insert_row!(tx, backup, store.zone, databases, transfer_to) {
            Err(error) if is_duplicate(&error) => false,
            written => {
                written?;
                for (first, files) in files {
                    let mut query = QueryBuilder::new(
                        "INSERT INTO mk_file (bk_id, number, path, size_bytes, blake3, plain_bytes, data_rows) ",
                    );
                    query.push_values(files.iter().enumerate(), |mut row, (at, file)| {
                        row.push_bind(id.as_str())
                            .push_bind(signed((first + at) as u64))
                            .push_bind(file.path.as_str())
                            .push_bind(signed(file.size_bytes))
                            .push_bind(file.blake3.as_str())
                            .push_bind(signed(file.plain_bytes))
                            .push_bind(file.rows.map(signed));
                    });
                    // Statements of this size are not kept prepared.
                    let written = query.build().persistent(false).execute(&mut *tx).await;
                    written.map_err(|error| Fault::of_large(error, batch_bytes(files)))?;
                }
                for (number, part) in evidence.chunks(PART_BYTES).enumerate() {
                    sqlx::query("INSERT INTO mk_evidence_zstd (bk_id, part, packed) VALUES (?, ?, ?)")
                        .bind(id.as_str())
                        .bind(signed(number as u64))
                        .bind(part)
                        .execute(&mut *tx)
                        .await
                        .map_err(|error| Fault::of_large(error, STATEMENT_BYTES + part.len()))?;
                }
                if let Some(begun_at) = backup.begun_by_catalog_at {
                    sqlx::query("INSERT INTO mk_set_clock (bk_id, begun_ms) VALUES (?, ?)")
                        .bind(id.as_str())
                        .bind(ms(begun_at))
                        .execute(&mut *tx)
                        .await?;
                }
                if let Some(node) = backup.node.as_ref().filter(|_| backup.is_complete()) {
                    for destination in &backup.transfer_to {
                        sqlx::query(
                            "INSERT INTO mk_delivery (bk_id, destination, node, arrived) VALUES (?, ?, ?, 0)",
                        )
                        .bind(id.as_str())
                        .bind(destination.as_str())
                        .bind(node.as_str())
                        .execute(&mut *tx)
                        .await?;
                    }
                }
                true
            }
        }
    })
}

pub(crate) async fn one(store: &Store, id: BackupId) -> Result<Option<Backup>, CatalogError> {
    let row: Option<BackupRow> = reading!(store, "read a set", |conn| {
        sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM user_backup b WHERE b.bk_id = ?"
        ))
        .bind(id.to_string())
        .fetch_optional(&mut *conn)
        .await?
    })?;
    row.map(|row| row.into_backup(store.zone)).transpose()
}

/// What is deleted is neither sent nor verified any more.
macro_rules! forget_deliveries {
    ($tx:ident, $id:ident) => {
        sqlx::query("DELETE FROM mk_delivery WHERE bk_id = ?")
            .bind($id.to_string())
            .execute(&mut *$tx)
            .await?
    };
}

pub(crate) async fn mark_deleting(store: &Store, id: BackupId, reason: &str) -> Result<bool, CatalogError> {
    // Deliveries stay until it is deleted: the mark may be taken back.
    writing!(store, "mark a set for deletion", |tx| {
        sqlx::query(
            "UPDATE user_backup SET deletion = 'deleting', deletion_reason = ? WHERE bk_id = ? AND is_deleted <> 'Y'",
        )
        .bind(reason)
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0
    })
}

pub(crate) async fn unmark_deleting(store: &Store, id: BackupId) -> Result<bool, CatalogError> {
    writing!(store, "take back the mark of a set for deletion", |tx| {
        sqlx::query(
            "UPDATE user_backup SET deletion = 'none', deletion_reason = NULL \
             WHERE bk_id = ? AND is_deleted <> 'Y' AND deletion = 'deleting'",
        )
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0
    })
}

/// Marks it as deleted; what it comes to is whether there is such a set.
macro_rules! delete {
    ($tx:ident, $id:ident, $reason:ident, $now_ms:ident) => {{
        let marked = sqlx::query(
            "UPDATE user_backup SET is_deleted = 'Y', deletion = 'deleted', deletion_reason = ?, deleted_ms = ? \
             WHERE bk_id = ? AND (is_deleted <> 'Y' OR deletion <> 'deleted')",
        )
        .bind($reason.to_string())
        .bind($now_ms)
        .bind($id.to_string())
        .execute(&mut *$tx)
        .await?
        .rows_affected();
        if marked > 0 {
            forget_deliveries!($tx, $id);
            // Nor is it due to be read again.
            sqlx::query("UPDATE mk_verification SET gone = 1 WHERE bk_id = ?")
                .bind($id.to_string())
                .execute(&mut *$tx)
                .await?;
            true
        } else {
            // Deleted before: the first reason stays.
            let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM user_backup WHERE bk_id = ?")
                .bind($id.to_string())
                .fetch_one(&mut *$tx)
                .await?;
            there > 0
        }
    }};
}
pub(crate) use {delete, forget_deliveries};

pub(crate) async fn mark_deleted(
    store: &Store,
    id: BackupId,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, CatalogError> {
    let now_ms = ms(now);
    writing!(store, "mark a set as deleted", |tx| delete!(
        tx, id, reason, now_ms
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_set_is_given_more_time() {
        let limit = |files: usize, evidence: usize| {
            Parcel {
                databases: String::new(),
                transfer_to: String::new(),
                evidence: vec![0; evidence],
                files: vec![(0, &[]); files],
            }
            .time_limit()
        };
        assert_eq!(limit(0, 0), STATEMENT_LIMIT);
        assert_eq!(
            limit(100, PART_BYTES * 2 + 1),
            STATEMENT_LIMIT + LIMIT_PER_BATCH * 103
        );
    }
}
