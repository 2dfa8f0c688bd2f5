//! How far each database has come: what a person must know of a restore that ended early.

use super::scope::Scope;
use crate::prove::layout::Layout;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// As the server calls it.
    there: String,
    dropped: bool,
    made: bool,
    tables: usize,
    filled: usize,
    of_tables: usize,
    is_whole: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Standing {
    states: Mutex<BTreeMap<String, State>>,
}

impl Standing {
    pub(super) fn new(layout: &Layout, scope: &Scope) -> Self {
        let state = |name: &str, files: &crate::prove::layout::DatabaseFiles| {
            let tables: BTreeSet<&String> = files.data.iter().map(|(table, _)| table).collect();
            State {
                there: scope.there(name).to_owned(),
                of_tables: tables.len(),
                ..State::default()
            }
        };
        let states = layout
            .databases
            .iter()
            .map(|(name, files)| (name.clone(), state(name, files)))
            .collect();
        Self {
            states: Mutex::new(states),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, database: &str, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.lock().get_mut(database) {
            change(state);
        }
    }

    /// What was there is gone, or is about to be.
    pub(super) fn drops(&self, database: &str) {
        self.change(database, |state| state.dropped = true);
    }

    pub(super) fn made(&self, database: &str) {
        self.change(database, |state| state.made = true);
    }

    pub(super) fn table_made(&self, database: &str) {
        self.change(database, |state| state.tables += 1);
    }

    pub(super) fn table_filled(&self, database: &str) {
        self.change(database, |state| state.filled += 1);
    }

    pub(super) fn all_whole(&self) {
        self.lock().values_mut().for_each(|state| state.is_whole = true);
    }

    /// For people, one line for each database.
    pub(super) fn lines(&self) -> Vec<String> {
        let states = self.lock();
        let lines = states.values().map(|state| {
            let name = &state.there;
            let was = if state.dropped { "what was there is dropped; " } else { "" };
            match state {
                State { is_whole: true, .. } => format!("{name}: loaded, not compared"),
                State { dropped: false, made: false, .. } => format!("{name}: untouched"),
                State { made: false, .. } => format!("{name}: what was there is dropped, or half so"),
                State { of_tables: 0, .. } => format!("{name}: half done: {was}made"),
                State { filled, of_tables, .. } if filled < of_tables => {
                    format!("{name}: half done: {was}{filled} of {of_tables} tables have all their rows")
                }
                _ => format!("{name}: half done: {was}tables and rows are there; views and programs are not, or not all"),
            }
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::layout::{DatabaseFiles, SetFile};

    #[test]
    fn each_database_says_how_far_it_has_come() {
        let file = SetFile {
            path: "f".into(),
            real: "f".into(),
            plain_bytes: 0,
            rows: None,
        };
        let files = DatabaseFiles {
            data: vec![("a".into(), file.clone()), ("b".into(), file)],
            ..DatabaseFiles::default()
        };
        let names = ["crm", "old", "shop", "wiki"];
        let databases = names
            .iter()
            .map(|name| ((*name).to_owned(), files.clone()))
            .collect();
        let layout = Layout {
            databases,
            ..Layout::default()
        };
        let mut scope = Scope::default();
        scope.renamed.insert("crm".into(), "copy".into());
        let standing = Standing::new(&layout, &scope);
        standing.drops("old");
        for name in ["shop", "wiki"] {
            standing.made(name);
        }
        standing.table_filled("shop");
        standing.drops("wiki");
        standing.table_filled("wiki");
        standing.table_filled("wiki");
        assert_eq!(
            standing.lines(),
            [
                "copy: untouched",
                "old: what was there is dropped, or half so",
                "shop: half done: 1 of 2 tables have all their rows",
                "wiki: half done: what was there is dropped; tables and rows are there; views and programs are not, \
                 or not all",
            ]
        );
    }
}
