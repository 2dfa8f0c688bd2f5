//! One file per command.

pub(crate) mod backups;
pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod config;
mod crontab;
pub(crate) mod daemon;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod jobs;
mod lost;
pub(crate) mod man;
pub(crate) mod mark_deleted;
mod new_files;
mod nodes;
pub(crate) mod notify;
pub(crate) mod paths;
pub(crate) mod proof;
pub(crate) mod pybackup;
pub(crate) mod reload;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod run;
pub(crate) mod run_log;
pub(crate) mod runs;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod transfer;
pub(crate) mod validate;
pub(crate) mod verify;
pub(crate) mod wanted_set;

use crate::failure::Failure;
use mykeeper_config::Settings;
use mykeeper_config::nearest;
use mykeeper_domain::job::Job;
use mykeeper_domain::{BackupId, JobName};
use std::sync::Arc;

/// A set's identity as typed.
fn parse_bk_id(text: &str) -> anyhow::Result<BackupId> {
    text.trim().parse().map_err(|_| {
        Failure::usage(format!(
            "{text:?} is no bk_id; a bk_id is a UUID, as \"mykeeper backups\" shows it"
        ))
    })
}

/// A job by the name typed, or the nearest one.
fn find_job(settings: &Settings, name: &str) -> anyhow::Result<Arc<Job>> {
    let found = JobName::new(name)
        .ok()
        .and_then(|name| settings.jobs.get(&name).cloned());
    found.ok_or_else(|| {
        let hint = match nearest(name, settings.jobs.keys().map(JobName::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if settings.jobs.is_empty() => "the schedule has no jobs".to_owned(),
            None => "\"mykeeper jobs\" lists them".to_owned(),
        };
        Failure::usage(format!(
            "there is no job {name:?} in {}; {hint}",
            settings.schedule_file.display()
        ))
    })
}
