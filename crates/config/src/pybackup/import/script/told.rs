//! What is told of commands that are not followed, and of which commands something is told.

use super::super::shell::{Part, RawCommand, RawWord};
use super::super::word::{Word, program_shown};
use super::super::{Place, Remark};
use super::programs::{ELSEWHERE, INTERPRETERS, SCRIPT_ENDS, SYSTEM_FOLDERS, XARGS_VALUES};
use super::scope::Scope;
use super::search::Searched;
use super::{Reading, base, unknown_program};
use std::path::{Path, PathBuf};

impl Reading<'_> {
    /// The command that is being read is understood, or told of.
    pub(super) fn tell(&mut self) {
        self.told
            .insert(self.current.command.clone(), self.current.telling);
    }

    /// The sets that the command makes are known.
    pub(super) fn make(&mut self) {
        self.made
            .insert(self.current.command.clone(), self.current.making);
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

    /// A call that has a zone of its own: the day in its folder's name, and the times in its row, go by that.
    pub(super) fn note_zone(&mut self, place: &Place, scope: &Scope) {
        let exported = scope
            .variables
            .get("TZ")
            .filter(|_| scope.exported.contains("TZ"));
        if let Some(zone) = scope.prefixed.get("TZ").or(exported) {
            let text = format!(
                "this call runs under TZ={}, and its job under the zone of the whole import, which says on which day a set \
                 is made and at what time: with --timezone it is another",
                zone.shown()
            );
            self.remarks.push(Remark::gap(place.clone(), text));
        }
    }

    /// What programs that run another one give it, and no job has by itself.
    pub(super) fn note_surroundings(&mut self, words: &[Word], place: &Place) {
        let mut names: Vec<String> = words.iter().map(base).collect();
        names.dedup();
        for name in names {
            let text = match name.as_str() {
                "timeout" => "the limit that timeout sets is not in the job: write `timeout` into it",
                "sudo" | "su" | "runuser" | "doas" | "gosu" | "su-exec" | "setuidgid" | "chpst" => {
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
            if is_interpreter {
                self.note_program_text(&script.text, place);
            }
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
        self.note_changes(words, &place, scope);
        self.note_unfollowed(words, &place, scope);
        let mut at = 1;
        while let Some(option) = words
            .get(at)
            .map(Word::shown)
            .filter(|word| word.starts_with('-'))
        {
            at += 1 + usize::from(XARGS_VALUES.contains(&option.as_str()));
        }
        let run = words.get(at..).filter(|run| !run.is_empty());
        let given = run.and_then(|run| self.note_unread(run, &place, scope));
        self.unfollowed_through(given, "xargs", place);
    }

    /// A script of the host's own that cannot be read may do anything. Gives how a program is called that may run another
    /// one among its words, and that one.
    pub(super) fn note_unread(&mut self, words: &[Word], place: &Place, scope: &Scope) -> Option<String> {
        let program = base(&words[0]);
        let is_interpreter = INTERPRETERS.iter().any(|name| program.starts_with(name));
        let called = match words.get(1).filter(|_| is_interpreter) {
            Some(script) if !script.shown().starts_with('-') => script,
            _ => &words[0],
        };
        let shown = unknown_program(called);
        let is_in_system = |path: &str| SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder));
        let folder = words.iter().skip(1).find(|word| !word.shown().starts_with('-'));
        if let Some(folder) = folder.filter(|_| program == "run-parts") {
            self.unread.push((place.clone(), folder.shown()));
            return None;
        }
        if !is_interpreter {
            match self.search(called, scope) {
                Searched::File(path) | Searched::Perhaps(path) => {
                    match (self.files)(&path) {
                        Some(script) => self.note_script(&path, &script.text),
                        None => self.note_blind(&path, place),
                    }
                    self.unread.push((place.clone(), path.display().to_string()));
                    return None;
                }
                // What the system's own scripts ask for may be installed or not.
                Searched::Nothing if !is_in_system(&place.file.to_string_lossy()) => {
                    self.unread
                        .push((place.clone(), program_shown(&shown).to_owned()));
                }
                Searched::Path | Searched::System | Searched::Nothing => {}
            }
        }
        let is_systems = !shown.contains('/') && !shown.starts_with('$') || is_in_system(&shown);
        let is_script = |path: &str| SCRIPT_ENDS.iter().any(|end| path.ends_with(end));
        if !is_systems || is_interpreter || is_script(&shown) {
            let name = if shown.starts_with('$') {
                &shown
            } else {
                program_shown(&shown)
            };
            self.unread.push((place.clone(), name.to_owned()));
            // It may be any program.
            if shown.starts_with('$') {
                self.blind.push(place.clone());
            }
            let path = called.below(scope.folder().as_ref()).text().map(PathBuf::from);
            if let Some(path) = path.filter(|path| path.is_absolute()) {
                self.note_blind(&path, place);
            }
        }
        // What it is given may be what it runs.
        let is_elsewhere = ELSEWHERE.contains(&program.as_str());
        let is_own = |word: &String| match word.starts_with('/') {
            true => !is_in_system(word) && (is_elsewhere || is_script(word)),
            false => is_elsewhere && is_script(word),
        };
        let given = words[1..].iter().map(Word::shown).find(is_own);
        let given = given.map(|own| program_shown(&own).to_owned());
        let given = given.filter(|own| !own.is_empty());
        let given = given
            .or_else(|| self.carried(words, scope))
            .filter(|_| !is_interpreter)?;
        let given = program_shown(&given).to_owned();
        // It is told of once.
        self.unread.retain(|(at, name)| (at, name) != (place, &given));
        let given = format!("{given} through {}", program_shown(&program));
        self.unread.push((place.clone(), given.clone()));
        Some(given)
    }

    /// What lies at this path may make sets, and nobody knows.
    fn note_blind(&mut self, path: &Path, place: &Place) {
        if (self.files)(path).is_none() && !(self.is_program)(path) {
            self.blind.push(place.clone());
        }
    }

    /// What a program does, and what it runs besides, is not followed.
    pub(super) fn unfollowed_through(&mut self, given: Option<String>, program: &str, place: Place) {
        let Some(given) = given else {
            return self.strange(program, place);
        };
        self.leave_open(&place, "");
        self.tell();
        let text = format!(
            "this runs {given}, which is not followed: where that makes, checks or removes sets, write a job"
        );
        self.remarks.push(Remark::gap(place, text));
    }

    /// The program's name alone: its words may hold a password.
    pub(super) fn strange(&mut self, program: &str, place: Place) {
        self.leave_open(&place, program.rsplit('/').next().unwrap_or_default());
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
