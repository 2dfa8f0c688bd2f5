//! Calls of pybackup's.

use super::super::word::Word;

/// What pybackup is told first.
const SUBCOMMANDS: [&str; 7] = [
    "mydumper",
    "only-rsync",
    "mark-del",
    "validate-backup",
    "-h",
    "--help",
    "--version",
];

/// `python /x/pybackup.py mydumper ...`
pub(super) fn calls_pybackup(words: &[Word]) -> bool {
    let texts: Vec<String> = words
        .iter()
        .take(3)
        .map(|word| word.text().unwrap_or_default())
        .collect();
    let name = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let is_python = texts.first().is_some_and(|first| {
        let first = name(first);
        first.strip_prefix("python").is_some_and(|rest| {
            rest.bytes()
                .all(|letter| letter.is_ascii_digit() || letter == b'.')
        })
    });
    let mut texts = texts.iter().skip(usize::from(is_python));
    let is_it = texts
        .next()
        .is_some_and(|text| matches!(name(text).as_str(), "pybackup" | "pybackup.py"));
    let Some(told) = texts
        .next()
        .filter(|told| is_it && SUBCOMMANDS.contains(&told.as_str()))
    else {
        return false;
    };
    let at = words
        .iter()
        .position(|word| word.text().as_deref() == Some("mark-del"));
    let mut marked = words.iter().skip(at.map_or(0, |at| at + 1)).map(Word::shown);
    match (told.as_str(), marked.next().as_deref()) {
        // One folder, and nothing that may be meant for another command.
        ("mark-del", Some("--backup-dir")) => marked.count() == 1,
        ("mark-del", Some(folder)) => folder.starts_with("--backup-dir=") && marked.count() == 0,
        ("mark-del", None) => false,
        _ => true,
    }
}
