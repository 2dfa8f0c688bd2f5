//! `mk_slot`: whoever inserts the row answers for the slot, and its run tells what became of it.

use crate::db::{Fault, Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms};
use crate::runs::{insert_runs, remember_job};
use crate::{Claim, DecidedSlot};
use chrono::{DateTime, Utc};
use mykeeper_domain::run::{Run, RunState};
use mykeeper_domain::{JobName, NodeName};
use sqlx::{FromRow, QueryBuilder};
use std::collections::HashSet;

/// Notes that every slot up to this one is decided.
macro_rules! advance_job {
    ($tx:ident, $run:ident, $slot_ms:expr) => {
        sqlx::query(
            "UPDATE mk_job SET last_slot_ms = ? \
             WHERE node = ? AND job = ? AND (last_slot_ms IS NULL OR last_slot_ms < ?)",
        )
        .bind($slot_ms)
        .bind($run.node.as_str())
        .bind($run.job.as_str())
        .bind($slot_ms)
        .execute(&mut *$tx)
        .await?
    };
}

/// Who has a slot that somebody else wants.
#[derive(FromRow)]
struct HolderRow {
    run_id: String,
    state: Option<String>,
    requested_ms: Option<i64>,
    reason: Option<String>,
    covers_after_ms: Option<i64>,
    covers_slots: Option<i64>,
}

impl HolderRow {
    /// Whether it let the slot pass at an instant that, by the clock of now, has not come: the clock was ahead then,
    /// and nothing was ever run for the slot.
    fn is_of_a_clock_ahead(&self, run: &Run) -> bool {
        self.state.as_deref() == Some(RunState::Skipped.as_str())
            && self
                .requested_ms
                .is_some_and(|requested_ms| requested_ms > ms(run.requested_at))
    }
}

/// Gives the slot, and the earlier ones that its holder stood for, to `$run`. The holder's row stays, without a slot.
macro_rules! take_over {
    ($tx:ident, $store:ident, $run:ident, $slot_at:ident, $holder:ident) => {{
        let taken_over =
            sqlx::query("UPDATE mk_slot SET run_id = ? WHERE node = ? AND job = ? AND slot_ms = ? AND run_id = ?")
                .bind($run.id.to_string())
                .bind($run.node.as_str())
                .bind($run.job.as_str())
                .bind(ms($slot_at))
                .bind(&$holder.run_id)
                .execute(&mut *$tx)
                .await?;
        if taken_over.rows_affected() != 1 {
            Err(Fault::Raced)?;
        }
        let note = format!(
            "the clock was ahead; the slot of {} was taken over by run {}",
            $slot_at.to_rfc3339(),
            $run.id
        );
        sqlx::query(
            "UPDATE mk_run SET slot_ms = NULL, covers_after_ms = NULL, covers_slots = NULL, reason = ? WHERE id = ?",
        )
        .bind($holder.reason.as_ref().map_or_else(|| note.clone(), |reason| format!("{reason}; {note}")))
        .bind(&$holder.run_id)
        .execute(&mut *$tx)
        .await?;
        insert_runs!($tx, $store, std::iter::once($run))?;
        sqlx::query("UPDATE mk_run SET covers_after_ms = ?, covers_slots = ? WHERE id = ? AND covers_after_ms IS NULL")
            .bind($holder.covers_after_ms)
            .bind($holder.covers_slots)
            .bind($run.id.to_string())
            .execute(&mut *$tx)
            .await?;
        remember_job!($tx, $run);
    }};
}

pub(crate) async fn claim(store: &Store, run: &Run) -> Result<Claim, CatalogError> {
    const ACTION: &str = "take a slot";
    let Some(slot_at) = run.slot_at else {
        return Err(CatalogError::Statement {
            action: ACTION,
            cause: "the run stands for no slot".to_owned(),
        });
    };
    writing!(store, ACTION, |tx| {
        let taken = sqlx::query("INSERT INTO mk_slot (node, job, slot_ms, run_id) VALUES (?, ?, ?, ?)")
            .bind(run.node.as_str())
            .bind(run.job.as_str())
            .bind(ms(slot_at))
            .bind(run.id.to_string())
            .execute(&mut *tx)
            .await;
        match taken {
            Err(error) if is_duplicate(&error) => {
                let holder: Option<HolderRow> = sqlx::query_as(
                    "SELECT s.run_id, r.state, r.requested_ms, r.reason, r.covers_after_ms, r.covers_slots \
                     FROM mk_slot s LEFT JOIN mk_run r ON r.id = s.run_id \
                     WHERE s.node = ? AND s.job = ? AND s.slot_ms = ?",
                )
                .bind(run.node.as_str())
                .bind(run.job.as_str())
                .bind(ms(slot_at))
                .fetch_optional(&mut *tx)
                .await?;
                match holder {
                    // The same claim again: its first answer was lost on the way.
                    Some(holder) if holder.run_id == run.id.to_string() => Claim::Won,
                    Some(holder) if holder.is_of_a_clock_ahead(run) => {
                        take_over!(tx, store, run, slot_at, holder);
                        advance_job!(tx, run, ms(slot_at));
                        Claim::Won
                    }
                    _ => Claim::Taken,
                }
            }
            taken => {
                taken?;
                insert_runs!(tx, store, std::iter::once(run))?;
                remember_job!(tx, run);
                advance_job!(tx, run, ms(slot_at));
                Claim::Won
            }
        }
    })
}

/// The rows of one job, and their slots, in milliseconds.
fn slots_of(runs: &[Run]) -> Result<Option<(&Run, Vec<i64>)>, CatalogError> {
    let Some(first) = runs.first() else {
        return Ok(None);
    };
    let slots: Vec<i64> = runs
        .iter()
        .filter(|run| (&run.node, &run.job) == (&first.node, &first.job))
        .filter_map(|run| run.slot_at.map(ms))
        .collect();
    if slots.len() != runs.len() {
        return Err(CatalogError::Statement {
            action: SKIP,
            cause: "the runs stand for no slot, or for slots of several jobs".to_owned(),
        });
    }
    Ok(Some((first, slots)))
}

const SKIP: &str = "record slots that pass without a run";

pub(crate) async fn skip(store: &Store, runs: &[Run]) -> Result<u64, CatalogError> {
    let Some((first, slots)) = slots_of(runs)? else {
        return Ok(0);
    };
    let (least, most) = slots.iter().fold((i64::MAX, i64::MIN), |(least, most), slot| {
        (least.min(*slot), most.max(*slot))
    });
    writing!(store, SKIP, |tx| {
        let taken: Vec<i64> = sqlx::query_scalar(
            "SELECT slot_ms FROM mk_slot WHERE node = ? AND job = ? AND slot_ms BETWEEN ? AND ?",
        )
        .bind(first.node.as_str())
        .bind(first.job.as_str())
        .bind(least)
        .bind(most)
        .fetch_all(&mut *tx)
        .await?;
        let taken: HashSet<i64> = taken.into_iter().collect();
        let open: Vec<(&Run, i64)> = runs
            .iter()
            .zip(slots.iter().copied())
            .filter(|(_, slot)| !taken.contains(slot))
            .collect();
        if !open.is_empty() {
            let mut query = QueryBuilder::new("INSERT INTO mk_slot (node, job, slot_ms, run_id) ");
            query.push_values(&open, |mut row, (run, slot)| {
                row.push_bind(run.node.as_str())
                    .push_bind(run.job.as_str())
                    .push_bind(*slot)
                    .push_bind(run.id.to_string());
            });
            match query.build().execute(&mut *tx).await {
                // Taken by another process since we looked.
                Err(error) if is_duplicate(&error) => Err(Fault::Raced)?,
                written => {
                    written?;
                }
            }
            insert_runs!(tx, store, open.iter().map(|(run, _)| *run))?;
            remember_job!(tx, first);
            advance_job!(tx, first, most);
        }
        open.len() as u64
    })
}

#[derive(FromRow)]
struct DecidedRow {
    run_id: String,
    slot_ms: i64,
    covers_after_ms: Option<i64>,
}

pub(crate) async fn decided(
    store: &Store,
    (node, job): (&NodeName, &JobName),
    (after, until): (DateTime<Utc>, DateTime<Utc>),
    limit: u32,
) -> Result<Vec<DecidedSlot>, CatalogError> {
    let rows: Vec<DecidedRow> = reading!(store, "list the slots that are decided", |conn| {
        sqlx::query_as(
            "SELECT s.run_id, s.slot_ms, r.covers_after_ms FROM mk_slot s JOIN mk_run r ON r.id = s.run_id \
             WHERE s.node = ? AND s.job = ? AND s.slot_ms > ? AND s.slot_ms <= ? ORDER BY s.slot_ms LIMIT ?",
        )
        .bind(node.as_str())
        .bind(job.as_str())
        .bind(ms(after))
        .bind(ms(until))
        .bind(i64::from(limit))
        .fetch_all(&mut *conn)
        .await?
    })?;
    rows.into_iter()
        .map(|row| {
            let place = Place {
                table: "mk_slot",
                id: &row.run_id,
            };
            Ok(DecidedSlot {
                slot_at: place.instant("slot_ms", row.slot_ms)?,
                covers_after: place.instant_some("covers_after_ms", row.covers_after_ms)?,
            })
        })
        .collect()
}
