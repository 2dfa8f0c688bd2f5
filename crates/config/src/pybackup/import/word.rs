//! Words as a script's run would have them: texts, days, what `find` finds, and what nobody can tell beforehand.

use super::find::Find;
use super::shell::{Part, RawCommand, RawWord, plain, read_shell};
use crate::pybackup::word_shown;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands.
    Text(String),
    /// The date so many days before the run.
    Day(Day),
    /// Folders that `find` names.
    Found(Box<Find>),
    /// Something else, as people are told of it: `$name`, `$(program ...)`. Its words may hold a password.
    Unknown(String),
}

/// Of a command that somebody wrote the program's name alone, without its folder; its words may hold a password.
/// Empty where that is not plain.
pub(super) fn program_shown(word: &str) -> &str {
    let word = word.trim();
    let end = word
        .find(|one: char| one.is_whitespace() || "=\"'`$(){};|&<>:".contains(one))
        .unwrap_or(word.len());
    // `PATH=/x` is no program, nor is `a:b`.
    let is_whole = word[end..].chars().next().is_none_or(char::is_whitespace);
    let name = word[..end].rsplit('/').next().unwrap_or_default();
    if is_whole { name } else { "" }
}

/// What a command prints, for people: `$(program ...)`.
pub(super) fn output_shown(inner: &str) -> String {
    let commands = read_shell(inner, 1);
    let words = commands.first().map(|command| command.words.as_slice());
    // `MYSQL_PWD=x mysql`: the program comes after what is assigned for it.
    let is_assigned = |word: &&RawWord| matches!(word.first(), Some(Part::Text(text)) if text.contains('='));
    let program = words.and_then(|words| words.iter().find(|word| !is_assigned(word)));
    let program = program.and_then(plain).unwrap_or_default();
    format!("$({} ...)", program_shown(&program)).replace("( ", "(")
}

/// What nobody can put in, for people: of `${name:-else}` the name alone.
pub(super) fn variable_shown(inner: &str) -> String {
    let end = inner
        .find(|one: char| one != '_' && !one.is_ascii_alphanumeric())
        .unwrap_or(inner.len());
    match end {
        0 if inner.chars().count() == 1 => format!("${inner}"),
        0 => "${...}".to_owned(),
        end => format!("${}", &inner[..end]),
    }
}

/// `date +FORMAT --date='N days ago'`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// `%Y-%m-%d`
    pub(super) format: String,
    /// 0 is today.
    pub(super) days_ago: u32,
}

impl Day {
    /// Whether it is today, and written as the folders of sets are called.
    pub(super) fn is_todays(&self) -> bool {
        self.format == DAY_FORMAT && self.days_ago == 0
    }
}

/// Nobody keeps sets for longer. Days.
pub(super) const MOST_DAYS: u32 = 36_500;

/// The folders of sets: `<directory>/<YYYY-MM-DD>/`.
pub(super) const DAY_FORMAT: &str = "%Y-%m-%d";

/// A word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(pub(super) Vec<Piece>);

impl Word {
    /// A text.
    pub(super) fn of(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// Puts something at its end.
    pub(super) fn push(&mut self, piece: Piece) {
        match (self.0.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => self.0.push(piece),
        }
    }

    /// Its text where all of it is known.
    pub(super) fn text(&self) -> Option<String> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let shown = |piece: &Piece| match piece {
            Piece::Text(text) | Piece::Unknown(text) => text.clone(),
            Piece::Day(Day { format, days_ago: 0 }) => format!("<today as {format}>"),
            Piece::Day(Day { format, days_ago }) => format!("<{days_ago} days ago as {format}>"),
            Piece::Found(find) => find.shown.clone(),
        };
        self.0.iter().map(shown).collect()
    }

    /// The same in a sentence: of one that may hold a password nothing is told but its name.
    pub(super) fn told(&self) -> String {
        word_shown(&self.shown())
    }

    /// What `find` it stands for, where it is one.
    pub(super) fn found(&self) -> Option<&Find> {
        match self.0.as_slice() {
            [Piece::Found(find)] => Some(find),
            _ => None,
        }
    }

    /// A path, from `folder` where it is relative.
    pub(super) fn below(&self, folder: Option<&Self>) -> Self {
        let is_absolute = match self.0.first() {
            Some(Piece::Text(text)) => text.starts_with(['/', '~']),
            Some(Piece::Found(_) | Piece::Unknown(_)) => true,
            Some(Piece::Day(_)) | None => false,
        };
        let Some(folder) = folder.filter(|_| !is_absolute) else {
            return self.clone();
        };
        let mut path = folder.clone();
        path.push(Piece::Text("/".to_owned()));
        self.0.iter().for_each(|piece| path.push(piece.clone()));
        path
    }

    /// `/data/backup_db/<day>` and `/data/backup_db/<day>/`: the folder, and which day.
    pub(super) fn day_folder(&self) -> Option<(String, &Day)> {
        let (folder, day) = match self.0.as_slice() {
            [Piece::Text(folder), Piece::Day(day)] => (folder, day),
            [Piece::Text(folder), Piece::Day(day), Piece::Text(rest)]
                if rest.chars().all(|one| one == '/') =>
            {
                (folder, day)
            }
            _ => return None,
        };
        folder.ends_with('/').then(|| (tidy(folder), day))
    }

    /// The text after `prefix`, as a word.
    pub(super) fn after(&self, prefix: &str) -> Option<Self> {
        let Some(Piece::Text(first)) = self.0.first() else {
            return None;
        };
        let rest = first.strip_prefix(prefix)?;
        let mut word = Self::default();
        if !rest.is_empty() {
            word.push(Piece::Text(rest.to_owned()));
        }
        self.0[1..].iter().for_each(|piece| word.push(piece.clone()));
        Some(word)
    }
}

/// A folder without what says nothing: `//`, `/./`, a slash at its end.
pub(super) fn tidy(folder: &str) -> String {
    let parts: Vec<&str> = folder
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if folder.starts_with('/') {
        format!("/{}", parts.join("/"))
    } else {
        parts.join("/")
    }
}

/// Whether a folder is one place, whatever the shell makes of its name: no pattern, nothing relative, nothing that a
/// key cannot hold.
pub(super) fn is_place(folder: &str) -> bool {
    folder.starts_with('/')
        && !folder.split('/').any(|part| part == "..")
        && !folder.contains(|one: char| one.is_control() || "*?[]{}\u{FFFD}".contains(one))
}

/// The text of a command with the numbers put in that its variables hold; whatever else they hold stays their name.
pub(super) fn with_numbers(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let (mut rest, mut is_single, mut is_double) = (text, false, false);
    while let Some(letter) = rest.chars().next() {
        if letter == '$'
            && !is_single
            && let Some((name, after)) = leading_variable(rest)
            && let Some(number) = value(name).filter(|value| is_number(value))
        {
            filled.push_str(&number);
            rest = after;
            continue;
        }
        match letter {
            '\'' if !is_double => is_single = !is_single,
            '"' if !is_single => is_double = !is_double,
            _ => {}
        }
        filled.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    filled
}

/// `$name`, `${name}`: the name, and what follows.
fn leading_variable(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('$')?;
    let (text, is_braced) = match text.strip_prefix('{') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let end = text
        .find(|one: char| one != '_' && !one.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let is_name = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    let after = if is_braced {
        after.strip_prefix('}')?
    } else {
        after
    };
    is_name.then_some((name, after))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What `date` prints, as a day; `None` for anything but `date`.
pub(super) fn read_date(inner: &str) -> Option<Day> {
    let commands = read_shell(inner, 1);
    let [RawCommand { words, .. }] = commands.as_slice() else {
        return None;
    };
    let words: Vec<String> = words.iter().map(plain).collect::<Option<_>>()?;
    let (program, arguments) = words.split_first()?;
    if program.rsplit('/').next() != Some("date") {
        return None;
    }
    let mut day = Day {
        format: String::new(),
        days_ago: 0,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if let Some(format) = argument.strip_prefix('+') {
            if !day.format.is_empty() {
                return None;
            }
            day.format = format.replace("%F", DAY_FORMAT);
        } else if argument == "-d" || argument == "--date" {
            day.days_ago = days_ago(arguments.next()?)?;
        } else {
            let text = argument
                .strip_prefix("--date=")
                .or_else(|| argument.strip_prefix("-d"))?;
            day.days_ago = days_ago(text)?;
        }
    }
    Some(day)
}

/// `2 day ago`, `-2 days`, `yesterday`, `1 week ago`.
fn days_ago(text: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    match text.as_str() {
        "" | "now" | "today" => return Some(0),
        "yesterday" => return Some(1),
        _ => {}
    }
    let (number, is_ago) = match (text.strip_suffix("ago"), text.strip_prefix('-')) {
        (Some(text), None) => (text, true),
        (None, Some(text)) => (text, true),
        _ => (text.as_str(), false),
    };
    let number = number.trim();
    let end = number
        .find(|one: char| !one.is_ascii_digit())
        .unwrap_or(number.len());
    let count: u32 = number[..end].parse().ok()?;
    let days = match number[end..].trim() {
        "day" | "days" => count,
        "week" | "weeks" => count.checked_mul(7)?,
        _ => return None,
    };
    let is_within = days <= MOST_DAYS;
    (is_within && (is_ago || days == 0)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_alone_are_put_into_a_command() {
        let value = |name: &str| match name {
            "KEEP" => Some("05".to_owned()),
            "EMPTY" => Some(String::new()),
            "TEXT" => Some("5 days ago' +%F; rm -rf /'".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("date -d \"$KEEP days ago\" +%F", "date -d \"05 days ago\" +%F"),
            ("date -d \"-${KEEP} days\" +%F", "date -d \"-05 days\" +%F"),
            ("date -d -${KEEP}日", "date -d -05日"),
            ("date -d '$KEEP days ago'", "date -d '$KEEP days ago'"),
            ("date -d \"'$KEEP'\"", "date -d \"'05'\""),
            (
                "date $EMPTY $TEXT $GONE $1 ${KEEP:-7} $KEEPS ${KEEP",
                "date $EMPTY $TEXT $GONE $1 ${KEEP:-7} $KEEPS ${KEEP",
            ),
        ] {
            assert_eq!(with_numbers(text, &value), expected);
        }
    }

    #[test]
    fn dates_are_days_before_the_run() {
        for (text, expected) in [
            ("date +%Y-%m-%d", Some(("%Y-%m-%d", 0))),
            ("date +%Y-%m-%d --date='2 day ago'", Some(("%Y-%m-%d", 2))),
            ("/bin/date -d \"-7 days\" +%F", Some(("%Y-%m-%d", 7))),
            ("date -d yesterday +%Y%m%d", Some(("%Y%m%d", 1))),
            ("date --date '1 week ago' '+%F'", Some(("%Y-%m-%d", 7))),
            ("date", Some(("", 0))),
            ("date +%F +%Y", None),
            ("date -d 'last month' +%F", None),
            ("date -d '2 days' +%F", None),
            ("date -d \"$x\" +%F", None),
            ("hostname", None),
        ] {
            let expected = expected.map(|(format, days_ago)| Day {
                format: format.to_owned(),
                days_ago,
            });
            assert_eq!(read_date(text), expected, "{text}");
        }
    }
}
