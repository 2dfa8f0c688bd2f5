//! `mk_run`: what was run, and what was not.

use crate::RunFilter;
use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms};
use chrono::{DateTime, Utc};
use mykeeper_domain::run::{CoveredSlots, Run, RunEnd, RunState};
use mykeeper_domain::{JobName, NodeName, RunId};
use sqlx::{FromRow, QueryBuilder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

macro_rules! columns {
    ($prefix:literal) => {
        concat!(
            $prefix,
            "id, ",
            $prefix,
            "node, ",
            $prefix,
            "job, ",
            $prefix,
            "kind, ",
            $prefix,
            "trigger_kind, ",
            $prefix,
            "slot_ms, ",
            $prefix,
            "state, ",
            $prefix,
            "reason, ",
            $prefix,
            "bk_id, ",
            $prefix,
            "requested_ms, ",
            $prefix,
            "started_ms, ",
            $prefix,
            "finished_ms, ",
            $prefix,
            "log_path, ",
            $prefix,
            "planned_ms, ",
            $prefix,
            "covers_after_ms, ",
            $prefix,
            "covers_slots, ",
            $prefix,
            "retry_of"
        )
    };
}

#[derive(FromRow)]
struct RunRow {
    id: String,
    node: String,
    job: String,
    kind: String,
    trigger_kind: String,
    slot_ms: Option<i64>,
    state: String,
    reason: Option<String>,
    bk_id: Option<String>,
    requested_ms: i64,
    started_ms: Option<i64>,
    finished_ms: Option<i64>,
    log_path: Option<String>,
    planned_ms: Option<i64>,
    covers_after_ms: Option<i64>,
    covers_slots: Option<i64>,
    retry_of: Option<String>,
}

impl RunRow {
    fn into_run(self) -> Result<Run, CatalogError> {
        let place = Place {
            table: "mk_run",
            id: &self.id,
        };
        Ok(Run {
            id: place.parse("id", &self.id)?,
            node: place.parse("node", &self.node)?,
            job: place.parse("job", &self.job)?,
            kind: place.parse("kind", &self.kind)?,
            trigger: place.parse("trigger_kind", &self.trigger_kind)?,
            slot_at: place.instant_some("slot_ms", self.slot_ms)?,
            planned_at: place.instant_some("planned_ms", self.planned_ms)?,
            covers: match place.instant_some("covers_after_ms", self.covers_after_ms)? {
                Some(after) => Some(CoveredSlots {
                    after,
                    slots: place.count("covers_slots", self.covers_slots.unwrap_or_default())?,
                }),
                None => None,
            },
            retry_of: place.parse_some("retry_of", self.retry_of.as_ref())?,
            state: place.parse("state", &self.state)?,
            reason: self.reason,
            bk_id: place.parse_some("bk_id", self.bk_id.as_ref())?,
            requested_at: place.instant("requested_ms", self.requested_ms)?,
            started_at: place.instant_some("started_ms", self.started_ms)?,
            finished_at: place.instant_some("finished_ms", self.finished_ms)?,
            log_path: self.log_path.map(PathBuf::from),
        })
    }
}

fn into_runs(rows: Vec<RunRow>) -> Result<Vec<Run>, CatalogError> {
    rows.into_iter().map(RunRow::into_run).collect()
}

pub(crate) fn text(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.to_string_lossy().into_owned())
}

/// Writes rows of `mk_run`, all in one statement; never none of them.
macro_rules! insert_runs {
    ($tx:ident, $store:expr, $runs:expr) => {{
        let mut query = sqlx::QueryBuilder::new(concat!(
            "INSERT INTO mk_run (",
            $crate::runs::columns!(""),
            ", keeper) "
        ));
        query.push_values($runs, |mut row, run: &Run| {
            row.push_bind(run.id.to_string())
                .push_bind(run.node.as_str())
                .push_bind(run.job.as_str())
                .push_bind(run.kind.as_str())
                .push_bind(run.trigger.as_str())
                .push_bind(run.slot_at.map(ms))
                .push_bind(run.state.as_str())
                .push_bind(run.reason.as_deref())
                .push_bind(run.bk_id.map(|id| id.to_string()))
                .push_bind(ms(run.requested_at))
                .push_bind(run.started_at.map(ms))
                .push_bind(run.finished_at.map(ms))
                .push_bind($crate::runs::text(run.log_path.as_deref()))
                .push_bind(run.planned_at.map(ms))
                .push_bind(run.covers.map(|covers| ms(covers.after)))
                .push_bind(run.covers.map(|covers| $crate::row::signed(covers.slots)))
                .push_bind(run.retry_of.map(|id| id.to_string()))
                .push_bind($store.keeper.as_deref());
        });
        query.build().execute(&mut *$tx).await
    }};
}

/// A run of a job that is not known (yet) is still the last run of something.
macro_rules! remember_job {
    ($tx:ident, $run:ident) => {{
        let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM mk_job WHERE node = ? AND job = ?")
            .bind($run.node.as_str())
            .bind($run.job.as_str())
            .fetch_one(&mut *$tx)
            .await?;
        if there == 0 {
            let written = sqlx::query("INSERT INTO mk_job (node, job, kind) VALUES (?, ?, ?)")
                .bind($run.node.as_str())
                .bind($run.job.as_str())
                .bind($run.kind.as_str())
                .execute(&mut *$tx)
                .await;
            match written {
                Err(error) if is_duplicate(&error) => {}
                written => {
                    written?;
                }
            }
        }
    }};
}

pub(crate) use {columns, insert_runs, remember_job};

pub(crate) async fn insert(store: &Store, run: &Run) -> Result<(), CatalogError> {
    writing!(store, "write a run", |tx| {
        match insert_runs!(tx, store, std::iter::once(run)) {
            Err(error) if is_duplicate(&error) => {}
            written => {
                written?;
                remember_job!(tx, run);
            }
        }
    })
}

pub(crate) async fn start(
    store: &Store,
    id: RunId,
    started_at: DateTime<Utc>,
    log_path: Option<&Path>,
) -> Result<bool, CatalogError> {
    writing!(store, "start a run", |tx| {
        sqlx::query(
            "UPDATE mk_run SET state = 'running', started_ms = ?, log_path = COALESCE(?, log_path) \
             WHERE id = ? AND state IN ('queued', 'running')",
        )
        .bind(ms(started_at))
        .bind(text(log_path))
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0
    })
}

pub(crate) async fn finish(store: &Store, id: RunId, end: &RunEnd) -> Result<bool, CatalogError> {
    writing!(store, "finish a run", |tx| {
        sqlx::query(
            "UPDATE mk_run SET state = ?, reason = ?, bk_id = COALESCE(?, bk_id), finished_ms = ? \
             WHERE id = ? AND state IN ('queued', 'running')",
        )
        .bind(end.state.as_str())
        .bind(end.reason.as_deref())
        .bind(end.bk_id.map(|id| id.to_string()))
        .bind(ms(end.finished_at))
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0
    })
}

pub(crate) async fn note(store: &Store, id: RunId, note: Option<&str>) -> Result<bool, CatalogError> {
    writing!(store, "note what a run waits for", |tx| {
        sqlx::query("UPDATE mk_run SET reason = ? WHERE id = ? AND state IN ('queued', 'running')")
            .bind(note)
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?
            .rows_affected()
            > 0
    })
}

pub(crate) async fn one(store: &Store, id: RunId) -> Result<Option<Run>, CatalogError> {
    let row: Option<RunRow> = reading!(store, "read a run", |conn| {
        sqlx::query_as(concat!("SELECT ", columns!(""), " FROM mk_run WHERE id = ?"))
            .bind(id.to_string())
            .fetch_optional(&mut *conn)
            .await?
    })?;
    row.map(RunRow::into_run).transpose()
}

/// The states that are asked for one by one, each through an index in the order of time: of several at once all that
/// match would have to be sorted. `None`: whatever its state.
fn states_apart(filter: &RunFilter) -> Vec<Option<RunState>> {
    let is_led_by_job = filter.job.is_some() || filter.retry_of.is_some();
    match (is_led_by_job, filter.states.is_empty(), filter.kind) {
        (true, _, _) | (false, true, None) => vec![None],
        (false, true, Some(_)) => RunState::ALL.iter().copied().map(Some).collect(),
        (false, false, _) => filter.states.iter().copied().map(Some).collect(),
    }
}

/// Adds the conditions of a filter. Those that are not to lead to an index of their own bear a `+`: see
/// `backups/list.rs`.
macro_rules! narrowed {
    ($query:ident, $filter:ident, $state:ident) => {
        let by_job = $filter.job.is_some() && $filter.retry_of.is_none();
        let by_kind = $filter.kind.is_some() && !by_job && $filter.retry_of.is_none();
        let by_node = !by_kind && $filter.retry_of.is_none();
        let and = |leads: bool| if leads { " AND " } else { " AND +" };
        if let Some(job) = &$filter.job {
            $query.push(and(by_job)).push("job = ").push_bind(job.as_str());
        }
        if let Some(node) = &$filter.node {
            $query.push(and(by_node)).push("node = ").push_bind(node.as_str());
        }
        if let Some(kind) = $filter.kind {
            $query.push(and(by_kind)).push("kind = ").push_bind(kind.as_str());
        }
        if let Some(state) = $state {
            $query.push(" AND state = ").push_bind(state.as_str());
        } else if !$filter.states.is_empty() {
            // Not an index on the state: those that match, of all jobs, would have to be sorted.
            $query.push(" AND COALESCE(state, '') IN (");
            let mut states = $query.separated(", ");
            for state in &$filter.states {
                states.push_bind(state.as_str());
            }
            $query.push(")");
        }
        if let Some(interrupted) = $filter.retry_of {
            $query.push(" AND retry_of = ").push_bind(interrupted.to_string());
        }
        if let Some(since) = $filter.since {
            $query.push(" AND requested_ms >= ").push_bind(ms(since));
        }
    };
}

pub(crate) async fn list(store: &Store, filter: &RunFilter) -> Result<Vec<Run>, CatalogError> {
    let mut rows: Vec<RunRow> = reading!(store, "list runs", |conn| {
        let mut rows = Vec::new();
        for state in states_apart(filter) {
            let mut query = QueryBuilder::new(concat!("SELECT ", columns!(""), " FROM mk_run WHERE 1 = 1"));
            narrowed!(query, filter, state);
            query
                .push(" ORDER BY requested_ms DESC, id DESC LIMIT ")
                .push_bind(i64::from(filter.limit));
            rows.extend(query.build_query_as::<RunRow>().fetch_all(&mut *conn).await?);
        }
        rows
    })?;
    rows.sort_by(|one, other| (other.requested_ms, &other.id).cmp(&(one.requested_ms, &one.id)));
    rows.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    into_runs(rows)
}

pub(crate) async fn unfinished(store: &Store, node: &NodeName) -> Result<Vec<Run>, CatalogError> {
    let rows: Vec<RunRow> = reading!(store, "list unfinished runs", |conn| {
        sqlx::query_as(concat!(
            "SELECT ",
            columns!(""),
            " FROM mk_run WHERE state IN ('queued', 'running') AND node = ? ",
            // No run takes so long as a week: whose state_dir is gone has nobody else who would end it.
            "AND (? IS NULL OR keeper IS NULL OR keeper = ? OR requested_ms < (SELECT own.requested_ms FROM mk_run own ",
            "WHERE own.node = ? AND own.keeper = ? ORDER BY own.requested_ms DESC LIMIT 1) - 691200000) ",
            "ORDER BY requested_ms, id"
        ))
        .bind(node.as_str())
        .bind(store.keeper.as_deref())
        .bind(store.keeper.as_deref())
        .bind(node.as_str())
        .bind(store.keeper.as_deref())
        .fetch_all(&mut *conn)
        .await?
    })?;
    into_runs(rows)
}

pub(crate) async fn with_open_attempts(store: &Store, node: &NodeName) -> Result<Vec<Run>, CatalogError> {
    let rows: Vec<RunRow> = reading!(store, "list runs with open attempts", |conn| {
        sqlx::query_as(concat!(
            "SELECT ",
            columns!("r."),
            " FROM (SELECT DISTINCT run_id FROM mk_attempt WHERE state IN ('queued', 'running')) a ",
            "JOIN mk_run r ON r.id = a.run_id WHERE r.node = ? AND r.state NOT IN ('queued', 'running') ",
            // Their folders lie on the disk of whose runs they are.
            "AND (? IS NULL OR r.keeper IS NULL OR r.keeper = ?) ORDER BY r.requested_ms, r.id"
        ))
        .bind(node.as_str())
        .bind(store.keeper.as_deref())
        .bind(store.keeper.as_deref())
        .fetch_all(&mut *conn)
        .await?
    })?;
    into_runs(rows)
}

/// Of the runs that a clock which was ahead has dated, so many are looked at.
const AHEAD_LOOKED_AT: i64 = 10_000;

pub(crate) async fn last_of_each_job(
    store: &Store,
    node: &NodeName,
    now: DateTime<Utc>,
) -> Result<Vec<Run>, CatalogError> {
    let (rows, ahead): (Vec<RunRow>, Vec<RunRow>) = reading!(store, "list the last runs", |conn| {
        let rows = sqlx::query_as(concat!(
            "SELECT ",
            columns!("r."),
            " FROM mk_job j JOIN mk_run r ON r.id = (SELECT newest.id FROM mk_run newest ",
            "WHERE newest.node = j.node AND newest.job = j.job AND newest.state <> 'skipped' ",
            // What another has begun, that one goes on with.
            "AND newest.requested_ms <= ? AND (? IS NULL OR newest.keeper IS NULL OR newest.keeper = ?) ",
            "ORDER BY newest.requested_ms DESC, newest.id DESC LIMIT 1) ",
            "WHERE j.node = ? AND j.forgotten_ms IS NULL"
        ))
        .bind(ms(now))
        .bind(store.keeper.as_deref())
        .bind(store.keeper.as_deref())
        .bind(node.as_str())
        .fetch_all(&mut *conn)
        .await?;
        let ahead = sqlx::query_as(concat!(
            "SELECT ",
            columns!("r."),
            " FROM mk_run r JOIN mk_job j ON j.node = r.node AND j.job = r.job ",
            "WHERE r.node = ? AND r.requested_ms > ? AND r.state <> 'skipped' AND j.forgotten_ms IS NULL ",
            "AND (? IS NULL OR r.keeper IS NULL OR r.keeper = ?) ORDER BY r.requested_ms, r.id LIMIT ?"
        ))
        .bind(node.as_str())
        .bind(ms(now))
        .bind(store.keeper.as_deref())
        .bind(store.keeper.as_deref())
        .bind(AHEAD_LOOKED_AT)
        .fetch_all(&mut *conn)
        .await?;
        (rows, ahead)
    })?;
    let mut last: BTreeMap<JobName, Run> = BTreeMap::new();
    for run in into_runs(rows)?.into_iter().chain(into_runs(ahead)?) {
        match last.get(&run.job) {
            Some(later) if dated(later, now) > dated(&run, now) => {}
            _ => drop(last.insert(run.job.clone(), run)),
        }
    }
    Ok(last.into_values().collect())
}

/// Where a run stands among those of its job: `None` before all others, where nothing of it is known to have been
/// before `now`.
fn dated(run: &Run, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if run.requested_at <= now {
        return Some(run.requested_at);
    }
    // One that has not ended is of this moment.
    Some(run.finished_at.unwrap_or(now)).filter(|at| *at <= now)
}
