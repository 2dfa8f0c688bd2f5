//! Which databases of a server are backed up.

use serde::{Deserialize, Serialize};

/// Schemas that are made by the server from memory at each start: nothing of them can be dumped or restored.
pub const VIRTUAL_SCHEMAS: [&str; 3] = ["information_schema", "performance_schema", "sys"];

/// The `databases` key, read: LIKE patterns that include, or LIKE patterns that exclude, never both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatabaseSelection {
    /// A database is taken when any of these matches.
    Include(Vec<String>),
    /// A database is taken when none of these matches.
    Exclude(Vec<String>),
}

impl DatabaseSelection {
    /// The databases of `present` that are selected, in the server's order. Virtual schemas never are.
    pub fn select<'a>(&self, present: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        present
            .into_iter()
            .filter(|name| {
                !VIRTUAL_SCHEMAS
                    .iter()
                    .any(|schema| schema.eq_ignore_ascii_case(name))
            })
            .filter(|name| match self {
                Self::Include(patterns) => patterns.iter().any(|pattern| like(pattern, name)),
                Self::Exclude(patterns) => !patterns.iter().any(|pattern| like(pattern, name)),
            })
            .map(str::to_owned)
            .collect()
    }

    /// Whether a database that is made tomorrow would be selected, whatever its name.
    pub fn is_open_ended(&self) -> bool {
        match self {
            Self::Include(patterns) => patterns.iter().any(|pattern| pattern == "%"),
            Self::Exclude(_) => true,
        }
    }

    /// Patterns that should match something, and match nothing of `present`: a misspelt name is worth a warning.
    pub fn unmatched<'a>(&'a self, present: &[String]) -> Vec<&'a str> {
        // What is excluded and is not there is no loss.
        let Self::Include(patterns) = self else {
            return Vec::new();
        };
        patterns
            .iter()
            .filter(|pattern| !present.iter().any(|name| like(pattern, name)))
            .map(String::as_str)
            .collect()
    }
}

/// SQL's LIKE: `%` any text, `_` one character, `\` takes the next character as it is.
///
/// Case matters, as it does in the names of databases on Linux.
pub fn like(pattern: &str, text: &str) -> bool {
    enum Piece {
        Char(char),
        One,
        Any,
    }
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            other => Piece::Char(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut piece, mut at) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        let step = match pieces.get(piece) {
            Some(Piece::Any) => {
                back = Some((piece, at));
                piece += 1;
                continue;
            }
            Some(Piece::One) => true,
            Some(Piece::Char(c)) => *c == text[at],
            None => false,
        };
        if step {
            piece += 1;
            at += 1;
        } else if let Some((any, from)) = back {
            piece = any + 1;
            at = from + 1;
            back = Some((any, from + 1));
        } else {
            return false;
        }
    }
    pieces[piece..].iter().all(|piece| matches!(piece, Piece::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_as_sql_does() {
        for (pattern, text, matches) in [
            ("%", "", true),
            ("%", "anything", true),
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("shop", "Shop", false),
            ("union_log_ad_%", "union_log_ad_201710_db", true),
            ("a_c", "abc", true),
            ("a\\_c", "abc", false),
            ("a\\_c", "a_c", true),
            ("%库%", "日志 库-1", true),
            ("_", "库", true),
            ("%a%b%", "xxaxxbxx", true),
            ("%a%b", "xxaxxbxx", false),
            ("a.c", "abc", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(like(pattern, text), matches, "{pattern:?} against {text:?}");
        }
    }

    #[test]
    fn all_means_all_that_can_be_dumped() {
        let present = ["information_schema", "mysql", "performance_schema", "shop", "sys"];
        assert_eq!(
            DatabaseSelection::Include(vec!["%".into()]).select(present),
            ["mysql", "shop"]
        );
        assert_eq!(
            DatabaseSelection::Exclude(vec!["mysql".into(), "tmp\\_%".into()]).select(present),
            ["shop"]
        );
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_named() {
        let selection = DatabaseSelection::Include(vec!["shop".into(), "shpo%".into()]);
        assert_eq!(selection.unmatched(&["shop".to_owned()]), ["shpo%"]);
        let excluded = DatabaseSelection::Exclude(vec!["tmp_%".into()]);
        assert_eq!(excluded.unmatched(&["shop".to_owned()]), [""; 0]);
        assert!(excluded.is_open_ended() && !selection.is_open_ended());
    }
}
