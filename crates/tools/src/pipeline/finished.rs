//! Which files of a set are as they will stay, told while others are still written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// More are not remembered: whoever sends the whole set sends them.
const MOST_TOLD: usize = 100_000;

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedFile {
    /// Below the set's folder.
    pub path: String,
    /// As it lies there.
    pub size_bytes: u64,
}

/// The finished files, in the order in which they finished. Whoever reads keeps their own place in it: none of them holds
/// up another, nor the dump.
#[derive(Debug)]
pub struct Finished {
    told: Mutex<Told>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Told {
    files: Vec<FinishedFile>,
    /// What each has together with all before it.
    bytes: Vec<u64>,
    is_cut: bool,
}

impl Told {
    fn bytes_of(&self, first: usize) -> u64 {
        match first.checked_sub(1) {
            None => 0,
            Some(last) => self.bytes.get(last).copied().unwrap_or_else(|| self.all_bytes()),
        }
    }

    fn all_bytes(&self) -> u64 {
        self.bytes.last().copied().unwrap_or(0)
    }
}

impl Default for Finished {
    fn default() -> Self {
        Self {
            told: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Finished {
    /// Tells of one more. It may be told of twice.
    pub fn tell(&self, path: String, size_bytes: u64) {
        let mut told = self.told();
        if told.files.len() < MOST_TOLD {
            let bytes = told.all_bytes().saturating_add(size_bytes);
            told.bytes.push(bytes);
            told.files.push(FinishedFile { path, size_bytes });
            self.count.send_replace(told.files.len());
        } else {
            told.is_cut = true;
        }
    }

    /// Bytes of all that have been told of, but for the `first` so many.
    pub fn bytes_since(&self, first: usize) -> u64 {
        let told = self.told();
        told.all_bytes().saturating_sub(told.bytes_of(first))
    }

    /// Whether there were more than are remembered.
    pub fn is_cut(&self) -> bool {
        self.told().is_cut
    }

    /// How many have been told of, now and from now on.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Those from the one with the number `first` on, as long as they have no more than `most_bytes` together, and one at
    /// least.
    pub fn since(&self, first: usize, most_bytes: u64) -> Vec<FinishedFile> {
        let mut bytes = 0_u64;
        self.told()
            .files
            .iter()
            .skip(first)
            .take_while(|file| {
                let is_first = bytes == 0;
                bytes = bytes.saturating_add(file.size_bytes.max(1));
                is_first || bytes <= most_bytes
            })
            .cloned()
            .collect()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_takes_them_in_their_order_and_by_size() {
        let finished = Finished::default();
        let count = finished.count();
        for (path, size_bytes) in [("a", 60), ("b", 50), ("c", 0), ("d", 900)] {
            finished.tell(path.to_owned(), size_bytes);
        }
        assert_eq!(*count.borrow(), 4);
        assert_eq!(
            [0, 1, 3, 4, 9].map(|first| finished.bytes_since(first)),
            [1010, 950, 900, 0, 0]
        );
        let names = |first, most_bytes| {
            let files = finished.since(first, most_bytes);
            files.iter().map(|file| file.path.clone()).collect::<String>()
        };
        assert_eq!(names(0, 100), "a");
        assert_eq!(names(0, 111), "abc");
        assert_eq!(names(3, 100), "d", "one at least");
        assert_eq!(names(4, 100), "");
    }
}
