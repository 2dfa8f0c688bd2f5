//! `[daemon]`

use crate::keeper::top_key_hint;
use crate::section::Section;
use crate::settings::DaemonSettings;
use std::time::Duration;

/// Reads the section.
pub(crate) fn read(section: Option<Section<'_>>) -> DaemonSettings {
    let mut settings = DaemonSettings {
        grace: Duration::from_secs(30),
        kill_grace: Duration::from_secs(10),
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
    section.finish(top_key_hint);
    settings
}
