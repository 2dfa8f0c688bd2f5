//! `find` where it looks for sets that are to go.

use super::closed::is_plain_rm;
use super::script::removes_folders;
use super::word::{MOST_DAYS, Word, program_shown};
use chrono::{Datelike, NaiveDate};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A pattern of `-name`, and which folders of days it means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    text: String,
    called: Called,
}

/// A `find`, as far as it names folders of days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Find {
    /// Where it looks.
    pub(super) folders: Vec<Word>,
    /// `-name`.
    names: Vec<Name>,
    /// `! -name`.
    not_names: Vec<Name>,
    /// `-type`.
    pub(super) kind: Option<String>,
    /// `-mtime +N`, `-mmin +N`: older than so many minutes.
    pub(super) older_minutes: Option<u64>,
    /// Whether it removes what it finds.
    pub(super) removes: bool,
    /// `-delete`, which removes of folders the empty ones alone.
    deletes: bool,
    /// `-maxdepth`
    is_shallow: bool,
    /// What is not told of here.
    pub(super) strange: Vec<String>,
    /// For people.
    pub(super) shown: String,
}

const MINUTES_OF_A_DAY: u64 = 24 * 60;

/// Tests whose next word is theirs.
const TAKES_VALUE: [&str; 7] = [
    "-name",
    "-iname",
    "-type",
    "-mtime",
    "-mmin",
    "-maxdepth",
    "-mindepth",
];

/// Whether [`matches`] knows the pattern as `find` does: no class of letters, nothing quoted in a set.
fn is_readable(pattern: &str) -> bool {
    let has_class = ["[:", "[.", "[="].iter().any(|class| pattern.contains(class));
    let quotes_in_set = pattern.contains('[') && pattern.contains('\\');
    !has_class && !quotes_in_set
}

/// Whether `rm` takes what was found, and nothing in it or beside it.
pub(super) fn names_what_is_found(command: &[Word]) -> bool {
    let after = command
        .iter()
        .skip_while(|word| !word.shown().ends_with("rm"))
        .skip(1);
    let mut operands = after.filter(|word| word.text().is_none_or(|text| !text.starts_with('-')));
    operands.all(|word| word.text().as_deref() == Some("{}"))
}

impl Find {
    /// Reads the words after `find`.
    pub(super) fn read(words: &[Word]) -> Self {
        let mut find = Self {
            shown: shown(words),
            ..Self::default()
        };
        let mut words = words.iter().peekable();
        while let Some(folder) = words.next_if(|word| !is_test(word)) {
            find.folders.push(folder.clone());
        }
        let mut is_negated = false;
        while let Some(word) = words.next() {
            let text = word.text().unwrap_or_default();
            if word.text().is_none() || is_negated && !matches!(text.as_str(), "-name" | "-iname") {
                find.strange.push(word.shown());
                is_negated = false;
                continue;
            }
            if TAKES_VALUE.contains(&text.as_str()) && words.peek().is_none_or(|value| value.text().is_none())
            {
                // What is spared, or meant, is not known before it runs.
                let value = words.next().map(Word::shown).unwrap_or_default();
                find.strange.push(format!("{text} {value}"));
                is_negated = false;
                continue;
            }
            let mut value = || words.next().and_then(Word::text).unwrap_or_default();
            match text.as_str() {
                "!" | "-not" => {
                    is_negated = true;
                    continue;
                }
                "-name" | "-iname" => {
                    let name = value();
                    if !is_readable(&name) {
                        find.strange.push(format!("{text} {name}"));
                    }
                    let name = Name {
                        called: days_called(&name),
                        text: name,
                    };
                    match is_negated {
                        true => find.not_names.push(name),
                        false => find.names.push(name),
                    }
                }
                "-type" => {
                    let kind = value();
                    let is_one = matches!(kind.as_str(), "b" | "c" | "d" | "f" | "l" | "p" | "s");
                    if !is_one || find.kind.as_ref().is_some_and(|other| *other != kind) {
                        find.strange.push(format!("{text} {kind}"));
                    }
                    find.kind = Some(kind);
                }
                "-mtime" | "-mmin" => {
                    let value = value();
                    match older(&text, &value) {
                        Some(minutes) => {
                            find.older_minutes = Some(minutes.max(find.older_minutes.unwrap_or(0)));
                        }
                        None => find.strange.push(format!("{text} {value}")),
                    }
                }
                "-maxdepth" | "-mindepth" => {
                    let value = value();
                    find.is_shallow |= text == "-maxdepth";
                    let digits = Some(&value).filter(|value| is_number(value));
                    let is_of_days = match digits.map_or("", |value| value).parse::<u32>() {
                        Ok(depth) if text == "-maxdepth" => depth > 0,
                        Ok(depth) => depth <= 1,
                        Err(_) => false,
                    };
                    if !is_of_days {
                        find.strange.push(format!("{text} {value}"));
                    }
                }
                "-print" | "-print0" | "-daystart" | "-depth" | "-a" | "-and" => {}
                "-delete" => (find.removes, find.deletes) = (true, true),
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    if text.starts_with("-ok") {
                        // It asks, and nobody is there.
                        find.strange.push(text.clone());
                    }
                    let mut command = Vec::new();
                    for word in words.by_ref() {
                        let text = word.shown();
                        if text == ";" || text == "+" {
                            break;
                        }
                        command.push(word.clone());
                    }
                    let program = command.first().map(Word::shown).unwrap_or_default();
                    match program.rsplit('/').next() == Some("rm") {
                        true if removes_folders(&command) => {
                            find.removes = true;
                            if !names_what_is_found(&command) || !is_plain_rm(&command) {
                                find.strange.push(format!("{text} rm ..."));
                            }
                        }
                        // No folder goes.
                        true => {
                            find.removes = true;
                            find.kind = Some("f".to_owned());
                        }
                        false => find
                            .strange
                            .push(format!("{text} {} ...", program_shown(&program))),
                    }
                }
                _ => find.strange.push(word.shown()),
            }
            is_negated = false;
        }
        find
    }

    /// Whether it can be about folders of days: not about files, nor about names that no day has.
    pub(super) fn is_of_days(&self) -> bool {
        let is_of_folders = self
            .kind
            .as_deref()
            .is_none_or(|kind| !matches!(kind, "b" | "c" | "f" | "l" | "p" | "s"));
        let mut names = self.names.iter();
        is_of_folders && names.all(|name| !is_readable(&name.text) || name.called != Called::None)
    }

    /// Whether what it removes are files, and those of sets among them.
    pub(super) fn takes_files_of_sets(&self) -> bool {
        const FILES: [&str; 4] = [
            "shop.orders.sql.gz",
            "shop.orders-schema.sql",
            "shop.orders.00001.sql.zst",
            "metadata",
        ];
        let is_of_files = self.kind.as_deref().is_none_or(|kind| kind == "f");
        let mut names = self.names.iter();
        let is_of_sets = |Name { text, .. }: &Name| {
            let mut files = FILES.iter();
            !is_readable(text) || files.any(|file| matches(text.as_bytes(), file.as_bytes()))
        };
        self.removes && is_of_files && names.all(is_of_sets)
    }

    /// Whether it takes what is called so, and nothing else.
    pub(super) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// Its names, where they are those of some days alone: `2017*`.
    pub(super) fn of_some_days(&self) -> Option<String> {
        let some = self.names.iter().filter(|name| name.called != Called::All);
        let some: Vec<&str> = some.map(|name| name.text.as_str()).collect();
        (!some.is_empty()).then(|| some.join(" and "))
    }

    /// `-delete` by name or kind, or not down to the files: it removes empty folders, and no set is one.
    pub(super) fn removes_nothing(&self) -> bool {
        self.deletes && (self.kind.is_some() || !self.names.is_empty() || self.is_shallow)
    }

    /// The days of each month that it leaves.
    pub(super) fn spared(&self) -> BTreeSet<u32> {
        let days = self.not_names.iter().map(|name| name.called.clone());
        days.flat_map(|called| match called {
            Called::OfEachMonth(days) => days,
            _ => BTreeSet::new(),
        })
        .collect()
    }

    /// Names that it spares and that no day has: which folders a person meant by them is not known.
    pub(super) fn spares_no_day(&self) -> Option<String> {
        let none = self.not_names.iter().filter(|name| name.called == Called::None);
        let none: Vec<&str> = none.map(|name| name.text.as_str()).collect();
        (!none.is_empty()).then(|| none.join(" and "))
    }

    /// Whether its names tell that what it looks through are folders of days.
    pub(super) fn names_days(&self) -> bool {
        let names = self.names.iter().chain(&self.not_names);
        names
            .filter(|name| name.text.contains(|one: char| one.is_ascii_digit()))
            .any(|name| name.called != Called::None)
    }

    /// What it spares besides, which no rule here tells of.
    pub(super) fn spares_others(&self) -> Vec<&str> {
        let others = self
            .not_names
            .iter()
            .filter(|name| matches!(name.called, Called::Some | Called::All));
        others.map(|name| name.text.as_str()).collect()
    }
}

/// Which folders of days have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Called {
    None,
    All,
    /// In each month these.
    OfEachMonth(BTreeSet<u32>),
    Some,
}

/// Found by trying: every day of some years, among them those that scripts were written in.
fn days_called(pattern: &str) -> Called {
    static DAYS: LazyLock<Vec<(u32, String)>> = LazyLock::new(|| {
        let first = NaiveDate::from_ymd_opt(2010, 1, 1).unwrap_or_default();
        let days = first.iter_days().take_while(|day| day.year() <= 2040);
        days.map(|day| (day.day(), day.to_string())).collect()
    });
    let days: Vec<(u32, bool)> = DAYS
        .iter()
        .map(|(day, name)| (*day, matches(pattern.as_bytes(), name.as_bytes())))
        .collect();
    let of_month: BTreeSet<u32> = days.iter().filter(|(_, is)| *is).map(|(day, _)| *day).collect();
    let is_of_each = days.iter().all(|(day, is)| *is == of_month.contains(day));
    match (of_month.len(), is_of_each) {
        (0, _) => Called::None,
        (31, true) => Called::All,
        (_, true) => Called::OfEachMonth(of_month),
        _ => Called::Some,
    }
}

/// As `find` matches names: `*`, `?`, `[0-9]`, `[!0]`, `\x`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // After the last star: where the pattern goes on, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, in_name));
            at += 1;
        } else if let Some(next) = matches_one(&pattern[at..], name[in_name]) {
            at += next;
            in_name += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            (at, in_name) = (after, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

/// How much of the pattern stands for this letter.
fn matches_one(pattern: &[u8], letter: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', quoted, ..] => (*quoted == letter).then_some(2),
        [b'[', rest @ ..] => {
            let (is_not, set) = match rest {
                [b'!' | b'^', set @ ..] => (1, set),
                set => (0, set),
            };
            let end = set.iter().skip(1).position(|one| *one == b']')? + 1;
            let mut is_in = false;
            let mut at = 0;
            while at < end {
                let is_range = at + 2 < end && set[at + 1] == b'-';
                let last = if is_range { set[at + 2] } else { set[at] };
                is_in |= (set[at]..=last).contains(&letter);
                at += if is_range { 3 } else { 1 };
            }
            (is_in != (is_not == 1)).then_some(end + 2 + is_not)
        }
        [one, ..] => (*one == letter).then_some(1),
        [] => None,
    }
}

/// The words, but of what it runs the program's name alone: the words after that may hold a password.
fn shown(words: &[Word]) -> String {
    let mut shown = vec!["find".to_owned()];
    let mut words = words.iter().map(Word::shown);
    while let Some(word) = words.next() {
        let runs = ["-exec", "-execdir", "-ok", "-okdir"].contains(&word.as_str());
        shown.push(word);
        if runs {
            let program = words.next().unwrap_or_default();
            shown.push(format!("{} ...", program_shown(&program)));
            words.by_ref().find(|word| word == ";" || word == "+");
        }
    }
    shown.join(" ")
}

fn is_test(word: &Word) -> bool {
    word.text()
        .is_some_and(|text| text.starts_with('-') || text == "!" || text == "(")
}

/// `-mtime +31` is older than 31 whole days, so 32 days or more.
fn older(test: &str, value: &str) -> Option<u64> {
    let count = value.strip_prefix('+').filter(|count| is_number(count))?;
    let count: u64 = count.parse().ok()?;
    let minutes = match test {
        "-mtime" => count.checked_add(1)?.checked_mul(MINUTES_OF_A_DAY)?,
        _ => count,
    };
    Some(minutes).filter(|minutes| *minutes <= u64::from(MOST_DAYS) * MINUTES_OF_A_DAY)
}

/// Digits alone: `+1` is a number to Rust, and none to `find`.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Find {
        let words: Vec<Word> = text.split_whitespace().map(Word::of).collect();
        Find::read(&words)
    }

    #[test]
    fn the_documented_find_spares_the_first_of_each_month() {
        let find = read(
            "/data2/backup/db_backup/101.37.164.13 -name 2017* ! -name *-01 -type d -mtime +31 -exec rm -r {} ;",
        );
        assert_eq!(find.folders, [Word::of("/data2/backup/db_backup/101.37.164.13")]);
        assert_eq!(find.older_minutes, Some(32 * MINUTES_OF_A_DAY));
        assert!(find.removes && find.is_of_days() && !find.removes_nothing());
        assert_eq!(find.spared(), BTreeSet::from([1]));
        assert_eq!(
            (
                find.of_some_days().as_deref(),
                find.spares_others().len(),
                find.strange.len()
            ),
            (Some("2017*"), 0, 0)
        );
    }

    #[test]
    fn other_finds_are_told_apart() {
        assert!(!read("/x -name *.log -mtime +7 -delete").is_of_days());
        assert!(!read("/x -type f -mtime +7 -delete").is_of_days());
        assert!(read("/x -maxdepth 1 -mtime +7 -exec rm -rf {} +").removes);
        assert!(!read("/x -mtime +7").removes);
        assert_eq!(read("/x -mtime 7 -user y").strange, ["-mtime 7", "-user", "y"]);
        assert_eq!(read("/x ! -name *-15 -mtime +7").spared(), BTreeSet::from([15]));
        assert_eq!(read("/x ! -name *-01-* -mtime +7").spares_others(), ["*-01-*"]);
        assert_eq!(
            read("/x -mindepth 2 -maxdepth 0").strange,
            ["-mindepth 2", "-maxdepth 0"]
        );
        assert!(read("/x -mindepth 1 -maxdepth 1").strange.is_empty());
        // No folder goes by these.
        assert!(!read("/x -mtime +7 -exec rm -f {} ;").is_of_days());
        assert!(read("/x -type d -mtime +7 -delete").removes_nothing());
        assert!(read("/x -maxdepth 1 -mtime +7 -delete").removes_nothing());
        assert!(read("/x -mindepth 1 -maxdepth 9 -mtime +7 -delete").removes_nothing());
        assert!(!read("/x -mtime +7 -delete").removes_nothing());
        assert_eq!(read("/x -mmin +90 -exec mv {} /y ;").strange, ["-exec mv ..."]);
    }

    #[test]
    fn names_are_those_of_all_days_of_some_or_of_none() {
        let each_month = |days: &[u32]| Called::OfEachMonth(days.iter().copied().collect());
        for (pattern, expected) in [
            ("*", Called::All),
            ("20*", Called::All),
            ("20??-??-??", Called::All),
            ("[0-9][0-9][0-9][0-9]-*", Called::All),
            ("2*[!x]", Called::All),
            ("*-01", each_month(&[1])),
            ("????-??-[03]1", each_month(&[1, 31])),
            ("*-1[05]", each_month(&[10, 15])),
            ("\\2*-01", each_month(&[1])),
            ("2017*", Called::Some),
            ("*-01-*", Called::Some),
            ("*.log", Called::None),
            ("20?????", Called::None),
            ("[", Called::None),
            ("", Called::None),
        ] {
            assert_eq!(days_called(pattern), expected, "{pattern}");
        }
    }
}
