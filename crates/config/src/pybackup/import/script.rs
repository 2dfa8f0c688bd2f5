//! What a line of a crontab does about backups, through the scripts that it calls.

mod programs;
mod scope;
mod told;
mod words;

use super::closed::is_remark;
use super::crontab::CronLine;
use super::find::{Find, names_what_is_found};
use super::lexical::{Telling, telling_lines, telling_words};
use super::shell::{RawCommand, read_shell};
use super::word::{Piece, Word, program_shown};
use super::{Place, Remark, Script};
pub(super) use programs::BACKUP_TOOLS;
use programs::{HARMLESS, SHELLS, WRAPPERS};
use scope::{Bar, Scope};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use told::own_text;
pub(super) use words::removes_folders;
use words::{base, locks_alone, marked, reads_alone, unknown_program};

/// Scripts that call scripts.
const DEEPEST: usize = 5;
/// Commands that one line of a crontab may come to: scripts that call themselves end here.
const MOST_COMMANDS: usize = 10_000;
/// Of all scripts that a line calls, each as often as it is called.
const MOST_BYTES: usize = 4 << 20;

/// Files that set up whoever logs in, and no variables of scripts.
const PROFILES: [&str; 5] = [
    "~/.bash_profile",
    "~/.bashrc",
    "~/.profile",
    "/etc/profile",
    "/etc/bashrc",
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
    /// What keeps it from being done each time, which no job has.
    pub(super) condition: Option<Bar>,
}

impl Found {
    /// What is said of it where it is done under a condition: no job has one.
    pub(super) fn is_conditional(&self) -> Option<Remark> {
        let Bar { place, is_end } = self.condition.as_ref()?;
        let at = match place.file == self.place.file {
            true => format!("line {}", place.line),
            false => place.to_string(),
        };
        let text = match (is_end, &self.act) {
            (true, _) => {
                format!("this is never done, since the script ends at {at}: no job is written for it")
            }
            (false, act) => {
                let what = match act {
                    Act::Dump(_) => "this set is made",
                    Act::Validate(_) => "this is tried",
                    Act::Send => "this is sent",
                    Act::Mark(_) | Act::Remove(_) => "this is done",
                };
                format!(
                    "{what} only where the condition at {at} holds, and a job has no conditions: no job is written for \
                     it"
                )
            }
        };
        Some(Remark::gap(self.place.clone(), text))
    }
}

/// A command: its place, how many `sh -c` it stands in, and which of all there.
type Command = (Place, usize, usize);
/// What must not be passed over: how much of it has been told, by command.
pub(super) type Told = BTreeMap<Command, usize>;

/// Reads a line and the scripts behind it.
pub(super) struct Reading<'f> {
    /// The text of a file, where it can be had.
    pub(super) files: &'f dyn Fn(&Path) -> Option<Script>,
    pub(super) found: Vec<Found>,
    pub(super) remarks: Vec<Remark>,
    /// Programs that make backups and are none of pybackup's.
    pub(super) tools: Vec<(Place, String)>,
    /// Scripts that cannot be read.
    pub(super) unread: Vec<(Place, String)>,
    /// The first program of all.
    pub(super) program: Option<String>,
    /// The scripts that were read.
    pub(super) scripts: BTreeSet<PathBuf>,
    /// What must not be passed over, of all that was read.
    pub(super) telling: Vec<(PathBuf, Telling)>,
    /// How much of that each command stands for that was understood, or is told of by itself.
    pub(super) told: Told,
    current: (Command, usize),
    depth: usize,
    commands: usize,
    bytes: usize,
    /// What the script as a whole is called under.
    condition: Option<Bar>,
}

impl<'f> Reading<'f> {
    pub(super) fn new(files: &'f dyn Fn(&Path) -> Option<Script>) -> Self {
        Self {
            files,
            found: Vec::new(),
            remarks: Vec::new(),
            tools: Vec::new(),
            unread: Vec::new(),
            program: None,
            scripts: BTreeSet::new(),
            telling: Vec::new(),
            told: Told::new(),
            current: Default::default(),
            depth: 0,
            commands: 0,
            bytes: 0,
            condition: None,
        }
    }

    /// Reads what the shell is given by the line at `place`.
    pub(super) fn line(&mut self, line: &CronLine, place: &Place) {
        let mut scope = Scope {
            file: place.file.clone(),
            ..Scope::default()
        };
        let telling = telling_lines(&line.whole, place.line);
        self.telling
            .extend(telling.into_iter().map(|line| (place.file.clone(), line)));
        self.run(&read_shell(&line.command, place.line), &mut scope);
    }

    /// Remembers that a script was read, and what in it must not be passed over.
    fn note_script(&mut self, path: &Path, text: &str) {
        if self.scripts.insert(path.to_owned()) {
            let telling = telling_lines(text, 1);
            self.telling
                .extend(telling.into_iter().map(|line| (path.to_owned(), line)));
        }
    }

    fn run(&mut self, commands: &[RawCommand], scope: &mut Scope) {
        scope.doubt_what_functions_set(commands);
        let mut piped: Option<Find> = None;
        // What a shell of its own changes, it changes for itself.
        let mut shells: Vec<(usize, Scope)> = Vec::new();
        for (index, raw) in commands.iter().enumerate() {
            while let Some((_, before)) = shells.pop_if(|(shell, _)| !raw.within.contains(shell)) {
                *scope = before;
            }
            for shell in raw.within.iter().skip(shells.len()) {
                shells.push((*shell, scope.clone()));
            }
            let place = Place {
                file: scope.file.clone(),
                line: raw.line,
            };
            self.commands += 1;
            if self.commands > MOST_COMMANDS {
                self.give_up(place);
                break;
            }
            let telling = telling_words(&own_text(raw)).len();
            self.current = ((place.clone(), scope.nested, index), telling);
            let before = self.condition.clone();
            self.condition = before.clone().or_else(|| scope.condition_of(raw));
            let words = scope.evaluate(raw, self.condition.is_some());
            let found = piped.take();
            if !words.is_empty() {
                piped = self.evaluated((raw, &words), found, place, scope);
            }
            self.condition = before;
        }
        if let Some((_, before)) = shells.into_iter().next() {
            *scope = before;
        }
    }

    /// One command. Gives what it hands on, where that is what `find` finds.
    fn evaluated(
        &mut self,
        (raw, words): (&RawCommand, &[Word]),
        found: Option<Find>,
        place: Place,
        scope: &mut Scope,
    ) -> Option<Find> {
        let program = base(&words[0]);
        self.program
            .get_or_insert_with(|| program_shown(&program).to_owned());
        match program.as_str() {
            "xargs" => match found {
                Some(find) if removes_folders(words) && names_what_is_found(words) => {
                    self.remove(find, place, scope);
                }
                _ => self.strange("xargs", place),
            },
            "find" => {
                let find = Find::read(&words[1..]);
                if find.removes {
                    self.remove(find, place, scope);
                } else {
                    return raw.is_piped.then_some(find);
                }
            }
            "exit" | "return" => scope.leave(raw, program == "return"),
            _ => self.command(words, place, scope),
        }
        None
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
        self.tell();
        self.found.push(Found {
            place,
            act,
            folder: scope.folder(),
            program,
            condition: self.condition.clone(),
        });
    }

    fn command(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let program = base(&words[0]);
        let is_wrapper = WRAPPERS.contains(&program.as_str());
        let is_python = program.starts_with("python");
        let is_pybackup = |word: &Word| matches!(base(word).as_str(), "pybackup" | "pybackup.py");
        let at = words.iter().position(is_pybackup);
        if let Some(at) = at.filter(|at| *at == 0 || is_wrapper || is_python) {
            let is_given = at > 0 && base(&words[at - 1]).starts_with("python");
            return self.pybackup((&words[at..], is_given), place, scope);
        }
        match program.as_str() {
            "cd" | "pushd" => {
                scope.folder = match words {
                    [_] if self.condition.is_none() => None,
                    [_, to] if self.condition.is_none() && !to.shown().starts_with(['-', '+']) => {
                        Some(to.below(scope.folder().as_ref()))
                    }
                    _ => Some(Word(vec![Piece::Unknown("$PWD".to_owned())])),
                };
            }
            "popd" => scope.folder = Some(Word(vec![Piece::Unknown("$PWD".to_owned())])),
            "eval" => {
                scope.forget_all();
                self.unread.push((place.clone(), program.clone()));
                self.strange(&program, place);
            }
            "shift" | "set" => {
                let is_option = |word: &Word| word.shown().starts_with(['-', '+']) && word.shown() != "--";
                if program == "shift" || !words[1..].iter().all(is_option) {
                    scope.arguments.truncate(1);
                }
            }
            "for" => scope.assign_loop(&words[1..]),
            // `exec >log`
            "exec" if words.len() == 1 => {}
            "export" | "local" | "readonly" | "declare" | "typeset" => {}
            "source" | "." => self.source(&words[1..], place, scope),
            "rm" => self.rm(words, &place, scope),
            "flock" if locks_alone(words) => {}
            _ if is_wrapper || SHELLS.contains(&program.as_str()) => self.shell(words, place, scope),
            _ if HARMLESS.contains(&program.as_str()) => {}
            _ if BACKUP_TOOLS.contains(&program.as_str()) => {
                self.tell();
                self.tools.push((place.clone(), program.clone()));
                let text = format!(
                    "what {program:?} does here is no job of mykeeper's: write [backup.NAME] for its sets"
                );
                self.remarks.push(Remark::gap(place, text));
            }
            _ => self.script(words, place, scope),
        }
    }

    /// `is_given` to an interpreter, which looks for no program.
    fn pybackup(&mut self, (words, is_given): (&[Word], bool), place: Place, scope: &Scope) {
        // One without a slash is found on PATH.
        let path = words[0].text().filter(|text| is_given || text.contains('/'));
        let path = path.and_then(|_| words[0].below(scope.folder().as_ref()).text());
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
                self.tell();
                let text = "what pybackup is to do here cannot be told".to_owned();
                return self.remarks.push(Remark::gap(place, text));
            }
        };
        self.act(act, place, scope, program);
    }

    fn rm(&mut self, words: &[Word], place: &Place, scope: &Scope) {
        if !removes_folders(words) {
            return;
        }
        let end = words.iter().position(|word| is_remark(&word.shown()));
        if end.is_some() {
            let text = "GNU rm refuses the remark behind this, and has removed nothing here; the job does";
            self.remarks.push(Remark::note(place.clone(), text.to_owned()));
        }
        for word in &words[1..end.unwrap_or(words.len())] {
            if !word.shown().starts_with('-') {
                self.act(
                    Act::Remove(word.below(scope.folder().as_ref())),
                    place.clone(),
                    scope,
                    None,
                );
            }
        }
    }

    fn source(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let Some(word) = words.first() else { return };
        let path = word.below(scope.folder().as_ref()).text().map(PathBuf::from);
        let text = path
            .as_ref()
            .filter(|_| self.depth < DEEPEST)
            .and_then(|path| (self.files)(path))
            .map(|script| script.text)
            .filter(|text| self.bytes + text.len() <= MOST_BYTES);
        let (Some(path), Some(text)) = (path, text) else {
            let text = format!(
                "{} is not read: a job has an environment of its own; if it sets variables for this script, look at the \
                 values that they have here",
                word.shown()
            );
            if !PROFILES.contains(&word.shown().as_str()) {
                scope.forget_all();
            }
            return self.remarks.push(Remark::note(place, text));
        };
        self.note_script(&path, &text);
        self.bytes += text.len();
        let file = std::mem::replace(&mut scope.file, path);
        self.depth += 1;
        let nested = std::mem::take(&mut scope.nested);
        let left = scope.left_under.len();
        self.run(&read_shell(&text, 1), scope);
        let own = scope.left_under.split_off(left);
        scope
            .left_under
            .extend(own.into_iter().filter(|left| !left.is_return));
        self.depth -= 1;
        scope.nested = nested;
        scope.file = file;
    }

    /// `sh SCRIPT`, `sh -c TEXT`, `flock FILE SCRIPT`.
    fn shell(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let given = words.iter().position(|word| word.text().as_deref() == Some("-c"));
        if let Some(text) = given.and_then(|at| words.get(at + 1)).and_then(Word::text) {
            if self.depth < DEEPEST {
                self.depth += 1;
                let mut inner = scope.handed_down();
                inner.nested += 1;
                self.run(&read_shell(&text, place.line), &mut inner);
                self.depth -= 1;
            }
            return;
        }
        let called = (1..words.len()).find(|at| self.script_text(&words[*at], scope).is_some());
        let is_run = called.is_none_or(|at| !reads_alone(&words[..at]));
        if !is_run {
            self.note_unfollowed(words, &place, scope);
            return self.strange(&base(&words[0]), place);
        }
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
        let path = PathBuf::from(word.below(scope.folder().as_ref()).text()?);
        if !path.is_absolute() || self.depth >= DEEPEST {
            return None;
        }
        let text = (self.files)(&path)?.text;
        let first = text.lines().next().unwrap_or_default();
        let is_script = path.extension().is_some_and(|end| end == "sh")
            || first.starts_with("#!") && first.contains("sh");
        is_script.then_some((path, text))
    }

    fn script(&mut self, words: &[Word], place: Place, scope: &Scope) {
        let Some((path, text)) = self.script_text(&words[0], scope) else {
            self.note_unfollowed(words, &place, scope);
            self.note_unread(words, &place);
            return self.strange(&unknown_program(&words[0]), place);
        };
        self.note_script(&path, &text);
        self.bytes += text.len();
        if self.bytes > MOST_BYTES {
            return self.give_up(place);
        }
        let mut inner = Scope {
            nested: 0,
            file: path.clone(),
            arguments: std::iter::once(Word::of(path.display().to_string()))
                .chain(words[1..].iter().cloned())
                .collect(),
            ..scope.handed_down()
        };
        self.depth += 1;
        self.run(&read_shell(&text, 1), &mut inner);
        self.depth -= 1;
    }
}
