//! A password on the command line, moved out of sight.
//!
//! Every user of the machine can read a process's arguments, and nothing can take them back but a new program in its
//! place. So this one replaces itself at once: the same arguments with the passwords masked, and the passwords
//! themselves through a pipe on standard input, which nothing here reads otherwise.

use mykeeper_config::pybackup::{PASSWORD_SHOWN, is_password_word};
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

/// The arguments as they were given, passwords and all; the second says whether there are any. Where they can be seen,
/// this does not return: the program begins anew without them.
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
        return Ok((arguments, true));
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

/// The arguments as others may see them, and what they may not.
fn part(arguments: &[OsString], begin: usize) -> (Vec<OsString>, Vec<Vec<u8>>) {
    let mut secrets = Vec::new();
    let mut shown = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        let bytes = argument.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=');
        match equals.filter(|_| at >= begin && is_password_word(&argument.to_string_lossy())) {
            Some(equals) => {
                secrets.push(bytes[equals + 1..].to_vec());
                let masked = [&bytes[..=equals], PASSWORD_SHOWN.as_bytes()].concat();
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
    let words = arguments.iter_mut().skip(begin);
    let masked = words.filter(|argument| is_password_word(&argument.to_string_lossy()));
    for (argument, secret) in masked.zip(told) {
        let bytes = argument.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
        let name = bytes[..equals].to_vec();
        *argument = OsString::from_vec([name, b"=".to_vec(), secret].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_is_hidden_comes_back_as_it_was() {
        let given = arguments(&[
            "/x/pybackup.py",
            "mydumper",
            "password=a=b c",
            "compress",
            "pasword=",
            "ca=x",
        ]);
        let (mut shown, secrets) = part(&given, words_begin(&given).unwrap());
        assert_eq!(
            shown,
            arguments(&[
                "/x/pybackup.py",
                "mydumper",
                "password=supersecrect",
                "compress",
                "pasword=supersecrect",
                "ca=x"
            ])
        );
        put_back(&mut shown, secrets);
        assert_eq!(shown, given);
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
