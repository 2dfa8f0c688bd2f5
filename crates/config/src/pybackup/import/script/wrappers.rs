//! Programs that run another one, whose words follow: where that begins, and what it sees of the script's variables.

use super::super::word::Word;
use super::base;
use super::programs::{SHELLS, WRAPPERS};

/// Long options whose value may be a word of its own.
const TAKES_VALUE: [&str; 26] = [
    "--user",
    "--group",
    "--host",
    "--prompt",
    "--chdir",
    "--role",
    "--type",
    "--adjustment",
    "--class",
    "--classdata",
    "--signal",
    "--kill-after",
    "--wait",
    "--timeout",
    "--unset",
    "--format",
    "--identifier",
    "--priority",
    "--shell",
    "--what",
    "--who",
    "--why",
    "--mode",
    "--input",
    "--output",
    "--error",
];

/// What a wrapper, or a shell, is told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// The program that is this word, with those after it.
    Program(usize),
    /// The script in the file that this word names.
    File(usize),
    /// This word, as a shell reads it.
    Text(usize),
    /// Something that is not among the words, or nothing.
    Other,
    /// Nothing: it looks at what is there.
    Nothing,
}

/// What a wrapper makes of its words.
pub(super) struct Wrapped {
    pub(super) runs: Runs,
    /// `NAME=value`, and names that are taken away.
    pub(super) set: Vec<Word>,
    /// Whether no variable of the script is handed on.
    pub(super) clears: bool,
}

/// Reads the words of a wrapper.
pub(super) fn read_wrapper(words: &[Word]) -> Wrapped {
    let name = base(&words[0]);
    let known = WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name);
    let (_, letters, operands) = known.copied().unwrap_or_default();
    let is_login = matches!(name.as_str(), "su" | "runuser");
    let mut wrapped = Wrapped {
        runs: Runs::Other,
        set: Vec::new(),
        clears: matches!(name.as_str(), "sudo" | "su" | "runuser" | "doas"),
    };
    let (mut at, mut operands, mut names_user) = (1, operands, false);
    while let Some(word) = words.get(at) {
        let shown = word.shown();
        match shown.as_str() {
            "-c" | "--command" | "--session-command" if is_login => return text(wrapped, at + 1),
            // What stands behind a lock's file is a shell's.
            "-c" | "--command" if name == "flock" && operands == 0 => return text(wrapped, at + 1),
            "--command" if name == "script" => return text(wrapped, at + 1),
            // `-qc`
            _ if name == "script" && is_cluster(&shown) && shown.ends_with('c') => {
                return text(wrapped, at + 1);
            }
            // Its file may stand before that.
            _ if name == "script" => {}
            // What it finds then is set elsewhere.
            _ if name == "chpst" && sets_surroundings(&shown, letters) => return wrapped,
            "-i" | "-" | "--ignore-environment" if name == "env" => wrapped.clears = true,
            "-p" | "--pid" if matches!(name.as_str(), "ionice" | "taskset" | "chrt") => {
                wrapped.runs = Runs::Nothing;
                return wrapped;
            }
            "-v" | "-V" if name == "command" => {
                wrapped.runs = Runs::Nothing;
                return wrapped;
            }
            "--" => {}
            _ if takes_next(&shown, letters) => {
                at += 1;
                names_user |= name == "runuser" && matches!(shown.as_str(), "-u" | "--user");
                if name == "env" {
                    wrapped.set.extend(words.get(at).cloned());
                }
            }
            _ if shown.starts_with('-') => names_user |= name == "runuser" && shown.starts_with("--user="),
            _ if is_assignment(&shown) && matches!(name.as_str(), "env" | "sudo") => {
                wrapped.set.push(word.clone());
            }
            // Options may stand behind the user, too.
            _ if is_login && !names_user && operands > 0 => operands -= 1,
            _ if is_login && !names_user => {
                wrapped.runs = Runs::File(at);
                return wrapped;
            }
            _ if operands > 0 && !is_login => operands -= 1,
            _ => {
                wrapped.runs = Runs::Program(at);
                return wrapped;
            }
        }
        at += 1;
    }
    if name == "env" && wrapped.set.is_empty() {
        wrapped.runs = Runs::Nothing;
    }
    wrapped
}

fn is_cluster(option: &str) -> bool {
    option.starts_with('-') && !option.starts_with("--")
}

/// `chpst -e DIR`, `chpst -/ DIR`
fn sets_surroundings(option: &str, letters: &str) -> bool {
    let first = option
        .strip_prefix('-')
        .and_then(|cluster| cluster.chars().find(|one| letters.contains(*one)));
    matches!(first, Some('e' | '/'))
}

fn text(mut wrapped: Wrapped, at: usize) -> Wrapped {
    wrapped.runs = Runs::Text(at);
    wrapped
}

/// Reads the words of a shell.
pub(super) fn read_shell_words(words: &[Word]) -> Runs {
    let (mut at, mut is_text) = (1, false);
    while let Some(word) = words.get(at) {
        let shown = word.shown();
        let is_cluster = shown.starts_with(['-', '+']) && !shown.starts_with("--") && shown.len() > 1;
        match shown.as_str() {
            "--rcfile" | "--init-file" => at += 1,
            _ if is_cluster => {
                is_text |= shown.starts_with('-') && shown.contains('c');
                at += usize::from(shown.ends_with(['o', 'O']));
            }
            _ if shown.starts_with('-') => {}
            _ if is_text => return Runs::Text(at),
            _ => return Runs::File(at),
        }
        at += 1;
    }
    Runs::Other
}

/// Whether it runs another program, or a text.
pub(super) fn is_wrapper(program: &str) -> bool {
    WRAPPERS.iter().any(|(wrapper, ..)| *wrapper == program)
}

/// Whether it is a shell.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program)
}

/// Whether the value of this option is the next word.
fn takes_next(option: &str, letters: &str) -> bool {
    if option.starts_with("--") {
        return TAKES_VALUE.contains(&option);
    }
    let cluster = option.strip_prefix('-').unwrap_or_default();
    cluster
        .find(|letter| letters.contains(letter))
        .is_some_and(|at| at + 1 == cluster.len())
}

fn is_assignment(text: &str) -> bool {
    let name = text.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|one| one == '_' || one.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split_whitespace().map(Word::of).collect()
    }

    #[test]
    fn what_a_wrapper_runs_is_found_behind_its_own_words() {
        for (text, runs) in [
            ("nice x", Runs::Program(1)),
            ("nice -n 19 x", Runs::Program(3)),
            ("nice -n19 -10 x -n 3", Runs::Program(3)),
            ("nice --adjustment 5 x", Runs::Program(3)),
            ("ionice -c 3 x", Runs::Program(3)),
            ("ionice -c2 -n 7 x", Runs::Program(4)),
            ("ionice -c 3 -p 17", Runs::Nothing),
            ("taskset -c 0 x", Runs::Program(3)),
            ("chrt -b 0 x", Runs::Program(3)),
            ("timeout -k 5 1h x", Runs::Program(4)),
            ("timeout --signal=KILL 1h x", Runs::Program(3)),
            ("sudo -nu backup x", Runs::Program(3)),
            ("sudo -u backup -- A=1 x", Runs::Program(5)),
            ("sudo -v", Runs::Other),
            ("su - backup -c x", Runs::Text(4)),
            ("su -c x backup", Runs::Text(2)),
            ("su -s /bin/sh backup -c x", Runs::Text(5)),
            ("su backup /x.sh", Runs::File(2)),
            ("su - backup", Runs::Other),
            ("runuser -u backup -- x", Runs::Program(4)),
            ("runuser -l backup -c x", Runs::Text(4)),
            ("flock -n /l x", Runs::Program(3)),
            ("flock -w 5 /l -c x", Runs::Text(5)),
            ("flock -n /l sh -c x", Runs::Program(3)),
            ("env -i A=1 B=2 x", Runs::Program(4)),
            ("env -u A x", Runs::Program(3)),
            ("env", Runs::Nothing),
            ("exec -a y x", Runs::Program(3)),
            ("command -v x", Runs::Nothing),
            ("command x", Runs::Program(1)),
            ("time -p x", Runs::Program(2)),
            ("stdbuf -oL x", Runs::Program(2)),
            ("stdbuf -o L --error 0 x", Runs::Program(5)),
            ("chpst -u u:g -n 5 x", Runs::Program(5)),
            ("chpst -Pu u x", Runs::Program(3)),
            ("chpst -e /env x", Runs::Other),
            ("chpst -/ /root x", Runs::Other),
            ("setuidgid u x", Runs::Program(2)),
            ("softlimit -m 100 -t5 x", Runs::Program(4)),
            ("setlock -n /l x", Runs::Program(3)),
            ("doas -nu u x", Runs::Program(3)),
            ("gosu u x", Runs::Program(2)),
            ("systemd-cat -t y -p info x", Runs::Program(5)),
            ("systemd-inhibit --what sleep x", Runs::Program(3)),
            ("script -qc x /dev/null", Runs::Text(2)),
            ("script -q /l -e -c x", Runs::Text(5)),
            ("script /l", Runs::Other),
        ] {
            assert_eq!(read_wrapper(&words(text)).runs, runs, "{text}");
        }
        for (text, runs) in [
            ("sh /x", Runs::File(1)),
            ("bash -e -o pipefail x y", Runs::File(4)),
            ("bash -lc x", Runs::Text(2)),
            ("sh -c -e x", Runs::Text(3)),
            ("bash +o noexec -x x", Runs::File(4)),
            ("bash", Runs::Other),
            ("bash -", Runs::Other),
        ] {
            assert_eq!(read_shell_words(&words(text)), runs, "{text}");
        }
    }
}
