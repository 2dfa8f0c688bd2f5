//! Programs that are called by their names alone, which the shell looks for in the folders of `PATH`.

use super::super::lexical::telling_lines;
use super::super::word::{Piece, Word};
use super::programs::{BUILTINS, COMMON, HARMLESS, OWN_FOLDERS, SCRIPT_ENDS, SYSTEM_FOLDERS};
use super::scope::Scope;
use super::words::is_shell_script;
use super::{Reading, base};
use std::path::{Path, PathBuf};

/// Where else a program may lie when the folders of `PATH` are not all known.
const USUAL_FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// What a name alone stands for.
pub(super) enum Searched {
    /// It is no name alone.
    Path,
    /// A program of the system's, or of the shell's own.
    System,
    /// This file, which is none of the system's.
    File(PathBuf),
    /// This file, where a shell looks in no other folder before.
    Perhaps(PathBuf),
    /// Nothing that is found here.
    Nothing,
}

impl Reading<'_> {
    /// What a shell finds for this word.
    pub(super) fn search(&self, word: &Word, scope: &Scope) -> Searched {
        let name = word
            .text()
            .filter(|name| !name.contains('/') && !name.contains(char::is_whitespace));
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Searched::Path;
        };
        if BUILTINS.contains(&name.as_str()) || HARMLESS.contains(&name.as_str()) {
            return Searched::System;
        }
        let is_common = COMMON.contains(&name.as_str());
        let folders = scope.folders_of_path();
        let is_known = !folders.contains(&None);
        let own = OWN_FOLDERS.iter().chain(&USUAL_FOLDERS);
        let more = own
            .filter(|_| !is_known)
            .map(|folder| Some(PathBuf::from(folder)));
        let mut is_certain = true;
        for folder in folders.into_iter().chain(more) {
            let Some(folder) = folder else {
                is_certain = false;
                continue;
            };
            let path = folder.join(&name);
            let Some(is_own) = self.is_own_program(&path, is_common) else {
                continue;
            };
            return match (is_own, is_certain) {
                (false, _) => Searched::System,
                (true, true) => Searched::File(path),
                (true, false) => Searched::Perhaps(path),
            };
        }
        // With another PATH it is one of these.
        let mut own = OWN_FOLDERS
            .map(|folder| Path::new(folder).join(&name))
            .into_iter();
        match own.find(|path| (self.files)(path).is_some()) {
            _ if is_common => Searched::System,
            Some(path) => Searched::Perhaps(path),
            None => Searched::Nothing,
        }
    }

    /// Whether the program at this path is one of the host's own; `None` where there is none.
    fn is_own_program(&self, path: &Path, is_common: bool) -> Option<bool> {
        let is_in_system = SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder));
        let script = (self.files)(path).filter(|script| script.is_executable);
        match script {
            // Some of the system's are scripts, too.
            Some(script) if is_in_system => Some(
                !is_common
                    && is_shell_script(path, &script.text)
                    && !telling_lines(&script.text, 1).is_empty(),
            ),
            Some(_) => Some(true),
            None => (self.is_program)(path).then_some(!is_in_system && !is_common),
        }
    }

    /// The script among the words of a program that is not followed, which may run it; how that is called.
    pub(super) fn carried(&self, words: &[Word], scope: &Scope) -> Option<String> {
        let program = base(&words[0]);
        let is_common = COMMON.contains(&program.as_str());
        let parts = words[1..].iter().flat_map(|word| {
            let shown = word.shown();
            let parts = shown.split(|one: char| one.is_whitespace() || ";|&()'\"<>`".contains(one));
            parts.map(str::to_owned).collect::<Vec<_>>()
        });
        let mut parts = parts.filter(|part| !part.is_empty() && !part.starts_with(['-', '$']));
        parts.find(|part| {
            let ends_so = SCRIPT_ENDS.iter().any(|end| part.ends_with(end));
            let word = Word::of(part);
            match self.search(&word, scope) {
                _ if is_common => false,
                Searched::File(_) | Searched::Perhaps(_) => true,
                Searched::System => false,
                Searched::Nothing => ends_so,
                Searched::Path => ends_so || self.is_script_at(&word, scope),
            }
        })
    }

    fn is_script_at(&self, word: &Word, scope: &Scope) -> bool {
        let path = word.below(scope.folder().as_ref()).text().map(PathBuf::from);
        let path = path.filter(|path| path.is_absolute());
        let script = path.as_deref().and_then(|path| (self.files)(path));
        script.is_some_and(|script| script.text.starts_with("#!"))
    }
}

impl Scope {
    /// The folders of `PATH` in their order; `None` for what is not known beforehand.
    fn folders_of_path(&self) -> Vec<Option<PathBuf>> {
        let Some(path) = self.program_path() else {
            return vec![None];
        };
        let mut folders = vec![Some(String::new())];
        for piece in &path.0 {
            let Piece::Text(text) = piece else {
                if let Some(last) = folders.last_mut() {
                    *last = None;
                }
                continue;
            };
            for (at, part) in text.split(':').enumerate() {
                match folders.last_mut() {
                    Some(last) if at == 0 => {
                        if let Some(last) = last {
                            last.push_str(part);
                        }
                    }
                    _ => folders.push(Some(part.to_owned())),
                }
            }
        }
        let known = |folder: Option<String>| folder.filter(|text| text.starts_with('/')).map(PathBuf::from);
        folders.into_iter().map(known).collect()
    }
}
