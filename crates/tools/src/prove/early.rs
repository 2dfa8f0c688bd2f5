//! What the files hold, against the evidence, before anything is loaded. Pure.
//!
//! Reading the files against their manifest has told their rows and what these are: that a row is missing, changed or
//! there twice shows here, for nothing. What they define shows only when it is loaded.

use super::compare::difference;
use super::files::{Checked, METADATA};
use super::layout::{DatabaseFiles, Layout, SetFile, is_alias};
use super::load::SYSTEM_DATABASE;
use crate::digest::Compression;
use crate::mydumper::{all_contents, parse_metadata};
use mykeeper_domain::evidence::{Evidence, PartEvidence};
use mykeeper_domain::inventory::{Coverage, DatabaseInventory};
use mykeeper_domain::proof::Difference;
use std::collections::{BTreeSet, HashMap, HashSet};

const PRESENT: &str = "present";
const MISSING: &str = "missing";

/// What is known of a set, as far as files can be held against it.
#[derive(Debug)]
pub(super) struct Known {
    parts: Vec<PartEvidence>,
    coverage: Coverage,
    databases: Vec<(String, DatabaseInventory)>,
}

impl Known {
    /// Without definitions: there may be 100,000 tables, and files do not show how they are defined.
    pub(super) fn of(evidence: &Evidence) -> Self {
        let databases = evidence.inventory.databases.iter();
        let bare = |known: &DatabaseInventory| DatabaseInventory {
            tables: known.tables.clone(),
            views: known.views.clone(),
            sequences: known.sequences.clone(),
            triggers: known.triggers.clone(),
            procedures: known.procedures.clone(),
            functions: known.functions.clone(),
            events: known.events.clone(),
            ..DatabaseInventory::default()
        };
        Self {
            parts: evidence.parts.clone(),
            coverage: evidence.coverage,
            databases: databases
                .map(|(name, known)| (name.clone(), bare(known)))
                .collect(),
        }
    }
}

/// What the files show by themselves; empty where only a restore can tell more.
pub(super) fn differences(known: &Known, layout: &Layout, checked: &Checked) -> Vec<Difference> {
    let mut found: Vec<Difference> = known
        .parts
        .iter()
        .flat_map(|part| metadata_differences(part, checked))
        .collect();
    let none = DatabaseFiles::default();
    for (database, content) in &known.databases {
        // What mydumper leaves out of the server's own differs from version to version.
        if database == SYSTEM_DATABASE {
            continue;
        }
        let held = Held {
            database,
            known: content,
            files: layout.databases.get(database).unwrap_or(&none),
            coverage: known.coverage,
        };
        found.extend(held.missing());
        if known.coverage.data {
            found.extend(held.rows(checked));
        }
    }
    found
}

/// What mydumper wrote last: that it came to its end, and the position of its snapshot.
fn metadata_differences(part: &PartEvidence, checked: &Checked) -> Vec<Difference> {
    let database = if part.dir.is_empty() {
        String::new()
    } else {
        part.databases.first().cloned().unwrap_or_default()
    };
    let path = match part.dir.as_str() {
        "" => METADATA.to_owned(),
        dir => format!("{dir}/{METADATA}"),
    };
    let differ = |what: &str, expected: &str, found: &str| {
        difference(&database, &format!("{path}{what}"), expected, found)
    };
    if !part.complete {
        return Vec::new();
    }
    // Of a set that is laid out by database the copies alone are left, where one is called as the file is.
    let copy = (part.dir.is_empty() && part.databases.iter().any(|database| database == METADATA))
        .then(|| checked.metadata.get(&format!("{METADATA}/{METADATA}")))
        .flatten();
    let Some(text) = checked.metadata.get(&path).or(copy) else {
        return vec![differ("", PRESENT, MISSING)];
    };
    let metadata = parse_metadata(text);
    let mut found = Vec::new();
    if !metadata.finished {
        found.push(differ("", "finished", "not finished"));
    }
    let positions = [
        ("position", &part.master_status, &metadata.master),
        ("replica position", &part.slave_status, &metadata.slave),
    ];
    for (what, expected, now) in positions {
        if expected != now {
            let word = |position: &Option<String>| position.clone().unwrap_or_else(|| "none".to_owned());
            found.push(differ(&format!(", {what}"), &word(expected), &word(now)));
        }
    }
    found
}

/// One database, as it is known and as it lies in files.
struct Held<'a> {
    database: &'a str,
    known: &'a DatabaseInventory,
    files: &'a DatabaseFiles,
    coverage: Coverage,
}

impl Held<'_> {
    fn lacks(&self, object: &str) -> Difference {
        difference(self.database, object, PRESENT, MISSING)
    }

    /// Objects whose file is not there.
    fn missing(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        let (known, files) = (self.known, self.files);
        if self.coverage.schemas {
            if files.create.is_none() {
                found.push(self.lacks("CREATE DATABASE"));
            }
            // Where a name stands for another, the statements within know which.
            let schemas = names(&files.schemas);
            if !schemas.iter().any(|name| is_alias(name)) {
                let is_missing = |name: &&String| !schemas.contains(name.as_str());
                let tables = known.tables.keys().filter(is_missing);
                found.extend(tables.map(|table| self.lacks(&format!("table {table}"))));
                let sequences = known.sequences.iter().filter(is_missing);
                found.extend(sequences.map(|sequence| self.lacks(&format!("sequence {sequence}"))));
            }
            let views = names(&files.views);
            if !views.iter().any(|name| is_alias(name)) {
                let missing = known.views.iter().filter(|view| !views.contains(view.as_str()));
                found.extend(missing.map(|view| self.lacks(&format!("view {view}"))));
            }
        }
        if self.coverage.triggers {
            let (tables, has_other) = self.trigger_files();
            let triggers = known
                .triggers
                .iter()
                .filter(|(_, table)| !has_other && !tables.contains(table.as_str()));
            found.extend(triggers.map(|(trigger, _)| self.lacks(&format!("trigger {trigger}"))));
        }
        if files.post.is_empty() {
            let (routines, events) = (self.coverage.routines, self.coverage.events);
            for (kind, is_covered, names) in [
                ("procedure", routines, &known.procedures),
                ("function", routines, &known.functions),
                ("event", events, &known.events),
            ] {
                let names = names.iter().filter(|_| is_covered);
                found.extend(names.map(|name| self.lacks(&format!("{kind} {name}"))));
            }
        }
        found
    }

    /// The tables whose triggers have a file, and whether there is one that is no table's, as far as is known: 0.10 writes
    /// one for each table, 1.0 one for all.
    fn trigger_files(&self) -> (BTreeSet<&str>, bool) {
        let known: BTreeSet<&str> = self.known.triggers.values().map(String::as_str).collect();
        let (mut tables, mut has_other) = (BTreeSet::new(), false);
        for file in &self.files.triggers {
            let name = Compression::strip(file.name());
            let stem = name.strip_suffix("-schema-triggers.sql").unwrap_or_default();
            // Both the database and the table may have dots in their names.
            let ends = stem.match_indices('.').filter_map(|(at, _)| stem.get(at + 1..));
            let theirs: Vec<&str> = ends.filter_map(|end| known.get(end).copied()).collect();
            tables.extend(&theirs);
            has_other |= theirs.is_empty();
        }
        (tables, has_other)
    }

    /// Tables whose rows are not those that they were.
    fn rows(&self, checked: &Checked) -> Vec<Difference> {
        if self.files.data.iter().any(|(name, _)| is_alias(name)) {
            return Vec::new();
        }
        let mut files_of: HashMap<&str, Vec<&SetFile>> = HashMap::new();
        for (name, file) in &self.files.data {
            files_of.entry(name).or_default().push(file);
        }
        let tables = self.known.tables.iter();
        tables
            .filter_map(|(table, facts)| {
                let files = files_of.remove(table.as_str()).unwrap_or_default();
                let (expected, rows) = (
                    facts.rows?,
                    files.iter().map(|file| file.rows).sum::<Option<u64>>()?,
                );
                let differ = |what: &str, expected: &str, found: &str| {
                    difference(self.database, &format!("table {table}, {what}"), expected, found)
                };
                if rows != expected {
                    return Some(differ("rows", &expected.to_string(), &rows.to_string()));
                }
                let before = facts.content.as_ref()?;
                let now = all_contents(files.iter().map(|file| checked.contents.get(&file.path)))?;
                let text = now.content.to_string();
                if now.columns != facts.content_columns {
                    return Some(differ("columns", "those of the dump", "others"));
                }
                (&text != before).then(|| differ("content", before, &text))
            })
            .collect()
    }
}

fn names(files: &[(String, SetFile)]) -> HashSet<&str> {
    files.iter().map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::inventory::TableInventory;

    fn file(path: &str, rows: Option<u64>) -> SetFile {
        SetFile {
            path: path.into(),
            real: path.into(),
            plain_bytes: 0,
            rows,
        }
    }

    #[test]
    fn each_object_is_looked_for_by_the_name_of_its_file() {
        let mut known = DatabaseInventory::default();
        for table in ["a", "b", "c.d"] {
            let facts = TableInventory {
                rows: Some(3),
                ..TableInventory::default()
            };
            known.tables.insert(table.into(), facts);
        }
        known.triggers.insert("on_a".into(), "a".into());
        known.triggers.insert("on_d".into(), "c.d".into());
        known.views.insert("v".into());
        let named = |name: &str, path: &str, rows| (name.to_owned(), file(path, rows));
        let mut files = DatabaseFiles {
            create: Some(file("shop-schema-create.sql", None)),
            schemas: vec![
                named("a", "shop.a-schema.sql", None),
                named("c.d", "shop.c.d-schema.sql", None),
            ],
            data: vec![
                named("a", "shop.a.00000.sql", Some(1)),
                named("b", "shop.b.sql", Some(3)),
                named("a", "shop.a.00001.sql", Some(2)),
                named("c.d", "shop.c.d.sql.gz", Some(4)),
            ],
            triggers: vec![file("shop.c.d-schema-triggers.sql.gz", None)],
            ..DatabaseFiles::default()
        };
        let lines = |files: &DatabaseFiles| -> Vec<String> {
            let known = Known {
                parts: Vec::new(),
                coverage: Coverage::ALL,
                databases: vec![("shop".into(), known.clone())],
            };
            let layout = Layout {
                databases: [("shop".to_owned(), files.clone())].into(),
                ..Layout::default()
            };
            let found = differences(&known, &layout, &Checked::default());
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            lines(&files),
            [
                "shop: table b: expected present, found missing",
                "shop: view v: expected present, found missing",
                "shop: trigger on_a: expected present, found missing",
                "shop: table c.d, rows: expected 3, found 4",
            ]
        );
        // One for all tables, and names that stand for others.
        files.triggers.push(file("shop-schema-triggers.sql", None));
        files
            .schemas
            .push(named("mydumper_3", "shop.mydumper_3-schema.sql", None));
        files
            .views
            .push(named("mydumper_4", "shop.mydumper_4-schema-view.sql", None));
        assert_eq!(lines(&files), ["shop: table c.d, rows: expected 3, found 4"]);
    }
}
