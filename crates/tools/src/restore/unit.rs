//! One file of definitions, read.

use crate::error::ToolError;
use crate::probe::quoted_name;
use crate::prove::expect::each_statement;
use crate::prove::layout::SetFile;
use regex::bytes::Regex;

/// One file of definitions.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) database: String,
    /// The view's name, for a view.
    pub(super) view: Option<String>,
    pub(super) path: String,
    pub(super) statements: Vec<Vec<u8>>,
}

pub(super) fn read_unit(
    database: &str,
    view: Option<String>,
    file: &SetFile,
    wanted: &dyn Fn(&[u8]) -> bool,
) -> Result<Unit, ToolError> {
    let mut statements = Vec::new();
    each_statement(file, &mut |statement| {
        if wanted(statement) {
            statements.push(statement.trim_ascii().to_vec());
        }
    })?;
    Ok(Unit {
        database: database.to_owned(),
        view,
        path: file.path.clone(),
        statements,
    })
}

/// What comes before each file, whatever the one before has left behind. The dump of a routine does not always say in
/// which mode it was written: the server's own is the likeliest.
pub(super) fn own_settings(unit: &Unit, there: &str) -> [String; 5] {
    let mode = if unit.view.is_some() {
        "''"
    } else {
        "@@GLOBAL.sql_mode"
    };
    [
        "SET NAMES utf8mb4".to_owned(),
        format!("USE {}", quoted_name(there)),
        "SET NAMES binary".to_owned(),
        "SET SESSION foreign_key_checks=0, time_zone=@@GLOBAL.time_zone".to_owned(),
        format!("SET SESSION sql_mode={mode}"),
    ]
}

/// Finds the word that has an event run, with all of its definition before it: as servers write these.
pub(super) fn enabled_pattern() -> Result<Regex, ToolError> {
    // The first status is its own: one may stand in its body too.
    const PATTERN: &str = r"(?is)^(.*?\sON\s+COMPLETION\s+(?:NOT\s+)?PRESERVE\s+)(?:(ENABLE)|DISABLE)\b";
    compiled(PATTERN)
}

/// A statement that creates an event, changed so that it does not run; `None` for one that would not, and for any other.
pub(super) fn disabled((event, enabled): (&Regex, &Regex), statement: &[u8]) -> Option<Vec<u8>> {
    event_name(event, statement)?;
    let found = enabled.captures(statement)?;
    let (before, word) = (found.get(1)?, found.get(2)?);
    let after = statement.get(word.end()..).unwrap_or_default();
    Some([before.as_bytes(), b"DISABLE", after].concat())
}

pub(super) fn event_pattern() -> Result<Regex, ToolError> {
    const PATTERN: &str = r"(?is)^\s*(?:DROP\s+EVENT\s|CREATE\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*(?:`(?:[^`]|``)*`|'[^']*'|[^\s@`']+)(?:@(?:`(?:[^`]|``)*`|'[^']*'|[^\s`']+))?\s+)?EVENT\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:`((?:[^`]|``)+)`|([^\s`]+)))";
    compiled(PATTERN)
}

fn compiled(pattern: &str) -> Result<Regex, ToolError> {
    Regex::new(pattern).map_err(|error| ToolError::Failed {
        message: format!("cannot read dumps: {error}"),
        passing: false,
    })
}

pub(super) fn event_name(pattern: &Regex, statement: &[u8]) -> Option<String> {
    let found = pattern.captures(statement)?;
    let name = found.get(1).or_else(|| found.get(2))?;
    Some(String::from_utf8_lossy(name.as_bytes()).replace("``", "`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_disabled_by_its_own_status_alone() {
        let (event, enabled) = (event_pattern().unwrap(), enabled_pattern().unwrap());
        for (statement, changed) in [
            (
                "CREATE DEFINER=`a`@`%` EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION NOT \
                 PRESERVE ENABLE COMMENT 'ENABLE' DO SELECT 'ENABLE'",
                Some(
                    "CREATE DEFINER=`a`@`%` EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON \
                     COMPLETION NOT PRESERVE DISABLE COMMENT 'ENABLE' DO SELECT 'ENABLE'",
                ),
            ),
            (
                "CREATE EVENT `e` ON SCHEDULE AT '2030-01-01' ON COMPLETION PRESERVE DISABLE ON SLAVE DO ALTER EVENT x ON \
                 COMPLETION PRESERVE ENABLE",
                None,
            ),
            ("DROP EVENT IF EXISTS `e`", None),
            (
                "CREATE PROCEDURE p() ALTER EVENT x ON COMPLETION PRESERVE ENABLE",
                None,
            ),
        ] {
            let found = disabled((&event, &enabled), statement.as_bytes());
            let found = found.map(|text| String::from_utf8(text).unwrap());
            assert_eq!(found.as_deref(), changed, "{statement}");
        }
    }
}
