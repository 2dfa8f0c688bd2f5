//! The files that a command goes by: `mykeeper.toml` with its schedule, or pybackup's conf.

use super::gather;
use crate::commands::pybackup::{is_pybackup_conf, settings_of_conf};
use crate::failure::Failure;
use crate::output::say;
use mykeeper_config::{ConfigErrors, Loaded, Settings};
use std::path::Path;

/// Reads both files, or pybackup's conf; every mistake is in the error.
pub(crate) fn load_settings(config: &Path) -> anyhow::Result<Loaded> {
    if is_pybackup_conf(config) {
        return settings_of_conf(config);
    }
    load_both(config).map_err(Failure::usage)
}

/// Reads both files, with what could be read of them in the error.
pub(crate) fn load_both(config: &Path) -> Result<Loaded, ConfigErrors> {
    mykeeper_config::load(config, &gather())
}

/// The same for a command that needs no schedule: mistakes in the schedule file are said, and it goes on. At the hour when a
/// restore is needed nobody looks for a typo in a job first.
pub(crate) fn settings_despite_schedule(config: &Path) -> anyhow::Result<Settings> {
    if is_pybackup_conf(config) {
        return Ok(settings_of_conf(config)?.settings);
    }
    let (settings, mistakes) = read_despite_schedule(config).map_err(Failure::usage)?;
    if let Some(mistakes) = mistakes {
        say(&mistakes.to_string());
        say(&format!(
            "{} has mistakes: this command goes on without what could not be read there; a daemon goes on by the files as they were, \
             and none starts",
            settings.schedule_file.display()
        ));
    }
    Ok(settings)
}

/// `mykeeper.toml`, what could be read of the schedule, and the mistakes in that one.
///
/// # Errors
/// All mistakes, where some are in `mykeeper.toml`.
pub(crate) fn read_despite_schedule(config: &Path) -> Result<(Settings, Option<ConfigErrors>), ConfigErrors> {
    let errors = match load_both(config) {
        Ok(loaded) => return Ok((loaded.settings, None)),
        Err(errors) => errors,
    };
    match mykeeper_config::load_despite_schedule(config, &gather()) {
        Ok(loaded) => Ok((loaded.settings, Some(errors))),
        Err(_) => Err(errors),
    }
}

/// The settings, their warnings said.
pub(crate) fn settings_said(config: &Path) -> anyhow::Result<Settings> {
    let loaded = load_settings(config)?;
    for warning in &loaded.warnings {
        say(&warning.to_string());
    }
    Ok(loaded.settings)
}
