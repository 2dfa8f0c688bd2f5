//! Tables on standard output.

use crate::error::BenchError;
use std::io::Write;
use std::time::Duration;

/// Prints a line.
pub(crate) fn say(text: &str) -> Result<(), BenchError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(BenchError::io("print"))
}

/// Prints a line for a person, beside the figures.
pub(crate) fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// One figure, what it is a share of, and what it may be at most.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) share: Option<f64>,
    pub(crate) at_most: Option<f64>,
}

impl Row {
    /// A figure that is compared with nothing.
    pub(crate) fn plain(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            share: None,
            at_most: None,
        }
    }

    /// CPU time as a share of another's, percent.
    pub(crate) fn cpu(name: impl Into<String>, cpu: Duration, of: Duration) -> Self {
        Self {
            share: Some(percent(cpu, of)),
            ..Self::plain(name, seconds(cpu))
        }
    }

    /// With a target: the share, or the value where there is none, may be so much.
    pub(crate) fn at_most(mut self, limit: f64) -> Self {
        self.at_most = Some(limit);
        self
    }
}

/// Prints rows under each other; `head` names the columns of value and share.
pub(crate) fn table(head: (&str, &str), rows: &[Row]) -> Result<(), BenchError> {
    let widest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    if head != ("", "") {
        say(&format!("{:widest$}  {:>12}  {:>14}", "", head.0, head.1))?;
    }
    for row in rows {
        let share = row
            .share
            .map_or_else(String::new, |share| format!("{share:.2} %"));
        let verdict = match (row.at_most, row.share) {
            (Some(limit), Some(share)) => {
                format!(
                    "  at most {limit} %: {}",
                    if share <= limit { "reached" } else { "NOT reached" }
                )
            }
            _ => String::new(),
        };
        say(format!("{:widest$}  {:>12}  {share:>14}{verdict}", row.name, row.value).trim_end())?;
    }
    say("")
}

/// Prints rows in columns: the first column to the left, all others to the right.
pub(crate) fn grid(rows: &[Vec<String>]) -> Result<(), BenchError> {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widest(column);
            line.push_str(&if column == 0 {
                format!("{cell:width$}")
            } else {
                format!("  {cell:>width$}")
            });
        }
        say(line.trim_end())?;
    }
    say("")
}

/// `1.234 s`
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// `12.3 MB`, of a million bytes each.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// How many percent of `of` is `part`.
pub(crate) fn percent(part: Duration, of: Duration) -> f64 {
    100.0 * part.as_secs_f64() / of.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// The one in the middle; of an even number the mean of the two.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let middle = times.len() / 2;
    match (times.get(middle), times.len() % 2) {
        (Some(high), 0) => (*high + times.get(middle.wrapping_sub(1)).copied().unwrap_or(*high)) / 2,
        (Some(time), _) => *time,
        (None, _) => Duration::ZERO,
    }
}
