//! What stands upon tables, in the throwaway server: routines and triggers, views, events, and accounts for definers.

use super::feed::{Complaint, Feeder, Manner, quoted};
use super::layout::SetFile;
use super::load::{Loaded, Restore};
use crate::error::ToolError;
use mykeeper_domain::inventory::Inventory;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};

/// The server's numbers for a table and a database that are not there.
const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_DATABASE: u16 = 1049;

/// An event that was due once before it is created would be dropped at once, and a source that runs no events may
/// have one that was due long before its dump.
const LONG_AGO: i64 = 1;

impl Restore<'_> {
    /// Routines, events and triggers of these databases, then their views, and those of others that could not be created
    /// before; all views are judged by what comes of that.
    pub(super) async fn define(
        &self,
        feeder: &mut Feeder,
        databases: &[&String],
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> Result<(), ToolError> {
        self.create_known_definers().await?;
        // A view may call a function: these come first. Neither they nor triggers are resolved as they are created.
        for database in databases {
            let Some(files) = self.layout.databases.get(*database) else {
                continue;
            };
            let target = self.target(database);
            let mut said = Vec::new();
            for file in files.post.iter().chain(&files.triggers) {
                let manner = Manner::Definitions {
                    known: self.known(database),
                    at: Some(LONG_AGO),
                };
                said.extend(
                    feeder
                        .feed(file, Some(&target), manner, &|statement| statement)
                        .await?,
                );
            }
            if let Some(state) = loaded.get_mut(*database) {
                state.complaints.extend(said.iter().map(Complaint::to_string));
            }
        }
        let mut waiting: Vec<(&String, &String, &SetFile)> = Vec::new();
        for (database, files) in &self.layout.databases {
            let before = loaded.get(database).map(|state| &state.failed_views);
            let waits = |view: &String| {
                databases.contains(&database) || before.is_some_and(|failed| failed.contains(view))
            };
            let views = files.views.iter().filter(|(view, _)| waits(view));
            waiting.extend(views.map(|(view, file)| (database, view, file)));
        }
        let failed = self.define_views(feeder, waiting).await?;
        for state in loaded.values_mut() {
            state.view_complaints.clear();
            state.failed_views.clear();
            state.excused_views.clear();
        }
        let excused = self.judge_views(&failed, loaded);
        if !excused.is_empty() {
            self.excuse_dependents(excused, loaded).await?;
        }
        self.create_definers().await
    }

    /// Round by round, as long as one more can be created: a view may stand on one that comes later.
    pub(super) async fn define_views<'f>(
        &self,
        feeder: &mut Feeder,
        mut waiting: Vec<(&'f String, &'f String, &'f SetFile)>,
    ) -> Result<Vec<(&'f String, &'f String, Complaint)>, ToolError> {
        loop {
            let before = waiting.len();
            let mut failed = Vec::new();
            let mut left = Vec::new();
            for (database, view, file) in waiting {
                let target = self.target(database);
                let manner = Manner::Definitions {
                    at: None,
                    known: None,
                };
                let said = feeder
                    .feed(file, Some(&target), manner, &|statement| statement)
                    .await?;
                if let Some(complaint) = said.into_iter().next() {
                    failed.push((database, view, complaint));
                    left.push((database, view, file));
                }
            }
            if left.is_empty() || left.len() == before {
                return Ok(failed);
            }
            waiting = left;
        }
    }

    /// Tells a view that cannot come back because of what the set was never meant to hold from a damaged one.
    pub(super) fn judge_views(
        &self,
        failed: &[(&String, &String, Complaint)],
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> BTreeSet<(String, String)> {
        // A table or view that came or went while the set was made is not restored.
        let evidence = self.request.evidence;
        let mut excused =
            evidence.map_or_else(BTreeSet::new, |evidence| unsettled_bases(&evidence.inventory));
        loop {
            let before = excused.len();
            for (database, view, complaint) in failed {
                let holds = |name: &str| self.layout.databases.contains_key(name);
                let stands = match excuse(complaint, &holds, &excused) {
                    Some(Excuse::View) => true,
                    Some(Excuse::Elsewhere(missing)) => self.may_stand_on((database, view), missing),
                    None => false,
                };
                if stands {
                    excused.insert((database, view));
                }
            }
            if excused.len() == before {
                break;
            }
        }
        for (database, view, complaint) in failed {
            let Some(state) = loaded.get_mut(*database) else {
                continue;
            };
            state.failed_views.insert((*view).clone());
            if excused.contains(&(database.as_str(), view.as_str())) {
                let text = format!(
                    "{database}: view {view} stands on what is not part of the set and is left out: {}",
                    complaint.text
                );
                self.env.log.line("mykeeper", &text);
                state.excused_views.insert((*view).clone());
            } else {
                state.view_complaints.push(complaint.to_string());
            }
        }
        let views = failed
            .iter()
            .map(|(database, view, _)| ((*database).clone(), (*view).clone()));
        views
            .filter(|(database, view)| excused.contains(&(database.as_str(), view.as_str())))
            .collect()
    }

    /// Whether a view named the database of what is missing when its set was made, as far as that is known: a damaged
    /// name is of no database either.
    fn may_stand_on(&self, (database, view): (&str, &str), missing: &str) -> bool {
        let names = self.known(database).and_then(|known| {
            // One that was changed in mid-dump may be in the set as it was or as it is.
            let is_known = known.definitions.contains_key(&format!("view {view}"));
            known.view_names.get(view).filter(|_| is_known)
        });
        names.is_none_or(|names| {
            let places = missing.match_indices('.').map(|(at, _)| at);
            places
                .chain([missing.len()])
                .filter_map(|end| missing.get(..end))
                .any(|database| names.contains(database))
        })
    }

    /// Excuses views that were created upon what stood in for an excused one.
    pub(super) async fn excuse_dependents(
        &self,
        mut excused: BTreeSet<(String, String)>,
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> Result<(), ToolError> {
        const SQL: &str = "SELECT CONVERT(TABLE_SCHEMA USING utf8mb4), CONVERT(TABLE_NAME USING utf8mb4), \
                           CONVERT(VIEW_DEFINITION USING utf8mb4) FROM information_schema.VIEWS";
        let mut connection = self.server.connect().await?;
        let rows = sqlx::query(SQL)
            .fetch_all(&mut connection)
            .await
            .map_err(|error| ToolError::Query {
                action: "list the views".to_owned(),
                server: "throwaway".to_owned(),
                cause: error.to_string(),
            })?;
        let text = |row: &sqlx::mysql::MySqlRow, index: usize| {
            let bytes = row.try_get_unchecked::<Vec<u8>, _>(index).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let views: Vec<(String, String, String)> = rows
            .iter()
            .map(|row| (text(row, 0), text(row, 1), text(row, 2)))
            .collect();
        loop {
            let before = excused.len();
            for (database, view, definition) in &views {
                let stands_on = |(database, view): &(String, String)| {
                    definition.contains(&format!("{}.{}", quoted(database), quoted(view)))
                };
                if excused.iter().any(stands_on) {
                    excused.insert((database.clone(), view.clone()));
                }
            }
            if excused.len() == before {
                break;
            }
        }
        for (database, view) in excused {
            if let Some(state) = loaded.get_mut(&database)
                && state.excused_views.insert(view.clone())
            {
                self.env.log.line(
                    "mykeeper",
                    &format!("{database}: view {view} stands on a view that is left out"),
                );
            }
        }
        Ok(())
    }
}

/// Why it may be no fault of a view that it cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse<'a> {
    /// It stands on an excused view.
    View,
    /// It stands on what lies in a database that is not held: that, or a table with its database before a dot.
    Elsewhere(&'a str),
}

/// Tables and views by database that came or went while the set was made: they are not restored, nor is what stands
/// upon them.
pub(crate) fn unsettled_bases(inventory: &Inventory) -> BTreeSet<(&str, &str)> {
    let databases = inventory.databases.iter();
    databases
        .flat_map(|(database, content)| {
            let bases = content.unsettled.iter().filter_map(|object| {
                let (kind, name) = object.split_once(' ')?;
                ["table", "view"].contains(&kind).then_some(name)
            });
            bases.map(move |name| (database.as_str(), name))
        })
        .collect()
}

/// Whether what is missing lies in a database that the set does not hold, or is itself excused.
pub(crate) fn is_excused(
    complaint: &Complaint,
    holds: &dyn Fn(&str) -> bool,
    excused: &BTreeSet<(&str, &str)>,
) -> bool {
    excuse(complaint, holds, excused).is_some()
}

fn excuse<'c>(
    complaint: &'c Complaint,
    holds: &dyn Fn(&str) -> bool,
    excused: &BTreeSet<(&str, &str)>,
) -> Option<Excuse<'c>> {
    let missing = complaint.text.split('\'').nth(1)?;
    match complaint.code {
        NO_SUCH_DATABASE => (!holds(missing)).then_some(Excuse::Elsewhere(missing)),
        NO_SUCH_TABLE => {
            if excused
                .iter()
                .any(|(database, view)| missing == format!("{database}.{view}"))
            {
                return Some(Excuse::View);
            }
            let mut from = 0;
            while let Some(at) = missing[from..].find('.') {
                if holds(&missing[..from + at]) {
                    return None;
                }
                from += at + 1;
            }
            missing.contains('.').then_some(Excuse::Elsewhere(missing))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(code: u16, text: &str) -> Complaint {
        Complaint {
            path: "f".into(),
            code,
            text: format!("ERROR {code}: {text}"),
        }
    }

    #[test]
    fn only_what_the_set_never_held_excuses_a_view() {
        let holds = |name: &str| ["shop", "shop.eu"].contains(&name);
        let mut excused = BTreeSet::new();
        let is =
            |complaint: Complaint, excused: &BTreeSet<(&str, &str)>| is_excused(&complaint, &holds, excused);
        assert!(is(missing(1146, "Table 'crm.people' doesn't exist"), &excused));
        assert!(!is(missing(1146, "Table 'shop.orders' doesn't exist"), &excused));
        assert!(!is(missing(1146, "Table 'shop.eu.a.b' doesn't exist"), &excused));
        assert!(is(missing(1049, "Unknown database 'crm'"), &excused));
        assert!(!is(missing(1064, "You have an error near 'crm.x'"), &excused));
        assert!(!is(missing(1146, "Table 'shop.v' doesn't exist"), &excused));
        excused.insert(("shop", "v"));
        assert!(is(missing(1146, "Table 'shop.v' doesn't exist"), &excused));
    }
}
