//! What the server holds afterwards, beside what the set's evidence says.

use super::letters::as_kept;
use super::load::Loaded;
use super::naming::in_database;
use super::{RestoreRequest, Restored, RestoredDatabase, Scope, Target};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::log::Progress;
use crate::probe::{DATABASE_COLLATION, Probe};
use crate::prove::compare::count_objects;
use crate::prove::expect::{Expected, expect, fit_to_server};
use crate::prove::layout::{DatabaseFiles, Layout};
use crate::prove::values::{BrokenView, TableReader};
use mykeeper_domain::definition::UNKNOWN;
use mykeeper_domain::inventory::DatabaseInventory;
use mykeeper_domain::proof::Difference;
use std::collections::BTreeMap;

/// The server's numbers for a view whose definer is not there, or may not do what the view does: which accounts a server
/// has, no set decides.
const FOR_WANT_OF_RIGHTS: [u16; 4] = [1142, 1143, 1356, 1449];

/// What the server holds before there are events, and what it is held against.
pub(super) struct ReadBack {
    pub(super) loaded: Loaded,
    /// What is compared, by the names that the server keeps.
    scope: Scope,
    expected: Expected,
    /// By database of the set.
    databases: BTreeMap<String, ReadDatabase>,
    warnings: Vec<String>,
}

/// One database, read back.
struct ReadDatabase {
    /// With what its rows are.
    found: DatabaseInventory,
    /// Tables, and what CHECK TABLE has to say.
    faults: Vec<(String, String)>,
    broken_views: Vec<BrokenView>,
}

/// Reads the rows of all databases.
///
/// # Errors
/// The server is gone, or the run was ended.
pub(super) async fn read_back(
    request: &RestoreRequest<'_>,
    set: (&Layout, &Target),
    loaded: Loaded,
    env: &ToolEnv<'_>,
) -> Result<ReadBack, ToolError> {
    tokio::select! {
        read = read_all(request, set, loaded, env) => read,
        () = env.cancel.cancelled() => Err(ended()),
    }
}

fn ended() -> ToolError {
    ToolError::Cancelled {
        program: "the comparison".to_owned(),
    }
}

async fn read_all(
    request: &RestoreRequest<'_>,
    (layout, target): (&Layout, &Target),
    mut loaded: Loaded,
    env: &ToolEnv<'_>,
) -> Result<ReadBack, ToolError> {
    let mut expected = expect((request.set.evidence, request.set.set_dir), layout, &env.cancel).await?;
    let scope = as_kept(target.lower_case_table_names, request.scope, &mut expected);
    let scope = &scope;
    let mut warnings = std::mem::take(&mut loaded.warnings);
    let mut probe = Probe::connect(request.connection).await?;
    let version = probe.server_version().await?;
    if let Some(what) = fit_to_server(&mut expected, request.set.evidence, &version)
        && let Some(evidence) = request.set.evidence
    {
        let source = &evidence.backup.server_version;
        warnings.push(format!(
            "{what} are not compared: they were written by {source}, and the server is {version}"
        ));
    }
    let found = look(&mut probe, scope, &scope.databases, &expected).await;
    probe.close().await;
    let mut found = found?;
    let reader = TableReader {
        connection: request.connection,
        socket: None,
        log: env.log,
        threads: request.set.sandbox.threads,
    };
    // Reading a database back takes about as long as it is large.
    let size = |database: &String| {
        layout
            .databases
            .get(database)
            .map_or(0, DatabaseFiles::plain_bytes)
    };
    let total_bytes = Some(scope.databases.iter().map(size).sum());
    let mut done_bytes = 0;
    let mut databases = BTreeMap::new();
    for database in &scope.databases {
        env.log.progress(Progress {
            phase: "compare",
            done_bytes,
            total_bytes,
        });
        let there = scope.there(database);
        if let Some(found) = found.remove(there) {
            let held = expected.databases.get(database).cloned().unwrap_or_default();
            let measure = scope.part_of(database, &held);
            let mut found = scope.part_of(database, &found);
            let faults = reader.read(there, &measure, &mut found).await?;
            let broken_views = reader.try_views(there, &found).await?;
            let read = ReadDatabase {
                found,
                faults: faults.into_iter().collect(),
                broken_views,
            };
            databases.insert(database.clone(), read);
        }
        done_bytes += size(database);
    }
    Ok(ReadBack {
        loaded,
        scope: scope.clone(),
        expected,
        databases,
        warnings,
    })
}

/// Compares all databases, with their events.
///
/// # Errors
/// The server is gone, or the run was ended.
pub(super) async fn compare(
    request: &RestoreRequest<'_>,
    mut read: ReadBack,
    env: &ToolEnv<'_>,
) -> Result<Restored, ToolError> {
    tokio::select! {
        looked = look_at_events(request, &mut read) => looked?,
        () = env.cancel.cancelled() => return Err(ended()),
    }
    let ReadBack {
        mut loaded,
        scope,
        expected,
        databases: mut read,
        mut warnings,
    } = read;
    warnings.append(&mut loaded.warnings);
    let comparison = Comparison {
        scope: &scope,
        expected: &expected,
    };
    let mut databases = Vec::new();
    for database in &scope.databases {
        let (result, more) = comparison.of(database, &mut loaded, read.remove(database));
        warnings.extend(more);
        databases.push(result);
    }
    Ok(Restored {
        databases,
        warnings,
        loaded_bytes: loaded.bytes,
    })
}

/// What events there are now: all else has been looked at before one could change it.
async fn look_at_events(request: &RestoreRequest<'_>, read: &mut ReadBack) -> Result<(), ToolError> {
    let scope = &read.scope;
    let names: Vec<String> = read.loaded.with_events.iter().cloned().collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut probe = Probe::connect(request.connection).await?;
    let now = look(&mut probe, scope, &names, &read.expected).await;
    probe.close().await;
    let mut now = now?;
    for database in &names {
        let (Some(read), Some(now)) = (
            read.databases.get_mut(database),
            now.remove(scope.there(database)),
        ) else {
            continue;
        };
        read.found.events = now.events;
        let definitions = now.definitions.into_iter();
        let of_events = definitions.filter(|(object, _)| object.starts_with("event "));
        read.found.definitions.extend(of_events);
        let checksums = now.dumper_checksums.into_iter();
        read.found
            .dumper_checksums
            .extend(checksums.filter(|(what, _)| what == "events"));
    }
    Ok(())
}

/// What the server has of `databases` of the set, by its own names of them.
async fn look(
    probe: &mut Probe,
    scope: &Scope,
    databases: &[String],
    expected: &Expected,
) -> Result<BTreeMap<String, DatabaseInventory>, ToolError> {
    let there: Vec<String> = databases
        .iter()
        .map(|database| scope.there(database).to_owned())
        .collect();
    let old_names = scope
        .renamed
        .iter()
        .map(|(old, new)| (new.clone(), old.clone()))
        .collect();
    let mut found = probe.inventory(&there).await?;
    probe.define_renamed(&mut found, &old_names).await?;
    let mut found = found.databases;
    for database in databases {
        let there = scope.there(database);
        if let (Some(measure), Some(found)) = (expected.databases.get(database), found.get_mut(there)) {
            let measure = scope.part_of(database, measure);
            probe
                .dumper_checksums(there, &measure.dumper_checksums, found)
                .await?;
        }
    }
    for (old, new) in &scope.renamed {
        let definitions = found.get_mut(new).map(|found| &mut found.definitions);
        for fact in definitions
            .into_iter()
            .flatten()
            .flat_map(|(_, definition)| definition.0.values_mut())
        {
            let text = in_database(fact.as_bytes(), new, old);
            *fact = String::from_utf8_lossy(&text).into_owned();
        }
    }
    Ok(found)
}

/// What one database is held against.
struct Comparison<'a> {
    scope: &'a Scope,
    expected: &'a Expected,
}

impl Comparison<'_> {
    /// Compares one database; yields with it what is worth a look.
    fn of(
        &self,
        database: &str,
        loaded: &mut Loaded,
        read: Option<ReadDatabase>,
    ) -> (RestoredDatabase, Vec<String>) {
        let (scope, coverage) = (self.scope, self.expected.coverage);
        let there = scope.there(database);
        let complaints = loaded.complaints.remove(database).unwrap_or_default();
        let mut result = RestoredDatabase {
            database: there.to_owned(),
            restored_from: scope.old_name(database).map(str::to_owned),
            refusals: complaints.refusals,
            ..Default::default()
        };
        let mut warnings = Vec::new();
        let Some(read) = read else {
            result
                .differences
                .push(difference(there, "database", ("present", "missing")));
            return (result, warnings);
        };
        let found = read.found;
        let held = self.expected.databases.get(database).cloned().unwrap_or_default();
        let mut measure = scope.part_of(database, &held);
        if loaded.kept.contains(database) {
            // It was there before, and is as it was; triggers take its collation for their own strings.
            if !measure.collation.is_empty() && measure.collation != found.collation {
                warnings.push(format!(
                    "{there}: its default collation is {}, that of the set is {}: triggers take the first",
                    found.collation, measure.collation
                ));
            }
            measure.collation.clear();
            for definition in measure.definitions.values_mut() {
                if let Some(collation) = definition.0.get_mut(DATABASE_COLLATION) {
                    UNKNOWN.clone_into(collation);
                }
            }
        }
        measure
            .views
            .retain(|view| !complaints.excused_views.contains(view));
        measure
            .events
            .retain(|event| !complaints.past_events.contains(event));
        if !complaints.past_events.is_empty() || !complaints.disabled_events.is_empty() {
            measure.dumper_checksums.remove("events");
        }
        for event in &complaints.disabled_events {
            if let Some(definition) = measure.definitions.get_mut(&format!("event {event}")) {
                definition.0.insert("status".to_owned(), UNKNOWN.to_owned());
            }
        }
        measure.forget_definitions(coverage);
        result.differences = measure.differences(there, &found, coverage);
        for (table, fault) in read.faults {
            let object = format!("table {table}, CHECK TABLE");
            result
                .differences
                .push(difference(there, &object, ("OK", &fault)));
        }
        for BrokenView { view, code, cause } in read.broken_views {
            if FOR_WANT_OF_RIGHTS.contains(&code) {
                warnings.push(format!("{there}: view {view} cannot be selected from: {cause}"));
            } else {
                let object = format!("view {view}");
                result
                    .differences
                    .push(difference(there, &object, ("can be selected from", &cause)));
            }
        }
        result.objects = count_objects(&measure);
        result.rows = found.tables.values().filter_map(|table| table.rows).sum();
        (result, warnings)
    }
}

fn difference(database: &str, object: &str, (expected, found): (&str, &str)) -> Difference {
    Difference {
        database: database.to_owned(),
        object: object.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}
