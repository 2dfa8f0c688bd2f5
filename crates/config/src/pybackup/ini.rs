//! The form of `pybackup.conf`: that of Python 2.7's ConfigParser, with what its documentation writes besides.
//!
//! `[section]` and whatever follows on its line; `key = value` or `key: value`, keys in any case; lines that begin with
//! `#`, `;` or `rem`; a value goes on in indented lines. The documentation writes remarks after a value and after a
//! section, `db_list=a,b --like this`, which ConfigParser takes for part of the value: they are none here.

use crate::document::{Document, complaint};
use std::ops::Range;

/// One `key = value`.
pub(super) struct Pair {
    /// In small letters.
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    /// Without the spaces around it and without a remark. What follows a line's end in it was indented.
    pub(super) value: String,
    pub(super) value_span: Range<usize>,
    /// From 1.
    pub(super) line: usize,
    /// What was cut off as a remark.
    pub(super) remark: Option<Range<usize>>,
}

/// One section; a name that stands in the file twice is one section, as it is to ConfigParser.
pub(super) struct Block {
    pub(super) name: String,
    pub(super) name_span: Range<usize>,
    /// From 1.
    pub(super) line: usize,
    pub(super) pairs: Vec<Pair>,
}

/// What a line that is no pair and no section is.
const EXPECTED: &str = "write `key = value`, or begin a remark with \"#\"";

/// Reads the text of `document`. What is none of this is recorded as a mistake.
pub(super) fn read(document: &Document, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut current: Option<usize> = None;
    let mut start = text.len() - text.trim_start_matches('\u{feff}').len();
    for (index, raw) in text[start..].split_inclusive('\n').enumerate() {
        let (at, line) = (start, index + 1);
        start += raw.len();
        let content = raw.trim_end_matches(['\n', '\r']);
        if is_remark(content) {
            continue;
        }
        let whole = at..at + content.len();
        if content.starts_with(char::is_whitespace) {
            let last = current.and_then(|at| blocks.get_mut(at)?.pairs.last_mut());
            match last {
                Some(pair) => go_on(pair, content, at),
                None => document.spot(whole).mistake(
                    complaint("there is no value above that this indented line could go on with")
                        .help(EXPECTED),
                ),
            }
        } else if let Some(header) = content.strip_prefix('[') {
            let Some(end) = header.find(']').filter(|end| *end > 0) else {
                document
                    .spot(whole)
                    .mistake(complaint("this section's name does not end").help("write \"[TDB]\""));
                current = None;
                continue;
            };
            let name = &header[..end];
            current = Some(
                blocks
                    .iter()
                    .position(|block| block.name == name)
                    .unwrap_or_else(|| {
                        blocks.push(Block {
                            name: name.to_owned(),
                            name_span: at + 1..at + 1 + end,
                            line,
                            pairs: Vec::new(),
                        });
                        blocks.len() - 1
                    }),
            );
        } else if let Some(pair) = read_pair(content, at, line) {
            match current.and_then(|at| blocks.get_mut(at)) {
                Some(block) => block.pairs.push(pair),
                None => document.spot(pair.key_span).mistake(
                    complaint("this key stands before any section").help("write \"[CATALOG]\" above it"),
                ),
            }
        } else {
            // A password that was broken in two, perhaps.
            document.hide_span(whole.clone());
            document
                .spot(whole)
                .mistake(complaint("this line has no \"=\"").help(EXPECTED));
        }
    }
    blocks
}

fn is_remark(content: &str) -> bool {
    let text = content.trim();
    let is_rem = text
        .get(..3)
        .is_some_and(|word| word.eq_ignore_ascii_case("rem") && text[3..].starts_with([' ', '\t']));
    text.is_empty()
        || text.starts_with(['#', ';'])
        || text.starts_with("--")
        || (is_rem && !text.contains('='))
}

fn read_pair(content: &str, at: usize, line: usize) -> Option<Pair> {
    let separator = content.find(['=', ':'])?;
    let key = content[..separator].trim_end();
    if key.is_empty() {
        return None;
    }
    let (value, span, remark) = cut(&content[separator + 1..], at + separator + 1);
    Some(Pair {
        key: key.to_lowercase(),
        key_span: at..at + key.len(),
        value,
        value_span: span,
        line,
        remark,
    })
}

fn go_on(pair: &mut Pair, content: &str, at: usize) {
    let (value, span, remark) = cut(content, at);
    pair.value.push('\n');
    pair.value.push_str(&value);
    pair.value_span.end = span.end;
    pair.remark = pair.remark.take().or(remark);
}

/// The value in `text`, its place, and the remark after it: ` --` begins one, and so does ` ;` to ConfigParser.
fn cut(text: &str, at: usize) -> (String, Range<usize>, Option<Range<usize>>) {
    let begins_remark = |from: usize, rest: &str| {
        text[..from].ends_with(char::is_whitespace) && (rest.starts_with("--") || rest.starts_with(';'))
    };
    let end = text
        .char_indices()
        .map(|(from, _)| from)
        // `key=--x` is a value.
        .find(|from| *from > 0 && begins_remark(*from, &text[*from..]));
    let value = text[..end.unwrap_or(text.len())].trim();
    let from = at + (text.len() - text.trim_start().len()).min(end.unwrap_or(text.len()));
    let span = from..from + value.len();
    // So ConfigParser writes that there is none.
    let value = if value == "\"\"" { "" } else { value };
    (value.to_owned(), span, end.map(|end| at + end..at + text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let document = Document::new("pybackup.conf".into(), text.into());
        let blocks = read(&document, text);
        let found = document.into_found();
        assert!(found.is_empty(), "{found:?}");
        let pair = |block: &Block, pair: &Pair| (format!("{}.{}", block.name, pair.key), pair.value.clone());
        blocks
            .iter()
            .flat_map(|block| block.pairs.iter().map(move |one| pair(block, one)))
            .collect()
    }

    #[test]
    fn values_and_remarks_are_told_apart() {
        for (line, value) in [
            (
                "db_list=test,union_log_ad_% --指定需要备份的数据库",
                "test,union_log_ad_%",
            ),
            ("db_consistency=True  --0.7.0新增option", "True"),
            ("address=                  --使用的网卡", ""),
            ("dest=a@b/c-d--e", "a@b/c-d--e"),
            ("k = a;b", "a;b"),
            ("k = a ;b", "a"),
            ("k = a #b", "a #b"),
            ("k: a=b", "a=b"),
            ("K = \"\"", ""),
            ("k =", ""),
            ("k = --x", ""),
            ("k =--x", "--x"),
            ("k = \"a b\"", "\"a b\""),
        ] {
            let found = pairs(&format!("[s]   --x\n{line}\n"));
            assert_eq!(found[0].1, value, "{line}");
        }
    }

    #[test]
    fn what_configparser_takes_is_taken() {
        let text = "\u{feff}# x\n[A] y\r\na = 1\r\n; z\nrem w\n\n  b\n[B]\nc:2\n[A]\nd=3\n";
        let expected = [("A.a", "1\nb"), ("A.d", "3"), ("B.c", "2")];
        let found = pairs(text);
        let found: Vec<_> = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_pair_is_named_with_its_place() {
        let text = "k = 1\n[A\n[B]\nnothing\n";
        let document = Document::new("pybackup.conf".into(), text.into());
        read(&document, text);
        let found = document.into_found();
        let lines: Vec<_> = found
            .iter()
            .map(|mistake| (mistake.line, mistake.message.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (1, "this key stands before any section"),
                (2, "this section's name does not end"),
                (4, "this line has no \"=\""),
            ]
        );
    }
}
