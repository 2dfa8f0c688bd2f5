//! Values that a server takes for bytes where nobody says that they are text.
//!
//! Files of rows begin with `SET NAMES binary`, so that no value is converted. MariaDB reads bytes that are put into a
//! UUID, INET4 or INET6 as the 16 or 4 bytes of the value itself: of the text that mydumper has written come NULL or
//! zeros, and a warning at most. So these values get an introducer on their way, `_latin1"10.0.0.1"`; nothing else of a
//! file is changed, which may hold bytes of any character set.

use crate::blocking::{READ_WITHIN, off_thread};
use crate::error::ToolError;
use crate::prove::expect::each_statement;
use crate::prove::layout::{DatabaseFiles, Layout};
use memchr::{memchr, memchr2};
use regex::bytes::Regex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A column in what `SHOW CREATE TABLE` prints: its name, its type, the rest of its line.
const COLUMN: &str = r"(?m-u)^\s*`((?:[^`]|``)+)`[ \t]+([A-Za-z0-9_]+)(.*)$";
const TABLE: &str = r"(?i-u)^\s*CREATE\s+(?:OR\s+REPLACE\s+)?TABLE\s";
/// What stands in quotes in the line of a column: its comment, its default.
const QUOTED: &str = r"(?-u)'(?:[^'\\]|''|\\.)*'";
/// A statement of rows up to the first of them, with the columns that it names, if any.
const HEAD: &str = r"(?si-u)^\s*(?:INSERT|REPLACE)\s(?:\s*(?:IGNORE|INTO|DELAYED|LOW_PRIORITY|HIGH_PRIORITY)\s)*\s*(?:`(?:[^`]|``)+`\.)?`(?:[^`]|``)+`\s*(?:\(((?:`(?:[^`]|``)+`|[\s,])*)\)\s*)?VALUES?\s*";
const NAME: &str = r"(?-u)`((?:[^`]|``)+)`";
const TYPES: [&str; 3] = ["uuid", "inet4", "inet6"];
const INTRODUCER: &[u8] = b"_latin1";

/// The tables of a set that have such columns.
#[derive(Debug, Default)]
pub(crate) struct Introducers {
    databases: BTreeMap<String, BTreeMap<String, Arc<Introducer>>>,
}

/// Writes the introducers into the statements of one table's rows.
#[derive(Debug)]
pub(crate) struct Introducer {
    /// In the table's order: the name, whether its values get one, whether it is part of a row only where it is named.
    columns: Vec<(Vec<u8>, bool, bool)>,
    head: Regex,
    name: Regex,
}

/// What it takes to read the definition of a table.
struct Patterns {
    table: Regex,
    column: Regex,
    quoted: Regex,
    head: Regex,
    name: Regex,
}

impl Introducers {
    /// Looks through the definitions of a set's tables.
    ///
    /// # Errors
    /// A file cannot be read, or the run was ended.
    pub(crate) async fn find(
        set_dir: &Path,
        layout: &Layout,
        cancel: &CancellationToken,
    ) -> Result<Self, ToolError> {
        let layout = layout.clone();
        off_thread(("read", set_dir), READ_WITHIN, cancel, move || {
            let patterns = Patterns::new()?;
            let mut found = Self::default();
            for (database, files) in &layout.databases {
                for (table, file) in &files.schemas {
                    let mut introducer = None;
                    each_statement(file, &mut |statement| {
                        introducer = patterns.introducer(statement).or(introducer.take());
                    })?;
                    if let Some(introducer) = introducer {
                        let tables = found.databases.entry(database.clone()).or_default();
                        tables.insert(table.clone(), Arc::new(introducer));
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    /// What a table's rows need, called as file names call it; `None`: nothing.
    pub(crate) fn of(&self, database: &str, table: &str) -> Option<&Arc<Introducer>> {
        self.databases.get(database)?.get(table)
    }

    /// A database's files without those of these tables, and those.
    pub(crate) fn split(&self, database: &str, files: &DatabaseFiles) -> (DatabaseFiles, DatabaseFiles) {
        files.clone().split(&|table| self.of(database, table).is_some())
    }
}

impl Patterns {
    fn new() -> Result<Self, ToolError> {
        let pattern = |text| {
            Regex::new(text).map_err(|error| ToolError::Failed {
                message: format!("cannot read dumps: {error}"),
                passing: false,
            })
        };
        Ok(Self {
            table: pattern(TABLE)?,
            column: pattern(COLUMN)?,
            quoted: pattern(QUOTED)?,
            head: pattern(HEAD)?,
            name: pattern(NAME)?,
        })
    }

    /// Of a table's definition; `None` where there is nothing to do.
    fn introducer(&self, statement: &[u8]) -> Option<Introducer> {
        if !self.table.is_match(statement) {
            return None;
        }
        let mut columns = Vec::new();
        for found in self.column.captures_iter(statement) {
            let part = |index| found.get(index).map_or(&b""[..], |part| part.as_bytes());
            let bare = self.quoted.replace_all(part(3), &b""[..]).to_ascii_uppercase();
            // SELECT * leaves it out, and so does a row that comes without names.
            let is_hidden = bare.split(|byte| *byte == b' ').any(|word| {
                let word = word.strip_suffix(b",").unwrap_or(word);
                word == b"INVISIBLE"
            });
            let is_typed = TYPES
                .iter()
                .any(|name| part(2).eq_ignore_ascii_case(name.as_bytes()));
            columns.push((part(1).to_vec(), is_typed, is_hidden));
        }
        columns
            .iter()
            .any(|(_, is_typed, _)| *is_typed)
            .then(|| Introducer {
                columns,
                head: self.head.clone(),
                name: self.name.clone(),
            })
    }
}

impl Introducer {
    /// The statement as it is to be sent; any but one of rows stays as it is.
    pub(crate) fn introduce(&self, statement: Vec<u8>) -> Vec<u8> {
        let Some(head) = self.head.captures(&statement) else {
            return statement;
        };
        let begin = head.get(0).map_or(0, |head| head.end());
        let typed = self.typed(head.get(1).map(|names| names.as_bytes()));
        let mut written = Vec::with_capacity(statement.len() + statement.len() / 4);
        let (mut copied, mut at) = (0, begin);
        let (mut depth, mut column) = (0_u32, 0_usize);
        // Nothing of the value has been seen yet.
        let mut is_fresh = false;
        while let Some(&byte) = statement.get(at) {
            let is_due = is_fresh && depth == 1 && typed.get(column) == Some(&true);
            let is_text = matches!(byte, b'"' | b'\'');
            if is_due && (is_text || is_hex(&statement[at..])) {
                written.extend_from_slice(&statement[copied..at]);
                written.extend_from_slice(INTRODUCER);
                if !is_text {
                    written.push(b' ');
                }
                copied = at;
            }
            match byte {
                b'(' => {
                    depth += 1;
                    (column, is_fresh) = if depth == 1 { (0, true) } else { (column, false) };
                }
                b',' if depth == 1 => {
                    column += 1;
                    is_fresh = true;
                }
                b')' => depth = depth.saturating_sub(1),
                byte if byte.is_ascii_whitespace() => {}
                _ => is_fresh = false,
            }
            at = match byte {
                b'"' | b'\'' => end_of_text(&statement, at),
                b'`' => memchr(b'`', &statement[at + 1..]).map_or(statement.len(), |end| at + 2 + end),
                _ => at + 1,
            };
        }
        if copied == 0 {
            return statement;
        }
        written.extend_from_slice(&statement[copied..]);
        written
    }

    /// Of each value of a row whether it gets an introducer.
    fn typed(&self, names: Option<&[u8]>) -> Vec<bool> {
        let Some(names) = names else {
            let whole = self.columns.iter().filter(|(_, _, is_hidden)| !is_hidden);
            return whole.map(|(_, is_typed, _)| *is_typed).collect();
        };
        let names = self.name.captures_iter(names).filter_map(|found| found.get(1));
        names
            .map(|name| {
                let mut known = self.columns.iter();
                known.any(|(column, is_typed, _)| *is_typed && column.eq_ignore_ascii_case(name.as_bytes()))
            })
            .collect()
    }
}

/// `0x...` or `x'...'`, as the option `hex-blob` writes.
fn is_hex(bytes: &[u8]) -> bool {
    matches!(bytes, [b'0', b'x' | b'X', ..] | [b'x' | b'X', b'\'', ..])
}

/// Where the text that begins at `at` has ended. Of a quote that is doubled, one ends it and one begins another.
fn end_of_text(statement: &[u8], at: usize) -> usize {
    let quote = statement[at];
    let mut at = at + 1;
    while let Some(found) = statement.get(at..).and_then(|rest| memchr2(quote, b'\\', rest)) {
        at += found + 1;
        if statement[at - 1] == quote {
            return at;
        }
        at += 1;
    }
    statement.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introducer(columns: &str) -> Option<Introducer> {
        let statement = format!("CREATE TABLE `t` (\n{columns}\n) ENGINE=InnoDB COMMENT=' `x` uuid'");
        Patterns::new().unwrap().introducer(statement.as_bytes())
    }

    fn introduced(columns: &str, statement: &str) -> String {
        let written = introducer(columns)
            .unwrap()
            .introduce(statement.as_bytes().to_vec());
        String::from_utf8(written).unwrap()
    }

    const COLUMNS: &str = "  `id` uuid NOT NULL DEFAULT uuid(),\n  `b``c` blob DEFAULT NULL,\n  `a` inet4 DEFAULT NULL COMMENT ' INVISIBLE ',\n  PRIMARY KEY (`id`)";

    #[test]
    fn values_of_these_columns_get_an_introducer_and_no_other_byte_changes() {
        for (rows, written) in [
            (
                "INSERT INTO `t` VALUES\n(\"1-2\",\"a\\\",(\\\"x\",\"10.0.0.1\"),\n(NULL,NULL,NULL),\n(\"3\" , 'it''s',\"\")",
                "INSERT INTO `t` VALUES\n(_latin1\"1-2\",\"a\\\",(\\\"x\",_latin1\"10.0.0.1\"),\n(NULL,NULL,NULL),\n(_latin1\"3\" , 'it''s',_latin1\"\")",
            ),
            (
                "INSERT IGNORE INTO `t` (`a`,`b``c`,`ID`) VALUES(0x31,0x31,x'31')",
                "INSERT IGNORE INTO `t` (`a`,`b``c`,`ID`) VALUES(_latin1 0x31,0x31,_latin1 x'31')",
            ),
            (
                "REPLACE INTO `db`.`VALUES (` VALUES (CONVERT(\"1\" USING utf8mb4),F(\"1\",\"2\"),\"3\")",
                "REPLACE INTO `db`.`VALUES (` VALUES (CONVERT(\"1\" USING utf8mb4),F(\"1\",\"2\"),_latin1\"3\")",
            ),
            ("/*!40101 SET NAMES binary*/", "/*!40101 SET NAMES binary*/"),
            (
                "INSERT INTO `t` VALUES (\"cut \\",
                "INSERT INTO `t` VALUES (_latin1\"cut \\",
            ),
        ] {
            assert_eq!(introduced(COLUMNS, rows), written);
        }
    }

    #[test]
    fn a_column_that_is_hidden_counts_where_it_is_named() {
        let columns = "  `h` uuid INVISIBLE,\n  `n` int(11),\n  `i` inet6";
        assert_eq!(
            introduced(columns, "INSERT INTO `t` VALUES (\"1\",\"::\")"),
            "INSERT INTO `t` VALUES (\"1\",_latin1\"::\")"
        );
        assert_eq!(
            introduced(columns, "INSERT INTO `t` (`h`,`n`) VALUES (\"1\",\"2\")"),
            "INSERT INTO `t` (`h`,`n`) VALUES (_latin1\"1\",\"2\")"
        );
    }

    #[test]
    fn tables_that_only_speak_of_such_types_need_nothing() {
        let columns =
            "  `uuid` varchar(36) COMMENT 'uuid',\n  `x` char(1) DEFAULT 'inet4',\n  KEY `uuid` (`uuid`)";
        assert!(introducer(columns).is_none());
        let patterns = Patterns::new().unwrap();
        assert!(patterns.introducer(b"SET @x = '\n`a` uuid'").is_none());
    }
}
