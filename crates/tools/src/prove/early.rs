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

const PRESENT: &str = "present";
const MISSING: &str = "missing";

/// What the files show by themselves; empty where only a restore can tell more.
pub(super) fn differences(evidence: &Evidence, layout: &Layout, checked: &Checked) -> Vec<Difference> {
    let mut found: Vec<Difference> = evidence
        .parts
        .iter()
        .flat_map(|part| metadata_differences(part, checked))
        .collect();
    let none = DatabaseFiles::default();
    for (database, known) in &evidence.inventory.databases {
        // What mydumper leaves out of the server's own differs from version to version.
        if database == SYSTEM_DATABASE {
            continue;
        }
        let held = Held {
            database,
            known,
            files: layout.databases.get(database).unwrap_or(&none),
            coverage: evidence.coverage,
        };
        found.extend(held.missing());
        if evidence.coverage.data {
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
    let Some(text) = checked.metadata.get(&path) else {
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
            if !files.schemas.iter().any(|(name, _)| is_alias(name)) {
                let is_there = |name: &&String| !files.schemas.iter().any(|(file, _)| file == *name);
                let tables = known.tables.keys().filter(is_there);
                found.extend(tables.map(|table| self.lacks(&format!("table {table}"))));
                let sequences = known.sequences.iter().filter(is_there);
                found.extend(sequences.map(|sequence| self.lacks(&format!("sequence {sequence}"))));
            }
            if !files.views.iter().any(|(name, _)| is_alias(name)) {
                let views = known.views.iter();
                let missing = views.filter(|view| !files.views.iter().any(|(file, _)| file == *view));
                found.extend(missing.map(|view| self.lacks(&format!("view {view}"))));
            }
        }
        if self.coverage.triggers {
            let triggers = known
                .triggers
                .iter()
                .filter(|(_, table)| !self.has_triggers_of(table));
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

    /// Whether a file of triggers is this table's, or may be: 0.10 writes one for each table, 1.0 one for all.
    fn has_triggers_of(&self, table: &str) -> bool {
        self.files.triggers.iter().any(|file| {
            let name = Compression::strip(file.name());
            let is_of = |table: &str| name.ends_with(&format!(".{table}-schema-triggers.sql"));
            is_of(table) || !self.known.triggers.values().any(|other| is_of(other))
        })
    }

    /// Tables whose rows are not those that they were.
    fn rows(&self, checked: &Checked) -> Vec<Difference> {
        if self.files.data.iter().any(|(name, _)| is_alias(name)) {
            return Vec::new();
        }
        let tables = self.known.tables.iter();
        tables
            .filter_map(|(table, facts)| {
                let files: Vec<&SetFile> = self
                    .files
                    .data
                    .iter()
                    .filter(|(name, _)| name == table)
                    .map(|(_, file)| file)
                    .collect();
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
