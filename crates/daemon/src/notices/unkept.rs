//! What `state_dir` does not take, on a disk that is full say: kept in memory, in its order, until it does.

use super::inbox::Inbox;
use super::queue::{Delivery, Queue};
use mykeeper_domain::notice::Notice;
use std::collections::VecDeque;

/// More is not kept: who fills a disk may go on failing for long.
const MOST: usize = 1_000;
/// A sentence is kept up to so many characters.
const LONGEST: usize = 1_000;

/// What was noted.
pub(super) enum Noted {
    Notice(Notice),
    Ping(Delivery),
}

impl Noted {
    pub(super) fn notice(mut notice: Notice) -> Self {
        if let Some((end, _)) = notice.message.char_indices().nth(LONGEST) {
            notice.message.truncate(end);
        }
        Self::Notice(notice)
    }
}

/// In the order in which it was noted.
#[derive(Default)]
pub(super) struct Unkept {
    waiting: VecDeque<Noted>,
    is_told: bool,
}

impl Unkept {
    /// Writes it behind what waits. Whether it is kept at all.
    pub(super) fn add(&mut self, noted: Noted, inbox: &Inbox, queue: &Queue) -> bool {
        if self.waiting.len() >= MOST {
            self.write(inbox, queue);
        }
        if self.waiting.len() >= MOST {
            let what = match &noted {
                Noted::Notice(notice) => &notice.topic,
                Noted::Ping(ping) => &ping.to,
            };
            tracing::error!(
                what,
                "nobody is told of this: state_dir takes nothing, and too much waits for it already"
            );
            return false;
        }
        self.waiting.push_back(noted);
        self.write(inbox, queue);
        true
    }

    /// Whether nothing is left.
    pub(super) fn write(&mut self, inbox: &Inbox, queue: &Queue) -> bool {
        while let Some(first) = self.waiting.front() {
            let written = match first {
                Noted::Notice(notice) => inbox.put(notice),
                Noted::Ping(ping) => queue.write(ping),
            };
            if let Err(error) = written {
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::error!(
                        %error,
                        "what is to be told cannot be noted in state_dir: it waits in memory, and is lost if this process \
                         ends before it can be"
                    );
                }
                return false;
            }
            self.waiting.pop_front();
        }
        if std::mem::take(&mut self.is_told) {
            tracing::info!("what waited in memory is noted in state_dir");
        }
        true
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use mykeeper_domain::notice::NoticeKind;

    fn notice(topic: &str) -> Noted {
        Noted::notice(Notice {
            at: DateTime::UNIX_EPOCH,
            kind: NoticeKind::Failure,
            topic: topic.to_owned(),
            message: "标".repeat(5_000),
            run: None,
            bk_id: None,
        })
    }

    #[test]
    fn what_is_not_taken_is_kept_in_its_order_within_bounds_and_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let notify = folder.path().join("notify");
        // Nothing can be written below a file.
        std::fs::write(&notify, "").unwrap();
        let (inbox, queue) = (Inbox::new(notify.clone()), Queue::new(notify.clone()));
        let mut unkept = Unkept::default();
        for number in 0..MOST {
            assert!(unkept.add(notice(&number.to_string()), &inbox, &queue));
        }
        assert!(!unkept.add(notice("one more"), &inbox, &queue));
        std::fs::remove_file(&notify).unwrap();
        assert!(unkept.add(notice("last"), &inbox, &queue));
        assert_eq!(unkept.len(), 0);
        let taken = inbox.take().unwrap();
        let topics: Vec<_> = taken.iter().map(|one| one.topic.as_str()).collect();
        assert_eq!((topics.len(), topics[0], topics[MOST]), (MOST + 1, "0", "last"));
        assert_eq!(taken[0].message.chars().count(), LONGEST);
    }
}
