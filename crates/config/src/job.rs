//! The keys that jobs of every kind have.

use crate::document::complaint;
use crate::nearest::nearest;
use crate::section::{Entry, Section, no_hint};
use crate::values::shown_duration;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mykeeper_domain::JobName;
use mykeeper_domain::job::{Job, JobKind, Missed, Overlap, Task};
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_domain::schedule::{Schedule, ScheduleError};
use std::time::Duration;
use toml::de::DeValue;

const HOUR: Duration = Duration::from_secs(3600);
const DEFAULT_STALL: Duration = Duration::from_secs(30 * 60);
const DEFAULT_DELAY: Duration = Duration::from_secs(60);
const MOST_ATTEMPTS: u64 = 1000;
/// Among so many slots in a row the two that are nearest to each other are looked for.
const SLOTS_COMPARED: usize = 60;

const NICKNAMES: [&str; 6] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"];

const MISSED: [(&str, Missed); 2] = [("run-once", Missed::RunOnce), ("skip", Missed::Skip)];
const OVERLAP: [(&str, Overlap); 2] = [("skip", Overlap::Skip), ("queue", Overlap::Queue)];

/// A job without its name and task.
pub(crate) struct Common {
    schedule: Option<Schedule>,
    timeout: Duration,
    stall: Duration,
    retry: RetryPolicy,
    missed: Missed,
    overlap: Overlap,
    jitter: Duration,
}

impl Common {
    /// The whole job.
    pub(crate) fn into_job(self, name: JobName, task: Task) -> Option<Job> {
        Some(Job {
            name,
            schedule: self.schedule?,
            timeout: Some(self.timeout),
            stall: Some(self.stall),
            retry: self.retry,
            missed: self.missed,
            overlap: self.overlap,
            jitter: self.jitter,
            task,
        })
    }
}

/// How long a run may last when the job does not say: nothing waits forever.
fn default_timeout(kind: JobKind) -> Duration {
    match kind {
        JobKind::Backup | JobKind::Transfer | JobKind::Validation | JobKind::Restore => 12 * HOUR,
        JobKind::Retention => HOUR,
    }
}

fn default_retry(kind: JobKind) -> RetryPolicy {
    let attempts = match kind {
        JobKind::Backup | JobKind::Transfer => 3,
        JobKind::Validation | JobKind::Retention | JobKind::Restore => 1,
    };
    RetryPolicy {
        attempts,
        delay: DEFAULT_DELAY,
    }
}

/// Reads them. `None` is never the answer to a mistake here: the caller goes on to the other keys.
pub(crate) fn read_common(section: &mut Section<'_>, kind: JobKind, zone: Tz) -> Option<Common> {
    let cron = section.require("cron", "cron = \"0 4 * * *\"");
    let zone = section.take("timezone").map_or(Some(zone), |entry| entry.zone());
    let schedule = cron.and_then(|entry| read_cron(&entry, zone.unwrap_or(Tz::UTC)));
    let timeout_entry = section.take("timeout");
    let timeout = timeout_entry
        .as_ref()
        .and_then(|entry| entry.positive_duration("every run would be ended as soon as it begins"));
    let stall_entry = section.take("stall");
    let stall = stall_entry
        .as_ref()
        .and_then(|entry| entry.positive_duration("every tool would be ended as soon as it begins"));
    if let (Some(timeout), Some(stall), Some(entry)) = (timeout, stall, &stall_entry)
        && stall >= timeout
    {
        entry.spot.warning(
            complaint(format!(
                "a stall of {} never comes before the timeout",
                shown_duration(stall)
            ))
            .help(format!(
                "write less than the timeout, {}",
                shown_duration(timeout)
            )),
        );
    }
    let retry = section.take("retry").and_then(|entry| read_retry(&entry, kind));
    let missed = section.take("missed").and_then(|entry| entry.choice(&MISSED));
    let overlap = section.take("overlap").and_then(|entry| entry.choice(&OVERLAP));
    let jitter = section
        .take("jitter")
        .and_then(|entry| read_jitter(&entry, schedule.as_ref()));
    Some(Common {
        schedule,
        timeout: timeout.unwrap_or_else(|| default_timeout(kind)),
        stall: stall.unwrap_or(DEFAULT_STALL),
        retry: retry.unwrap_or_else(|| default_retry(kind)),
        missed: missed.unwrap_or_default(),
        overlap: overlap.unwrap_or_default(),
        jitter: jitter.unwrap_or_default(),
    })
}

fn read_cron(entry: &Entry<'_>, zone: Tz) -> Option<Schedule> {
    const HELP: &str = "write five fields (minute hour day month weekday), six with seconds first, or a \
                        nickname such as \"@daily\"";
    let text = entry.text()?;
    let problem = match Schedule::parse(text, zone) {
        Ok(schedule) => {
            for sentence in schedule.overlong_steps() {
                entry.spot.warning(
                    complaint(sentence).help("write a smaller step, or the one value that is meant"),
                );
            }
            return Some(schedule);
        }
        Err(error) => {
            let nickname = text.starts_with('@').then(|| nearest(text, NICKNAMES)).flatten();
            let help = match (&error, nickname) {
                (_, Some(meant)) => format!("did you mean \"{meant}\"?"),
                (ScheduleError::NeverFires(_), None) => "there is no such day in any year".to_owned(),
                (ScheduleError::Unreadable { .. }, None) => HELP.to_owned(),
            };
            complaint(error.to_string()).help(help)
        }
    };
    entry.spot.mistake(problem);
    None
}

fn read_retry(entry: &Entry<'_>, kind: JobKind) -> Option<RetryPolicy> {
    if !matches!(entry.value, DeValue::Table(_)) {
        let attempts = match entry.value {
            DeValue::Integer(written) if written.as_str() != "0" => written.as_str(),
            _ => "3",
        };
        entry.wrong_type(&format!("retry = {{ attempts = {attempts}, delay = \"5m\" }}"));
        return None;
    }
    let mut section = Section::of(entry)?;
    let mut retry = default_retry(kind);
    let attempts = section
        .take("attempts")
        .and_then(|entry| entry.whole_number(1, MOST_ATTEMPTS));
    if let Some(attempts) = attempts.and_then(|attempts| u32::try_from(attempts).ok()) {
        retry.attempts = attempts;
    }
    if let Some(delay) = section.take("delay").and_then(|entry| entry.duration()) {
        retry.delay = delay;
    }
    section.finish(no_hint);
    Some(retry)
}

fn read_jitter(entry: &Entry<'_>, schedule: Option<&Schedule>) -> Option<Duration> {
    let jitter = entry.duration()?;
    if jitter.is_zero() {
        return Some(jitter);
    }
    if let Some(gap) = schedule.and_then(least_gap)
        && jitter > gap
    {
        entry.spot.mistake(
            complaint(format!(
                "a jitter of {} is longer than the {} between two slots",
                shown_duration(jitter),
                shown_duration(gap)
            ))
            .help("write less: a start would be put off past the next slot"),
        );
        return None;
    }
    Some(jitter)
}

/// The shortest time between two slots; the same whenever it is asked.
fn least_gap(schedule: &Schedule) -> Option<Duration> {
    let from = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(365 * 56);
    let slots: Vec<_> = schedule
        .slots_between(from, from + TimeDelta::days(365 * 12))
        .take(SLOTS_COMPARED)
        .collect();
    slots
        .windows(2)
        .filter_map(|pair| (pair[1] - pair[0]).to_std().ok())
        .min()
}
