//! Statements that name databases: which a new name changes, and which go on naming the old one.
//!
//! A server writes definitions without the name of their own database, but a trigger as its author typed it, with the
//! database before its own name and its table's. Fed as it is, that of a database that is restored under another name
//! would come into being in the old one.

use crate::error::ToolError;
use crate::probe::quoted_name;
use regex::bytes::{Captures, Regex};

/// A name in backticks, in quotes (`ANSI_QUOTES`), or bare.
const NAME: &str = r#"(?:`(?:[^`]|``)+`|"(?:[^"]|"")+"|[^\s`"'.(;]+)"#;
/// A definer: account or role.
const DEFINER: &str = r#"(?:DEFINER\s*=\s*(?:`(?:[^`]|``)*`|'[^']*'|"[^"]*"|[^\s@`'"]+)(?:@(?:`(?:[^`]|``)*`|'[^']*'|"[^"]*"|[^\s`'"]+))?\s+)?"#;
/// What refers to a table: `` REFERENCES `db`.`table` ``.
const REFERENCES: &str =
    r"(?m)^\s*CONSTRAINT `(?:[^`]|``)+` FOREIGN KEY .* REFERENCES (?:(`(?:[^`]|``)+`)\.)?(`(?:[^`]|``)+`)";

/// Recognises triggers and references.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    trigger: Regex,
    drop_trigger: Regex,
    references: Regex,
}

/// A `CREATE TRIGGER`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trigger {
    pub(super) table: String,
    /// The statement without the names of databases before those of the trigger and its table.
    pub(super) bare: Vec<u8>,
}

impl Naming {
    /// # Errors
    /// A defect of ours.
    pub(super) fn new() -> Result<Self, ToolError> {
        let trigger = format!(
            r"(?is)^(\s*CREATE\s+(?:OR\s+REPLACE\s+)?{DEFINER}TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?)(?:{NAME}\s*\.\s*)?({NAME})(\s+(?:BEFORE|AFTER)\s.*?\sON\s+)(?:{NAME}\s*\.\s*)?({NAME})"
        );
        Ok(Self {
            trigger: pattern(&trigger)?,
            drop_trigger: pattern(r"(?i)^\s*DROP\s+TRIGGER\s")?,
            references: pattern(REFERENCES)?,
        })
    }

    /// `None` for what creates no trigger.
    pub(super) fn trigger(&self, statement: &[u8]) -> Option<Trigger> {
        let found = self.trigger.captures(statement)?;
        let part = |group: usize| found.get(group).map_or(&b""[..], |part| part.as_bytes());
        let rest = found
            .get(0)
            .and_then(|all| statement.get(all.end()..))
            .unwrap_or_default();
        Some(Trigger {
            table: unquoted(part(4)),
            bare: [part(1), part(2), part(3), part(4), rest].concat(),
        })
    }

    /// `DROP TRIGGER`
    pub(super) fn drops_trigger(&self, statement: &[u8]) -> bool {
        self.drop_trigger.is_match(statement)
    }

    /// The tables that a table's definition refers to, each with the name of its database where that is said.
    pub(super) fn references(&self, definition: &[u8]) -> Vec<(Option<String>, String)> {
        let read = |found: Captures<'_>| {
            let name = |group: usize| found.get(group).map(|name| unquoted(name.as_bytes()));
            Some((name(1), name(2)?))
        };
        self.references
            .captures_iter(definition)
            .filter_map(read)
            .collect()
    }
}

/// Finds a database's name before a dot, in a statement or a body.
///
/// # Errors
/// A defect of ours.
pub(super) fn database_pattern(database: &str) -> Result<Regex, ToolError> {
    let (bare, quoted) = (regex::escape(database), regex::escape(&quoted_name(database)));
    pattern(&format!(
        r"(?:^|(?-u:[^0-9A-Za-z_$`.\x80-\xff]))(?:{quoted}|{bare})\s*\."
    ))
}

/// `` CREATE DATABASE `old` ... `` with another name.
pub(super) fn with_name(statement: &[u8], name: &str) -> Vec<u8> {
    let Some(start) = statement.iter().position(|byte| *byte == b'`') else {
        return statement.to_vec();
    };
    let mut end = start + 1;
    while let Some(byte) = statement.get(end) {
        let is_doubled = *byte == b'`' && statement.get(end + 1) == Some(&b'`');
        if *byte == b'`' && !is_doubled {
            break;
        }
        end += if is_doubled { 2 } else { 1 };
    }
    let rest = statement.get(end + 1..).unwrap_or_default();
    [&statement[..start], quoted_name(name).as_bytes(), rest].concat()
}

/// A table's definition for a database of another name: of all that it says, only what its defaults ask of sequences
/// names the database.
pub(super) fn in_database(definition: &[u8], old: &str, new: &str) -> Vec<u8> {
    let mut text = definition.to_vec();
    for function in ["nextval", "lastval"] {
        let call = |name: &str| format!("{function}({}.", quoted_name(name)).into_bytes();
        let (before, after) = (call(old), call(new));
        let mut rest = text.as_slice();
        let mut changed = Vec::with_capacity(text.len());
        while let Some(at) = memchr::memmem::find(rest, &before) {
            changed.extend_from_slice(&rest[..at]);
            changed.extend_from_slice(&after);
            rest = &rest[at + before.len()..];
        }
        changed.extend_from_slice(rest);
        text = changed;
    }
    text
}

/// `CREATE DATABASE IF NOT EXISTS` as a plain `CREATE DATABASE`.
pub(super) fn without_if_not_exists(statement: &[u8]) -> Vec<u8> {
    const WORDS: &[u8] = b"IF NOT EXISTS";
    let name_at = statement
        .iter()
        .position(|byte| *byte == b'`')
        .unwrap_or(statement.len());
    let head = &statement[..name_at];
    match head
        .windows(WORDS.len())
        .position(|window| window.eq_ignore_ascii_case(WORDS))
    {
        Some(at) => [&statement[..at], &statement[at + WORDS.len()..]].concat(),
        None => statement.to_vec(),
    }
}

/// `CREATE DATABASE` as `ALTER DATABASE`, for one that is there and empty.
pub(super) fn as_alteration(statement: Vec<u8>) -> Vec<u8> {
    const WORD: &[u8] = b"CREATE";
    match statement.trim_ascii_start().split_at_checked(WORD.len()) {
        Some((word, rest)) if word.eq_ignore_ascii_case(WORD) => [b"ALTER", rest].concat(),
        _ => statement,
    }
}

fn pattern(text: &str) -> Result<Regex, ToolError> {
    Regex::new(text).map_err(|error| ToolError::Failed {
        message: format!("cannot read dumps: {error}"),
        passing: false,
    })
}

fn unquoted(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    for quote in ["`", "\""] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.replace(&quote.repeat(2), quote);
        }
    }
    text.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_loses_the_database_that_its_author_typed() {
        let naming = Naming::new().unwrap();
        for (statement, table, bare) in [
            (
                "CREATE DEFINER=`root`@`localhost` TRIGGER shop.tr AFTER INSERT ON shop.orders FOR EACH ROW SET @a=shop.f()",
                "orders",
                "CREATE DEFINER=`root`@`localhost` TRIGGER tr AFTER INSERT ON orders FOR EACH ROW SET @a=shop.f()",
            ),
            (
                "CREATE DEFINER='a b'@'%' TRIGGER `日 志` . `t.r`\nBEFORE UPDATE\nON `日 志`.`or``ders` FOR EACH ROW x",
                "or`ders",
                "CREATE DEFINER='a b'@'%' TRIGGER `t.r`\nBEFORE UPDATE\nON `or``ders` FOR EACH ROW x",
            ),
            (
                "CREATE TRIGGER tr AFTER DELETE ON t FOR EACH ROW x",
                "t",
                "CREATE TRIGGER tr AFTER DELETE ON t FOR EACH ROW x",
            ),
        ] {
            let trigger = naming.trigger(statement.as_bytes()).unwrap();
            assert_eq!(trigger.table, table);
            assert_eq!(String::from_utf8(trigger.bare).unwrap(), bare);
        }
        assert_eq!(naming.trigger(b"CREATE PROCEDURE p() SELECT 1"), None);
        assert!(naming.drops_trigger(b"DROP TRIGGER IF EXISTS `tr`"));
        assert!(!naming.drops_trigger(b"DROP VIEW v"));
    }

    #[test]
    fn what_a_table_refers_to_is_read_from_its_definition() {
        let definition = "CREATE TABLE `t` (\n `a` int COMMENT 'FOREIGN KEY x REFERENCES `no`',\n CONSTRAINT `f` FOREIGN KEY \
                          (`a`) REFERENCES `pe``ople` (`id`) ON DELETE CASCADE,\n CONSTRAINT `g` FOREIGN KEY (`a`) \
                          REFERENCES `crm`.`x` (`id`)\n) ENGINE=InnoDB";
        let found = Naming::new().unwrap().references(definition.as_bytes());
        let expected = [
            (None, "pe`ople".to_owned()),
            (Some("crm".to_owned()), "x".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_database_is_found_where_it_stands_before_a_dot() {
        let names =
            |database: &str, text: &str| database_pattern(database).unwrap().is_match(text.as_bytes());
        for (text, is) in [
            ("SELECT * FROM shop.orders", true),
            ("select `shop`.`f`() AS `a`", true),
            ("DELETE FROM `shop` . t", true),
            ("shop.t", true),
            ("SELECT webshop.id, shop FROM t", false),
            ("SELECT a.shop.id", false),
            ("SELECT `shop_old`.`x`", false),
        ] {
            assert_eq!(names("shop", text), is, "{text}");
        }
        assert!(names("日志 库-1", "SELECT `日志 库-1`.t.a"));
        assert!(names("shop.eu", "SELECT `shop.eu`.t.a"));
        assert!(!names("shop", "SELECT `shop.eu`.t.a"));
    }

    #[test]
    fn a_database_is_made_under_another_name() {
        let named = with_name(b"CREATE DATABASE /*!32312 */ `a``b` /*!40100 X `y` */", "n`w");
        assert_eq!(named, b"CREATE DATABASE /*!32312 */ `n``w` /*!40100 X `y` */");
        assert_eq!(with_name(b"SET NAMES binary", "x"), b"SET NAMES binary");
    }

    #[test]
    fn a_database_is_made_and_not_taken_over() {
        for (statement, plain) in [
            (
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a`",
                "CREATE DATABASE /*!32312 */ `a`",
            ),
            ("CREATE DATABASE if not exists `a`", "CREATE DATABASE  `a`"),
            (
                "CREATE DATABASE `IF NOT EXISTS`",
                "CREATE DATABASE `IF NOT EXISTS`",
            ),
            ("SET NAMES binary", "SET NAMES binary"),
        ] {
            assert_eq!(without_if_not_exists(statement.as_bytes()), plain.as_bytes());
        }
        assert_eq!(
            as_alteration(b"create database `a` /*x*/".to_vec()),
            b"ALTER database `a` /*x*/"
        );
        assert_eq!(as_alteration(b"SET NAMES binary".to_vec()), b"SET NAMES binary");
    }
}
