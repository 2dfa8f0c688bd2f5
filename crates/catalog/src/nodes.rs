//! `mk_node`: what each daemon told of itself last.

use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, to_json};
use chrono::{DateTime, Utc};
use mykeeper_domain::NodeName;
use mykeeper_domain::node::NodeReport;
use sqlx::FromRow;

/// As much of a folder's name as the column holds.
const LONGEST_DIR: usize = 255;

#[derive(FromRow)]
struct NodeRow {
    node: String,
    report_json: String,
}

pub(crate) async fn report(store: &Store, report: &NodeReport) -> Result<(), CatalogError> {
    const ACTION: &str = "tell that this node lives";
    let json = to_json(ACTION, report)?;
    let state_dir: String = report.state_dir.chars().take(LONGEST_DIR).collect();
    writing!(store, ACTION, |tx| {
        let told =
            sqlx::query("UPDATE mk_node SET heard_ms = ?, report_json = ? WHERE node = ? AND state_dir = ?")
                .bind(ms(report.heard_at))
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
            .bind(ms(report.heard_at))
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

pub(crate) async fn list(store: &Store, since: DateTime<Utc>) -> Result<Vec<NodeReport>, CatalogError> {
    let rows: Vec<NodeRow> = reading!(store, "list nodes", |conn| {
        sqlx::query_as("SELECT node, report_json FROM mk_node WHERE heard_ms >= ? ORDER BY node, state_dir")
            .bind(ms(since))
            .fetch_all(&mut *conn)
            .await?
    })?;
    rows.iter().map(read).collect()
}

/// What a node of another version tells is shown as far as it is known here: one row hides no other node.
fn read(row: &NodeRow) -> Result<NodeReport, CatalogError> {
    let place = Place {
        table: "mk_node",
        id: &row.node,
    };
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
