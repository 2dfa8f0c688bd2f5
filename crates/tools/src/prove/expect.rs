//! What a set should hold: from its evidence, or, for a set of pybackup's, from its own files.

use super::layout::{DatabaseFiles, Layout, SetFile};
use super::load::SYSTEM_DATABASE;
use super::statements::Statements;
use crate::blocking::{READ_WITHIN, off_thread};
use crate::error::ToolError;
use crate::mydumper::parse_version;
use crate::probe::{
    DATABASE_COLLATION, Options, ServerVersion, without_format, without_options, without_secrets,
};
use mykeeper_domain::counted;
use mykeeper_domain::definition::{Definition, UNKNOWN};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, DatabaseInventory, TableInventory};
use mykeeper_domain::proof::NOTHING_TELLS;
use regex::bytes::Regex;
use std::collections::BTreeMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Tables of the system database whose rows a server writes by itself, or that no dump holds.
const SYSTEM_NOISE: [&str; 6] = [
    "general_log",
    "slow_log",
    "innodb_index_stats",
    "innodb_table_stats",
    "gtid_slave_pos",
    "transaction_registry",
];

/// Objects named in one line.
const MAX_NAMED: usize = 10;

const TABLE: &str = r"(?i)^\s*CREATE TABLE (?:IF NOT EXISTS )?`((?:[^`]|``)+)`";

/// The measure for a comparison.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) databases: BTreeMap<String, DatabaseInventory>,
    pub(crate) coverage: Coverage,
}

/// Takes the evidence's word, or reads the files of the set in this folder.
///
/// # Errors
/// A file cannot be read, or the run was ended.
pub(crate) async fn expect(
    (evidence, set_dir): (Option<&Evidence>, &Path),
    layout: &Layout,
    cancel: &CancellationToken,
) -> Result<Expected, ToolError> {
    let (mut databases, coverage) = match evidence {
        Some(evidence) => (evidence.inventory.databases.clone(), evidence.coverage),
        None => {
            let layout = layout.clone();
            let reading = off_thread(("read", set_dir), READ_WITHIN, cancel, move || read_all(&layout));
            (reading.await?, Coverage::ALL)
        }
    };
    if let (Some(system), Some(files)) = (
        databases.get_mut(SYSTEM_DATABASE),
        layout.databases.get(SYSTEM_DATABASE),
    ) {
        // What mydumper leaves out of it differs from version to version.
        system.tables.retain(|table, _| {
            files.schemas.iter().any(|(name, _)| name == table) && !SYSTEM_NOISE.contains(&table.as_str())
        });
        // It is restored under another name, beside the server's own.
        system.definitions.clear();
        system
            .views
            .retain(|view| files.views.iter().any(|(name, _)| name == view));
    }
    Ok(Expected { databases, coverage })
}

/// What came or went while the set was made, a line for each database, for people: it is not compared.
pub(super) fn uncompared(expected: &Expected) -> Vec<String> {
    let databases = expected.databases.iter();
    databases
        .filter_map(|(database, content)| {
            let names: Vec<&str> = content.unsettled.iter().map(String::as_str).collect();
            let (first, more) = names.split_at(names.len().min(MAX_NAMED));
            let more = match more.len() {
                0 => String::new(),
                more => format!(" and {}", counted(more, "more object", "more objects")),
            };
            (!first.is_empty()).then(|| {
                format!(
                    "{database}: not compared, as it came or went while the set was made: {}{more}",
                    first.join(", ")
                )
            })
        })
        .collect()
}

/// Tables without rows, a line for each database, for people, of a set whose own files alone say what should be there: mydumper
/// writes no file for a table that is empty, and one that is lost looks the same.
pub(crate) fn untold(expected: &Expected) -> Vec<String> {
    let databases = expected
        .databases
        .iter()
        .filter(|(name, _)| *name != SYSTEM_DATABASE);
    databases
        .filter_map(|(database, content)| {
            let empty = content.tables.iter().filter(|(_, table)| table.rows == Some(0));
            let names: Vec<&str> = empty.map(|(name, _)| name.as_str()).collect();
            let (first, more) = names.split_at(names.len().min(MAX_NAMED));
            let more = match more.len() {
                0 => String::new(),
                more => format!(" and {}", counted(more, "more table", "more tables")),
            };
            (!first.is_empty()).then(|| {
                format!(
                    "{database}: {NOTHING_TELLS} {}{more}: no file holds any, as of tables that are empty",
                    first.join(", ")
                )
            })
        })
        .collect()
}

/// A definition reads otherwise in a server of another series, that of a table even in another release of the same:
/// what the evidence knows is a measure only where it reads the same. Yields what is not compared, for people.
pub(crate) fn fit_to_server(
    expected: &mut Expected,
    evidence: Option<&Evidence>,
    version: &str,
) -> Option<&'static str> {
    let is_same_series = is_same_series(evidence, version);
    let source = evidence.map_or("", |evidence| &evidence.backup.server_version);
    let is_same =
        is_same_series && ServerVersion::parse(source).number == ServerVersion::parse(version).number;
    for database in expected.databases.values_mut() {
        if !is_same_series {
            database.definitions.clear();
            database.dumper_checksums.clear();
            for table in database.tables.values_mut() {
                table.checksum = None;
            }
        } else if !is_same {
            database
                .definitions
                .retain(|object, _| !object.starts_with("table "));
        }
        let collation = database.collation.clone();
        for definition in database.definitions.values_mut() {
            without_named_zone(definition);
            without_former_collation(definition, &collation);
            without_what_is_left_out(definition);
        }
        if !knows_formulas(evidence) {
            database.dumper_checksums.clear();
        }
    }
    match (is_same_series, is_same) {
        (false, _) => Some("definitions"),
        (true, false) => Some("definitions of tables"),
        (true, true) => None,
    }
}

/// Whether a set was made from a server of the same product and series as this one; not where that is not known.
pub(crate) fn is_same_series(evidence: Option<&Evidence>, version: &str) -> bool {
    let Some(evidence) = evidence else {
        return false;
    };
    let (source, here) = (
        ServerVersion::parse(&evidence.backup.server_version),
        ServerVersion::parse(version),
    );
    source.flavor == here.flavor && (source.number.0, source.number.1) == (here.number.0, here.number.1)
}

/// Whether the dumper's own checksums are taken by the formulas that are known here: those of 1.0.
fn knows_formulas(evidence: Option<&Evidence>) -> bool {
    evidence
        .and_then(|evidence| parse_version(&evidence.backup.tool_version))
        .is_some_and(|(_, version)| version >= (1, 0, 0))
}

/// The server may not know the names of time zones: an event is created in another then.
fn without_named_zone(definition: &mut Definition) {
    const OF_TIME: [&str; 4] = ["time zone", "at", "starts", "ends"];
    let facts = &mut definition.0;
    let is_named = facts
        .get("time zone")
        .is_some_and(|zone| zone != "SYSTEM" && !zone.starts_with(['+', '-']));
    if is_named {
        facts.extend(OF_TIME.map(|name| (name.to_owned(), UNKNOWN.to_owned())));
    }
}

/// What was written before its database got another collation is created under the one that the set knows.
fn without_former_collation(definition: &mut Definition, collation: &str) {
    if let Some(value) = definition.0.get_mut(DATABASE_COLLATION)
        && value != collation
    {
        UNKNOWN.clone_into(value);
    }
}

/// Evidence that was taken before these were left out may hold them.
fn without_what_is_left_out(definition: &mut Definition) {
    for (fact, value) in &mut definition.0 {
        if ["options", "partitions"].contains(&fact.as_str()) {
            *value = without_secrets(value);
        } else if fact.starts_with("column ") {
            *value = without_format(&without_options(value, Options::Ignored));
        } else if fact == "primary key" || fact.contains("key `") {
            *value = without_options(value, Options::Ignored);
        }
    }
}

/// Takes the server's own tables out of what was found, too.
pub(crate) fn without_system_noise(found: &mut DatabaseInventory) {
    found
        .tables
        .retain(|table, _| !SYSTEM_NOISE.contains(&table.as_str()));
}

fn read_all(layout: &Layout) -> Result<BTreeMap<String, DatabaseInventory>, ToolError> {
    let patterns = Patterns::new()?;
    layout
        .databases
        .iter()
        .map(|(name, files)| Ok((name.clone(), patterns.read(files)?)))
        .collect()
}

struct Patterns {
    table: Regex,
    sequence: Regex,
    view: Regex,
    trigger: Regex,
    program: Regex,
}

impl Patterns {
    fn new() -> Result<Self, ToolError> {
        let regex = |pattern: &str| {
            Regex::new(pattern).map_err(|error| ToolError::Failed {
                message: format!("cannot read dumps: {error}"),
                passing: false,
            })
        };
        Ok(Self {
            table: regex(TABLE)?,
            sequence: regex(
                r"(?is)^\s*CREATE SEQUENCE (?:IF NOT EXISTS )?`((?:[^`]|``)+)`|\)[^)]*\bSEQUENCE=1\b",
            )?,
            view: regex(r"(?i)^\s*DROP VIEW IF EXISTS `((?:[^`]|``)+)`")?,
            trigger: regex(
                // The server prints both names as they were written, with the database's before them or without.
                r"(?is)^\s*CREATE\s+(?:DEFINER\s*=\s*\S+\s+)?TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:(?:`(?:[^`]|``)+`|[^\s`.]+)\s*\.\s*)?(?:`(?P<q>(?:[^`]|``)+)`|(?P<b>[^\s`.]+))\s.*?\sON\s+(?:(?:`(?:[^`]|``)+`|[^\s`.]+)\s*\.\s*)?(?:`(?P<tq>(?:[^`]|``)+)`|(?P<tb>[^\s`.]+))\s",
            )?,
            program: regex(r"(?i)^\s*DROP (FUNCTION|PROCEDURE|EVENT) IF EXISTS `((?:[^`]|``)+)`")?,
        })
    }

    fn read(&self, files: &DatabaseFiles) -> Result<DatabaseInventory, ToolError> {
        let mut database = DatabaseInventory::default();
        for (view, file) in &files.views {
            let mut named = Vec::new();
            each_statement(file, &mut |sql| named.extend(name(&self.view, sql, 1)))?;
            database.views.insert(named.pop().unwrap_or_else(|| view.clone()));
        }
        for (alias, file) in &files.schemas {
            let (mut table, mut is_sequence) = (None, false);
            each_statement(file, &mut |sql| {
                table = name(&self.table, sql, 1).or(table.take());
                is_sequence |= self.sequence.is_match(sql);
                table = table.take().or_else(|| name(&self.sequence, sql, 1));
            })?;
            let table = table.unwrap_or_else(|| alias.clone());
            if is_sequence {
                database.sequences.insert(table);
            } else if !database.views.contains(&table) {
                let rows = files
                    .data
                    .iter()
                    .filter(|(name, _)| name == alias)
                    .map(|(_, file)| file.rows.unwrap_or(0));
                database.tables.insert(
                    table,
                    TableInventory {
                        engine: None,
                        rows: Some(rows.sum()),
                        ..Default::default()
                    },
                );
            }
        }
        for file in &files.triggers {
            each_statement(file, &mut |sql| {
                if let Some(found) = self.trigger.captures(sql) {
                    let text = |quoted: &str, bare: &str| {
                        found
                            .name(quoted)
                            .or_else(|| found.name(bare))
                            .map(|part| unquote(part.as_bytes()))
                    };
                    if let (Some(trigger), Some(table)) = (text("q", "b"), text("tq", "tb")) {
                        database.triggers.insert(trigger, table);
                    }
                }
            })?;
        }
        for file in &files.post {
            each_statement(file, &mut |sql| {
                let Some(found) = self.program.captures(sql) else {
                    return;
                };
                let (Some(kind), Some(program)) = (found.get(1), found.get(2)) else {
                    return;
                };
                let set = match kind.as_bytes().to_ascii_uppercase().as_slice() {
                    b"FUNCTION" => &mut database.functions,
                    b"PROCEDURE" => &mut database.procedures,
                    _ => &mut database.events,
                };
                set.insert(unquote(program.as_bytes()));
            })?;
        }
        Ok(database)
    }
}

fn name(pattern: &Regex, sql: &[u8], group: usize) -> Option<String> {
    pattern
        .captures(sql)?
        .get(group)
        .map(|found| unquote(found.as_bytes()))
}

fn unquote(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace("``", "`")
}

pub(crate) fn each_statement(file: &SetFile, take: &mut dyn FnMut(&[u8])) -> Result<(), ToolError> {
    let fail = |source| ToolError::Io {
        action: "read",
        path: file.real.clone(),
        source,
    };
    let mut statements = Statements::open(&file.real, &file.path).map_err(fail)?;
    while let Some(statement) = statements.next_statement().map_err(fail)? {
        take(&statement);
    }
    Ok(())
}

/// The database that a `CREATE DATABASE` file makes.
pub(crate) fn created_database(file: &SetFile) -> Option<String> {
    let pattern =
        Regex::new(r"(?i)^\s*CREATE DATABASE (?:/\*!\d+ IF NOT EXISTS\s*\*/ ?)?`((?:[^`]|``)+)`").ok()?;
    let mut found = None;
    each_statement(file, &mut |sql| found = name(&pattern, sql, 1).or(found.take())).ok()?;
    found
}

/// The table that a schema file makes.
pub(crate) fn created_table(file: &SetFile) -> Option<String> {
    let pattern = Regex::new(TABLE).ok()?;
    let mut found = None;
    each_statement(file, &mut |sql| found = name(&pattern, sql, 1).or(found.take())).ok()?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_evidence_is_no_measure_for_what_is_left_out_by_now() {
        let facts = |facts: [(&str, &str); 4]| -> Definition {
            let owned = facts.map(|(name, value)| (name.to_owned(), value.to_owned()));
            owned.into_iter().collect()
        };
        let mut old = facts([
            (
                "column `a`",
                "datetime /* mariadb-5.3 */ NOT NULL /* `FLAG`='1' */",
            ),
            ("primary key", "(`a`) /* `B`=2 */"),
            ("key `k`", "(`a`) /* `B`='2' */"),
            ("trigger", "text /* `B`=2 */"),
        ]);
        without_what_is_left_out(&mut old);
        let now = facts([
            ("column `a`", "datetime NOT NULL"),
            ("primary key", "(`a`)"),
            ("key `k`", "(`a`)"),
            ("trigger", "text /* `B`=2 */"),
        ]);
        assert_eq!(old, now);
    }

    #[test]
    fn a_database_is_read_from_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let real = folder.path().join(name);
            std::fs::write(&real, text).unwrap();
            SetFile {
                path: name.into(),
                real,
                plain_bytes: 0,
                rows: Some(7),
            }
        };
        let files = DatabaseFiles {
            create: Some(file(
                "c.sql",
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a$b` /*!40100 X */;\n",
            )),
            schemas: vec![
                (
                    "t".into(),
                    file(
                        "t-schema.sql",
                        "/*!40101 SET NAMES binary*/;\nCREATE TABLE `t``x` (\n  `a` int\n);\n",
                    ),
                ),
                (
                    "v".into(),
                    file("v-schema.sql", "CREATE TABLE `v`(\n`a` int\n)ENGINE=MyISAM;\n"),
                ),
                (
                    "s".into(),
                    file(
                        "s-schema.sql",
                        "CREATE TABLE `s` (\n  `a` int\n) ENGINE=InnoDB SEQUENCE=1;\n",
                    ),
                ),
            ],
            data: vec![("t".into(), file("t.sql", ""))],
            views: vec![(
                "v".into(),
                file(
                    "v-schema-view.sql",
                    "DROP TABLE IF EXISTS `v`;\nDROP VIEW IF EXISTS `v`;\nCREATE VIEW `v` AS SELECT 1;\n",
                ),
            )],
            triggers: vec![file(
                "tr.sql",
                "CREATE DEFINER=`root`@`localhost` TRIGGER tr AFTER INSERT ON orders FOR EACH ROW BEGIN \nEND;\n\
                 CREATE TRIGGER `a$b`.`t.r` AFTER INSERT ON a$b.`or.ders` FOR EACH ROW SET @x = 1;\n",
            )],
            post: vec![file(
                "p.sql",
                "DROP FUNCTION IF EXISTS `f`;\nCREATE FUNCTION f() RETURNS INT RETURN 1;\nDROP EVENT IF EXISTS `日`;\n",
            )],
        };
        assert_eq!(
            created_database(files.create.as_ref().unwrap()),
            Some("a$b".to_owned())
        );
        let found = Patterns::new().unwrap().read(&files).unwrap();
        assert_eq!(found.tables.keys().collect::<Vec<_>>(), ["t`x"]);
        assert_eq!(found.tables["t`x"].rows, Some(7));
        assert_eq!(found.views.iter().collect::<Vec<_>>(), ["v"]);
        assert_eq!(found.sequences.iter().collect::<Vec<_>>(), ["s"]);
        assert_eq!(found.triggers.get("tr").map(String::as_str), Some("orders"));
        assert_eq!(found.triggers.get("t.r").map(String::as_str), Some("or.ders"));
        assert_eq!(found.functions.iter().collect::<Vec<_>>(), ["f"]);
        assert_eq!(found.events.iter().collect::<Vec<_>>(), ["日"]);
    }
}
