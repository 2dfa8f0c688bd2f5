//! What the server holds afterwards, beside what the set's evidence says.

use super::load::Loaded;
use super::{RestoreRequest, Restored, RestoredDatabase};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::probe::Probe;
use crate::prove::compare::count_objects;
use crate::prove::expect::{expect, fit_to_server};
use crate::prove::layout::Layout;
use crate::prove::values::TableReader;
use mykeeper_domain::proof::Difference;

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
    let mut expected = expect((request.set.evidence, request.set.set_dir), layout, &env.cancel).await?;
    let mut probe = Probe::connect(request.connection).await?;
    let version = probe.server_version().await?;
    fit_to_server(&mut expected, request.set.evidence, &version);
    let mut found = probe.inventory(request.wanted).await;
    if let Ok(inventory) = &mut found {
        probe.define(inventory).await?;
    }
    let mut found = found?.databases;
    for (database, found) in &mut found {
        if let Some(measure) = expected.databases.get(database) {
            probe
                .dumper_checksums(database, &measure.dumper_checksums, found)
                .await?;
        }
    }
    probe.close().await;
    let reader = TableReader {
        connection: request.connection,
        log: env.log,
        threads: request.set.sandbox.threads,
    };
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
        measure.forget_definitions(expected.coverage);
        let mut result = RestoredDatabase {
            database: database.clone(),
            refusals: complaints.refusals,
            ..Default::default()
        };
        match found.get_mut(database) {
            None => result.differences.push(Difference {
                database: database.clone(),
                object: "database".to_owned(),
                expected: "present".to_owned(),
                found: "missing".to_owned(),
            }),
            Some(found) => {
                let faults = reader.read(database, &measure, found).await?;
                result.differences = measure.differences(database, found, expected.coverage);
                result
                    .differences
                    .extend(faults.into_iter().map(|(table, fault)| Difference {
                        database: database.clone(),
                        object: format!("table {table}, CHECK TABLE"),
                        expected: "OK".to_owned(),
                        found: fault,
                    }));
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
