//! What the server holds afterwards, beside what the set's evidence says.

use super::load::Loaded;
use super::{RestoreRequest, Restored, RestoredDatabase};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::probe::{Probe, connect_options, quoted_name};
use crate::prove::compare::count_objects;
use crate::prove::expect::expect;
use crate::prove::layout::Layout;
use futures::{StreamExt, TryStreamExt, stream};
use mykeeper_domain::inventory::DatabaseInventory;
use mykeeper_domain::proof::Difference;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::collections::BTreeMap;

/// Most connections at a time.
const MOST_CONNECTIONS: u32 = 16;

/// Compares all databases.
///
/// # Errors
/// The server is gone, or the run was ended.
pub(super) async fn compare(
    request: &RestoreRequest<'_>,
    layout: &Layout,
    loaded: Loaded,
    env: &ToolEnv<'_>,
) -> Result<Restored, ToolError> {
    let comparing = compare_all(request, layout, loaded, env);
    tokio::select! {
        restored = comparing => restored,
        () = env.cancel.cancelled() => Err(ToolError::Cancelled { program: "the comparison".to_owned() }),
    }
}

async fn compare_all(
    request: &RestoreRequest<'_>,
    layout: &Layout,
    mut loaded: Loaded,
    env: &ToolEnv<'_>,
) -> Result<Restored, ToolError> {
    let expected = expect((request.set.evidence, request.set.set_dir), layout, &env.cancel).await?;
    let mut probe = Probe::connect(request.connection).await?;
    let found = probe.inventory(request.wanted).await;
    probe.close().await;
    let mut found = found?.databases;
    count_rows(request, &mut found, env).await?;
    let mut databases = Vec::new();
    for database in request.wanted {
        let complaints = loaded.complaints.remove(database).unwrap_or_default();
        let mut measure = expected.databases.get(database).cloned().unwrap_or_default();
        measure
            .views
            .retain(|view| !complaints.excused_views.contains(view));
        measure
            .events
            .retain(|event| !complaints.past_events.contains(event));
        let mut result = RestoredDatabase {
            database: database.clone(),
            refusals: complaints.refusals,
            ..Default::default()
        };
        match found.get(database) {
            None => result.differences.push(Difference {
                database: database.clone(),
                object: "database".to_owned(),
                expected: "present".to_owned(),
                found: "missing".to_owned(),
            }),
            Some(found) => {
                result.differences = measure.differences(database, found, expected.coverage);
                result.objects = count_objects(&measure);
                result.rows = found.tables.values().filter_map(|table| table.rows).sum();
            }
        }
        databases.push(result);
    }
    Ok(Restored {
        databases,
        warnings: loaded.warnings,
        loaded_bytes: loaded.bytes,
    })
}

/// Exact rows of every table, several tables at a time, however long each takes.
async fn count_rows(
    request: &RestoreRequest<'_>,
    found: &mut BTreeMap<String, DatabaseInventory>,
    env: &ToolEnv<'_>,
) -> Result<(), ToolError> {
    let at_once = request.set.sandbox.threads.clamp(1, MOST_CONNECTIONS) as usize;
    let tables: Vec<(String, String)> = found
        .iter()
        .flat_map(|(database, found)| found.tables.keys().map(|table| (database.clone(), table.clone())))
        .collect();
    let shares = (0..at_once)
        .map(|worker| tables.iter().skip(worker).step_by(at_once))
        .collect::<Vec<_>>();
    let counting: Vec<_> = shares
        .into_iter()
        .filter(|share| share.len() > 0)
        .map(|share| async move {
            let lost = |error: sqlx::Error| ToolError::Query {
                action: "count rows".to_owned(),
                server: request.connection.name.clone(),
                cause: error.to_string(),
            };
            let options = connect_options(request.connection).disable_statement_logging();
            let mut connection = options.connect().await.map_err(lost)?;
            let mut counts = Vec::new();
            for (database, table) in share {
                let sql = format!(
                    "SELECT COUNT(*) FROM {}.{}",
                    quoted_name(database),
                    quoted_name(table)
                );
                match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut connection).await {
                    Ok(row) => counts.push((database, table, row.try_get_unchecked::<i64, _>(0).ok())),
                    Err(sqlx::Error::Database(error)) => {
                        env.log
                            .line("mykeeper", &format!("{database}.{table}: {}", error.message()));
                    }
                    Err(error) => return Err(lost(error)),
                }
            }
            drop(connection.close().await);
            Ok(counts)
        })
        .collect();
    let counts: Vec<_> = stream::iter(counting)
        .buffer_unordered(at_once)
        .try_collect()
        .await?;
    for (database, table, rows) in counts.into_iter().flatten() {
        if let Some(table) = found
            .get_mut(database)
            .and_then(|found| found.tables.get_mut(table))
        {
            table.rows = rows.and_then(|rows| u64::try_from(rows).ok());
        }
    }
    Ok(())
}
