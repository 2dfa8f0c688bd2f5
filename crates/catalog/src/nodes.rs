//! `mk_node`: what each daemon told of itself last.

use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, to_json};
use chrono::{DateTime, Utc};
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
    let report = |row: NodeRow| {
        let place = Place {
            table: "mk_node",
            id: &row.node,
        };
        place.json("report_json", &row.report_json)
    };
    rows.into_iter().map(report).collect()
}
