//! What of a line of a crontab is compared: what it calls, whenever, and whoever it is called as. As digests, since a line may
//! hold a password.

use std::collections::BTreeSet;

/// pybackup itself; what it is to do is the word after it.
const PYBACKUP: [&str; 2] = ["pybackup", "pybackup.py"];
/// Between the words of a shell, besides blanks.
const BETWEEN: [char; 9] = [';', '&', '|', '(', ')', '`', '"', '\'', '$'];

/// Whether a line names the user whom its command is run as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UserColumn {
    Yes,
    No,
    /// It is one where a user is called as its first word is.
    Perhaps,
}

/// The digests by which a line is known again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Of the whole command, blanks apart.
    pub(super) commands: BTreeSet<String>,
    /// Of each script that is called, and of each call of pybackup's.
    pub(super) called: BTreeSet<String>,
}

impl Known {
    /// Of a line that runs something; `None` of any other.
    pub(super) fn of(line: &str, column: UserColumn, is_user: &dyn Fn(&str) -> bool) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let mut words = line.split_whitespace();
        let first = words.next()?;
        if first.contains('=') {
            return None;
        }
        let mut words: Vec<&str> = match first.starts_with('@') {
            true => words.collect(),
            false => words.skip(4).collect(),
        };
        let user = words.first().copied()?;
        let mut commands = BTreeSet::new();
        if column != UserColumn::Yes {
            commands.insert(digest(&words.join(" ")));
        }
        if column == UserColumn::Yes || column == UserColumn::Perhaps && is_user(user) {
            words.remove(0);
            commands.insert(digest(&words.join(" ")));
        }
        Some(Self {
            commands,
            called: called(&words.join(" ")),
        })
    }

    /// Whether both lines do the same: call the same script, or the same of pybackup's.
    pub(super) fn meets(&self, other: &Self) -> bool {
        !self.commands.is_disjoint(&other.commands) || !self.called.is_disjoint(&other.called)
    }
}

pub(super) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn called(command: &str) -> BTreeSet<String> {
    let is_between = |one: char| one.is_whitespace() || BETWEEN.contains(&one);
    let words: Vec<&str> = command
        .split(is_between)
        .filter(|word| !word.is_empty())
        .collect();
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut called = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        if PYBACKUP.contains(&name(word).as_str()) {
            let what = words.get(at + 1).copied().unwrap_or_default();
            called.insert(digest(&format!("{word} {what}")));
        } else if word.ends_with(".sh") {
            called.insert(digest(word));
        }
    }
    called
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(line: &str, column: UserColumn) -> Option<Known> {
        Known::of(line, column, &|name| name == "root")
    }

    #[test]
    fn a_line_is_known_again_by_what_it_calls() {
        use UserColumn::{No, Perhaps, Yes};
        let script = "0 4 * * * /data/backup_db/pybackup.sh >/dev/null 2>&1";
        let call = "0 4 * * * python /x/pybackup.py mydumper threads=4";
        for (one, other, column, is_same) in [
            (script, script, No, true),
            (script, "5  3 * * 1   /data/backup_db/pybackup.sh", No, true),
            (script, "@daily bash -l /data/backup_db/pybackup.sh", No, true),
            (script, "0 4 * * * root /data/backup_db/pybackup.sh", Yes, true),
            (script, "0 4 * * * root /data/other.sh", Yes, false),
            (script, "# 0 4 * * * /data/backup_db/pybackup.sh", No, false),
            (script, "X=/data/backup_db/pybackup.sh", No, false),
            (script, "0 4 * *", No, false),
            (
                call,
                "1 1 * * * cd / && /x/pybackup.py mydumper threads=8",
                No,
                true,
            ),
            (call, "1 1 * * * python /x/pybackup.py validate-backup", No, false),
            (
                "0 4 * * * root /opt/dump all",
                "0 5 * * * /opt/dump all",
                No,
                true,
            ),
            (
                "0 4 * * * /opt/dump all",
                "0 5 * * * backup /opt/dump all",
                Yes,
                true,
            ),
            ("0 4 * * * /opt/dump all", "0 5 * * * /opt/other all", No, false),
        ] {
            let remembered = known(one, Perhaps).unwrap();
            let met = known(other, column).is_some_and(|other| remembered.meets(&other));
            assert_eq!(met, is_same, "{one} / {other}");
        }
    }
}
