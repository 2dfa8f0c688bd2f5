//! Scripts that a script calls, reads in, or holds in its words.

use super::super::lexical::telling_lines;
use super::super::shell::{Bodies, Condition, RawCommand, read_functions, read_shell, unclear_from};
use super::super::word::{Word, program_shown};
use super::super::{Place, Remark};
use super::programs::SYSTEM_FOLDERS;
use super::scope::Scope;
use super::search::Searched;
use super::words::{is_shell_script, reads_alone, sets_nounset, sets_strict, unknown_program};
use super::wrappers::{Runs, read_wrapper};
use super::{DEEPEST, MOST_BYTES, PROFILES, Reading, base};
use std::path::PathBuf;
use std::rc::Rc;

impl Reading<'_> {
    /// The commands of a text. Where two readers of it do not agree nothing of it is certain, and that is told.
    pub(super) fn commands(&mut self, text: &str, first: usize, scope: &mut Scope) -> Vec<RawCommand> {
        let file = scope.file.clone();
        let difference = match scope.nested {
            // Of a script that is called again the same is known.
            0 => *self
                .read
                .entry(file.clone())
                .or_insert_with(|| unclear_from(text, first)),
            _ => unclear_from(text, first),
        };
        if let Some(line) = difference {
            let is_systems = SYSTEM_FOLDERS.iter().any(|folder| file.starts_with(folder));
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let place = Place { file, line };
            if !is_systems || !telling_lines(text, first).is_empty() {
                self.unread.push((place.clone(), name));
                let text = "it is written in a way that is not understood here".to_owned();
                self.unclear.push(Remark::gap(place, text));
            }
            scope.unclear = Some(line);
        }
        read_shell(text, first)
    }

    pub(super) fn source(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let Some(word) = words.first() else { return };
        self.busy += 1;
        scope.has_read_in |= !PROFILES.contains(&word.shown().as_str());
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
            match PROFILES.contains(&word.shown().as_str()) {
                true => scope.doubt_path(),
                false => {
                    scope.forget_all();
                    self.blind.push(place.clone());
                }
            }
            return self.remarks.push(Remark::note(place, text));
        };
        self.note_script(&path, &text);
        self.bytes += text.len();
        let file = std::mem::replace(&mut scope.file, path);
        self.depth += 1;
        let nested = std::mem::take(&mut scope.nested);
        let left = scope.left_under.len();
        let around = scope.unclear.take();
        let commands = self.commands(&text, 1, scope);
        self.run(&commands, scope);
        if std::mem::replace(&mut scope.unclear, around).is_some() {
            scope.forget_all();
        } else {
            let mut functions = Bodies::clone(&scope.functions);
            functions.extend(read_functions(&text));
            scope.functions = Rc::new(functions);
        }
        let own = scope.left_under.split_off(left);
        scope
            .left_under
            .extend(own.into_iter().filter(|left| !left.is_return));
        self.depth -= 1;
        scope.nested = nested;
        scope.file = file;
    }

    /// A function of a file that was read in. Told where it is called.
    pub(super) fn function(&mut self, raw: &RawCommand, name: &str, scope: &mut Scope) {
        if self.depth >= DEEPEST {
            let place = Place {
                file: scope.file.clone(),
                line: raw.line,
            };
            return self.give_up(place);
        }
        let functions = Rc::clone(&scope.functions);
        let here = |command: &RawCommand| RawCommand {
            line: raw.line,
            number: raw.number,
            under: raw
                .under
                .iter()
                .chain(&command.under)
                .map(|one| at(one, raw.line))
                .collect(),
            is_tested: raw.is_tested || command.is_tested,
            ..command.clone()
        };
        let body: Vec<RawCommand> = functions.get(name).into_iter().flatten().map(here).collect();
        self.depth += 1;
        self.run(&body, scope);
        self.depth -= 1;
    }

    /// `nice -n 19 PROGRAM WORDS`: what that runs, as if it stood there by itself.
    pub(super) fn wrapped(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        self.note_surroundings(&words[..1], &place);
        let wrapped = read_wrapper(words);
        let name = base(&words[0]);
        if let (Runs::Program(at), "command" | "exec" | "time") = (wrapped.runs, name.as_str()) {
            // The shell does it by itself.
            return self.command(&words[at..], place, scope);
        }
        let mut inner = scope.clone();
        if wrapped.clears {
            inner.exported.clear();
            inner.prefixed.clear();
            inner.forget("PATH");
        }
        for word in &wrapped.set {
            inner.give(word, name == "env");
        }
        match wrapped.runs {
            Runs::Program(at) => self.command(&words[at..], place, &mut inner),
            runs => self.shell((words, runs), place, &inner),
        }
    }

    /// `sh SCRIPT`, `sh -c TEXT`
    pub(super) fn shell(&mut self, (words, runs): (&[Word], Runs), place: Place, scope: &Scope) {
        match runs {
            Runs::Nothing => {}
            Runs::Text(at) => {
                let Some(text) = words
                    .get(at)
                    .and_then(Word::text)
                    .filter(|_| self.depth < DEEPEST)
                else {
                    return self.unfollowed(words, words.get(at), place, scope);
                };
                let mut inner = Scope {
                    nested: scope.nested + 1,
                    is_strict: sets_strict(&words[..at]).unwrap_or_default(),
                    is_nounset: sets_nounset(&words[..at]).unwrap_or_default(),
                    arguments: words[at + 1..].to_vec(),
                    ..scope.handed_down()
                };
                self.depth += 1;
                let commands = self.commands(&text, place.line, &mut inner);
                self.run(&commands, &mut inner);
                self.depth -= 1;
            }
            Runs::File(at) if !reads_alone(&words[..at]) => {
                let Some(script) = self.file_text(&words[at], scope) else {
                    return self.unfollowed(words, words.get(at), place, scope);
                };
                self.is_strict = sets_strict(&words[..at]).unwrap_or_default();
                self.is_nounset = sets_nounset(&words[..at]).unwrap_or_default();
                self.follow(script, &words[at..], place, scope);
            }
            Runs::File(_) | Runs::Program(_) | Runs::Other => self.unfollowed(words, None, place, scope),
        }
    }

    /// What a shell is given cannot be read, or it reads something else.
    fn unfollowed(&mut self, words: &[Word], given: Option<&Word>, place: Place, scope: &Scope) {
        self.note_unfollowed(words, &place, scope);
        let shown = unknown_program(given.unwrap_or(&words[0]));
        let name = match shown.starts_with('$') {
            true => shown.clone(),
            false => program_shown(&shown).to_owned(),
        };
        self.unread.push((place.clone(), name));
        self.strange(&shown, place);
    }

    /// A file, whatever it is called.
    fn file_text(&self, word: &Word, scope: &Scope) -> Option<(PathBuf, String)> {
        let path = PathBuf::from(word.below(scope.folder().as_ref()).text()?);
        if !path.is_absolute() || self.depth >= DEEPEST {
            return None;
        }
        let text = (self.files)(&path)?.text;
        Some((path, text))
    }

    fn script_text(&self, word: &Word, scope: &Scope) -> Option<(PathBuf, String)> {
        let (path, text) = self.file_text(word, scope)?;
        is_shell_script(&path, &text).then_some((path, text))
    }

    pub(super) fn script(&mut self, words: &[Word], place: Place, scope: &Scope) {
        let found = match self.search(&words[0], scope) {
            Searched::Path => self.script_text(&words[0], scope),
            Searched::File(path) => self.script_text(&Word::of(path.display().to_string()), scope),
            Searched::System | Searched::Perhaps(_) | Searched::Nothing => None,
        };
        match found {
            Some(script) => self.follow(script, words, place, scope),
            None => {
                self.note_changes(words, &place, scope);
                self.note_unfollowed(words, &place, scope);
                let given = self.note_unread(words, &place, scope);
                self.is_unknown = true;
                self.unfollowed_through(given, &unknown_program(&words[0]), place);
            }
        }
    }

    /// Runs a script with these words.
    fn follow(&mut self, (path, text): (PathBuf, String), words: &[Word], place: Place, scope: &Scope) {
        self.note_script(&path, &text);
        self.bytes += text.len();
        if self.bytes > MOST_BYTES {
            return self.give_up(place);
        }
        let first = text.lines().next().filter(|first| first.starts_with("#!"));
        let first: Vec<Word> = first
            .into_iter()
            .flat_map(str::split_whitespace)
            .map(Word::of)
            .collect();
        let mut inner = Scope {
            nested: 0,
            is_strict: std::mem::take(&mut self.is_strict) || sets_strict(&first).unwrap_or_default(),
            is_nounset: std::mem::take(&mut self.is_nounset) || sets_nounset(&first).unwrap_or_default(),
            file: path.clone(),
            arguments: std::iter::once(Word::of(path.display().to_string()))
                .chain(words[1..].iter().cloned())
                .collect(),
            ..scope.handed_down()
        };
        self.depth += 1;
        let commands = self.commands(&text, 1, &mut inner);
        self.run(&commands, &mut inner);
        self.depth -= 1;
    }
}

/// The same condition, told of at this line.
fn at(condition: &Rc<Condition>, line: usize) -> Rc<Condition> {
    Rc::new(Condition {
        line,
        ..Condition::clone(condition)
    })
}
