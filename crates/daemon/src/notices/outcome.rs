//! What has become of deliveries, for whoever looks: one record for each of those who are told.

use super::folder;
use super::inbox::write_whole;
use crate::state_dir::StateDir;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// By name: `webhook.chat`, `ping shop-nightly`.
pub(super) type Outcomes = BTreeMap<String, Outcome>;

/// As the courier of this machine last noted them.
pub fn outcomes(state: &StateDir) -> Outcomes {
    let text = std::fs::read(folder(state).join("outcomes.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

pub(super) fn keep(state: &StateDir, outcomes: &Outcomes) -> std::io::Result<()> {
    write_whole(
        &folder(state).join("outcomes.json"),
        &serde_json::to_vec_pretty(outcomes)?,
        false,
    )
}
