//! Which words after `pybackup mydumper` others may see.
//!
//! Any of them may be a password, or half of one: `password geheim`, `password= geheim`, `-p geheim`, and
//! `password=$PASSWORD` without quotes where there is a space in it. So what no option is like is never shown.

use super::is_password_word;
use crate::mask::is_password_key;
use crate::mydumper::{is_like_option, is_method, is_option};

/// What of a word may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    Whole,
    /// What stands before the `=`.
    Name,
    /// Nothing.
    Nothing,
}

/// pybackup's own, and the word that asks for mydumper's help.
const FLAGS: [&str; 5] = ["--no-rsync", "--no-history", "--only-backup", "--help", "help"];

/// What of each word may be seen; they are those after `mydumper`, in their order. With a text that no option is like in
/// place of what may not be seen, the answer is the same.
pub fn sights<T: AsRef<str>>(words: &[T]) -> Vec<Sight> {
    let mut is_awaited = false;
    let sight = |word: &T| {
        let word = word.as_ref();
        let sight = sight(word, is_awaited);
        is_awaited = awaits_password(word);
        sight
    };
    words.iter().map(sight).collect()
}

fn sight(word: &str, is_awaited: bool) -> Sight {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let bare = name.strip_prefix("--").unwrap_or(name);
    if FLAGS.contains(&name) || name.len() == 2 && name.starts_with('-') {
        return match value {
            Some(_) => Sight::Name,
            None => Sight::Whole,
        };
    }
    if is_awaited && !is_option(bare) {
        return Sight::Nothing;
    }
    // `password-x` is like `password`, and hardly a slip of the pen.
    let holds_more = bare.contains("password") && !["password", "ask-password"].contains(&bare);
    if bare.starts_with('-') || holds_more || !is_like_option(bare) {
        return Sight::Nothing;
    }
    // Of the options that may do without a value this one is the most usual: a password slips in behind it.
    let is_no_method = bare == "compress" && value.is_some_and(|value| !is_method(value));
    match is_password_word(word) || is_no_method {
        true => Sight::Name,
        false => Sight::Whole,
    }
}

/// Whether the word after this one is hardly anything but a password.
fn awaits_password(word: &str) -> bool {
    match word.split_once('=') {
        Some((name, value)) => value.is_empty() && is_password_key(name.trim_start_matches('-')),
        None => word == "-p" || is_password_key(word.trim_start_matches('-')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pybackup::PASSWORD_SHOWN;

    #[test]
    fn what_no_option_is_like_is_not_shown() {
        use Sight::{Name, Nothing, Whole};
        for (words, seen) in [
            ("compress threads=8 triggers help --no-rsync", &[Whole; 5][..]),
            ("thread=8 compres", &[Whole, Whole]),
            ("password=x pasword=x", &[Name, Name]),
            ("password= geheim", &[Name, Nothing]),
            ("password= threads=8", &[Name, Whole]),
            ("password= thread=8", &[Name, Nothing]),
            ("password geheim", &[Whole, Nothing]),
            ("-p geheim -pgeheim -v", &[Whole, Nothing, Nothing, Whole]),
            ("geheim geh=eim", &[Nothing, Nothing]),
            ("--geheim --password=x", &[Nothing, Name]),
            ("compress=geheim compress=zstd compress=", &[Name, Whole, Name]),
            ("password-x", &[Nothing]),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            assert_eq!(sights(&words), seen, "{words:?}");
            let masked: Vec<String> = words
                .iter()
                .zip(seen)
                .map(|(word, sight)| match sight {
                    Whole => (*word).to_owned(),
                    Name => format!("{}={PASSWORD_SHOWN}", word.split('=').next().unwrap()),
                    Nothing => PASSWORD_SHOWN.to_owned(),
                })
                .collect();
            assert_eq!(sights(&masked), seen, "{masked:?}");
        }
    }
}
