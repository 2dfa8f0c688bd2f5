//! `db_list`.

use mykeeper_domain::databases::DatabaseSelection;
use thiserror::Error;

/// Why a `db_list` names no databases.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidDbList {
    /// Nothing is left of it.
    #[error("`db_list` names no database")]
    Empty,
    /// `a,!b`.
    #[error("`db_list` mixes databases that are backed up with databases that are not (\"!\")")]
    Mixed,
}

/// Reads `a,b_%`, `%`, or `!a,!b`: LIKE patterns between commas.
///
/// # Errors
/// It names nothing, or mixes both forms.
pub fn parse_db_list(text: &str) -> Result<DatabaseSelection, InvalidDbList> {
    let items = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let (excluded, included): (Vec<&str>, Vec<&str>) = items.partition(|item| item.starts_with('!'));
    let patterns = |items: Vec<&str>| -> Vec<String> {
        let mut patterns = Vec::new();
        for item in items {
            let pattern = item.trim_start_matches('!').trim().to_owned();
            if !pattern.is_empty() && !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        patterns
    };
    match (patterns(included), patterns(excluded)) {
        (included, excluded) if included.is_empty() && excluded.is_empty() => Err(InvalidDbList::Empty),
        (included, excluded) if excluded.is_empty() => Ok(DatabaseSelection::Include(included)),
        (included, excluded) if included.is_empty() => Ok(DatabaseSelection::Exclude(excluded)),
        _ => Err(InvalidDbList::Mixed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_read_and_the_mixture_is_not() {
        let include = |items: &[&str]| {
            Ok(DatabaseSelection::Include(
                items.iter().map(|item| (*item).into()).collect(),
            ))
        };
        let exclude = |items: &[&str]| {
            Ok(DatabaseSelection::Exclude(
                items.iter().map(|item| (*item).into()).collect(),
            ))
        };
        for (text, expected) in [
            ("fan,bo,shi", include(&["fan", "bo", "shi"])),
            ("!fan,!bo,!shi", exclude(&["fan", "bo", "shi"])),
            ("%", include(&["%"])),
            (
                "test,fandb,union_log_ad_%",
                include(&["test", "fandb", "union_log_ad_%"]),
            ),
            (" 日志 库-1 , a,, a", include(&["日志 库-1", "a"])),
            ("a,\nb", include(&["a", "b"])),
            ("! a", exclude(&["a"])),
            ("!fan,bo", Err(InvalidDbList::Mixed)),
            ("", Err(InvalidDbList::Empty)),
            (" , !", Err(InvalidDbList::Empty)),
        ] {
            assert_eq!(parse_db_list(text), expected, "{text:?}");
        }
    }
}
