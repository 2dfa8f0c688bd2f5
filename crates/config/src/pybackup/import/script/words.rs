//! What words of a command say by themselves.

use super::super::word::{Piece, Word};
use super::programs::SHELLS;

/// Whether `rm` among these words removes folders with what is in them.
pub(in super::super) fn removes_folders(words: &[Word]) -> bool {
    let Some(at) = words.iter().position(|word| base(word) == "rm") else {
        return false;
    };
    words[at..].iter().filter_map(Word::text).any(|option| {
        option == "--recursive"
            || option.starts_with('-') && !option.starts_with("--") && option.contains(['r', 'R'])
    })
}

/// `bash -n`, which looks for mistakes in a script and runs nothing of it; `bash -s`, which runs something else.
pub(super) fn reads_alone(words: &[Word]) -> bool {
    let is_shell = |word: &Word| SHELLS.contains(&base(word).as_str());
    let Some(at) = words.iter().rposition(is_shell) else {
        return false;
    };
    let mut options = words[at + 1..].iter().map(Word::shown);
    options.any(|option| {
        let is_cluster = option.starts_with(['-', '+']) && !option.starts_with("--");
        is_cluster && option.contains(['n', 's']) || option == "noexec"
    })
}

/// `-e`, `-o errexit`: whether a command that fails ends the script from here on; `None` where nothing is said of it.
pub(super) fn sets_strict(words: &[Word]) -> Option<bool> {
    let texts: Vec<String> = words.iter().skip(1).map(Word::shown).collect();
    let mut told = texts.iter().filter_map(|text| match text.as_str() {
        "errexit" => Some(!texts.iter().any(|text| text == "+o")),
        text if text.starts_with('-') && !text.starts_with("--") && text.contains('e') => Some(true),
        text if text.starts_with('+') && text.contains('e') => Some(false),
        _ => None,
    });
    told.next_back()
}

/// `flock -n 9`, which runs nothing.
pub(super) fn locks_alone(words: &[Word]) -> bool {
    let last = words.last().and_then(Word::text).unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

/// `--backup-dir=X`, `--backup-dir X`, and what a shell makes of several names.
pub(super) fn marked(words: &[Word]) -> Vec<Word> {
    let mut folders = Vec::new();
    for word in words {
        if let Some(folder) = word.after("--backup-dir=") {
            folders.push(folder);
        } else if !word.shown().starts_with('-') {
            folders.push(word.clone());
        }
    }
    folders
}

/// A program's name.
pub(super) fn base(word: &Word) -> String {
    let shown = word.shown();
    shown.rsplit('/').next().unwrap_or_default().to_owned()
}

/// What is called, where it is no script that can be read: what comes after a variable may be more than its name.
pub(super) fn unknown_program(word: &Word) -> String {
    match word.0.first() {
        Some(Piece::Unknown(shown)) => shown.clone(),
        Some(Piece::Text(text)) => text.clone(),
        _ => String::new(),
    }
}
