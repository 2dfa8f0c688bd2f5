//! Whether those who are to be told can be told, as far as that shows without telling them.

use super::{Findings, Grade};
use crate::commands::notify::{failing, gathered, told, ungathered};
use crate::surroundings::{gather, supervisor};
use mykeeper_config::Settings;
use mykeeper_daemon::notices::secrets_of;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_notify::Courier;

pub(super) fn look_at_notify(settings: &Settings, state: &StateDir, findings: &mut Findings) {
    let notify = &settings.notify;
    let secrets = secrets_of(gather().credentials_directory);
    let courier = Courier::new(supervisor(), secrets, state.root().to_owned());
    for channel in notify.channels.values() {
        let what = format!("notify {}", channel.name);
        match courier.prepare(channel) {
            Ok(()) => {
                let detail = format!("is set up; \"mykeeper notify test {}\" tries it", channel.name);
                findings.add(what, Grade::Ok, detail);
            }
            Err(error) => findings.add(what, Grade::Failed, error.to_string()),
        }
    }
    for (job, ping) in &notify.pings {
        if let Err(error) = courier.prepare_ping(ping) {
            findings.add(format!("ping {job}"), Grade::Failed, error.to_string());
        }
    }
    if notify.channels.is_empty() && !settings.jobs.is_empty() {
        let detail = format!(
            "nobody is told of failures: {} has no [notify.webhook.NAME], [notify.mail.NAME] or [notify.command.NAME]; \
             \"mykeeper config example\" shows them",
            settings.keeper_file.display()
        );
        findings.add("notify", Grade::Note, detail);
    }
    for sentence in failing(&told(settings, state)) {
        findings.add("notify", Grade::Warning, sentence);
    }
    match ungathered(settings, state) {
        Some(stuck) => findings.add("notify", Grade::Warning, stuck),
        None => {
            if let Some(waits) = gathered(settings, state) {
                findings.add("notify", Grade::Note, waits);
            }
        }
    }
}
