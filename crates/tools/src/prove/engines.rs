//! Tables of engines that the throwaway server does not have: it keeps them in its own.

use super::expect::Expected;
use crate::probe::{Options, is_digest, without_options};
use crate::sandbox::ThrowawayServer;
use mykeeper_domain::counted;
use mykeeper_domain::definition::UNKNOWN;
use std::collections::{BTreeMap, BTreeSet};

/// The facts of a table that name its engine, or are written for it.
const FACTS: [&str; 2] = ["options", "partitions"];

/// Takes what speaks of such an engine out of what should come back; their columns, keys and rows stay, without options
/// that the engine alone knows, which the server has in a remark. Yields what is
/// said of it, a line for each database, for people.
pub(super) fn leave_out(expected: &mut Expected, server: &ThrowawayServer) -> Vec<String> {
    leave_out_without(expected, &|engine| server.has_engine(engine))
}

fn leave_out_without(expected: &mut Expected, has: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut notes = Vec::new();
    for (database, content) in &mut expected.databases {
        let mut missing: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        for (table, facts) in &mut content.tables {
            let Some(engine) = facts.engine.take_if(|engine| !has(engine)) else {
                continue;
            };
            // It depends on how the engine keeps a row.
            facts.checksum = None;
            missing.entry(engine).or_default().insert(table);
            let definition = content.definitions.get_mut(&format!("table {table}"));
            for (name, value) in definition.into_iter().flat_map(|definition| &mut definition.0) {
                // Whether one that is digested holds such an option cannot be told.
                *value = match FACTS.contains(&name.as_str()) || is_digest(value) {
                    true => UNKNOWN.to_owned(),
                    false => without_options(value, Options::All),
                };
            }
        }
        for (engine, tables) in missing {
            let first = tables.first().map_or("", |table| table.as_str());
            notes.push(format!(
                "{database}: the throwaway server has no engine {engine}: of {}, first: {first}, engine, options and \
                 partitions are not compared",
                counted(tables.len(), "table", "tables")
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::definition::Definition;
    use mykeeper_domain::inventory::{Coverage, DatabaseInventory, TableInventory};

    #[test]
    fn what_names_an_engine_that_is_not_there_is_not_compared_and_the_rest_is() {
        let definition = |engine: &str| -> Definition {
            let facts = [
                ("column `id`", "int(11)".to_owned()),
                ("options", format!("ENGINE={engine} BLAKE3 00")),
            ];
            facts
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect()
        };
        let mut shop = DatabaseInventory::default();
        for (table, engine) in [("here", "ARCHIVE"), ("there", "FEDERATED"), ("too", "FEDERATED")] {
            let facts = TableInventory {
                engine: Some(engine.to_owned()),
                rows: Some(3),
                ..TableInventory::default()
            };
            shop.tables.insert(table.to_owned(), facts);
            shop.definitions
                .insert(format!("table {table}"), definition(engine));
        }
        let mut found = shop.clone();
        for table in ["there", "too"] {
            found.tables.get_mut(table).unwrap().engine = Some("InnoDB".to_owned());
            found
                .definitions
                .insert(format!("table {table}"), definition("InnoDB"));
        }
        let mut expected = Expected {
            databases: [("shop".to_owned(), shop)].into(),
            coverage: Coverage::ALL,
        };
        assert_eq!(
            leave_out_without(&mut expected, &|engine| engine == "ARCHIVE"),
            [
                "shop: the throwaway server has no engine FEDERATED: of 2 tables, first: there, engine, options and \
                 partitions are not compared"
            ]
        );
        let shop = &expected.databases["shop"];
        assert_eq!(shop.differences("shop", &found, Coverage::ALL), []);
        found.tables.get_mut("there").unwrap().rows = Some(2);
        found.tables.get_mut("here").unwrap().engine = Some("InnoDB".to_owned());
        let lines: Vec<String> = shop
            .differences("shop", &found, Coverage::ALL)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "shop: table here, engine: expected ARCHIVE, found InnoDB",
                "shop: table there, rows: expected 3, found 2",
            ]
        );
    }
}
