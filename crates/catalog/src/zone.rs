//! Between instants and the wall-clock times of the seed's tables.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// `2026-10-25 02:30:00`: what a clock on the wall in `zone` shows. Parts of a second are cut off.
pub(crate) fn to_wall(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The instant of a wall-clock time: the earlier one where the clock shows it twice, and where it was skipped, the
/// one that the clock before the change would have meant. `None` for what is no time (`0000-00-00 00:00:00`).
pub(crate) fn from_wall(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    let wall = NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.with_timezone(&Utc)),
        LocalResult::None => {
            // No zone skips more than a day.
            let day = TimeDelta::days(1);
            let before = zone
                .from_local_datetime(&wall.checked_sub_signed(day)?)
                .earliest()?;
            before.with_timezone(&Utc).checked_add_signed(day)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn wall_clock_times_are_read_as_the_zone_means_them() {
        for (wall, zone, instant) in [
            ("2017-11-15 17:31:20", Tz::Asia__Shanghai, "2017-11-15T09:31:20Z"),
            ("2026-07-01 12:00:00", Tz::Europe__Berlin, "2026-07-01T10:00:00Z"),
            // Shown twice: the first.
            ("2026-10-25 02:30:00", Tz::Europe__Berlin, "2026-10-25T00:30:00Z"),
            // Skipped.
            ("2026-03-29 02:30:00", Tz::Europe__Berlin, "2026-03-29T01:30:00Z"),
            (
                "2026-10-04 02:15:00",
                Tz::Australia__Lord_Howe,
                "2026-10-03T15:45:00Z",
            ),
            (
                "2017-11-15 17:31:20.480263",
                Tz::UTC,
                "2017-11-15T17:31:20.480263Z",
            ),
        ] {
            assert_eq!(from_wall(wall, zone), Some(at(instant)), "{wall} in {zone}");
        }
        assert_eq!(from_wall("0000-00-00 00:00:00", Tz::UTC), None);
        assert_eq!(from_wall("", Tz::UTC), None);
    }

    #[test]
    fn instants_are_shown_as_the_wall_shows_them() {
        assert_eq!(
            to_wall(at("2026-10-25T00:30:00.999Z"), Tz::Europe__Berlin),
            "2026-10-25 02:30:00"
        );
        assert_eq!(
            to_wall(at("2026-10-25T01:30:00Z"), Tz::Europe__Berlin),
            "2026-10-25 02:30:00"
        );
        assert_eq!(
            to_wall(at("2017-11-15T09:31:20Z"), Tz::Asia__Shanghai),
            "2017-11-15 17:31:20"
        );
    }
}
