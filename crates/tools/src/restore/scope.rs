//! What of a set is put where.

use mykeeper_domain::inventory::{DatabaseInventory, Inventory};
use std::collections::{BTreeMap, BTreeSet};

/// The part of a set that is restored, under the names that it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The databases to be written, as the set calls them; none of the server's own.
    pub databases: Vec<String>,
    /// What one is called in the server, where it is not called as in the set.
    pub renamed: BTreeMap<String, String>,
    /// Databases of which only these tables and sequences are written, with their triggers.
    pub tables: BTreeMap<String, BTreeSet<String>>,
}

impl Scope {
    /// These databases, whole and under their own names.
    pub fn whole(databases: Vec<String>) -> Self {
        Self {
            databases,
            ..Self::default()
        }
    }

    /// What a database of the set is called in the server.
    pub fn there<'a>(&'a self, database: &'a str) -> &'a str {
        self.renamed.get(database).map_or(database, String::as_str)
    }

    /// All of them, as the server calls them.
    pub fn names_there(&self) -> Vec<String> {
        self.databases
            .iter()
            .map(|database| self.there(database).to_owned())
            .collect()
    }

    /// What a database of the set was renamed from, for those that were.
    pub(super) fn old_name<'a>(&self, database: &'a str) -> Option<&'a str> {
        self.renamed.contains_key(database).then_some(database)
    }

    /// The tables that are written of a database; `None`: it is written whole.
    pub fn tables_of(&self, database: &str) -> Option<&BTreeSet<String>> {
        self.tables.get(database)
    }

    /// Whether a table of the set is part of it.
    pub(super) fn takes(&self, database: &str, table: &str) -> bool {
        self.databases.iter().any(|wanted| wanted == database)
            && self
                .tables_of(database)
                .is_none_or(|tables| tables.contains(table))
    }

    /// Whether a database of the server is one that is written whole.
    pub(super) fn makes(&self, there: &str) -> bool {
        self.databases
            .iter()
            .any(|database| self.tables_of(database).is_none() && self.there(database) == there)
    }

    /// What it takes of a database, or what stands in its place: of the server's too, where `database` is what the
    /// set calls it.
    pub fn part_of(&self, database: &str, held: &DatabaseInventory) -> DatabaseInventory {
        let mut part = held.clone();
        if let Some(tables) = self.tables_of(database) {
            part.tables.retain(|table, _| tables.contains(table));
            part.views.retain(|view| tables.contains(view));
            part.sequences.retain(|sequence| tables.contains(sequence));
            part.next_values.retain(|sequence, _| tables.contains(sequence));
            part.triggers.retain(|_, table| tables.contains(table));
            part.procedures.clear();
            part.functions.clear();
            part.events.clear();
            let is_part = |object: &String| match object.split_once(' ') {
                Some(("table" | "view" | "sequence", name)) => tables.contains(name),
                Some((kind, _)) => kind == "trigger",
                None => false,
            };
            part.unsettled.retain(is_part);
            part.dumper_checksums.retain(|what, _| {
                what.split_once(" of table ")
                    .is_some_and(|(_, table)| tables.contains(table))
            });
        }
        part
    }

    /// As [`Self::part_of`], of all that a set holds.
    pub fn part_of_all(&self, held: &Inventory) -> Inventory {
        let one = |database: &String| {
            let part = self.part_of(database, held.databases.get(database)?);
            Some((database.clone(), part))
        };
        Inventory {
            databases: self.databases.iter().filter_map(one).collect(),
            definers: held.definers.clone(),
            lower_case_table_names: held.lower_case_table_names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::inventory::TableInventory;

    #[test]
    fn of_a_database_only_the_tables_asked_for_are_taken_with_what_stands_on_them() {
        let mut held = DatabaseInventory::default();
        for table in ["orders", "people"] {
            held.tables.insert(table.into(), TableInventory::default());
            held.triggers.insert(format!("on_{table}"), table.into());
        }
        held.views.insert("v".into());
        held.events.insert("e".into());
        for what in [
            "database",
            "events",
            "columns of table orders",
            "triggers of table people",
        ] {
            held.dumper_checksums.insert(what.into(), "1".into());
        }
        let mut scope = Scope::whole(vec!["shop".into(), "crm".into()]);
        assert_eq!(scope.part_of("shop", &held), held);
        scope
            .tables
            .insert("shop".into(), BTreeSet::from(["orders".to_owned()]));
        scope.renamed.insert("shop".into(), "copy".into());
        let part = scope.part_of("shop", &held);
        assert_eq!(part.tables.keys().collect::<Vec<_>>(), ["orders"]);
        assert_eq!(part.triggers.keys().collect::<Vec<_>>(), ["on_orders"]);
        assert_eq!(
            part.dumper_checksums.keys().collect::<Vec<_>>(),
            ["columns of table orders"]
        );
        assert!(part.views.is_empty() && part.events.is_empty());
        assert_eq!(scope.names_there(), ["copy", "crm"]);
        assert!(scope.takes("shop", "orders") && !scope.takes("shop", "people"));
        assert!(scope.takes("crm", "any") && !scope.takes("copy", "orders"));
        assert!(scope.makes("crm") && !scope.makes("copy"));
    }
}
