//! `[daemon]`

use crate::document::complaint;
use crate::keeper::top_key_hint;
use crate::section::{Entry, Section};
use crate::settings::DaemonSettings;
use std::time::Duration;

/// It is renewed five times while it holds: a catalog that is slow for a moment must not end it.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// Reads the section.
pub(crate) fn read(section: Option<Section<'_>>) -> DaemonSettings {
    let mut settings = DaemonSettings {
        grace: Duration::from_secs(30),
        kill_grace: Duration::from_secs(10),
        lease: Duration::from_secs(600),
    };
    let Some(mut section) = section else {
        return settings;
    };
    if let Some(grace) = section.take("grace").and_then(|entry| entry.duration()) {
        settings.grace = grace;
    }
    if let Some(grace) = section.take("kill_grace").and_then(|entry| entry.duration()) {
        settings.kill_grace = grace;
    }
    if let Some(lease) = section.take("lease").and_then(|entry| read_lease(&entry)) {
        settings.lease = lease;
    }
    section.finish(top_key_hint);
    settings
}

fn read_lease(entry: &Entry<'_>) -> Option<Duration> {
    let lease = entry.duration()?;
    if lease < SHORTEST_LEASE {
        entry.spot.mistake(
            complaint("`lease` is too short: it would run out while its holder lives")
                .help("write \"2s\" or more; \"10m\" is the default"),
        );
        return None;
    }
    Some(lease)
}
