//! What was noted and is in no message yet, and when it will be: written down for whoever looks.

use super::folder;
use super::inbox::{Inbox, write_whole};
use crate::state_dir::StateDir;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::path::PathBuf;

/// Notices that wait until messages are made of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gathered {
    /// How many.
    pub count: usize,
    /// When the oldest was noted.
    pub since: DateTime<Utc>,
    /// When messages are made of them; `None` where nobody has begun to gather them.
    pub goes_at: Option<DateTime<Utc>>,
}

/// `None` where none waits.
pub fn gathered(state: &StateDir) -> Option<Gathered> {
    let waiting = Inbox::new(folder(state)).waiting();
    let since = waiting.iter().map(|notice| notice.at).min()?;
    let goes_at = std::fs::read(file(state)).unwrap_or_default();
    Some(Gathered {
        count: waiting.len(),
        since,
        goes_at: serde_json::from_slice(&goes_at).unwrap_or_default(),
    })
}

/// Writes down when what waits goes; `None` once it has gone.
pub(super) fn note(state: &StateDir, goes_at: Option<DateTime<Utc>>) {
    let noted = match goes_at {
        Some(at) => serde_json::to_vec(&at)
            .map_err(std::io::Error::from)
            .and_then(|text| write_whole(&file(state), &text, false)),
        None => std::fs::remove_file(file(state)),
    };
    if let Err(error) = noted.or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }) {
        tracing::debug!(%error, "when messages are made is not noted");
    }
}

fn file(state: &StateDir) -> PathBuf {
    folder(state).join("gathering.json")
}
