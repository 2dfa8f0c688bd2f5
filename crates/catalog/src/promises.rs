//! `mk_promise` and `mk_event`: what is promised of servers, and what somebody may want to be told.

use crate::PromiseRecord;
use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, to_json};
use chrono::{DateTime, Utc};
use mykeeper_domain::NodeName;
use mykeeper_domain::event::Event;
use mykeeper_domain::promise::{Promise, PromiseState};
use sqlx::{FromRow, QueryBuilder};

#[derive(FromRow)]
struct PromiseRow {
    tag: String,
    noted_ms: i64,
    state: String,
}

#[derive(FromRow)]
struct EventRow {
    id: String,
    at_ms: i64,
    node: String,
    kind: String,
    subject: String,
    message: String,
    detail_json: String,
}

impl EventRow {
    fn into_event(self) -> Result<Event, CatalogError> {
        let place = Place {
            table: "mk_event",
            id: &self.id,
        };
        Ok(Event {
            id: place.parse("id", &self.id)?,
            at: place.instant("at_ms", self.at_ms)?,
            node: place.parse("node", &self.node)?,
            kind: place.parse("kind", &self.kind)?,
            subject: self.subject,
            message: self.message,
            detail: place.json("detail_json", &self.detail_json)?,
        })
    }
}

pub(crate) async fn know(
    store: &Store,
    node: &NodeName,
    promise: &Promise,
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    writing!(store, "note a promise", |tx| {
        let written = sqlx::query(
            "INSERT INTO mk_promise (node, tag, server, noted_ms, state, changed_ms) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(node.as_str())
        .bind(promise.tag.as_str())
        .bind(promise.server.as_str())
        .bind(ms(now))
        .bind(PromiseState::Kept.as_str())
        .bind(ms(now))
        .execute(&mut *tx)
        .await;
        match written {
            Err(error) if is_duplicate(&error) => {}
            written => {
                written?;
            }
        }
    })
}

pub(crate) async fn list(store: &Store, node: &NodeName) -> Result<Vec<PromiseRecord>, CatalogError> {
    let rows: Vec<PromiseRow> = reading!(store, "list promises", |conn| {
        sqlx::query_as("SELECT tag, noted_ms, state FROM mk_promise WHERE node = ? ORDER BY tag")
            .bind(node.as_str())
            .fetch_all(&mut *conn)
            .await?
    })?;
    rows.into_iter()
        .map(|row| {
            let place = Place {
                table: "mk_promise",
                id: &row.tag,
            };
            Ok(PromiseRecord {
                noted_at: place.instant("noted_ms", row.noted_ms)?,
                state: place.parse("state", &row.state)?,
                tag: row.tag,
            })
        })
        .collect()
}

pub(crate) async fn turn(
    store: &Store,
    node: &NodeName,
    state: PromiseState,
    event: &Event,
) -> Result<bool, CatalogError> {
    const ACTION: &str = "note how a promise stands";
    let detail = to_json(ACTION, &event.detail)?;
    writing!(store, ACTION, |tx| {
        let turned = sqlx::query(
            "UPDATE mk_promise SET state = ?, changed_ms = ? WHERE node = ? AND tag = ? AND state <> ?",
        )
        .bind(state.as_str())
        .bind(ms(event.at))
        .bind(node.as_str())
        .bind(event.subject.as_str())
        .bind(state.as_str())
        .execute(&mut *tx)
        .await?
        .rows_affected()
            > 0;
        if turned {
            sqlx::query(
                "INSERT INTO mk_event (id, at_ms, node, kind, subject, message, detail_json) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(event.id.to_string())
            .bind(ms(event.at))
            .bind(event.node.as_str())
            .bind(event.kind.as_str())
            .bind(event.subject.as_str())
            .bind(event.message.as_str())
            .bind(detail.as_str())
            .execute(&mut *tx)
            .await?;
        }
        turned
    })
}

pub(crate) async fn forget(store: &Store, node: &NodeName, tag: &str) -> Result<(), CatalogError> {
    writing!(store, "forget a promise", |tx| {
        sqlx::query("DELETE FROM mk_promise WHERE node = ? AND tag = ?")
            .bind(node.as_str())
            .bind(tag)
            .execute(&mut *tx)
            .await?;
    })
}

pub(crate) async fn events(
    store: &Store,
    since: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Event>, CatalogError> {
    listed(store, "ORDER BY at_ms, id", (since, limit)).await
}

pub(crate) async fn newest_events(
    store: &Store,
    since: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Event>, CatalogError> {
    listed(store, "ORDER BY at_ms DESC, id DESC", (since, limit)).await
}

async fn listed(
    store: &Store,
    order: &'static str,
    (since, limit): (DateTime<Utc>, u32),
) -> Result<Vec<Event>, CatalogError> {
    let rows: Vec<EventRow> = reading!(store, "list events", |conn| {
        let mut query = QueryBuilder::new(
            "SELECT id, at_ms, node, kind, subject, message, detail_json FROM mk_event WHERE at_ms >= ",
        );
        query.push_bind(ms(since));
        query.push(" ").push(order).push(" LIMIT ");
        query.push_bind(i64::from(limit));
        query.build_query_as().fetch_all(&mut *conn).await?
    })?;
    rows.into_iter().map(EventRow::into_event).collect()
}

pub(crate) async fn prune_events(
    store: &Store,
    node: &NodeName,
    before: DateTime<Utc>,
) -> Result<u64, CatalogError> {
    writing!(store, "prune events", |tx| {
        sqlx::query("DELETE FROM mk_event WHERE node = ? AND at_ms < ?")
            .bind(node.as_str())
            .bind(ms(before))
            .execute(&mut *tx)
            .await?
            .rows_affected()
    })
}
