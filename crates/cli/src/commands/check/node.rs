//! What lives and waits on this machine: the daemon, and the journal.

use super::{Findings, Grade};
use crate::commands::jobs::no_daemon;
use crate::output::{describe_backlog, when};
use crate::surroundings::local_zone;
use mykeeper_catalog::{is_shared, journal_backlog};
use mykeeper_config::Settings;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::status::DaemonStatus;

/// Whether anything fires. Where no daemon has ever run, none is missed yet.
pub(super) fn look_for_daemon(settings: &Settings, state: &StateDir, findings: &mut Findings) {
    match DaemonStatus::read(state) {
        Some(daemon) => {
            let since = when(daemon.started_at, local_zone());
            findings.add(
                "daemon",
                Grade::Ok,
                format!("pid {} runs since {since}", daemon.pid),
            );
        }
        None if state.daemon_lives() => findings.add("daemon", Grade::Note, no_daemon(settings)),
        None if state.status_file().exists() || state.daemon_was_killed() => {
            findings.add("daemon", Grade::Warning, no_daemon(settings));
        }
        None if state.daemon_stopped_at().is_some() => {
            let stopped_at = state.daemon_stopped_at().map(|at| when(at, local_zone()));
            let detail = format!(
                "{}; the last one stopped at {}",
                no_daemon(settings),
                stopped_at.unwrap_or_default()
            );
            findings.add("daemon", Grade::Warning, detail);
        }
        None => {
            let detail = format!(
                "none has run on {} yet: the jobs begin to fire once \"mykeeper daemon\" does",
                settings.state_dir.display()
            );
            findings.add("daemon", Grade::Ok, detail);
        }
    }
}

/// What waits on this machine for a catalog that was away.
pub(super) async fn look_into_journal(settings: &Settings, findings: &mut Findings) {
    if !is_shared(&settings.catalog.url) {
        return;
    }
    match journal_backlog(&settings.state_dir).await {
        Err(error) => findings.add("journal", Grade::Failed, error.to_string()),
        Ok(backlog) => {
            let grade = if backlog.refused > 0 {
                Grade::Failed
            } else if backlog.waiting > 0 {
                Grade::Warning
            } else {
                Grade::Ok
            };
            findings.add("journal", grade, describe_backlog(&backlog, local_zone()));
        }
    }
}
