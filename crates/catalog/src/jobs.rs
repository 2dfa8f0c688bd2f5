//! `mk_job`: the jobs that a node has.

use crate::db::{Fault, Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, to_json};
use crate::{JobDefinition, JobRecord, Validator};
use chrono::{DateTime, Utc};
use mykeeper_domain::{JobName, NodeName};
use sqlx::FromRow;
use std::collections::{BTreeMap, HashMap};

#[derive(FromRow)]
struct JobRow {
    job: String,
    kind: String,
    since_ms: Option<i64>,
    last_slot_ms: Option<i64>,
    forgotten_ms: Option<i64>,
    schedule: Option<String>,
}

impl JobRow {
    /// Whether a clock that was ahead has noted something that would hide what is due now.
    fn is_ahead_of(&self, now: DateTime<Utc>) -> bool {
        self.last_slot_ms.max(self.since_ms) > Some(ms(now))
    }

    fn into_record(self, node: &NodeName) -> Result<JobRecord, CatalogError> {
        let place = Place {
            table: "mk_job",
            id: &self.job,
        };
        Ok(JobRecord {
            node: node.clone(),
            job: place.parse("job", &self.job)?,
            kind: place.parse("kind", &self.kind)?,
            since: place.instant("since_ms", self.since_ms.unwrap_or_default())?,
            last_slot_at: place.instant_some("last_slot_ms", self.last_slot_ms)?,
            schedule: self.schedule.unwrap_or_default(),
        })
    }
}

pub(crate) async fn know(
    store: &Store,
    node: &NodeName,
    definition: &JobDefinition,
    now: DateTime<Utc>,
) -> Result<JobRecord, CatalogError> {
    const ACTION: &str = "note a job";
    let JobDefinition {
        job, kind, schedule, ..
    } = definition;
    let choice = choice_of(ACTION, definition)?;
    writing!(store, ACTION, |tx| {
        let known: Option<JobRow> = sqlx::query_as(
            "SELECT job, kind, since_ms, last_slot_ms, forgotten_ms, schedule FROM mk_job WHERE node = ? AND job = ?",
        )
        .bind(node.as_str())
        .bind(job.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let record = match known {
            Some(mut row) if row.forgotten_ms.is_none() && row.since_ms.is_some() => {
                if row.is_ahead_of(now) {
                    let decided: Option<i64> = sqlx::query_scalar(
                        "SELECT s.slot_ms FROM mk_slot s JOIN mk_run r ON r.id = s.run_id \
                         WHERE s.node = ? AND s.job = ? AND s.slot_ms <= ? AND r.requested_ms <= ? \
                         ORDER BY s.slot_ms DESC LIMIT 1",
                    )
                    .bind(node.as_str())
                    .bind(job.as_str())
                    .bind(ms(now))
                    .bind(ms(now))
                    .fetch_optional(&mut *tx)
                    .await?;
                    row.since_ms = row.since_ms.min(Some(ms(now)));
                    row.last_slot_ms = decided;
                    sqlx::query(
                        "UPDATE mk_job SET since_ms = ?, last_slot_ms = ? WHERE node = ? AND job = ?",
                    )
                    .bind(row.since_ms)
                    .bind(row.last_slot_ms)
                    .bind(node.as_str())
                    .bind(job.as_str())
                    .execute(&mut *tx)
                    .await?;
                }
                if row.kind != kind.as_str() {
                    sqlx::query("UPDATE mk_job SET kind = ? WHERE node = ? AND job = ?")
                        .bind(kind.as_str())
                        .bind(node.as_str())
                        .bind(job.as_str())
                        .execute(&mut *tx)
                        .await?;
                }
                JobRecord {
                    kind: *kind,
                    ..JobRow {
                        kind: kind.as_str().to_owned(),
                        ..row
                    }
                    .into_record(node)?
                }
            }
            known => {
                let statement = if known.is_some() {
                    "UPDATE mk_job SET kind = ?, since_ms = ?, schedule = ?, last_slot_ms = NULL, forgotten_ms = NULL \
                     WHERE node = ? AND job = ?"
                } else {
                    "INSERT INTO mk_job (kind, since_ms, schedule, node, job) VALUES (?, ?, ?, ?, ?)"
                };
                let written = sqlx::query(statement)
                    .bind(kind.as_str())
                    .bind(ms(now))
                    .bind(schedule.as_str())
                    .bind(node.as_str())
                    .bind(job.as_str())
                    .execute(&mut *tx)
                    .await;
                match written {
                    // Noted by another process since we looked, and not to be seen before a new transaction.
                    Err(error) if is_duplicate(&error) => Err(Fault::Raced)?,
                    written => {
                        written?;
                    }
                }
                JobRecord {
                    node: node.clone(),
                    job: job.clone(),
                    kind: *kind,
                    since: now,
                    last_slot_at: None,
                    schedule: schedule.clone(),
                }
            }
        };
        // Looked at first: a catalog that is read-only refuses also the statement that would change nothing.
        let noted: Option<String> =
            sqlx::query_scalar("SELECT task_json FROM mk_job WHERE node = ? AND job = ?")
                .bind(node.as_str())
                .bind(job.as_str())
                .fetch_one(&mut *tx)
                .await?;
        if noted != choice {
            sqlx::query("UPDATE mk_job SET task_json = ? WHERE node = ? AND job = ?")
                .bind(choice.as_deref())
                .bind(node.as_str())
                .bind(job.as_str())
                .execute(&mut *tx)
                .await?;
        }
        record
    })
}

pub(crate) async fn reschedule(
    store: &Store,
    node: &NodeName,
    definition: &JobDefinition,
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    writing!(store, "note a job's schedule", |tx| {
        sqlx::query("UPDATE mk_job SET schedule = ?, since_ms = ? WHERE node = ? AND job = ?")
            .bind(definition.schedule.as_str())
            .bind(ms(now))
            .bind(node.as_str())
            .bind(definition.job.as_str())
            .execute(&mut *tx)
            .await?;
    })
}

pub(crate) async fn forget(
    store: &Store,
    node: &NodeName,
    job: &JobName,
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    writing!(store, "forget a job", |tx| {
        sqlx::query("UPDATE mk_job SET forgotten_ms = ? WHERE node = ? AND job = ? AND forgotten_ms IS NULL")
            .bind(ms(now))
            .bind(node.as_str())
            .bind(job.as_str())
            .execute(&mut *tx)
            .await?;
    })
}

pub(crate) async fn known(store: &Store, node: &NodeName) -> Result<Vec<JobRecord>, CatalogError> {
    let rows: Vec<JobRow> = reading!(store, "list the known jobs", |conn| {
        sqlx::query_as(
            "SELECT job, kind, since_ms, last_slot_ms, forgotten_ms, schedule FROM mk_job \
             WHERE node = ? AND forgotten_ms IS NULL AND since_ms IS NOT NULL ORDER BY job",
        )
        .bind(node.as_str())
        .fetch_all(&mut *conn)
        .await?
    })?;
    rows.into_iter().map(|row| row.into_record(node)).collect()
}

#[derive(FromRow)]
struct DefinedRow {
    #[sqlx(flatten)]
    row: JobRow,
    task_json: Option<String>,
}

/// The jobs that are noted as they are defined now, but for their schedule; not where a clock that was ahead has noted
/// something.
pub(crate) async fn known_as_defined(
    store: &Store,
    node: &NodeName,
    definitions: &[&JobDefinition],
    now: DateTime<Utc>,
) -> Result<BTreeMap<JobName, JobRecord>, CatalogError> {
    const ACTION: &str = "read the known jobs";
    let rows: Vec<DefinedRow> = reading!(store, ACTION, |conn| {
        sqlx::query_as(
            "SELECT job, kind, since_ms, last_slot_ms, forgotten_ms, schedule, task_json FROM mk_job \
             WHERE node = ? AND forgotten_ms IS NULL AND since_ms IS NOT NULL",
        )
        .bind(node.as_str())
        .fetch_all(&mut *conn)
        .await?
    })?;
    let mut rows: HashMap<String, DefinedRow> = rows
        .into_iter()
        .map(|known| (known.row.job.clone(), known))
        .collect();
    let mut known = BTreeMap::new();
    for definition in definitions {
        let Some(DefinedRow { row, task_json }) = rows.remove(definition.job.as_str()) else {
            continue;
        };
        let is_same = row.kind == definition.kind.as_str()
            && task_json == choice_of(ACTION, definition)?
            && !row.is_ahead_of(now);
        if is_same {
            known.insert(definition.job.clone(), row.into_record(node)?);
        }
    }
    Ok(known)
}

/// One job, unless it is forgotten, or was defined to choose otherwise when it was last noted.
pub(crate) async fn known_as(
    store: &Store,
    node: &NodeName,
    definition: &JobDefinition,
) -> Result<Option<JobRecord>, CatalogError> {
    const ACTION: &str = "read a known job";
    let choice = choice_of(ACTION, definition)?;
    let row: Option<DefinedRow> = reading!(store, ACTION, |conn| {
        sqlx::query_as(
            "SELECT job, kind, since_ms, last_slot_ms, forgotten_ms, schedule, task_json FROM mk_job \
             WHERE node = ? AND job = ? AND forgotten_ms IS NULL AND since_ms IS NOT NULL",
        )
        .bind(node.as_str())
        .bind(definition.job.as_str())
        .fetch_optional(&mut *conn)
        .await?
    })?;
    row.filter(|known| known.task_json == choice)
        .map(|known| known.row.into_record(node))
        .transpose()
}

fn choice_of(action: &'static str, definition: &JobDefinition) -> Result<Option<String>, CatalogError> {
    let choice = definition.choice.as_ref();
    choice.map(|choice| to_json(action, choice)).transpose()
}

/// Takes over what another catalog knows of a job at `now`; a slot that was decided here meanwhile stays decided,
/// unless a clock that was ahead did it.
pub(crate) async fn adopt(
    store: &Store,
    (record, definition): (&JobRecord, &JobDefinition),
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    const ACTION: &str = "copy a job";
    let choice = choice_of(ACTION, definition)?;
    writing!(store, ACTION, |tx| {
        let known: Option<DefinedRow> = sqlx::query_as(
            "SELECT job, kind, since_ms, last_slot_ms, forgotten_ms, schedule, task_json FROM mk_job \
             WHERE node = ? AND job = ?",
        )
        .bind(record.node.as_str())
        .bind(record.job.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let since = ms(record.since);
        let last = record.last_slot_at.map(ms).max(
            known
                .as_ref()
                .and_then(|known| known.row.last_slot_ms.filter(|last| *last <= ms(now))),
        );
        let is_same = known.as_ref().is_some_and(|DefinedRow { row, task_json }| {
            *task_json == choice
                && row.forgotten_ms.is_none()
                && row.since_ms == Some(since)
                && row.last_slot_ms == last
                && row.kind == record.kind.as_str()
                && row.schedule.as_deref() == Some(&record.schedule)
        });
        if !is_same {
            let statement = if known.is_some() {
                "UPDATE mk_job SET kind = ?, since_ms = ?, last_slot_ms = ?, schedule = ?, task_json = ?, \
                 forgotten_ms = NULL WHERE node = ? AND job = ?"
            } else {
                "INSERT INTO mk_job (kind, since_ms, last_slot_ms, schedule, task_json, node, job) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)"
            };
            sqlx::query(statement)
                .bind(record.kind.as_str())
                .bind(since)
                .bind(last)
                .bind(record.schedule.as_str())
                .bind(choice.as_deref())
                .bind(record.node.as_str())
                .bind(record.job.as_str())
                .execute(&mut *tx)
                .await?;
        }
    })
}

#[derive(FromRow)]
struct ValidatorRow {
    node: String,
    job: String,
    schedule: Option<String>,
    task_json: Option<String>,
}

pub(crate) async fn validators(store: &Store) -> Result<Vec<Validator>, CatalogError> {
    let rows: Vec<ValidatorRow> = reading!(store, "list the validation jobs", |conn| {
        sqlx::query_as(
            "SELECT node, job, schedule, task_json FROM mk_job \
             WHERE kind = 'validation' AND forgotten_ms IS NULL AND since_ms IS NOT NULL ORDER BY node, job",
        )
        .fetch_all(&mut *conn)
        .await?
    })?;
    rows.into_iter()
        .map(|row| {
            let place = Place {
                table: "mk_job",
                id: &row.job,
            };
            Ok(Validator {
                node: place.parse("node", &row.node)?,
                job: place.parse("job", &row.job)?,
                schedule: row.schedule.unwrap_or_default(),
                choice: row
                    .task_json
                    .map(|text| place.json("task_json", &text))
                    .transpose()?,
            })
        })
        .collect()
}
