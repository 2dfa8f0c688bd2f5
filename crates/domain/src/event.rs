//! Something that somebody may want to be told: it happened once, and is recorded once.

use crate::ids::NodeName;
use crate::run::words;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

words! {
    /// What happened.
    EventKind {
        /// A server has had no proven set for longer than its `proven_within`; `detail` is a
        /// [`crate::promise::Standing`].
        PromiseBroken = "promise-broken",
        /// It has one again; `detail` as before.
        PromiseKept = "promise-kept",
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Identity: the same event written twice is one.
    pub id: Uuid,
    /// When it was noticed.
    pub at: DateTime<Utc>,
    /// By which machine.
    pub node: NodeName,
    /// See [`EventKind`].
    pub kind: EventKind,
    /// What it is about: of a promise the server's tag.
    pub subject: String,
    /// One sentence for people.
    pub message: String,
    /// For programs, by kind.
    pub detail: serde_json::Value,
}
