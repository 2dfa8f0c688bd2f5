//! Whether it is certain what a script knows, and does, behind a command. Where it is not, no removal runs by itself.

use super::super::Place;
use super::super::shell::{Part, RawCommand};
use super::super::word::{Word, program_shown};
use super::programs::{CERTAIN, HARMLESS};
use super::{Reading, base};

/// Commands that set what the script knows.
const SETS: [&str; 9] = [
    "export", "local", "readonly", "declare", "typeset", "source", ".", "cd", "for",
];

impl Reading<'_> {
    /// What follows may be otherwise than it reads.
    pub(super) fn unsure(&mut self, what: &str, place: &Place) {
        let text = || format!("what {what} at {place} changes for it is not known");
        self.doubt.get_or_insert_with(text);
    }

    /// Whether it is certain what this command changes for those after it, as far as its form tells.
    pub(super) fn weigh(&mut self, raw: &RawCommand, words: &[Word], place: &Place) {
        if let Some(odd) = raw.odd {
            self.unsure(odd, place);
        }
        let is_of_function = raw.function.is_some();
        self.doubt_here = is_of_function
            .then(|| format!("it stands in a function at {place}, whose calls are not followed"));
        if raw.words.iter().flatten().any(calculates) {
            self.unsure("a calculation", place);
        }
        let program = words.first().map(base).unwrap_or_default();
        let assigns = words.len() < raw.words.len();
        let is_for_one = assigns && !words.is_empty();
        let sets = assigns || SETS.contains(&program.as_str());
        if sets && (raw.is_apart || is_of_function || is_for_one) {
            self.unsure(if assigns { "an assignment" } else { &program }, place);
        }
        let is_left = ["break", "continue"].contains(&program.as_str());
        if is_left || raw.is_in_loop && ["exit", "return"].contains(&program.as_str()) {
            self.unsure(&program, place);
            // What stands before it in the loop is done less often, too.
            let doubt = self.doubt.clone();
            let mut found = self.found.iter_mut();
            for before in found.by_ref().filter(|before| before.place.file == place.file) {
                before.doubt = before.doubt.take().or_else(|| doubt.clone());
            }
        }
        if is_uncertain(&program, words) {
            self.unsure(&format!("{:?}", program_shown(&program)), place);
        }
    }
}

/// `$((n = n + 1))`
fn calculates(part: &Part) -> bool {
    let Part::Output(text) = part else { return false };
    text.starts_with('(') && ["=", "++", "--"].iter().any(|sign| text.contains(sign))
}

/// Whether the command itself, as it is called here, may change what comes after it.
fn is_uncertain(program: &str, words: &[Word]) -> bool {
    let options: Vec<String> = words.iter().skip(1).map(Word::shown).collect();
    let has = |start: &str| options.iter().any(|option| option.starts_with(start));
    match program {
        "cd" => options.len() != 1 || has("-"),
        "pushd" => true,
        "export" | "readonly" | "local" => has("-"),
        "declare" | "typeset" => has("-") || has("+"),
        "set" => !options
            .iter()
            .all(|option| ["-x", "+x", "-v", "+v"].contains(&option.as_str())),
        "printf" => has("-v"),
        "sed" => has("-i") || has("--in") || has("-ni"),
        "exec" => !options.is_empty(),
        "exit" | "return" => false,
        program => HARMLESS.contains(&program) && !CERTAIN.contains(&program),
    }
}
