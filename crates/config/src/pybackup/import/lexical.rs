//! The backstop: words of programs that make or remove sets, wherever they stand in a text.
//!
//! Nothing hides them, since nothing is followed: neither what they are called through, nor what they are part of.

use super::script::BACKUP_TOOLS;

/// Words that matter by themselves.
const TELLING: [&str; 17] = [
    "shutil.rmtree",
    "rmtree",
    "os.remove",
    "os.unlink",
    "only-rsync",
    "mark-del",
    "validate-backup",
    "-delete",
    "-exec",
    "-execdir",
    "-ok",
    "-okdir",
    "rmdir",
    "tmpwatch",
    "tmpreaper",
    "unlink",
    "shred",
];
/// Programs whose words are what they look for, or where they go.
const SEEKERS: [&str; 6] = ["grep", "egrep", "fgrep", "pgrep", "pidof", "cd"];

/// What says something, and does nothing of it.
const SPEAKERS: [&str; 3] = ["echo", "printf", "logger"];
/// Programs that do what they read, or run what they are given.
const READERS: [&str; 11] = [
    "sh", "bash", "dash", "ksh", "zsh", "at", "batch", "ssh", "xargs", "parallel", "su",
];
/// Programs whose words are what they look at, or end.
const LOOKERS: [&str; 23] = [
    "which", "type", "hash", "test", "ls", "stat", "file", "chmod", "chown", "cp", "mv", "ln", "cat", "tail",
    "head", "rpm", "dpkg", "apt-get", "yum", "kill", "killall", "pkill", "ps",
];
/// What pybackup, or another of these programs, is told that makes no set.
const MAKE_NOTHING: [&str; 8] = [
    "only-rsync",
    "mark-del",
    "validate-backup",
    "-h",
    "--help",
    "--version",
    "-V",
    "help",
];
/// Words of the shell's before a command.
const BEFORE: [&str; 8] = ["if", "while", "until", "!", "then", "do", "else", "elif"];
/// What a user's name follows.
const BEFORE_USER: [&str; 5] = ["-u", "--user", "su", "runuser", "-"];

/// A command that holds such words, and its line with those that it goes on in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    /// The first and the last, from 1.
    pub(super) lines: (usize, usize),
    /// The first of them.
    pub(super) word: String,
    /// Whether the command may make sets.
    pub(super) makes: bool,
}

/// The commands of a script, or of one line of a crontab that is called `first`.
pub(super) fn telling_lines(text: &str, first: usize) -> Vec<Telling> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((begin, line)) = lines.next() {
        let (mut whole, mut end) = (line.to_owned(), begin);
        while whole.ends_with('\\')
            && !is_remark(line)
            && let Some((next, line)) = lines.next()
        {
            whole.pop();
            whole.push_str(line);
            end = next;
        }
        if !is_remark(line) {
            let lines = (first + begin, first + end);
            let words = telling_words(&whole).into_iter();
            found.extend(words.map(|(word, makes)| Telling { lines, word, makes }));
        }
    }
    found
}

fn is_remark(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Of each command in the text that holds such words the first of them, and whether it may make sets.
pub(super) fn telling_words(text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['|', ';', '&', '(', ')', '`']).unwrap_or(rest.len());
        let (command, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        found.extend(telling_word(command).map(|word| (word, makes_sets(command, after))));
    }
    found
}

/// The names in a command, from its first on.
fn names_in(command: &str) -> Vec<&str> {
    let words = command
        .split(|one: char| one.is_whitespace() || "'\"<>={}$\\,[]".contains(one))
        .filter(|word| !word.is_empty());
    words
        .map(|word| word.rsplit('/').next().unwrap_or_default())
        .skip_while(|word| BEFORE.contains(word))
        .collect()
}

/// Whether a command may make sets, which `after` stands behind.
fn makes_sets(command: &str, after: &str) -> bool {
    let words = names_in(command);
    let first = words.first().copied().unwrap_or_default();
    // What is said is done where a shell reads it.
    let reader = after
        .strip_prefix('|')
        .map(|reader| reader.split(['|', ';', '&']).next());
    let is_read = || {
        let reader = names_in(reader.flatten().unwrap_or_default());
        reader.iter().any(|word| READERS.contains(word))
    };
    let looks = LOOKERS.contains(&first) || matches!(words.as_slice(), ["command", "-v" | "-V", ..]);
    if looks || first.starts_with('-') || SPEAKERS.contains(&first) && !is_read() {
        return false;
    }
    let called = words
        .iter()
        .position(|word| is_pybackup(word) || BACKUP_TOOLS.contains(word));
    called.is_some_and(|at| {
        let mut told = words[at + 1..].iter();
        let first = told.next().copied().unwrap_or_default();
        let asks = MAKE_NOTHING.contains(&first) || first == "mydumper" && told.next() == Some(&"help");
        !asks
    })
}

fn telling_word(command: &str) -> Option<String> {
    let words = names_in(command);
    if words.first().is_some_and(|first| SEEKERS.contains(first)) {
        return None;
    }
    let speaks = words.first().is_some_and(|first| SPEAKERS.contains(first));
    let is_user = |at: usize| {
        at.checked_sub(1)
            .is_some_and(|before| BEFORE_USER.contains(&words[before]))
    };
    let is_telling = |(at, word): &(usize, &&str)| {
        let is_call = is_pybackup(word) && !speaks && !is_user(*at);
        TELLING.contains(*word) || BACKUP_TOOLS.contains(*word) || is_call
    };
    let word = words.iter().enumerate().find(is_telling).map(|(_, word)| *word);
    let word = word.or_else(|| (removes(&words) || removes_unknown(command)).then_some("rm"));
    let mirrors = || words.contains(&"rsync") && words.iter().any(|word| word.starts_with("--del"));
    word.or_else(|| mirrors().then_some("rsync")).map(str::to_owned)
}

/// `rm $x`, `rm /b/*`, and `rm` whose words come from elsewhere.
fn removes_unknown(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let is_rm = |word: &str| {
        let word = word.trim_matches(|one: char| "'\"{[\\".contains(one));
        word.rsplit('/').next() == Some("rm")
    };
    let mut operands = words.by_ref().skip_while(|word| !is_rm(word)).skip(1).peekable();
    match operands.peek() {
        None => command.split_whitespace().next_back().is_some_and(is_rm),
        Some(_) => operands.any(|word| word.contains(['$', '*', '?', '[', '{', '~'])),
    }
}

fn is_pybackup(word: &str) -> bool {
    matches!(word, "pybackup" | "pybackup.py")
}

/// `rm -r`, `rm -f`, `xargs rm`.
fn removes(words: &[&str]) -> bool {
    let Some(at) = words.iter().position(|word| *word == "rm") else {
        return false;
    };
    let is_option = |word: &&str| {
        let is_cluster = word.starts_with('-') && !word.starts_with("--");
        is_cluster && word.contains(['r', 'R', 'f']) || ["--recursive", "--force"].contains(word)
    };
    words[..at]
        .iter()
        .any(|word| ["xargs", "parallel"].contains(word))
        || words[at..].iter().any(is_option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_what_makes_or_removes_sets() {
        for (line, word) in [
            ("nice -n 19 mysqldump x", Some("mysqldump")),
            (
                "bash -lc 'cd /x; /opt/bin/mariabackup --backup'",
                Some("mariabackup"),
            ),
            ("docker exec db sh -c \"mysqldump x\"", Some("mysqldump")),
            ("D=$(mysqldump x)", Some("mysqldump")),
            ("ssh h sudo rm -fr /b/x", Some("rm")),
            ("ls | xargs -n1 rm", Some("rm")),
            ("ls | xargs sudo rm", Some("rm")),
            ("R='rm --recursive'", Some("rm")),
            ("find /b -mtime +7 -exec sh -c x \\;", Some("-exec")),
            ("/usr/sbin/tmpwatch 30d /b", Some("tmpwatch")),
            ("find /b -empty -delete", Some("-delete")),
            ("ionice -c 3 $PY mark-del", Some("mark-del")),
            ("while read f; do rm \"/b/$f\"; done", Some("rm")),
            ("rm /b/*.gz", Some("rm")),
            ("O=-rf; rm $O /b/x", Some("rm")),
            ("rm `cat /list`", Some("rm")),
            ("find /b -mtime +3 | parallel rm", Some("rm")),
            (
                "python -c 'import shutil; shutil.rmtree(\"/b/x\")'",
                Some("shutil.rmtree"),
            ),
            ("rsync -a --delete /e/ /b/", Some("rsync")),
            ("rsync -a /e/ /b/", None),
            ("/usr/sbin/holland bk", Some("holland")),
            ("cd /opt/pybackup", None),
            ("  # rm -rf /b", None),
            (
                "ps -ef | grep pybackup | grep -v grep | grep validate|wc -l",
                None,
            ),
            ("pgrep -f 'pybackup mydumper'", None),
            ("if pgrep -f mydumper", None),
            ("echo \"pybackup begins\"", None),
            ("echo pybackup mydumper x", Some("mydumper")),
            ("sudo -u pybackup b.sh", None),
            ("su - pybackup -c b.sh", None),
            ("sudo -u pybackup pybackup mark-del", Some("pybackup")),
            ("then pybackup x", Some("pybackup")),
            ("rm x.lock", None),
            ("cp pybackup.log x; echo rmdirs", None),
        ] {
            let found: Vec<String> = telling_lines(line, 1).into_iter().map(|line| line.word).collect();
            assert_eq!(found.first().map(String::as_str), word, "{line}");
        }
        assert_eq!(
            telling_words("pybackup mydumper x; find /c -exec sh -c 'rm -rf x' \\;"),
            [("pybackup".to_owned(), true), ("-exec".to_owned(), false)]
        );
        let lines: Vec<(usize, usize)> =
            telling_lines("a\nfind /b \\\n -type d \\\n -delete\n# rm -rf \\\nrmdir x", 1)
                .into_iter()
                .map(|line| line.lines)
                .collect();
        assert_eq!(lines, [(2, 4), (6, 6)]);
    }

    #[test]
    fn what_may_make_sets_is_told_from_what_looks_at_them() {
        for (line, makes) in [
            ("x=$(pybackup mydumper a)", true),
            ("pybackup $WHAT", true),
            ("eval \"mysqldump -A\"", true),
            ("echo 'pybackup mydumper a' | bash", true),
            ("echo 'mysqldump -A' | ssh h", true),
            ("echo \"mysqldump is done\" | mail dba", false),
            ("echo \"mysqldump is done\"", false),
            ("python /x/pybackup.py mark-del --backup-dir=/b", false),
            ("pybackup validate-backup", false),
            ("pybackup mydumper help", false),
            ("mydumper --version", false),
            ("[ -x /usr/bin/mydumper ]", false),
            ("which mysqldump", false),
            ("find /b -delete", false),
        ] {
            let found = telling_lines(line, 1).iter().any(|line| line.makes);
            assert_eq!(found, makes, "{line}");
        }
    }
}
