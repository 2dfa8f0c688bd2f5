//! What people and programs read: tables, JSON, colour on a terminal, progress.

use anyhow::Context;
use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use mykeeper_catalog::{Backlog, Catalog};
use mykeeper_domain::counted;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

mod paste;

use paste::pasteable;
pub(crate) use paste::printed_for;

/// Writes to standard output, the commands in it such as work for this configuration. A reader that has gone away
/// (`| head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_as_is(&pasteable(text))
}

/// The same for what is no message: a document, an example.
pub(crate) fn print_as_is(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Writes a line to standard error, where nothing more can be done if that fails.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{}", pasteable(text)));
}

/// Says, once, where another way to the catalog was taken than the first of its URL.
pub(crate) fn tell_way(catalog: &dyn Catalog) {
    static TOLD: OnceLock<()> = OnceLock::new();
    if let Some(other) = catalog.other_way() {
        TOLD.get_or_init(|| say(&other));
    }
}

pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_as_is(&serde_json::to_string_pretty(value).context("cannot write JSON")?)
}

/// A table as wide as the terminal; in a pipe, as wide as it needs to be.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.iter().copied());
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Colours a word on a terminal.
pub(crate) fn coloured(text: &str, good: bool) -> String {
    if std::io::stdout().is_terminal() {
        format!("\u{1b}[{}m{text}\u{1b}[0m", if good { 32 } else { 31 })
    } else {
        text.to_owned()
    }
}

/// An instant for people, in `zone`.
pub(crate) fn local(instant: DateTime<Utc>, zone: chrono_tz::Tz) -> String {
    instant
        .with_timezone(&zone)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// An instant in a sentence, which names the zone.
pub(crate) fn when(instant: DateTime<Utc>, zone: chrono_tz::Tz) -> String {
    format!("{} {zone}", local(instant, zone))
}

/// `since`: a time, a day of `zone`, or a span back from now.
pub(crate) fn parse_since(
    text: &str,
    now: DateTime<Utc>,
    zone: chrono_tz::Tz,
) -> anyhow::Result<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.with_timezone(&Utc));
    }
    if let Ok(day) = text.parse::<chrono::NaiveDate>()
        && let Some(midnight) = day.and_hms_opt(0, 0, 0)
    {
        // A day that begins in a gap of the clock begins right after it.
        let after = (0..=24).find_map(|quarters| {
            let wall = midnight + chrono::TimeDelta::minutes(quarters * 15);
            wall.and_local_timezone(zone).earliest()
        });
        return Ok(after.map_or_else(|| midnight.and_utc(), |begin| begin.with_timezone(&Utc)));
    }
    humantime::parse_duration(text)
        .ok()
        .and_then(|span| chrono::TimeDelta::from_std(span).ok())
        .and_then(|span| now.checked_sub_signed(span))
        .ok_or_else(|| {
            crate::failure::Failure::usage(format!(
                "--since {text:?} is no time; write 2026-11-22, 2026-11-22T04:00:00Z, or a span such as 36h or 7d"
            ))
        })
}

/// How it stands with a catalog that nothing can be asked of.
pub(crate) fn out_of_reach(is_shut_out: bool) -> &'static str {
    match is_shut_out {
        true => "the catalog refuses the account",
        false => "the catalog is away",
    }
}

/// What waits for the catalog, for people.
pub(crate) fn describe_backlog(backlog: &Backlog, zone: chrono_tz::Tz) -> String {
    let mut parts = Vec::new();
    if let (count @ 1.., Some(since)) = (backlog.waiting, backlog.since) {
        parts.push(format!(
            "{} since {} for the catalog; the daemon, or the next run, writes them there when it is back",
            counted(count, "record waits", "records wait"),
            when(since, zone)
        ));
    }
    if let (count @ 1.., Some(refusal)) = (backlog.refused, &backlog.refusal) {
        parts.push(format!(
            "{} in journal.db in state_dir: {refusal}",
            counted(
                count,
                "record was refused by the catalog and stays",
                "records were refused by the catalog and stay"
            )
        ));
    }
    if let Some(away) = &backlog.away {
        parts.push(format!("{}: {away}", out_of_reach(backlog.is_shut_out)));
    }
    if parts.is_empty() {
        parts.push("no record waits for the catalog".to_owned());
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_of_the_zone() {
        let now = DateTime::UNIX_EPOCH;
        let since = |text: &str, zone| parse_since(text, now, zone).unwrap().to_rfc3339();
        assert_eq!(
            since("2026-11-22", chrono_tz::Asia::Shanghai),
            "2026-11-21T16:00:00+00:00"
        );
        // Midnight is skipped there.
        assert_eq!(
            since("2026-09-06", chrono_tz::America::Santiago),
            "2026-09-06T04:00:00+00:00"
        );
        assert_eq!(
            since("2026-11-22T04:00:00Z", chrono_tz::Asia::Shanghai),
            "2026-11-22T04:00:00+00:00"
        );
        assert!(parse_since("yesterdayish", now, chrono_tz::UTC).is_err());
    }
}
