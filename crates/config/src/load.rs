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

/// What stands in both files, as far as it could be read.
struct Read {
    file: PathBuf,
    keeper: Keeper,
    of_keeper: Vec<Mistake>,
    jobs: BTreeMap<JobName, Arc<Job>>,
    of_schedule: Vec<Mistake>,
}

/// Reads `mykeeper.toml` and the schedule file that it names.
///
/// # Errors
/// Every mistake of both files, with the warnings among them. Nothing but the two files is looked at: password
/// files and programs are tried by those who use them.
pub fn load(keeper_file: &Path, surroundings: &Surroundings) -> Result<Loaded, ConfigErrors> {
    let read = read(keeper_file, surroundings)?;
    if has_error(&read.of_keeper) || has_error(&read.of_schedule) {
        return Err(read.into_errors());
    }
    read.into_loaded()
}

/// The same for who needs no schedule: mistakes of the schedule file are among the warnings, and of its jobs those are there that
/// could be read.
///
/// # Errors
/// Every mistake of `mykeeper.toml`, and beside these those of the schedule file.
pub fn load_despite_schedule(
    keeper_file: &Path,
    surroundings: &Surroundings,
) -> Result<Loaded, ConfigErrors> {
    let read = read(keeper_file, surroundings)?;
    if has_error(&read.of_keeper) {
        return Err(read.into_errors());
    }
    read.into_loaded()
}

fn has_error(found: &[Mistake]) -> bool {
    found.iter().any(|mistake| mistake.severity == Severity::Error)
}

fn read(keeper_file: &Path, surroundings: &Surroundings) -> Result<Read, ConfigErrors> {
    let file = std::path::absolute(keeper_file)
        .map_err(|error| ConfigErrors::of_file(keeper_file, error.to_string(), None))?;
    let document = Document::open(&file)?;
    let mut keeper = {
        let tree = document.parse();
        keeper::read(&document, &tree, surroundings)
    };
    let of_keeper = document.into_found();
    let (jobs, of_schedule) = match Document::open(&keeper.schedule_file) {
        Ok(document) => {
            let (jobs, pings) = {
                let tree = document.parse();
                schedule::read(&document, &tree, &keeper)
            };
            keeper.notify.pings = pings;
            (jobs, document.into_found())
        }
        Err(errors) => (BTreeMap::new(), errors.mistakes),
    };
    Ok(Read {
        file,
        keeper,
        of_keeper,
        jobs,
        of_schedule,
    })
}

impl Read {
    fn found(of_keeper: Vec<Mistake>, of_schedule: Vec<Mistake>) -> Vec<Mistake> {
        of_keeper.into_iter().chain(of_schedule).collect()
    }

    fn into_errors(self) -> ConfigErrors {
        ConfigErrors {
            mistakes: Self::found(self.of_keeper, self.of_schedule),
            state_dir: self.keeper.state_dir,
        }
    }

    fn into_loaded(self) -> Result<Loaded, ConfigErrors> {
        match assemble(self.file.clone(), self.keeper, self.jobs) {
            Some(settings) => Ok(Loaded {
                settings,
                warnings: Self::found(self.of_keeper, self.of_schedule),
            }),
            None => Err(ConfigErrors::of_file(
                &self.file,
                "this file could not be read completely".to_owned(),
                None,
            )),
        }
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
