//! `mk_attempt`: the tries within a run.

use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms};
use mykeeper_domain::run::{Attempt, RunEnd};
use mykeeper_domain::{AttemptId, RunId};
use sqlx::FromRow;
use std::path::PathBuf;

#[derive(FromRow)]
struct AttemptRow {
    id: String,
    run_id: String,
    number: i64,
    bk_id: Option<String>,
    work_dir: Option<String>,
    state: String,
    reason: Option<String>,
    exit_status: Option<String>,
    started_ms: i64,
    finished_ms: Option<i64>,
}

impl AttemptRow {
    fn into_attempt(self) -> Result<Attempt, CatalogError> {
        let place = Place {
            table: "mk_attempt",
            id: &self.id,
        };
        Ok(Attempt {
            id: place.parse("id", &self.id)?,
            run_id: place.parse("run_id", &self.run_id)?,
            number: place.count("number", self.number)?,
            bk_id: place.parse_some("bk_id", self.bk_id.as_ref())?,
            work_dir: self.work_dir.map(PathBuf::from),
            state: place.parse("state", &self.state)?,
            reason: self.reason,
            exit_status: self.exit_status,
            started_at: place.instant("started_ms", self.started_ms)?,
            finished_at: place.instant_some("finished_ms", self.finished_ms)?,
        })
    }
}

pub(crate) async fn start(store: &Store, attempt: &Attempt) -> Result<(), CatalogError> {
    writing!(store, "start an attempt", |tx| {
        let written = sqlx::query(
            "INSERT INTO mk_attempt (id, run_id, number, bk_id, work_dir, state, reason, exit_status, started_ms, \
             finished_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(attempt.id.to_string())
        .bind(attempt.run_id.to_string())
        .bind(i64::from(attempt.number))
        .bind(attempt.bk_id.map(|id| id.to_string()))
        .bind(attempt.work_dir.as_ref().map(|path| path.to_string_lossy().into_owned()))
        .bind(attempt.state.as_str())
        .bind(attempt.reason.as_deref())
        .bind(attempt.exit_status.as_deref())
        .bind(ms(attempt.started_at))
        .bind(attempt.finished_at.map(ms))
        .execute(&mut *tx)
        .await;
        match written {
            // The same attempt again: its first answer was lost on the way.
            Err(error) if is_duplicate(&error) => {}
            written => {
                written?;
            }
        }
    })
}

pub(crate) async fn finish(
    store: &Store,
    id: AttemptId,
    end: &RunEnd,
    exit_status: Option<&str>,
) -> Result<bool, CatalogError> {
    writing!(store, "finish an attempt", |tx| {
        sqlx::query(
            "UPDATE mk_attempt SET state = ?, reason = ?, bk_id = COALESCE(?, bk_id), exit_status = ?, \
             finished_ms = ? WHERE id = ? AND state IN ('queued', 'running')",
        )
        .bind(end.state.as_str())
        .bind(end.reason.as_deref())
        .bind(end.bk_id.map(|id| id.to_string()))
        .bind(exit_status)
        .bind(ms(end.finished_at))
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0
    })
}

pub(crate) async fn of_run(store: &Store, run: RunId) -> Result<Vec<Attempt>, CatalogError> {
    let rows: Vec<AttemptRow> = reading!(store, "list attempts", |conn| {
        sqlx::query_as(
            "SELECT id, run_id, number, bk_id, work_dir, state, reason, exit_status, started_ms, finished_ms \
             FROM mk_attempt WHERE run_id = ? ORDER BY number, id",
        )
        .bind(run.to_string())
        .fetch_all(&mut *conn)
        .await?
    })?;
    rows.into_iter().map(AttemptRow::into_attempt).collect()
}
