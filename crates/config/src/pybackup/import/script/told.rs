//! What is told of commands that are not followed, and of which commands something is told.

use super::super::shell::{Part, RawCommand, RawWord};
use super::super::word::{Word, program_shown};
use super::super::{Place, Remark};
use super::programs::{ELSEWHERE, INTERPRETERS, OWN_FOLDERS, SCRIPT_ENDS, SYSTEM_FOLDERS, XARGS_VALUES};
use super::scope::Scope;
use super::{Reading, base, unknown_program};
use std::path::PathBuf;

impl Reading<'_> {
    /// The command that is being read is understood, or told of.
    pub(super) fn tell(&mut self) {
        let (command, telling) = self.current.clone();
        self.told.insert(command, telling);
    }

    /// No line of a crontab comes to more than is read of it.
    pub(super) fn give_up(&mut self, place: Place) {
        let name = place.file.file_name().unwrap_or_default().to_string_lossy();
        self.unread.push((place.clone(), name.into_owned()));
        let text = "this is more than is read for one line of a crontab: what comes after it is not followed"
            .to_owned();
        self.tell();
        self.remarks.push(Remark::gap(place, text));
    }

    /// What programs that run another one give it, and no job has by itself.
    pub(super) fn note_surroundings(&mut self, words: &[Word], place: &Place) {
        let mut names: Vec<String> = words.iter().map(base).collect();
        names.dedup();
        for name in names {
            let text = match name.as_str() {
                "timeout" => "the limit that timeout sets is not in the job: write `timeout` into it",
                "sudo" | "su" | "runuser" => {
                    "this is run as a user of its own, and the job as the user of the daemon: look at whose the folder of \
                     the sets is"
                }
                _ => continue,
            };
            self.remarks.push(Remark::note(place.clone(), text.to_owned()));
        }
    }

    /// Scripts among the words of a program that may run them, and those that an interpreter is given.
    pub(super) fn note_unfollowed(&mut self, words: &[Word], place: &Place, scope: &Scope) {
        let program = base(&words[0]);
        let is_interpreter = INTERPRETERS.iter().any(|name| program.starts_with(name));
        for word in &words[1..] {
            let path = word.below(scope.folder().as_ref()).text().map(PathBuf::from);
            let Some(path) = path.filter(|path| path.is_absolute()) else {
                continue;
            };
            let Some(script) = (self.files)(&path) else {
                continue;
            };
            if is_interpreter
                || script.text.starts_with("#!")
                || path.extension().is_some_and(|end| end == "sh")
            {
                self.note_script(&path, &script.text);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.unread.push((place.clone(), name.into_owned()));
            }
        }
    }

    /// What `xargs` runs, with words that nobody knows beforehand.
    pub(super) fn handed_on(&mut self, words: &[Word], place: Place, scope: &Scope) {
        self.note_unfollowed(words, &place, scope);
        let mut at = 1;
        while let Some(option) = words
            .get(at)
            .map(Word::shown)
            .filter(|word| word.starts_with('-'))
        {
            at += 1 + usize::from(XARGS_VALUES.contains(&option.as_str()));
        }
        if let Some(run) = words.get(at..).filter(|run| !run.is_empty()) {
            self.note_unread(run, &place);
        }
        self.strange("xargs", place);
    }

    /// A script of the host's own that cannot be read may do anything.
    pub(super) fn note_unread(&mut self, words: &[Word], place: &Place) {
        let program = base(&words[0]);
        let is_interpreter = INTERPRETERS.iter().any(|name| program.starts_with(name));
        let shown = match words.get(1).filter(|_| is_interpreter) {
            Some(script) if !script.shown().starts_with('-') => unknown_program(script),
            _ => unknown_program(&words[0]),
        };
        let folder = words.iter().skip(1).find(|word| !word.shown().starts_with('-'));
        if let Some(folder) = folder.filter(|_| program == "run-parts") {
            return self.unread.push((place.clone(), folder.shown()));
        }
        let own = OWN_FOLDERS.map(|folder| PathBuf::from(folder).join(&shown));
        let own = own.iter().filter(|_| !shown.is_empty() && !shown.contains('/'));
        for path in own {
            if let Some(script) = (self.files)(path) {
                self.note_script(path, &script.text);
                return self.unread.push((place.clone(), path.display().to_string()));
            }
        }
        let is_in_system = |path: &str| SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder));
        let is_systems = !shown.contains('/') && !shown.starts_with('$') || is_in_system(&shown);
        let is_script = |path: &str| SCRIPT_ENDS.iter().any(|end| path.ends_with(end));
        // What it is given may be what it runs.
        let is_elsewhere = ELSEWHERE.contains(&program.as_str());
        let is_own = |word: &String| match word.starts_with('/') {
            true => !is_in_system(word) && (is_elsewhere || is_script(word)),
            false => is_elsewhere && is_script(word),
        };
        let given = words[1..].iter().map(Word::shown).find(is_own);
        let given = given.map(|own| program_shown(&own).to_owned());
        if let Some(own) = given.filter(|own| !own.is_empty() && !is_interpreter) {
            self.unread.push((place.clone(), own));
        }
        if !is_systems || is_interpreter || is_script(&shown) {
            let name = if shown.starts_with('$') {
                &shown
            } else {
                program_shown(&shown)
            };
            self.unread.push((place.clone(), name.to_owned()));
        }
    }

    /// The program's name alone: its words may hold a password.
    pub(super) fn strange(&mut self, program: &str, place: Place) {
        let shown = match program.starts_with('$') {
            true => program.to_owned(),
            false => program_shown(program).to_owned(),
        };
        let text = match shown.as_str() {
            "" => "what this command does is not translated".to_owned(),
            program => format!("what {program:?} does here is not translated"),
        };
        self.tell();
        self.remarks.push(Remark::gap(place, text));
    }
}

/// A command without what it puts in.
pub(super) fn own_text(raw: &RawCommand) -> String {
    let word = |word: &RawWord| -> String {
        let texts = word.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Variable { .. } => "$",
            Part::Output { .. } => "",
        });
        texts.collect()
    };
    raw.words.iter().map(word).collect::<Vec<_>>().join(" ")
}
