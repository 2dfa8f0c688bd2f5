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

pub(super) fn event_pattern() -> Result<Regex, ToolError> {
    const PATTERN: &str = r"(?is)^\s*(?:DROP\s+EVENT\s|CREATE\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*(?:`(?:[^`]|``)*`|'[^']*'|[^\s@`']+)(?:@(?:`(?:[^`]|``)*`|'[^']*'|[^\s`']+))?\s+)?EVENT\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:`((?:[^`]|``)+)`|([^\s`]+)))";
    Regex::new(PATTERN).map_err(|error| ToolError::Failed {
        message: format!("cannot read dumps: {error}"),
        passing: false,
    })
}

pub(super) fn event_name(pattern: &Regex, statement: &[u8]) -> Option<String> {
    let found = pattern.captures(statement)?;
    let name = found.get(1).or_else(|| found.get(2))?;
    Some(String::from_utf8_lossy(name.as_bytes()).replace("``", "`"))
}
