//! Scripts that a script calls, reads in, or holds in its words.

use super::super::shell::read_shell;
use super::super::word::Word;
use super::super::{Place, Remark};
use super::programs::{SHELLS, WRAPPERS};
use super::scope::Scope;
use super::words::{reads_alone, sets_strict, unknown_program};
use super::{DEEPEST, MOST_BYTES, PROFILES, Reading, base};
use std::path::PathBuf;

impl Reading<'_> {
    pub(super) fn source(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let Some(word) = words.first() else { return };
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
    pub(super) fn shell(&mut self, words: &[Word], place: Place, scope: &mut Scope) {
        let given = words.iter().position(|word| word.text().as_deref() == Some("-c"));
        self.note_surroundings(words, &place);
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
        let is_shell = words.iter().any(|word| SHELLS.contains(&base(word).as_str()));
        let strict = called.and_then(|at| sets_strict(&words[..at]));
        self.is_strict = is_shell && strict.unwrap_or_default();
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

    pub(super) fn script(&mut self, words: &[Word], place: Place, scope: &Scope) {
        let Some((path, text)) = self.script_text(&words[0], scope) else {
            self.note_unfollowed(words, &place, scope);
            self.note_unread(words, &place);
            self.is_unknown = true;
            return self.strange(&unknown_program(&words[0]), place);
        };
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
