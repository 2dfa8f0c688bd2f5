//! Steps that are larger than what they step through.

/// The fields, and the first and last value of each. A weekday is 0 to 6: 7 is another word for Sunday.
const FIELDS: [(&str, u32, u32); 6] = [
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 6),
];

/// One sentence for each part of a field that comes once only, for a step that leads beyond its range at once: `*/99` of the
/// minutes is the minute 0. `*/60` says the same and is written by many who mean it.
pub(super) fn overlong(expression: &str) -> Vec<String> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let named = FIELDS.iter().skip(FIELDS.len().saturating_sub(fields.len()));
    let mut found = Vec::new();
    for (field, (name, first, last)) in fields.iter().zip(named) {
        for part in field.split(',') {
            let Some((range, step)) = part.split_once('/') else {
                continue;
            };
            let (from, to) = match range.split_once('-') {
                Some((from, to)) => (from.parse().ok(), to.parse().ok()),
                None if range == "*" => (Some(*first), Some(*last)),
                None => (range.parse().ok(), Some(*last)),
            };
            // Names of days and months are few, and steps through them fewer.
            let (Some(from), Some(to), Ok(step)) = (from, to, step.parse::<u32>()) else {
                continue;
            };
            let range_size: u32 = u32::saturating_sub(to, from).saturating_add(1);
            if step > range_size {
                found.push(format!(
                    "the {name} {part:?} comes at {from} alone: a step of {step} is more than the {range_size} from {from} to {to}"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;
    use chrono::{DateTime, TimeDelta, Utc};
    use chrono_tz::Tz;

    #[test]
    fn a_step_beyond_its_field_is_named_and_one_that_just_fills_it_is_not() {
        for expression in [
            "*/60 * * * *",
            "0 */24 * * *",
            "0 0 */31 * *",
            "0 0 1 */12 *",
            "0 0 * * */7",
            "*/60 * * * * *",
            "0-10/5 * * * MON-FRI",
            "@daily",
            "0 4 * * *",
        ] {
            assert_eq!(overlong(expression), [""; 0], "{expression}");
        }
        let said = overlong("*/99 * * * *");
        assert_eq!(
            said,
            ["the minute \"*/99\" comes at 0 alone: a step of 99 is more than the 60 from 0 to 59"]
        );
        for (expression, name) in [
            ("*/61 * * * * *", "second"),
            ("0 */25 * * *", "hour"),
            ("5,0-10/12 * * * *", "minute"),
            ("0 0 */40 * *", "day of the month"),
            ("0 0 1 */13 *", "month"),
            ("0 0 * * */8", "weekday"),
        ] {
            let said = overlong(expression);
            assert!(
                said.len() == 1 && said[0].starts_with(&format!("the {name} ")),
                "{said:?}"
            );
        }
    }

    /// What the sentence says is what happens.
    #[test]
    fn such_a_step_fires_at_the_first_of_its_range_alone() {
        let noon: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        for (expression, minutes) in [("*/99 * * * *", vec![0]), ("5-10/7 * * * *", vec![5])] {
            let schedule = Schedule::parse(expression, Tz::UTC).unwrap();
            let slots = schedule.slots_between(noon - TimeDelta::seconds(1), noon + TimeDelta::minutes(59));
            let found: Vec<i64> = slots.map(|slot| (slot - noon).num_minutes()).collect();
            assert_eq!(found, minutes, "{expression}");
        }
    }
}
