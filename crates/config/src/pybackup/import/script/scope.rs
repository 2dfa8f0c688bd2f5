//! What a script knows where a command stands: its variables, its folder, its conditions.

use super::super::find::Find;
use super::super::shell::{Bodies, Part, RawCommand, RawWord, plain, read_shell};
use super::super::word::{Piece, Word, output_shown, read_date, variable_shown, with_numbers};
use super::base;
use super::conditions::{COUNT_OF_PYBACKUP, Left, Passed, counts_pybackup};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Commands within the words of commands.
const MOST_OUTPUTS: usize = 20;

/// Signs that the shell takes for the names of files.
const PATTERNS: [char; 4] = ['*', '?', '[', '\\'];

/// Commands of the shell's own: some shells keep what is assigned before them.
const OF_THE_SHELL: [&str; 13] = [
    ":", ".", "source", "eval", "exec", "exit", "export", "readonly", "return", "set", "shift", "unset", "cd",
];

/// Variables that whoever logs in has, and cron's jobs.
const OF_LOGIN: [&str; 4] = ["HOME", "PATH", "LOGNAME", "SHELL"];
/// Variables that shells set by themselves.
const SET_BY_SHELLS: [&str; 20] = [
    "_",
    "BASH",
    "BASHPID",
    "BASH_SOURCE",
    "BASH_VERSION",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HOSTNAME",
    "HOSTTYPE",
    "IFS",
    "LINENO",
    "OLDPWD",
    "OSTYPE",
    "PIPESTATUS",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "UID",
];

/// `NAME=value`, `NAME+=value`, `NAME[0]=value`.
struct Assignment {
    name: String,
    value: RawWord,
    /// Whether nothing else is left in the variable.
    is_whole: bool,
}

/// What a script knows where a command stands.
#[derive(Clone, Default)]
pub(super) struct Scope {
    pub(super) file: PathBuf,
    pub(super) folder: Option<Word>,
    /// How many `sh -c` of the file this stands in.
    pub(super) nested: usize,
    pub(super) variables: BTreeMap<String, Word>,
    /// Those of its variables that the programs see which it calls.
    pub(super) exported: BTreeSet<String>,
    pub(super) arguments: Vec<Word>,
    /// The function that the command stands in, whose arguments are those of a call.
    pub(super) function: Option<String>,
    /// `NAME=value` before the command that is run.
    pub(super) prefixed: BTreeMap<String, Word>,
    /// Variables that functions set; the function in which they are known all the same.
    pub(super) unsure: BTreeMap<String, Option<String>>,
    /// What the rest is done under, since the script, or the function, ends before otherwise.
    pub(super) left_under: Vec<Left>,
    /// What it is done under besides, where that is a script's usual care.
    pub(super) passed: Vec<Passed>,
    /// Folders that the script makes by itself.
    pub(super) made: Vec<Word>,
    /// The functions of files that were read in.
    pub(super) functions: Rc<Bodies>,
    /// A file was read in, which may define others.
    pub(super) has_read_in: bool,
    /// `set -e`: a command that fails ends the script.
    pub(super) is_strict: bool,
    /// `set -u`: a variable that nobody has set ends the script.
    pub(super) is_nounset: bool,
    /// From which line on it is not certain how the text is read that the command stands in.
    pub(super) unclear: Option<usize>,
}

impl Scope {
    /// The command's words with everything put in that is known; the assignments before it are made.
    /// Whether a variable is assigned to is not known where that is done under a condition.
    pub(super) fn evaluate(&mut self, raw: &RawCommand, is_conditional: bool) -> Vec<Word> {
        self.function.clone_from(&raw.function);
        self.prefixed.clear();
        let count = raw.words.iter().map_while(assignment).count();
        let (assigned, words) = raw.words.split_at(count);
        let evaluated: Vec<Word> = words.iter().flat_map(|word| self.words(word)).collect();
        let Some(program) = evaluated.first().map(base) else {
            assigned.iter().for_each(|word| self.assign(word, is_conditional));
            return evaluated;
        };
        // `NAME=value program` is what the program sees, and nobody else.
        for assigned in assigned.iter().filter_map(assignment) {
            let value = self.value(&assigned, is_conditional);
            match OF_THE_SHELL.contains(&program.as_str()) {
                true => self.forget(&assigned.name),
                false => drop(self.prefixed.insert(assigned.name, value)),
            }
        }
        if matches!(program.as_str(), "export" | "readonly" | "declare" | "typeset") {
            words
                .iter()
                .skip(1)
                .for_each(|word| self.assign(word, is_conditional));
        }
        if program == "export" {
            self.exported
                .extend(words.iter().skip(1).filter_map(leading_name));
        }
        changed_names(&program, raw)
            .iter()
            .for_each(|name| self.forget(name));
        evaluated
    }

    /// `NAME=value`
    fn assign(&mut self, word: &RawWord, is_conditional: bool) {
        if let Some(assigned) = assignment(word) {
            let value = self.value(&assigned, is_conditional);
            self.variables.insert(assigned.name, value);
        }
    }

    fn value(&self, assigned: &Assignment, is_conditional: bool) -> Word {
        match is_conditional || !assigned.is_whole {
            true => Word(vec![Piece::Unknown(format!("${}", assigned.name))]),
            false => self.word(&assigned.value),
        }
    }

    /// What a variable holds is not known from here on.
    pub(super) fn forget(&mut self, name: &str) {
        if name == "PWD" {
            self.folder = Some(Word(vec![Piece::Unknown("$PWD".to_owned())]));
        }
        let unknown = Word(vec![Piece::Unknown(format!("${name}"))]);
        self.variables.insert(name.to_owned(), unknown);
    }

    /// `env NAME=value PROGRAM`, `env -u NAME PROGRAM`: what that program finds in the variable.
    pub(super) fn give(&mut self, word: &Word, is_certain: bool) {
        let shown = word.shown();
        let (name, value) = shown.split_once('=').unwrap_or((&shown, ""));
        let unknown = || Word(vec![Piece::Unknown(format!("${name}"))]);
        let value = match is_certain {
            true if value.is_empty() => unknown(),
            true => word.after(&format!("{name}=")).unwrap_or_else(unknown),
            false => unknown(),
        };
        self.prefixed.insert(name.to_owned(), value);
    }

    /// `declare -n NAME=OTHER`: what either holds is not known any more.
    pub(super) fn refer(&mut self, words: &[Word]) {
        let is_reference = |word: &Word| {
            let shown = word.shown();
            shown.starts_with('-') && !shown.starts_with("--") && shown.contains('n')
        };
        if !words.iter().any(is_reference) {
            return;
        }
        for word in words.iter().map(Word::shown) {
            match word.split_once('=') {
                Some((name, other)) => {
                    self.unsure.insert(name.to_owned(), None);
                    self.unsure.insert(other.to_owned(), None);
                }
                None => self.forget_all(),
            }
        }
    }

    /// Something was run that may have set anything.
    pub(super) fn forget_all(&mut self) {
        self.variables.clear();
        self.arguments.truncate(1);
        self.folder = Some(Word(vec![Piece::Unknown("$PWD".to_owned())]));
    }

    /// Functions are read where they are defined, and run where they are called: what one of them sets is known within
    /// it alone, and nowhere where others set it, too.
    pub(super) fn doubt_what_functions_set(&mut self, commands: &[RawCommand]) {
        let mut setters: BTreeMap<String, BTreeSet<&Option<String>>> = BTreeMap::new();
        for raw in commands {
            for name in names_set(raw) {
                setters.entry(name).or_default().insert(&raw.function);
            }
        }
        for (name, setters) in setters {
            let of_function = setters.iter().find_map(|setter| setter.as_ref());
            if let Some(function) = of_function {
                let alone =
                    (setters.len() == 1 && !self.variables.contains_key(&name)).then(|| function.clone());
                self.unsure.insert(name, alone);
            }
        }
    }

    fn is_unsure(&self, name: &str) -> bool {
        self.unsure
            .get(name)
            .is_some_and(|function| function.is_none() || *function != self.function)
    }

    /// `PATH` as it holds for what the command runs.
    pub(super) fn program_path(&self) -> Option<&Word> {
        let known = self.variables.get("PATH").filter(|_| !self.is_unsure("PATH"));
        self.prefixed.get("PATH").or(known)
    }

    /// Folders that nobody knows come before those of `PATH`.
    pub(super) fn doubt_path(&mut self) {
        let mut path = Word(vec![Piece::Unknown("$PATH".to_owned())]);
        if let Some(known) = self.variables.remove("PATH") {
            path.push(Piece::Text(":".to_owned()));
            known.0.into_iter().for_each(|piece| path.push(piece));
        }
        self.variables.insert("PATH".to_owned(), path);
    }

    /// Where relative paths begin.
    pub(super) fn folder(&self) -> Option<Word> {
        match self.is_unsure("PWD") {
            true => Some(Word(vec![Piece::Unknown("$PWD".to_owned())])),
            false => self.folder.clone(),
        }
    }

    /// What a program sees of it that it calls.
    pub(super) fn handed_down(&self) -> Self {
        let mut inner = self.clone();
        inner
            .variables
            .retain(|name, _| self.exported.contains(name) && !self.is_unsure(name));
        for (name, value) in std::mem::take(&mut inner.prefixed) {
            inner.exported.insert(name.clone());
            inner.variables.insert(name, value);
        }
        inner.folder = self.folder();
        (inner.left_under, inner.function) = (Vec::new(), None);
        inner.unsure.clear();
        inner.unclear = None;
        inner.functions = Rc::default();
        (inner.is_strict, inner.is_nounset, inner.has_read_in) = (false, false, false);
        inner
    }

    /// The words that the shell makes of one: what is put in without quotes it takes apart.
    fn words(&self, raw: &RawWord) -> Vec<Word> {
        let is_usual = !self.variables.contains_key("IFS");
        if let [part @ (Part::Variable { is_quoted: false, .. } | Part::Output { is_quoted: false, .. })] =
            raw.as_slice()
            && let Some(text) = self.part(part).text().filter(|_| is_usual)
            && !text.contains(PATTERNS)
        {
            return text.split_whitespace().map(Word::of).collect();
        }
        let mut word = Word::default();
        for part in raw {
            let value = self.part(part);
            let shown = match part {
                Part::Variable {
                    name,
                    is_quoted: false,
                } => variable_shown(name),
                Part::Output {
                    text,
                    is_quoted: false,
                } => output_shown(text),
                _ => String::new(),
            };
            let is_taken_apart = |piece: &Piece| {
                matches!(piece, Piece::Text(text) if text.contains(PATTERNS)
                    || text.contains(char::is_whitespace) || !is_usual && !text.is_empty())
            };
            match !shown.is_empty() && value.0.iter().any(is_taken_apart) {
                true => word.push(Piece::Unknown(shown)),
                false => value.0.into_iter().for_each(|piece| word.push(piece)),
            }
        }
        vec![word]
    }

    /// `for NAME in WORDS`
    pub(super) fn assign_loop(&mut self, words: &[Word]) {
        let (Some(name), Some(items)) = (words.first().and_then(Word::text), words.get(2..)) else {
            return;
        };
        let value = match items {
            [one] => one.clone(),
            _ => Word(vec![Piece::Unknown(format!("${name}"))]),
        };
        self.variables.insert(name, value);
    }

    pub(super) fn word(&self, raw: &RawWord) -> Word {
        let mut word = Word::default();
        for part in raw {
            self.part(part).0.into_iter().for_each(|piece| word.push(piece));
        }
        word
    }

    fn part(&self, part: &Part) -> Word {
        match part {
            Part::Text(text) if text.is_empty() => Word::default(),
            Part::Text(text) => Word::of(text),
            Part::Variable { name, .. } => self
                .variable(name)
                .unwrap_or_else(|| Word(vec![Piece::Unknown(variable_shown(name))])),
            Part::Output { text, .. } => self.output(text),
        }
    }

    fn variable(&self, name: &str) -> Option<Word> {
        if let Ok(at) = name.parse::<usize>() {
            if self.function.is_some() && at > 0 {
                return None;
            }
            return self.arguments.get(at).cloned();
        }
        match name {
            "PWD" => self.folder(),
            _ if self.is_unsure(name) => None,
            _ => self.variables.get(name).cloned(),
        }
    }

    /// Whether a plain `$NAME` or `$1` may be of a variable that nobody has set, which ends a script under `set -u`.
    pub(super) fn is_unset(&self, name: &str) -> bool {
        if let Ok(at) = name.parse::<usize>() {
            return self.function.is_none() && at >= self.arguments.len().max(1);
        }
        let is_name = !name.is_empty() && name.chars().all(is_of_name);
        let is_shells = OF_LOGIN.contains(&name) || SET_BY_SHELLS.contains(&name);
        is_name && !is_shells && !self.unsure.contains_key(name) && !self.variables.contains_key(name)
    }

    /// Whether something is known to be in a variable; who logs in has these.
    pub(super) fn holds(&self, name: &str) -> bool {
        let is_known = |word: Word| {
            word.0
                .iter()
                .any(|piece| matches!(piece, Piece::Text(_) | Piece::Day(_)))
        };
        OF_LOGIN.contains(&name) || self.variable(name).is_some_and(is_known)
    }

    fn output(&self, text: &str) -> Word {
        let number = |name: &str| self.variable(name).and_then(|value| value.text());
        if let Some(day) = read_date(&with_numbers(text, &number)).filter(|day| !day.format.is_empty()) {
            return Word(vec![Piece::Day(day)]);
        }
        let unknown = || Word(vec![Piece::Unknown(output_shown(text))]);
        if text.matches(['`', '(']).count() > MOST_OUTPUTS {
            return unknown();
        }
        let commands = read_shell(text, 1);
        if counts_pybackup(&commands) {
            return Word(vec![Piece::Unknown(COUNT_OF_PYBACKUP.to_owned())]);
        }
        if let [command] = commands.as_slice() {
            let words: Vec<Word> = command.words.iter().flat_map(|word| self.words(word)).collect();
            match words.first().map(base).as_deref() {
                Some("find") => return Word(vec![Piece::Found(Box::new(Find::read(&words[1..])))]),
                Some("pwd") => return self.folder().unwrap_or_default(),
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
                matches!(words.get(1)?.as_slice(), [Part::Variable { name, .. }] if name == "0" || name.starts_with("BASH_SOURCE"))
            }
            "cd" => {
                matches!(words.get(1)?.as_slice(), [Part::Output { text, .. }] if text.contains("dirname"))
            }
            _ => false,
        };
        let folder = Path::new(&script).parent()?;
        asks.then(|| Word::of(folder.display().to_string()))
    }
}

/// The word as an assignment.
fn assignment(word: &RawWord) -> Option<Assignment> {
    let Some(Part::Text(first)) = word.first() else {
        return None;
    };
    let (left, value) = first.split_once('=')?;
    let name = left.strip_suffix('+').unwrap_or(left);
    let name = name.split('[').next().unwrap_or_default();
    let is_name = !name.is_empty()
        && !name.starts_with(|one: char| one.is_ascii_digit())
        && name.chars().all(is_of_name);
    let mut raw = vec![Part::Text(value.to_owned())];
    raw.extend_from_slice(&word[1..]);
    is_name.then(|| Assignment {
        name: name.to_owned(),
        value: raw,
        is_whole: name.len() == left.len(),
    })
}

fn is_of_name(one: char) -> bool {
    one == '_' || one.is_ascii_alphanumeric()
}

/// The name at a word's beginning.
fn leading_name(word: &RawWord) -> Option<String> {
    let Some(Part::Text(text)) = word.first() else {
        return None;
    };
    let name: String = text.chars().take_while(|one| is_of_name(*one)).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// The variables that a command sets, `PWD` for the folder.
pub(super) fn names_set(raw: &RawCommand) -> Vec<String> {
    let assigned = raw.words.iter().map_while(assignment).map(|one| one.name);
    let count = raw.words.iter().map_while(assignment).count();
    let is_passed =
        |word: &&RawWord| matches!(plain(word).as_deref(), Some("command" | "builtin" | "-p" | "--"));
    let count = count + raw.words.iter().skip(count).take_while(is_passed).count();
    let program = raw.words.get(count).and_then(plain).unwrap_or_default();
    let mut names: Vec<String> = assigned.chain(changed_names(&program, raw)).collect();
    match program.as_str() {
        "cd" | "pushd" | "popd" => names.push("PWD".to_owned()),
        "export" | "readonly" | "declare" | "typeset" => {
            let told = raw.words.iter().skip(count + 1);
            names.extend(told.filter_map(assignment).map(|one| one.name));
        }
        _ => {}
    }
    names
}

/// The variables that a command of the shell's own sets to what cannot be told.
fn changed_names(program: &str, raw: &RawCommand) -> Vec<String> {
    let is_program = |word: &&RawWord| plain(word).as_deref() != Some(program);
    let before = raw.words.iter().take_while(is_program).count();
    let words = raw.words.iter().skip(before + 1);
    let has_options = || {
        let mut words = raw.words.iter().skip(1).filter_map(plain);
        words.any(|word| word.starts_with('-'))
    };
    match program {
        "read" | "mapfile" | "readarray" | "getopts" | "unset" | "local" | "select" => {
            words.filter_map(leading_name).collect()
        }
        "declare" | "typeset" if raw.function.is_some() || has_options() => {
            words.filter_map(leading_name).collect()
        }
        "printf" if raw.words.get(1).and_then(plain).as_deref() == Some("-v") => {
            words.skip(1).take(1).filter_map(leading_name).collect()
        }
        "let" => words
            .filter_map(plain)
            .flat_map(|text| {
                let names = text.split(|one| !is_of_name(one)).map(str::to_owned);
                names.collect::<Vec<_>>()
            })
            .collect(),
        _ => Vec::new(),
    }
}
