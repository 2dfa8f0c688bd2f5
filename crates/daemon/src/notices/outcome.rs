//! What has become of deliveries, for whoever looks: one record for each of those who are told.

use super::folder;
use super::inbox::{make_folder, write_whole};
use crate::state_dir::StateDir;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file for each test that was taken, by the name of who took it.
const TESTED: &str = "tested";

/// Of one channel, or one job's ping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When something was last taken.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Since when nothing is taken; `None` while all is well.
    pub failing_since: Option<DateTime<Utc>>,
    /// Why, last.
    pub error: Option<String>,
    /// How many were given up, or dropped because too many waited.
    pub lost: u64,
    /// When, last.
    pub lost_at: Option<DateTime<Utc>>,
}

impl Outcome {
    /// Gives since when nothing was.
    pub(super) fn was_taken(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.delivered_at = Some(now);
        self.error = None;
        self.failing_since.take()
    }
}

/// By name: `webhook.chat`, `ping shop-nightly`.
pub(super) type Outcomes = BTreeMap<String, Outcome>;

/// As the courier of this machine last noted them.
pub fn outcomes(state: &StateDir) -> Outcomes {
    let text = std::fs::read(folder(state).join("outcomes.json")).unwrap_or_default();
    let mut outcomes: Outcomes = serde_json::from_slice(&text).unwrap_or_default();
    for name in tested(state) {
        if let Some(outcome) = outcomes.get_mut(&name) {
            outcome.failing_since = None;
            outcome.error = None;
        }
    }
    outcomes
}

/// Notes that a person's test was taken: whoever delivers hears of it.
pub fn note_test(state: &StateDir, name: &str) -> std::io::Result<()> {
    let folder = folder(state).join(TESTED);
    make_folder(&folder)?;
    std::fs::write(folder.join(name), "")
}

/// Whose tests were taken, and nobody who delivers has heard of it.
pub(super) fn tested(state: &StateDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder(state).join(TESTED)).into_iter();
    let names = entries.flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).collect()
}

pub(super) fn heeded(state: &StateDir, name: &str) {
    if let Err(error) = std::fs::remove_file(folder(state).join(TESTED).join(name)) {
        tracing::debug!(%error, "a test that was taken is looked at again");
    }
}

pub(super) fn keep(state: &StateDir, outcomes: &Outcomes) -> std::io::Result<()> {
    write_whole(
        &folder(state).join("outcomes.json"),
        &serde_json::to_vec_pretty(outcomes)?,
        false,
    )
}
