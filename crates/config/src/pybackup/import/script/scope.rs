//! What a script knows where a command stands: its variables, its folder, its conditions.

use super::super::Place;
use super::super::find::Find;
use super::super::shell::{Condition, Part, RawCommand, RawWord, plain, read_shell};
use super::super::word::{Piece, Word, output_shown, read_date, variable_shown};
use super::base;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Commands within the words of commands.
const MOST_OUTPUTS: usize = 20;

/// Programs that succeed wherever the script works at all.
const SUCCEED: [&str; 22] = [
    "cd", "pushd", "mkdir", "source", ".", "true", ":", "echo", "printf", "export", "umask", "set", "date",
    "touch", "chmod", "chown", "ulimit", "rm", "find", "sleep", "logger", "sync",
];

/// What keeps a command from being run each time.
#[derive(Clone, Debug)]
pub(in super::super) struct Bar {
    pub(super) place: Place,
    /// The script ends there, whatever holds; otherwise a condition stands there.
    pub(super) is_end: bool,
}

/// What a script knows where a command stands.
#[derive(Clone, Default)]
pub(super) struct Scope {
    pub(super) file: PathBuf,
    pub(super) folder: Option<Word>,
    pub(super) variables: BTreeMap<String, Word>,
    /// Those of its variables that the programs see which it calls.
    pub(super) exported: BTreeSet<String>,
    pub(super) arguments: Vec<Word>,
    /// Whether the command stands in a function, whose arguments are those of a call.
    pub(super) is_in_function: bool,
    /// What the rest is done under, since the script, or the function, ends before otherwise.
    pub(super) left_under: Vec<(Option<String>, Bar)>,
}

impl Scope {
    /// The command's words with everything put in that is known; the assignments before it are made.
    /// Whether a variable is assigned to is not known where that is done under a condition.
    pub(super) fn evaluate(&mut self, raw: &RawCommand, is_conditional: bool) -> Vec<Word> {
        self.is_in_function = raw.function.is_some();
        let mut words = raw.words.as_slice();
        while let Some((first, rest)) = words.split_first() {
            if !self.assign(first, is_conditional) {
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
                self.assign(word, is_conditional);
            }
        }
        // `NAME=value program` is what the program sees.
        let is_prefixed = !evaluated.is_empty() && words.len() < raw.words.len();
        let prefixed = raw.words[..raw.words.len() - words.len()]
            .iter()
            .filter(|_| is_prefixed);
        let told = words.iter().skip(1).filter(|_| program == "export");
        for word in prefixed.chain(told) {
            if let Some(Part::Text(text)) = word.first() {
                self.exported
                    .insert(text.split('=').next().unwrap_or_default().to_owned());
            }
        }
        evaluated
    }

    /// `NAME=value`
    fn assign(&mut self, word: &RawWord, is_conditional: bool) -> bool {
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
        let value = match is_conditional {
            true => Word(vec![Piece::Unknown(format!("${name}"))]),
            false => self.word(&raw),
        };
        self.variables.insert(name.to_owned(), value);
        true
    }

    /// What a program sees of it that it calls.
    pub(super) fn handed_down(&self) -> Self {
        let mut inner = self.clone();
        inner.variables.retain(|name, _| self.exported.contains(name));
        (inner.left_under, inner.is_in_function) = (Vec::new(), false);
        inner
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
            if self.is_in_function && at > 0 {
                return None;
            }
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

    /// Where the first condition of a command stands that is more than the usual care of a script.
    pub(super) fn condition_of(&self, raw: &RawCommand) -> Option<Bar> {
        let left = self
            .left_under
            .iter()
            .find(|(function, _)| function.is_none() || *function == raw.function);
        if let Some((_, bar)) = left {
            return Some(bar.clone());
        }
        let real = raw.under.iter().find(|condition| {
            // The same once more, where it has failed: a job tries again by itself.
            let is_retry = !condition.holds && condition.test == raw.words;
            !is_retry && !self.is_usual(condition, condition.holds)
        });
        real.map(|condition| Bar {
            place: self.place(condition.line),
            is_end: false,
        })
    }

    /// `exit`, `return`: what comes after it is done under the contrary of what it stands under.
    pub(super) fn leave(&mut self, raw: &RawCommand, is_return: bool) {
        let under = &raw.under;
        let is_care = under
            .iter()
            .any(|condition| condition.is_never || self.is_usual(condition, !condition.holds));
        if is_care {
            return;
        }
        let line = under.first().map_or(raw.line, |condition| condition.line);
        let function = raw.function.clone().filter(|_| is_return);
        let bar = Bar {
            place: self.place(line),
            is_end: under.is_empty(),
        };
        self.left_under.push((function, bar));
    }

    fn place(&self, line: usize) -> Place {
        Place {
            file: self.file.clone(),
            line,
        }
    }

    /// Whether a test comes out so wherever the script works at all: `cd` succeeds, the folder is there, no other run
    /// of the same goes on, which a job sees to by itself.
    fn is_usual(&self, condition: &Condition, holds: bool) -> bool {
        let words: Vec<Word> = condition.test.iter().map(|word| self.word(word)).collect();
        let Some(first) = words.first() else { return false };
        let program = base(first);
        if let "[" | "[[" | "test" = program.as_str() {
            let inner: Vec<&Word> = words[1..]
                .iter()
                .filter(|word| !matches!(word.text().as_deref(), Some("]" | "]]")))
                .collect();
            return is_usual_test(&inner, holds);
        }
        if let "pgrep" | "pidof" = program.as_str() {
            return !holds;
        }
        if program == "flock" {
            return holds;
        }
        let marks = words.windows(2).any(|pair| {
            base(&pair[0]).starts_with("pybackup")
                && matches!(pair[1].text().as_deref(), Some("mark-del" | "only-rsync"))
        });
        let assigns = matches!(condition.test.as_slice(), [word] if matches!(word.first(), Some(Part::Text(text)) if text.contains('=')));
        holds && (marks || assigns || SUCCEED.contains(&program.as_str()))
    }
}

/// What stands between the brackets of `[ ... ]`.
fn is_usual_test(words: &[&Word], holds: bool) -> bool {
    let texts: Vec<Option<String>> = words.iter().map(|word| word.text()).collect();
    let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
    match texts.as_slice() {
        [Some("!"), ..] => is_usual_test(&words[1..], !holds),
        [Some("-d" | "-x" | "-w" | "-S"), _] => holds,
        [None, Some(compared), Some(number)] if counts_processes(words[0]) => {
            let is_none = match (*compared, *number) {
                ("=" | "==" | "-eq" | "-le", "0") | ("-lt", "1") => true,
                ("!=" | "-ne" | "-gt", "0") | ("-ge", "1") => false,
                _ => return false,
            };
            holds == is_none
        }
        _ => false,
    }
}

/// `$(ps ...)`, by whatever variable.
fn counts_processes(word: &Word) -> bool {
    let [Piece::Unknown(shown)] = word.0.as_slice() else {
        return false;
    };
    ["$(ps ", "$(pgrep ", "$(pidof "]
        .iter()
        .any(|start| shown.starts_with(start))
}
