//! When notices become messages: those that come close together are one, and the more come the longer that takes.

use std::time::Duration;
use tokio::time::Instant;

/// However many come, people are told of them this often.
const LONGEST: Duration = Duration::from_secs(600);
/// What nobody knows of yet is told of within so long, however much else comes.
pub(super) const NEWS: Duration = Duration::from_secs(60);
/// After so many windows without anything the next one is short again.
const QUIET: u32 = 4;

/// The window that is open.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    closes_at: Option<Instant>,
    last: Option<(Instant, Duration)>,
}

impl Gathering {
    /// There is something to gather: when it is to be taken. The first opens the window.
    pub(super) fn open(&mut self, shortest: Duration, now: Instant) -> Instant {
        *self.closes_at.get_or_insert_with(|| {
            let length = match self.last {
                Some((closed_at, length)) if now < closed_at + length * QUIET => {
                    (length * 2).clamp(shortest, LONGEST.max(shortest))
                }
                _ => shortest,
            };
            self.last = Some((now + length, length));
            now + length
        })
    }

    /// There is something of which nobody knows: it does not wait for as long as more of the same may. When it is taken now.
    pub(super) fn hurry(&mut self, shortest: Duration, now: Instant) -> Option<Instant> {
        let closes_at = self.closes_at?;
        let sooner = closes_at.min(now + NEWS.max(shortest));
        self.closes_at = Some(sooner);
        Some(sooner)
    }

    /// It was taken.
    pub(super) fn close(&mut self) {
        self.closes_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_of_waits_no_longer_than_a_minute_among_a_stream_of_failures() {
        let began = Instant::now();
        let shortest = Duration::from_secs(10);
        let mut gathering = Gathering::default();
        assert_eq!(gathering.hurry(shortest, began), None);
        let mut now = began;
        for _ in 0..10 {
            now = gathering.open(shortest, now);
            gathering.close();
        }
        let goes_at = gathering.open(shortest, now);
        assert_eq!(goes_at, now + LONGEST);
        now += Duration::from_secs(5);
        assert_eq!(gathering.hurry(shortest, now), Some(now + NEWS));
        let later = now + Duration::from_secs(30);
        assert_eq!(
            gathering.hurry(shortest, later),
            Some(now + NEWS),
            "the first waits no longer"
        );
        // Who wants to be told that rarely is not told sooner.
        let rarely = Duration::from_secs(300);
        let mut gathering = Gathering::default();
        let goes_at = gathering.open(rarely, began);
        assert_eq!(gathering.hurry(rarely, began), Some(goes_at));
    }

    #[test]
    fn a_stream_of_failures_is_told_ever_more_rarely_and_a_single_one_soon() {
        let began = Instant::now();
        let shortest = Duration::from_secs(10);
        let mut gathering = Gathering::default();
        let mut told = Vec::new();
        // One a second for an hour.
        for second in 0..3600 {
            let now = began + Duration::from_secs(second);
            if gathering.open(shortest, now) <= now {
                gathering.close();
                told.push(second);
            }
        }
        assert_eq!(told[0], 10);
        assert!(told.len() < 14, "{told:?}");
        let later = began + Duration::from_secs(3 * 3600);
        assert_eq!(
            gathering.open(shortest, later),
            later.min(gathering.open(shortest, later))
        );
        gathering.close();
        let much_later = later + Duration::from_secs(3600);
        assert_eq!(gathering.open(shortest, much_later), much_later + shortest);
    }
}
