//! `[validation.NAME]`

use crate::document::complaint;
use crate::section::{Entry, Section, no_hint};
use crate::statement;
use crate::verify;
use mykeeper_domain::job::{Assertion, Task, ValidationTask};
use mykeeper_domain::selection::Select;

const SELECT: [(&str, Select); 3] = [
    ("newest", Select::Newest),
    ("oldest", Select::Oldest),
    ("random", Select::Random),
];

/// Reads the keys that only a validation job has.
pub(crate) fn read(section: &mut Section<'_>) -> Option<Task> {
    let select = section.take("select").and_then(|entry| entry.choice(&SELECT));
    let within = section
        .take("within")
        .and_then(|entry| entry.positive_duration("no set is so young"));
    let tags = section
        .take("tags")
        .map_or_else(|| Some(Vec::new()), |entry| read_tags(&entry));
    let asserts = section
        .take("assert")
        .map_or_else(|| Some(Vec::new()), |entry| read_asserts(&entry));
    let max_restore_time = section
        .take("max_restore_time")
        .and_then(|entry| entry.positive_duration("every set takes longer"));
    let (verify_every, verify) = verify::read(section, true)?;
    Some(Task::Validation(ValidationTask {
        select: select.unwrap_or(Select::Newest),
        within,
        tags: tags?,
        asserts: asserts?,
        max_restore_time,
        verify_every: verify_every.filter(|_| verify),
    }))
}

fn read_tags(entry: &Entry<'_>) -> Option<Vec<String>> {
    let items = entry.items("a list of tags: [\"shop\"]")?;
    if items.is_empty() {
        entry.spot.mistake(
            complaint("`tags` is empty: no set has none of them").help("leave the key out for all tags"),
        );
        return None;
    }
    Some(
        items
            .iter()
            .filter_map(|item| item.text().map(str::to_owned))
            .collect(),
    )
}

fn read_asserts(entry: &Entry<'_>) -> Option<Vec<Assertion>> {
    let items =
        entry.items("a list: [{ database = \"shop\", sql = \"SELECT COUNT(*) > 0 FROM orders\" }]")?;
    Some(items.iter().filter_map(read_assert).collect())
}

fn read_assert(entry: &Entry<'_>) -> Option<Assertion> {
    const EXAMPLE: &str = "{ database = \"shop\", sql = \"SELECT COUNT(*) > 0 FROM orders\" }";
    if !entry.value.is_table() {
        entry.wrong_type(EXAMPLE);
        return None;
    }
    let mut section = Section::of(entry)?;
    let database = section
        .require("database", "database = \"shop\"")
        .and_then(|entry| entry.text());
    let sql = section
        .require("sql", "sql = \"SELECT COUNT(*) > 0 FROM orders\"")
        .and_then(|entry| {
            let sql = entry.raw_text("one SELECT in quotes")?;
            match statement::check_select(sql) {
                Ok(()) => Some(sql.trim().to_owned()),
                Err(problem) => {
                    entry
                        .spot
                        .mistake(complaint(format!("`sql` is not one SELECT: {problem}")).help(
                        "write one SELECT that yields one value, such as \"SELECT COUNT(*) > 0 FROM orders\"",
                    ));
                    None
                }
            }
        });
    section.finish(no_hint);
    Some(Assertion {
        database: database?.to_owned(),
        sql: sql?,
    })
}
