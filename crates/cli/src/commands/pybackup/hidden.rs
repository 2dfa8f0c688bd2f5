//! A password on the command line, moved out of sight.
//!
//! Every user of the machine can read a process's arguments, and nothing can take them back but a new program in its
//! place. So this one replaces itself at once: the same arguments with the passwords masked, and the passwords
//! themselves through a pipe on standard input, which nothing here reads otherwise. So does a word that mydumper has no
//! option for: it may be a password, too.

use mykeeper_config::pybackup::{PASSWORD_SHOWN, Sight, is_password_word, sights};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The first argument of the program that took its own place.
const TOLD: &str = "--passwords-on-stdin";
/// A pipe takes so much, in bytes, before anybody reads it.
const MAX_BYTES: usize = 32 << 10;

/// The commands that are pybackup's alone: a link of any name that is given one is meant as pybackup.
const COMMANDS: [&str; 4] = ["mydumper", "only-rsync", "mark-del", "validate-backup"];

/// Where the words of pybackup's begin among the arguments, if they do: after the link's name, or after `pybackup`.
pub(crate) fn words_begin(arguments: &[OsString]) -> Option<usize> {
    let name = arguments
        .first()
        .map(std::path::Path::new)
        .and_then(std::path::Path::file_name);
    if name.is_some_and(|name| name == "pybackup" || name == "pybackup.py") {
        return Some(1);
    }
    if arguments
        .get(1)
        .is_some_and(|first| COMMANDS.iter().any(|command| first == command))
    {
        return Some(1);
    }
    let mut at = 1;
    // What may stand before a command of mykeeper's.
    while let Some(argument) = arguments.get(at) {
        if argument == "pybackup" {
            return Some(at + 1);
        }
        at += match argument.to_str() {
            Some("--config") => 2,
            Some("--json") => 1,
            Some(text) if text.starts_with("--config=") => 1,
            _ => return None,
        };
    }
    None
}

/// The arguments as they were given, passwords and all; the second says whether there is a `password=x`. Where they can
/// be seen, this does not return: the program begins anew without them.
///
/// # Errors
/// A sentence: the passwords cannot be handed over.
pub(crate) fn arguments_out_of_sight(arguments: Vec<OsString>) -> Result<(Vec<OsString>, bool), String> {
    let mut arguments = arguments;
    if arguments.get(1).is_some_and(|first| first == TOLD) {
        arguments.remove(1);
        let told =
            read_told().map_err(|error| format!("cannot read the passwords of the command line: {error}"))?;
        put_back(&mut arguments, told);
        let mut words = arguments.iter().skip(words_begin(&arguments).unwrap_or(0));
        let is_password = words.any(|word| is_password_word(&word.to_string_lossy()));
        return Ok((arguments, is_password));
    }
    let Some(begin) = words_begin(&arguments) else {
        return Ok((arguments, false));
    };
    let (shown, secrets) = part(&arguments, begin);
    if secrets.is_empty() {
        return Ok((arguments, false));
    }
    let cause = begin_anew(&shown, &secrets.join(&0));
    Err(format!(
        "cannot move the password out of the sight of other users: {cause}; write it into pybackup.conf"
    ))
}

/// What others may see of each argument, whose words begin there.
fn what_is_seen(arguments: &[OsString], begin: usize) -> Vec<Sight> {
    let texts: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    // What follows may be mydumper's; before it a conf may be named.
    let dump = texts.iter().skip(begin).position(|text| text == "mydumper");
    let dump = dump.map_or(texts.len(), |at| begin + at + 1);
    let before =
        texts
            .iter()
            .take(dump)
            .enumerate()
            .map(|(at, text)| match at >= begin && is_password_word(text) {
                true => Sight::Name,
                false => Sight::Whole,
            });
    let after = texts.get(dump..).unwrap_or_default();
    before.chain(sights(after)).collect()
}

/// Where the part of an argument begins that others may not see; `None` where they may see all.
fn hidden_from(argument: &[u8], sight: Sight) -> Option<usize> {
    let equals = argument.iter().position(|byte| *byte == b'=');
    match sight {
        Sight::Whole => None,
        Sight::Name => equals.map(|at| at + 1),
        Sight::Nothing => Some(0),
    }
}

/// The arguments as others may see them, and what they may not.
fn part(arguments: &[OsString], begin: usize) -> (Vec<OsString>, Vec<Vec<u8>>) {
    let mut secrets = Vec::new();
    let mut shown = Vec::new();
    for (argument, sight) in arguments.iter().zip(what_is_seen(arguments, begin)) {
        let bytes = argument.as_bytes();
        match hidden_from(bytes, sight) {
            Some(from) => {
                secrets.push(bytes[from..].to_vec());
                let masked = [&bytes[..from], PASSWORD_SHOWN.as_bytes()].concat();
                shown.push(OsString::from_vec(masked));
            }
            None => shown.push(argument.clone()),
        }
    }
    (shown, secrets)
}

fn begin_anew(shown: &[OsString], secrets: &[u8]) -> String {
    if secrets.len() > MAX_BYTES {
        return format!("it is longer than {MAX_BYTES} bytes");
    }
    let Some((name, rest)) = shown.split_first() else {
        return "this program has no name".to_owned();
    };
    let pipe = std::io::pipe().and_then(|(reader, mut writer)| writer.write_all(secrets).map(|()| reader));
    let reader = match pipe {
        Ok(reader) => reader,
        Err(error) => return error.to_string(),
    };
    // The name stays: it says how this was called, and `ps | grep pybackup` finds it.
    Command::new("/proc/self/exe")
        .arg0(name)
        .arg(TOLD)
        .args(rest)
        .stdin(reader)
        .exec()
        .to_string()
}

fn read_told() -> std::io::Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(MAX_BYTES + 1);
    std::io::stdin()
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
}

fn put_back(arguments: &mut [OsString], told: Vec<Vec<u8>>) {
    let Some(begin) = words_begin(arguments) else {
        return;
    };
    let seen = what_is_seen(arguments, begin);
    let mut told = told.into_iter();
    for (argument, sight) in arguments.iter_mut().zip(seen) {
        let bytes = argument.as_bytes();
        let Some(from) = hidden_from(bytes, sight) else {
            continue;
        };
        let Some(secret) = told.next() else { return };
        *argument = OsString::from_vec([&bytes[..from], &secret].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// Others see this of it, and the program itself all.
    fn assert_hidden(given: &[&str], seen: &[&str]) {
        let given = arguments(given);
        let (mut shown, secrets) = part(&given, words_begin(&given).unwrap());
        assert_eq!(shown, arguments(seen));
        put_back(&mut shown, secrets);
        assert_eq!(shown, given);
    }

    #[test]
    fn what_is_hidden_comes_back_as_it_was() {
        assert_hidden(
            &[
                "/x/pybackup.py",
                "mydumper",
                "password=a=b c",
                "compress",
                "pasword=",
                "ca=x",
            ],
            &[
                "/x/pybackup.py",
                "mydumper",
                "password=supersecrect",
                "compress",
                "pasword=supersecrect",
                "ca=x",
            ],
        );
        assert_hidden(
            &["pybackup", "rootpwd=a", "mark-del", "--backup-dir=/x", "dbpass=b"],
            &[
                "pybackup",
                "rootpwd=supersecrect",
                "mark-del",
                "--backup-dir=/x",
                "dbpass=supersecrect",
            ],
        );
        assert_hidden(
            &["pybackup", "mydumper", "compress=geheim", "compress=ZSTD"],
            &["pybackup", "mydumper", "compress=supersecrect", "compress=ZSTD"],
        );
    }

    #[test]
    fn what_may_be_a_password_is_hidden_whole() {
        assert_hidden(
            &[
                "pybackup",
                "--conf",
                "/x/p.conf",
                "mydumper",
                "password=",
                "geheim",
                "geh=eim",
                "-pgeheim",
                "threads=8",
                "supersecrect",
                "passwd=geheim",
            ],
            &[
                "pybackup",
                "--conf",
                "/x/p.conf",
                "mydumper",
                "password=supersecrect",
                "supersecrect",
                "supersecrect",
                "supersecrect",
                "threads=8",
                "supersecrect",
                "passwd=supersecrect",
            ],
        );
    }

    #[test]
    fn only_the_words_of_pybackup_are_looked_at() {
        for (words, begin) in [
            (&["/usr/bin/pybackup", "mydumper"][..], Some(1)),
            (&["mykeeper", "pybackup", "mydumper"], Some(2)),
            (
                &["mykeeper", "--config", "f", "--json", "pybackup", "mydumper"],
                Some(5),
            ),
            (&["mykeeper", "--config=f", "pybackup"], Some(3)),
            (&["/data/pb2.py", "mydumper", "password=x"], Some(1)),
            (&["/data/pb2.py", "mark-deleted"], None),
            (&["mykeeper", "run", "pybackup"], None),
            (&["mykeeper", "run-shim", "mydumper", "password=x"], None),
            (&["mykeeper"], None),
        ] {
            assert_eq!(words_begin(&arguments(words)), begin, "{words:?}");
        }
    }
}
