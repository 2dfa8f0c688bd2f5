//! `find` that removes, in the one form of which it is certain that the shell runs it and what it removes.

use super::super::word::{Word, is_place};
use super::{is_plain_rm, is_rm};

/// Tests that stand once, with one value.
const TESTS: [&str; 5] = ["-type", "-mtime", "-mmin", "-maxdepth", "-mindepth"];

/// `find FOLDER ... TEST ... ACTION`: the tests `[!] -name X`, `-type X`, `-mtime X`, `-mmin X`, `-maxdepth X`,
/// `-mindepth X`; the action, which is the end, `-delete`, `-exec rm -r {} \;` or `-exec rm -r {} +`.
pub(super) fn is_plain_find(words: &[Word]) -> bool {
    let texts: Vec<String> = words
        .iter()
        .skip(1)
        .map(|word| word.text().unwrap_or_default())
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let folders = texts.iter().take_while(|text| is_place(text)).count();
    folders > 0 && is_plain_rest(&texts[folders..])
}

fn is_plain_rest(mut words: &[&str]) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    loop {
        words = match words {
            ["!", "-name", _, rest @ ..] | ["-name", _, rest @ ..] => rest,
            [test, _, rest @ ..] if TESTS.contains(test) && !seen.contains(test) => {
                seen.push(test);
                rest
            }
            ["-delete"] => return true,
            ["-exec", rm, options @ .., "{}", ";" | "+"] => {
                let found = [&[*rm][..], options, &["{}"]].concat();
                let found: Vec<Word> = found.into_iter().map(Word::of).collect();
                return is_rm(rm) && options.iter().all(|word| word.starts_with('-')) && is_plain_rm(&found);
            }
            _ => return false,
        };
    }
}
