//! Options that a later mydumper knows under another name, or not at all. Pure.

use super::detect::MydumperInfo;
use mykeeper_domain::job::MydumperOption;

/// What became of an option of 0.10.
enum Fate {
    /// It means the same as this one: name and value.
    Became(&'static str, Option<&'static str>),
    /// Nothing takes its place, for this reason.
    Dropped(&'static str),
}

/// Found by comparing the options of 0.9, 0.10 and 1.0.
const FATES: [(&str, Fate); 5] = [
    (
        "less-locking",
        Fate::Dropped("leave it out: later versions lock less by themselves"),
    ),
    (
        "lock-all-tables",
        Fate::Became("sync-thread-lock-mode", Some("LOCK_ALL")),
    ),
    ("no-locks", Fate::Became("sync-thread-lock-mode", Some("NO_LOCK"))),
    ("success-on-1146", Fate::Became("ignore-errors", Some("1146"))),
    ("trx-consistency-only", Fate::Became("trx-tables", None)),
];

fn fate_of(name: &str) -> Option<&'static Fate> {
    FATES.iter().find(|(old, _)| *old == name).map(|(_, fate)| fate)
}

fn successor(name: &str, value: Option<&str>) -> MydumperOption {
    MydumperOption {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    }
}

/// What to write instead of an option that `info` does not know any more.
pub(super) fn advice_on(info: &MydumperInfo, name: &str) -> Option<String> {
    match fate_of(name)? {
        Fate::Became(name, value) => info
            .knows(name)
            .then(|| format!("write \"{}\"", successor(name, *value))),
        Fate::Dropped(advice) => Some((*advice).to_owned()),
    }
}

/// Puts into today's words what `info` does not know any more and knows under another name. What has no other name
/// stays as it is, and is refused with the reason when the options are read. Yields a sentence for each, too.
pub fn translate(info: &MydumperInfo, options: &[MydumperOption]) -> (Vec<MydumperOption>, Vec<String>) {
    let mut said = Vec::new();
    let mut translated: Vec<MydumperOption> = Vec::new();
    for option in options {
        let today = match fate_of(&option.name) {
            Some(Fate::Became(name, value)) if !info.knows(&option.name) && info.knows(name) => {
                let today = successor(name, *value);
                said.push(format!("{} calls \"{option}\" \"{today}\"", info.banner));
                today
            }
            _ => option.clone(),
        };
        // `no-locks trx-consistency-only`: each has another name, and none is given twice.
        if !translated.contains(&today) {
            translated.push(today);
        }
    }
    (translated, said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mydumper::{DumpOptions, parse_options, parse_version};

    fn info(help: &str, version: &str) -> MydumperInfo {
        let lines: Vec<String> = help.lines().map(str::to_owned).collect();
        let (banner, version) = parse_version(version).unwrap();
        MydumperInfo {
            program: "mydumper".into(),
            banner,
            version,
            options: parse_options(&lines),
        }
    }

    fn option(text: &str) -> MydumperOption {
        match text.split_once('=') {
            Some((name, value)) => successor(name, Some(value)),
            None => successor(text, None),
        }
    }

    #[test]
    fn each_option_reaches_the_installed_mydumper_by_the_name_that_it_knows() {
        let classic = info(
            include_str!("../../tests/fixtures/help-0.10"),
            "mydumper 0.10.0, built against MySQL 10.5.8",
        );
        let later = info(
            include_str!("../../tests/fixtures/help-1.0"),
            "mydumper v1.0.1-3, built against MariaDB 10.11.19",
        );
        // As given, to 0.10, to 1.0; `Err` holds what to write instead.
        for (given, to_classic, to_later) in [
            ("compress", Ok("--compress"), Ok("--compress")),
            ("threads=8", Ok("--threads=8"), Ok("--threads=8")),
            ("use-savepoints", Ok("--use-savepoints"), Ok("--use-savepoints")),
            ("triggers", Ok("--triggers"), Ok("--triggers")),
            (
                "no-locks",
                Ok("--no-locks"),
                Ok("--sync-thread-lock-mode=NO_LOCK"),
            ),
            (
                "lock-all-tables",
                Ok("--lock-all-tables"),
                Ok("--sync-thread-lock-mode=LOCK_ALL"),
            ),
            (
                "success-on-1146",
                Ok("--success-on-1146"),
                Ok("--ignore-errors=1146"),
            ),
            (
                "trx-consistency-only",
                Ok("--trx-consistency-only"),
                Ok("--trx-tables"),
            ),
            (
                "less-locking",
                Ok("--less-locking"),
                Err("leave it out: later versions lock less by themselves"),
            ),
            ("checksum-all", Err("does not know"), Ok("--checksum-all")),
        ] {
            for (info, expected) in [(&classic, to_classic), (&later, to_later)] {
                let (options, said) = translate(info, &[option(given)]);
                let read = DumpOptions::read(info, &options);
                match (&read, expected) {
                    (Ok(read), Ok(expected)) => {
                        assert_eq!(read.passed, [expected], "{}", info.banner);
                        assert_eq!(said.len(), usize::from(*expected != *format!("--{given}")));
                    }
                    (Err(error), Err(expected)) => {
                        assert!(error.to_string().contains(expected), "{error}");
                    }
                    _ => panic!("{given} to {}: {read:?}", info.banner),
                }
            }
        }
    }
}
