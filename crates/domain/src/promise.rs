//! `proven_within`: of each server's sets, one that is proven is never older than so long.

use crate::event::{Event, EventKind};
use crate::ids::{BackupId, JobName, NodeName, ServerName};
use crate::run::words;
use crate::schedule::Schedule;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
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
    /// No older is the newest proven set of each of its backup jobs, counted from the start of its dump.
    pub within: Duration,
}

/// The newest proven set of a server, or of one of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestProven {
    /// The set.
    pub bk_id: BackupId,
    /// When its dump began: what it holds is of this moment.
    pub started_at: DateTime<Utc>,
}

/// A set that was proven and can give nothing back any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostProven {
    /// The set.
    pub bk_id: BackupId,
    /// When its dump began.
    pub started_at: DateTime<Utc>,
    /// When it was noticed that it is lost; `None` where that is not known.
    pub lost_at: Option<DateTime<Utc>>,
}

/// What is known of the sets of one backup job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobProofs {
    /// The job; `None` where the schedule has none of this server, and any set of the server counts.
    pub job: Option<JobName>,
    /// Its newest proven set; `None` where there is none.
    pub newest: Option<NewestProven>,
    /// Where it has none: the last that it had, which is damaged or removed by now.
    pub lost: Option<LostProven>,
    /// When a daemon first knew the job; `None` where none has.
    pub known_since: Option<DateTime<Utc>>,
}

/// How a promise stands for one backup job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStanding {
    /// As in [`JobProofs`].
    pub job: Option<JobName>,
    /// As in [`JobProofs`].
    pub newest: Option<NewestProven>,
    /// As in [`JobProofs`].
    #[serde(default)]
    pub lost: Option<LostProven>,
    /// From when it counts; `None` where no set is proven and no daemon has noted promise and job yet.
    pub counts_from: Option<DateTime<Utc>>,
    /// Whether it holds.
    pub state: PromiseState,
    /// When it was broken, or will be if no newer set is proven.
    pub breaks_at: DateTime<Utc>,
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
    /// Whether it holds: for every job.
    pub state: PromiseState,
    /// The newest proven set of the server; `None` where there is none.
    pub newest: Option<NewestProven>,
    /// When the promise was first noted, from which it counts where no set is proven; `None` where no daemon has yet.
    pub noted_at: Option<DateTime<Utc>>,
    /// When it was broken first, or will be if no newer set is proven.
    pub breaks_at: DateTime<Utc>,
    /// Each backup job of the server, the one that breaks it first coming first.
    #[serde(default)]
    pub jobs: Vec<JobStanding>,
}

impl Promise {
    /// How it stands at `now`, for each of `jobs`. One that has no proven set is given as long as one that has one, from
    /// when promise and job were first noted; not one that had one and has lost it.
    pub fn judge(&self, jobs: &[JobProofs], noted_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Standing {
        let mut jobs: Vec<JobStanding> = jobs
            .iter()
            .map(|proofs| {
                let first_known =
                    noted_at.map(|noted| proofs.known_since.map_or(noted, |since| since.max(noted)));
                let lost = proofs.lost.filter(|_| proofs.newest.is_none());
                let dump_of_newest = proofs.newest.map(|newest| newest.started_at);
                let counts_from = dump_of_newest
                    .or(lost.map(|lost| lost.started_at))
                    .or(first_known);
                let breaks_at = self.breaks_at(counts_from.unwrap_or(now));
                let breaks_at = match lost {
                    Some(lost) => breaks_at.min(lost.lost_at.unwrap_or(now)).min(now),
                    None => breaks_at,
                };
                JobStanding {
                    job: proofs.job.clone(),
                    newest: proofs.newest,
                    lost,
                    counts_from,
                    state: match now < breaks_at {
                        true => PromiseState::Kept,
                        false => PromiseState::Broken,
                    },
                    breaks_at,
                }
            })
            .collect();
        jobs.sort_by_key(|job| job.breaks_at);
        let newest = jobs.iter().filter_map(|job| job.newest);
        Standing {
            server: self.server.clone(),
            tag: self.tag.clone(),
            within_seconds: self.within.as_secs(),
            state: jobs.first().map_or(PromiseState::Kept, |first| first.state),
            newest: newest.max_by_key(|newest| newest.started_at),
            noted_at,
            breaks_at: jobs.first().map_or_else(
                || self.breaks_at(noted_at.unwrap_or(now)),
                |first| first.breaks_at,
            ),
            jobs,
        }
    }

    fn breaks_at(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        TimeDelta::from_std(self.within)
            .ok()
            .and_then(|within| from.checked_add_signed(within))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// The longest that a job's newest proven set gets where all goes well, by the schedules alone: from a slot until the
/// first slot of a validation job after the slot that comes next. Looked at over so many slots from `now` on; `None` where
/// nothing fires.
pub fn longest_age(backup: &Schedule, proofs: &[&Schedule], now: DateTime<Utc>) -> Option<TimeDelta> {
    const SLOTS: usize = 500;
    let slots: Vec<DateTime<Utc>> =
        std::iter::successors(backup.next_after(now), |slot| backup.next_after(*slot))
            .take(SLOTS)
            .collect();
    let ages = slots.windows(2).filter_map(|pair| {
        let [slot, next] = pair else { return None };
        let proven_at = proofs.iter().filter_map(|proof| proof.next_after(*next)).min()?;
        Some(proven_at - *slot)
    });
    ages.max()
}

impl JobStanding {
    fn sentence(&self, zone: Tz) -> String {
        let of = |job: &Option<JobName>| {
            job.as_ref()
                .map_or_else(|| "of it".to_owned(), |job| format!("of job {job}"))
        };
        if let Some(lost) = &self.lost {
            return format!(
                "no set {} is proven any more: {}, of {}, was, and is damaged or removed",
                of(&self.job),
                lost.bk_id,
                time(lost.started_at, zone)
            );
        }
        // Beside "it holds" nobody expects that nothing is proven.
        let is_young = self.state == PromiseState::Kept;
        match (&self.newest, self.counts_from) {
            (Some(newest), _) => format!(
                "the newest proven set {}, {}, is of {}",
                of(&self.job),
                newest.bk_id,
                time(newest.started_at, zone)
            ),
            (None, Some(noted)) if is_young => format!(
                "the first set {} is to be proven until {}, since the promise was first noted at {}",
                of(&self.job),
                time(self.breaks_at, zone),
                time(noted, zone)
            ),
            (None, None) if is_young => format!(
                "the first set {} is to be proven, and the time for it counts from when a daemon notes the promise",
                of(&self.job)
            ),
            (None, Some(noted)) => format!(
                "no set {} is proven, and the promise was first noted at {}",
                of(&self.job),
                time(noted, zone)
            ),
            (None, None) => format!("no set {} is proven", of(&self.job)),
        }
    }
}

impl Standing {
    /// One sentence for people. `within` is the promise as a person would write it.
    pub fn sentence(&self, within: &str, zone: Tz) -> String {
        let head = format!("proven_within = \"{within}\" of server {}", self.server);
        let decisive = self
            .jobs
            .iter()
            .enumerate()
            // One that has no proven set at all would be broken but for its youth.
            .filter(|(at, job)| *at == 0 || job.state == PromiseState::Broken || job.newest.is_none())
            .map(|(_, job)| job.sentence(zone));
        let found = decisive.collect::<Vec<_>>().join("; ");
        let stands = match self.state {
            PromiseState::Broken => "is broken since",
            PromiseState::Kept => "holds until",
        };
        // Nothing has begun yet that could end.
        if self.jobs.iter().all(|job| job.counts_from.is_none()) {
            return format!("{head} counts from when a daemon first notes it: {found}");
        }
        format!("{head} {stands} {}: {found}", time(self.breaks_at, zone))
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

fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)
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
        let of = |job: &str, newest| JobProofs {
            job: Some(JobName::new(job).unwrap()),
            newest,
            lost: None,
            known_since: None,
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
            let standing = promise.judge(&[of("nightly", newest)], noted_at, now);
            assert_eq!(standing.state, state, "{standing:?}");
        }
        // One job's sets do not stand for those of another.
        let jobs = [
            of("shop", newest("2026-11-21T11:00:00Z")),
            of("eu", newest("2026-11-19T00:00:00Z")),
        ];
        let standing = promise.judge(&jobs, noted, now);
        let sentence = standing.sentence("36h", Tz::UTC);
        assert_eq!(standing.state, PromiseState::Broken);
        assert_eq!(standing.newest, jobs[0].newest);
        assert!(
            sentence.contains("of job eu") && !sentence.contains("of job shop"),
            "{sentence}"
        );
        let young = [of("shop", newest("2026-11-21T08:00:00Z")), of("new", None)];
        let kept = promise.judge(&young, Some(now), now);
        assert_eq!(kept.state, PromiseState::Kept);
        let sentence = kept.sentence("36h", Tz::UTC);
        assert!(
            sentence.contains("of job shop")
                && sentence.contains("the first set of job new is to be proven until"),
            "{sentence}"
        );
        // A job that came later is given its time.
        let late = JobProofs {
            known_since: Some(now),
            ..of("late", None)
        };
        assert_eq!(promise.judge(&[late], noted, now).state, PromiseState::Kept);
        let begun = promise
            .judge(&[of("shop", None)], None, now)
            .sentence("36h", Tz::UTC);
        assert!(
            begun.contains("counts from when a daemon first notes it"),
            "{begun}"
        );
        // Who had a proven set and lost it gets no time, whatever stands beside it and whether a daemon runs or not.
        let lost = |lost_at| JobProofs {
            lost: Some(LostProven {
                bk_id: BackupId::generate(),
                started_at: at("2026-11-21T08:00:00Z"),
                lost_at,
            }),
            ..of("lost", None)
        };
        for (lost_at, since) in [
            (Some(at("2026-11-21T11:00:00Z")), "2026-11-21T11:00:00Z"),
            (None, "2026-11-21T12:00:00Z"),
        ] {
            let jobs = [of("shop", newest("2026-11-21T08:00:00Z")), lost(lost_at)];
            let broken = promise.judge(&jobs, None, now);
            assert_eq!(broken.state, PromiseState::Broken);
            let sentence = broken.sentence("36h", Tz::UTC);
            assert!(
                sentence.contains(&format!(
                    "is broken since {since}: no set of job lost is proven any more"
                )) && !sentence.contains("job shop"),
                "{sentence}"
            );
        }
        let broken = promise.judge(&[of("nightly", newest("2026-11-19T00:00:00Z"))], noted, now);
        let sentence = broken.sentence("36h", Tz::UTC);
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

    #[test]
    fn a_set_is_as_old_as_the_slot_before_when_the_next_one_is_proven() {
        let schedule = |cron: &str| Schedule::parse(cron, Tz::UTC).unwrap();
        let now = "2026-11-20T00:00:00Z".parse().unwrap();
        let hours = |backup: &str, proofs: &[&str]| {
            let proofs: Vec<Schedule> = proofs.iter().map(|cron| schedule(cron)).collect();
            let proofs: Vec<&Schedule> = proofs.iter().collect();
            longest_age(&schedule(backup), &proofs, now).map(|age| age.num_hours())
        };
        assert_eq!(hours("0 4 * * *", &["0 5 * * *"]), Some(25));
        assert_eq!(hours("0 4 * * *", &["0 3 * * *"]), Some(47));
        assert_eq!(hours("0 4 * * *", &["0 3 * * *", "0 6 * * *"]), Some(26));
        assert_eq!(hours("0 4 * * 1-5", &["0 5 * * *"]), Some(73));
        assert_eq!(hours("0 4 * * *", &[]), None);
    }
}
