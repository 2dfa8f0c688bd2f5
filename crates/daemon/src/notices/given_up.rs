//! Of which interrupted run it was told that it is not done again: each start looks at the last run of each job, and tells once.

use super::folder;
use super::inbox::{make_folder, write_whole};
use crate::environment::Environment;
use mykeeper_domain::run::Run;
use mykeeper_domain::{JobName, RunId};
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Environment {
    /// Notes it. False where it was noted before; where that cannot be noted, people are told again rather than not at all.
    pub(crate) fn is_given_up_now(&self, run: &Run) -> bool {
        let text = std::fs::read(self.given_up()).unwrap_or_default();
        let mut told: BTreeMap<JobName, RunId> = serde_json::from_slice(&text).unwrap_or_default();
        if told.insert(run.job.clone(), run.id) == Some(run.id) {
            return false;
        }
        let settings = self.settings();
        told.retain(|job, _| settings.jobs.contains_key(job));
        let noted = make_folder(&folder(&self.state))
            .and_then(|()| Ok(serde_json::to_vec(&told)?))
            .and_then(|text| write_whole(&self.given_up(), &text, false));
        if let Err(error) = noted {
            tracing::debug!(%error, "that a run is not done again is told again at the next start");
        }
        true
    }

    fn given_up(&self) -> PathBuf {
        folder(&self.state).join("given-up.json")
    }
}
