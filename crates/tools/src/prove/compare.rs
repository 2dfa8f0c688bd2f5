//! What came back, beside what should have.

use super::expect::{Expected, without_system_noise};
use super::load::{Loaded, Restore, SYSTEM_DATABASE};
use super::values::{BrokenView, TableReader};
use crate::error::ToolError;
use crate::probe::Probe;
use mykeeper_domain::inventory::DatabaseInventory;
use mykeeper_domain::proof::{DatabaseProof, Difference};

/// What is found when nothing is.
const MISSING: &str = "missing";

impl Restore<'_> {
    /// Compares one database.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) async fn compare(
        &self,
        database: &str,
        threads: u32,
        (expected, loaded): (&Expected, &Loaded),
    ) -> Result<DatabaseProof, ToolError> {
        let target = self.target(database);
        let mut probe = Probe::connect(&self.server.connection()).await?;
        let mut found = probe.inventory(std::slice::from_ref(&target)).await;
        if let Ok(inventory) = &mut found {
            probe.define(inventory).await?;
        }
        let mut found = found?;
        let mut differences = Vec::new();
        let (mut objects_compared, mut rows_compared) = (0, 0);
        let (mut tables_exact, mut tables_counted) = (0, 0);
        let mut measure = expected.databases.get(database).cloned().unwrap_or_default();
        if database != SYSTEM_DATABASE {
            let definers = self.dangling(&mut probe, (database, &target), (&measure, &mut found));
            differences.extend(definers.await?);
        }
        match found.databases.remove(&target) {
            None => differences.push(difference(database, "database", "present", MISSING)),
            Some(mut found) => {
                if database == SYSTEM_DATABASE {
                    without_system_noise(&mut found);
                }
                for view in &loaded.excused_views {
                    measure.views.remove(view);
                    found.views.remove(view);
                    found.tables.remove(view);
                }
                measure.forget_definitions(expected.coverage);
                probe
                    .dumper_checksums(&target, &measure.dumper_checksums, &mut found)
                    .await?;
                probe.close().await;
                let reader = TableReader {
                    connection: &self.server.connection(),
                    socket: Some(self.server.socket()),
                    log: self.env.log,
                    threads,
                };
                let faults = reader.read(&target, &measure, &mut found).await?;
                for (table, fault) in faults {
                    let object = format!("table {table}, CHECK TABLE");
                    differences.push(difference(database, &object, "OK", &fault));
                }
                (tables_exact, tables_counted) = count_tables(&measure, &found);
                rows_compared = found.tables.values().filter_map(|table| table.rows).sum();
                objects_compared = count_objects(&measure);
                differences.extend(measure.differences(database, &found, expected.coverage));
                let broken = self.try_views(&reader, (database, &target), &found).await?;
                for broken in broken {
                    let object = format!("view {}", broken.view);
                    differences.push(difference(
                        database,
                        &object,
                        "can be selected from",
                        &broken.cause,
                    ));
                }
            }
        }
        let has_create = self
            .layout
            .databases
            .get(database)
            .is_some_and(|files| files.create.is_some());
        if expected.coverage.schemas && !has_create {
            differences.push(difference(database, "CREATE DATABASE", "present", MISSING));
        }
        let lenient = database == SYSTEM_DATABASE;
        let mut complaints = loaded.complaints.iter().chain(&loaded.view_complaints);
        let error = complaints.next().filter(|_| !lenient).cloned();
        let error = match (error, differences.is_empty()) {
            (Some(error), _) => Some(error),
            (None, false) => loaded.loader_said.first().cloned(),
            (None, true) => None,
        };
        Ok(DatabaseProof {
            database: database.to_owned(),
            passed: differences.is_empty() && error.is_none(),
            differences,
            error,
            objects_compared,
            rows_compared,
            tables_exact,
            tables_counted,
            started_at: loaded.started_at.unwrap_or_else(|| self.env.clock.now()),
            finished_at: self.env.clock.now(),
        })
    }

    /// Opens every view as its definer may. What it takes more rights for than are known is told in the log: the source
    /// may have given them by a role, or by a plugin.
    async fn try_views(
        &self,
        reader: &TableReader<'_>,
        (database, target): (&str, &str),
        found: &DatabaseInventory,
    ) -> Result<Vec<BrokenView>, ToolError> {
        let first = reader.try_views(target, found).await?;
        if first.is_empty() {
            return Ok(first);
        }
        self.empower_definers().await?;
        let broken = reader.try_views(target, found).await?;
        // The system's own are for accounts that the evidence does not hold.
        let told = first.iter().filter(|_| database != SYSTEM_DATABASE);
        for opened in told.filter(|view| broken.iter().all(|other| other.view != view.view)) {
            let text = format!(
                "{database}: view {} can be selected from when its definers may do everything, and not with the rights \
                 that the evidence knows of: {}",
                opened.view, opened.cause
            );
            self.env.log.line("mykeeper", &text);
        }
        Ok(broken)
    }
}

/// How many tables of `measure` were compared by the digest of their rows, and how many by their number alone.
fn count_tables(measure: &DatabaseInventory, found: &DatabaseInventory) -> (u64, u64) {
    let (mut exact, mut counted) = (0, 0);
    for (table, facts) in &measure.tables {
        match found.tables.get(table) {
            Some(back) if facts.content.is_some() && back.content.is_some() => exact += 1,
            Some(back) if facts.rows.is_some() && back.rows.is_some() => counted += 1,
            _ => {}
        }
    }
    (exact, counted)
}

pub(crate) fn count_objects(database: &DatabaseInventory) -> u64 {
    let count = database.tables.len()
        + database.views.len()
        + database.sequences.len()
        + database.triggers.len()
        + database.procedures.len()
        + database.functions.len()
        + database.events.len();
    count as u64
}

pub(super) fn difference(database: &str, object: &str, expected: &str, found: &str) -> Difference {
    Difference {
        database: database.to_owned(),
        object: object.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}
