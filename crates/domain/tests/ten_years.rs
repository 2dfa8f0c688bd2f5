//! Ten years of slots of every shape of cron expression that is shipped, and of some that nobody should write, against
//! a reckoning of their own: each wall-clock time is listed, then looked for in the zone.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use chrono::offset::LocalResult;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use mykeeper_domain::schedule::Schedule;
use std::collections::BTreeSet;

const ZONES: [Tz; 4] = [
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Asia__Shanghai,
    // Half an hour.
    Tz::Australia__Lord_Howe,
];

/// An expression, and what it means.
struct Shape {
    expression: &'static str,
    days: fn(NaiveDate) -> bool,
    hours: Vec<u32>,
    minutes: Vec<u32>,
    seconds: Vec<u32>,
}

fn shape(
    expression: &'static str,
    days: fn(NaiveDate) -> bool,
    (hours, minutes, seconds): (&[u32], &[u32], &[u32]),
) -> Shape {
    Shape {
        expression,
        days,
        hours: hours.to_vec(),
        minutes: minutes.to_vec(),
        seconds: seconds.to_vec(),
    }
}

fn every(_: NaiveDate) -> bool {
    true
}

fn is_last_of_month(day: NaiveDate) -> bool {
    day.succ_opt().is_some_and(|next| next.month() != day.month())
}

/// Which one of its weekday the day is in its month, 1 the first.
fn week_of_month(day: NaiveDate) -> u32 {
    (day.day() - 1) / 7 + 1
}

/// Those that name hours: each time on the wall happens once.
fn by_the_wall() -> Vec<Shape> {
    let steps: Vec<u32> = (0..24).step_by(5).collect();
    vec![
        // Shipped.
        shape("0 4 * * *", every, (&[4], &[0], &[0])),
        shape("30 7 * * *", every, (&[7], &[30], &[0])),
        shape("@daily", every, (&[0], &[0], &[0])),
        shape("@weekly", |day| day.weekday() == Weekday::Sun, (&[0], &[0], &[0])),
        shape("@monthly", |day| day.day() == 1, (&[0], &[0], &[0])),
        shape("@yearly", |day| day.ordinal() == 1, (&[0], &[0], &[0])),
        // In the hours that the zones skip and repeat.
        shape("30 2 * * *", every, (&[2], &[30], &[0])),
        shape("15 2 * * *", every, (&[2], &[15], &[0])),
        shape("45 1 * * *", every, (&[1], &[45], &[0])),
        shape("0 2 * * *", every, (&[2], &[0], &[0])),
        shape("0 3 * * *", every, (&[3], &[0], &[0])),
        // Lists, ranges, steps, seconds.
        shape("0,20,40 1-3 * * *", every, (&[1, 2, 3], &[0, 20, 40], &[0])),
        shape("59 */5 * * *", every, (&steps, &[59], &[0])),
        shape("30 0-6/2 * * *", every, (&[0, 2, 4, 6], &[30], &[0])),
        shape("7,37 0-1,3-4 * * *", every, (&[0, 1, 3, 4], &[7, 37], &[0])),
        shape("59 59 1,2 * * *", every, (&[1, 2], &[59], &[59])),
        shape("*/20 30 2 * * *", every, (&[2], &[30], &[0, 20, 40])),
        // Days of their own.
        shape("30 2 L * *", is_last_of_month, (&[2], &[30], &[0])),
        shape(
            "30 2 * * SUN#L",
            |day| day.weekday() == Weekday::Sun && (day + TimeDelta::days(7)).month() != day.month(),
            (&[2], &[30], &[0]),
        ),
        shape(
            "30 2 * * SUN#2",
            |day| day.weekday() == Weekday::Sun && week_of_month(day) == 2,
            (&[2], &[30], &[0]),
        ),
        shape(
            "0 2 29 2 *",
            |day| (day.month(), day.day()) == (2, 29),
            (&[2], &[0], &[0]),
        ),
        shape(
            "15 2 13 * FRI",
            |day| day.day() == 13 || day.weekday() == Weekday::Fri,
            (&[2], &[15], &[0]),
        ),
        shape(
            "30 2 * MAR,OCT,NOV MON-FRI,SUN",
            |day| matches!(day.month(), 3 | 10 | 11) && day.weekday() != Weekday::Sat,
            (&[2], &[30], &[0]),
        ),
    ]
}

/// Those that fire in every hour: they keep their pace.
fn every_hour() -> Vec<Shape> {
    let all: Vec<u32> = (0..24).collect();
    let steps = |by: usize| -> Vec<u32> { (0..60).step_by(by).collect() };
    vec![
        shape("*/30 * * * *", every, (&all, &[0, 30], &[0])),
        shape("*/15 * * * *", every, (&all, &steps(15), &[0])),
        shape("@hourly", every, (&all, &[0], &[0])),
        shape("0 0-23 * * *", every, (&all, &[0], &[0])),
        shape("45 */1 * * *", every, (&all, &[45], &[0])),
        shape("*/7 * * * *", every, (&all, &steps(7), &[0])),
        shape("*/20 * * * * *", every, (&all, &steps(1), &[0, 20, 40])),
        shape(
            "8-59/10 * * * * *",
            every,
            (&all, &steps(1), &[8, 18, 28, 38, 48, 58]),
        ),
        shape("30 5 * * * *", every, (&all, &[5], &[30])),
        shape(
            "20 * * * SUN",
            |day| day.weekday() == Weekday::Sun,
            (&all, &[20], &[0]),
        ),
    ]
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Every time on the wall that the expression names, from one day to another.
fn times_on_the_wall(shape: &Shape, from: NaiveDate, to: NaiveDate) -> Vec<NaiveDateTime> {
    let mut times = Vec::new();
    for day in from
        .iter_days()
        .take_while(|day| *day < to)
        .filter(|day| (shape.days)(*day))
    {
        for hour in &shape.hours {
            for minute in &shape.minutes {
                times.extend(
                    shape
                        .seconds
                        .iter()
                        .filter_map(|second| day.and_hms_opt(*hour, *minute, *second)),
                );
            }
        }
    }
    times
}

/// The first instant at which the zone's clock shows `wall`, or, in a gap, more.
fn first_instant(wall: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) => at.to_utc(),
        LocalResult::Ambiguous(one, other) => one.to_utc().min(other.to_utc()),
        LocalResult::None => {
            let around = Utc.from_utc_datetime(&wall).with_second(0).unwrap();
            (-16 * 60..16 * 60)
                .map(|minutes| around + TimeDelta::minutes(minutes))
                .find(|at| at.with_timezone(&zone).naive_local() >= wall)
                .unwrap()
        }
    }
}

#[test]
fn each_time_on_the_wall_happens_once_in_ten_years() {
    let (from, to) = (at("2024-06-01T00:00:00Z"), at("2034-06-01T00:00:00Z"));
    let (first_day, last_day) = (
        from.date_naive() - TimeDelta::days(2),
        to.date_naive() + TimeDelta::days(2),
    );
    let mut gaps = 0;
    for zone in ZONES {
        for shape in by_the_wall() {
            let times = times_on_the_wall(&shape, first_day, last_day);
            gaps += times
                .iter()
                .filter(|wall| zone.from_local_datetime(wall) == LocalResult::None)
                .count();
            let expected: BTreeSet<DateTime<Utc>> = times
                .into_iter()
                .map(|wall| first_instant(wall, zone))
                .filter(|at| *at > from && *at <= to)
                .collect();
            let schedule = Schedule::parse(shape.expression, zone).unwrap();
            let found: Vec<DateTime<Utc>> = schedule.slots_between(from, to).collect();
            let unlike = found
                .iter()
                .zip(&expected)
                .find(|(found, expected)| found != expected);
            assert_eq!(unlike, None, "{} in {zone}", shape.expression);
            assert_eq!(found.len(), expected.len(), "{} in {zone}", shape.expression);
        }
    }
    assert!(gaps > 200, "only {gaps} slots lay in a gap: nothing was tried");
}

#[test]
fn what_fires_in_every_hour_keeps_its_pace_through_ten_years_of_changes() {
    let (from, to) = (at("2024-06-01T00:00:00Z"), at("2034-06-01T00:00:00Z"));
    for zone in ZONES {
        let offset = |at: DateTime<Utc>| {
            use chrono::Offset;
            at.with_timezone(&zone).offset().fix().local_minus_utc()
        };
        // The days of all changes, and some without one.
        let mut days: Vec<DateTime<Utc>> = (0..3650)
            .map(|day| from + TimeDelta::days(day))
            .filter(|day| offset(*day) != offset(*day + TimeDelta::days(1)))
            .collect();
        assert_eq!(
            days.len(),
            if zone == Tz::Asia__Shanghai { 0 } else { 20 },
            "{zone}"
        );
        days.extend([from, to - TimeDelta::days(3), from + TimeDelta::days(2000)]);
        for shape in every_hour() {
            let schedule = Schedule::parse(shape.expression, zone).unwrap();
            for day in &days {
                let (begin, end) = (*day - TimeDelta::hours(3), *day + TimeDelta::hours(27));
                let minutes =
                    (0..=(end - begin).num_minutes()).map(|minute| begin + TimeDelta::minutes(minute));
                let expected: Vec<DateTime<Utc>> = minutes
                    .filter(|at| {
                        let wall = at.with_timezone(&zone).naive_local();
                        shape.minutes.contains(&wall.minute()) && (shape.days)(wall.date())
                    })
                    .flat_map(|at| {
                        let seconds = shape.seconds.iter();
                        seconds.map(move |second| at + TimeDelta::seconds(i64::from(*second)))
                    })
                    .filter(|at| *at > begin && *at <= end)
                    .collect();
                let found: Vec<DateTime<Utc>> = schedule.slots_between(begin, end).collect();
                assert_eq!(found, expected, "{} in {zone} on {day}", shape.expression);
            }
        }
    }
}
