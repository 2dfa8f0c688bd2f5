//! What lies in a server or in a set: databases and their objects, and how two of these differ.

use crate::checksum::SourceChecksum;
use crate::definer::Definers;
use crate::definition::Definition;
use crate::space::Volume;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Databases by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Name to content.
    pub databases: BTreeMap<String, DatabaseInventory>,
    /// The accounts that their objects name as definers; empty where nobody asked.
    #[serde(default, skip_serializing_if = "Definers::is_empty")]
    pub definers: Definers,
    /// The server's `lower_case_table_names`; `None` where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_case_table_names: Option<u8>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInventory {
    /// Storage engine as the server names it.
    pub engine: Option<String>,
    /// Exact rows; `None` when they were not counted.
    pub rows: Option<u64>,
    /// Digest of its rows whatever their order, 32 hexadecimal digits; `None` when they were not digested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The columns that the digest is of, where it is not of all that `*` yields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_columns: Option<Vec<String>>,
    /// `CHECKSUM TABLE` on the source; `None` where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<SourceChecksum>,
    /// The next `AUTO_INCREMENT` when the inventory was taken: it may have been used by the time of the dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_increment: Option<u64>,
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
    /// Sequence to the next value that it has not given away, nor kept ready to be, when the inventory was taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub next_values: BTreeMap<String, i128>,
    /// Trigger to the table that it stands on.
    pub triggers: BTreeMap<String, String>,
    /// Stored procedures.
    pub procedures: BTreeSet<String>,
    /// Stored functions.
    pub functions: BTreeSet<String>,
    /// Events.
    pub events: BTreeSet<String>,
    /// How they are defined, by kind and name: `table orders`, `view v`, `trigger t`. What is not in it is not known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub definitions: BTreeMap<String, Definition>,
    /// What stands before a dot in the bodies of views, by view: the databases that it stands on, and tables and what
    /// stands for them besides. A view that is not in it was not asked; none of it is compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub view_names: BTreeMap<String, BTreeSet<String>>,
    /// What the dumper itself took on the source, by its own formulas and each under the name of what it is of: `routines`,
    /// `columns of table orders`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dumper_checksums: BTreeMap<String, String>,
    /// Objects, by kind and name, that came or went while the set was made: it may hold them or not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unsettled: BTreeSet<String>,
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

    /// Whether an object, by kind and name, was asked for: `trigger t`.
    pub fn covers(self, object: &str) -> bool {
        match object.split_once(' ').map_or("", |(kind, _)| kind) {
            "table" | "view" | "sequence" => self.schemas,
            "trigger" => self.triggers,
            "procedure" | "function" => self.routines,
            "event" => self.events,
            _ => false,
        }
    }
}

impl DatabaseInventory {
    /// No object at all.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
            && self.views.is_empty()
            && self.sequences.is_empty()
            && self.triggers.is_empty()
            && self.procedures.is_empty()
            && self.functions.is_empty()
            && self.events.is_empty()
    }
}

impl DatabaseInventory {
    /// Whether a sequence runs downwards; `None` where its definition is not known.
    pub(crate) fn falls(&self, sequence: &str) -> Option<bool> {
        let definition = self.definitions.get(&format!("sequence {sequence}"))?;
        Some(definition.0.get("increment")?.starts_with('-'))
    }

    /// Whether a sequence has given away no value twice between these two, as far as can be told: one that begins anew
    /// when it is through may have.
    fn goes_on(&self, sequence: &str, later: &Self) -> bool {
        let cycles = self
            .definitions
            .get(&format!("sequence {sequence}"))
            .is_none_or(|definition| definition.0.get("cycle").is_none_or(|cycle| cycle != "0"));
        match (self.next_values.get(sequence), later.next_values.get(sequence)) {
            (Some(before), Some(after)) if cycles => before == after,
            (Some(before), Some(after)) => match self.falls(sequence) {
                Some(true) => after <= before,
                Some(false) => after >= before,
                None => false,
            },
            _ => false,
        }
    }

    /// Each object by kind and name: `trigger t`.
    fn objects(&self) -> BTreeSet<String> {
        let of = |kind: &'static str| move |name: &String| format!("{kind} {name}");
        let tables = self.tables.keys().map(of("table"));
        tables
            .chain(self.views.iter().map(of("view")))
            .chain(self.sequences.iter().map(of("sequence")))
            .chain(self.triggers.keys().map(of("trigger")))
            .chain(self.procedures.iter().map(of("procedure")))
            .chain(self.functions.iter().map(of("function")))
            .chain(self.events.iter().map(of("event")))
            .collect()
    }
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

    /// What is in both: what a change in mid-dump cannot be blamed for. What is in one alone is unsettled.
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
            // One that was changed meanwhile may be in the set in either form.
            both.definitions
                .retain(|object, definition| after.definitions.get(object) == Some(definition));
            // A default that is another now may be in the set in either form, and so may an engine.
            if (&before.charset, &before.collation) != (&after.charset, &after.collation) {
                both.charset.clear();
                both.collation.clear();
            }
            for (table, facts) in &mut both.tables {
                let later = after.tables.get(table);
                if later.and_then(|later| later.auto_increment) < facts.auto_increment {
                    facts.auto_increment = None;
                }
                if later.is_none_or(|later| later.engine != facts.engine) {
                    facts.engine = None;
                }
            }
            both.next_values.retain(|sequence, _| {
                both.definitions.contains_key(&format!("sequence {sequence}"))
                    && before.goes_on(sequence, after)
            });
            let mut unsettled = before.objects();
            unsettled.extend(after.objects());
            unsettled.retain(|object| !both.holds(object));
            both.unsettled = unsettled;
            databases.insert(name.clone(), both);
        }
        Self {
            databases,
            definers: self.definers.clone(),
            lower_case_table_names: self.lower_case_table_names,
        }
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
    fn a_table_dropped_in_mid_dump_is_in_no_stable_part() {
        let before = Inventory {
            databases: BTreeMap::from([("shop".into(), shop())]),
            ..Inventory::default()
        };
        let mut after = before.clone();
        after.databases.get_mut("shop").unwrap().tables.clear();
        let stable = &before.stable_part(&after).databases["shop"];
        assert!(stable.tables.is_empty());
        assert_eq!(stable.unsettled, BTreeSet::from(["table orders".to_owned()]));
        assert!(before.stable_part(&Inventory::default()).databases.is_empty());
    }

    #[test]
    fn what_came_or_went_in_mid_dump_is_unsettled() {
        let before = Inventory {
            databases: BTreeMap::from([("shop".into(), shop())]),
            ..Inventory::default()
        };
        let mut after = before.clone();
        let changed = after.databases.get_mut("shop").unwrap();
        changed.events.clear();
        changed.procedures.insert("p".into());
        changed.triggers.insert("tr".into(), "customers".into());
        changed
            .triggers
            .insert("pt_osc_shop_orders_ins".into(), "orders".into());
        let stable = &before.stable_part(&after).databases["shop"];
        assert!(stable.triggers.is_empty() && stable.procedures.is_empty() && stable.events.is_empty());
        assert_eq!(
            stable.unsettled.iter().collect::<Vec<_>>(),
            [
                "event ev",
                "procedure p",
                "trigger pt_osc_shop_orders_ins",
                "trigger tr"
            ]
        );
        assert!(before.stable_part(&before).databases["shop"].unsettled.is_empty());
    }

    #[test]
    fn a_sequence_that_was_set_back_in_mid_dump_has_no_next_value() {
        let of = |increment: &str, cycle: &str, next: i128| {
            let mut database = shop();
            database.sequences.insert("s".into());
            database.next_values.insert("s".into(), next);
            let facts = [("increment", increment), ("cycle", cycle)];
            let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned()));
            database
                .definitions
                .insert("sequence s".into(), facts.into_iter().collect());
            Inventory {
                databases: BTreeMap::from([("shop".into(), database)]),
                ..Inventory::default()
            }
        };
        for (before, after, is_known) in [
            (("1", "0", 1), ("1", "0", 1001), true),
            (("1", "0", 1001), ("1", "0", 1), false),
            (("-3", "0", 100), ("-3", "0", 79), true),
            (("-3", "0", 79), ("-3", "0", 100), false),
            (("1", "1", 1), ("1", "1", 1), true),
            (("1", "1", 1), ("1", "1", 1001), false),
            (("1", "0", 1), ("2", "0", 1001), false),
        ] {
            let stable = of(before.0, before.1, before.2).stable_part(&of(after.0, after.1, after.2));
            let next = stable.databases["shop"].next_values.get("s");
            assert_eq!(
                next.copied(),
                is_known.then_some(before.2),
                "{before:?} {after:?}"
            );
        }
        let text = serde_json::to_string(&of("1", "0", 1001)).unwrap();
        assert_eq!(
            serde_json::from_str::<Inventory>(&text).unwrap(),
            of("1", "0", 1001)
        );
    }

    #[test]
    fn what_was_altered_in_mid_dump_is_not_known() {
        let before = Inventory {
            databases: BTreeMap::from([("shop".into(), shop())]),
            ..Inventory::default()
        };
        assert_eq!(before.stable_part(&before), before);
        let mut after = before.clone();
        let changed = after.databases.get_mut("shop").unwrap();
        changed.collation = "utf8mb4_general_ci".into();
        changed.tables.get_mut("orders").unwrap().engine = Some("Aria".into());
        let stable = &before.stable_part(&after).databases["shop"];
        assert_eq!((stable.charset.as_str(), stable.collation.as_str()), ("", ""));
        assert_eq!(stable.tables["orders"].engine, None);
        assert_eq!(stable.tables["orders"].rows, Some(20_000));
    }
}
