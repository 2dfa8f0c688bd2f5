//! Conditions: the few that hold wherever a script works at all, and all others, which no job has.

use super::super::shell::{Condition, Part, RawCommand, RawWord, plain};
use super::super::word::{Piece, Word, tidy};
use super::super::{Place, Remark};
use super::scope::Scope;
use super::words::behind_command;
use super::{Act, Found, PROFILES, base};
use std::path::Path;

/// What a count of pybackup's processes is shown as.
pub(super) const COUNT_OF_PYBACKUP: &str = "$(ps ... pybackup ...)";

/// Programs that succeed wherever the script works at all, whatever they are given.
const SUCCEED: [&str; 15] = [
    "true", ":", "echo", "printf", "export", "umask", "set", "date", "sleep", "logger", "sync", "trap",
    "local", "readonly", "unset",
];

/// What keeps a command from being run each time.
#[derive(Clone, Debug)]
pub(in super::super) struct Bar {
    place: Place,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A condition stands there.
    Condition,
    /// The script ends there, whatever holds.
    End,
    /// What stands there is not understood.
    Unclear,
    /// It reads from a file, without which the shell does not run it.
    Reads,
}

impl Bar {
    /// What stands there reads from a file.
    pub(super) fn reads(place: Place) -> Self {
        let why = Why::Reads;
        Self { place, why }
    }
}

/// A condition that is taken for a script's usual care.
#[derive(Clone, Debug)]
pub(in super::super) struct Passed {
    place: Place,
    care: Care,
}

/// Why a condition is usual.
#[derive(Clone, Debug)]
enum Care {
    /// It does not tell one host, or one day, from another.
    Plain,
    /// No other run goes on under the same lock.
    Lock,
    /// A folder is there: where sets, pybackup or the script lie, or above that; anywhere else it may be a sign.
    Folder(Word),
}

/// Where a script, or a function, ends.
#[derive(Clone)]
pub(super) struct Left {
    /// The function that ends there, where that is all that does.
    function: Option<String>,
    bar: Bar,
    /// `return`, which ends a file that is read in, and not who reads it.
    pub(super) is_return: bool,
}

impl Found {
    /// What is said of it where it is done under a condition: no job has one.
    pub(in super::super) fn is_conditional(&self) -> Option<Remark> {
        self.told_of(self.condition.as_ref()?)
    }

    /// The same of conditions about folders, where its sets lie in the one of `sets`, as the script names it and as it is.
    pub(in super::super) fn asks_for_others(&self, sets: Option<(&Word, &str)>) -> Option<Remark> {
        let other = self.passed.iter().find(|passed| match &passed.care {
            Care::Plain | Care::Lock => false,
            Care::Folder(folder) => !self.is_about(folder, sets),
        })?;
        self.told_of(&Bar {
            place: other.place.clone(),
            why: Why::Condition,
        })
    }

    /// Why it is not certain when it is done, and where: a subordinate clause.
    pub(in super::super) fn is_unclear(&self) -> Option<String> {
        let bar = self.condition.as_ref().filter(|bar| bar.why == Why::Unclear)?;
        Some(format!(
            "{} is written in a way that is not understood here",
            bar.place
        ))
    }

    /// A note for each condition that is passed over.
    pub(in super::super) fn passed_over(&self) -> Vec<Remark> {
        let text = "this condition is passed over: it is taken for a script's usual care, and the job does not ask; where \
                    it decides which host, or on which day, write the job for those alone";
        let of_lock = "this lock is passed over: a job never runs twice at once, and a call beside one that goes on is \
                       skipped; where other programs take the same lock, they do not wait for the job";
        let notes = self.passed.iter().map(|passed| {
            let text = match passed.care {
                Care::Lock => of_lock,
                Care::Plain | Care::Folder(_) => text,
            };
            Remark::note(passed.place.clone(), text.to_owned())
        });
        notes.collect()
    }

    fn is_about(&self, folder: &Word, sets: Option<(&Word, &str)>) -> bool {
        let shown = |word: &Word| word.shown().trim_end_matches('/').to_owned();
        if sets.is_some_and(|(named, _)| shown(named) == shown(folder)) {
            return true;
        }
        let Some(folder) = folder.text().map(|text| tidy(&text)) else {
            return false;
        };
        let is_in_it = |path: &Path| folder.starts_with('/') && path.starts_with(&folder);
        sets.is_some_and(|(_, directory)| is_in_it(Path::new(directory)))
            || self.program.as_deref().is_some_and(is_in_it)
            || is_in_it(&self.place.file)
    }

    fn told_of(&self, Bar { place, why }: &Bar) -> Option<Remark> {
        let at = match place.file == self.place.file {
            true => format!("line {}", place.line),
            false => place.to_string(),
        };
        let text = match (why, &self.act) {
            (Why::End, _) => {
                format!("this is never done, since the script ends at {at}: no job is written for it")
            }
            (Why::Unclear, _) => {
                format!(
                    "when this is done is not certain, since {at} is not understood: no job is written for it"
                )
            }
            (Why::Reads, _) => {
                format!(
                    "this is done only where the file is there that it reads from at {at}, and a job has no conditions: \
                     no job is written for it"
                )
            }
            (Why::Condition, act) => {
                let what = match act {
                    Act::Dump(_) => "this set is made",
                    Act::Validate(_) => "this is tried",
                    Act::Send(_) => "this is sent",
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

impl Scope {
    /// What a command stands under, where all of that is the usual care of a script; else the first that is more.
    pub(super) fn conditions_of(&self, raw: &RawCommand) -> Result<Vec<Passed>, Bar> {
        if let Some(line) = self.unclear {
            let (place, why) = (self.place(line), Why::Unclear);
            return Err(Bar { place, why });
        }
        let left = self
            .left_under
            .iter()
            .find(|left| left.function.is_none() || left.function == raw.function);
        if let Some(left) = left {
            return Err(left.bar.clone());
        }
        // The same once more, where it has failed: a job tries again by itself.
        let is_retry = |condition: &Condition| !condition.holds && condition.test == raw.words;
        let real = raw.under.iter().filter(|condition| !is_retry(condition));
        real.map(|condition| {
            let place = self.place(condition.line);
            match self.care(condition, condition.holds) {
                Some(care) => Ok(Passed { place, care }),
                None => Err(Bar {
                    place,
                    why: Why::Condition,
                }),
            }
        })
        .collect()
    }

    /// `exit`, `return`, `break`, `continue`: what comes after it is done under the contrary of what it stands under.
    pub(super) fn leave(&mut self, raw: &RawCommand, how: &str) {
        let under = &raw.under;
        if under.iter().any(|condition| condition.is_never) {
            return;
        }
        let cares = under.iter().filter_map(|condition| {
            let place = self.place(condition.line);
            let care = self.care(condition, !condition.holds)?;
            Some(Passed { place, care })
        });
        let mut cares: Vec<Passed> = cares.collect();
        cares.sort_by_key(|passed| matches!(passed.care, Care::Folder(_)));
        if let Some(first) = cares.into_iter().next() {
            self.passed.push(first);
            return;
        }
        let line = under.first().map_or(raw.line, |condition| condition.line);
        let is_return = how == "return";
        let is_end = under.is_empty() && matches!(how, "exit" | "return");
        let bar = Bar {
            place: self.place(line),
            why: if is_end { Why::End } else { Why::Condition },
        };
        self.left_under.push(Left {
            function: raw.function.clone().filter(|_| is_return),
            bar,
            is_return,
        });
    }

    /// Under `set -e` a command that may fail ends the script where it does.
    pub(super) fn leave_where_it_fails(&mut self, raw: &RawCommand) {
        let words: Vec<Word> = raw.words.iter().map(|word| self.word(word)).collect();
        let words = behind_command(&words).unwrap_or(&words);
        let program = words.first().map(base).unwrap_or_default();
        // What ends it by itself has been heeded.
        let leaves = matches!(program.as_str(), "exit" | "return" | "break" | "continue");
        if !self.is_strict || raw.is_tested || leaves {
            return;
        }
        let succeeds = Condition {
            line: raw.line,
            test: raw.words.clone(),
            holds: true,
            is_never: false,
        };
        let place = self.place(raw.line);
        match self.care(&succeeds, true) {
            Some(Care::Plain | Care::Lock) => {}
            Some(care) => self.passed.push(Passed { place, care }),
            None => self.left_under.push(Left {
                function: None,
                bar: Bar {
                    place,
                    why: Why::Condition,
                },
                is_return: false,
            }),
        }
    }

    /// Whether the script ends at this command, where something is not set that it puts in: `${NAME:?}`, and under
    /// `set -u` each `$NAME`.
    pub(super) fn lacks(&self, raw: &RawCommand) -> Option<Bar> {
        let is_lacking = |part: &Part| match part {
            Part::Variable { name, .. } => {
                needed(name).is_some_and(|name| !self.holds(name)) || self.is_nounset && self.is_unset(name)
            }
            Part::Text(_) | Part::Output { .. } => false,
        };
        let words = raw.words.iter().chain(&raw.targets).chain(&raw.sources);
        let (place, why) = (self.place(raw.line), Why::Condition);
        words.flatten().any(is_lacking).then_some(Bar { place, why })
    }

    /// What that command lacks ends the rest, too; so does `exec <FILE` where that is not there.
    pub(super) fn leave_where_it_lacks(&mut self, raw: &RawCommand, lacks: Option<Bar>) {
        let opens =
            raw.reads && matches!(raw.words.as_slice(), [one] if plain(one).as_deref() == Some("exec"));
        if !opens && lacks.is_none() {
            return;
        }
        let why = Why::Condition;
        let place = self.place(raw.line);
        self.left_under.push(Left {
            function: None,
            bar: Bar { place, why },
            is_return: false,
        });
    }

    fn place(&self, line: usize) -> Place {
        Place {
            file: self.file.clone(),
            line,
        }
    }

    /// Whether a test comes out so wherever the script works at all. This is the whole list; all else is a condition.
    fn care(&self, condition: &Condition, holds: bool) -> Option<Care> {
        let words: Vec<Word> = condition.test.iter().map(|word| self.word(word)).collect();
        let program = base(words.first()?);
        let operands = || words[1..].iter().filter(|word| !word.shown().starts_with('-'));
        let plain_where = |is: bool| is.then_some(Care::Plain);
        match program.as_str() {
            "[" | "[[" | "test" => {
                let is_end = |word: &&Word| matches!(word.text().as_deref(), Some("]" | "]]"));
                let inner: Vec<&Word> = words[1..].iter().filter(|word| !is_end(word)).collect();
                self.care_of_test(&inner, holds)
            }
            // No other run of the same goes on, which a job sees to by itself.
            "pgrep" | "pidof" => plain_where(!holds && names_pybackup(&condition.test)),
            "flock" => holds.then_some(Care::Lock),
            _ if !holds => None,
            "mkdir" if words.iter().any(|word| word.text().as_deref() == Some("-p")) => Some(Care::Plain),
            "mkdir" | "cd" => {
                let mut operands = operands();
                let folder = operands.next().filter(|_| operands.next().is_none())?;
                match program.as_str() {
                    // What a script makes by itself is there.
                    "cd" => Some(self.care_of_folder(folder)),
                    _ => Some(Care::Folder(folder.below(self.folder().as_ref()))),
                }
            }
            // `exec >log`, and what is no command.
            "exec" => plain_where(words.len() == 1),
            "for" | "case" | "select" => Some(Care::Plain),
            "source" | "." => {
                let is_profile = |word: &Word| PROFILES.contains(&word.shown().as_str());
                plain_where(words.len() == 2 && is_profile(&words[1]))
            }
            _ if SUCCEED.contains(&program.as_str()) => Some(Care::Plain),
            _ => {
                let marks = words.windows(2).any(|pair| {
                    base(&pair[0]).starts_with("pybackup")
                        && matches!(pair[1].text().as_deref(), Some("mark-del" | "only-rsync"))
                });
                let is_unknown = |piece: &Piece| matches!(piece, Piece::Unknown(_) | Piece::Found(_));
                let puts_in = |part: &Part| matches!(part, Part::Output { .. });
                // What is put in may fail, but for a date.
                let assigns = match (condition.test.as_slice(), words.as_slice()) {
                    ([raw], [word]) if matches!(raw.first(), Some(Part::Text(text)) if text.contains('=')) => {
                        !raw.iter().any(puts_in) || !word.0.iter().any(is_unknown)
                    }
                    _ => false,
                };
                plain_where(marks || assigns)
            }
        }
    }

    /// What stands between the brackets of `[ ... ]`.
    fn care_of_test(&self, words: &[&Word], holds: bool) -> Option<Care> {
        let texts: Vec<Option<String>> = words.iter().map(|word| word.text()).collect();
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        match texts.as_slice() {
            [Some("!"), ..] => self.care_of_test(&words[1..], !holds),
            [Some("-d" | "-x" | "-w"), _] if holds => Some(self.care_of_folder(words[1])),
            [None, Some(compared), Some(number)] => {
                let is_none = match (*compared, *number) {
                    ("=" | "==" | "-eq" | "-le", "0") | ("-lt", "1") => true,
                    ("!=" | "-ne" | "-gt", "0") | ("-ge", "1") => false,
                    _ => return None,
                };
                let counts =
                    matches!(words[0].0.as_slice(), [Piece::Unknown(shown)] if shown == COUNT_OF_PYBACKUP);
                (counts && holds == is_none).then_some(Care::Plain)
            }
            _ => None,
        }
    }

    /// What the script has made is there.
    fn care_of_folder(&self, folder: &Word) -> Care {
        let folder = folder.below(self.folder().as_ref());
        match self.made.contains(&folder) {
            true => Care::Plain,
            false => Care::Folder(folder),
        }
    }
}

/// The variable of `NAME?text`, `NAME:?text`.
fn needed(inner: &str) -> Option<&str> {
    let end = inner.find(|one: char| one != '_' && !one.is_ascii_alphanumeric())?;
    let (name, rest) = inner.split_at(end);
    let asks = rest.starts_with('?') || rest.starts_with(":?");
    (asks && !name.is_empty()).then_some(name)
}

/// `pgrep -f pybackup`: the program, and one word that names pybackup or mydumper.
fn names_pybackup(words: &[RawWord]) -> bool {
    let Some(texts) = words.iter().skip(1).map(plain).collect::<Option<Vec<String>>>() else {
        return false;
    };
    let (options, operands): (Vec<&String>, Vec<&String>) =
        texts.iter().partition(|text| text.starts_with('-'));
    let is_inverted = |option: &&String| option.starts_with("--") || option.contains('v');
    let is_named = |operand: &String| {
        let first = operand.split_whitespace().next().unwrap_or_default();
        let name = first.replace(['[', ']'], "");
        ["pybackup", "pybackup.py", "mydumper"].contains(&name.as_str())
    };
    !options.iter().any(is_inverted) && matches!(operands.as_slice(), [one] if is_named(one))
}

/// `ps -ef | grep pybackup | grep -v grep | wc -l`, `pgrep -c mydumper`.
pub(super) fn counts_pybackup(commands: &[RawCommand]) -> bool {
    let Some((first, rest)) = commands.split_first() else {
        return false;
    };
    let program = |command: &RawCommand| command.words.first().and_then(plain).unwrap_or_default();
    let is_filter =
        |command: &RawCommand| ["grep", "egrep", "fgrep", "wc"].contains(&program(command).as_str());
    let is_pipe = commands.iter().all(|command| command.under.is_empty())
        && commands.iter().rev().skip(1).all(|command| command.is_piped);
    let is_named = match program(first).as_str() {
        "ps" => rest
            .iter()
            .any(|command| program(command) != "wc" && names_pybackup(&command.words)),
        "pgrep" | "pidof" => names_pybackup(&first.words),
        _ => false,
    };
    is_pipe && is_named && rest.iter().all(is_filter)
}
