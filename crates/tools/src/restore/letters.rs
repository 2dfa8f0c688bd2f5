//! Names in a server that takes small letters and capitals otherwise than the source of the set: what becomes of them
//! there, by `lower_case_table_names` of both.

use super::scope::Scope;
use crate::probe::is_digest;
use crate::prove::expect::Expected;
use mykeeper_domain::definition::UNKNOWN;
use mykeeper_domain::inventory::{DatabaseInventory, Inventory};
use std::collections::{BTreeMap, BTreeSet};

/// The value under which names are kept as they were given, and told apart by their letters.
const TELLS_APART: u8 = 0;
/// The value under which they are kept in small letters.
const FOLDS: u8 = 1;
/// How many names are told.
const TOLD: usize = 5;

/// What becomes of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// What is worth knowing before it is written: each for people.
    pub warnings: Vec<String>,
    /// Names that would be one: each for people.
    pub collisions: Vec<String>,
}

/// What becomes of the names in `held`, the part of a set that is written, in a server with this value.
pub(super) fn letters(value: u8, scope: &Scope, held: &Inventory) -> Letters {
    let mut letters = Letters::default();
    let source = held.lower_case_table_names;
    if source == Some(value) {
        return letters;
    }
    if value == TELLS_APART {
        if source.is_some() {
            letters.warnings.push(
                "the server tells small letters from capitals in names of databases and tables \
                 (lower_case_table_names = 0), and the source of the set did not: views, routines, triggers, events and \
                 programs that write a name in other letters than it is kept in will not find it"
                    .to_owned(),
            );
        }
        return letters;
    }
    let databases = held
        .databases
        .keys()
        .map(|database| scope.there(database).to_owned());
    letters.collisions.extend(collisions(databases, "database"));
    let mut folded = BTreeSet::new();
    for (database, content) in &held.databases {
        let there = scope.there(database);
        let of_database = |name: &String| format!("{there}.{name}");
        let kinds = [
            ("table", names_of_tables(content)),
            ("trigger", content.triggers.keys().collect()),
        ];
        for (kind, names) in kinds {
            letters
                .collisions
                .extend(collisions(names.iter().map(|name| of_database(name)), kind));
        }
        let names = names_of_tables(content).into_iter().map(of_database);
        folded.extend(names.chain([there.to_owned()]).filter(|name| folds(name)));
    }
    if value == FOLDS && !folded.is_empty() {
        let told: Vec<&str> = folded.iter().take(TOLD).map(String::as_str).collect();
        let more = match folded.len() - told.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        letters.warnings.push(format!(
            "the server keeps names of databases and tables in small letters (lower_case_table_names = 1), and the source \
             of the set did not: {}{more} will be called so there, and how views and foreign keys name them is not compared",
            told.join(", ")
        ));
    }
    letters
}

/// Tables, views and sequences share their names.
fn names_of_tables(content: &DatabaseInventory) -> Vec<&String> {
    let tables = content.tables.keys();
    tables.chain(&content.views).chain(&content.sequences).collect()
}

fn folds(name: &str) -> bool {
    fold(name) != name
}

fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn collisions(names: impl Iterator<Item = String>, kind: &str) -> Vec<String> {
    let mut spellings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in names {
        spellings.entry(fold(&name)).or_default().insert(name);
    }
    let several = spellings.into_values().filter(|names| names.len() > 1);
    let told = several.map(|names| {
        let names: Vec<String> = names.into_iter().collect();
        format!(
            "{} would be one {kind} there, as it does not tell small letters from capitals in names \
             (lower_case_table_names)",
            names.join(" and ")
        )
    });
    told.collect()
}

/// What is compared in a server with this value: the part of a set and what is expected of it, by the names that it has
/// there.
pub(super) fn as_kept(value: u8, scope: &Scope, expected: &mut Expected) -> Scope {
    let mut scope = scope.clone();
    if value != FOLDS {
        return scope;
    }
    for database in &scope.databases {
        let there = scope.there(database);
        if folds(there) {
            let kept = fold(there);
            scope.renamed.insert(database.clone(), kept);
        }
    }
    for tables in scope.tables.values_mut() {
        *tables = tables.iter().map(|table| fold(table)).collect();
    }
    for content in expected.databases.values_mut() {
        fold_content(content);
    }
    scope
}

fn fold_content(content: &mut DatabaseInventory) {
    if !names_of_tables(content).into_iter().any(|name| folds(name)) {
        return;
    }
    content.tables = folded_keys(&mut content.tables);
    content.next_values = folded_keys(&mut content.next_values);
    for names in [&mut content.views, &mut content.sequences] {
        *names = names.iter().map(|name| fold(name)).collect();
    }
    for table in content.triggers.values_mut() {
        *table = fold(table);
    }
    // They are made of names.
    content.dumper_checksums.clear();
    let definitions = std::mem::take(&mut content.definitions);
    for (object, mut definition) in definitions {
        let object = match object.split_once(' ') {
            Some((kind @ ("table" | "view" | "sequence"), name)) => {
                for (fact, value) in &mut definition.0 {
                    if may_name_tables(fact, value) {
                        UNKNOWN.clone_into(value);
                    }
                }
                format!("{kind} {}", fold(name))
            }
            _ => object,
        };
        content.definitions.insert(object, definition);
    }
}

/// Bodies of views, foreign keys, defaults that ask sequences, tables that unite others.
fn may_name_tables(fact: &str, value: &str) -> bool {
    let words = ["REFERENCES ", "nextval(", "lastval(", "UNION=("];
    fact == "body"
        || words.iter().any(|word| value.contains(word))
        || (fact.starts_with("constraint ") && is_digest(value))
}

fn folded_keys<T>(map: &mut BTreeMap<String, T>) -> BTreeMap<String, T> {
    let all = std::mem::take(map).into_iter();
    all.map(|(name, value)| (fold(&name), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::inventory::TableInventory;

    fn held(source: Option<u8>, databases: &[(&str, &[&str])]) -> Inventory {
        let content = |tables: &[&str]| {
            let mut content = DatabaseInventory::default();
            for table in tables {
                content.tables.insert((*table).into(), TableInventory::default());
            }
            content
        };
        Inventory {
            lower_case_table_names: source,
            databases: databases
                .iter()
                .map(|(name, tables)| ((*name).to_owned(), content(tables)))
                .collect(),
            ..Inventory::default()
        }
    }

    #[test]
    fn names_that_change_are_told_and_those_that_would_be_one_are_refused() {
        let scope = |held: &Inventory| Scope::whole(held.databases.keys().cloned().collect());
        let told = |value, held: &Inventory| {
            let letters = letters(value, &scope(held), held);
            (letters.warnings.len(), letters.collisions)
        };
        let plain = held(Some(0), &[("crm", &["people"]), ("shop", &["orders"])]);
        let capitals = held(Some(0), &[("Shop", &["Orders", "people"])]);
        let twice = held(Some(0), &[("Shop", &["t"]), ("shop", &["Ä", "x", "ä"])]);
        for value in [0, 1, 2] {
            assert_eq!(told(value, &plain), (0, Vec::new()));
        }
        assert_eq!(told(0, &capitals), (0, Vec::new()));
        assert_eq!(told(1, &capitals), (1, Vec::new()));
        assert_eq!(told(2, &capitals), (0, Vec::new()));
        assert_eq!(told(0, &twice), (0, Vec::new()));
        let (_, collisions) = told(1, &twice);
        assert_eq!(told(2, &twice).1, collisions);
        let words =
            "there, as it does not tell small letters from capitals in names (lower_case_table_names)";
        assert_eq!(
            collisions,
            [
                format!("Shop and shop would be one database {words}"),
                format!("shop.Ä and shop.ä would be one table {words}")
            ]
        );
        let said = letters(1, &scope(&capitals), &capitals).warnings.concat();
        assert!(
            said.contains(": Shop, Shop.Orders, Shop.people will be called so"),
            "{said}"
        );
        let small = held(Some(1), &[("shop", &["orders"])]);
        assert_eq!(
            (told(0, &small).0, told(1, &small).0, told(2, &small).0),
            (1, 0, 0)
        );
        assert_eq!(told(0, &held(None, &[("Shop", &["t"])])).0, 0);
    }

    #[test]
    fn one_database_under_a_name_of_its_own_is_in_nobodys_way() {
        let held = held(Some(0), &[("Shop", &["orders"])]);
        let mut scope = Scope::whole(vec!["Shop".into()]);
        scope.renamed.insert("Shop".into(), "copy".into());
        assert_eq!(letters(1, &scope, &held), Letters::default());
    }
}
