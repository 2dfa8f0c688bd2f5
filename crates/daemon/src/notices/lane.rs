//! Those who wait for one of those who are told, and whose turn it is.

use super::queue::{Delivery, Parcel};
use chrono::{DateTime, Utc};
use mykeeper_domain::notice::{Notice, NoticeKind};
use std::collections::VecDeque;
use std::time::Duration;

/// The wait after the first failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// In the order in which they came, but for those that are refused.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) waiting: VecDeque<Delivery>,
    /// The attempt to deliver the first of them.
    pub(super) under_way: Option<tokio::task::Id>,
    /// When one that was refused is tried again: all of them together as often as one would be.
    refused_until: Option<DateTime<Utc>>,
}

impl Lane {
    /// Whose turn it is, which is first from now on. Where nothing is taken, nothing goes before the first; what was
    /// refused for good, for its size say, waits behind all else.
    pub(super) fn turn(&mut self, now: DateTime<Utc>) -> Option<&Delivery> {
        if self.under_way.is_some() {
            return None;
        }
        let at = match self.untried_first() {
            Some(at) => is_due(self.waiting.get(at)?.next_at, now).then_some(at),
            None => self
                .refused_until
                .is_none_or(|until| is_due(until, now))
                .then_some(0),
        }?;
        let delivery = self.waiting.remove(at)?;
        self.waiting.push_front(delivery);
        self.waiting.front()
    }

    /// Whether whoever is told was tried with all that can be delivered now.
    pub(super) fn is_tried(&self) -> bool {
        let first = self.untried_first().and_then(|at| self.waiting.get(at));
        first.is_none_or(|delivery| delivery.attempts > 0)
    }

    fn untried_first(&self) -> Option<usize> {
        self.waiting.iter().position(|delivery| !delivery.is_refused)
    }

    /// It was not taken. `is_permanent`: by its answer it never will be as it is.
    pub(super) fn put_back(&mut self, mut delivery: Delivery, is_permanent: bool, now: DateTime<Utc>) {
        delivery.next_at = now + wait_after(delivery.attempts);
        // The signals of a job's runs count in their order alone.
        if is_permanent && matches!(delivery.parcel, Parcel::Message(_)) {
            delivery.is_refused = true;
        }
        if delivery.is_refused {
            self.refused_until = Some(delivery.next_at);
        }
        match delivery.is_refused {
            true => self.waiting.push_back(delivery),
            false => self.waiting.push_front(delivery),
        }
    }

    /// Something was taken: what was refused may be now.
    pub(super) fn is_open(&mut self) {
        self.refused_until = None;
    }

    /// What was refused, and of which all is over by what was taken just now: told after it, it would be taken for news.
    pub(super) fn outdated_by(&mut self, taken: &Delivery) -> Vec<Delivery> {
        let Parcel::Message(taken) = &taken.parcel else {
            return Vec::new();
        };
        let is_over = |event: &Notice| {
            taken
                .events
                .iter()
                .any(|end| end.kind == NoticeKind::Recovery && end.topic == event.topic && end.at >= event.at)
        };
        let is_outdated = |delivery: &Delivery| match &delivery.parcel {
            Parcel::Message(message) => {
                delivery.is_refused
                    && message.count == message.events.len() as u64
                    && message.events.iter().all(is_over)
            }
            Parcel::Ping { .. } => false,
        };
        let (outdated, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(is_outdated);
        self.waiting = waiting;
        Vec::from_iter::<VecDeque<Delivery>>(outdated)
    }

    /// Takes out the oldest beyond `most`, but not what is under way.
    pub(super) fn drop_oldest(&mut self, most: usize) -> Option<Delivery> {
        let first = usize::from(self.under_way.is_some());
        if self.waiting.len() <= most.max(first) {
            return None;
        }
        let ids = self.waiting.iter().enumerate().skip(first);
        let (oldest, _) = ids.min_by_key(|(_, delivery)| delivery.id)?;
        self.waiting.remove(oldest)
    }
}

/// A clock that has stepped back makes nobody wait longer than the longest wait.
fn is_due(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at <= now || at > now + LONGEST_WAIT * 2
}

/// Doubles with each attempt.
fn wait_after(attempts: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::notice::Message;
    use mykeeper_domain::{JobName, NodeName};
    use mykeeper_notify::Signal;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds)
    }

    fn message(topic: &str) -> Delivery {
        let notice = Notice {
            at: at(0),
            kind: NoticeKind::Failure,
            topic: topic.to_owned(),
            message: "m".to_owned(),
            run: None,
            bk_id: None,
        };
        let message = Message::of(&NodeName::new("db1").unwrap(), at(0), vec![notice]).unwrap();
        Delivery::new(topic.to_owned(), Parcel::Message(message), at(0))
    }

    /// Whose turn it is; it fails.
    fn fails(lane: &mut Lane, seconds: i64, is_permanent: bool) -> Option<String> {
        let to = lane.turn(at(seconds))?.to.clone();
        let mut delivery = lane.waiting.pop_front()?;
        delivery.attempts += 1;
        lane.put_back(delivery, is_permanent, at(seconds));
        Some(to)
    }

    #[test]
    fn what_is_refused_lets_others_go_before_it_and_is_tried_no_oftener_than_one_would_be() {
        let mut lane = Lane::default();
        lane.waiting.extend(["a", "b", "c"].map(message));
        let mut tried = Vec::new();
        for second in 0..60 {
            tried.extend(fails(&mut lane, second, true).map(|to| (second, to)));
        }
        let to: String = tried.iter().map(|(_, to)| to.as_str()).collect();
        assert_eq!(&to[..6], "abcabc", "{tried:?}");
        let again: Vec<_> = tried.iter().skip(3).map(|(second, _)| *second).collect();
        assert!(
            again.len() < 12 && again.windows(2).all(|two| two[1] - two[0] > 1),
            "{tried:?}"
        );
        // A new one goes before them, and once it is taken they are tried at once.
        lane.waiting.push_back(message("d"));
        assert_eq!(lane.turn(at(60)).unwrap().to, "d");
        lane.waiting.pop_front();
        lane.is_open();
        assert!(lane.turn(at(60)).is_some());
    }

    #[test]
    fn what_was_refused_is_not_told_after_its_end() {
        let notice = |kind: NoticeKind, topic: &str, seconds: i64| Notice {
            at: at(seconds),
            kind,
            topic: topic.to_owned(),
            message: "m".to_owned(),
            run: None,
            bk_id: None,
        };
        let delivery = |notices: Vec<Notice>, is_refused: bool| {
            let message = Message::of(&NodeName::new("db1").unwrap(), at(0), notices).unwrap();
            Delivery {
                is_refused,
                ..Delivery::new("x".to_owned(), Parcel::Message(message), at(0))
            }
        };
        let (a, b) = ("job a", "job b");
        let failure = |topic: &str, seconds| notice(NoticeKind::Failure, topic, seconds);
        let over = delivery(vec![failure(a, 1)], true);
        let stays = [
            delivery(vec![failure(a, 1), failure(b, 1)], true),
            delivery(vec![failure(a, 9)], true),
            delivery(vec![failure(a, 1)], false),
        ];
        let mut lane = Lane::default();
        lane.waiting.push_back(over.clone());
        lane.waiting.extend(stays.clone());
        let taken = delivery(vec![notice(NoticeKind::Recovery, a, 5)], false);
        assert_eq!(lane.outdated_by(&taken), [over]);
        assert_eq!(lane.waiting, stays);
    }

    #[test]
    fn where_nothing_is_taken_the_order_stays_and_so_it_does_for_pings_that_are_refused() {
        let mut lane = Lane::default();
        lane.waiting.extend(["a", "b"].map(message));
        assert_eq!(fails(&mut lane, 0, false).as_deref(), Some("a"));
        assert_eq!(
            fails(&mut lane, 1, false),
            None,
            "it is not due, and nothing goes before it"
        );
        assert_eq!(fails(&mut lane, 2, false).as_deref(), Some("a"));

        let job = JobName::new("shop").unwrap();
        let mut lane = Lane::default();
        let pings =
            [Signal::Start, Signal::Success].map(|signal| Delivery::of_ping(&job, (signal, ""), at(0)));
        lane.waiting.extend(pings.clone());
        assert!(fails(&mut lane, 0, true).is_some());
        assert_eq!(lane.turn(at(2)).unwrap().parcel, pings[0].parcel);
        lane.under_way = None;
        assert_eq!(lane.drop_oldest(1).unwrap().id, pings[0].id);
        assert_eq!(lane.drop_oldest(1), None);
    }
}
