//! `mk_node`: what each daemon told of itself last.

use crate::clock::shared_now;
use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, to_json};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_domain::NodeName;
use mykeeper_domain::node::{HeardNode, NodeReport};
use sqlx::FromRow;

/// As much of a folder's name as the column holds.
const LONGEST_DIR: usize = 255;

#[derive(FromRow)]
struct NodeRow {
    node: String,
    /// By the clock that all share; the report has the same instant by the node's own.
    heard_ms: i64,
    report_json: String,
}

pub(crate) async fn report(store: &Store, report: &NodeReport) -> Result<(), CatalogError> {
    const ACTION: &str = "tell that this node lives";
    let json = to_json(ACTION, report)?;
    let state_dir: String = report.state_dir.chars().take(LONGEST_DIR).collect();
    writing!(store, ACTION, |tx| {
        let heard_ms = shared_now!(store, tx, report.heard_at);
        let told =
            sqlx::query("UPDATE mk_node SET heard_ms = ?, report_json = ? WHERE node = ? AND state_dir = ?")
                .bind(heard_ms)
                .bind(json.as_str())
                .bind(report.node.as_str())
                .bind(state_dir.as_str())
                .execute(&mut *tx)
                .await?
                .rows_affected();
        if told == 0 {
            let made = sqlx::query(
                "INSERT INTO mk_node (heard_ms, report_json, node, state_dir) VALUES (?, ?, ?, ?)",
            )
            .bind(heard_ms)
            .bind(json.as_str())
            .bind(report.node.as_str())
            .bind(state_dir.as_str())
            .execute(&mut *tx)
            .await;
            match made {
                // An update that changes nothing counts no row on some servers.
                Err(error) if is_duplicate(&error) => {}
                made => {
                    made?;
                }
            }
        }
    })
}

pub(crate) async fn list(store: &Store, now: DateTime<Utc>) -> Result<Vec<HeardNode>, CatalogError> {
    let (rows, now_ms): (Vec<NodeRow>, i64) = reading!(store, "list nodes", |conn| {
        let rows = sqlx::query_as("SELECT node, heard_ms, report_json FROM mk_node ORDER BY node, state_dir")
            .fetch_all(&mut *conn)
            .await?;
        (rows, shared_now!(store, conn, now))
    })?;
    rows.iter().map(|row| heard(row, now_ms)).collect()
}

fn heard(row: &NodeRow, now_ms: i64) -> Result<HeardNode, CatalogError> {
    let mut report = read(row)?;
    let heard_at = place(row).instant("heard_ms", row.heard_ms)?;
    let clock_ahead = report.heard_at - heard_at;
    report.heard_at = heard_at;
    Ok(HeardNode {
        report,
        heard_ago: TimeDelta::milliseconds(now_ms.saturating_sub(row.heard_ms)),
        clock_ahead,
    })
}

fn place(row: &NodeRow) -> Place<'_> {
    Place {
        table: "mk_node",
        id: &row.node,
    }
}

/// What a node of another version tells is shown as far as it is known here: one row hides no other node.
fn read(row: &NodeRow) -> Result<NodeReport, CatalogError> {
    let place = place(row);
    place.json("report_json", &row.report_json).or_else(|error| {
        let mut told: serde_json::Value = place.json("report_json", &row.report_json)?;
        if let Some(told) = told.as_object_mut() {
            told.insert("running".to_owned(), serde_json::json!([]));
            told.insert("next".to_owned(), serde_json::Value::Null);
            told.insert("last_failure".to_owned(), serde_json::Value::Null);
        }
        serde_json::from_value(told).map_err(|_| error)
    })
}

pub(crate) async fn forget(
    store: &Store,
    node: &NodeName,
    before: DateTime<Utc>,
) -> Result<u64, CatalogError> {
    writing!(store, "forget a node", |tx| {
        sqlx::query("DELETE FROM mk_node WHERE node = ? AND heard_ms < ?")
            .bind(node.as_str())
            .bind(ms(before))
            .execute(&mut *tx)
            .await?
            .rows_affected()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_node_tells_is_shown_as_far_as_it_is_known() {
        let told = |failure: &str| NodeRow {
            node: "db1".to_owned(),
            heard_ms: 0,
            report_json: format!(
                r#"{{"node": "db1", "state_dir": "/s", "state": "running", "version": "9.0", "of_later": [1],
                "alive_since": "2026-01-01T00:00:00Z", "heard_at": "2026-01-01T00:00:00Z", "every_seconds": 15.0,
                "jobs": 3, "under_way": 1, "running": [], "next": null, "last_failure": {failure}}}"#
            ),
        };
        for failure in ["null", r#"{"state": "of-later"}"#] {
            let report = read(&told(failure)).unwrap();
            assert_eq!((report.version.as_str(), report.jobs), ("9.0", 3));
        }
        assert!(read(&told("}")).is_err());
    }
}
