//! What waits to be delivered: one file each in `state_dir/notify/queue`, in the order of their names.

use super::folder;
use super::inbox::{make_folder, write_whole};
use crate::state_dir::StateDir;
use chrono::{DateTime, Utc};
use mykeeper_domain::JobName;
use mykeeper_domain::notice::Message;
use mykeeper_notify::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A reason is sent along up to so many characters.
const LONGEST_SAID: usize = 2_000;
/// No file of ours is larger.
const MAX_BYTES: u64 = 1 << 20;

/// What is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parcel {
    /// To a channel.
    Message(Message),
    /// To a job's URL.
    Ping {
        /// The job.
        job: JobName,
        /// What is said of its run.
        signal: Signal,
        /// In words.
        said: String,
    },
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// In the order of time.
    pub id: Uuid,
    /// To whom: `webhook.chat`, `ping shop-nightly`.
    pub to: String,
    /// What.
    pub parcel: Parcel,
    /// Since when it waits.
    pub created_at: DateTime<Utc>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: DateTime<Utc>,
    /// Why it was not taken, last.
    pub error: Option<String>,
}

impl Delivery {
    pub(super) fn new(to: String, parcel: Parcel, now: DateTime<Utc>) -> Self {
        Self {
            id: Uuid::now_v7(),
            to,
            parcel,
            created_at: now,
            attempts: 0,
            next_at: now,
            error: None,
        }
    }
}

/// What is called in the records for a job's ping.
pub(super) fn ping_name(job: &JobName) -> String {
    format!("ping {job}")
}

/// The folder.
pub(super) struct Queue {
    folder: PathBuf,
}

impl Queue {
    pub(super) fn new(notify: PathBuf) -> Self {
        Self {
            folder: notify.join("queue"),
        }
    }

    pub(super) fn add_ping(
        &self,
        job: &JobName,
        (signal, said): (Signal, &str),
        now: DateTime<Utc>,
    ) -> io::Result<()> {
        let parcel = Parcel::Ping {
            job: job.clone(),
            signal,
            said: said.chars().take(LONGEST_SAID).collect(),
        };
        make_folder(&self.folder)?;
        self.write(&Delivery::new(ping_name(job), parcel, now))
    }

    /// Writes it, or what has become of it.
    pub(super) fn write(&self, delivery: &Delivery) -> io::Result<()> {
        make_folder(&self.folder)?;
        let is_synced = matches!(delivery.parcel, Parcel::Message(_)) && delivery.attempts == 0;
        write_whole(&self.file(delivery.id), &serde_json::to_vec(delivery)?, is_synced)
    }

    pub(super) fn remove(&self, id: Uuid) -> io::Result<()> {
        match std::fs::remove_file(self.file(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Those that are not known yet, oldest first.
    pub(super) fn others(&self, known: &BTreeSet<Uuid>) -> Vec<Delivery> {
        let mut ids: Vec<Uuid> = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_suffix(".json")?.parse().ok()
            })
            .filter(|id| !known.contains(id))
            .collect();
        ids.sort();
        ids.into_iter()
            .filter_map(|id| {
                let read = self.read(&self.file(id));
                if read.is_none() {
                    tracing::warn!(file = %self.file(id).display(), "this is no delivery of mykeeper's, and is removed");
                    drop(self.remove(id));
                }
                read
            })
            .collect()
    }

    fn read(&self, path: &Path) -> Option<Delivery> {
        if std::fs::metadata(path).ok()?.len() > MAX_BYTES {
            return None;
        }
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// Everything that waits on this machine, oldest first; what is not readable is left out.
pub fn waiting(state: &StateDir) -> Vec<Delivery> {
    let queue = Queue::new(folder(state));
    let mut found: Vec<Delivery> = std::fs::read_dir(&queue.folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "json")
        })
        .filter_map(|entry| queue.read(&entry.path()))
        .collect();
    found.sort_by_key(|delivery| delivery.id);
    found
}
