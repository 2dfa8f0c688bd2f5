//! One look at what a node has of a set: every file read, and held against what was written.

use crate::damage::{DOUBTED_FOR, IntactCopy};
use crate::ids::{BackupId, NodeName, RunId};
use crate::proof::Difference;
use crate::run::words;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a look has come to.
    VerificationState {
        /// Every copy is as the set was written.
        AsWritten = "as-written",
        /// A file of a copy differs, is missing, or is SQL that is not the set's.
        Differs = "differs",
        /// What could be read is as it was written; other copies were not read to their end.
        Unfinished = "unfinished",
    }
}

/// Of one copy at most so many differences are kept.
pub const MOST_DIFFERENCES: usize = 100;

/// One place where the set lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedAtCopy {
    /// Its folder.
    pub path: String,
    /// Files that were looked at.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Each names a file; the first [`MOST_DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// How many more there are.
    #[serde(default)]
    pub more_differences: u64,
    /// Files that are not the set's and that no restore would read; the first [`MOST_DIFFERENCES`].
    #[serde(default)]
    pub strangers: Vec<String>,
    /// When the first look ended that found it to differ, of those that came one after the other; `None` where it does
    /// not, and before it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs_since: Option<DateTime<Utc>>,
    /// When it was read, where that was before the look that tells of it, which could not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<DateTime<Utc>>,
    /// Nothing of it is where it was, though the place is there; its one difference says what it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_gone: bool,
}

impl LookedAtCopy {
    /// One of which nothing is left. `what` names it: `the copy that arrived at vault on 2026-11-22`.
    pub fn gone(path: String, what: String) -> Self {
        Self {
            differences: vec![Difference {
                database: String::new(),
                object: what,
                expected: "present".to_owned(),
                found: "missing".to_owned(),
            }],
            is_gone: true,
            ..Self::unread(path, None)
        }
    }

    fn unread(path: String, read_at: Option<DateTime<Utc>>) -> Self {
        Self {
            path,
            files: 0,
            bytes: 0,
            differences: Vec::new(),
            more_differences: 0,
            strangers: Vec::new(),
            differs_since: None,
            read_at,
            is_gone: false,
        }
    }

    /// Its differences, each as one sentence for people.
    pub fn sentences(&self) -> impl Iterator<Item = String> + '_ {
        self.differences.iter().map(|difference| match self.is_gone {
            true => format!("{} is not there", difference.object),
            false => difference.to_string(),
        })
    }

    /// Every file is as it was written.
    pub fn is_intact(&self) -> bool {
        self.differences.is_empty()
    }
}

/// The newest look of one node at one set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The set.
    pub bk_id: BackupId,
    /// The machine that read it.
    pub node: NodeName,
    /// The run.
    pub run_id: Option<RunId>,
    /// See [`VerificationState`].
    pub state: VerificationState,
    /// When it ended.
    pub looked_at: DateTime<Utc>,
    /// What it found; of places that could not be read, what was known of them before.
    pub copies: Vec<LookedAtCopy>,
    /// Folders that could not be read now, until it is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

impl Verification {
    /// Notes since when each copy differs that does: since the look before, where it did so then.
    pub fn date_differences(&mut self, before: Option<&Self>) {
        for copy in &mut self.copies {
            if copy.differences.is_empty() || copy.differs_since.is_some() {
                continue;
            }
            let earlier = before.and_then(|before| {
                let same = before.copies.iter().find(|earlier| earlier.path == copy.path)?;
                let differed = !same.differences.is_empty();
                differed.then(|| same.differs_since.unwrap_or(before.read_at(same)))
            });
            copy.differs_since = Some(earlier.unwrap_or(self.looked_at));
        }
    }

    /// Takes over what is known of the copies that could not be read: of the look before, or of a proof since. What was
    /// seen to be whole is forgotten after [`DOUBTED_FOR`].
    pub fn keep_unread(&mut self, before: Option<&Self>, proven: &[IntactCopy]) {
        for path in std::mem::take(&mut self.unread) {
            if self.copies.iter().any(|copy| copy.path == path) {
                continue;
            }
            let read = before.and_then(|before| {
                let copy = before.copies.iter().find(|copy| copy.path == path)?;
                let read_at = Some(before.read_at(copy));
                Some(LookedAtCopy {
                    read_at,
                    ..copy.clone()
                })
            });
            // A look since the proof that does not tell of the copy has seen it gone.
            let known_at = match &read {
                Some(copy) => copy.read_at,
                None => before
                    .filter(|before| before.tells_of_all())
                    .map(|before| before.looked_at),
            };
            let proven = proven
                .iter()
                .filter(|copy| copy.node == self.node && copy.path == path)
                .map(|copy| copy.looked_at)
                .max()
                .filter(|at| known_at < Some(*at));
            let copy = match proven {
                None => read,
                Some(at) => Some(LookedAtCopy::unread(path, Some(at))),
            };
            let (since, looked_at) = (self.looked_at - DOUBTED_FOR, self.looked_at);
            let copy = copy.filter(|copy| !copy.is_intact() || copy.read_at.unwrap_or(looked_at) >= since);
            if copy.as_ref().is_some_and(|copy| !copy.is_intact()) {
                self.state = VerificationState::Differs;
            }
            self.copies.extend(copy);
        }
    }

    /// Whether it tells of every copy that its node knows, be it as that was when it was read before; not where nothing
    /// could be read.
    pub fn tells_of_all(&self) -> bool {
        self.state != VerificationState::Unfinished || !self.copies.is_empty()
    }

    /// Whether its node has looked and found nothing of the set, where it had something.
    pub fn has_seen_nothing(&self) -> bool {
        self.state == VerificationState::AsWritten && self.copies.is_empty()
    }

    /// The same, or what it had is missing.
    pub fn has_nothing_left(&self) -> bool {
        match self.copies.is_empty() {
            true => self.has_seen_nothing(),
            false => self.copies.iter().all(|copy| copy.is_gone),
        }
    }

    /// Whether all that is wrong is that copies are missing, and another is as it was written.
    pub fn lacks_copies_alone(&self) -> bool {
        let mut differing = self.copies.iter().filter(|copy| !copy.is_intact());
        differing.all(|copy| copy.is_gone) && self.copies.iter().any(LookedAtCopy::is_intact)
    }

    /// When one of its copies was read.
    pub fn read_at(&self, copy: &LookedAtCopy) -> DateTime<Utc> {
        copy.read_at.unwrap_or(self.looked_at)
    }

    /// When the last of the copies was read that are as they were written.
    pub fn intact_at(&self) -> Option<DateTime<Utc>> {
        let intact = self.copies.iter().filter(|copy| copy.is_intact());
        intact.map(|copy| self.read_at(copy)).max()
    }

    /// What is not as it was written, each with its place; for people.
    pub fn faults(&self) -> Vec<String> {
        let of_copy = |copy: &LookedAtCopy| {
            let more = (copy.more_differences > 0)
                .then(|| format!("{}: and {} more", copy.path, copy.more_differences));
            let lines = copy
                .sentences()
                .map(|sentence| format!("{}: {sentence}", copy.path));
            lines.chain(more).collect::<Vec<_>>()
        };
        self.copies.iter().flat_map(of_copy).collect()
    }

    /// Files that do no harm and are not the set's, each with its place; for people.
    pub fn strangers(&self) -> Vec<String> {
        let of_copy = |copy: &LookedAtCopy| {
            let strangers = copy.strangers.iter();
            strangers
                .map(|name| format!("{}: file {name} is not the set's", copy.path))
                .collect::<Vec<_>>()
        };
        self.copies.iter().flat_map(of_copy).collect()
    }
}
