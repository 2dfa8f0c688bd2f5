//! Which set is proven next.

use crate::backup::{Backup, Deletion, ValidateStatus};
use crate::run::words;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

words! {
    /// Which of the candidates is taken.
    Select {
        /// The one that was started last.
        Newest = "newest",
        /// The one that was started first.
        Oldest = "oldest",
        /// Any.
        Random = "random",
    }
}

/// What a validation job chooses from, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Which of the candidates is taken.
    pub select: Select,
    /// Only sets that were started within so long.
    pub within: Option<Duration>,
    /// Only sets with one of these tags; empty: all.
    pub tags: Vec<String>,
}

impl Choice {
    /// What makes a set a candidate at `now`.
    pub fn criteria(&self, now: DateTime<Utc>) -> Criteria<'_> {
        Criteria {
            within: self.within,
            tags: &self.tags,
            now,
        }
    }

    /// The sets that may be proven, in the order in which they are tried. `random` gives a number below its argument.
    pub fn queue<B: Borrow<Backup>>(
        &self,
        sets: impl IntoIterator<Item = B>,
        now: DateTime<Utc>,
        random: impl FnMut(usize) -> usize,
    ) -> Vec<B> {
        let criteria = self.criteria(now);
        let candidates = sets
            .into_iter()
            .filter(|backup| criteria.refusal(backup.borrow()).is_none())
            .collect();
        order_candidates(candidates, self.select, random)
    }
}

/// Why a set is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A part of it is not there.
    NotComplete,
    /// It is deleted, or about to be.
    Deleted,
    /// It is to be transferred, and has not been.
    NotArrived,
    /// It has a verdict.
    Tried,
    /// The job asks for others.
    OtherTag,
    /// It was started before `within`.
    TooOld,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotComplete => "it is not complete",
            Self::Deleted => "it is deleted",
            Self::NotArrived => "it has not arrived at its destination",
            Self::Tried => "it has been tried",
            Self::OtherTag => "its tag is not asked for",
            Self::TooOld => "it is too old",
        })
    }
}

/// What makes a set a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Criteria<'a> {
    /// Started within so long before `now`.
    pub within: Option<Duration>,
    /// One of these tags; empty: any.
    pub tags: &'a [String],
    /// The present instant.
    pub now: DateTime<Utc>,
}

impl Criteria<'_> {
    /// Why `backup` is no candidate; `None` when it is one.
    ///
    /// A set that is not meant to be transferred need not have been; of several destinations one is enough.
    pub fn refusal(&self, backup: &Backup) -> Option<Refusal> {
        let local = backup.transfer_complete == crate::backup::LOCAL_BACKUP;
        if !backup.is_complete() {
            Some(Refusal::NotComplete)
        } else if backup.deletion != Deletion::None {
            Some(Refusal::Deleted)
        } else if !backup.has_arrived() && !local {
            Some(Refusal::NotArrived)
        } else if backup.validate_status != ValidateStatus::NotTried {
            Some(Refusal::Tried)
        } else if !self.tags.is_empty() && !self.tags.contains(&backup.tag) {
            Some(Refusal::OtherTag)
        } else if self.within.is_some_and(|within| {
            TimeDelta::from_std(within).is_ok_and(|within| self.now - backup.started_at > within)
        }) {
            Some(Refusal::TooOld)
        } else {
            None
        }
    }
}

/// The candidates in the order in which they should be tried. `random` gives a number below its argument.
fn order_candidates<B: Borrow<Backup>>(
    mut candidates: Vec<B>,
    select: Select,
    mut random: impl FnMut(usize) -> usize,
) -> Vec<B> {
    candidates.sort_by_key(|backup| (backup.borrow().started_at, backup.borrow().id));
    match select {
        Select::Oldest => {}
        Select::Newest => candidates.reverse(),
        Select::Random => {
            for last in (1..candidates.len()).rev() {
                candidates.swap(last, random(last + 1).min(last));
            }
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BackupId;

    fn sets() -> Vec<Backup> {
        let first = Backup {
            transfer_complete: "N,Y".into(),
            ..serde_json::from_str(include_str!("../fixtures/set.json")).unwrap()
        };
        (0..3)
            .map(|day| Backup {
                id: BackupId::generate(),
                started_at: first.started_at + TimeDelta::days(day),
                ..first.clone()
            })
            .collect()
    }

    #[test]
    fn newest_oldest_and_random_order_the_candidates() {
        let sets = sets();
        let first = |select, random: fn(usize) -> usize| order_candidates(sets.clone(), select, random)[0].id;
        assert_eq!(first(Select::Newest, |_| 0), sets[2].id);
        assert_eq!(first(Select::Oldest, |_| 0), sets[0].id);
        assert_eq!(
            order_candidates(sets.clone(), Select::Random, |below| below + 7).len(),
            3
        );
        assert_ne!(
            first(Select::Random, |_| 0),
            first(Select::Random, |below| below - 1)
        );
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let tags = ["shop".to_owned()];
        let criteria = Criteria {
            within: Some(Duration::from_secs(3 * 86_400)),
            tags: &tags,
            now,
        };
        let good = sets().remove(0);
        assert_eq!(criteria.refusal(&good), None);
        let local = Backup {
            transfer_complete: crate::backup::LOCAL_BACKUP.into(),
            ..good.clone()
        };
        assert_eq!(criteria.refusal(&local), None);
        let beside = Backup {
            transfer_complete: "N,N".into(),
            arrived: vec![crate::ids::DestinationName::new("near").unwrap()],
            ..good.clone()
        };
        assert_eq!(criteria.refusal(&beside), None, "one of several is away");
        for (change, reason) in [
            (
                Backup {
                    complete: vec![true, false],
                    ..good.clone()
                },
                "it is not complete",
            ),
            (
                Backup {
                    deletion: Deletion::Deleting,
                    ..good.clone()
                },
                "it is deleted",
            ),
            (
                Backup {
                    transfer_complete: "Y,N".into(),
                    ..good.clone()
                },
                "it has not arrived at its destination",
            ),
            (
                Backup {
                    validate_status: ValidateStatus::Failed,
                    ..good.clone()
                },
                "it has been tried",
            ),
            (
                Backup {
                    tag: "audit".into(),
                    ..good.clone()
                },
                "its tag is not asked for",
            ),
            (
                Backup {
                    started_at: now - TimeDelta::days(4),
                    ..good.clone()
                },
                "it is too old",
            ),
        ] {
            assert_eq!(
                criteria
                    .refusal(&change)
                    .map(|refusal| refusal.to_string())
                    .as_deref(),
                Some(reason)
            );
        }
    }
}
