//! `[retention.NAME]`

use crate::document::complaint;
use crate::schedule::{NamedFolder, Reading};
use crate::section::{Entry, Section, no_hint};
use mykeeper_domain::job::{Require, RetentionAction, RetentionDepth, RetentionTask, Task};
use mykeeper_domain::retention::{KeepCount, KeepPolicy};
use std::collections::BTreeSet;
use toml::de::DeValue;

const ACTION: [(&str, RetentionAction); 2] = [
    ("mark", RetentionAction::Mark),
    ("delete", RetentionAction::Delete),
];
const DEPTH: [(&str, RetentionDepth); 2] = [("any", RetentionDepth::Any), ("day", RetentionDepth::Day)];
const REQUIRE: [(&str, Require); 3] = [
    ("validated", Require::Validated),
    ("transferred", Require::Transferred),
    ("complete", Require::Complete),
];

/// A hundred years.
const MOST_DAYS_AGO: u64 = 36_500;

const KEEP: &str = "keep = { last = 3, within = \"31d\", daily = 7, weekly = 4, monthly = \"all\" }";

/// Reads the keys that only a retention job has.
pub(crate) fn read<'d>(
    section: &mut Section<'d>,
    job: &Entry<'d>,
    reading: &mut Reading<'d, '_>,
) -> Option<Task> {
    let directory_entry = section.require("directory", "directory = \"/an/absolute/path\"");
    let directory = directory_entry.as_ref().and_then(Entry::absolute_path);
    if let (Some(entry), Some(path)) = (&directory_entry, &directory) {
        reading.mentions.retentions.push(NamedFolder {
            job: job.key.clone(),
            path: path.clone(),
            spot: entry.spot.clone(),
        });
    }
    let depth = section.take("depth").and_then(|entry| entry.choice(&DEPTH));
    let keep = section.require("keep", KEEP).and_then(|entry| read_keep(&entry));
    let action = section.take("action").and_then(|entry| entry.choice(&ACTION));
    let require = section.take("require").and_then(|entry| entry.choice(&REQUIRE));
    Some(Task::Retention(RetentionTask {
        directory: directory?,
        depth: depth.unwrap_or_default(),
        keep: keep?,
        action: action.unwrap_or_default(),
        require: require.unwrap_or_default(),
    }))
}

fn read_keep(entry: &Entry<'_>) -> Option<KeepPolicy> {
    let mut section = Section::of(entry)?;
    let mut is_empty = true;
    let mut count = |key| {
        let entry = section.take(key)?;
        is_empty = false;
        read_count(&entry)
    };
    let mut keep = KeepPolicy {
        last: count("last"),
        within: None,
        daily: count("daily"),
        weekly: count("weekly"),
        monthly: count("monthly"),
        yearly: count("yearly"),
        ..KeepPolicy::default()
    };
    if let Some(days) = section.take("month_days") {
        is_empty = false;
        keep.month_days = read_month_days(&days).unwrap_or_default();
    }
    if let Some(days_ago) = section.take("all_but_day") {
        is_empty = false;
        keep.all_but_day = day_number(&days_ago, MOST_DAYS_AGO);
    }
    if let Some(failed) = section.take("failed") {
        keep.failed = failed.yes_or_no().unwrap_or_default();
    }
    if let Some(within) = section.take("within") {
        is_empty = false;
        keep.within = within.positive_duration("it would keep no set");
    }
    let has_strangers = section.has_strangers();
    section.finish(no_hint);
    // A key that is written wrong is told of by itself.
    if has_strangers && is_empty {
        return None;
    }
    if is_empty {
        entry.spot.missing(
            complaint("`keep` keeps nothing: every set would be condemned").help(format!("write {KEEP}")),
        );
        return None;
    }
    Some(keep)
}

fn read_month_days(entry: &Entry<'_>) -> Option<BTreeSet<u32>> {
    let days = entry.items("a list of days of a month: [1, 15]")?;
    if days.is_empty() {
        let complaint = complaint("`month_days` names no day");
        entry
            .spot
            .mistake(complaint.help("write month_days = [1], or leave the key out"));
        return None;
    }
    days.iter().map(|day| day_number(day, 31)).collect()
}

fn day_number(entry: &Entry<'_>, most: u64) -> Option<u32> {
    let number = entry.whole_number(1, most)?;
    u32::try_from(number).ok()
}

fn read_count(entry: &Entry<'_>) -> Option<KeepCount> {
    let wrong =
        |message: String| {
            entry.spot.mistake(complaint(message).help(
                "write how many are kept, 1 or more, or \"all\"; leave the key out for none by this rule",
            ));
            None
        };
    match entry.value {
        DeValue::String(text) if text == "all" => Some(KeepCount::All),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
            match parsed.and_then(|number| u32::try_from(number).ok()) {
                Some(number) if number > 0 => Some(KeepCount::Newest(number)),
                _ => wrong(format!("`{}` cannot be {number}", entry.key)),
            }
        }
        DeValue::String(text) => wrong(format!("`{}` cannot be {text:?}", entry.key)),
        _ => wrong(format!("`{}` is no number", entry.key)),
    }
}
