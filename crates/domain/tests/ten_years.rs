//! Ten years of slots of every shape of cron that is shipped, in zones whose clocks change by an hour, by half an
//! hour, and not at all: held against a walk through every quarter of an hour of them.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its own input cannot be read"
)]

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use mykeeper_domain::schedule::Schedule;

/// Whether a minute on the wall's clock is due.
type Due = fn(NaiveDateTime) -> bool;

/// Shapes that name times on the wall's clock.
const BY_THE_WALL: [(&str, Due); 8] = [
    ("0 4 * * *", |wall| (wall.hour(), wall.minute()) == (4, 0)),
    ("30 7 * * *", |wall| (wall.hour(), wall.minute()) == (7, 30)),
    // In the gap and in the hour that comes twice, wherever there is one.
    ("30 2 * * *", |wall| (wall.hour(), wall.minute()) == (2, 30)),
    ("45 1 * * *", |wall| (wall.hour(), wall.minute()) == (1, 45)),
    ("15 2 * * *", |wall| (wall.hour(), wall.minute()) == (2, 15)),
    ("@daily", |wall| (wall.hour(), wall.minute()) == (0, 0)),
    ("30 2 * * SUN", |wall| {
        (wall.hour(), wall.minute()) == (2, 30) && wall.weekday() == chrono::Weekday::Sun
    }),
    ("@monthly", |wall| {
        (wall.day(), wall.hour(), wall.minute()) == (1, 0, 0)
    }),
];

/// Shapes that fire in every hour: they keep their pace.
const AT_A_PACE: [(&str, Due); 2] = [
    ("*/15 * * * *", |wall| wall.minute().is_multiple_of(15)),
    ("*/30 * * * *", |wall| wall.minute().is_multiple_of(30)),
];

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Calls `at` with every quarter of an hour of the ten years and what the wall's clock shows then: nothing here is due
/// at another minute, and no clock of these zones changes by anything else.
fn every_quarter(zone: Tz, mut at: impl FnMut(DateTime<Utc>, NaiveDateTime)) {
    let end = instant("2036-01-01T00:00:00Z");
    let mut half_hour = instant("2026-01-01T00:00:00Z");
    while half_hour < end {
        // No clock of these zones changes within half an hour of UTC.
        let offset = zone.offset_from_utc_datetime(&half_hour.naive_utc()).fix();
        for quarter in 0..2 {
            let now = half_hour + TimeDelta::minutes(quarter * 15);
            at(
                now,
                now.naive_utc() + TimeDelta::seconds(i64::from(offset.local_minus_utc())),
            );
        }
        half_hour += TimeDelta::minutes(30);
    }
}

fn slots(expression: &str, zone: Tz) -> Vec<DateTime<Utc>> {
    let schedule = Schedule::parse(expression, zone).unwrap();
    let (after, until) = (instant("2025-12-31T23:59:59Z"), instant("2035-12-31T23:59:59Z"));
    schedule.slots_between(after, until).collect()
}

/// The first slots in which the two differ: all of ten years would not be read.
fn assert_same(what: &str, zone: Tz, (found, expected): (&[DateTime<Utc>], &[DateTime<Utc>])) {
    let differs = found.iter().zip(expected).position(|(left, right)| left != right);
    let at = differs.unwrap_or(found.len().min(expected.len()));
    assert!(
        found == expected,
        "{what} in {zone}: {:?} and should be {:?}",
        &found[at..found.len().min(at + 3)],
        &expected[at..expected.len().min(at + 3)]
    );
}

fn ten_years_in(zone: Tz) {
    for (expression, due) in BY_THE_WALL {
        let mut expected = Vec::new();
        let mut shown: Option<NaiveDateTime> = None;
        every_quarter(zone, |now, wall| {
            // What the wall's clock shows for the first time: one quarter, at the end of a gap all that it left out,
            // in an hour that comes again none.
            let mut quarter = shown.map_or(wall, |last| last + TimeDelta::minutes(15));
            let mut is_due = false;
            while quarter <= wall {
                is_due |= due(quarter);
                quarter += TimeDelta::minutes(15);
            }
            if is_due {
                expected.push(now);
            }
            shown = shown.max(Some(wall));
        });
        assert!(expected.len() >= 119, "{expression}: {}", expected.len());
        assert_same(expression, zone, (&slots(expression, zone), &expected));
    }
    for (expression, due) in AT_A_PACE {
        let mut expected = Vec::new();
        every_quarter(zone, |now, wall| {
            if due(wall) {
                expected.push(now);
            }
        });
        assert_same(expression, zone, (&slots(expression, zone), &expected));
    }
}

#[test]
fn ten_years_in_berlin() {
    ten_years_in(Tz::Europe__Berlin);
}

#[test]
fn ten_years_in_new_york() {
    ten_years_in(Tz::America__New_York);
}

#[test]
fn ten_years_in_shanghai() {
    ten_years_in(Tz::Asia__Shanghai);
}

#[test]
fn ten_years_at_lord_howe() {
    ten_years_in(Tz::Australia__Lord_Howe);
}
