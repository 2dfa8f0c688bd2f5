//! What words of a command say by themselves.

use super::super::unknown::without_conf;
use super::super::word::{Piece, Word};
use super::programs::SHELLS;
use super::wrappers::{Runs, read_wrapper};
use std::path::Path;

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

/// `set -u`, `set -o nounset`, `set +u`: whether what is not set ends the shell from then on.
pub(super) fn sets_nounset(words: &[Word]) -> Option<bool> {
    let texts: Vec<String> = words.iter().skip(1).map(Word::shown).collect();
    let mut told = texts.iter().filter_map(|text| match text.as_str() {
        "nounset" => Some(!texts.iter().any(|text| text == "+o")),
        text if text.starts_with('-') && !text.starts_with("--") && text.contains('u') => Some(true),
        text if text.starts_with('+') && text.contains('u') => Some(false),
        _ => None,
    });
    told.next_back()
}

/// `eval WORDS`: whether that may end the script; what is not known may do anything.
pub(super) fn may_end(words: &[Word]) -> bool {
    let texts: Option<Vec<String>> = words[1..].iter().map(Word::text).collect();
    texts.is_none_or(|texts| {
        let text = texts.join(" ");
        let mut words = text.split(|one: char| !one.is_ascii_alphanumeric());
        words.any(|word| {
            [
                "exit", "exec", "return", "kill", "break", "continue", "set", "eval",
            ]
            .contains(&word)
        }) || text.contains(['$', '`', '\\'])
    })
}

/// Whether another program takes the shell's place: not by `exec >log`, nor by `exec {fd}>log`.
pub(super) fn replaces(words: &[Word]) -> bool {
    let names_number = |word: &Word| {
        let shown = word.shown();
        let name = shown.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        name.is_some_and(|name| name.chars().all(|one| one == '_' || one.is_ascii_alphanumeric()))
    };
    words[1..].iter().any(|word| !names_number(word))
}

/// `pkill -f x.sh`: whether that ends the script that it stands in, too.
pub(super) fn names_script(words: &[Word], script: &Path) -> bool {
    let name = script.file_name().unwrap_or_default().to_string_lossy();
    let is_named = |word: &Word| {
        let shown = word.shown();
        !shown.starts_with('-') && (shown.starts_with('$') || shown.contains(name.as_ref()))
    };
    words[1..].iter().any(is_named)
}

/// `flock -n 9`, `flock -n $FD`, which runs nothing.
pub(super) fn locks_alone(words: &[Word]) -> bool {
    let last = words.last().map(Word::shown).unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    is_number || last.starts_with('$') && read_wrapper(words).runs == Runs::Other
}

/// `command WORDS`, `builtin WORDS`: the words, which no function is called by.
pub(super) fn behind_command(words: &[Word]) -> Option<&[Word]> {
    let (first, mut rest) = words.split_first()?;
    first
        .text()
        .filter(|name| matches!(name.as_str(), "command" | "builtin"))?;
    while let Some((option, others)) = rest.split_first()
        && matches!(option.text().as_deref(), Some("-p" | "--"))
    {
        rest = others;
    }
    let (next, _) = rest.split_first()?;
    if next.shown().starts_with('-') {
        return None;
    }
    let is_again = matches!(next.text().as_deref(), Some("command" | "builtin"));
    is_again.then(|| behind_command(rest)).flatten().or(Some(rest))
}

/// `kill $$`
pub(super) fn ends_itself(words: &[Word]) -> bool {
    let texts: Vec<String> = words.iter().skip(1).map(Word::shown).collect();
    let asks = texts
        .iter()
        .any(|text| matches!(text.as_str(), "-0" | "-l" | "-L"));
    let is_itself = |text: &String| matches!(text.as_str(), "$$" | "-$$" | "$BASHPID" | "$PPID" | "0" | "-1");
    // The first may be a signal's number.
    let operands = texts.iter().skip(usize::from(
        texts
            .first()
            .is_some_and(|text| text.starts_with('-') && text != "-$$"),
    ));
    !asks && operands.into_iter().any(is_itself)
}

/// Whether a file is a shell's script, by its name or its first line.
pub(super) fn is_shell_script(path: &Path, text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    path.extension().is_some_and(|end| end == "sh") || first.starts_with("#!") && first.contains("sh")
}

/// What pybackup is called for, and the words of that: a conf may be named before it.
pub(super) fn asked_of_pybackup(words: &[Word]) -> (Option<String>, Vec<Word>) {
    let mut rest = words.iter().skip(1).cloned().peekable();
    let mut conf = Vec::new();
    while let Some(named) = rest.next_if(|word| word.shown().starts_with("--conf")) {
        let is_whole = named.shown().starts_with("--conf=");
        conf.push(named);
        conf.extend(rest.next_if(|_| !is_whole));
    }
    let asked = rest.next().and_then(|word| word.text());
    (asked, rest.chain(conf).collect())
}

/// `--backup-dir=X`, `--backup-dir X`, and what a shell makes of several names.
pub(super) fn marked(words: &[Word]) -> Vec<Word> {
    let mut folders = Vec::new();
    for word in without_conf(words).0 {
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
