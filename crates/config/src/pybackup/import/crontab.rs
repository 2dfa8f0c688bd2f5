//! Crontabs, a user's and the system's.

use super::closed::is_usual_path;
use std::path::Path;

/// One line that runs something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CronLine {
    /// From 1.
    pub(super) line: usize,
    /// Five fields with one space between them, or a nickname.
    pub(super) when: String,
    /// `CRON_TZ` as it holds here, and its line.
    pub(super) zone: Option<(String, usize)>,
    /// The line of the first variable before it that may change what it does.
    pub(super) surrounded: Option<usize>,
    /// What the shell is given.
    pub(super) command: String,
    /// The command and what it is cut from by a `%`.
    pub(super) whole: String,
    /// `PATH` as it holds here.
    pub(super) path: String,
    /// `MAILTO` as it holds here, and its line.
    pub(super) mail: Option<(String, usize)>,
    /// What is not certain of how the line is read: a sentence without a full stop.
    pub(super) doubts: Vec<String>,
}

/// Where cron looks for programs by itself.
const USUAL_PATH: &str = "/usr/bin:/bin";

/// A line that is none of a crontab's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// From 1.
    pub(super) line: usize,
    /// As it stands.
    pub(super) text: String,
}

/// Whose crontab it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The system's, whose lines name a user each.
    System,
    /// A user's.
    User,
    /// Some sixth words are users and some are not, or all are, and programs may be called so, too.
    Unknown,
}

/// Reads the text. `is_user` tells the system's users: the sixth word of a system's crontab is one of them.
pub(super) fn read_crontab(
    path: &Path,
    text: &str,
    is_user: &dyn Fn(&str) -> bool,
) -> (Vec<CronLine>, Vec<Unreadable>) {
    let mut lines = Vec::new();
    let mut unreadable = Vec::new();
    let mut zone = None;
    let mut surrounded = None;
    let mut path_here = USUAL_PATH.to_owned();
    let mut mail = None;
    let owner = owner(path, text, is_user);
    for (index, raw) in text.split('\n').enumerate() {
        let Some(text) = job_or_variable(raw) else {
            continue;
        };
        if let Some((name, value)) = variable(text) {
            if name == "PATH" {
                path_here.clone_from(&value);
            }
            if name == "MAILTO" {
                mail = Some((value.clone(), index + 1)).filter(|(value, _)| !value.is_empty());
            }
            if name == "CRON_TZ" {
                zone = Some((value, index + 1)).filter(|(value, _)| !value.is_empty());
            } else if !is_usual(name, &value) {
                surrounded = surrounded.or(Some(index + 1));
            }
            continue;
        }
        // cron hands a CR on to the shell, as part of the last word.
        let Some((when, rest)) = when_and_rest(text).filter(|_| !text.contains('\r')) else {
            unreadable.push(Unreadable {
                line: index + 1,
                text: text.to_owned(),
            });
            continue;
        };
        let mut doubts = Vec::new();
        let rest = match user(rest) {
            Some((_, command)) if owner == Owner::System => command,
            Some((user, command)) if owner == Owner::Unknown && is_user(user) => {
                doubts.push(format!(
                    "whether {user:?} is a user here, as in the system's crontab, or a program is not certain: it is \
                     taken for a user"
                ));
                command
            }
            _ => rest,
        };
        let (command, is_cut) = command(rest);
        if is_cut {
            doubts.push(
                "an unescaped % cuts this line here, and what follows is no part of the command".to_owned(),
            );
        }
        lines.push(CronLine {
            line: index + 1,
            when: if when == "@midnight" {
                "0 0 * * *".to_owned()
            } else {
                when
            },
            zone: zone.clone(),
            surrounded,
            command,
            whole: rest.replace("\\%", " ").replace('%', ";"),
            path: path_here.clone(),
            mail: mail.clone(),
            doubts,
        });
    }
    (lines, unreadable)
}

/// A line that says something, without blanks around it.
fn job_or_variable(raw: &str) -> Option<&str> {
    let text = raw.trim_matches([' ', '\t']);
    (!text.trim_end_matches('\r').is_empty() && !text.starts_with('#')).then_some(text)
}

/// By its path, else by all of its lines.
fn owner(path: &Path, text: &str, is_user: &dyn Fn(&str) -> bool) -> Owner {
    if path == Path::new("/etc/crontab") || path.starts_with("/etc/cron.d") {
        return Owner::System;
    }
    let lines = text.split('\n').filter_map(job_or_variable);
    let jobs = lines
        .filter(|line| variable(line).is_none())
        .filter_map(when_and_rest);
    let words: Vec<&str> = jobs
        .map(|(_, rest)| user(rest).map_or("", |(user, _)| user))
        .collect();
    let users = words.iter().filter(|word| is_user(word)).count();
    match users {
        0 => Owner::User,
        // No program is called so.
        all if all == words.len() && words.contains(&"root") => Owner::System,
        _ => Owner::Unknown,
    }
}

/// The sixth word, where it may be a user, and the command after it.
fn user(rest: &str) -> Option<(&str, &str)> {
    let (user, command) = words(rest, 1)?;
    let is_command = !command.is_empty() && !command.starts_with('-');
    Some((*user.first()?, command)).filter(|_| is_command)
}

/// `NAME = value`, `NAME="value"`.
fn variable(text: &str) -> Option<(&str, String)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim().trim_matches(['"', '\'']);
    let is_name = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|one| one == '_' || one.is_ascii_alphanumeric());
    is_name.then(|| (name, value.trim().trim_matches(['"', '\'']).to_owned()))
}

/// A variable that leaves shells, `date`, `find` and `rm` as they are.
fn is_usual(name: &str, value: &str) -> bool {
    match name {
        "MAILTO" | "MAILFROM" | "HOME" | "LOGNAME" | "LANG" => true,
        "SHELL" => ["sh", "bash", "dash"]
            .iter()
            .any(|shell| [format!("/bin/{shell}"), format!("/usr/bin/{shell}")].contains(&value.to_owned())),
        "PATH" => is_usual_path(value),
        _ => name.starts_with("LC_"),
    }
}

/// The time, with one space between its fields, and what follows it.
fn when_and_rest(text: &str) -> Option<(String, &str)> {
    let fields = if text.starts_with('@') { 1 } else { 5 };
    let (when, rest) = words(text, fields)?;
    let is_time = |field: &str| {
        field.starts_with('@')
            || field
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || "*/,-?#~".contains(one))
    };
    let is_readable = when.iter().all(|field| is_time(field)) && !rest.is_empty();
    is_readable.then(|| (when.join(" "), rest))
}

/// The first words, and what follows them.
fn words(text: &str, count: usize) -> Option<(Vec<&str>, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    for _ in 0..count {
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        found.push(&rest[..end]);
        rest = rest[end..].trim_start_matches([' ', '\t']);
    }
    Some((found, rest))
}

/// What follows a `%` is the command's input, and no part of it; `\%` is a percent sign. Whether there is such an input.
fn command(text: &str) -> (String, bool) {
    let mut command = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'%') => command.extend(letters.next()),
            '%' => return (command, true),
            _ => command.push(letter),
        }
    }
    (command, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_may_change_what_lines_do_is_remembered() {
        for (variable, surrounded) in [
            ("MAILTO=x", None),
            ("SHELL=/bin/bash", None),
            ("PATH=/usr/local/bin:/usr/bin:/opt/x", None),
            ("PATH=/opt/x:/usr/bin", Some(1)),
            ("SHELL=/usr/bin/fish", Some(1)),
            ("TZ=America/Lima", Some(1)),
            ("BASH_ENV=/x", Some(1)),
            ("ROOT=/b", Some(1)),
        ] {
            let (lines, _) = read_crontab(
                Path::new("/x"),
                &format!("{variable}\n0 4 * * * /x.sh\n"),
                &|_| false,
            );
            assert_eq!(lines[0].surrounded, surrounded, "{variable}");
        }
    }

    fn read(path: &str, text: &str) -> Vec<String> {
        let is_user = |name: &str| ["root", "mysql", "backup", "sync"].contains(&name);
        let (lines, unreadable) = read_crontab(Path::new(path), text, &is_user);
        let shown = |line: CronLine| {
            let zone = line
                .zone
                .map(|(zone, _)| format!(" [{zone}]"))
                .unwrap_or_default();
            let doubts = line.doubts.iter().map(|doubt| format!(" ({})", &doubt[..10]));
            let doubts: String = doubts.collect();
            format!("{}: {}{zone}: {}{doubts}", line.line, line.when, line.command)
        };
        let unreadable = unreadable
            .into_iter()
            .map(|line| format!("{}? {}", line.line, line.text));
        lines.into_iter().map(shown).chain(unreadable).collect()
    }

    #[test]
    fn a_users_crontab_is_told_from_the_systems() {
        let user = "SHELL=/bin/bash\nMAILTO = \"\"\nPATH=/sbin:/bin\n\n# remark\n\
                    0 4 * * * /data/backup_db/pybackup.sh>> /data/x.log 2>&1 \n\
                    */15\t*  * * *\t/x.sh a\n@daily /z.sh\nCRON_TZ=Asia/Shanghai\n\
                    30 1 1,15 jan-mar mon-fri python /x/pybackup.py mydumper\n\
                    @midnight mysql\n0 4 * * * mysql -e x\n0 4 * * *\nnonsense here and there now\n\
                    5 5 * * * mail -s x \\%y%line one%line two\n\
                    0 4 * * *\u{a0}/x.sh\n0 4 * * * /x.sh\r\n";
        assert_eq!(
            read("/var/spool/cron/x", user),
            [
                "6: 0 4 * * *: /data/backup_db/pybackup.sh>> /data/x.log 2>&1",
                "7: */15 * * * *: /x.sh a",
                "8: @daily: /z.sh",
                "10: 30 1 1,15 jan-mar mon-fri [Asia/Shanghai]: python /x/pybackup.py mydumper",
                "11: 0 0 * * * [Asia/Shanghai]: mysql",
                "12: 0 4 * * * [Asia/Shanghai]: mysql -e x",
                "15: 5 5 * * * [Asia/Shanghai]: mail -s x %y (an unescap)",
                "13? 0 4 * * *",
                "14? nonsense here and there now",
                "16? 0 4 * * *\u{a0}/x.sh",
                "17? 0 4 * * * /x.sh\r",
            ]
        );
        let of_system = ["1: 0 4 * * *: /x.sh a", "2: @daily: /y.sh"];
        let (all, unknown) = (
            "0 4 * * * root\t/x.sh a\n@daily  mysql /y.sh\n",
            "0 4 * * * oracle /x.sh a\n@daily -x /y.sh\n",
        );
        for path in ["/etc/crontab", "/etc/cron.d/x", "/data/crontab.old"] {
            assert_eq!(read(path, all), of_system, "{path}");
        }
        assert_eq!(read("/etc/crontab", unknown), of_system);
        assert_eq!(
            read("/data/x", unknown),
            ["1: 0 4 * * *: oracle /x.sh a", "2: @daily: -x /y.sh"]
        );
        // Programs of Debian's are called as users of it.
        for (text, expected) in [
            (
                "0 4 * * * sync /x.sh\n",
                vec!["1: 0 4 * * *: /x.sh (whether \"s)"],
            ),
            (
                "0 4 * * * backup /x.sh\n@daily mysql /x\n",
                vec!["1: 0 4 * * *: /x.sh (whether \"b)", "2: @daily: /x (whether \"m)"],
            ),
            (
                "0 4 * * * root /x.sh\n@daily /y.sh\n",
                vec!["1: 0 4 * * *: /x.sh (whether \"r)", "2: @daily: /y.sh"],
            ),
        ] {
            assert_eq!(read("/var/spool/cron/x", text), expected, "{text}");
        }
    }
}
