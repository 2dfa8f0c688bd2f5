//! No password is told, wherever somebody has written it.

use super::PasswordFile;
use crate::pybackup::{PASSWORD_SHOWN, is_secret_name};
use secrecy::ExposeSecret;

/// Takes from these sentences the passwords that are known, and what stands behind the name of one.
pub(super) fn hide<'t>(texts: impl Iterator<Item = &'t mut String>, passwords: &[PasswordFile]) {
    for text in texts {
        for secret in passwords.iter().map(|file| file.password.expose_secret()) {
            if secret.chars().count() >= 4 && text.contains(secret) {
                *text = text.replace(secret, PASSWORD_SHOWN);
            }
        }
        *text = without_values(text);
    }
}

/// The same for the comments of a TOML file: what is in force there is read by others.
pub(super) fn in_comments(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_start().starts_with('#') {
        true => without_values(line),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A text without what follows the names of passwords and `=`, to the end of the word or of the quotes that it stands in.
fn without_values(text: &str) -> String {
    let is_of_name = |one: char| one.is_alphanumeric() || matches!(one, '_' | '-');
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, value) = (&rest[..at], &rest[at + 1..]);
        let name = before.rsplit(|one| !is_of_name(one)).next().unwrap_or_default();
        shown.push_str(&rest[..=at]);
        rest = value;
        // An example has dots in its place.
        if !is_secret_name(name) || value.starts_with("...") {
            continue;
        }
        let (from, end) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => (1, value[1..].find(quote).map_or(value.len(), |at| at + 1)),
            _ => {
                let word = value.split([' ', '\t', '"', '\'']).next().unwrap_or_default();
                (0, word.trim_end_matches([',', ';', ':', ')']).len())
            }
        };
        if end > from {
            shown.push_str(&value[..from]);
            shown.push_str(PASSWORD_SHOWN);
            rest = &value[end..];
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_name_of_a_password_is_not_told() {
        for (text, told) in [
            (
                "this marks password=Geheim, and which sets",
                "this marks password=supersecrect, and which sets",
            ),
            ("\"x MYPWD=Ge=heim\" is none", "\"x MYPWD=supersecrect\" is none"),
            ("a=b rootpass='Ge heim' c", "a=b rootpass='supersecrect' c"),
            (
                "write password_file=/x, or password=...",
                "write password_file=/x, or password=...",
            ),
            ("password=", "password="),
        ] {
            assert_eq!(without_values(text), told);
        }
    }
}
