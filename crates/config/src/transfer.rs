//! `[transfer.NAME]`

use crate::document::complaint;
use crate::schedule::Reading;
use crate::section::{Entry, Section};
use mykeeper_domain::DestinationName;
use mykeeper_domain::job::{Task, TransferTask};
use std::time::Duration;
use toml::de::DeValue;

const DEFAULT_VERIFY_EVERY: Duration = Duration::from_secs(7 * 86_400);

/// Reads the keys that only a transfer job has.
pub(crate) fn read<'d>(section: &mut Section<'d>, reading: &mut Reading<'d, '_>) -> Option<Task> {
    let destination = section
        .require(
            "destination",
            "destination = \"NAME\", a [destinations.NAME] of mykeeper.toml",
        )
        .and_then(|entry| {
            let name = entry.text()?;
            if !reading.check_destination(&entry, name) {
                return None;
            }
            reading
                .mentions
                .transfers
                .push((entry.spot.clone(), name.to_owned()));
            DestinationName::new(name).ok()
        });
    let verify_every = section
        .take("verify_every")
        .map_or(Some(Some(DEFAULT_VERIFY_EVERY)), |entry| {
            read_verify_every(&entry)
        });
    Some(Task::Transfer(TransferTask {
        destination: destination?,
        verify_every: verify_every?,
    }))
}

fn read_verify_every(entry: &Entry<'_>) -> Option<Option<Duration>> {
    if matches!(entry.value, DeValue::String(text) if text == "never") {
        return Some(None);
    }
    let every = entry.duration()?;
    if every.is_zero() {
        entry.spot.mistake(
            complaint("copies cannot be compared without a pause").help("write \"7d\", or \"never\""),
        );
        return None;
    }
    Some(Some(every))
}
