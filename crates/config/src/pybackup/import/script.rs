//! What a line of a crontab does about backups, through the scripts that it calls.

mod called;
mod conditions;
mod open;
mod programs;
mod scope;
mod search;
mod told;
mod words;
mod wrappers;

use super::closed::is_remark;
use super::crontab::CronLine;
use super::find::{Find, names_what_is_found};
use super::lexical::{Telling, telling_lines, telling_words};
use super::shell::RawCommand;
use super::unknown::names_other_conf;
use super::word::{Piece, Word, program_shown};
use super::{ImportFrom, Place, Remark, Script};
use conditions::{Bar, Passed};
use open::{Open, finds_and_runs};
pub(super) use programs::BACKUP_TOOLS;
use programs::HARMLESS;
use scope::{Scope, names_set};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use told::own_text;
pub(super) use words::removes_folders;
use words::{
    asked_of_pybackup, base, behind_command, ends_itself, locks_alone, marked, may_end, names_script,
    replaces, sets_nounset, sets_strict, unknown_program,
};
use wrappers::{is_shell, is_wrapper, read_shell_words};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// `pybackup mydumper WORDS`
    Dump(Vec<Word>),
    /// `pybackup validate-backup WORDS`
    Validate(Vec<Word>),
    /// `pybackup only-rsync WORDS`
    Send(Vec<Word>),
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
    /// Conditions that are passed over.
    pub(super) passed: Vec<Passed>,
    /// How much was done before it that may change what it meets.
    pub(super) busy: usize,
}

/// A command: its place, how many `sh -c` it stands in, and which of all there.
type Command = (Place, usize, usize);
/// What must not be passed over: how much of it has been told, by command.
pub(super) type Told = BTreeMap<Command, usize>;

/// The command that is being read.
#[derive(Default)]
struct Current {
    command: Command,
    /// How much in it must not be passed over.
    telling: usize,
    /// How much of that may make sets.
    making: usize,
}

/// Reads a line and the scripts behind it.
pub(super) struct Reading<'f> {
    /// The text of a file, where it can be had.
    pub(super) files: &'f dyn Fn(&Path) -> Option<Script>,
    /// The conf that is read.
    conf: &'f Path,
    /// Whether a program that is no text lies there.
    is_program: &'f dyn Fn(&Path) -> bool,
    pub(super) found: Vec<Found>,
    pub(super) remarks: Vec<Remark>,
    /// Texts of which it is not certain how a shell reads them.
    pub(super) unclear: Vec<Remark>,
    /// Programs that make backups and are none of pybackup's.
    pub(super) tools: Vec<(Place, String)>,
    /// Scripts that cannot be read.
    pub(super) unread: Vec<(Place, String)>,
    /// The first program of all.
    pub(super) program: Option<String>,
    /// The scripts that were read.
    pub(super) scripts: BTreeSet<PathBuf>,
    /// From which line on the two readers of a script differ.
    read: BTreeMap<PathBuf, Option<usize>>,
    /// What must not be passed over, of all that was read.
    pub(super) telling: Vec<(PathBuf, Telling)>,
    /// How much of that each command stands for that was understood, or is told of by itself.
    pub(super) told: Told,
    /// The same of what makes sets, where that is understood.
    pub(super) made: Told,
    /// Where files are called that cannot be read.
    pub(super) blind: Vec<Place>,
    /// What is not understood.
    open: Vec<Open>,
    /// Where the conf may be changed.
    pub(super) changes_conf: Vec<Place>,
    /// How much has been done so far that may change what a call meets.
    busy: usize,
    current: Current,
    depth: usize,
    commands: usize,
    bytes: usize,
    /// What the script as a whole is called under.
    condition: Option<Bar>,
    /// The same of conditions that are passed over.
    passed: Vec<Passed>,
    /// The script that is called next is run with `-e`.
    is_strict: bool,
    /// And with `-u`.
    is_nounset: bool,
    /// What the last command is, is not known: where files are read in, it may be a function of one.
    is_unknown: bool,
}

impl<'f> Reading<'f> {
    pub(super) fn new(from: &ImportFrom<'f>) -> Self {
        Self {
            files: from.files,
            conf: &from.conf.file,
            is_program: from.is_program,
            found: Vec::new(),
            remarks: Vec::new(),
            unclear: Vec::new(),
            tools: Vec::new(),
            unread: Vec::new(),
            program: None,
            scripts: BTreeSet::new(),
            read: BTreeMap::new(),
            telling: Vec::new(),
            told: Told::new(),
            made: Told::new(),
            blind: Vec::new(),
            open: Vec::new(),
            changes_conf: Vec::new(),
            busy: 0,
            current: Current::default(),
            depth: 0,
            commands: 0,
            bytes: 0,
            condition: None,
            passed: Vec::new(),
            is_strict: false,
            is_nounset: false,
            is_unknown: false,
        }
    }

    /// Reads what the shell is given by the line at `place`.
    pub(super) fn line(&mut self, line: &CronLine, place: &Place) {
        let mut scope = Scope {
            file: place.file.clone(),
            ..Scope::default()
        };
        scope.variables.insert("PATH".to_owned(), Word::of(&line.path));
        scope.exported.insert("PATH".to_owned());
        let telling = telling_lines(&line.whole, place.line);
        self.telling
            .extend(telling.into_iter().map(|line| (place.file.clone(), line)));
        let commands = self.commands(&line.command, place.line, &mut scope);
        self.run(&commands, &mut scope);
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
        // The loops around, with what they set: that is not known from their beginning, nor after their end.
        let mut loops: Vec<(usize, Vec<String>)> = Vec::new();
        // What is set under conditions is known under them alone.
        let mut chosen: Vec<(&RawCommand, Vec<String>)> = Vec::new();
        for raw in commands {
            while let Some((_, names)) = loops.pop_if(|(round, _)| !raw.loops.contains(round)) {
                names.iter().for_each(|name| scope.forget(name));
            }
            for (_, names) in chosen.extract_if(.., |(setter, _)| {
                !setter.under.iter().all(|condition| raw.under.contains(condition))
            }) {
                names.iter().for_each(|name| scope.forget(name));
            }
            while let Some((_, before)) = shells.pop_if(|(shell, _)| !raw.within.contains(shell)) {
                let inner = std::mem::replace(scope, before);
                // The shell's end is a failure like another's.
                if scope.is_strict {
                    (scope.left_under, scope.passed) = (inner.left_under, inner.passed);
                }
            }
            for shell in raw.within.iter().skip(shells.len()) {
                shells.push((*shell, scope.clone()));
            }
            for round in raw.loops.iter().skip(loops.len()) {
                let inner = commands.iter().filter(|inner| inner.loops.contains(round));
                let names: Vec<String> = inner.flat_map(names_set).collect();
                names.iter().for_each(|name| scope.forget(name));
                loops.push((*round, names));
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
            let telling = telling_words(&own_text(raw));
            self.current = Current {
                command: (place.clone(), scope.nested, raw.number),
                telling: telling.len(),
                making: telling.iter().filter(|(_, makes)| *makes).count(),
            };
            let before = (self.condition.clone(), self.passed.len());
            match scope.conditions_of(raw) {
                Ok(passed) => self.passed.extend(passed),
                Err(bar) => self.condition = before.0.clone().or(Some(bar)),
            }
            if raw.reads && self.condition.is_none() {
                self.condition = Some(Bar::reads(place.clone()));
            }
            self.note_inner(raw, &place, scope);
            let lacks = scope.lacks(raw);
            let words = scope.evaluate(raw, self.condition.is_some());
            let found = piped.take();
            if !words.is_empty() && self.condition.is_none() {
                self.condition.clone_from(&lacks);
            }
            if !words.is_empty() {
                piped = self.evaluated((raw, &words), found, place, scope);
            }
            if std::mem::take(&mut self.is_unknown) && scope.has_read_in && !raw.under.is_empty() {
                // It may end the script.
                scope.leave(raw, "exit");
            }
            scope.leave_where_it_fails(raw);
            scope.leave_where_it_lacks(raw, lacks);
            let names = names_set(raw);
            if !raw.under.is_empty() && !names.is_empty() {
                chosen.push((raw, names));
            }
            self.condition = before.0;
            self.passed.truncate(before.1);
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
        let is_function = |name: &str| scope.functions.contains_key(name);
        let words = behind_command(words)
            .filter(|words| !is_function(&base(&words[0])))
            .unwrap_or(words);
        let program = base(&words[0]);
        self.program
            .get_or_insert_with(|| program_shown(&program).to_owned());
        match program.as_str() {
            "xargs" => match found {
                Some(find) if removes_folders(words) && names_what_is_found(words) => {
                    self.remove(find, place, scope);
                }
                _ => self.handed_on(words, place, scope),
            },
            "find" => {
                let find = Find::read(&words[1..]);
                if finds_and_runs(&words[1..]) {
                    self.note_changes(words, &place, scope);
                    self.leave_open(&place, "");
                }
                if find.removes {
                    self.remove(find, place, scope);
                } else {
                    return raw.is_piped.then_some(find);
                }
            }
            "exit" | "return" | "break" | "continue" => scope.leave(raw, &program),
            "kill" if ends_itself(words) => scope.leave(raw, "exit"),
            "pkill" | "killall" if names_script(words, &scope.file) => scope.leave(raw, "exit"),
            "eval" if may_end(words) => {
                self.command(words, place, scope);
                scope.leave(raw, "eval");
            }
            "exec" if replaces(words) => {
                self.command(words, place, scope);
                scope.leave(raw, "exit");
            }
            "mkdir" if raw.under.is_empty() && self.condition.is_none() => {
                let made = words[1..].iter().filter(|word| !word.shown().starts_with('-'));
                let made: Vec<Word> = made.map(|word| word.below(scope.folder().as_ref())).collect();
                scope.made.extend(made);
            }
            name if scope.functions.contains_key(name) => self.function(raw, name, scope),
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
        if matches!(act, Act::Dump(_)) {
            self.make();
        }
        let found = Found {
            place,
            act,
            folder: scope.folder(),
            program,
            condition: self.condition.clone(),
            passed: [self.passed.as_slice(), &scope.passed].concat(),
            busy: self.busy,
        };
        // A function that is called once more does the same; where it does so each time, that counts.
        let is_same = |other: &&mut Found| {
            (&other.place, &other.act, &other.folder) == (&found.place, &found.act, &found.folder)
        };
        match self.found.iter_mut().find(is_same) {
            Some(same) if !matches!(found.act, Act::Remove(_)) => {
                if same.condition.is_some() {
                    *same = found;
                }
            }
            _ => self.found.push(found),
        }
    }

    fn command(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let program = base(&words[0]);
        let is_python = program.starts_with("python");
        let is_pybackup = |word: &Word| matches!(base(word).as_str(), "pybackup" | "pybackup.py");
        let at = words.iter().position(is_pybackup);
        if let Some(at) = at.filter(|at| *at == 0 || is_python) {
            return self.pybackup((&words[at..], is_python), place, scope);
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
                self.busy += 1;
                scope.forget_all();
                self.unread.push((place.clone(), program.clone()));
                self.strange(&program, place);
            }
            "trap" if words.last().and_then(Word::text).as_deref() == Some("ERR") => scope.is_strict = true,
            "shift" | "set" => {
                if let Some(is_strict) = sets_strict(words) {
                    scope.is_strict = is_strict;
                }
                if let Some(is_nounset) = sets_nounset(words).filter(|_| program == "set") {
                    scope.is_nounset = is_nounset;
                }
                let is_option = |word: &Word| word.shown().starts_with(['-', '+']) && word.shown() != "--";
                if program == "shift" || !words[1..].iter().all(is_option) {
                    scope.arguments.truncate(1);
                }
            }
            "for" => scope.assign_loop(&words[1..]),
            // `exec >log`
            "exec" if !replaces(words) => {}
            "declare" | "typeset" | "local" => scope.refer(&words[1..]),
            "export" | "readonly" => self.busy += 1,
            "source" | "." => self.source(&words[1..], place, scope),
            "rm" => self.rm(words, &place, scope),
            "flock" if locks_alone(words) => {}
            name if is_wrapper(name) => self.wrapped(words, place, scope),
            name if is_shell(name) => self.shell((words, read_shell_words(words)), place, scope),
            _ if HARMLESS.contains(&program.as_str()) => self.note_harmless(words, &place, scope),
            _ if BACKUP_TOOLS.contains(&program.as_str()) => {
                self.tell();
                self.make();
                self.busy += 1;
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
        let (asked, rest) = asked_of_pybackup(words);
        let act = match asked.as_deref() {
            Some("mydumper") if rest.first().and_then(Word::text).as_deref() == Some("help") => return,
            Some("mydumper") => {
                self.note_zone(&place, scope);
                Act::Dump(rest)
            }
            Some("validate-backup") => Act::Validate(rest),
            Some("only-rsync") => Act::Send(rest),
            // In which catalog is not known then.
            Some("mark-del") if names_other_conf(&rest, self.conf) => Act::Mark(Vec::new()),
            Some("mark-del") => Act::Mark(marked(&rest)),
            Some("-h" | "--help" | "--version") => return,
            _ => {
                self.tell();
                self.leave_open(&place, "");
                let text = "what pybackup is to do here cannot be told".to_owned();
                return self.remarks.push(Remark::gap(place, text));
            }
        };
        self.act(act, place, scope, program);
    }

    fn rm(&mut self, words: &[Word], place: &Place, scope: &Scope) {
        self.note_changes(words, place, scope);
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
}
