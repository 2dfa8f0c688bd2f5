//! What rsync prints.

/// `rsync  version 3.5.0  protocol version 32`, also `rsync  version v3.2.0pre1`.
pub(super) fn parse_version(banner: &str) -> Option<(u32, u32, u32)> {
    let rest = banner
        .strip_prefix("rsync")?
        .trim_start()
        .strip_prefix("version")?
        .trim_start();
    let word = rest.split_whitespace().next()?.trim_start_matches('v');
    let mut numbers = word.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    Some((
        numbers.next()??,
        numbers.next()??,
        numbers.next().flatten().unwrap_or(0),
    ))
}

/// The bytes done from a line of `--info=progress2`: `  3000002  99%  357.63MB/s    0:00:00 (xfr#2, to-chk=2/5)`.
pub(super) fn parse_progress(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let bytes = words.next()?.replace(',', "").parse().ok()?;
    words.next()?.strip_suffix('%')?.parse::<u32>().ok()?;
    words.next()?.ends_with("/s").then_some(bytes)
}

/// What `--stats` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) files: Option<u64>,
    pub(super) sent_bytes: Option<u64>,
}

impl Stats {
    /// Takes one line.
    pub(super) fn take(&mut self, line: &str) {
        let number = |text: &str| {
            let digits: String = text
                .trim()
                .chars()
                .filter(|c| *c != ',')
                .take_while(char::is_ascii_digit)
                .collect();
            digits.parse::<u64>().ok()
        };
        // 3.0 wrote "Number of files transferred".
        if let Some(text) = line.strip_prefix("Number of regular files transferred:") {
            self.files = number(text);
        } else if let Some(text) = line.strip_prefix("Total bytes sent:") {
            self.sent_bytes = number(text);
        }
    }
}

/// The name in a line of `%i %n` that tells of a difference; `None` for one that tells of none.
///
/// `<fcsT...... name` differs, `<f+++++++++ name` is missing there, `.f          name` is the same.
pub(super) fn parse_itemized(line: &str) -> Option<&str> {
    let item = line.get(..11)?;
    let name = line.get(11..)?.strip_prefix(' ')?;
    let kind = item.as_bytes();
    let is_item = matches!(kind[0], b'<' | b'>' | b'c' | b'h' | b'.' | b'*') && b"fdLDS".contains(&kind[1]);
    (is_item && kind[0] != b'.').then_some(name)
}

/// A name as it is: control characters come as `\#012`, whatever the options say.
pub(super) fn unescape(name: &str) -> String {
    let mut plain: Vec<u8> = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = rest
            .strip_prefix(b"\\#")
            .and_then(|digits| digits.get(..3))
            .filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let byte = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = byte {
            plain.push(byte);
            rest = &rest[5..];
        } else {
            plain.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_version("rsync  version 3.5.0  protocol version 32"),
            Some((3, 5, 0))
        );
        assert_eq!(
            parse_version("rsync  version v3.2.0pre1  protocol version 31"),
            Some((3, 2, 0))
        );
        assert_eq!(parse_version("openrsync: protocol version 29"), None);
    }

    #[test]
    fn progress_is_read() {
        let line = "        3000002  99%  357.63MB/s    0:00:00 (xfr#2, to-chk=2/5)";
        assert_eq!(parse_progress(line), Some(3_000_002));
        assert_eq!(parse_progress("Number of files: 5 (reg: 3, dir: 2)"), None);
        assert_eq!(parse_progress("2 3 4"), None);
    }

    #[test]
    fn stats_are_read() {
        let mut stats = Stats::default();
        for line in [
            "Number of files: 5 (reg: 3, dir: 2)",
            "Number of regular files transferred: 3",
            "Total bytes sent: 3,000,995",
            "Total bytes received: 84",
            "sent 3000995 bytes  received 84 bytes  6002158.00 bytes/sec",
        ] {
            stats.take(line);
        }
        assert_eq!(
            stats,
            Stats {
                files: Some(3),
                sent_bytes: Some(3_000_995)
            }
        );
    }

    #[test]
    fn only_what_differs_is_named() {
        let named: Vec<&str> = [
            "created directory a/b/2020/x",
            "cd+++++++++ sub/",
            ".d          ./",
            "<f+++++++++ -dash",
            ".f          big",
            "<fcsT...... 日志 库-1.sql",
            "日志日志",
        ]
        .iter()
        .filter_map(|line| parse_itemized(line))
        .collect();
        assert_eq!(named, ["sub/", "-dash", "日志 库-1.sql"]);
    }

    #[test]
    fn names_are_read_as_they_are() {
        for (printed, name) in [
            ("日志 库-1.sql", "日志 库-1.sql"),
            (r"a\#012b.sql", "a\nb.sql"),
            (r"a\#134#012", r"a\#012"),
            (r"a\#9", r"a\#9"),
            (r"\#", r"\#"),
        ] {
            assert_eq!(unescape(printed), name);
        }
    }
}
