//! Where a file's text holds a password although it must not, so that no report shows it.
//!
//! Works on the bare text, not on the parsed tree: a line that does not even parse may hold one.
//! In doubt too much is hidden.

use std::ops::Range;

/// What stands in a report where a password stood.
pub(crate) const MASK: &str = "***";

/// Whether `key` is meant to hold a password itself; `password_file` and `password_credential` are not.
pub(crate) fn is_password_key(key: &str) -> bool {
    let folded: String = key
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let near = |word: &str, distance: usize| is_near(&folded, word, distance);
    if near("passwordfile", 2) || near("passwordcredential", 3) || folded.ends_with("file") {
        return false;
    }
    ["password", "passwd", "passphrase", "secret"]
        .iter()
        .any(|word| folded.contains(word))
        || ["pass", "pwd", "pw", "dbpass", "dbpwd", "token"].contains(&folded.as_str())
        || near("password", 2)
        || near("passwd", 1)
}

/// Whether so many slips of the pen, or fewer, lead from one word to the other. Each changes the length by one letter at most:
/// for most keys of a large file that answers it.
fn is_near(text: &str, word: &str, slips: usize) -> bool {
    let length = |text: &str| text.chars().count();
    length(text).abs_diff(length(word)) <= slips && strsim::osa_distance(text, word) <= slips
}

/// Where in `text`, a URL or an `user@host:/path`, a password stands.
pub(crate) fn password_in_url(text: &str) -> Option<Range<usize>> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return password_before_host(text).filter(|range| text[range.end..].contains(":/"));
    };
    let start = scheme.len() + 3;
    if let Some(found) = password_in_query(text) {
        return Some(found);
    }
    let authority = rest.split('/').next().unwrap_or(rest);
    let last_at = rest.rfind('@')?;
    let colon = rest.find(':')?;
    if colon > last_at {
        return None;
    }
    let password = start + colon + 1..start + last_at;
    match authority.rfind('@') {
        Some(at) => (colon < at).then_some(password),
        // An `@` only further on: either a path that holds one, or a password that holds a slash.
        None => {
            let port = &authority[colon.min(authority.len())..];
            let is_port = port.len() > 1 && port[1..].bytes().all(|byte| byte.is_ascii_digit());
            (!authority.starts_with('[') && !is_port).then_some(password)
        }
    }
}

fn password_in_query(text: &str) -> Option<Range<usize>> {
    let query = text.find('?')?;
    let lower = text.to_ascii_lowercase();
    let key = ["password=", "passwd=", "pwd="]
        .iter()
        .find_map(|key| lower[query..].find(key).map(|at| query + at + key.len()))?;
    let end = text[key..].find('&').map_or(text.len(), |at| key + at);
    Some(key..end)
}

/// Where the password stands in `user:password@anything`, were it meant so.
pub(crate) fn password_before_host(text: &str) -> Option<Range<usize>> {
    let colon = text.find(':')?;
    let at = colon + text[colon..].rfind('@')?;
    let user_is_plain = !text[..colon].contains(['/', ' ', '\t', '@']);
    // `host:/path` and `scheme://` are no accounts.
    (user_is_plain && colon > 0 && !text[colon..].starts_with(":/")).then_some(colon + 1..at)
}

/// What other URLs begin with: of a catalog, of a destination. Their paths are no secrets.
const PLAIN_SCHEMES: [&str; 6] = ["mysql", "mariadb", "sqlite", "rsync", "ssh", "file"];

/// Where in `text`, a URL that is called, that stands which may be a secret by itself: all behind its host.
pub(crate) fn secret_of_url(text: &str) -> Option<Range<usize>> {
    text.match_indices("://").find_map(|(at, separator)| {
        let scheme = text[..at].rsplit(|c: char| !c.is_alphanumeric()).next();
        if scheme.is_some_and(|scheme| PLAIN_SCHEMES.contains(&scheme.to_ascii_lowercase().as_str())) {
            return None;
        }
        let host = at + separator.len();
        let from = host + text[host..].find(['/', '?', '#'])? + 1;
        (from < text.len()).then_some(from..text.len())
    })
}

/// A sentence that quotes something of a file, without what of a URL may be a secret.
pub(crate) fn without_secrets(text: &str) -> String {
    let mut shown = String::new();
    let mut at = 0;
    for (from, piece) in pieces(text) {
        if let Some(range) = secret_of_url(piece) {
            shown.push_str(&text[at..from + range.start]);
            shown.push_str(MASK);
            at = from + range.end;
        }
    }
    shown + &text[at..]
}

/// Whether `key` is meant to hold a URL that is called; `ping_file` and `url_credential` are not.
fn is_called_key(key: &str, is_notify: bool) -> bool {
    // Short words: no letter of them is longer in its other case.
    if key.len() > 16 {
        return false;
    }
    let key = key.to_lowercase();
    is_near(&key, "ping", 1) || (is_notify && is_near(&key, "url", 1))
}

/// Every place of `text` that must not be shown, ascending, none touching another.
pub(crate) fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut hidden_until: Option<&str> = None;
    let mut is_notify = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        if let Some(delimiter) = hidden_until {
            found.push(start..start + content.len());
            if content.contains(delimiter) {
                hidden_until = None;
            }
        } else {
            let bare = content.trim_start_matches([' ', '\t', '[', '"', '\'']);
            if content.trim_start().starts_with('[') || bare.starts_with("notify") {
                is_notify = bare.starts_with("notify");
            }
            if let Some(from) = after_key(content, &is_password_key) {
                found.push(start + from..start + content.len());
                hidden_until = opened_in(&content[from..]);
            } else if let Some(from) = after_key(content, &|key| is_called_key(key, is_notify))
                // Of a URL the host is shown.
                && pieces(&content[from..]).iter().all(|(_, piece)| secret_of_url(piece).is_none())
            {
                found.push(start + from..start + content.len());
                hidden_until = opened_in(&content[from..]);
            }
            for (from, piece) in pieces(content) {
                let secret = password_in_url(piece).or_else(|| password_before_host(piece));
                for range in secret.into_iter().chain(secret_of_url(piece)) {
                    found.push(start + from + range.start..start + from + range.end);
                }
            }
        }
        start += line.len();
    }
    merge(found)
}

/// Joins ranges that overlap or touch.
pub(crate) fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The offset of what stands after such a key and the `=` (or `:`) that follows it.
fn after_key(line: &str, is_meant: &dyn Fn(&str) -> bool) -> Option<usize> {
    let is_key_char = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let separated = line.match_indices(['=', ':']).find_map(|(at, _)| {
        let before = line[..at].trim_end_matches([' ', '\t', '"', '\'']);
        let key_start = before
            .char_indices()
            .rev()
            .find(|(_, c)| !is_key_char(*c))
            .map_or(0, |(index, c)| index + c.len_utf8());
        let value = line[at + 1..].trim_start_matches([' ', '\t']);
        is_meant(&before[key_start..]).then_some(line.len() - value.len())
    });
    // A line whose `=` was forgotten.
    separated.or_else(|| {
        let rest = line.trim_start_matches([' ', '\t', '"', '\'']);
        let key_end = rest.find(|c| !is_key_char(c)).unwrap_or(rest.len());
        let key_start = line.len() - rest.len();
        is_meant(&rest[..key_end]).then_some(key_start + key_end)
    })
}

/// The delimiter of a many-line string that begins in `rest` and does not end there.
fn opened_in(rest: &str) -> Option<&'static str> {
    ["\"\"\"", "'''"]
        .into_iter()
        .find(|delimiter| rest.matches(delimiter).count() == 1)
}

/// The strings of a line without their quotes, and the words between them, each with its offset.
fn pieces(line: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        let ends = match quote {
            Some(open) => {
                let ends = c == open && !escaped;
                escaped = open == '"' && c == '\\' && !escaped;
                ends
            }
            None => matches!(c, '"' | '\'') || c.is_whitespace(),
        };
        if ends {
            pieces.push((start, &line[start..at]));
            start = at + c.len_utf8();
            quote = if quote.is_none() && matches!(c, '"' | '\'') {
                Some(c)
            } else {
                None
            };
            escaped = false;
        }
    }
    pieces.push((start, &line[start..]));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut shown = String::new();
        let mut at = 0;
        for range in secret_ranges(text) {
            shown.push_str(&text[at..range.start]);
            shown.push_str(MASK);
            at = range.end;
        }
        shown + &text[at..]
    }

    #[test]
    fn the_value_of_a_password_key_is_hidden_to_the_end_of_its_line() {
        for (text, expected) in [
            ("password = \"hunter2\" # x", "password = ***"),
            ("  pasword=\"hunter2\"", "  pasword=***"),
            ("\"db_passwd\" = 'hunter2", "\"db_passwd\" = ***"),
            (
                "x = { user = \"a\", pwd = \"hunter2\" }",
                "x = { user = \"a\", pwd = ***",
            ),
            (
                "mydumper = [\"password=hunter2\", \"threads=8\"]",
                "mydumper = [\"password=***",
            ),
            ("password \"hunter2\"", "password***"),
            ("# the password: hunter2", "# the password: ***"),
            (
                "password = \"\"\"hun\nter2\"\"\"\nuser = 1",
                "password = ***\n***\nuser = 1",
            ),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn keys_that_name_a_file_or_a_credential_are_shown() {
        for text in [
            "password_file = \"/etc/x\"",
            "password-file = \"/etc/x\"",
            "pasword_fil = \"/etc/x\"",
            "password_credentail = \"shop\"",
            "user = \"backup\"",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn of_a_url_that_is_called_the_host_alone_is_shown() {
        for (text, expected) in [
            (
                "url = \"https://chat.example.org/T0/s3cret\"",
                "url = \"https://chat.example.org/***\"",
            ),
            (
                "url = 'htps://chat.example.org?key=s3cret'",
                "url = 'htps://chat.example.org?***'",
            ),
            (
                "url=https://chat.example.org:8443/s3cret # x",
                "url=https://chat.example.org:8443/*** # x",
            ),
            (
                "pign = \"https://hc.example.org/s3cret",
                "pign = \"https://hc.example.org/***",
            ),
            ("ping = \"https:/hc.example.org/s3cret\" # x", "ping = ***"),
            ("ping \"hc.example.org/s3cret\"", "ping***"),
            (
                "ping = \"\"\"\nhc.example.org/s3cret\"\"\"\ncron = 1",
                "ping = ***\n***\ncron = 1",
            ),
            (
                "[notify.webhook.chat]\nurl = chat/s3cret\n[destinations.v]\nurl = host:/path",
                "[notify.webhook.chat]\nurl = ***\n[destinations.v]\nurl = host:/path",
            ),
            (
                "notify.webhook.chat.url = 'chat/s3cret'",
                "notify.webhook.chat.url = ***",
            ),
            (
                "args = [\"--to\", \"https://a.b/s3cret\"]",
                "args = [\"--to\", \"https://a.b/***\"]",
            ),
            (
                "url = \"rsync://u@h/module/path\"",
                "url = \"rsync://u@h/module/path\"",
            ),
            (
                "url = \"https://chat.example.org\"",
                "url = \"https://chat.example.org\"",
            ),
            ("ping_file = \"/etc/x\"", "ping_file = \"/etc/x\""),
            ("url_file = \"/etc/x\"", "url_file = \"/etc/x\""),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(
            without_secrets("\"https://a.b/s3cret\" is none, nor rsync://h/m"),
            "\"https://a.b/***\" is none, nor rsync://h/m"
        );
    }

    #[test]
    fn a_password_inside_a_url_is_hidden_and_ports_are_not_taken_for_one() {
        for (text, expected) in [
            ("mysql://u:hunter2@h:3306/d", Some("mysql://u:***@h:3306/d")),
            ("rsync://u:hun/ter2@h/m", Some("rsync://u:***@h/m")),
            ("rsync://u:hun@ter2@h/m", Some("rsync://u:***@h/m")),
            ("u:hunter2@host:/path", Some("u:***@host:/path")),
            (
                "mysql://u@h/d?password=hunter2&x=y",
                Some("mysql://u@h/d?password=***&x=y"),
            ),
            ("rsync://h:873/m/a@b", None),
            ("rsync://u@[::1]:1873/m", None),
            ("rsync://u@h:873/m/x@y", None),
            ("u@host:/path", None),
            ("host:/path/a@b:/c", None),
        ] {
            let found = password_in_url(text)
                .map(|range| format!("{}{MASK}{}", &text[..range.start], &text[range.end..]));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        assert_eq!(shown("url = rsync://u:hunter2@h/m"), "url = rsync://u:***@h/m");
        assert_eq!(
            shown("url = \"rsync://u:hun ter2@h/m\""),
            "url = \"rsync://u:***@h/m\""
        );
        assert_eq!(
            shown("url = \"rsync://u:hunter2@h/m"),
            "url = \"rsync://u:***@h/m"
        );
    }
}
