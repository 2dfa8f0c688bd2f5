//! `find` where it looks for sets that are to go.

use super::word::{Word, program_shown};

/// A `find`, as far as it names folders of days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Find {
    /// Where it looks.
    pub(super) folders: Vec<Word>,
    /// `-name`.
    pub(super) names: Vec<String>,
    /// `! -name`.
    pub(super) not_names: Vec<String>,
    /// `-type`.
    pub(super) kind: Option<String>,
    /// `-mtime +N`, `-mmin +N`: older than so many minutes.
    pub(super) older_minutes: Option<u64>,
    /// Whether it removes what it finds.
    pub(super) removes: bool,
    /// What is not told of here.
    pub(super) strange: Vec<String>,
    /// For people.
    pub(super) shown: String,
}

const MINUTES_OF_A_DAY: u64 = 24 * 60;

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
            let mut value = || words.next().and_then(Word::text).unwrap_or_default();
            match text.as_str() {
                "!" | "-not" => {
                    is_negated = true;
                    continue;
                }
                "-name" | "-iname" => match is_negated {
                    true => find.not_names.push(value()),
                    false => find.names.push(value()),
                },
                "-type" if !is_negated => find.kind = Some(value()),
                "-mtime" | "-mmin" if !is_negated => {
                    let value = value();
                    match older(&text, &value) {
                        Some(minutes) => {
                            find.older_minutes = Some(minutes.max(find.older_minutes.unwrap_or(0)));
                        }
                        None => find.strange.push(format!("{text} {value}")),
                    }
                }
                "-maxdepth" | "-mindepth" => drop(value()),
                "-print" | "-print0" | "-daystart" | "-depth" | "-a" | "-and" => {}
                "-delete" => find.removes = true,
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    let mut command = Vec::new();
                    for word in words.by_ref() {
                        let text = word.shown();
                        if text == ";" || text == "+" {
                            break;
                        }
                        command.push(text);
                    }
                    match command
                        .first()
                        .is_some_and(|program| program.rsplit('/').next() == Some("rm"))
                    {
                        true => find.removes = true,
                        false => {
                            let program = command.first().map_or("", |program| program_shown(program));
                            find.strange.push(format!("{text} {program} ..."));
                        }
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
        let is_of_folders = self.kind.as_deref().is_none_or(|kind| kind == "d");
        is_of_folders && self.names.iter().all(|name| may_be_a_day(name))
    }

    /// The years that its names are of, where they are of some alone: `2017*`.
    pub(super) fn years(&self) -> Vec<&str> {
        let year = |name: &'_ String| {
            name.get(..4)
                .is_some_and(|year| year.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.names
            .iter()
            .filter(|name| year(name))
            .map(|name| &name[..4])
            .collect()
    }

    /// Whether it leaves the first of each month.
    pub(super) fn spares_the_first(&self) -> bool {
        self.not_names.iter().any(|name| is_of_the_first(name))
    }

    /// What it spares besides, which no rule here tells of.
    pub(super) fn spares_others(&self) -> Vec<&str> {
        let others = self
            .not_names
            .iter()
            .filter(|name| !is_of_the_first(name) && may_be_a_day(name));
        others.map(String::as_str).collect()
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
    let count: u64 = value.strip_prefix('+')?.parse().ok()?;
    match test {
        "-mtime" => count.checked_add(1)?.checked_mul(MINUTES_OF_A_DAY),
        _ => Some(count),
    }
}

fn is_of_the_first(name: &str) -> bool {
    name.ends_with("-01")
        && name[..name.len() - 3]
            .chars()
            .all(|one| "*?-0123456789[]".contains(one))
}

fn may_be_a_day(name: &str) -> bool {
    name.chars()
        .all(|one| "*?-[]_".contains(one) || one.is_ascii_digit())
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
        assert!(find.removes && find.is_of_days() && find.spares_the_first());
        assert_eq!(
            (find.years(), find.spares_others().len(), find.strange.len()),
            (vec!["2017"], 0, 0)
        );
    }

    #[test]
    fn other_finds_are_told_apart() {
        assert!(!read("/x -name *.log -mtime +7 -delete").is_of_days());
        assert!(!read("/x -type f -mtime +7 -delete").is_of_days());
        assert!(read("/x -maxdepth 1 -mtime +7 -exec rm -rf {} +").removes);
        assert!(!read("/x -mtime +7").removes);
        assert_eq!(read("/x -mtime 7 -user y").strange, ["-mtime 7", "-user", "y"]);
        assert_eq!(read("/x ! -name *-15 -mtime +7").spares_others(), ["*-15"]);
        assert_eq!(read("/x -mmin +90 -exec mv {} /y ;").strange, ["-exec mv ..."]);
    }
}
