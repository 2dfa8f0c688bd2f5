//! When a job is due: cron expressions as wall-clock time in a zone.
//!
//! A slot inside the hour that a clock skips fires once, right after it; a slot inside the hour that a clock
//! repeats fires once; jobs that run every hour or oftener keep their pace through both.

mod explain;
mod shared;
mod steps;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use explain::explain;
use shared::InUse;
use std::sync::Arc;
use thiserror::Error;

/// Why a cron expression cannot be used.
#[derive(Debug, Error)]
pub enum ScheduleError {
    /// It cannot be read.
    #[error("the cron expression {expression:?} cannot be read: {reason}")]
    Unreadable {
        /// As written.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It can be read, but no instant matches (30 February).
    #[error("the cron expression {0:?} never fires")]
    NeverFires(String),
}

/// The longest gap is a day: islands that changed sides of the date line skipped one.
const MOST_MINUTES_OF_A_GAP: i64 = 25 * 60;
const MOST_SLOTS_OF_A_CHANGE: i64 = 25 * 3600;

/// What an expression means depends on nothing else.
static IN_USE: InUse<Cron> = InUse::new();

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    expression: String,
    cron: Arc<Cron>,
    zone: Tz,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.zone == other.zone
    }
}

impl Schedule {
    /// Reads five fields (minute first), six (second first) or a nickname such as `@daily`.
    ///
    /// Day of month and day of week are joined as crontab(5) joins them: either may match when both are given, unless
    /// one of them begins with a star (`*/2`): then both must.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let cron = IN_USE
            .get_or_read(expression, || {
                parser(has_starred_day(expression)).parse(expression)
            })
            .map_err(|error| ScheduleError::Unreadable {
                expression: expression.to_owned(),
                reason: explain(expression, &error),
            })?;
        let schedule = Self {
            expression: expression.to_owned(),
            cron,
            zone,
        };
        // A fixed instant: whether an expression ever fires does not depend on today.
        let from = DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::days(365 * 56);
        if names_days_of_the_month(expression) && schedule.next_after(from).is_none() {
            return Err(ScheduleError::NeverFires(expression.to_owned()));
        }
        Ok(schedule)
    }

    /// The expression as written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone whose wall clock the expression means.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// What of the expression fires more seldom than it looks, one sentence each: steps beyond their field.
    pub fn overlong_steps(&self) -> Vec<String> {
        steps::overlong(&self.expression)
    }

    /// In words, English.
    pub fn describe(&self) -> String {
        self.cron.describe()
    }

    /// The first slot after `instant` (exclusive); `None` when there is none within croner's horizon.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_every_hour() {
            self.next_in_real_time(instant)
        } else {
            self.next_by_the_wall(instant)
        }
    }

    /// Whether it fires in every hour: then it keeps its pace through both changes of the clock.
    fn is_every_hour(&self) -> bool {
        let fields: Vec<&str> = self.expression.split_whitespace().collect();
        match fields.as_slice() {
            [nickname] => nickname.eq_ignore_ascii_case("@hourly"),
            [_, hour, _, _, _] | [_, _, hour, _, _, _] => matches!(*hour, "*" | "*/1" | "0-23"),
            _ => false,
        }
    }

    fn next_in_real_time(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut local = self.zone.from_utc_datetime(&instant.naive_utc());
        // The guard makes progress certain, whatever the library answers around a change of the clock.
        for _ in 0..4 {
            let next = self
                .cron
                .find_next_occurrence(&local, false)
                .ok()?
                .with_timezone(&Utc);
            if next > instant {
                return Some(next);
            }
            local += TimeDelta::seconds(1);
        }
        None
    }

    /// The expression names times on the wall's clock: the next of them is found there, then placed in real time.
    fn next_by_the_wall(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // As if the wall's clock were UTC, which has neither gaps nor repeated hours.
        let mut wall = Utc.from_utc_datetime(&instant.with_timezone(&self.zone).naive_local());
        // At most a day of slots lies in a gap, or in an hour that is repeated.
        for _ in 0..=MOST_SLOTS_OF_A_CHANGE {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let slot = self.place(wall.naive_utc())?;
            if slot > instant {
                return Some(slot);
            }
        }
        None
    }

    /// When the wall's clock shows `wall`: the first time it does; in a gap, right after it.
    fn place(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let found = |wall: NaiveDateTime| self.zone.from_local_datetime(&wall).earliest();
        if let Some(slot) = found(wall) {
            return Some(slot.with_timezone(&Utc));
        }
        let minute = wall.with_second(0)?;
        (1..=MOST_MINUTES_OF_A_GAP)
            .find_map(|ahead| found(minute + TimeDelta::minutes(ahead)))
            .map(|slot| slot.with_timezone(&Utc))
    }

    /// Whether it fires on `day`, as its zone has it.
    pub fn fires_on(&self, day: NaiveDate) -> bool {
        // Midnight, or the first half hour that the day has.
        let begin = (0..48).find_map(|half_hours| {
            let on_the_wall = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(30 * half_hours);
            self.zone.from_local_datetime(&on_the_wall).earliest()
        });
        let first =
            begin.and_then(|begin| self.next_after(begin.with_timezone(&Utc) - TimeDelta::seconds(1)));
        first.is_some_and(|slot| slot.with_timezone(&self.zone).date_naive() == day)
    }

    /// The slots in `(after, until]`, oldest first. Lazy: take only as many as you need.
    pub fn slots_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next_after(after), |slot| self.next_after(*slot))
            .take_while(move |slot| *slot <= until)
    }
}

fn parser(joins_days: bool) -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .dom_and_dow(joins_days)
        .build()
}

/// Whether the day of the month or the day of the week begins with a star: cron takes a field for one that restricts
/// nothing by its first letter alone, also where a step follows.
fn has_starred_day(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    match fields.as_slice() {
        [_, _, month_day, _, weekday] | [_, _, _, month_day, _, weekday] => {
            month_day.starts_with('*') || weekday.starts_with('*')
        }
        _ => false,
    }
}

/// Only a day that its months do not have never comes.
fn names_days_of_the_month(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    match fields.as_slice() {
        [_, _, month_day, _, _] | [_, _, _, month_day, _, _] => *month_day != "*",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn slots(expression: &str, zone: Tz, after: &str, until: &str) -> Vec<String> {
        Schedule::parse(expression, zone)
            .unwrap()
            .slots_between(at(after), at(until))
            .map(|slot| slot.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
            .collect()
    }

    #[test]
    fn a_schedule_fires_on_the_days_of_its_zone() {
        let day = |text: &str| text.parse().unwrap();
        let fires = |expression, zone, on| Schedule::parse(expression, zone).unwrap().fires_on(day(on));
        // 22 November 2026 is a Sunday.
        for (on, expected) in [("2026-11-21", false), ("2026-11-22", true), ("2026-11-23", false)] {
            assert_eq!(fires("30 0 * * 0", Tz::Asia__Shanghai, on), expected, "{on}");
            assert_eq!(fires("0 0 22 11 *", Tz::America__New_York, on), expected, "{on}");
            assert_eq!(fires("59 23 * * 0", Tz::UTC, on), expected, "{on}");
            assert!(fires("* * * * *", Tz::UTC, on), "{on}");
        }
        // A day that has no midnight.
        assert!(fires("0 4 * * *", Tz::America__Sao_Paulo, "2018-11-04"));
    }

    #[test]
    fn five_fields_six_fields_and_nicknames_are_read() {
        for expression in [
            "0 4 * * *",
            "30 0 4 * * *",
            "@daily",
            "@hourly",
            "*/15 * * * *",
            "0 4 * * MON-FRI",
        ] {
            Schedule::parse(expression, Tz::UTC).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        let error = Schedule::parse("0 4 * *", Tz::UTC).unwrap_err().to_string();
        assert!(error.contains("it has 4 fields"), "{error}");
        assert!(Schedule::parse("0 0 4 * * * 2026", Tz::UTC).is_err());
        for (expression, said) in [
            ("61 4 * * *", "the minute \"61\" is not understood"),
            ("0 24 * * *", "it takes 0 to 23"),
            ("0 4 32 * *", "the day of the month \"32\""),
            ("0 4 * JANUARY *", "it takes 1 to 12 or JAN to DEC"),
            ("0 4 * * 8", "the weekday \"8\""),
            ("60 0 4 * * *", "the second \"60\""),
        ] {
            let error = Schedule::parse(expression, Tz::UTC).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(Schedule::parse("", Tz::UTC).is_err());
    }

    #[test]
    fn thirtieth_of_february_never_fires() {
        assert!(matches!(
            Schedule::parse("0 0 30 2 *", Tz::UTC),
            Err(ScheduleError::NeverFires(_))
        ));
    }

    #[test]
    fn a_day_that_begins_with_a_star_must_match_beside_the_other() {
        // October 2026: Fridays are 2, 9, 16, 23, 30. cron looks at a field's first letter alone.
        for (expression, expected) in [
            (
                "0 12 */2 * FRI",
                vec!["2026-10-09T12:00:00Z", "2026-10-23T12:00:00Z"],
            ),
            (
                "0 0 12 */2 * FRI",
                vec!["2026-10-09T12:00:00Z", "2026-10-23T12:00:00Z"],
            ),
            // A Sunday; the Fridays that */5 names as well are no 11th.
            ("0 12 11 * */5", vec!["2026-10-11T12:00:00Z"]),
            (
                "0 12 20-21 * TUE",
                vec![
                    "2026-10-13T12:00:00Z",
                    "2026-10-20T12:00:00Z",
                    "2026-10-21T12:00:00Z",
                ],
            ),
        ] {
            let found = slots(
                expression,
                Tz::UTC,
                "2026-10-08T00:00:00Z",
                "2026-10-24T00:00:00Z",
            );
            assert_eq!(found, expected, "{expression}");
        }
    }

    #[test]
    fn day_of_month_or_day_of_week_as_crontab_has_it() {
        // October 2026: Fridays are 2, 9, 16, 23, 30; the 13th is a Tuesday.
        let found = slots(
            "0 12 13 * FRI",
            Tz::UTC,
            "2026-10-08T00:00:00Z",
            "2026-10-17T00:00:00Z",
        );
        assert_eq!(
            found,
            [
                "2026-10-09T12:00:00Z",
                "2026-10-13T12:00:00Z",
                "2026-10-16T12:00:00Z"
            ]
        );
    }

    #[test]
    fn a_slot_in_the_skipped_hour_fires_once_right_after_it() {
        let found = slots(
            "30 2 * * *",
            Tz::Europe__Berlin,
            "2026-03-28T12:00:00Z",
            "2026-03-30T12:00:00Z",
        );
        assert_eq!(found, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    }

    #[test]
    fn a_slot_in_the_repeated_hour_fires_once() {
        let found = slots(
            "30 2 * * *",
            Tz::Europe__Berlin,
            "2026-10-24T12:00:00Z",
            "2026-10-26T12:00:00Z",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "2026-10-25T00:30:00Z");
    }

    #[test]
    fn lists_ranges_and_steps_keep_the_promise_too() {
        let day = ("2026-03-28T22:00:00Z", "2026-03-29T02:30:00Z");
        for (expression, expected) in [
            ("30 1,2,3 * * *", vec!["00:30", "01:00", "01:30"]),
            ("15,45 2 * * *", vec!["01:00"]),
            ("*/30 2 * * *", vec!["01:00"]),
            ("0 */2 * * *", vec!["23:00", "01:00", "02:00"]),
        ] {
            let found = slots(expression, Tz::Europe__Berlin, day.0, day.1);
            let found: Vec<&str> = found.iter().map(|slot| &slot[11..16]).collect();
            assert_eq!(found, expected, "{expression} in spring");
        }
        let day = ("2026-10-24T22:00:00Z", "2026-10-25T03:00:00Z");
        for (expression, expected) in [
            ("30 1,2,3 * * *", vec!["23:30", "00:30", "02:30"]),
            ("15,45 2 * * *", vec!["00:15", "00:45"]),
            ("15 1-3 * * *", vec!["23:15", "00:15", "02:15"]),
        ] {
            let found = slots(expression, Tz::Europe__Berlin, day.0, day.1);
            let found: Vec<&str> = found.iter().map(|slot| &slot[11..16]).collect();
            assert_eq!(found, expected, "{expression} in autumn");
        }
    }

    #[test]
    fn every_hour_keeps_its_pace_through_both_changes() {
        assert_eq!(
            slots(
                "0 * * * *",
                Tz::Europe__Berlin,
                "2026-03-28T23:30:00Z",
                "2026-03-29T03:00:00Z"
            )
            .len(),
            4
        );
        assert_eq!(
            slots(
                "0 * * * *",
                Tz::Europe__Berlin,
                "2026-10-24T23:30:00Z",
                "2026-10-25T03:00:00Z"
            )
            .len(),
            4
        );
        assert_eq!(
            slots(
                "@hourly",
                Tz::Europe__Berlin,
                "2026-10-24T23:30:00Z",
                "2026-10-25T03:00:00Z"
            )
            .len(),
            4
        );
    }

    #[test]
    fn a_day_that_was_skipped_whole_does_not_end_a_job() {
        let found = slots(
            "0 4 * * *",
            Tz::Pacific__Apia,
            "2011-12-29T20:00:00Z",
            "2012-01-02T00:00:00Z",
        );
        assert!(found.len() >= 3, "{found:?}");
    }

    #[test]
    fn midnight_in_london_fires_once_on_the_day_the_clock_goes_forward() {
        let found = slots(
            "0 0 * * *",
            Tz::Europe__London,
            "2026-03-28T12:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        assert_eq!(found, ["2026-03-29T00:00:00Z"]);
    }

    #[test]
    fn half_hour_change_at_lord_howe() {
        let found = slots(
            "15 2 * * *",
            Tz::Australia__Lord_Howe,
            "2026-10-02T18:00:00Z",
            "2026-10-05T00:00:00Z",
        );
        assert_eq!(found.len(), 2, "{found:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn slots_are_strictly_ascending_in_every_zone(
            zone in prop::sample::select(vec![
                Tz::Europe__Berlin, Tz::America__New_York, Tz::Asia__Shanghai, Tz::Australia__Lord_Howe,
            ]),
            expression in prop::sample::select(vec![
                "*/15 * * * *", "0 4 * * *", "30 2 * * *", "30 7 * * *", "0 0 1 * *", "@weekly", "15 1,2,3 * * *",
            ]),
            start in 1_767_225_600_i64..2_082_758_400,
        ) {
            let schedule = Schedule::parse(expression, zone).unwrap();
            let start = DateTime::from_timestamp(start, 0).unwrap();
            let mut last = start;
            for slot in schedule.slots_between(start, start + chrono::TimeDelta::days(400)).take(200) {
                prop_assert!(slot > last);
                last = slot;
            }
        }
    }
}
