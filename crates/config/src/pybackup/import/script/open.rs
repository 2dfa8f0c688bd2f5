//! What is not understood, or not followed: beside it nothing that removes sets becomes a job that runs.

use super::super::find::Find;
use super::super::shell::{Part, RawCommand, RawWord, plain, read_shell};
use super::super::word::Word;
use super::super::{Place, Remark};
use super::programs::{COMMON, HARMLESS};
use super::scope::Scope;
use super::{Reading, base};
use crate::pybackup::CONF_NAME;

/// Programs that only read the files which they are given.
const READERS: [&str; 16] = [
    "awk",
    "cat",
    "cmp",
    "diff",
    "egrep",
    "fgrep",
    "file",
    "grep",
    "head",
    "ls",
    "md5sum",
    "sha256sum",
    "sed",
    "stat",
    "tail",
    "wc",
];
/// Programs whose last word is what they write.
const COPIES: [&str; 5] = ["cp", "install", "ln", "rsync", "scp"];
/// Harmless programs that change what a later call meets, or may run another.
const BUSY: [&str; 12] = [
    "awk", "chmod", "chown", "let", "read", "sed", "set", "tee", "touch", "trap", "umask", "unset",
];
/// Outputs within outputs.
const DEEPEST_OUTPUT: usize = 5;

/// A place at which something is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Open {
    pub(in super::super) place: Place,
    /// It is a program that comes with a system and runs none of its scripts: beside calls of pybackup's it may do
    /// something with sets, on a line of its own it has nothing to do with them.
    pub(in super::super) is_common: bool,
}

impl Reading<'_> {
    /// What is done here is not understood.
    pub(super) fn leave_open(&mut self, place: &Place, program: &str) {
        self.open.push(Open {
            place: place.clone(),
            is_common: COMMON.contains(&program),
        });
    }

    /// Every place that is not understood, the programs of the system's among them where calls of pybackup's stand beside
    /// them.
    pub(in super::super) fn places_open(&self) -> Vec<Place> {
        let is_alone = self.found.is_empty();
        let told = self.open.iter().filter(|open| !is_alone || !open.is_common);
        let told = told.map(|open| &open.place);
        let unread = self.unread.iter().map(|(place, _)| place);
        let unclear = self.unclear.iter().map(|remark| &remark.place);
        told.chain(unread)
            .chain(unclear)
            .chain(&self.blind)
            .cloned()
            .collect()
    }

    /// What the command holds besides its words: commands whose output is put in, and files that it writes.
    pub(super) fn note_inner(&mut self, raw: &RawCommand, place: &Place, scope: &Scope) {
        if runs_what_is_not_known(raw.words.iter().chain(&raw.targets).chain(&raw.sources), 0) {
            self.leave_open(place, "");
        }
        let names_conf = |word: &&RawWord| self.is_conf(&scope.word(word), scope);
        if raw.targets.iter().any(|word| names_conf(&word)) {
            self.change_conf(place);
        }
    }

    /// A program that comes with the system and is not followed: some run what they are given, some write files.
    pub(super) fn note_harmless(&mut self, words: &[Word], place: &Place, scope: &Scope) {
        let program = base(&words[0]);
        if BUSY.contains(&program.as_str()) {
            self.busy += 1;
        }
        let texts: Vec<String> = words[1..].iter().map(Word::shown).collect();
        let runs = match program.as_str() {
            "awk" => texts
                .iter()
                .any(|text| text.contains("system(") || text.contains("| \"")),
            // What stands in it is run at the end.
            "trap" => texts.first().is_some_and(|text| {
                let is_text = !["-", "", "--"].contains(&text.as_str()) && texts.len() > 1;
                is_text && read_shell(text, 1).iter().any(|command| !is_known(command, 0))
            }),
            _ => false,
        };
        if runs {
            self.leave_open(place, "");
        }
        let writes = match program.as_str() {
            "sed" | "awk" => texts
                .iter()
                .any(|text| text.starts_with("-i") || text.starts_with("--in-place")),
            "tee" => true,
            _ => false,
        };
        if writes && words[1..].iter().any(|word| self.is_conf(word, scope)) {
            self.change_conf(place);
        }
    }

    /// What a program is given that is not followed: where the conf is among it, it may be changed.
    pub(super) fn note_changes(&mut self, words: &[Word], place: &Place, scope: &Scope) {
        self.busy += 1;
        let program = base(&words[0]);
        if READERS.contains(&program.as_str()) {
            return;
        }
        let operands: Vec<&Word> = words[1..]
            .iter()
            .filter(|word| !word.shown().starts_with('-'))
            .collect();
        let changes = match operands.split_last() {
            // What is copied from it leaves it as it is.
            Some((last, sources)) if COPIES.contains(&program.as_str()) => {
                let is_other = |word: &&Word| self.is_conf(word, scope) && !self.is_the_conf(word, scope);
                self.is_conf(last, scope) || sources.iter().any(is_other)
            }
            _ => words[1..].iter().any(|word| self.is_conf(word, scope)),
        };
        if changes {
            self.change_conf(place);
        }
    }

    /// The text of a program in a language that is not read here.
    pub(super) fn note_program_text(&mut self, text: &str, place: &Place) {
        if text.contains(self.conf_name().as_str()) {
            self.change_conf(place);
        }
    }

    fn conf_name(&self) -> String {
        let name = self
            .conf
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| CONF_NAME.to_owned())
    }

    /// Whether a word is the very file that is read.
    fn is_the_conf(&self, word: &Word, scope: &Scope) -> bool {
        word.below(scope.folder().as_ref()).text().as_deref() == self.conf.to_str()
    }

    /// Whether a word names the conf, or a file that is called so.
    fn is_conf(&self, word: &Word, scope: &Scope) -> bool {
        let shown = word.shown();
        let name = self.conf_name();
        let last = shown.rsplit(['/', '=', ' ', ':']).next();
        last == Some(name.as_str()) || self.is_the_conf(word, scope)
    }

    fn change_conf(&mut self, place: &Place) {
        self.leave_open(place, "");
        self.tell();
        if !self.changes_conf.contains(place) {
            self.changes_conf.push(place.clone());
            let text = format!(
                "{} may be changed here, so that what stands in it is not known before this runs: no job is written for \
                 calls that read it; write [backup.NAME] for each by hand",
                self.conf_name()
            );
            self.remarks.push(Remark::gap(place.clone(), text));
        }
    }
}

/// Whether commands whose output these words put in may do anything else than tell something.
fn runs_what_is_not_known<'w>(words: impl Iterator<Item = &'w RawWord>, depth: usize) -> bool {
    let mut outputs = words.flatten().filter_map(|part| match part {
        Part::Output { text, .. } => Some(text),
        _ => None,
    });
    outputs.any(|text| {
        depth > DEEPEST_OUTPUT
            || read_shell(text, 1)
                .iter()
                .any(|command| !is_known(command, depth))
    })
}

/// Whether all that a command does is known to change nothing of sets, and to run none of the host's scripts.
fn is_known(raw: &RawCommand, depth: usize) -> bool {
    let is_assignment = |word: &RawWord| matches!(word.first(), Some(Part::Text(text)) if text.contains('='));
    let mut words = raw.words.iter().skip_while(|word| is_assignment(word));
    if runs_what_is_not_known(
        raw.words.iter().chain(&raw.targets).chain(&raw.sources),
        depth + 1,
    ) {
        return false;
    }
    let Some(first) = words.next() else { return true };
    let Some(program) = plain(first).map(|text| base(&Word::of(text))) else {
        return false;
    };
    match program.as_str() {
        "find" => {
            let words: Option<Vec<Word>> = words.map(|word| plain(word).map(Word::of)).collect();
            words.is_none_or(|words| !Find::read(&words).removes && !finds_and_runs(&words))
        }
        "awk" => !words.flatten().any(|part| match part {
            Part::Text(text) => text.contains("system(") || text.contains("| \""),
            _ => false,
        }),
        "cd" | "rm" | "kill" | "which" | "type" => true,
        name => HARMLESS.contains(&name) || COMMON.contains(&name),
    }
}

/// Whether `find` runs a program that may do anything.
pub(super) fn finds_and_runs(words: &[Word]) -> bool {
    let shown: Vec<String> = words.iter().map(Word::shown).collect();
    let mut runs = shown
        .iter()
        .enumerate()
        .filter(|(_, word)| ["-exec", "-execdir", "-ok", "-okdir"].contains(&word.as_str()));
    runs.any(|(at, _)| {
        let program = words.get(at + 1).map(base).unwrap_or_default();
        program != "rm" && !HARMLESS.contains(&program.as_str()) && !COMMON.contains(&program.as_str())
    })
}
