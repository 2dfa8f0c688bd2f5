//! Words of a call that are not known before a script runs, and those that name another conf.

use super::script::Found;
use super::word::{Piece, Word};
use super::{ImportFrom, Remark};
use crate::pybackup::CONF_NAME;
use std::path::Path;

/// The words of a call but `--conf FILE`, and the file where there is one: `None` within for one that cannot be told.
pub(super) fn without_conf(words: &[Word]) -> (Vec<&Word>, Option<Option<String>>) {
    let (mut rest, mut named) = (Vec::new(), None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word.text().as_deref() == Some("--conf") {
            named = Some(words.next().and_then(Word::text));
        } else if let Some(file) = word.after("--conf=") {
            named = Some(file.text());
        } else {
            rest.push(word);
        }
    }
    (rest, named)
}

/// What is said of a call that names another conf than the one that is read.
pub(super) const CONF_OF_ITS_OWN: &str = "this call names a conf of its own (--conf): no job is written for it; run \
                                          mykeeper import with that conf, and another --out";

/// Whether a call names a conf that is not this one, as far as can be told.
pub(super) fn names_other_conf(words: &[Word], conf: &Path) -> bool {
    let (_, named) = without_conf(words);
    named.is_some_and(|named| named.as_deref() != conf.to_str())
}

/// A word's name alone: `--password=x$y` holds half a password.
pub(super) fn unknown_word(word: &Word) -> String {
    let (name, rest) = match word.0.first() {
        Some(Piece::Text(text)) => match text.split_once('=') {
            Some((name, _)) => (name.to_owned(), "=..."),
            None => ("a word of this call".to_owned(), ""),
        },
        _ => (word.shown(), ""),
    };
    format!("{name}{rest} is not known before the script runs")
}

/// Words without which a call is another: what it backs up, and of which server.
const SAY_WHAT: [&str; 7] = [
    "database",
    "regex",
    "tables-list",
    "host",
    "port",
    "socket",
    "user",
];

/// Whether a word that is not known may be one of these.
pub(super) fn says_what(word: &Word) -> bool {
    match word.0.first() {
        Some(Piece::Text(text)) => match text.split_once('=') {
            Some((name, _)) => SAY_WHAT.contains(&name),
            None => true,
        },
        _ => true,
    }
}

/// A conf beside another pybackup is not the one that is read. A gap where it is known to say something else: then it is
/// not translated.
pub(super) fn other_conf(from: &ImportFrom<'_>, found: &Found) -> Option<Remark> {
    let (program, conf) = (found.program.as_ref()?, &from.conf.file);
    let beside = program.parent()?;
    if !conf.is_absolute() || conf.parent() == Some(beside) {
        return None;
    }
    let text = |path: &Path| (from.files)(path).map(|file| file.text);
    let other = beside.join(CONF_NAME);
    let Some(other_text) = text(&other) else {
        let text = format!(
            "{} reads the conf beside it, which may be another than {}; this is translated with the latter",
            program.display(),
            conf.display()
        );
        return Some(Remark::note(found.place.clone(), text));
    };
    let differs = text(conf).is_none_or(|text| text != other_text);
    differs.then(|| {
        let text = format!(
            "{} reads {}, which says something else than {}: no job is written for this; run mykeeper import with that \
             conf, and another --out",
            program.display(),
            other.display(),
            conf.display()
        );
        Remark::gap(found.place.clone(), text)
    })
}
