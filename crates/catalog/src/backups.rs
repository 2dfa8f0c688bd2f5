//! `user_backup`: the sets, pybackup's and ours.

mod row;

use crate::contents::{PART_BYTES, batches, pack};
use crate::db::{STATEMENT_LIMIT, Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{ms, signed, to_json};
use crate::zone::to_wall;
use crate::{BackupFilter, SetState, verifications};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::damage::Damage;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{FileEntry, Manifest};
use row::consistency_word;
pub(crate) use row::{BackupRow, columns, into_list};
use sqlx::QueryBuilder;
use std::time::Duration;

/// Rows that are fetched at a time where SQL does not narrow them to the end, at least and at most.
const LEAST_PAGE: i64 = 20;
const PAGE: i64 = 500;
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
                    query.build().persistent(false).execute(&mut *tx).await?;
                }
                for (number, part) in evidence.chunks(PART_BYTES).enumerate() {
                    sqlx::query("INSERT INTO mk_evidence_zstd (bk_id, part, packed) VALUES (?, ?, ?)")
                        .bind(id.as_str())
                        .bind(signed(number as u64))
                        .bind(part)
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

/// Adds the condition on the start: exact where the instant is known, by the wall clock otherwise.
macro_rules! started_since {
    ($query:ident, $since:expr, $zone:expr) => {
        // For the index, an hour or two wide of it: the wall clock goes back once a year.
        $query
            .push(" AND b.start_time >= ")
            .push_bind(to_wall($since - TimeDelta::hours(3), $zone));
        $query.push(" AND (b.started_ms >= ").push_bind(ms($since));
        $query
            .push(" OR (b.started_ms IS NULL AND b.start_time >= ")
            .push_bind(to_wall($since, $zone));
        $query.push("))");
    };
}

/// Adds the conditions of a filter but that on what is deleted.
macro_rules! narrowed {
    ($query:ident, $filter:ident, $zone:expr) => {
        // The seed's columns take large letters for small ones and ignore spaces at the end; a filter does not.
        if let Some(tag) = &$filter.tag {
            $query.push(" AND b.tag = ").push_bind(tag.as_str());
            $query
                .push(" AND HEX(b.tag) = HEX(")
                .push_bind(tag.as_str())
                .push(")");
        }
        if let Some(server) = &$filter.server {
            $query.push(" AND b.bk_server = ").push_bind(server.as_str());
            $query
                .push(" AND HEX(b.bk_server) = HEX(")
                .push_bind(server.as_str())
                .push(")");
        }
        if let Some(node) = &$filter.node {
            $query.push(" AND b.node = ").push_bind(node.as_str());
        }
        if let Some(job) = &$filter.job {
            $query.push(" AND b.job = ").push_bind(job.as_str());
        }
        if let Some(prefix) = &$filter.id_prefix {
            // Nothing in it is a wildcard: it is the beginning of a UUID.
            $query.push(" AND b.bk_id LIKE ").push_bind(format!("{prefix}%"));
        }
        if let Some(since) = $filter.since {
            started_since!($query, since, $zone);
        }
        if let Some(state) = $filter.state {
            $query.push(condition(state));
        }
    };
}

fn condition(state: SetState) -> &'static str {
    match state {
        SetState::Complete => " AND b.is_complete LIKE '%Y%' AND b.is_complete NOT LIKE '%N%'",
        SetState::Incomplete => {
            " AND (b.is_complete IS NULL OR b.is_complete NOT LIKE '%Y%' OR b.is_complete LIKE '%N%')"
        }
        SetState::Transferred => " AND b.transfer_complete LIKE '%Y'",
        SetState::Validated => " AND b.validate_status = 'passed'",
        SetState::Proven => {
            " AND b.validate_status = 'passed' \
             AND EXISTS (SELECT 1 FROM mk_proof p WHERE p.bk_id = b.bk_id AND p.passed = 1)"
        }
        SetState::Failed => " AND b.validate_status = 'failed'",
        SetState::Damaged => {
            " AND b.is_deleted = 'N' \
             AND EXISTS (SELECT 1 FROM mk_verification v WHERE v.bk_id = b.bk_id AND v.state = 'differs')"
        }
        SetState::Unproven => {
            " AND (b.validate_status IS NULL OR b.validate_status <> 'passed') AND b.is_deleted <> 'Y'"
        }
        SetState::Deleted => " AND b.is_deleted = 'Y'",
    }
}

/// What a state asks of a set besides its row: whether every copy of it differs. Whether another copy is intact is one
/// rule, and not SQL's.
fn must_be_damaged(state: Option<SetState>) -> Option<bool> {
    match state? {
        SetState::Damaged => Some(true),
        SetState::Validated | SetState::Proven => Some(false),
        _ => None,
    }
}

pub(crate) async fn list(store: &Store, filter: &BackupFilter) -> Result<Vec<Backup>, CatalogError> {
    let wanted = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let must_be_damaged = must_be_damaged(filter.state);
    // Where more than the rows decides, page by page: what was found of other sets is not read.
    let at_a_time = match must_be_damaged {
        Some(_) => i64::from(filter.limit).clamp(LEAST_PAGE, PAGE),
        None => i64::from(filter.limit),
    };
    let mut backups = Vec::new();
    let mut passed: i64 = 0;
    loop {
        let rows = page(store, filter, (at_a_time, passed)).await?;
        let count = signed(rows.len() as u64);
        passed += count;
        let mut listed = into_list(rows, store.zone);
        if let Some(must_be) = must_be_damaged {
            let ids: Vec<BackupId> = listed.iter().map(|backup| backup.id).collect();
            let damages = verifications::damages(store, Some(&ids)).await?;
            listed.retain(|backup| {
                let damage = damages.get(&backup.id);
                damage.is_some_and(Damage::is_of_every_copy) == must_be
            });
        }
        backups.append(&mut listed);
        if must_be_damaged.is_none() || backups.len() >= wanted || count < at_a_time || count == 0 {
            break;
        }
    }
    // Within the hour that the wall clock shows twice.
    backups.sort_by_key(|backup| std::cmp::Reverse(backup.started_at));
    backups.truncate(wanted);
    Ok(backups)
}

/// So many rows after the first `passed`, the newest first.
async fn page(
    store: &Store,
    filter: &BackupFilter,
    (limit, passed): (i64, i64),
) -> Result<Vec<BackupRow>, CatalogError> {
    reading!(store, "list sets", |conn| {
        let mut query = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM user_backup b WHERE 1 = 1"));
        narrowed!(query, filter, store.zone);
        if filter.present_only {
            query.push(" AND b.is_deleted = 'N'");
        }
        query
            .push(" ORDER BY b.start_time DESC, b.id DESC LIMIT ")
            .push_bind(limit)
            .push(" OFFSET ")
            .push_bind(passed);
        query.build_query_as().fetch_all(&mut *conn).await?
    })
}

pub(crate) async fn count_deleted(store: &Store, filter: &BackupFilter) -> Result<u64, CatalogError> {
    let count: i64 = reading!(store, "count deleted sets", |conn| {
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM user_backup b WHERE b.is_deleted = 'Y'");
        narrowed!(query, filter, store.zone);
        query.build_query_scalar().fetch_one(&mut *conn).await?
    })?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(crate) async fn candidates(
    store: &Store,
    since: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<Backup>, CatalogError> {
    let rows: Vec<BackupRow> = reading!(store, "list sets to validate", |conn| {
        let mut query = QueryBuilder::new(concat!(
            "SELECT ",
            columns!(),
            " FROM user_backup b WHERE b.validate_status = 'N/A' AND b.is_deleted = 'N' AND b.deletion = 'none'"
        ));
        if let Some(since) = since {
            started_since!(query, since, store.zone);
        }
        query
            .push(" ORDER BY b.start_time DESC, b.id DESC LIMIT ")
            .push_bind(i64::from(limit));
        query.build_query_as().fetch_all(&mut *conn).await?
    })?;
    Ok(into_list(rows, store.zone))
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

pub(crate) async fn mark_original_gone(
    store: &Store,
    id: BackupId,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, CatalogError> {
    writing!(store, "note that a set's original is gone", |tx| {
        sqlx::query(
            "UPDATE user_backup SET deletion = 'none', deletion_reason = ?, \
             original_gone_ms = COALESCE(original_gone_ms, ?) WHERE bk_id = ? AND is_deleted <> 'Y'",
        )
        .bind(reason)
        .bind(ms(now))
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0
    })
}

pub(crate) async fn mark_deleted(
    store: &Store,
    id: BackupId,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, CatalogError> {
    writing!(store, "mark a set as deleted", |tx| {
        let marked = sqlx::query(
            "UPDATE user_backup SET is_deleted = 'Y', deletion = 'deleted', deletion_reason = ?, deleted_ms = ? \
             WHERE bk_id = ? AND (is_deleted <> 'Y' OR deletion <> 'deleted')",
        )
        .bind(reason)
        .bind(ms(now))
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if marked > 0 {
            forget_deliveries!(tx, id);
            true
        } else {
            // Deleted before: the first reason stays.
            let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM user_backup WHERE bk_id = ?")
                .bind(id.to_string())
                .fetch_one(&mut *tx)
                .await?;
            there > 0
        }
    })
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
