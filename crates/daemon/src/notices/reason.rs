//! Why something is in trouble: another reason is another trouble to whoever has mended the first.

use super::trouble::{Trouble, Troubles};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_domain::counted;
use mykeeper_domain::notice::{Notice, NoticeKind, essence};
use serde::{Deserialize, Serialize};

/// So many reasons of one trouble are told within `repeat`: a job that fails each minute for something else is not told of
/// each minute.
const MOST_REASONS: usize = 5;

/// Why something is in trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What is the same in the next run that fails for it.
    pub essence: String,
    /// When people were last told of it.
    pub told_at: DateTime<Utc>,
}

impl Trouble {
    pub(super) fn new(notice: &Notice, now: DateTime<Utc>) -> Self {
        Self {
            kind: notice.kind,
            since: notice.at,
            seen_at: notice.at,
            told_at: now,
            count: 1,
            message: notice.message.clone(),
            told: Some(notice.message.clone()),
            reasons: vec![Reason {
                essence: reason_of(notice),
                told_at: now,
            }],
            held_back: 0,
            over_at: None,
        }
    }

    /// Notes that it was noticed again. How that is told, if it is: a reason of which people do not know, that of a job which
    /// fails for another cause by now, is told at once, others again after `repeat`. A few reasons are told in that time.
    pub(super) fn is_noticed(
        &mut self,
        notice: &Notice,
        (repeat, now): (TimeDelta, DateTime<Utc>),
    ) -> Option<String> {
        let known = self.told.is_none().then(|| {
            let message = std::mem::take(&mut self.message);
            reason_of(&Notice {
                message,
                ..notice.clone()
            })
        });
        self.count += 1;
        self.seen_at = notice.at;
        self.message.clone_from(&notice.message);
        let is_due = |told_at: DateTime<Utc>| told_at > now || now - told_at >= repeat;
        if self.reasons.is_empty() {
            // An older mykeeper told of it.
            self.reasons.push(Reason {
                essence: known.unwrap_or_default(),
                told_at: self.told_at,
            });
        }
        let essence = reason_of(notice);
        let is_new = !self.reasons.iter().any(|reason| reason.essence == essence);
        self.reasons.retain(|reason| !is_due(reason.told_at));
        if self.reasons.iter().any(|reason| reason.essence == essence) {
            return None;
        }
        // One that comes back after `repeat` is told as before, whatever else was told meanwhile.
        if self.reasons.len() >= MOST_REASONS {
            self.held_back += 1;
            return None;
        }
        let mut told = history(self);
        if is_new {
            told = format!("another reason; {told}");
        }
        if self.held_back > 0 {
            let times = counted(self.held_back, "time", "times");
            told = format!("{told}; for reasons that were not told {times}");
        }
        self.reasons.push(Reason {
            essence,
            told_at: now,
        });
        self.told_at = now;
        self.kind = notice.kind;
        self.over_at = None;
        self.held_back = 0;
        let told = format!("{} ({told})", notice.message);
        self.told = Some(told.clone());
        Some(told)
    }

    /// The words in which people were last told of it, and those in which it was last noticed, where that is for another reason.
    pub fn words(&self) -> (&str, Option<&str>) {
        let told = self.told.as_deref().unwrap_or(&self.message);
        let seen = essence(&self.message);
        let is_last = self.reasons.last().is_none_or(|reason| reason.is_of(&seen));
        (told, (!is_last).then_some(self.message.as_str()))
    }

    /// When people were told of the reason for which it was last noticed; `None` where they were not, within `repeat`.
    pub fn seen_was_told_at(&self) -> Option<DateTime<Utc>> {
        let seen = essence(&self.message);
        let reason = self.reasons.iter().find(|reason| reason.is_of(&seen));
        reason.map(|reason| reason.told_at)
    }
}

impl Reason {
    /// Of what is known by its topic every word is.
    fn is_of(&self, essence: &str) -> bool {
        self.essence.is_empty() || self.essence == essence
    }
}

/// By what it is known again. That of what lasts by itself, or has passed, is its topic: its words tell for how long.
fn reason_of(notice: &Notice) -> String {
    match notice.kind {
        NoticeKind::Failure | NoticeKind::Reload => essence(&notice.message),
        _ => String::new(),
    }
}

/// Whether any of these is to be told soon: trouble of which nobody knows, or for another reason.
pub(super) fn has_news(troubles: &Troubles, notices: &[Notice]) -> bool {
    notices.iter().any(|notice| match notice.kind {
        NoticeKind::Recovery => false,
        NoticeKind::Test => true,
        _ => match troubles.get(&notice.topic) {
            None => true,
            Some(trouble) => {
                let essence = reason_of(notice);
                trouble.reasons.len() < MOST_REASONS
                    && !trouble.reasons.iter().any(|reason| reason.essence == essence)
            }
        },
    })
}

pub(super) fn history(trouble: &Trouble) -> String {
    let since = trouble.since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    match trouble.count {
        1 => format!("since {since}"),
        count => format!("{} since {since}", counted(count, "time", "times")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::trouble::sift;
    use super::super::trouble::tests::{at, notice};
    use super::*;
    use std::time::Duration;

    fn failure(reason: &str, minutes: i64) -> Vec<Notice> {
        let message = reason.to_owned();
        vec![Notice {
            message,
            ..notice(NoticeKind::Failure, "job a", minutes)
        }]
    }

    #[test]
    fn a_job_that_fails_for_another_reason_is_told_of_at_once_and_the_words_that_were_told_are_known() {
        let repeat = Duration::from_secs(3600);
        let mut troubles = Troubles::new();
        let mut sift = |reason: &str, minutes: i64| {
            let told = sift(&mut troubles, failure(reason, minutes), repeat, at(minutes));
            let told = told.first().map(|notice| notice.message.clone());
            (told, troubles["job a"].clone())
        };
        assert!(sift("Access denied", 0).0.is_some());
        assert!(sift("Access denied", 1).0.is_none());
        let (told, trouble) = sift("set 01a20a8e-7bca-0000 of 1 database: no room left on tiny", 2);
        assert!(
            told.unwrap()
                .contains("no room left on tiny (another reason; 3 times since")
        );
        assert!(trouble.words().0.starts_with("set 01a20a8e"), "{trouble:?}");
        // The same trouble with another set, and the one that is known already.
        assert!(
            sift("set 01b7ffff-7bca-0000 of 3 databases: no room left on tiny", 3)
                .0
                .is_none()
        );
        let (told, trouble) = sift("Access denied", 4);
        assert!(told.is_none());
        let (words, last) = trouble.words();
        assert!(
            words.contains("no room")
                && last == Some("Access denied")
                && trouble.seen_was_told_at() == Some(at(0)),
            "{trouble:?}"
        );
        // Each reason comes again after its own hour, or a twentieth of it sooner.
        assert!(
            sift("set 01c7ffff-7bca-0000 of 3 databases: no room left on tiny", 58)
                .0
                .is_none()
        );
        assert!(sift("Access denied", 58).0.is_some());
        assert!(
            sift("set 01c7ffff-7bca-0000 of 3 databases: no room left on tiny", 60)
                .0
                .is_some()
        );
    }

    #[test]
    fn a_job_that_fails_for_something_else_each_minute_is_not_told_of_each_minute() {
        let repeat = Duration::from_secs(3600);
        let mut troubles = Troubles::new();
        let mut told = Vec::new();
        for minute in 0..180 {
            let reason: String = (0..minute).map(|_| 'x').collect();
            let found = failure(&format!("x{reason}"), minute);
            assert!(has_news(&troubles, &found) || minute >= 5);
            told.extend(sift(&mut troubles, found, repeat, at(minute)));
            assert!(troubles["job a"].reasons.len() <= MOST_REASONS);
        }
        assert!((15..=20).contains(&told.len()), "{}", told.len());
        assert!(
            told[5].message.contains("for reasons that were not told"),
            "{}",
            told[5].message
        );
    }

    #[test]
    fn what_an_older_version_has_told_is_known() {
        let old = r#"{"kind":"failure","since":"1970-01-01T00:00:00Z","seen_at":"1970-01-01T00:00:00Z",
            "told_at":"1970-01-01T00:00:00Z","count":1,"message":"Access denied"}"#;
        let repeat = Duration::from_secs(3600);
        for (reason, told) in [("Access denied", 0), ("no room", 1)] {
            let trouble = serde_json::from_str(old).unwrap();
            let mut troubles = Troubles::from([("job a".to_owned(), trouble)]);
            assert_eq!(sift(&mut troubles, failure(reason, 1), repeat, at(1)).len(), told);
        }
    }
}
