//! Commands in messages, so that they can be pasted.

use clap::CommandFactory;
use mykeeper_tools::rsync::shell_word;
use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

/// What this process was told with `--config`, as words of a shell, where that is not the default.
static OPTION: OnceLock<Option<String>> = OnceLock::new();
/// How a command begins in a message.
const PROGRAM: &str = "mykeeper ";

/// From now on the commands in messages name this configuration, unless it is the default.
pub(crate) fn printed_for(config: &Path) {
    let default = crate::args::Cli::command()
        .get_arguments()
        .find(|argument| argument.get_id() == "config")
        .is_some_and(|argument| {
            argument
                .get_default_values()
                .iter()
                .any(|value| Path::new(value) == config)
        });
    let option = (!default).then(|| format!("--config {} ", shell_word(&config.display().to_string())));
    OPTION.get_or_init(|| option);
}

/// The text with its commands as they work for whoever reads it.
pub(super) fn pasteable(text: &str) -> Cow<'_, str> {
    match OPTION.get() {
        Some(Some(option)) if text.contains(PROGRAM) => with_option(text, option).into(),
        _ => text.into(),
    }
}

fn with_option(text: &str, option: &str) -> String {
    let mut told = String::with_capacity(text.len() + option.len());
    let mut rest = text;
    while let Some(at) = rest.find(PROGRAM) {
        let (before, after) = rest.split_at(at + PROGRAM.len());
        told.push_str(before);
        let before = told.strip_suffix(PROGRAM).unwrap_or_default();
        if is_beginning(before) && is_command(after) && !is_for_another(before, after) {
            told.push_str(option);
        }
        rest = after;
    }
    told.push_str(rest);
    told
}

/// Whether what follows may be a command and no part of a sentence.
fn is_beginning(before: &str) -> bool {
    let last = before.trim_end_matches(' ').chars().next_back();
    last.is_none_or(|last| matches!(last, '"' | '\'' | '`' | '(' | ':' | ';' | '&' | '|' | '\n'))
}

/// Whether it is said to be run on another machine, whose configuration lies elsewhere: `"mykeeper ..." on vault1 tells`.
fn is_for_another(before: &str, after: &str) -> bool {
    let behind = after.split_once('"').map(|(_, behind)| behind);
    before.ends_with('"') && behind.is_some_and(|behind| behind.starts_with(" on "))
}

fn is_command(after: &str) -> bool {
    let end = after.find(|c: char| !c.is_ascii_lowercase() && c != '-');
    let word = &after[..end.unwrap_or(after.len())];
    crate::args::Cli::command()
        .get_subcommands()
        .any(|command| command.get_name() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_the_configuration_that_it_is_told_of_and_a_sentence_does_not() {
        let told = |text: &str| with_option(text, "--config '/etc/a b' ");
        for command in [
            "\"mykeeper verify --bk-id x\" tells",
            "look again: mykeeper verify --bk-id x",
            "rsync a b && mykeeper paths add",
            "(mykeeper show x)",
            "mykeeper run nightly",
        ] {
            let expected = command.replace("mykeeper ", "mykeeper --config '/etc/a b' ");
            assert_eq!(told(command), expected);
        }
        for sentence in [
            "the user that mykeeper runs as",
            "no mykeeper daemon lives",
            "\"mykeeper --config x check\"",
            "mykeeper restores a set",
            "\"mykeeper verify --bk-id x\" on vault1 tells",
        ] {
            assert_eq!(told(sentence), sentence);
        }
    }
}
