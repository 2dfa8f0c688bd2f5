//! What people are told: noted by whoever notices it, gathered into messages, delivered beside all work.
//!
//! Everything that waits lies in `state_dir/notify`, not in the catalog: the catalog may be what is in trouble, and a
//! message is delivered by the machine that noticed it. Noting is an append to a file under a lock that is held for no
//! longer; nobody waits for a delivery.

mod courier;
mod duty;
mod ended;
mod gathered;
mod gathering;
mod given_up;
mod inbox;
mod lane;
mod outcome;
mod queue;
mod reason;
mod trouble;
mod unkept;
mod untaken;

pub(crate) use courier::is_told;
pub use courier::secrets_of;
pub use duty::{accompany, attend, on_duty};
pub(crate) use ended::EndedRun;
pub use gathered::{Gathered, gathered};
pub use outcome::{Outcome, note_test, outcomes};
pub use queue::{Delivery, Parcel, next_try, waiting};
pub use trouble::{Trouble, troubles};

use crate::environment::Environment;
use crate::jobs::password_problem;
use crate::state_dir::StateDir;
pub(crate) use trouble::RESTORE_TIME_OF;

use inbox::Inbox;
use mykeeper_domain::JobName;
use mykeeper_domain::notice::{Notice, NoticeKind};
use mykeeper_notify::Signal;
use queue::Queue;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use unkept::{Noted, Unkept};

/// Where all of it lies.
pub(crate) fn folder(state: &StateDir) -> PathBuf {
    state.root().join("notify")
}

/// The way in for notices.
pub struct Notices {
    inbox: Inbox,
    queue: Queue,
    /// What is in trouble, as far as this process knows: only its end is told.
    in_trouble: Mutex<Option<BTreeSet<String>>>,
    /// What state_dir has not taken yet.
    unkept: Mutex<Unkept>,
    state: StateDir,
    /// Wakes whoever delivers.
    woken: tokio::sync::Notify,
}

impl Notices {
    /// Makes nothing yet.
    pub(crate) fn new(state: &StateDir) -> Self {
        Self {
            inbox: Inbox::new(folder(state)),
            queue: Queue::new(folder(state)),
            in_trouble: Mutex::default(),
            unkept: Mutex::default(),
            state: state.clone(),
            woken: tokio::sync::Notify::new(),
        }
    }

    /// Notes it: in state_dir, or in memory until state_dir takes it. Never fails, and waits for nobody.
    fn note(&self, noted: Noted) {
        let (topic, kind) = match &noted {
            Noted::Notice(notice) => (Some(notice.topic.clone()), notice.kind),
            Noted::Ping(_) => (None, NoticeKind::Test),
        };
        let is_kept = self.with_unkept(|unkept| unkept.add(noted, &self.inbox, &self.queue));
        // What is not kept is noticed again: nobody knows of it.
        if let Some(topic) = topic.filter(|_| is_kept) {
            match kind {
                NoticeKind::Test => {}
                NoticeKind::Recovery => {
                    self.with_troubles(|known| known.remove(&topic));
                }
                _ => {
                    self.with_troubles(|known| known.insert(topic));
                }
            }
        }
        self.woken.notify_one();
    }

    /// Tries again what state_dir has not taken. Whether it has taken all of it.
    fn catch_up(&self) -> bool {
        self.with_unkept(|unkept| unkept.write(&self.inbox, &self.queue))
    }

    /// What other processes have told of.
    fn learn<'a>(&self, topics: impl Iterator<Item = &'a String>) {
        self.with_troubles(|known| known.extend(topics.cloned()));
    }

    fn is_in_trouble(&self, topic: &str) -> bool {
        self.with_troubles(|known| known.contains(topic))
    }

    fn with_unkept<T>(&self, act: impl FnOnce(&mut Unkept) -> T) -> T {
        act(&mut self.unkept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_troubles<T>(&self, act: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        let mut known = self.in_trouble.lock().unwrap_or_else(PoisonError::into_inner);
        act(known.get_or_insert_with(|| self.known_troubles()))
    }

    /// What people were told of, and are about to be.
    fn known_troubles(&self) -> BTreeSet<String> {
        let mut known: BTreeSet<String> = troubles(&self.state).into_keys().collect();
        for notice in self.inbox.waiting() {
            match notice.kind {
                NoticeKind::Test => {}
                NoticeKind::Recovery => {
                    known.remove(&notice.topic);
                }
                _ => {
                    known.insert(notice.topic);
                }
            }
        }
        known
    }
}

/// The topic of a job's runs.
pub(crate) fn job_topic(job: &JobName) -> String {
    format!("job {job}")
}

/// The topic of its slots.
pub(crate) fn slots_topic(job: &JobName) -> String {
    format!("slots of job {job}")
}

impl Environment {
    /// Tells people, where any are to be told. Never fails, and waits for nobody.
    pub(crate) fn tell(&self, kind: NoticeKind, topic: impl Into<String>, message: impl Into<String>) {
        self.tell_notice(Notice {
            at: self.clock.now(),
            kind,
            topic: topic.into(),
            message: message.into(),
            run: None,
            bk_id: None,
        });
    }

    pub(crate) fn tell_notice(&self, notice: Notice) {
        if !self.settings().notify.channels.is_empty() {
            self.notices.note(Noted::notice(notice));
        }
    }

    /// Tells people of what lasts, unless they know.
    pub(crate) fn tell_once(&self, kind: NoticeKind, topic: &str, message: &str) {
        if !self.notices.is_in_trouble(topic) {
            self.tell(kind, topic, message);
        }
    }

    /// Tells that a trouble is over, where it was told of.
    pub(crate) fn tell_over(&self, topic: &str, message: impl Into<String>) {
        if self.notices.is_in_trouble(topic) {
            self.tell(NoticeKind::Recovery, topic, message);
        }
    }

    fn ping(&self, job: &JobName, signal: Signal, said: &str) {
        if !self.settings().notify.pings.contains_key(job) {
            return;
        }
        let ping = Delivery::of_ping(job, (signal, said), self.clock.now());
        self.notices.note(Noted::Ping(ping));
    }

    /// What reads the secrets of those who are told.
    fn secrets(&self) -> mykeeper_notify::Secrets {
        secrets_of(self.credentials_directory.clone())
    }
}

fn read_secret(
    source: &mykeeper_domain::server::PasswordSource,
    credentials: Option<&std::path::Path>,
) -> Result<Option<secrecy::SecretString>, String> {
    mykeeper_config::read_password(source, credentials).map_err(|error| password_problem(&error))
}
