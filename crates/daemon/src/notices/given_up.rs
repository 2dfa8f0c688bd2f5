//! Of which interrupted run it was told that it is not done again: each start looks at the last run of each job, and tells once.

use super::folder;
use super::inbox::{make_folder, write_whole};
use crate::environment::Environment;
use mykeeper_domain::run::Run;
use mykeeper_domain::{JobName, RunId};
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Environment {
    /// Whether people were told of it before.
    pub(crate) fn was_given_up(&self, run: &Run) -> bool {
        self.told_given_up().get(&run.job) == Some(&run.id)
    }

    /// Notes it, once it was told: where that is cut off, or cannot be noted, people are told again rather than not at all.
    pub(crate) fn note_given_up(&self, run: &Run) {
        let mut told = self.told_given_up();
        told.insert(run.job.clone(), run.id);
        let settings = self.settings();
        told.retain(|job, _| settings.jobs.contains_key(job));
        let noted = make_folder(&folder(&self.state))
            .and_then(|()| Ok(serde_json::to_vec(&told)?))
            .and_then(|text| write_whole(&self.given_up(), &text, false));
        if let Err(error) = noted {
            tracing::debug!(%error, "that a run is not done again is told again at the next start");
        }
    }

    fn told_given_up(&self) -> BTreeMap<JobName, RunId> {
        let text = std::fs::read(self.given_up()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn given_up(&self) -> PathBuf {
        folder(&self.state).join("given-up.json")
    }
}
