//! `date` as a plain script has it: what of it the shell, and `date` itself, would refuse is none.

use super::super::word::{DAY_FORMAT, Day, MOST_DAYS};

/// What the command prints; `None` for anything but a date some days before today.
pub(super) fn read_plain_date(text: &str) -> Option<Day> {
    let words = split(text)?;
    let (program, arguments) = words.split_first()?;
    if !["date", "/bin/date", "/usr/bin/date"].contains(&program.as_str()) {
        return None;
    }
    let (mut format, mut days_ago) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let is_new = if let Some(text) = argument.strip_prefix('+') {
            format.replace(text.replace("%F", DAY_FORMAT)).is_none()
        } else {
            let text = match argument.as_str() {
                "-d" | "--date" => arguments.next()?,
                other => other
                    .strip_prefix("--date=")
                    .or_else(|| other.strip_prefix("-d"))?,
            };
            days_ago.replace(read_days_ago(text)?).is_none()
        };
        if !is_new {
            return None;
        }
    }
    let format = format.filter(|format| !format.is_empty())?;
    let days_ago = days_ago.unwrap_or(0);
    Some(Day { format, days_ago })
}

/// `3 days ago`, `-3 days`, `yesterday`, `today`.
fn read_days_ago(text: &str) -> Option<u32> {
    let words: Vec<&str> = text.split(' ').collect();
    let (number, unit) = match words.as_slice() {
        ["yesterday"] => return Some(1),
        ["today"] => return Some(0),
        [number, unit, "ago"] => (*number, *unit),
        [number, unit] => (number.strip_prefix('-')?, *unit),
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u32 = number.parse().ok()?;
    let days = match unit {
        "day" | "days" => count,
        "week" | "weeks" => count.checked_mul(7)?,
        _ => return None,
    };
    Some(days).filter(|days| *days <= MOST_DAYS)
}

/// The words, without quotes; `None` where one is not closed.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut is_word) = (None, false);
    for letter in text.chars() {
        match (quote, letter) {
            (None, ' ' | '\t') => is_word = false,
            (Some(open), _) if open == letter => quote = None,
            _ => {
                if !is_word {
                    words.push(String::new());
                    is_word = true;
                }
                match (quote, letter) {
                    (None, '\'' | '"') => quote = Some(letter),
                    _ => words.last_mut()?.push(letter),
                }
            }
        }
    }
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_the_shell_or_date_would_refuse_is_none() {
        for (text, expected) in [
            ("date +%F", Some(0)),
            ("date +%Y-%m-%d --date='2 day ago'", Some(2)),
            ("/bin/date -d \"3 days ago\" +%F", Some(3)),
            ("date -d '-7 days' \"+%F\"", Some(7)),
            ("date --date yesterday +%F", Some(1)),
            ("date -d today +%F", Some(0)),
            ("date '-d1 week ago' +%F", Some(7)),
            ("date -d '36500 days ago' +%F", Some(36_500)),
            ("date +%F -d '3 days ago", None),
            ("date +%F -d 3 days ago'", None),
            ("date -d '3daysago' +%F", None),
            ("date -d '- 3 days' +%F", None),
            ("date -d ' 3 days ago' +%F", None),
            ("date -d '+3 days ago' +%F", None),
            ("date -d '-3 days ago' +%F", None),
            ("date -d '3 days' +%F", None),
            ("date -d '' +%F", None),
            ("date -d '36501 days ago' +%F", None),
            ("date -d '999999999 weeks ago' +%F", None),
            ("date -d yesterday -d today +%F", None),
            ("date +%F +%Y", None),
            ("date +%F x", None),
            ("date", None),
            ("date +", None),
            ("then date +%F", None),
            ("/opt/x/date +%F", None),
            ("", None),
        ] {
            let found = read_plain_date(text).map(|day| (day.format, day.days_ago));
            assert_eq!(
                found,
                expected.map(|days| (DAY_FORMAT.to_owned(), days)),
                "{text}"
            );
        }
    }
}
