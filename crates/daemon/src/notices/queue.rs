//! What waits to be delivered: one file each in `state_dir/notify/queue`, in the order of their names.

use super::folder;
use super::inbox::{make_folder, write_whole};
use crate::state_dir::StateDir;
use chrono::{DateTime, SecondsFormat, Utc};
use mykeeper_domain::JobName;
use mykeeper_domain::notice::Message;
use mykeeper_notify::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
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
    /// Whether whoever is told has refused it for good: others go before it.
    #[serde(default)]
    pub is_refused: bool,
    /// Of several addresses those that have it.
    #[serde(default)]
    pub reached: Vec<String>,
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
            is_refused: false,
            reached: Vec::new(),
        }
    }

    /// What a job's URL is to be told, with the time: it may be told late.
    pub(super) fn of_ping(job: &JobName, (signal, said): (Signal, &str), now: DateTime<Utc>) -> Self {
        let said: String = said.chars().take(LONGEST_SAID).collect();
        let at = now.to_rfc3339_opts(SecondsFormat::Secs, true);
        let parcel = Parcel::Ping {
            job: job.clone(),
            signal,
            said: format!("{at} {said}").trim_end().to_owned(),
        };
        Self::new(ping_name(job), parcel, now)
    }
}

/// What is called in the records for a job's ping.
pub(super) fn ping_name(job: &JobName) -> String {
    format!("ping {job}")
}

/// The folder.
pub(super) struct Queue {
    folder: PathBuf,
    /// What could not be read of late, which is said once.
    unread: Mutex<BTreeSet<Uuid>>,
}

impl Queue {
    pub(super) fn new(notify: PathBuf) -> Self {
        Self {
            folder: notify.join("queue"),
            unread: Mutex::default(),
        }
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
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter()
            .filter_map(|id| {
                let file = self.file(id);
                match read(&file) {
                    Ok(Some(delivery)) => {
                        unread.remove(&id);
                        return Some(delivery);
                    }
                    Ok(None) => {
                        tracing::warn!(file = %file.display(), "this is no delivery of mykeeper's, and is removed");
                        drop(self.remove(id));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    // It may be read a moment later.
                    Err(error) => {
                        if unread.insert(id) {
                            tracing::warn!(file = %file.display(), %error, "a delivery waits until it can be read");
                        }
                    }
                }
                None
            })
            .collect()
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// `None` of what no delivery is.
fn read(path: &Path) -> io::Result<Option<Delivery>> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    match text.len() as u64 > MAX_BYTES {
        true => Ok(None),
        false => Ok(serde_json::from_slice(&text).ok()),
    }
}

/// When one of those who are told is tried next, of what [`waiting`] gives; `None` where nothing waits for it. What was
/// refused waits behind all else.
pub fn next_try(to: &str, waiting: &[Delivery]) -> Option<DateTime<Utc>> {
    let mut own = waiting.iter().filter(|delivery| delivery.to == to);
    let first = own.clone().find(|delivery| !delivery.is_refused);
    let at = |delivery: &Delivery| delivery.next_at;
    first.map(at).or_else(|| own.by_ref().map(at).min())
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
        .filter_map(|entry| read(&entry.path()).ok().flatten())
        .collect();
    found.sort_by_key(|delivery| delivery.id);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_for_a_moment_stays_and_what_is_no_delivery_goes() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::new(folder.path().to_owned());
        let job = JobName::new("shop").unwrap();
        let delivery = Delivery::of_ping(&job, (Signal::Fail, "why"), DateTime::UNIX_EPOCH);
        queue.write(&delivery).unwrap();
        let strange = queue.file(Uuid::now_v7());
        std::fs::write(&strange, "{}").unwrap();
        // Nothing that lies there can be read: a folder in the place of the file, to whoever runs this.
        let (file, aside) = (queue.file(delivery.id), folder.path().join("aside"));
        std::fs::rename(&file, &aside).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert_eq!(queue.others(&BTreeSet::new()), []);
        assert!(file.exists(), "what was not read is gone");
        assert!(!strange.exists());
        std::fs::remove_dir(&file).unwrap();
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(queue.others(&BTreeSet::new()), [delivery]);
    }
}
