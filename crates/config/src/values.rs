//! Values as a person writes them: texts, numbers, durations, sizes, zones, paths, choices.
//!
//! Each reader answers `None` after it has recorded what is wrong, so that the caller goes on with a default.

use crate::document::complaint;
use crate::nearest::nearest;
use crate::section::Entry;
use bytesize::ByteSize;
use chrono_tz::{TZ_VARIANTS, Tz};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use toml::de::DeValue;

/// Longer ones are slips of the pen, and would overflow instants.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

const DURATION_HELP: &str =
    "write a number and a unit in quotes: \"90s\", \"30m\", \"6h\", \"31d\" or \"1h 30m\"";
const SIZE_HELP: &str = "write a number and a unit in quotes: \"512 KiB\", \"50 MiB\" or \"1 GiB\"";
const SIZE_ALL_OR_OFF_HELP: &str = "write a size with its unit in quotes: \"64 MiB\"; or \"all\", or \"off\"";
const SIZE_OR_OFF_HELP: &str =
    "write a number and a unit in quotes: \"512 KiB\", \"50 MiB\" or \"1 GiB\"; or \"off\"";

impl<'d> Entry<'d> {
    /// Records that the value is of another type than `expected`.
    pub(crate) fn wrong_type(&self, expected: &str) {
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.spot
            .mistake(complaint(format!("{} is {found}", self.what())).help(format!("write {expected}")));
    }

    /// What it is called in messages.
    fn what(&self) -> String {
        if self.is_item {
            format!("an item of `{}`", self.key)
        } else {
            format!("`{}`", self.key)
        }
    }

    /// A text, whatever it holds.
    pub(crate) fn raw_text(&self, expected: &str) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong_type(expected);
                None
            }
        }
    }

    /// A text with something in it and no control characters.
    pub(crate) fn text(&self) -> Option<&'d str> {
        self.text_like("a text in quotes")
    }

    fn text_like(&self, expected: &str) -> Option<&'d str> {
        let text = self.raw_text(expected)?;
        if text.trim().is_empty() {
            self.spot
                .mistake(complaint(format!("{} is empty", self.what())).help(format!("write {expected}")));
            return None;
        }
        if let Some(bad) = text.chars().find(|c| c.is_control()) {
            self.spot
                .mistake(format!("{} holds the control character {bad:?}", self.what()));
            return None;
        }
        Some(text)
    }

    /// A text of at most `longest` characters: what a column of the catalog holds.
    pub(crate) fn short_text(&self, longest: usize) -> Option<&'d str> {
        let text = self.text()?;
        let length = text.chars().count();
        if length > longest {
            self.spot.mistake(format!(
                "{} has {length} characters; the catalog holds {longest}",
                self.what()
            ));
            return None;
        }
        Some(text)
    }

    /// A text that something else reads, which says after a semicolon what to write.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self) -> Option<T> {
        match self.text()?.parse::<T>() {
            Ok(value) => Some(value),
            Err(error) => {
                let said = error.to_string();
                // What is quoted may hold one as well.
                let parts = said.rsplit_once("; ").filter(|(_, help)| !help.contains('"'));
                self.spot.mistake(match parts {
                    Some((message, help)) => complaint(message).help(help),
                    None => complaint(said),
                });
                None
            }
        }
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn whole_number(&self, least: u64, most: u64) -> Option<u64> {
        let expected = format!("a whole number from {least} to {most}, without quotes");
        let DeValue::Integer(written) = self.value else {
            self.wrong_type(&expected);
            return None;
        };
        let number = i128::from_str_radix(written.as_str(), written.radix()).ok();
        match number.and_then(|number| u64::try_from(number).ok()) {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.spot.mistake(
                    complaint(format!("{} cannot be {written}", self.what()))
                        .help(format!("write {expected}")),
                );
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn yes_or_no(&self) -> Option<bool> {
        if let DeValue::Boolean(value) = self.value {
            return Some(*value);
        }
        self.wrong_type("true or false, without quotes");
        None
    }

    /// `"1h 30m"`, zero allowed.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let text = self.text_like("a duration in quotes, such as \"30m\"")?;
        self.duration_of(text, DURATION_HELP)
    }

    /// As [`duration`](Self::duration), or a word in its place: `None`.
    pub(crate) fn duration_or(&self, word: &str) -> Option<Option<Duration>> {
        match self.text_like(&format!("a duration in quotes, such as \"30m\", or \"{word}\""))? {
            text if text == word => Some(None),
            text => self
                .duration_of(text, &format!("{DURATION_HELP}; or \"{word}\""))
                .map(Some),
        }
    }

    fn duration_of(&self, text: &str, help: &str) -> Option<Duration> {
        let wrong = |message: String| {
            self.spot.mistake(complaint(message).help(help));
            None
        };
        match humantime::parse_duration(text) {
            Ok(duration) if duration <= LONGEST => Some(duration),
            Ok(_) => wrong(format!("{} is longer than 100 years", self.what())),
            Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                wrong(format!("{text:?} has no unit"))
            }
            Err(_) => wrong(format!("{text:?} is no duration")),
        }
    }

    /// `"1h 30m"`, more than nothing; `zero` is what would come of that.
    pub(crate) fn positive_duration(&self, zero: &str) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            let message = format!("{} cannot be zero: {zero}", self.what());
            self.spot.mistake(complaint(message).help(DURATION_HELP));
            return None;
        }
        Some(duration)
    }

    /// `"1 GiB"`, bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size_of(self.text_like("a size in quotes, such as \"1 GiB\"")?, SIZE_HELP)
    }

    /// `"1 GiB"`, bytes, or `"off"`: `None`.
    pub(crate) fn size_or_off(&self) -> Option<Option<u64>> {
        match self.text_like("a size in quotes, such as \"1 GiB\", or \"off\"")? {
            "off" => Some(None),
            text => self.size_of(text, SIZE_OR_OFF_HELP).map(Some),
        }
    }

    /// The same where `"all"` has been looked for already.
    pub(crate) fn size_all_or_off(&self) -> Option<Option<u64>> {
        match self.text_like("a size in quotes, such as \"64 MiB\", \"all\" or \"off\"")? {
            "off" => Some(None),
            text => self.size_of(text, SIZE_ALL_OR_OFF_HELP).map(Some),
        }
    }

    /// `"50 MiB/s"`, bytes a second.
    pub(crate) fn rate(&self) -> Option<u64> {
        let text = self.text_like("a rate in quotes, such as \"50 MiB/s\"")?;
        let help = "write bytes a second in quotes: \"500 KiB/s\" or \"50 MiB/s\"";
        if text.to_ascii_lowercase().contains("bit") {
            self.spot
                .mistake(complaint(format!("{text:?} counts bits")).help(help));
            return None;
        }
        let amount = text.trim().strip_suffix("/s").unwrap_or(text);
        self.size_of(amount, help)
    }

    fn size_of(&self, amount: &str, help: &str) -> Option<u64> {
        // A size that a double cannot count exactly is no size of a disk or a memory either.
        const MOST: u64 = 1 << 53;
        if amount.trim().bytes().all(|byte| byte.is_ascii_digit()) {
            self.spot
                .mistake(complaint(format!("{:?} has no unit", amount.trim())).help(help));
            return None;
        }
        match amount.trim().parse::<ByteSize>() {
            Ok(size) if size.as_u64() <= MOST => Some(size.as_u64()),
            _ => {
                self.spot
                    .mistake(complaint(format!("{:?} is no size", amount.trim())).help(help));
                None
            }
        }
    }

    /// An IANA time zone.
    pub(crate) fn zone(&self) -> Option<Tz> {
        let text = self.text_like("a time zone in quotes, such as \"Asia/Shanghai\"")?;
        if let Ok(zone) = text.parse() {
            return Some(zone);
        }
        let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
        let city = names().find(|name| {
            name.rsplit('/')
                .next()
                .is_some_and(|city| city.eq_ignore_ascii_case(text.trim()))
        });
        let help = match city.or_else(|| nearest(text, names())) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "write a name of the IANA database, such as \"Asia/Shanghai\" or \"UTC\"".to_owned(),
        };
        self.spot
            .mistake(complaint(format!("{text:?} is no time zone")).help(help));
        None
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let words = || choices.iter().map(|(word, _)| *word);
        let all = words()
            .map(|word| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let text = self.raw_text(&format!("one of {all}"))?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let help = match nearest(text, words()) {
            Some(meant) => format!("did you mean \"{meant}\"? (one of {all})"),
            None => format!("write one of {all}"),
        };
        self.spot
            .mistake(complaint(format!("{} cannot be {text:?}", self.what())).help(help));
        None
    }

    /// The items of a list.
    pub(crate) fn items(&self, expected: &str) -> Option<Vec<Entry<'d>>> {
        let DeValue::Array(items) = self.value else {
            self.wrong_type(expected);
            return None;
        };
        Some(
            items
                .iter()
                .map(|item| {
                    let spot = self.spot.elsewhere(item.span());
                    Entry {
                        key: self.key.clone(),
                        path: self.path.clone(),
                        is_item: true,
                        key_spot: spot.clone(),
                        spot,
                        value: item.get_ref(),
                    }
                })
                .collect(),
        )
    }

    /// A folder or file whose place does not depend on anything: absolute, without `..`.
    pub(crate) fn absolute_path(&self) -> Option<PathBuf> {
        let path = self.path_text()?;
        if path.is_absolute() {
            return Some(path);
        }
        self.spot.mistake(
            complaint(format!("{} is a relative path", self.what()))
                .help("write the whole path, beginning with a slash"),
        );
        None
    }

    /// A file whose place may be given relative to `base`.
    pub(crate) fn path_beside(&self, base: &Path) -> Option<PathBuf> {
        self.path_text().map(|path| base.join(path))
    }

    /// A program: a name that is looked up on PATH, or an absolute path.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let path = self.path_text()?;
        if path.is_absolute() || path.components().count() == 1 {
            return Some(path);
        }
        self.spot.mistake(
            complaint(format!("{} is a relative path", self.what()))
                .help("write the program's name, which is looked up on PATH, or its whole path"),
        );
        None
    }

    fn path_text(&self) -> Option<PathBuf> {
        let text = self.text_like("a path in quotes")?;
        let refuse = |message: String, help: &str| {
            self.spot.mistake(complaint(message).help(help));
            None
        };
        if text.starts_with('~') {
            return refuse(
                format!("{} begins with \"~\", which only a shell expands", self.what()),
                "write the whole path",
            );
        }
        let path = Path::new(text);
        if path
            .components()
            .any(|component| component == Component::ParentDir)
        {
            return refuse(
                format!("{} climbs with \"..\"", self.what()),
                "write the path that it leads to",
            );
        }
        Some(
            path.components()
                .filter(|component| *component != Component::CurDir)
                .collect(),
        )
    }
}

/// A duration as a person would write it, for messages.
pub(crate) fn shown_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests;
