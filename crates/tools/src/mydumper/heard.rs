//! What a mydumper has said of its connections and its lock, shared by who reads its lines and who watches its server.

use super::lock::LockClock;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Thread numbers kept.
const MAX_THREADS: usize = 4_096;
const THREAD: &str = "connected using MySQL connection ID ";

/// What mydumper says of its connections and its lock.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) lock: LockClock,
    pub(super) is_connected: bool,
    /// Of its connections, those that dump.
    pub(super) threads: BTreeSet<u64>,
    /// The longest wait that the server's list has shown, of a mydumper that does not say.
    pub(super) listed_wait: Option<Duration>,
}

impl Heard {
    /// `classic`: before 0.11.
    pub(super) fn new(classic: bool) -> Mutex<Self> {
        Mutex::new(Self {
            lock: LockClock::new(classic),
            is_connected: false,
            threads: BTreeSet::new(),
            listed_wait: None,
        })
    }

    /// Takes one line.
    pub(super) fn hear(&mut self, line: &str, now: Instant) {
        self.lock.hear(line, now);
        self.is_connected |= line.contains(": Connected to ");
        let thread = line
            .split_once(THREAD)
            .and_then(|(_, number)| number.trim().parse::<u64>().ok());
        if let Some(thread) = thread.filter(|_| self.threads.len() < MAX_THREADS) {
            self.threads.insert(thread);
        }
    }

    /// How long it waited for its lock, and how long it held it, as far as that is known.
    pub(super) fn lock_times(&self) -> (Option<Duration>, Option<Duration>) {
        (self.lock.waited().or(self.listed_wait), self.lock.held())
    }
}

/// Locks, also when someone has panicked meanwhile: what is in it is whole at any time.
pub(super) fn locked(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_its_threads_are_heard_from_every_version() {
        let heard = Heard::new(true);
        for line in [
            "** Message: 21:18:05.816: Connected to a MySQL server",
            "** Message: 21:17:25.409: Thread 1 connected using MySQL connection ID 6",
            "** Message: 21:17:25.409: Thread 2: connected using MySQL connection ID 17\n",
            "** Message: 21:17:25.409: Thread 3 connected using MySQL connection ID x",
        ] {
            locked(&heard).hear(line, Instant::now());
        }
        assert_eq!(locked(&heard).threads, BTreeSet::from([6, 17]));
        assert!(locked(&heard).is_connected);
    }
}
