//! Destinations: whether they can be written to, who sends there later, and what waits for them.

use super::{Findings, Grade};
use crate::output::when;
use crate::surroundings::{gather, local_zone};
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::jobs::password_problem;
use mykeeper_daemon::owed::{no_sender, owed, without_sender};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_domain::destination::Destination;
use mykeeper_domain::{Clock, JobName, RunId, SystemClock};
use mykeeper_tools::ToolEnv;
use mykeeper_tools::rsync::{CheckRequest, RsyncInfo, check_destination};

/// Names each destination that backup jobs send to and no transfer job does.
pub(super) fn look_for_senders(settings: &Settings, findings: &mut Findings) {
    for (destination, jobs) in without_sender(settings) {
        let jobs: Vec<&str> = jobs.into_iter().map(JobName::as_str).collect();
        let detail = format!(
            "{}; what {} makes and does not arrive right after its dump is never sent, and its original stays",
            no_sender(destination),
            jobs.join(", ")
        );
        findings.add(format!("destination {destination}"), Grade::Warning, detail);
    }
}

/// Tells how many sets wait for each destination. That a transfer job has some to send is nothing to mend.
pub(super) async fn look_for_waiting(settings: &Settings, catalog: &dyn Catalog, findings: &mut Findings) {
    let now = SystemClock.now();
    match owed(catalog, settings).await {
        Ok(waiting) => {
            for owed in waiting {
                let grade = match owed.is_trouble(now) {
                    false => Grade::Note,
                    true => Grade::Warning,
                };
                let oldest = when(owed.oldest_at, local_zone());
                let detail = format!("{owed} (the oldest was started at {oldest})");
                findings.add(format!("destination {}", owed.destination), grade, detail);
            }
        }
        Err(error) => {
            let detail = format!("whether sets wait to be sent cannot be told: {error}");
            findings.add("destinations", Grade::Warning, detail);
        }
    }
}

/// Writes to it, as a transfer would.
pub(super) async fn try_destination(
    settings: &Settings,
    destination: &Destination,
    (rsync, state): (&RsyncInfo, &StateDir),
    tools: &ToolEnv<'_>,
    findings: &mut Findings,
) {
    let what = format!("destination {}", destination.name);
    let result = async {
        let credentials = gather().credentials_directory;
        let password = mykeeper_config::read_password(&destination.password, credentials.as_deref())
            .map_err(|error| password_problem(&error))?;
        let private = state
            .private_dir(RunId::generate())
            .map_err(|error| error.to_string())?;
        let request = CheckRequest {
            info: rsync,
            ssh_program: &settings.tools.ssh,
            destination,
            password: password.as_ref(),
            private_dir: private.path(),
        };
        check_destination(request, tools)
            .await
            .map_err(|error| error.to_string())
    }
    .await;
    findings.record(
        what,
        result.map(|()| ((), format!("{} is reachable and writable", destination.url))),
    );
}
