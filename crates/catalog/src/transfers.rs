//! `mk_transfer` and `mk_delivery`: the sets' way to their destinations.
//!
//! The seed has one place for a set's transfer: `transfer_*` and `remote_dest` tell of the first of its destinations, or of
//! one that a person chose. The others have their rows here.

use crate::backups::{self, BackupRow};
use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::filter::{Bookmark, Mark, Page};
use crate::proofs::try_again;
use crate::row::{Place, ms, signed};
use crate::verifications::{DIFFERING, MOST_DIFFERING};
use crate::zone::to_wall;
use chrono::{DateTime, Utc};
use mykeeper_domain::backup::{BACKUP_FAILED, Backup, LOCAL_BACKUP};
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, BackupId, DestinationName, NodeName};
use sqlx::{FromRow, QueryBuilder};

macro_rules! columns {
    () => {
        "id, run_id, bk_id, node, destination, target, number, purpose, state, reason, sent_bytes, started_ms, \
         finished_ms"
    };
}

#[derive(FromRow)]
struct TransferRow {
    id: String,
    run_id: Option<String>,
    bk_id: String,
    node: String,
    destination: String,
    target: String,
    number: i64,
    purpose: String,
    state: String,
    reason: Option<String>,
    sent_bytes: Option<i64>,
    started_ms: i64,
    finished_ms: Option<i64>,
}

impl TransferRow {
    fn into_transfer(self) -> Result<Transfer, CatalogError> {
        let place = Place {
            table: "mk_transfer",
            id: &self.id,
        };
        Ok(Transfer {
            id: place.parse("id", &self.id)?,
            run_id: place.parse_some("run_id", self.run_id.as_ref())?,
            bk_id: place.parse("bk_id", &self.bk_id)?,
            node: place.parse("node", &self.node)?,
            destination: place.parse("destination", &self.destination)?,
            target: self.target,
            number: place.count("number", self.number)?,
            purpose: place.parse("purpose", &self.purpose)?,
            state: place.parse("state", &self.state)?,
            reason: self.reason,
            sent_bytes: self
                .sent_bytes
                .map(|bytes| place.count("sent_bytes", bytes))
                .transpose()?,
            started_at: place.instant("started_ms", self.started_ms)?,
            finished_at: place.instant_some("finished_ms", self.finished_ms)?,
        })
    }
}

/// Whether a set goes to this destination beside its first: then the seed's columns tell of that one.
macro_rules! is_beside {
    ($tx:ident, $transfer:ident) => {{
        let transfer_to: Option<Option<String>> =
            sqlx::query_scalar("SELECT transfer_to FROM user_backup WHERE bk_id = ?")
                .bind($transfer.bk_id.to_string())
                .fetch_optional(&mut *$tx)
                .await?;
        let named: Vec<String> = transfer_to
            .flatten()
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default();
        named
            .iter()
            .skip(1)
            .any(|name| name == $transfer.destination.as_str())
    }};
}

macro_rules! insert_transfer {
    ($tx:ident, $transfer:ident) => {
        sqlx::query(
            "INSERT INTO mk_transfer (id, run_id, bk_id, node, destination, target, number, purpose, state, reason, \
             sent_bytes, started_ms, finished_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind($transfer.id.to_string())
        .bind($transfer.run_id.map(|id| id.to_string()))
        .bind($transfer.bk_id.to_string())
        .bind($transfer.node.as_str())
        .bind($transfer.destination.as_str())
        .bind($transfer.target.as_str())
        .bind(i64::from($transfer.number))
        .bind($transfer.purpose.as_str())
        .bind($transfer.state.as_str())
        .bind($transfer.reason.as_deref())
        .bind($transfer.sent_bytes.map($crate::row::signed))
        .bind(ms($transfer.started_at))
        .bind($transfer.finished_at.map(ms))
        .execute(&mut *$tx)
        .await
    };
}

/// What retention has removed at its destination (2) is neither compared there nor sent there again.
macro_rules! set_removed {
    ($tx:ident, $transfer:ident) => {
        sqlx::query("UPDATE mk_delivery SET arrived = 2 WHERE bk_id = ? AND destination = ? AND arrived = 1")
            .bind($transfer.bk_id.to_string())
            .bind($transfer.destination.as_str())
            .execute(&mut *$tx)
            .await?
    };
}
pub(crate) use {insert_transfer, set_removed};

pub(crate) async fn start(store: &Store, transfer: &Transfer, remote_dest: &str) -> Result<(), CatalogError> {
    writing!(store, "start a transfer", |tx| {
        match insert_transfer!(tx, transfer) {
            // The same attempt again: its first answer was lost on the way.
            Err(error) if is_duplicate(&error) => {}
            written => {
                written?;
                if transfer.purpose == TransferPurpose::Send && !is_beside!(tx, transfer) {
                    sqlx::query(
                        "UPDATE user_backup SET remote_dest = ?, \
                         transfer_started_ms = CASE WHEN transfer_start IS NULL THEN ? ELSE transfer_started_ms END, \
                         transfer_start = COALESCE(transfer_start, ?) WHERE bk_id = ?",
                    )
                    .bind(remote_dest)
                    .bind(ms(transfer.started_at))
                    .bind(to_wall(transfer.started_at, store.zone))
                    .bind(transfer.bk_id.to_string())
                    .execute(&mut *tx)
                    .await?;
                }
            }
        }
    })
}

/// What the end of an attempt means for its set.
struct Ending {
    /// Appended to `transfer_complete`.
    mark: Option<&'static str>,
    /// Whether the set is at the destination now; `None`: as before.
    arrived: Option<bool>,
}

fn ending(purpose: TransferPurpose, state: RunState) -> Ending {
    match purpose {
        TransferPurpose::Send if state.is_success() => Ending {
            mark: Some("Y"),
            arrived: Some(true),
        },
        // Not even tried: whatever arrived before is still there.
        TransferPurpose::Send if state == RunState::Skipped => Ending {
            mark: None,
            arrived: None,
        },
        TransferPurpose::Send => Ending {
            mark: Some("N"),
            arrived: None,
        },
        // A verification that was cut off has seen nothing.
        TransferPurpose::Verify if state == RunState::Failed => Ending {
            mark: Some("N"),
            arrived: Some(false),
        },
        TransferPurpose::Verify | TransferPurpose::Ahead | TransferPurpose::Clear => Ending {
            mark: None,
            arrived: None,
        },
    }
}

macro_rules! append_mark {
    ($tx:ident, $transfer:ident, $mark:ident) => {
        sqlx::query(
            "UPDATE user_backup SET transfer_complete = CASE WHEN transfer_complete IN ('', ?, ?) THEN ? \
             ELSE transfer_complete || ',' || ? END WHERE bk_id = ?",
        )
        .bind(LOCAL_BACKUP)
        .bind(BACKUP_FAILED)
        .bind($mark)
        .bind($mark)
        .bind($transfer.bk_id.to_string())
        .execute(&mut *$tx)
        .await?
    };
}

macro_rules! set_times {
    ($tx:ident, $transfer:ident, $end:ident, $zone:expr) => {{
        // What went ahead in the same run is part of the way.
        let ahead: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(started_ms) FROM mk_transfer \
             WHERE bk_id = ? AND destination = ? AND purpose = ? AND run_id = ?",
        )
        .bind($transfer.bk_id.to_string())
        .bind($transfer.destination.as_str())
        .bind(TransferPurpose::Ahead.as_str())
        .bind($transfer.run_id.map(|id| id.to_string()))
        .fetch_one(&mut *$tx)
        .await?;
        let began = ahead.unwrap_or(i64::MAX).min(ms($transfer.started_at));
        sqlx::query(
            "UPDATE user_backup SET transfer_end = ?, transfer_finished_ms = ?, transfer_elapsed = ? WHERE bk_id = ?",
        )
        .bind(to_wall($end.finished_at, $zone))
        .bind(ms($end.finished_at))
        .bind(ms($end.finished_at).saturating_sub(began) / 1000)
        .bind($transfer.bk_id.to_string())
        .execute(&mut *$tx)
        .await?
    }};
}

/// Where the attempt leaves the set: at its destination, not there, or as before but looked at again.
macro_rules! set_delivery {
    ($tx:ident, $transfer:ident, $end:ident, $arrived:expr) => {{
        let arrived: Option<i64> = $arrived.map(i64::from);
        let known = sqlx::query(
            "UPDATE mk_delivery SET arrived = COALESCE(?, arrived), ended_ms = ? WHERE bk_id = ? AND destination = ?",
        )
        .bind(arrived)
        .bind(ms($end.finished_at))
        .bind($transfer.bk_id.to_string())
        .bind($transfer.destination.as_str())
        .execute(&mut *$tx)
        .await?
        .rows_affected();
        // Sent by hand to where it was not meant to go, or deleted meanwhile: only what arrived and is there counts.
        if known == 0 && arrived == Some(1) {
            sqlx::query(
                "INSERT INTO mk_delivery (bk_id, destination, node, arrived, ended_ms) \
                 SELECT ?, ?, ?, 1, ? FROM user_backup b \
                 WHERE b.bk_id = ? AND b.is_deleted <> 'Y' AND b.deletion = 'none'",
            )
            .bind($transfer.bk_id.to_string())
            .bind($transfer.destination.as_str())
            .bind($transfer.node.as_str())
            .bind(ms($end.finished_at))
            .bind($transfer.bk_id.to_string())
            .execute(&mut *$tx)
            .await?;
        }
    }};
}

pub(crate) async fn finish(
    store: &Store,
    id: AttemptId,
    end: &RunEnd,
    sent_bytes: Option<u64>,
) -> Result<bool, CatalogError> {
    writing!(store, "finish a transfer", |tx| {
        let ended = sqlx::query(
            "UPDATE mk_transfer SET state = ?, reason = ?, sent_bytes = COALESCE(?, sent_bytes), finished_ms = ? \
             WHERE id = ? AND state IN ('queued', 'running')",
        )
        .bind(end.state.as_str())
        .bind(end.reason.as_deref())
        .bind(sent_bytes.map(signed))
        .bind(ms(end.finished_at))
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0;
        if ended {
            let row: TransferRow =
                sqlx::query_as(concat!("SELECT ", columns!(), " FROM mk_transfer WHERE id = ?"))
                    .bind(id.to_string())
                    .fetch_one(&mut *tx)
                    .await?;
            let transfer = row.into_transfer()?;
            let Ending { mark, arrived } = ending(transfer.purpose, end.state);
            let is_beside = is_beside!(tx, transfer);
            if let Some(mark) = mark.filter(|_| !is_beside) {
                append_mark!(tx, transfer, mark);
            }
            if transfer.purpose == TransferPurpose::Verify {
                set_delivery!(tx, transfer, end, arrived);
            } else if transfer.purpose == TransferPurpose::Send && end.state != RunState::Skipped {
                if !is_beside {
                    set_times!(tx, transfer, end, store.zone);
                }
                set_delivery!(tx, transfer, end, arrived);
                if arrived == Some(true) {
                    try_again!(tx, transfer.bk_id, end.finished_at);
                }
            } else if transfer.purpose == TransferPurpose::Clear && end.state.is_success() {
                set_removed!(tx, transfer);
            }
        }
        ended
    })
}

pub(crate) async fn of_set(store: &Store, id: BackupId) -> Result<Vec<Transfer>, CatalogError> {
    let rows: Vec<TransferRow> = reading!(store, "list the transfers of a set", |conn| {
        sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM mk_transfer WHERE bk_id = ? ORDER BY started_ms, number, id"
        ))
        .bind(id.to_string())
        .fetch_all(&mut *conn)
        .await?
    })?;
    rows.into_iter().map(TransferRow::into_transfer).collect()
}

pub(crate) async fn unfinished(store: &Store, node: &NodeName) -> Result<Vec<Transfer>, CatalogError> {
    let rows: Vec<TransferRow> = reading!(store, "list unfinished transfers", |conn| {
        sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM mk_transfer WHERE node = ? AND state IN ('queued', 'running') ",
            // That of a run which another keeper answers for is that one's.
            "AND (? IS NULL OR NOT EXISTS (SELECT 1 FROM mk_run r WHERE r.id = mk_transfer.run_id ",
            "AND r.keeper <> ? AND r.state IN ('queued', 'running'))) ORDER BY started_ms, id"
        ))
        .bind(node.as_str())
        .bind(store.keeper.as_deref())
        .bind(store.keeper.as_deref())
        .fetch_all(&mut *conn)
        .await?
    })?;
    rows.into_iter().map(TransferRow::into_transfer).collect()
}

pub(crate) async fn pending(
    store: &Store,
    node: &NodeName,
    destination: &DestinationName,
    (after, limit): (Option<&Bookmark>, u32),
) -> Result<Page, CatalogError> {
    let rows: Vec<BackupRow> = reading!(store, "list pending transfers", |conn| {
        let mut query = QueryBuilder::new(concat!(
            "SELECT ",
            backups::columns!(),
            " FROM mk_delivery d JOIN user_backup b ON b.bk_id = d.bk_id WHERE d.node = "
        ));
        query.push_bind(node.as_str());
        query
            .push(" AND d.destination = ")
            .push_bind(destination.as_str());
        query.push(
            " AND d.arrived = 0 AND +b.node = d.node AND +b.is_deleted <> 'Y' AND b.deletion = 'none' \
             AND b.original_gone_ms IS NULL",
        );
        if let Some(Bookmark(Mark::Pending { start, id })) = after {
            query.push(" AND +b.start_time >= ").push_bind(start.as_str());
            query.push(" AND (+b.start_time > ").push_bind(start.as_str());
            query.push(" OR +b.id > ").push_bind(*id).push(")");
        }
        query
            .push(" ORDER BY b.start_time, b.id LIMIT ")
            .push_bind(i64::from(limit));
        query.build_query_as().fetch_all(&mut *conn).await?
    })?;
    let is_full = rows.len() as u64 >= u64::from(limit);
    let last = rows.last().filter(|_| is_full).and_then(BackupRow::place_in_time);
    Ok(Page {
        sets: backups::into_list(rows, store.zone),
        next: last.map(|(start, id)| Bookmark(Mark::Pending { start, id })),
    })
}

/// No node has had more destinations.
const MOST_NAMES: usize = 100;

pub(crate) async fn delivery_names(
    store: &Store,
    node: &NodeName,
) -> Result<Vec<DestinationName>, CatalogError> {
    let mut names: Vec<DestinationName> = Vec::new();
    // From one name to the next: of each an index has one entry for every set.
    while names.len() < MOST_NAMES {
        let last = names.last().map_or("", DestinationName::as_str).to_owned();
        let next: Option<String> = reading!(store, "list the destinations of sets", |conn| {
            sqlx::query_scalar(
                "SELECT destination FROM mk_delivery WHERE node = ? AND destination > ? ORDER BY destination LIMIT 1",
            )
            .bind(node.as_str())
            .bind(last.as_str())
            .fetch_optional(&mut *conn)
            .await?
        })?;
        let Some(next) = next else { break };
        let place = Place {
            table: "mk_delivery",
            id: node.as_str(),
        };
        names.push(place.parse("destination", &next)?);
    }
    Ok(names)
}

/// Copies at a destination that are to be compared; what a statement narrows them by comes after.
macro_rules! copies_at {
    ($conn:ident, ($node:ident, $destination:ident, $limit:ident), |$query:ident| $narrow:expr) => {{
        let mut $query = QueryBuilder::new(concat!(
            "SELECT CAST(d.ended_ms AS SIGNED) AS compared_ms, ",
            backups::columns!(),
            " FROM mk_delivery d JOIN user_backup b ON b.bk_id = d.bk_id WHERE d.node = "
        ));
        $query.push_bind($node.as_str());
        $query
            .push(" AND d.destination = ")
            .push_bind($destination.as_str());
        $query.push(
            " AND d.arrived = 1 AND +b.node = d.node AND +b.is_deleted <> 'Y' AND b.deletion = 'none' \
             AND b.original_gone_ms IS NULL \
             AND NOT EXISTS (SELECT 1 FROM mk_removal g \
             WHERE g.bk_id = d.bk_id AND g.node <> d.node AND g.removed_ms >= d.ended_ms \
             AND NOT EXISTS (SELECT 1 FROM mk_transfer c \
             WHERE c.bk_id = g.bk_id AND c.run_id = g.run_id AND c.purpose = 'clear'))",
        );
        // What another machine's retention has removed since would be sent again, and removed, for ever. Where it has told
        // which destinations it was, these have nothing of it, and the others stand by themselves.
        $narrow;
        $query
            .push(" ORDER BY d.ended_ms, b.id LIMIT ")
            .push_bind(i64::from($limit));
        $query
            .build_query_as::<ComparedRow>()
            .fetch_all(&mut *$conn)
            .await?
    }};
}

/// A set with the instant at which its copy was last sent or compared.
#[derive(FromRow)]
struct ComparedRow {
    compared_ms: Option<i64>,
    #[sqlx(flatten)]
    backup: BackupRow,
}

/// Sets whose looks are asked for in one statement.
const AT_A_TIME: usize = 100;

pub(crate) async fn due_verifications(
    store: &Store,
    node: &NodeName,
    destination: &DestinationName,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Backup>, CatalogError> {
    let mut rows: Vec<ComparedRow> = reading!(store, "list due verifications", |conn| {
        // Two questions, each with its index: both at once would ask of every copy what has been found of it.
        let mut rows = copies_at!(conn, (node, destination, limit), |query| query
            .push(" AND d.ended_ms < ")
            .push_bind(ms(before)));
        let differing: Vec<String> = sqlx::query_scalar(DIFFERING)
            .bind(MOST_DIFFERING)
            .fetch_all(&mut *conn)
            .await?;
        for some in differing.chunks(AT_A_TIME) {
            rows.extend(copies_at!(conn, (node, destination, limit), |query| {
                query.push(" AND d.bk_id IN (");
                let mut list = query.separated(", ");
                for id in some {
                    list.push_bind(id.as_str());
                }
                // A look at any copy found it to differ, and nobody has held the one there against the set since.
                query.push(
                    ") AND EXISTS (SELECT 1 FROM mk_verification v WHERE v.bk_id = d.bk_id AND +v.state = 'differs' \
                     AND NOT EXISTS (SELECT 1 FROM mk_transfer t WHERE t.bk_id = d.bk_id \
                     AND t.destination = d.destination AND +t.state IN ('succeeded', 'warned') \
                     AND t.finished_ms >= v.looked_ms))",
                );
            }));
        }
        rows
    })?;
    rows.sort_by_key(|row| (row.compared_ms, row.backup.id()));
    rows.dedup_by_key(|row| row.backup.id());
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let rows = rows.into_iter().map(|row| row.backup).collect();
    Ok(backups::into_list(rows, store.zone))
}
