//! `[limits]`

use crate::keeper::top_key_hint;
use crate::section::Section;
use crate::settings::LimitSettings;

/// More at a time is a slip of the pen.
const MOST: u64 = 64;

/// Reads the section.
pub(crate) fn read(section: Option<Section<'_>>) -> LimitSettings {
    let mut limits = LimitSettings::default();
    let Some(mut section) = section else {
        return limits;
    };
    for (key, limit) in [
        ("per_server", &mut limits.per_server),
        ("per_destination", &mut limits.per_destination),
        ("validations", &mut limits.validations),
    ] {
        let number = section.take(key).and_then(|entry| entry.whole_number(1, MOST));
        if let Some(number) = number.and_then(|number| u32::try_from(number).ok()) {
            *limit = number;
        }
    }
    section.finish(top_key_hint);
    limits
}
