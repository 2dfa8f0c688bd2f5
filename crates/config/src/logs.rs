//! `[logs]`

use crate::document::complaint;
use crate::keeper::top_key_hint;
use crate::section::{Entry, Section};
use crate::settings::LogSettings;
use std::time::Duration;

/// The longest run takes less.
const LEAST: Duration = Duration::from_secs(24 * 3600);

/// Reads the section.
pub(crate) fn read(section: Option<Section<'_>>) -> LogSettings {
    let mut logs = LogSettings::default();
    let Some(mut section) = section else {
        return logs;
    };
    if let Some(entry) = section.take("keep") {
        logs.keep = read_keep(&entry);
    }
    section.finish(top_key_hint);
    logs
}

fn read_keep(entry: &Entry<'_>) -> Option<Duration> {
    let keep = entry.duration_or("forever")??;
    if keep < LEAST {
        entry.spot.mistake(
            complaint("the log of a run that is under way could go")
                .help("write at least \"1d\", or \"forever\""),
        );
    }
    Some(keep)
}
