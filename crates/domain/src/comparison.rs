//! What came back beside what was there: every way in which one database differs from another.

use crate::checksum::SourceChecksum;
use crate::inventory::{Coverage, DatabaseInventory, TableInventory};
use crate::proof::Difference;
use std::collections::{BTreeMap, BTreeSet};

/// What is said of an object that is there, and of one that is not.
const PRESENT: &str = "present";
const MISSING: &str = "missing";
const ABSENT: &str = "absent";

impl DatabaseInventory {
    /// Every way in which `found` (the restored database) falls short of, or goes beyond, `self` (the evidence).
    ///
    /// Rows, their content and definitions are compared where the evidence knows them. Empty when nothing differs.
    pub fn differences(&self, name: &str, found: &Self, coverage: Coverage) -> Vec<Difference> {
        let mut list = List {
            database: name,
            differences: Vec::new(),
        };
        if coverage.schemas {
            list.same("default collation", &self.collation, &found.collation);
            for (table, expected) in &self.tables {
                match found.tables.get(table) {
                    Some(came_back) => {
                        list.tables(table, (expected, came_back), coverage);
                        if coverage.data {
                            list.next_number(table, expected.auto_increment, found);
                        }
                    }
                    None => list.differ(format!("table {table}"), PRESENT, MISSING),
                }
            }
        }
        for (kind, covered, expected, came_back) in self.beside(found, coverage) {
            if covered {
                for object in expected.difference(came_back) {
                    list.differ(format!("{kind} {object}"), PRESENT, MISSING);
                }
                for object in came_back.difference(expected) {
                    self.refuse(format!("{kind} {object}"), &mut list);
                }
            }
        }
        if coverage.triggers {
            list.triggers(&self.triggers, &found.triggers);
            let more = found
                .triggers
                .keys()
                .filter(|trigger| !self.triggers.contains_key(*trigger));
            for trigger in more {
                self.refuse(format!("trigger {trigger}"), &mut list);
            }
        }
        if coverage.schemas {
            for table in found.tables.keys() {
                if !self.tables.contains_key(table) {
                    self.refuse(format!("table {table}"), &mut list);
                }
            }
        }
        for (object, expected) in &self.definitions {
            match found.definitions.get(object) {
                Some(came_back) => list
                    .differences
                    .extend(expected.differences((name, object), came_back)),
                // One that is missing altogether has its line above.
                None if found.holds(object) => {
                    list.differ(format!("{object}, definition"), PRESENT, "not readable");
                }
                None => {}
            }
        }
        for (sequence, expected) in &self.next_values {
            list.next_value(sequence, *expected, found);
        }
        for (what, expected) in &self.dumper_checksums {
            if let Some(came_back) = found.dumper_checksums.get(what) {
                list.same(&format!("mydumper's checksum of {what}"), expected, came_back);
            }
        }
        list.differences
    }

    /// An object too many, unless it may be there.
    fn refuse(&self, object: String, list: &mut List<'_>) {
        if !self.unsettled.contains(&object) {
            list.differ(object, ABSENT, PRESENT);
        }
    }

    /// Kinds of objects that are known by their names alone.
    fn beside<'a>(
        &'a self,
        found: &'a Self,
        coverage: Coverage,
    ) -> [(&'static str, bool, &'a BTreeSet<String>, &'a BTreeSet<String>); 5] {
        [
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
        ]
    }

    /// Each object that names a definer, by kind and name, and whom.
    pub fn definers(&self) -> impl Iterator<Item = (&String, &String)> {
        self.definitions
            .iter()
            .filter_map(|(object, definition)| Some((object, definition.0.get("definer")?)))
    }

    /// Whether an object is there, by kind and name: `view v`.
    pub fn holds(&self, object: &str) -> bool {
        let Some((kind, name)) = object.split_once(' ') else {
            return false;
        };
        match kind {
            "table" => self.tables.contains_key(name),
            "trigger" => self.triggers.contains_key(name),
            "view" => self.views.contains(name),
            "sequence" => self.sequences.contains(name),
            "procedure" => self.procedures.contains(name),
            "function" => self.functions.contains(name),
            "event" => self.events.contains(name),
            _ => false,
        }
    }

    /// Forgets how objects are defined that were not asked for, or are no longer there; and what may be there of the
    /// kinds that were not asked for.
    pub fn forget_definitions(&mut self, coverage: Coverage) {
        let mut definitions = std::mem::take(&mut self.definitions);
        // What a sequence is like lies in its row.
        let are_rows_covered = |object: &str| coverage.data || !object.starts_with("sequence ");
        definitions
            .retain(|object, _| coverage.covers(object) && are_rows_covered(object) && self.holds(object));
        self.definitions = definitions;
        let sequences = &self.sequences;
        self.next_values
            .retain(|sequence, _| coverage.schemas && coverage.data && sequences.contains(sequence));
        self.unsettled.retain(|object| coverage.covers(object));
    }
}

/// What is gathered for one database.
struct List<'a> {
    database: &'a str,
    differences: Vec<Difference>,
}

impl List<'_> {
    fn differ(&mut self, object: String, expected: &str, found: &str) {
        self.differences.push(Difference {
            database: self.database.to_owned(),
            object,
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }

    /// What is not known is not compared.
    fn same(&mut self, what: &str, expected: &str, found: &str) {
        if !expected.is_empty() && expected != found {
            self.differ(what.to_owned(), expected, found);
        }
    }

    fn tables(
        &mut self,
        table: &str,
        (expected, found): (&TableInventory, &TableInventory),
        coverage: Coverage,
    ) {
        if let (Some(before), Some(after)) = (&expected.engine, &found.engine) {
            // MRG_MyISAM and MRG_MYISAM are one.
            if !before.eq_ignore_ascii_case(after) {
                self.same(&format!("table {table}, engine"), before, after);
            }
        }
        if !coverage.data {
            return;
        }
        if let Some(rows) = expected.rows
            && found.rows != Some(rows)
        {
            let after = found
                .rows
                .map_or("not readable".to_owned(), |rows| rows.to_string());
            self.differ(format!("table {table}, rows"), &rows.to_string(), &after);
        } else if let Some(content) = &expected.content
            && found.content.as_ref() != Some(content)
        {
            let after = found.content.as_deref().unwrap_or("not readable");
            self.differ(format!("table {table}, content"), content, after);
        }
        // Beside the content: that is of what the dump holds, this of what the source held.
        if let (Some(SourceChecksum::Exact(source)), Some(SourceChecksum::Exact(after))) =
            (&expected.checksum, &found.checksum)
            && source != after
        {
            self.differ(
                format!("table {table}, CHECKSUM TABLE of the source"),
                &source.to_string(),
                &after.to_string(),
            );
        }
    }

    /// Numbers that were given away must not be given away again; that there are fewer left does no harm. A server that
    /// tells how a table is defined, and no next number, begins with 1.
    fn next_number(&mut self, table: &str, expected: Option<u64>, found: &DatabaseInventory) {
        let told = found.tables.get(table).and_then(|table| table.auto_increment);
        let first = || {
            found
                .definitions
                .contains_key(&format!("table {table}"))
                .then_some(1)
        };
        if let (Some(next), Some(found)) = (expected, told.or_else(first))
            && found < next
        {
            self.differ(
                format!("table {table}, AUTO_INCREMENT"),
                &format!("at least {next}"),
                &found.to_string(),
            );
        }
    }

    /// As with numbers of tables; a sequence may run downwards.
    fn next_value(&mut self, sequence: &str, expected: i128, found: &DatabaseInventory) {
        let (Some(next), Some(falls)) = (found.next_values.get(sequence), found.falls(sequence)) else {
            return;
        };
        let (bound, is_given_again) = if falls {
            ("at most", *next > expected)
        } else {
            ("at least", *next < expected)
        };
        if is_given_again {
            self.differ(
                format!("sequence {sequence}, next value"),
                &format!("{bound} {expected}"),
                &next.to_string(),
            );
        }
    }

    fn triggers(&mut self, expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) {
        for (trigger, table) in expected {
            match found.get(trigger) {
                None => self.differ(format!("trigger {trigger}"), PRESENT, MISSING),
                Some(other) => self.same(&format!("trigger {trigger}"), table, other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definition;

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
    fn what_came_or_went_meanwhile_is_neither_demanded_nor_forbidden() {
        let mut expected = shop();
        let mut found = shop();
        for object in [
            "procedure p",
            "function f",
            "event once",
            "trigger pt_osc",
            "view v",
        ] {
            expected.unsettled.insert(object.into());
        }
        assert_eq!(expected.differences("shop", &found, Coverage::ALL), []);
        found.procedures.insert("p".into());
        found.functions.insert("f".into());
        found.events.insert("once".into());
        found.triggers.insert("pt_osc".into(), "orders".into());
        assert_eq!(expected.differences("shop", &found, Coverage::ALL), []);
        found.procedures.insert("f".into());
        found.triggers.insert("p".into(), "orders".into());
        let lines: Vec<String> = expected
            .differences("shop", &found, Coverage::ALL)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "shop: procedure f: expected absent, found present",
                "shop: trigger p: expected absent, found present",
            ]
        );
        expected.forget_definitions(Coverage {
            triggers: false,
            schemas: false,
            ..Coverage::ALL
        });
        assert_eq!(expected.unsettled.len(), 3);
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
    fn content_definitions_and_counters_are_compared_where_they_are_known() {
        let mut expected = shop();
        let definition = |value: &str| -> Definition {
            [("column `id`".to_owned(), value.to_owned())]
                .into_iter()
                .collect()
        };
        let orders = expected.tables.get_mut("orders").unwrap();
        orders.content = Some("aa".into());
        orders.auto_increment = Some(20_001);
        expected
            .definitions
            .insert("table orders".into(), definition("int(11)"));
        let mut found = expected.clone();
        assert_eq!(expected.differences("shop", &found, Coverage::ALL), []);
        assert_eq!(shop().differences("shop", &found, Coverage::ALL), []);
        let orders = found.tables.get_mut("orders").unwrap();
        orders.content = Some("bb".into());
        orders.auto_increment = Some(1);
        found
            .definitions
            .insert("table orders".into(), definition("bigint(20)"));
        let lines = |found: &DatabaseInventory| -> Vec<String> {
            expected
                .differences("shop", found, Coverage::ALL)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(
            lines(&found),
            [
                "shop: table orders, content: expected aa, found bb",
                "shop: table orders, AUTO_INCREMENT: expected at least 20001, found 1",
                "shop: table orders, column `id`: expected int(11), found bigint(20)",
            ]
        );
        found = expected.clone();
        found.tables.get_mut("orders").unwrap().auto_increment = None;
        assert_eq!(
            lines(&found),
            ["shop: table orders, AUTO_INCREMENT: expected at least 20001, found 1"]
        );
        found.tables.get_mut("orders").unwrap().auto_increment = Some(30_000);
        found.definitions.clear();
        assert_eq!(
            lines(&found),
            ["shop: table orders, definition: expected present, found not readable"]
        );
    }

    #[test]
    fn values_of_a_sequence_are_not_given_away_again() {
        let of = |increment: &str, next: i128| {
            let mut database = shop();
            database.sequences.insert("s".into());
            database.next_values.insert("s".into(), next);
            let facts = [("increment".to_owned(), increment.to_owned())];
            database
                .definitions
                .insert("sequence s".into(), facts.into_iter().collect());
            database
        };
        let lines = |expected: DatabaseInventory, found: &DatabaseInventory| -> Vec<String> {
            let differences = expected.differences("shop", found, Coverage::ALL);
            differences.iter().map(ToString::to_string).collect()
        };
        assert_eq!(lines(of("1", 1001), &of("1", 2001)), [""; 0]);
        assert_eq!(lines(of("-1", -1001), &of("-1", -2001)), [""; 0]);
        assert_eq!(
            lines(of("1", 1001), &of("1", 1)),
            ["shop: sequence s, next value: expected at least 1001, found 1"]
        );
        assert_eq!(
            lines(of("-1", -1001), &of("-1", -1)),
            ["shop: sequence s, next value: expected at most -1001, found -1"]
        );
        let mut lost = of("1", 1);
        lost.next_values.clear();
        lost.definitions.clear();
        assert_eq!(
            lines(of("1", 1001), &lost),
            ["shop: sequence s, definition: expected present, found not readable"]
        );
        let mut without_rows = of("1", 1);
        without_rows.forget_definitions(Coverage {
            data: false,
            ..Coverage::ALL
        });
        assert!(without_rows.next_values.is_empty() && without_rows.definitions.is_empty());
    }

    #[test]
    fn definitions_of_what_was_not_asked_for_are_forgotten() {
        let mut database = shop();
        for object in [
            "table orders",
            "view v_orders",
            "trigger tr",
            "event ev",
            "event gone",
        ] {
            database.definitions.insert(object.into(), Definition::default());
        }
        database.forget_definitions(Coverage {
            triggers: false,
            ..Coverage::ALL
        });
        let left: Vec<&String> = database.definitions.keys().collect();
        assert_eq!(left, ["event ev", "table orders", "view v_orders"]);
    }
}
