//! Why a cron expression is not understood.

use super::parser;
use croner::errors::CronError;

/// The fields, and what may stand in each.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("weekday", "0 to 7, where 0 and 7 are Sunday, or SUN to SAT"),
];

/// What is wrong with an expression, and with which of its fields.
pub(super) fn explain(expression: &str, error: &CronError) -> String {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let is_nickname = expression.trim_start().starts_with('@');
    if !is_nickname && !(5..=6).contains(&fields.len()) {
        return format!(
            "it has {} fields; write five (minute hour day month weekday) or six with seconds first",
            fields.len()
        );
    }
    let cause = said(error);
    // Each by itself, where the others may be anything: the library does not say which it means.
    let named = FIELDS.iter().skip(FIELDS.len().saturating_sub(fields.len()));
    let wrong = fields.iter().zip(named).enumerate().find(|(index, (field, _))| {
        let mut alone = vec!["*"; fields.len()];
        if let Some(place) = alone.get_mut(*index) {
            *place = field;
        }
        !is_nickname && parser(false).parse(&alone.join(" ")).is_err()
    });
    match wrong {
        Some((_, (field, (name, range)))) => {
            format!("the {name} {field:?} is not understood ({cause}); it takes {range}")
        }
        None => cause,
    }
}

fn said(error: &CronError) -> String {
    match error {
        CronError::EmptyPattern => "it is empty".to_owned(),
        CronError::InvalidPattern(text)
        | CronError::IllegalCharacters(text)
        | CronError::ComponentError(text) => text.trim_end_matches('.').to_owned(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}
