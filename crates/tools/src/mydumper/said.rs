//! What mydumper says, kept as far as it speaks for or against the dump.

use std::collections::BTreeSet;

const MAX_KEPT: usize = 20;
const MAX_CHARS: usize = 400;
const MAX_EMPTY: usize = 200_000;
/// 0.10 says so of a table, or of a part of one.
const EMPTY_TABLE: &str = ": Empty table ";

/// The words that count, bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// What it calls critical or an error.
    pub(crate) errors: Vec<String>,
    /// What it warns of.
    pub(crate) warnings: Vec<String>,
    /// Tables and views that it calls broken and leaves out.
    pub(crate) broken: Vec<String>,
    /// `database.table` that it calls empty.
    pub(crate) empty: BTreeSet<String>,
    /// It met a full disk.
    pub(crate) no_space: bool,
    /// Its last line without any mark.
    pub(crate) last_plain: Option<String>,
}

impl Said {
    /// Takes one line.
    pub(crate) fn hear(&mut self, line: &str) {
        let line = line.trim();
        if line.contains("No space left on device") || line.contains("Disk quota exceeded") {
            self.no_space = true;
        }
        if let Some(text) = after_mark(line, &["CRITICAL **", "ERROR **", "[ERROR]"]) {
            keep(&mut self.errors, &text);
        } else if let Some(text) = after_mark(line, &["WARNING **", "[WARNING]"]) {
            match text.strip_prefix("Broken table detected, please review: ") {
                Some(table) => keep(&mut self.broken, table),
                None => keep(&mut self.warnings, &text),
            }
        } else if line.starts_with("** Message") {
            if let Some((_, table)) = line.split_once(EMPTY_TABLE)
                && self.empty.len() < MAX_EMPTY
            {
                self.empty.insert(table.to_owned());
            }
        } else if !line.is_empty() {
            self.last_plain = Some(cut(line));
        }
    }
}

/// `** (mydumper:22514): CRITICAL **: 18:24:42.453: Error: ...` without its head.
fn after_mark(line: &str, marks: &[&str]) -> Option<String> {
    let (_, rest) = marks.iter().find_map(|mark| line.split_once(mark))?;
    let rest = rest.trim_start_matches([':', ' ', '-']);
    let text = match rest.split_once(": ") {
        Some((time, text)) if time.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.')) => text,
        _ => rest,
    };
    Some(cut(text.trim()))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

fn keep(list: &mut Vec<String>, text: &str) {
    if list.len() < MAX_KEPT && !list.iter().any(|kept| kept == text) {
        list.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_kept_without_its_head() {
        let mut said = Said::default();
        for line in include_str!("../../tests/fixtures/log-0.10").lines() {
            said.hear(line);
        }
        assert_eq!(said.broken, ["shop.broken"]);
        assert_eq!(said.empty, BTreeSet::from(["shop.audit".to_owned()]));
        assert_eq!(said.errors.len(), 1, "{said:?}");
        assert!(
            said.errors[0].starts_with("Error: DB: q\"u'o`te - Could not execute query: You have"),
            "{said:?}"
        );
        assert!(!said.no_space);
        said.hear("** (mydumper:1): CRITICAL **: 18:24:42.453: Couldn't write data to a file: No space left on device");
        assert!(said.no_space);
        for n in 0..100 {
            said.hear(&format!("** (mydumper:1): CRITICAL **: 18:24:42.453: {n}"));
        }
        assert_eq!(said.errors.len(), MAX_KEPT);
    }
}
