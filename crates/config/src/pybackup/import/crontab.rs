//! Crontabs, a user's and the system's.

use super::closed::is_usual_path;

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
}

/// A line that is none of a crontab's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// From 1.
    pub(super) line: usize,
    /// As it stands.
    pub(super) text: String,
}

/// Reads the text. `is_user` tells the system's users: the sixth word of a system's crontab is one of them.
pub(super) fn read_crontab(text: &str, is_user: &dyn Fn(&str) -> bool) -> (Vec<CronLine>, Vec<Unreadable>) {
    let mut lines = Vec::new();
    let mut unreadable = Vec::new();
    let mut zone = None;
    let mut surrounded = None;
    for (index, raw) in text.lines().enumerate() {
        let text = raw.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = variable(text) {
            if name == "CRON_TZ" {
                zone = Some((value, index + 1)).filter(|(value, _)| !value.is_empty());
            } else if !is_usual(name, &value) {
                surrounded = surrounded.or(Some(index + 1));
            }
            continue;
        }
        match when_and_command(text, is_user) {
            Some((when, command)) => lines.push(CronLine {
                line: index + 1,
                when,
                zone: zone.clone(),
                surrounded,
                command,
            }),
            None => unreadable.push(Unreadable {
                line: index + 1,
                text: text.to_owned(),
            }),
        }
    }
    (lines, unreadable)
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

fn when_and_command(text: &str, is_user: &dyn Fn(&str) -> bool) -> Option<(String, String)> {
    let fields = if text.starts_with('@') { 1 } else { 5 };
    let (when, rest) = words(text, fields)?;
    let is_time = |field: &str| {
        field.starts_with('@')
            || field
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || "*/,-?#~".contains(one))
    };
    if !when.iter().all(|field| is_time(field)) || rest.is_empty() {
        return None;
    }
    let rest = match words(rest, 1) {
        Some((user, command)) if !command.is_empty() && is_user(user[0]) => command,
        _ => rest,
    };
    Some((when.join(" "), command(rest)))
}

/// The first words, and what follows them.
fn words(text: &str, count: usize) -> Option<(Vec<&str>, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    for _ in 0..count {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        found.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Some((found, rest))
}

/// What follows a `%` is the command's input, and no part of it; `\%` is a percent sign.
fn command(text: &str) -> String {
    let mut command = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'%') => command.extend(letters.next()),
            '%' => break,
            _ => command.push(letter),
        }
    }
    command
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
            let (lines, _) = read_crontab(&format!("{variable}\n0 4 * * * /x.sh\n"), &|_| false);
            assert_eq!(lines[0].surrounded, surrounded, "{variable}");
        }
    }

    fn read(text: &str) -> Vec<String> {
        let (lines, unreadable) = read_crontab(text, &|name| ["root", "mysql"].contains(&name));
        let shown = |line: CronLine| {
            let zone = line
                .zone
                .map(|(zone, _)| format!(" [{zone}]"))
                .unwrap_or_default();
            format!("{}: {}{zone}: {}", line.line, line.when, line.command)
        };
        let unreadable = unreadable
            .into_iter()
            .map(|line| format!("{}? {}", line.line, line.text));
        lines.into_iter().map(shown).chain(unreadable).collect()
    }

    #[test]
    fn a_users_crontab_and_the_systems_are_read() {
        let text = "SHELL=/bin/bash\nMAILTO = \"\"\nPATH=/sbin:/bin\n\n# remark\n\
                    0 4 * * * /data/backup_db/pybackup.sh>> /data/x.log 2>&1 \n\
                    */15\t*  * * *\troot  /x.sh a\n\
                    @daily root /y.sh\n@daily /z.sh\nCRON_TZ=Asia/Shanghai\n\
                    30 1 1,15 jan-mar mon-fri root python /x/pybackup.py mydumper\n\
                    0 4 * * * root\n0 4 * * *\nnonsense here and there now\n\
                    5 5 * * * mail -s x \\%y%line one%line two\n";
        assert_eq!(
            read(text),
            [
                "6: 0 4 * * *: /data/backup_db/pybackup.sh>> /data/x.log 2>&1",
                "7: */15 * * * *: /x.sh a",
                "8: @daily: /y.sh",
                "9: @daily: /z.sh",
                "11: 30 1 1,15 jan-mar mon-fri [Asia/Shanghai]: python /x/pybackup.py mydumper",
                "12: 0 4 * * * [Asia/Shanghai]: root",
                "15: 5 5 * * * [Asia/Shanghai]: mail -s x %y",
                "13? 0 4 * * *",
                "14? nonsense here and there now",
            ]
        );
    }
}
