//! pybackup's command line, read. Pure.

use mykeeper_config::pybackup::{Sight, is_password_word, sights, word_shown};
use std::path::PathBuf;

/// As pybackup prints it, with what it takes besides.
pub(crate) const USAGE: &str = "\
Usage:
        pybackup mydumper ARG_WITH_NO_--... (([--no-rsync] [--no-history]) | [--only-backup])
        pybackup only-rsync [--backup-dir=<DIR>] [--bk-id=<id>] [--log-file=<log>]
        pybackup mark-del (--backup-dir=<DIR>... | --bk-id=<id>...)
        pybackup validate-backup --log-file=<log> [--bk-id=<id>]
        pybackup -h | --help
        pybackup --version

Options:
        -h --help                      Show help information.
        --version                      Show version.
        --no-rsync                     Do not use rsync.
        --no-history                   Do not record backup history information.
        --only-backup                  Equal to use both --no-rsync and --no-history.
        --backup-dir=<DIR>             The directory where the backuped files are located. [default: ./]
        --bk-id=<id>                   bk-id in table user_backup.
        --log-file=<log>               log file [default: ./pybackup_default.log]
        --conf=<FILE>                  pybackup.conf [default: beside this program, in ./ or in /etc]

The arguments of mydumper are its long options without dashes: password=x compress threads=8;
'pybackup mydumper help' shows them. Exit status: 0 done; 1 it ran and failed; 2 the command line or
the conf is wrong, nothing was touched; 3 something it needs cannot be had; 4 done, with warnings.
";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Help,
    Version,
    /// `mydumper help`
    DumperHelp,
    Dump {
        /// mydumper's options.
        words: Vec<String>,
        no_rsync: bool,
        no_history: bool,
    },
    OnlyRsync {
        backup_dir: PathBuf,
        bk_id: Option<String>,
        log_file: PathBuf,
    },
    MarkDel {
        backup_dirs: Vec<PathBuf>,
        bk_ids: Vec<String>,
    },
    Validate {
        log_file: PathBuf,
        bk_id: Option<String>,
    },
}

/// What is asked for, and which conf is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) asked: Asked,
    pub(crate) conf: Option<PathBuf>,
}

const DEFAULT_LOG: &str = "./pybackup_default.log";

/// Options with a value, in their own words; `--bk_id` is documented beside `--bk-id`.
const VALUED: [(&str, &str); 6] = [
    ("--backup-dir", "--backup-dir"),
    ("--backup_dir", "--backup-dir"),
    ("--bk-id", "--bk-id"),
    ("--bk_id", "--bk-id"),
    ("--log-file", "--log-file"),
    ("--conf", "--conf"),
];

/// Reads the words after the program's name.
///
/// # Errors
/// A sentence; no word that may hold a password is in it.
pub(crate) fn parse_words(words: &[String]) -> Result<Words, String> {
    let mut rest = words.iter().map(String::as_str).peekable();
    let mut conf = None;
    // Before the command, as any program takes it.
    while let Some(word) = rest.peek().copied().filter(|word| word.starts_with("--conf")) {
        rest.next();
        conf = Some(match word.split_once('=') {
            Some((_, file)) => file.into(),
            None => rest.next().ok_or("--conf names no file")?.into(),
        });
    }
    let Some(command) = rest.next() else {
        return Err("there is no command".to_owned());
    };
    let rest: Vec<&str> = rest.collect();
    let asked = match command {
        "-h" | "--help" | "help" => Asked::Help,
        "--version" | "-V" => Asked::Version,
        "mydumper" => read_dump(&rest)?,
        "only-rsync" | "mark-del" | "validate-backup" => read_other(command, &rest, &mut conf)?,
        other => return Err(format!("there is no command {:?}", word_shown(other))),
    };
    Ok(Words { asked, conf })
}

fn read_dump(rest: &[&str]) -> Result<Asked, String> {
    if rest.iter().any(|word| ["-h", "--help"].contains(word)) {
        return Ok(Asked::Help);
    }
    let (flags, words): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| word.starts_with("--"));
    let has = |flag: &str| flags.contains(&flag);
    let known = ["--no-rsync", "--no-history", "--only-backup"];
    if let Some(unknown) = flags.iter().find(|flag| !known.contains(flag)) {
        // It may be a password.
        if sights(&[unknown]) == [Sight::Nothing] {
            return Err(format!(
                "a word with dashes is none of {}, and not shown, since it may be a password; mydumper's options are \
                 written without dashes",
                known.join(", ")
            ));
        }
        let name = unknown.split('=').next().unwrap_or(unknown);
        return Err(format!(
            "there is no option {name}; mydumper's options are written without dashes, {}",
            name.trim_start_matches('-')
        ));
    }
    if has("--only-backup") && flags.len() > 1 {
        return Err("--only-backup means --no-rsync and --no-history; it stands alone".to_owned());
    }
    match words.as_slice() {
        [] => Err("mydumper is given no argument; write at least outputdir=/a/directory".to_owned()),
        ["help"] => Ok(Asked::DumperHelp),
        _ => Ok(Asked::Dump {
            words: words.into_iter().map(str::to_owned).collect(),
            no_rsync: has("--no-rsync") || has("--only-backup"),
            no_history: has("--no-history") || has("--only-backup"),
        }),
    }
}

/// Options, by their own words, and what stands between them.
struct Given {
    values: Vec<(&'static str, String)>,
    bare: Vec<String>,
}

impl Given {
    fn all(&self, option: &str) -> impl Iterator<Item = &String> {
        let of = self.values.iter().filter(move |(name, _)| *name == option);
        of.map(|(_, value)| value)
    }

    fn one(&self, command: &str, option: &str) -> Result<Option<String>, String> {
        match self.all(option).collect::<Vec<_>>().as_slice() {
            [] => Ok(None),
            [value] => Ok(Some((*value).clone())),
            _ => Err(format!("{command} takes {option} once")),
        }
    }
}

fn read_given(command: &str, rest: &[&str], allowed: &[&str]) -> Result<Given, String> {
    let mut given = Given {
        values: Vec::new(),
        bare: Vec::new(),
    };
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        if word.starts_with('-') && !word.starts_with("--") {
            return Err(format!(
                "{command} has no short option, and one is given, which is not shown, since it may hold a password"
            ));
        }
        if !word.starts_with("--") {
            given.bare.push((*word).to_owned());
            continue;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (*word, None),
        };
        let option = VALUED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, option)| *option);
        let Some(option) = option.filter(|option| allowed.contains(option) || *option == "--conf") else {
            return Err(format!("{command} has no option {name}"));
        };
        let value = match value {
            Some(value) => value.to_owned(),
            None => (*rest.next().ok_or_else(|| format!("{option} has no value"))?).to_owned(),
        };
        given.values.push((option, value));
    }
    Ok(given)
}

fn read_other(command: &str, rest: &[&str], conf: &mut Option<PathBuf>) -> Result<Asked, String> {
    if rest.iter().any(|word| ["-h", "--help"].contains(word)) {
        return Ok(Asked::Help);
    }
    if let Some(word) = rest.iter().find(|word| is_password_word(word)) {
        return Err(format!(
            "{command} takes no password, and {} is given: leave it out, since pybackup.conf holds what is needed",
            word_shown(word)
        ));
    }
    let allowed: &[&str] = match command {
        "only-rsync" => &["--backup-dir", "--bk-id", "--log-file"],
        "mark-del" => &["--backup-dir", "--bk-id"],
        _ => &["--log-file", "--bk-id"],
    };
    let given = read_given(command, rest, allowed)?;
    if let Some(named) = given.one(command, "--conf")? {
        *conf = Some(named.into());
    }
    if command == "mark-del" {
        return read_mark(&given);
    }
    if let Some(word) = given.bare.first() {
        return Err(format!("{command} does not take {word:?}"));
    }
    let log_file = given.one(command, "--log-file")?;
    let bk_id = given.one(command, "--bk-id")?.filter(|id| !id.is_empty());
    if command == "only-rsync" {
        let dir = given.one(command, "--backup-dir")?;
        return Ok(Asked::OnlyRsync {
            backup_dir: dir.unwrap_or_else(|| "./".to_owned()).into(),
            bk_id,
            log_file: log_file.unwrap_or_else(|| DEFAULT_LOG.to_owned()).into(),
        });
    }
    let log_file = log_file.ok_or("validate-backup needs --log-file=<log>")?;
    Ok(Asked::Validate {
        log_file: log_file.into(),
        bk_id,
    })
}

/// `--backup-dir=$DIRS`, where a shell has put what `find` said: several words, or several lines in one, or nothing.
fn read_mark(given: &Given) -> Result<Asked, String> {
    let is_given = |option: &str| given.all(option).next().is_some();
    let by_dir = is_given("--backup-dir");
    match (by_dir, is_given("--bk-id")) {
        (false, false) => return Err("mark-del needs --backup-dir=<DIR>, or --bk-id=<id>".to_owned()),
        (true, true) => return Err("mark-del takes either --backup-dir or --bk-id".to_owned()),
        _ => {}
    }
    let option = if by_dir { "--backup-dir" } else { "--bk-id" };
    let values = given
        .all(option)
        .chain(&given.bare)
        .flat_map(|value| value.lines());
    let values = values.map(str::trim).filter(|value| !value.is_empty());
    let (mut backup_dirs, mut bk_ids) = (Vec::new(), Vec::new());
    for value in values {
        if by_dir {
            backup_dirs.push(PathBuf::from(value));
        } else {
            let ids = value.split([',', ' ']).filter(|id| !id.is_empty());
            bk_ids.extend(ids.map(str::to_owned));
        }
    }
    Ok(Asked::MarkDel { backup_dirs, bk_ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Asked, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse_words(&words).map(|words| words.asked)
    }

    fn dump(words: &[&str], no_rsync: bool, no_history: bool) -> Result<Asked, String> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(Asked::Dump {
            words,
            no_rsync,
            no_history,
        })
    }

    #[test]
    fn each_documented_form_is_read() {
        assert_eq!(parse(&["-h"]), Ok(Asked::Help));
        assert_eq!(parse(&["--help"]), Ok(Asked::Help));
        assert_eq!(parse(&["--version"]), Ok(Asked::Version));
        assert_eq!(parse(&["mydumper", "help"]), Ok(Asked::DumperHelp));
        let words = ["password=fan boshi", "compress"];
        let with = |flags: &[&'static str]| {
            let all: Vec<&str> = [&["mydumper"], &words[..], flags].concat();
            parse(&all)
        };
        assert_eq!(with(&[]), dump(&words, false, false));
        assert_eq!(with(&["--no-rsync"]), dump(&words, true, false));
        assert_eq!(with(&["--no-history"]), dump(&words, false, true));
        assert_eq!(with(&["--no-history", "--no-rsync"]), dump(&words, true, true));
        assert_eq!(with(&["--only-backup"]), dump(&words, true, true));
        let only = |dir: &str, id: Option<&str>, log: &str| {
            Ok(Asked::OnlyRsync {
                backup_dir: dir.into(),
                bk_id: id.map(str::to_owned),
                log_file: log.into(),
            })
        };
        assert_eq!(parse(&["only-rsync"]), only("./", None, DEFAULT_LOG));
        assert_eq!(
            parse(&["only-rsync", "--backup-dir=/x", "--bk-id", "i", "--log-file=l"]),
            only("/x", Some("i"), "l")
        );
        let proof = |id: Option<&str>| {
            Ok(Asked::Validate {
                log_file: "l".into(),
                bk_id: id.map(str::to_owned),
            })
        };
        assert_eq!(parse(&["validate-backup", "--log-file=l"]), proof(None));
        assert_eq!(
            parse(&["validate-backup", "--log-file=l", "--bk_id=i"]),
            proof(Some("i"))
        );
    }

    #[test]
    fn what_a_shell_makes_of_find_is_taken_apart() {
        let dirs = |dirs: &[&str]| {
            let backup_dirs = dirs.iter().map(PathBuf::from).collect();
            Ok(Asked::MarkDel {
                backup_dirs,
                bk_ids: Vec::new(),
            })
        };
        assert_eq!(parse(&["mark-del", "--backup-dir=/a"]), dirs(&["/a"]));
        assert_eq!(
            parse(&["mark-del", "--backup-dir=/a", "/b", "/c"]),
            dirs(&["/a", "/b", "/c"])
        );
        assert_eq!(
            parse(&["mark-del", "--backup-dir=/a b\n/c\n"]),
            dirs(&["/a b", "/c"])
        );
        assert_eq!(parse(&["mark-del", "--backup-dir="]), dirs(&[]));
        let ids = vec!["i".to_owned(), "k".to_owned()];
        let by_id = Ok(Asked::MarkDel {
            backup_dirs: Vec::new(),
            bk_ids: ids,
        });
        assert_eq!(parse(&["mark-del", "--bk-id=i,k"]), by_id);
        assert_eq!(parse(&["mark-del", "--bk-id=i", "k"]), by_id);
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_with_it() {
        for (words, said) in [
            (&[][..], "there is no command"),
            (&["dump"], "there is no command \"dump\""),
            (&["mydumper"], "given no argument"),
            (
                &["mydumper", "a", "--password=geheim"],
                "no option --password; mydumper's options",
            ),
            (&["mydumper", "a", "--geheim"], "not shown"),
            (
                &["mydumper", "a", "--only-backup", "--no-rsync"],
                "it stands alone",
            ),
            (&["only-rsync", "x"], "does not take \"x\""),
            (&["only-rsync", "--bk-id=a", "--bk-id=b"], "takes --bk-id once"),
            (&["mark-del"], "needs --backup-dir=<DIR>, or --bk-id=<id>"),
            (&["mark-del", "--bk-id=a", "--backup-dir=b"], "either"),
            (
                &["mark-del", "--log-file=x", "--bk-id=a"],
                "has no option --log-file",
            ),
            (&["validate-backup"], "needs --log-file"),
            (
                &["--password=geheim", "mydumper", "a"],
                "no command \"--password=supersecrect\"",
            ),
            (
                &["dbpass=geheim", "mydumper", "a"],
                "no command \"dbpass=supersecrect\"",
            ),
            (
                &["validate-backup", "password=geheim"],
                "takes no password, and password=supersecrect",
            ),
            (
                &["mark-del", "--backup-dir=/x", "rootpwd=geheim"],
                "takes no password, and rootpwd=supersecrect",
            ),
            (
                &["only-rsync", "--password=geheim"],
                "takes no password, and --password=supersecrect",
            ),
            (
                &["mark-del", "--backup-dir=/x", "-pgeheim"],
                "mark-del has no short option",
            ),
        ] {
            let error = parse(words).unwrap_err();
            assert!(
                error.contains(said) && !error.contains("geheim"),
                "{words:?}: {error}"
            );
        }
    }

    #[test]
    fn the_conf_may_be_named() {
        let words = ["--conf", "/x/pybackup.conf", "mark-del", "--bk-id=i"].map(str::to_owned);
        assert_eq!(parse_words(&words).unwrap().conf, Some("/x/pybackup.conf".into()));
        let words = ["only-rsync", "--conf=/y"].map(str::to_owned);
        assert_eq!(parse_words(&words).unwrap().conf, Some("/y".into()));
    }
}
