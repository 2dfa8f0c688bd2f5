//! `proven_within`: of each server's sets, one that is proven is never older than so long.

use crate::event::{Event, EventKind};
use crate::ids::{BackupId, NodeName, ServerName};
use crate::run::words;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

words! {
    /// Whether it holds.
    PromiseState {
        /// It holds.
        Kept = "kept",
        /// It does not.
        Broken = "broken",
    }
}

/// What is promised of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The server.
    pub server: ServerName,
    /// What the catalog calls it.
    pub tag: String,
    /// No older is its newest proven set, counted from the start of its dump.
    pub within: Duration,
}

/// The newest proven set of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestProven {
    /// The set.
    pub bk_id: BackupId,
    /// When its dump began: what it holds is of this moment.
    pub started_at: DateTime<Utc>,
}

/// How a promise stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The server.
    pub server: ServerName,
    /// What the catalog calls it.
    pub tag: String,
    /// `proven_within`, in seconds.
    pub within_seconds: u64,
    /// Whether it holds.
    pub state: PromiseState,
    /// The newest proven set; `None` where there is none.
    pub newest: Option<NewestProven>,
    /// When the promise was first noted, from which it counts where no set is proven; `None` where no daemon has yet.
    pub noted_at: Option<DateTime<Utc>>,
    /// When it was broken, or will be if no newer set is proven.
    pub breaks_at: DateTime<Utc>,
}

impl Promise {
    /// How it stands at `now`. A server that has no proven set is given as long as one that has one, from when the
    /// promise was first noted.
    pub fn judge(
        &self,
        newest: Option<NewestProven>,
        noted_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Standing {
        let from = newest.map(|newest| newest.started_at).or(noted_at).unwrap_or(now);
        let breaks_at = TimeDelta::from_std(self.within)
            .ok()
            .and_then(|within| from.checked_add_signed(within))
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        Standing {
            server: self.server.clone(),
            tag: self.tag.clone(),
            within_seconds: self.within.as_secs(),
            state: if now < breaks_at {
                PromiseState::Kept
            } else {
                PromiseState::Broken
            },
            newest,
            noted_at,
            breaks_at,
        }
    }
}

impl Standing {
    /// One sentence for people. `within` is the promise as a person would write it.
    pub fn sentence(&self, within: &str) -> String {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let found = match (&self.newest, self.noted_at) {
            (Some(newest), _) => format!(
                "its newest proven set, {}, is of {}",
                newest.bk_id,
                time(newest.started_at)
            ),
            (None, Some(noted)) => format!(
                "no set of it is proven, and the promise was first noted at {}",
                time(noted)
            ),
            (None, None) => "no set of it is proven; it counts from when a daemon first notes it".to_owned(),
        };
        let stands = match self.state {
            PromiseState::Kept => "holds until",
            PromiseState::Broken => "is broken since",
        };
        format!(
            "proven_within = \"{within}\" of server {} {stands} {}: {found}",
            self.server,
            time(self.breaks_at)
        )
    }

    /// What is recorded of its change.
    pub fn event(&self, node: &NodeName, message: &str, at: DateTime<Utc>) -> Event {
        Event {
            id: Uuid::new_v4(),
            at,
            node: node.clone(),
            kind: match self.state {
                PromiseState::Kept => EventKind::PromiseKept,
                PromiseState::Broken => EventKind::PromiseBroken,
            },
            subject: self.tag.clone(),
            message: message.to_owned(),
            detail: serde_json::to_value(self).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_counts_from_the_dump_and_where_nothing_is_proven_from_its_note() {
        let promise = Promise {
            server: ServerName::new("shop").unwrap(),
            tag: "shop".into(),
            within: Duration::from_secs(36 * 3600),
        };
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let newest = |text: &str| {
            Some(NewestProven {
                bk_id: BackupId::generate(),
                started_at: at(text),
            })
        };
        let noted = Some(at("2026-11-20T00:00:00Z"));
        let now = at("2026-11-21T12:00:00Z");
        for (newest, noted_at, now, state) in [
            (None, None, now, PromiseState::Kept),
            (None, noted, now - TimeDelta::seconds(1), PromiseState::Kept),
            (None, noted, now, PromiseState::Broken),
            (newest("2026-11-20T00:00:01Z"), noted, now, PromiseState::Kept),
            // What is known to be old is not forgiven because the promise is new.
            (
                newest("2026-11-19T00:00:00Z"),
                Some(now),
                now,
                PromiseState::Broken,
            ),
            (newest("2026-11-21T00:00:00Z"), None, now, PromiseState::Kept),
        ] {
            let standing = promise.judge(newest, noted_at, now);
            assert_eq!(standing.state, state, "{standing:?}");
        }
        let broken = promise.judge(newest("2026-11-19T00:00:00Z"), noted, now);
        let sentence = broken.sentence("36h");
        assert!(
            sentence
                .starts_with("proven_within = \"36h\" of server shop is broken since 2026-11-20T12:00:00Z"),
            "{sentence}"
        );
        let event = broken.event(&NodeName::new("db1").unwrap(), &sentence, now);
        assert_eq!(event.detail["state"], "broken");
        assert_eq!(event.detail["newest"]["started_at"], "2026-11-19T00:00:00Z");
        assert_eq!(event.detail["within_seconds"], 129_600);
    }
}
