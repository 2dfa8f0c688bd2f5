//! The backstop: words of programs that make or remove sets, wherever they stand in a text.
//!
//! Nothing hides them, since nothing is followed: neither what they are called through, nor what they are part of.

use super::script::BACKUP_TOOLS;

/// Words that matter by themselves.
const TELLING: [&str; 13] = [
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
/// Programs whose words are what they look for.
const SEEKERS: [&str; 5] = ["grep", "egrep", "fgrep", "pgrep", "pidof"];

/// A line that holds such words, with those that it goes on in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    /// The first and the last, from 1.
    pub(super) lines: (usize, usize),
    /// The first of them.
    pub(super) word: String,
}

/// The lines of a script, or of one line of a crontab that is called `first`.
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
        if let Some(word) = telling_word(&whole).filter(|_| !is_remark(line)) {
            let lines = (first + begin, first + end);
            found.push(Telling { lines, word });
        }
    }
    found
}

fn is_remark(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn telling_word(line: &str) -> Option<String> {
    line.split(['|', ';', '&', '(', ')', '`']).find_map(|command| {
        let words: Vec<&str> = command
            .split(|one: char| one.is_whitespace() || "'\"<>={}$\\,[]".contains(one))
            .filter(|word| !word.is_empty())
            .map(|word| word.rsplit('/').next().unwrap_or_default())
            .collect();
        if words.first().is_some_and(|first| SEEKERS.contains(first)) {
            return None;
        }
        let is_telling =
            |word: &&&str| TELLING.contains(*word) || BACKUP_TOOLS.contains(*word) || is_pybackup(word);
        let word = words.iter().find(is_telling).copied();
        word.or_else(|| removes(&words).then_some("rm"))
            .map(str::to_owned)
    })
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
    words[..at].contains(&"xargs") || words[at..].iter().any(is_option)
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
            ("  # rm -rf /b", None),
            (
                "ps -ef | grep pybackup | grep -v grep | grep validate|wc -l",
                None,
            ),
            ("pgrep -f 'pybackup mydumper'", None),
            ("rm x.lock", None),
            ("cp pybackup.log x; echo rmdirs", None),
        ] {
            let found: Vec<String> = telling_lines(line, 1).into_iter().map(|line| line.word).collect();
            assert_eq!(found.first().map(String::as_str), word, "{line}");
        }
        let lines: Vec<(usize, usize)> =
            telling_lines("a\nfind /b \\\n -type d \\\n -delete\n# rm -rf \\\nrmdir x", 1)
                .into_iter()
                .map(|line| line.lines)
                .collect();
        assert_eq!(lines, [(2, 4), (6, 6)]);
    }
}
