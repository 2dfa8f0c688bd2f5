//! The closed set: the few forms of statements of which it is certain what a script of them removes each time it runs.
//!
//! A shell can make anything of anything, so nothing is followed here: whatever is not of these forms is said to be not,
//! and no removal beside it becomes a job that runs. They are those of the scripts in pybackup's documentation.

mod calls;
mod date;
mod find;
mod statement;

use super::crontab::CronLine;
use super::find::Find;
use super::word::{Piece, Word, is_place, program_shown, tidy};
use super::{ImportFrom, Place};
use calls::calls_pybackup;
use find::is_plain_find;
use statement::{Statement, Statements, is_known};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Scripts that call scripts.
const DEEPEST: usize = 5;
/// More are no backup script's.
const MOST_STATEMENTS: usize = 10_000;
/// Of all scripts that a line calls, each as often as it is called.
const MOST_BYTES: usize = 4 << 20;

/// Variables that shells, and the programs here, heed by themselves.
const HEEDED: [&str; 27] = [
    "IFS",
    "ENV",
    "CDPATH",
    "HOME",
    "TZ",
    "PWD",
    "OLDPWD",
    "SHELLOPTS",
    "POSIXLY_CORRECT",
    "GLOBIGNORE",
    "SECONDS",
    "RANDOM",
    "SRANDOM",
    "LINENO",
    "UID",
    "EUID",
    "PPID",
    "GROUPS",
    "DIRSTACK",
    "FUNCNAME",
    "HISTCMD",
    "OPTIND",
    "SHLVL",
    "REPLY",
    "_",
    "PIPESTATUS",
    "EPOCHSECONDS",
];

/// The first thing that is not of the closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Odd {
    place: Place,
    /// For people.
    what: String,
    /// What it is, is not known either.
    is_unread: bool,
}

impl Odd {
    /// A subordinate clause: why no removal beside it runs.
    pub(super) fn doubt(&self) -> String {
        if self.is_unread {
            return format!(
                "{}, which is read in at {}, may change what is removed",
                self.what, self.place
            );
        }
        format!(
            "{} at {} is none of the plain statements of which it is certain what they remove",
            self.what, self.place
        )
    }
}

fn odd(place: Place, what: impl Into<String>) -> Odd {
    Odd {
        place,
        what: what.into(),
        is_unread: false,
    }
}

/// What is known where a statement stands.
#[derive(Clone)]
struct Scope {
    file: PathBuf,
    folder: Option<Word>,
    variables: BTreeMap<String, Word>,
    /// Where a file was read in that is not read here.
    profile: Option<Place>,
    depth: usize,
}

/// Reads a line of a crontab and the scripts that it calls.
struct Reader<'f> {
    from: &'f ImportFrom<'f>,
    /// What `rm` is given, and what `find` finds for it.
    removed: Vec<Word>,
    /// The folders that get a folder of today.
    made: Vec<(Place, String)>,
    /// The files that are written to.
    written: Vec<(Place, String)>,
    /// The names of the scripts.
    called: Vec<String>,
    statements: usize,
    bytes: usize,
}

/// What the line removes, in its order.
///
/// # Errors
/// The first thing that is not of the closed set.
pub(super) fn read_removals(line: &CronLine, place: &Place, from: &ImportFrom<'_>) -> Result<Vec<Word>, Odd> {
    let odd = |line, what: &str| {
        let place = Place {
            line,
            ..place.clone()
        };
        odd(place, what)
    };
    if !line.doubts.is_empty() {
        return Err(odd(place.line, "a line that may be read otherwise"));
    }
    if let Some(at) = line.surrounded {
        return Err(odd(at, "a variable of the crontab's"));
    }
    if let Some((_, at)) = &line.zone {
        return Err(odd(
            *at,
            "CRON_TZ, which moves the run and not the script's dates,",
        ));
    }
    let mut reader = Reader {
        from,
        removed: Vec::new(),
        made: Vec::new(),
        written: Vec::new(),
        called: Vec::new(),
        statements: 0,
        bytes: 0,
    };
    let scope = Scope {
        file: place.file.clone(),
        folder: None,
        variables: BTreeMap::new(),
        profile: None,
        depth: 0,
    };
    reader.read(&line.command, place.line, scope)?;
    reader.look_at_the_whole()?;
    Ok(reader.removed)
}

/// Whether `rm` and `find` are the system's where `PATH` is this.
pub(super) fn is_usual_path(path: &str) -> bool {
    let mut folders = path.split(':');
    let is_usual = |folder: &&str| {
        [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/sbin",
            "/usr/bin",
            "/bin",
        ]
        .contains(folder)
    };
    let has_them = |folder: &str| ["/usr/bin", "/bin"].contains(&folder);
    folders.by_ref().take_while(is_usual).any(has_them)
}

impl Reader<'_> {
    /// What no statement shows by itself.
    fn look_at_the_whole(&self) -> Result<(), Odd> {
        let odd = |(place, what): (&Place, &str)| Err(odd(place.clone(), what));
        let is_called = |file: &str| self.called.contains(&base(file));
        if let Some((place, _)) = self.written.iter().find(|(_, file)| is_called(file)) {
            return odd((place, "what is written to a script that is called"));
        }
        // A folder is as old as the newest that was made in it.
        let finds = self.removed.iter().filter_map(Word::found);
        let looked: Vec<String> = finds.flat_map(|find| &find.folders).map(Word::shown).collect();
        let is_in_found = |folder: &str| {
            let mut looked = looked.iter();
            looked.any(|above| folder.starts_with(&format!("{}/", tidy(above).trim_end_matches('/'))))
        };
        if let Some((place, _)) = self.made.iter().find(|(_, folder)| is_in_found(folder)) {
            return odd((place, "a folder in what \"find\" goes by the age of,"));
        }
        // So it is where a file is made in it; where nobody knows in which folder, it may be any.
        let is_younger = |file: &str| match file.rsplit_once('/') {
            Some((folder, _)) => is_in_found(&tidy(folder)) || !is_place(&format!("{folder}/")),
            None => false,
        };
        let is_looked = !looked.is_empty();
        match self
            .written
            .iter()
            .find(|(_, file)| is_looked && is_younger(file))
        {
            Some((place, _)) => odd((place, "a file in what \"find\" goes by the age of,")),
            None => Ok(()),
        }
    }

    fn read(&mut self, text: &str, first: usize, mut scope: Scope) -> Result<(), Odd> {
        let is_line = scope.depth == 0;
        let mut statements = Statements::of(text, first);
        let mut is_first = true;
        loop {
            let file = scope.file.clone();
            let odd = |line, what: String| odd(Place { file, line }, what);
            let statement = match statements.next(&scope.variables) {
                Ok(Some(statement)) => statement,
                Ok(None) => return Ok(()),
                Err((line, what)) => return Err(odd(line, what)),
            };
            let line = statement.line;
            self.statements += 1;
            if self.statements > MOST_STATEMENTS {
                return Err(odd(line, "one statement too many".to_owned()));
            }
            let changes_folder = statement.assigns.is_none()
                && statement.words.first().and_then(Word::text).as_deref() == Some("cd");
            // `cd DIR && SCRIPT`, as crontabs have it: there is nothing to remove where there is no folder.
            if statement.is_and && !(is_line && is_first && changes_folder) {
                return Err(odd(line, "\"&&\"".to_owned()));
            }
            is_first = false;
            self.judge(statement, &mut scope)?;
        }
    }

    fn judge(&mut self, statement: Statement, scope: &mut Scope) -> Result<(), Odd> {
        let place = Place {
            file: scope.file.clone(),
            line: statement.line,
        };
        let words = &statement.words;
        let odd = |what: String| Err(odd(place.clone(), what));
        let written = statement.writes.iter();
        let written = written.map(|file| file.below(scope.folder.as_ref()).shown());
        self.written.extend(written.map(|file| (place.clone(), file)));
        if let Some(name) = statement.assigns {
            return match words.as_slice() {
                [value] if is_known(value) && !is_heeded(&name, value) => {
                    scope.variables.insert(name, value.clone());
                    Ok(())
                }
                _ => odd(format!("what {name} is set to")),
            };
        }
        let program = words.first().and_then(Word::text).unwrap_or_default();
        let is_understood = match program.as_str() {
            "echo" => true,
            "printf" => words.get(1).is_some_and(|word| !word.shown().starts_with('-')),
            "cd" => change_folder(words, scope),
            "mkdir" => self.make(words, &place, scope),
            "source" | "." => {
                scope.profile.get_or_insert_with(|| place.clone());
                words.len() == 2 && words[1].text().as_deref() == Some("~/.bash_profile")
            }
            program if is_rm(program) => self.rm(words, scope),
            "find" | "/bin/find" | "/usr/bin/find" => self.find(words),
            _ if calls_pybackup(words) => true,
            _ => return self.call(words, &place, scope),
        };
        let needs_all = matches!(program.rsplit('/').next(), Some("rm" | "find"))
            || words
                .iter()
                .any(|word| word.text().as_deref() == Some("mark-del"));
        match &scope.profile {
            Some(profile) if needs_all => Err(unread(profile)),
            _ if is_understood => Ok(()),
            _ => odd(format!("this {:?}", program_shown(&program))),
        }
    }

    /// `rm -rf WORD ...`
    fn rm(&mut self, words: &[Word], scope: &Scope) -> bool {
        // The documentation has a remark behind it, which no sign begins.
        let end = words
            .iter()
            .position(|word| is_remark(&word.shown()))
            .unwrap_or(words.len());
        let is_whole = words.iter().all(is_known) && is_plain_rm(&words[..end]);
        let operands = words[1..end].iter().filter(|word| !word.shown().starts_with('-'));
        self.removed
            .extend(operands.map(|word| word.below(scope.folder.as_ref())));
        is_whole
    }

    /// `find ... -exec rm -r {} \;`, `find ... -delete`
    fn find(&mut self, words: &[Word]) -> bool {
        let find = Find::read(&words[1..]);
        let is_understood = is_plain_find(words) && find.removes && find.strange.is_empty();
        // It does not go through a link.
        let is_link = |folder: &Word| {
            let text = folder.text().unwrap_or_default();
            !text.ends_with('/') && (self.from.is_link)(Path::new(&text))
        };
        let is_understood = is_understood && !find.folders.iter().any(is_link);
        self.removed.push(Word(vec![Piece::Found(Box::new(find))]));
        is_understood
    }

    /// `mkdir $DTODAY`: any other folder may be, or be in, one that is removed by its age.
    fn make(&mut self, words: &[Word], place: &Place, scope: &Scope) -> bool {
        let folders = words[1..]
            .iter()
            .filter(|word| word.text().as_deref() != Some("-p"));
        for folder in folders {
            let folder = folder.below(scope.folder.as_ref());
            match folder.day_folder() {
                Some((folder, day)) if day.days_ago == 0 && is_place(&folder) => {
                    self.made.push((place.clone(), folder));
                }
                _ => return false,
            }
        }
        true
    }

    /// A script that is called, `sh SCRIPT`: of the closed set where all of it is.
    fn call(&mut self, words: &[Word], place: &Place, scope: &Scope) -> Result<(), Odd> {
        let program = words.first().and_then(Word::text).unwrap_or_default();
        let is_shell = SHELLS.contains(&program.rsplit('/').next().unwrap_or_default());
        let script = words
            .get(usize::from(is_shell))
            .filter(|word| is_shell || word.shown().contains('/'));
        let path = script.and_then(|script| script.below(scope.folder.as_ref()).text());
        let path = path.map(PathBuf::from).filter(|path| path.is_absolute());
        let script = path
            .as_deref()
            .filter(|_| scope.depth < DEEPEST)
            .and_then(self.from.files);
        let (Some(file), Some(script)) = (path, script) else {
            let shown = match program_shown(&program) {
                "" => "this command".to_owned(),
                program => format!("{program:?}"),
            };
            return Err(odd(place.clone(), shown));
        };
        if let Some(profile) = &scope.profile {
            return Err(unread(profile));
        }
        let first = Place {
            file: file.clone(),
            line: 1,
        };
        let odd = |what: &str| odd(first.clone(), what);
        if !is_shell && !script.is_executable {
            return Err(odd("a script that nobody may execute"));
        }
        if !is_plain_first(script.text.split('\n').next().unwrap_or_default()) {
            return Err(odd("the first line"));
        }
        self.bytes += script.text.len();
        if self.bytes > MOST_BYTES {
            return Err(odd("one script too many"));
        }
        self.called.push(base(&file.display().to_string()));
        let inner = Scope {
            file,
            variables: BTreeMap::new(),
            depth: scope.depth + 1,
            ..scope.clone()
        };
        self.read(&script.text, 1, inner)
    }
}

const SHELLS: [&str; 3] = ["sh", "bash", "dash"];

/// `#!/bin/sh`, `#!/usr/bin/env bash`, none.
fn is_plain_first(line: &str) -> bool {
    if line.contains('\r') {
        return false;
    }
    let Some(rest) = line.strip_prefix("#!") else {
        return true;
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let shell = match words.as_slice() {
        ["/usr/bin/env", shell] => shell,
        [path] => match path.strip_prefix("/usr/bin/").or(path.strip_prefix("/bin/")) {
            Some(shell) => shell,
            None => return false,
        },
        _ => return false,
    };
    SHELLS.contains(&shell)
}

/// `--` and words that no option has.
pub(super) fn is_remark(word: &str) -> bool {
    word.strip_prefix("--")
        .is_some_and(|rest| rest.starts_with(|one: char| !one.is_ascii()))
}

/// A file's name.
fn base(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn unread(profile: &Place) -> Odd {
    Odd {
        place: profile.clone(),
        what: "~/.bash_profile".to_owned(),
        is_unread: true,
    }
}

fn is_heeded(name: &str, value: &Word) -> bool {
    let begins = |start: &&str| name.starts_with(start);
    match name {
        "PATH" => !value.text().is_some_and(|path| is_usual_path(&path)),
        _ => HEEDED.contains(&name) || ["BASH", "LD_", "COMP"].iter().any(begins),
    }
}

/// `cd /literal/folder`
fn change_folder(words: &[Word], scope: &mut Scope) -> bool {
    let [_, to] = words else { return false };
    scope.folder = Some(to.clone());
    to.text().is_some_and(|to| is_place(&to))
}

/// The system's, and no other of its name.
fn is_rm(program: &str) -> bool {
    ["rm", "/bin/rm", "/usr/bin/rm"].contains(&program)
}

/// Whether `rm` removes all that it is given, folders too, and asks nobody.
pub(super) fn is_plain_rm(words: &[Word]) -> bool {
    let texts = || words.iter().skip(1).map(Word::shown);
    let is_option = |text: &String| text.starts_with('-');
    let is_cluster = |text: &str| text.len() > 1 && text[1..].bytes().all(|letter| b"rRfv".contains(&letter));
    let is_recursive = |text: &String| text == "--recursive" || is_cluster(text) && text.contains(['r', 'R']);
    let mut options = texts().filter(is_option);
    options.all(|text| ["--recursive", "--force"].contains(&text.as_str()) || is_cluster(&text))
        && texts().filter(is_option).any(|text| is_recursive(&text))
        && texts().any(|text| !is_option(&text))
}
