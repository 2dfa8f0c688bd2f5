//! What lies in a server or in a set: databases and their objects, and how two of these differ.

use crate::proof::Difference;
use crate::space::Volume;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Databases by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Name to content.
    pub databases: BTreeMap<String, DatabaseInventory>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInventory {
    /// Storage engine as the server names it.
    pub engine: Option<String>,
    /// Exact rows; `None` when they were not counted.
    pub rows: Option<u64>,
    /// `DATA_LENGTH`, as the server tells it; a size, not a witness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_bytes: Option<u64>,
    /// `INDEX_LENGTH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_bytes: Option<u64>,
}

/// One database's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseInventory {
    /// Default character set.
    pub charset: String,
    /// Default collation.
    pub collation: String,
    /// Base tables.
    pub tables: BTreeMap<String, TableInventory>,
    /// Views.
    pub views: BTreeSet<String>,
    /// Sequences (MariaDB).
    #[serde(default)]
    pub sequences: BTreeSet<String>,
    /// Trigger to the table that it stands on.
    pub triggers: BTreeMap<String, String>,
    /// Stored procedures.
    pub procedures: BTreeSet<String>,
    /// Stored functions.
    pub functions: BTreeSet<String>,
    /// Events.
    pub events: BTreeSet<String>,
}

/// What kinds of object a set holds, as the dump was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Definitions of tables and views.
    pub schemas: bool,
    /// Rows.
    pub data: bool,
    /// Triggers.
    pub triggers: bool,
    /// Procedures and functions.
    pub routines: bool,
    /// Events.
    pub events: bool,
}

impl Coverage {
    /// Everything.
    pub const ALL: Self = Self {
        schemas: true,
        data: true,
        triggers: true,
        routines: true,
        events: true,
    };
}

impl Inventory {
    /// What the tables of these databases take; `None` where no table's size is known.
    pub fn volume<'a>(&self, databases: impl IntoIterator<Item = &'a String>) -> Option<Volume> {
        let mut volume = Volume::default();
        let mut is_known = false;
        for database in databases {
            for table in self
                .databases
                .get(database)
                .iter()
                .flat_map(|found| found.tables.values())
            {
                is_known |= table.data_bytes.is_some();
                volume.tables += 1;
                volume.data_bytes = volume.data_bytes.saturating_add(table.data_bytes.unwrap_or(0));
                volume.index_bytes = volume.index_bytes.saturating_add(table.index_bytes.unwrap_or(0));
            }
        }
        is_known.then_some(volume)
    }

    /// What is in both: what a change in mid-dump cannot be blamed for.
    ///
    /// Taken from `self`, less what `later` no longer has.
    pub fn stable_part(&self, later: &Self) -> Self {
        let mut databases = BTreeMap::new();
        for (name, before) in &self.databases {
            let Some(after) = later.databases.get(name) else {
                continue;
            };
            let mut both = before.clone();
            both.tables.retain(|table, _| after.tables.contains_key(table));
            both.views.retain(|view| after.views.contains(view));
            both.sequences
                .retain(|sequence| after.sequences.contains(sequence));
            both.triggers
                .retain(|trigger, table| after.triggers.get(trigger) == Some(table));
            both.procedures
                .retain(|procedure| after.procedures.contains(procedure));
            both.functions
                .retain(|function| after.functions.contains(function));
            both.events.retain(|event| after.events.contains(event));
            databases.insert(name.clone(), both);
        }
        Self { databases }
    }
}

impl DatabaseInventory {
    /// Every way in which `found` (the restored database) falls short of, or goes beyond, `self` (the evidence).
    ///
    /// Rows are compared where the evidence counted them. Empty when nothing differs.
    pub fn differences(&self, name: &str, found: &Self, coverage: Coverage) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut differ = |object: String, expected: &str, found: &str| {
            differences.push(Difference {
                database: name.to_owned(),
                object,
                expected: expected.to_owned(),
                found: found.to_owned(),
            });
        };
        if coverage.schemas {
            if !self.collation.is_empty() && self.collation != found.collation {
                differ("default collation".into(), &self.collation, &found.collation);
            }
            for (table, expected) in &self.tables {
                let Some(came_back) = found.tables.get(table) else {
                    differ(format!("table {table}"), "present", "missing");
                    continue;
                };
                if let (Some(before), Some(after)) = (&expected.engine, &came_back.engine)
                    && before != after
                {
                    differ(format!("table {table}, engine"), before, after);
                }
                if let Some(rows) = expected.rows
                    && coverage.data
                    && came_back.rows != Some(rows)
                {
                    let after = came_back
                        .rows
                        .map_or("not readable".to_owned(), |rows| rows.to_string());
                    differ(format!("table {table}, rows"), &rows.to_string(), &after);
                }
            }
        }
        let sets: [(&str, bool, &BTreeSet<String>, &BTreeSet<String>); 5] = [
            ("view", coverage.schemas, &self.views, &found.views),
            ("sequence", coverage.schemas, &self.sequences, &found.sequences),
            (
                "procedure",
                coverage.routines,
                &self.procedures,
                &found.procedures,
            ),
            ("function", coverage.routines, &self.functions, &found.functions),
            ("event", coverage.events, &self.events, &found.events),
        ];
        for (kind, covered, expected, came_back) in sets {
            if covered {
                for object in expected.difference(came_back) {
                    differ(format!("{kind} {object}"), "present", "missing");
                }
                for object in came_back.difference(expected) {
                    differ(format!("{kind} {object}"), "absent", "present");
                }
            }
        }
        if coverage.triggers {
            for (trigger, table) in &self.triggers {
                match found.triggers.get(trigger) {
                    None => differ(format!("trigger {trigger}"), "present", "missing"),
                    Some(other) if other != table => differ(format!("trigger {trigger}"), table, other),
                    Some(_) => {}
                }
            }
        }
        if coverage.schemas {
            for table in found
                .tables
                .keys()
                .filter(|table| !self.tables.contains_key(*table))
            {
                differ(format!("table {table}"), "absent", "present");
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> DatabaseInventory {
        let mut database = DatabaseInventory {
            collation: "utf8mb4_bin".into(),
            ..Default::default()
        };
        database.tables.insert(
            "orders".into(),
            TableInventory {
                engine: Some("InnoDB".into()),
                rows: Some(20_000),
                ..Default::default()
            },
        );
        database.views.insert("v_orders".into());
        database.triggers.insert("tr".into(), "orders".into());
        database.events.insert("ev".into());
        database
    }

    #[test]
    fn the_same_differs_in_nothing() {
        assert_eq!(shop().differences("shop", &shop(), Coverage::ALL), []);
    }

    #[test]
    fn what_myloader_loses_without_saying_is_found() {
        let mut found = shop();
        found.tables.insert(
            "orders".into(),
            TableInventory {
                engine: Some("InnoDB".into()),
                rows: Some(7_616),
                ..Default::default()
            },
        );
        found.views.clear();
        found.triggers.clear();
        found.events.clear();
        found.collation = "latin1_swedish_ci".into();
        let lines: Vec<String> = shop()
            .differences("shop", &found, Coverage::ALL)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "shop: default collation: expected utf8mb4_bin, found latin1_swedish_ci",
                "shop: table orders, rows: expected 20000, found 7616",
                "shop: view v_orders: expected present, found missing",
                "shop: event ev: expected present, found missing",
                "shop: trigger tr: expected present, found missing",
            ]
        );
    }

    #[test]
    fn what_was_not_asked_for_is_not_missed() {
        let mut found = shop();
        found.triggers.clear();
        found.events.clear();
        let coverage = Coverage {
            triggers: false,
            events: false,
            ..Coverage::ALL
        };
        assert_eq!(shop().differences("shop", &found, coverage), []);
    }

    #[test]
    fn a_table_dropped_in_mid_dump_is_in_no_stable_part() {
        let before = Inventory {
            databases: BTreeMap::from([("shop".into(), shop())]),
        };
        let mut after = before.clone();
        after.databases.get_mut("shop").unwrap().tables.clear();
        assert!(before.stable_part(&after).databases["shop"].tables.is_empty());
        assert!(before.stable_part(&Inventory::default()).databases.is_empty());
    }
}
