//! Both files in one go.

use crate::document::Document;
use crate::keeper::{self, Keeper};
use crate::mistake::{ConfigErrors, Mistake, Severity};
use crate::schedule;
use crate::settings::{Settings, Surroundings};
use mykeeper_domain::JobName;
use mykeeper_domain::job::Job;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What two sound files yield.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Everything that they say, defaults filled in.
    pub settings: Settings,
    /// What is worth a look.
    pub warnings: Vec<Mistake>,
}

/// Reads `mykeeper.toml` and the schedule file that it names.
///
/// # Errors
/// Every mistake of both files, with the warnings among them. Nothing but the two files is looked at: password
/// files and programs are tried by those who use them.
pub fn load(keeper_file: &Path, surroundings: &Surroundings) -> Result<Loaded, ConfigErrors> {
    let file = std::path::absolute(keeper_file)
        .map_err(|error| ConfigErrors::of_file(keeper_file, error.to_string(), None))?;
    let document = Document::open(&file)?;
    let mut keeper = {
        let tree = document.parse();
        keeper::read(&document, &tree, surroundings)
    };
    let mut found = document.into_found();
    let jobs = match Document::open(&keeper.schedule_file) {
        Ok(document) => {
            let (jobs, pings) = {
                let tree = document.parse();
                schedule::read(&document, &tree, &keeper)
            };
            keeper.notify.pings = pings;
            found.extend(document.into_found());
            jobs
        }
        Err(errors) => {
            found.extend(errors.mistakes);
            BTreeMap::new()
        }
    };
    if found.iter().any(|mistake| mistake.severity == Severity::Error) {
        return Err(ConfigErrors {
            mistakes: found,
            state_dir: keeper.state_dir,
        });
    }
    match assemble(file.clone(), keeper, jobs) {
        Some(settings) => Ok(Loaded {
            settings,
            warnings: found,
        }),
        None => Err(ConfigErrors::of_file(
            &file,
            "this file could not be read completely".to_owned(),
            None,
        )),
    }
}

fn assemble(keeper_file: PathBuf, keeper: Keeper, jobs: BTreeMap<JobName, Arc<Job>>) -> Option<Settings> {
    Some(Settings {
        keeper_file,
        schedule_file: keeper.schedule_file,
        node: keeper.node?,
        state_dir: keeper.state_dir?,
        catalog: keeper.catalog?,
        servers: keeper.servers,
        destinations: keeper.destinations,
        sandbox: keeper.sandbox,
        tools: keeper.tools,
        daemon: keeper.daemon,
        limits: keeper.limits,
        logs: keeper.logs,
        notify: keeper.notify,
        jobs,
    })
}
