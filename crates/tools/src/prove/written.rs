//! In which session a definition was written: mydumper 0.10 keeps neither the SQL mode of a routine, trigger or event
//! nor the time zone of an event, and what is created in another session is another definition. The evidence knows.

use crate::error::ToolError;
use crate::probe::SPACED_ENDS;
use mykeeper_domain::definition::Definition;
use mykeeper_domain::inventory::DatabaseInventory;
use regex::bytes::{Captures, Regex};

/// A name as a statement has it: in backticks, in quotes (`ANSI_QUOTES`), or bare. Before that of a trigger stands its
/// database where its author typed it.
const CREATE: &str = r#"(?is)^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*(?:`(?:[^`]|``)*`|'[^']*'|"[^"]*"|[^\s@`'"]+)(?:@(?:`(?:[^`]|``)*`|'[^']*'|"[^"]*"|[^\s`'"]+))?\s+)?(?:AGGREGATE\s+)?(PROCEDURE|FUNCTION|TRIGGER|EVENT)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:(?:`(?:[^`]|``)+`|"(?:[^"]|"")+"|[^\s`"(.]+)\s*\.\s*)?(?:`((?:[^`]|``)+)`|"((?:[^"]|"")+)"|([^\s`"(.]+))"#;
/// `SET NAMES` at the head of a file, with or without the marks of a comment.
const NAMES: &str = r"(?is)^\s*(?:/\*!\d*\s*)?SET\s+NAMES\s";
/// The table's own, behind its columns.
const CHARSET: &str = r"(?i-u)\) ?ENGINE=.*DEFAULT CHARSET=([a-z0-9_]+)";

/// What mydumper writes for a semicolon at the end of a line.
const ADDED: &[u8] = b"; \n";

/// Recognises definitions.
#[derive(Debug)]
pub(crate) struct Written {
    create: Regex,
    names: Regex,
    charset: Regex,
}

impl Written {
    /// # Errors
    /// A defect of ours.
    pub(crate) fn new() -> Result<Self, ToolError> {
        let regex = |pattern| {
            Regex::new(pattern).map_err(|error| ToolError::Failed {
                message: format!("cannot read dumps: {error}"),
                passing: false,
            })
        };
        Ok(Self {
            create: regex(CREATE)?,
            names: regex(NAMES)?,
            charset: regex(CHARSET)?,
        })
    }

    /// What makes the session fit for this statement: each statement for itself, as a server may know the mode and not
    /// the time zone. Empty where that is not known.
    pub(crate) fn session(&self, statement: &[u8], known: Option<&DatabaseInventory>) -> Vec<String> {
        self.settings(statement, known).unwrap_or_default()
    }

    /// What a statement creates, by kind and name: `procedure p`.
    pub(crate) fn object(&self, statement: &[u8]) -> Option<String> {
        let found = self.create.captures(statement)?;
        let kind = String::from_utf8_lossy(found.get(1)?.as_bytes()).to_lowercase();
        Some(format!("{kind} {}", name(&found)?))
    }

    /// Which ends of lines of this statement had a space behind their semicolon before mydumper came, counted from the
    /// last.
    pub(crate) fn spaced_ends(&self, statement: &[u8], known: Option<&DatabaseInventory>) -> Vec<usize> {
        let own = || {
            let list = self.definition(statement, known)?.0.get(SPACED_ENDS)?;
            Some(list.split(',').filter_map(|place| place.parse().ok()).collect())
        };
        own().unwrap_or_default()
    }

    /// A definition as it was before mydumper wrote it; anything else as it is.
    pub(crate) fn without_added_spaces(
        &self,
        statement: &[u8],
        known: Option<&DatabaseInventory>,
    ) -> Vec<u8> {
        if self.create.is_match(statement) {
            as_written(statement, &self.spaced_ends(statement, known))
        } else {
            statement.to_vec()
        }
    }

    fn definition<'k>(
        &self,
        statement: &[u8],
        known: Option<&'k DatabaseInventory>,
    ) -> Option<&'k Definition> {
        let found = self.create.captures(statement)?;
        let kind = String::from_utf8_lossy(&found[1]).to_lowercase();
        known?.definitions.get(&format!("{kind} {}", name(&found)?))
    }

    fn settings(&self, statement: &[u8], known: Option<&DatabaseInventory>) -> Option<Vec<String>> {
        let definition = known?.definitions.get(&self.object(statement)?)?;
        let set = |variable: &str, fact: &str| {
            let value = definition_fact(definition, fact)?;
            Some(format!("SET SESSION {variable} = '{value}'"))
        };
        let mode = set("sql_mode", "sql_mode")?;
        Some(
            std::iter::once(mode)
                .chain(set("time_zone", "time zone"))
                .collect(),
        )
    }

    /// The character set that a table's definition is written in: a server gives it in UTF-8. mydumper 1.0, unless told
    /// otherwise, asks for it in the table's own.
    pub(crate) fn charset(&self, statement: &[u8]) -> String {
        if std::str::from_utf8(statement).is_ok() {
            return "utf8mb4".to_owned();
        }
        let own = self.charset.captures(statement).map(|found| found[1].to_vec());
        own.and_then(|name| String::from_utf8(name).ok())
            .unwrap_or_else(|| "binary".to_owned())
    }

    /// Whether a statement sets the character set of what follows.
    pub(crate) fn sets_names(&self, statement: &[u8]) -> bool {
        self.names.is_match(statement)
    }
}

/// A definition as it was before mydumper put a space between each semicolon and the end of its line, so that no line
/// ends a statement: within a string that space would be one too many. `own` are those that had one before, counted from
/// the last.
pub(crate) fn as_written(statement: &[u8], own: &[usize]) -> Vec<u8> {
    let ends: Vec<usize> = memchr::memmem::find_iter(statement, ADDED).collect();
    let mut written = Vec::with_capacity(statement.len());
    let mut from = 0;
    for (place, at) in ends.iter().enumerate() {
        if own.contains(&(ends.len() - 1 - place)) {
            continue;
        }
        written.extend_from_slice(statement.get(from..*at).unwrap_or_default());
        written.extend_from_slice(b";\n");
        from = at + ADDED.len();
    }
    written.extend_from_slice(statement.get(from..).unwrap_or_default());
    written
}

fn name(found: &Captures<'_>) -> Option<String> {
    let (bytes, quote) = found
        .get(2)
        .map(|name| (name, "`"))
        .or_else(|| found.get(3).map(|name| (name, "\"")))
        .or_else(|| found.get(4).map(|name| (name, "")))?;
    let text = String::from_utf8(bytes.as_bytes().to_vec()).ok()?;
    Some(if quote.is_empty() {
        text
    } else {
        text.replace(&quote.repeat(2), quote)
    })
}

/// The value of a fact, where it may stand in quotes as it is.
fn definition_fact<'a>(definition: &'a Definition, fact: &str) -> Option<&'a str> {
    let value = definition.0.get(fact)?;
    let is_plain = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_,:+-/ ".contains(&byte));
    is_plain.then_some(value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_written_in_the_session_that_it_was_written_in() {
        let written = Written::new().unwrap();
        let mut known = DatabaseInventory::default();
        let mut know = |object: &str, facts: &[(&str, &str)]| {
            let facts = facts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            known.definitions.insert(object.into(), facts.collect());
        };
        know("procedure pr ansi", &[("sql_mode", "ANSI_QUOTES")]);
        know("event 日`志", &[("sql_mode", ""), ("time zone", "Asia/Shanghai")]);
        know("trigger tr", &[("sql_mode", "STRICT_TRANS_TABLES,NO_ZERO_DATE")]);
        know("function f", &[("sql_mode", "x'; DROP TABLE t; --")]);
        let session = |sql: &str| written.session(sql.as_bytes(), Some(&known));
        for (sql, expected) in [
            (
                "CREATE DEFINER=\"root\"@\"localhost\" PROCEDURE \"pr ansi\"()\nBEGIN",
                "SET SESSION sql_mode = 'ANSI_QUOTES'",
            ),
            (
                "CREATE DEFINER=`root`@`%` EVENT `日``志` ON SCHEDULE",
                "SET SESSION sql_mode = ''; SET SESSION time_zone = 'Asia/Shanghai'",
            ),
            (
                "CREATE DEFINER=`a b`@`localhost` TRIGGER tr AFTER INSERT",
                "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE'",
            ),
            (
                "CREATE TRIGGER `日 志`.tr AFTER INSERT ON shop.orders",
                "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE'",
            ),
            ("CREATE FUNCTION f(a INT) RETURNS INT", ""),
            ("CREATE PROCEDURE other()", ""),
            ("DROP PROCEDURE IF EXISTS `pr ansi`", ""),
            ("CREATE TABLE `event` (`procedure` INT)", ""),
        ] {
            assert_eq!(session(sql).join("; "), expected, "{sql}");
        }
        assert_eq!(
            as_written(b"BEGIN\n SELECT '; \n'; \n  \nEND; ", &[]),
            b"BEGIN\n SELECT ';\n';\n  \nEND; "
        );
        assert_eq!(
            as_written(b"BEGIN; \n SELECT '; \n'; \nEND", &[1]),
            b"BEGIN;\n SELECT '; \n';\nEND"
        );
        let latin = b"CREATE TABLE `t` (\n `e` enum('\xe9') DEFAULT CHARSET=x\n) ENGINE=InnoDB DEFAULT CHARSET=latin1";
        assert_eq!(written.charset(latin), "latin1");
        assert_eq!(
            written
                .charset("CREATE TABLE `t` (`e` enum('é')) ENGINE=InnoDB DEFAULT CHARSET=latin1".as_bytes()),
            "utf8mb4"
        );
        assert!(written.sets_names(b"/*!40101 SET NAMES binary*/"));
        assert!(!written.sets_names(b"CREATE TABLE `SET NAMES ` (id INT)"));
    }
}
