//! What a line of a crontab does about backups, through the scripts that it calls.

use super::find::Find;
use super::shell::{Part, RawCommand, RawWord, plain, read_shell};
use super::word::{Piece, Word, output_shown, program_shown, read_date, variable_shown};
use super::{Place, Remark};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Scripts that call scripts.
const DEEPEST: usize = 5;
/// Commands that one line of a crontab may come to: scripts that call themselves end here.
const MOST_COMMANDS: usize = 10_000;
/// Commands within the words of commands.
const MOST_OUTPUTS: usize = 20;

/// Programs that run another, whose words follow.
const WRAPPERS: [&str; 17] = [
    "sudo",
    "nohup",
    "nice",
    "ionice",
    "time",
    "timeout",
    "flock",
    "env",
    "exec",
    "command",
    "setsid",
    "chrt",
    "taskset",
    "chronic",
    "su",
    "runuser",
    "systemd-cat",
];
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ksh", "zsh"];

/// Programs that change nothing that mykeeper would have to do.
const HARMLESS: [&str; 52] = [
    "mkdir", "echo", "printf", "date", "ps", "pgrep", "grep", "egrep", "fgrep", "wc", "awk", "sed", "cut",
    "head", "tail", "sort", "uniq", "tr", "cat", "tee", "true", "false", ":", "sleep", "test", "[", "[[",
    "exit", "return", "set", "unset", "umask", "ulimit", "trap", "ls", "du", "df", "chmod", "chown", "touch",
    "pwd", "logger", "break", "continue", "wait", "shift", "let", "read", "hostname", "id", "expr", "case",
];

/// What a command does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// `pybackup mydumper WORDS`
    Dump(Vec<Word>),
    /// `pybackup validate-backup WORDS`
    Validate(Vec<Word>),
    /// `pybackup only-rsync`
    Send,
    /// `pybackup mark-del --backup-dir=WORD`
    Mark(Vec<Word>),
    /// `rm -r WORD`, `find ... -exec rm`
    Remove(Word),
}

/// One that matters, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) act: Act,
    /// Where relative paths begin.
    pub(super) folder: Option<Word>,
    /// Where pybackup lies, when the command calls it.
    pub(super) program: Option<PathBuf>,
}

/// Reads a line and the scripts behind it.
pub(super) struct Reading<'f> {
    /// The text of a file, where it can be had.
    pub(super) files: &'f dyn Fn(&Path) -> Option<String>,
    pub(super) found: Vec<Found>,
    pub(super) remarks: Vec<Remark>,
    depth: usize,
    commands: usize,
}

/// What a script knows where a command stands.
struct Scope {
    file: PathBuf,
    folder: Option<Word>,
    variables: BTreeMap<String, Word>,
    arguments: Vec<Word>,
}

impl<'f> Reading<'f> {
    pub(super) fn new(files: &'f dyn Fn(&Path) -> Option<String>) -> Self {
        Self {
            files,
            found: Vec::new(),
            remarks: Vec::new(),
            depth: 0,
            commands: 0,
        }
    }

    /// Reads what the shell is given by the line at `place`.
    pub(super) fn line(&mut self, command: &str, place: &Place) {
        let mut scope = Scope {
            file: place.file.clone(),
            folder: None,
            variables: BTreeMap::new(),
            arguments: Vec::new(),
        };
        self.run(&read_shell(command, place.line), &mut scope);
    }

    fn run(&mut self, commands: &[RawCommand], scope: &mut Scope) {
        let mut piped: Option<Find> = None;
        for raw in commands {
            let place = Place {
                file: scope.file.clone(),
                line: raw.line,
            };
            self.commands += 1;
            if self.commands > MOST_COMMANDS {
                return;
            }
            let words = scope.evaluate(raw);
            let found = piped.take();
            if words.is_empty() {
                continue;
            }
            if base(&words[0]) == "xargs" {
                let removes = words.iter().any(|word| base(word) == "rm");
                match found {
                    Some(find) if removes => self.remove(find, place, scope),
                    _ => self.strange("xargs", place),
                }
                continue;
            }
            if base(&words[0]) == "find" {
                let find = Find::read(&words[1..]);
                if find.removes {
                    self.remove(find, place, scope);
                } else if raw.is_piped {
                    piped = Some(find);
                }
                continue;
            }
            self.command(&words, place, scope);
        }
    }

    fn remove(&mut self, find: Find, place: Place, scope: &Scope) {
        self.act(
            Act::Remove(Word(vec![Piece::Found(Box::new(find))])),
            place,
            scope,
            None,
        );
    }

    fn act(&mut self, act: Act, place: Place, scope: &Scope, program: Option<PathBuf>) {
        self.found.push(Found {
            place,
            act,
            folder: scope.folder.clone(),
            program,
        });
    }

    fn command(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let program = base(&words[0]);
        let is_wrapper = WRAPPERS.contains(&program.as_str());
        let is_python = program.starts_with("python");
        let is_pybackup = |word: &Word| matches!(base(word).as_str(), "pybackup" | "pybackup.py");
        let at = words.iter().position(is_pybackup);
        if let Some(at) = at.filter(|at| *at == 0 || is_wrapper || is_python) {
            return self.pybackup(&words[at..], place, scope);
        }
        match program.as_str() {
            "cd" | "pushd" => scope.folder = words.get(1).map(|to| to.below(scope.folder.as_ref())),
            "for" => scope.assign_loop(&words[1..]),
            "export" | "local" | "readonly" | "declare" | "typeset" => {}
            "source" | "." => self.source(&words[1..], place, scope),
            "rm" => self.rm(&words[1..], &place, scope),
            _ if is_wrapper || SHELLS.contains(&program.as_str()) => self.shell(words, place, scope),
            _ if HARMLESS.contains(&program.as_str()) => {}
            _ => self.script(words, place, scope),
        }
    }

    fn pybackup(&mut self, words: &[Word], place: Place, scope: &Scope) {
        // One without a slash is found on PATH.
        let path = words[0].text().filter(|text| text.contains('/'));
        let path = path.and_then(|_| words[0].below(scope.folder.as_ref()).text());
        let program = path.map(PathBuf::from).filter(|path| path.is_absolute());
        let rest = words.get(2..).unwrap_or_default().to_vec();
        let act = match words.get(1).and_then(Word::text).as_deref() {
            Some("mydumper") if rest.first().and_then(Word::text).as_deref() == Some("help") => return,
            Some("mydumper") => Act::Dump(rest),
            Some("validate-backup") => Act::Validate(rest),
            Some("only-rsync") => Act::Send,
            Some("mark-del") => Act::Mark(marked(&rest)),
            Some("-h" | "--help" | "--version") => return,
            _ => {
                let text = "what pybackup is to do here cannot be told".to_owned();
                return self.remarks.push(Remark::gap(place, text));
            }
        };
        self.act(act, place, scope, program);
    }

    fn rm(&mut self, words: &[Word], place: &Place, scope: &Scope) {
        let options: Vec<String> = words
            .iter()
            .filter_map(Word::text)
            .filter(|text| text.starts_with('-'))
            .collect();
        let is_recursive = options.iter().any(|option| {
            option == "--recursive" || !option.starts_with("--") && option.contains(['r', 'R'])
        });
        if !is_recursive {
            return;
        }
        for word in words {
            if !word.shown().starts_with('-') {
                self.act(
                    Act::Remove(word.below(scope.folder.as_ref())),
                    place.clone(),
                    scope,
                    None,
                );
            }
        }
    }

    fn source(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let Some(word) = words.first() else { return };
        let path = word.below(scope.folder.as_ref()).text().map(PathBuf::from);
        let text = path
            .as_ref()
            .filter(|_| self.depth < DEEPEST)
            .and_then(|path| (self.files)(path));
        let (Some(path), Some(text)) = (path, text) else {
            let text = format!(
                "{} is not read: a job has an environment of its own; if it sets variables for this script, look at the \
                 values that they have here",
                word.shown()
            );
            return self.remarks.push(Remark::note(place, text));
        };
        let file = std::mem::replace(&mut scope.file, path);
        self.depth += 1;
        self.run(&read_shell(&text, 1), scope);
        self.depth -= 1;
        scope.file = file;
    }

    /// `sh SCRIPT`, `sh -c TEXT`, `flock FILE SCRIPT`.
    fn shell(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let given = words.iter().position(|word| word.text().as_deref() == Some("-c"));
        if let Some(text) = given.and_then(|at| words.get(at + 1)).and_then(Word::text) {
            if self.depth < DEEPEST {
                self.depth += 1;
                self.run(&read_shell(&text, place.line), scope);
                self.depth -= 1;
            }
            return;
        }
        let called = (1..words.len()).find(|at| self.script_text(&words[*at], scope).is_some());
        match called {
            Some(at) => self.script(&words[at..], place, scope),
            None => {
                let inner = words.iter().find(|word| {
                    let name = base(word);
                    !word.shown().starts_with('-')
                        && !word.shown().contains('=')
                        && !WRAPPERS.contains(&name.as_str())
                        && !SHELLS.contains(&name.as_str())
                });
                let shown = inner.map_or_else(|| base(&words[0]), unknown_program);
                self.strange(&shown, place);
            }
        }
    }

    fn script_text(&self, word: &Word, scope: &Scope) -> Option<(PathBuf, String)> {
        let path = PathBuf::from(word.below(scope.folder.as_ref()).text()?);
        if !path.is_absolute() || self.depth >= DEEPEST {
            return None;
        }
        let text = (self.files)(&path)?;
        let first = text.lines().next().unwrap_or_default();
        let is_script = path.extension().is_some_and(|end| end == "sh")
            || first.starts_with("#!") && first.contains("sh");
        is_script.then_some((path, text))
    }

    fn script(&mut self, words: &[Word], place: Place, scope: &Scope) {
        let Some((path, text)) = self.script_text(&words[0], scope) else {
            return self.strange(&unknown_program(&words[0]), place);
        };
        let mut inner = Scope {
            file: path.clone(),
            folder: scope.folder.clone(),
            variables: scope.variables.clone(),
            arguments: std::iter::once(Word::of(path.display().to_string()))
                .chain(words[1..].iter().cloned())
                .collect(),
        };
        self.depth += 1;
        self.run(&read_shell(&text, 1), &mut inner);
        self.depth -= 1;
    }

    /// The program's name alone: its words may hold a password.
    fn strange(&mut self, program: &str, place: Place) {
        let shown = match program.starts_with('$') {
            true => program.to_owned(),
            false => program_shown(program).to_owned(),
        };
        let text = match shown.as_str() {
            "" => "what this command does is not translated".to_owned(),
            program => format!("what {program:?} does here is not translated"),
        };
        self.remarks.push(Remark::gap(place, text));
    }
}

/// `--backup-dir=X`, `--backup-dir X`, and what a shell makes of several names.
fn marked(words: &[Word]) -> Vec<Word> {
    let mut folders = Vec::new();
    for word in words {
        if let Some(folder) = word.after("--backup-dir=") {
            folders.push(folder);
        } else if !word.shown().starts_with('-') {
            folders.push(word.clone());
        }
    }
    folders
}

/// A program's name.
fn base(word: &Word) -> String {
    let shown = word.shown();
    shown.rsplit('/').next().unwrap_or_default().to_owned()
}

/// What is called, where it is no script that can be read: what comes after a variable may be more than its name.
fn unknown_program(word: &Word) -> String {
    match word.0.first() {
        Some(Piece::Unknown(shown)) => shown.clone(),
        Some(Piece::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

impl Scope {
    /// The command's words with everything put in that is known; the assignments before it are made.
    fn evaluate(&mut self, raw: &RawCommand) -> Vec<Word> {
        let mut words = raw.words.as_slice();
        while let Some((first, rest)) = words.split_first() {
            if !self.assign(first) {
                break;
            }
            words = rest;
        }
        let evaluated: Vec<Word> = words.iter().map(|word| self.word(word)).collect();
        let program = evaluated.first().and_then(Word::text).unwrap_or_default();
        if matches!(
            program.as_str(),
            "export" | "local" | "readonly" | "declare" | "typeset"
        ) {
            for word in words.iter().skip(1) {
                self.assign(word);
            }
        }
        evaluated
    }

    /// `NAME=value`
    fn assign(&mut self, word: &RawWord) -> bool {
        let Some(Part::Text(first)) = word.first() else {
            return false;
        };
        let Some((name, value)) = first.split_once('=') else {
            return false;
        };
        let is_name = !name.is_empty()
            && !name.starts_with(|one: char| one.is_ascii_digit())
            && name.chars().all(|one| one == '_' || one.is_ascii_alphanumeric());
        if !is_name {
            return false;
        }
        let mut raw = vec![Part::Text(value.to_owned())];
        raw.extend_from_slice(&word[1..]);
        let value = self.word(&raw);
        self.variables.insert(name.to_owned(), value);
        true
    }

    /// `for NAME in WORDS`
    fn assign_loop(&mut self, words: &[Word]) {
        let (Some(name), Some(items)) = (words.first().and_then(Word::text), words.get(2..)) else {
            return;
        };
        let value = match items {
            [one] => one.clone(),
            _ => Word(vec![Piece::Unknown(format!("${name}"))]),
        };
        self.variables.insert(name, value);
    }

    fn word(&self, raw: &RawWord) -> Word {
        let mut word = Word::default();
        for part in raw {
            match part {
                Part::Text(text) if text.is_empty() => {}
                Part::Text(text) => word.push(Piece::Text(text.clone())),
                Part::Variable(name) => match self.variable(name) {
                    Some(value) => value.0.into_iter().for_each(|piece| word.push(piece)),
                    None => word.push(Piece::Unknown(variable_shown(name))),
                },
                Part::Output(text) => self.output(text).0.into_iter().for_each(|piece| word.push(piece)),
            }
        }
        word
    }

    fn variable(&self, name: &str) -> Option<Word> {
        if let Ok(at) = name.parse::<usize>() {
            return self.arguments.get(at).cloned();
        }
        match name {
            "PWD" => self.folder.clone(),
            _ => self.variables.get(name).cloned(),
        }
    }

    fn output(&self, text: &str) -> Word {
        if let Some(day) = read_date(text).filter(|day| !day.format.is_empty()) {
            return Word(vec![Piece::Day(day)]);
        }
        let unknown = || Word(vec![Piece::Unknown(output_shown(text))]);
        if text.matches(['`', '(']).count() > MOST_OUTPUTS {
            return unknown();
        }
        let commands = read_shell(text, 1);
        if let [command] = commands.as_slice() {
            let words: Vec<Word> = command.words.iter().map(|word| self.word(word)).collect();
            match words.first().map(base).as_deref() {
                Some("find") => return Word(vec![Piece::Found(Box::new(Find::read(&words[1..])))]),
                Some("pwd") => return self.folder.clone().unwrap_or_default(),
                Some("echo") if words.len() == 2 => return words[1].clone(),
                _ => {}
            }
        }
        self.own_folder(&commands).unwrap_or_else(unknown)
    }

    /// `dirname $0`, also within `cd ... && pwd`.
    fn own_folder(&self, commands: &[RawCommand]) -> Option<Word> {
        let script = self.arguments.first()?.text()?;
        let words = &commands.first()?.words;
        let asks = match words.first().and_then(plain)?.as_str() {
            "dirname" => {
                matches!(words.get(1)?.as_slice(), [Part::Variable(name)] if name == "0" || name.starts_with("BASH_SOURCE"))
            }
            "cd" => matches!(words.get(1)?.as_slice(), [Part::Output(inner)] if inner.contains("dirname")),
            _ => false,
        };
        let folder = Path::new(&script).parent()?;
        asks.then(|| Word::of(folder.display().to_string()))
    }
}
