//! What is worth knowing of a set before it is written under another name, or in part.

use super::naming::{Naming, database_pattern, in_database};
use super::scope::Scope;
use super::unit::{disabled, enabled_pattern, event_name, event_pattern};
use crate::error::ToolError;
use crate::probe::quoted_name;
use crate::prove::expect::each_statement;
use crate::prove::layout::{DatabaseFiles, Layout};
use crate::prove::written::Written;
use std::collections::{BTreeMap, BTreeSet};

/// Reads the definitions; yields a line for each table that refers to what does not come with it, and one for each
/// database whose objects go on naming it as it was called, or whose events do not run in its copy.
///
/// # Errors
/// A file cannot be read.
pub(super) fn notes(layout: &Layout, scope: &Scope) -> Result<Vec<String>, ToolError> {
    let naming = Naming::new()?;
    let mut notes = Vec::new();
    for (database, files) in &layout.databases {
        let there = scope.there(database);
        for (table, others) in references(&naming, (database, files), scope)? {
            let others = others.into_iter().collect::<Vec<_>>().join(", ");
            notes.push(format!(
                "{there}: table {table} refers by foreign key to what is not restored with it: {others}; whether its \
                 rows fit is not checked"
            ));
        }
        if scope.old_name(database).is_some() {
            let naming_it = that_name((database, there), files, &naming)?;
            if !naming_it.is_empty() {
                notes.push(format!(
                    "{there}: these go on naming {database}, not {there}, in what they do: {}",
                    naming_it.join(", ")
                ));
            }
            let enabling = enabling(there, files)?;
            if !enabling.is_empty() {
                notes.push(format!(
                    "{there}: the events of a copy are disabled, so that nothing is done twice; what enables them: {}",
                    enabling.join("; ")
                ));
            }
        }
    }
    Ok(notes)
}

/// For each event that would run, the statement that has it run in a copy.
fn enabling(there: &str, files: &DatabaseFiles) -> Result<Vec<String>, ToolError> {
    let (event, enabled) = (event_pattern()?, enabled_pattern()?);
    let mut statements = Vec::new();
    for file in &files.post {
        each_statement(file, &mut |statement| {
            let runs = disabled((&event, &enabled), statement).is_some();
            let name = event_name(&event, statement).filter(|_| runs);
            statements.extend(
                name.map(|name| format!("ALTER EVENT {}.{} ENABLE", quoted_name(there), quoted_name(&name))),
            );
        })?;
    }
    Ok(statements)
}

/// Table to the tables that its foreign keys name and that are not restored.
fn references(
    naming: &Naming,
    (database, files): (&str, &DatabaseFiles),
    scope: &Scope,
) -> Result<BTreeMap<String, BTreeSet<String>>, ToolError> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (table, file) in &files.schemas {
        each_statement(file, &mut |statement| {
            for (other, name) in naming.references(statement) {
                let owner = other.as_deref().unwrap_or(database);
                if !scope.takes(owner, &name) {
                    let shown = other
                        .as_ref()
                        .map_or(name.clone(), |other| format!("{other}.{name}"));
                    found.entry(table.clone()).or_default().insert(shown);
                }
            }
        })?;
    }
    Ok(found)
}

/// Objects whose definitions name the database: `view v`, `procedure p`.
fn that_name(
    (database, there): (&str, &str),
    files: &DatabaseFiles,
    naming: &Naming,
) -> Result<Vec<String>, ToolError> {
    let (written, pattern) = (Written::new()?, database_pattern(database)?);
    let mut found = BTreeSet::new();
    let tables = files.schemas.iter().map(|(name, file)| ("table", name, file));
    let views = files.views.iter().map(|(name, file)| ("view", name, file));
    for (kind, name, file) in tables.chain(views) {
        each_statement(file, &mut |statement| {
            // What its defaults ask of sequences is changed with its name.
            let statement = in_database(statement, database, there);
            if pattern.is_match(&statement) {
                found.insert(format!("{kind} {name}"));
            }
        })?;
    }
    for file in files.triggers.iter().chain(&files.post) {
        each_statement(file, &mut |statement| {
            // The name before its own and its table's goes.
            let trigger = naming.trigger(statement);
            let text = trigger.as_ref().map_or(statement, |trigger| &trigger.bare);
            if let (true, Some(object)) = (pattern.is_match(text), written.object(text)) {
                found.insert(object);
            }
        })?;
    }
    Ok(found.into_iter().collect())
}
