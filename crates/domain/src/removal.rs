//! What runs have removed of a set. What was read or proven of a folder before that speaks for the set no longer, and what
//! had arrived there is not missed.

use crate::damage::IntactCopy;
use crate::ids::{BackupId, NodeName, RunId};
use crate::transfer::Transfer;
use crate::verification::{LookedAtCopy, Verification, VerificationState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A folder that is no copy of its set any more: a run has removed it, or has told that it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The machine.
    pub node: NodeName,
    /// The folder.
    pub path: String,
    /// When.
    pub removed_at: DateTime<Utc>,
}

impl Removal {
    /// Whether what was known at `at` of a node's folder is known no longer.
    fn undoes(&self, (node, path): (&NodeName, &str), at: DateTime<Utc>) -> bool {
        self.node == *node && self.path == path && self.removed_at >= at
    }
}

/// Leaves of what nodes have read, and proofs have restored, what has not been removed since.
pub fn forget_removed(looks: &mut [Verification], proven: &mut Vec<IntactCopy>, removals: &[Removal]) {
    proven.retain(|copy| {
        let mut removals = removals.iter();
        !removals.any(|removal| removal.undoes((&copy.node, &copy.path), copy.looked_at))
    });
    for look in looks {
        let known = look.copies.len();
        let (node, looked_at) = (look.node.clone(), look.looked_at);
        look.copies.retain(|copy| {
            let (mut removals, read_at) = (removals.iter(), copy.read_at.unwrap_or(looked_at));
            !removals.any(|removal| removal.undoes((&node, &copy.path), read_at))
        });
        if look.copies.len() < known && look.copies.iter().all(LookedAtCopy::is_intact) {
            // Of what else the node may have nothing is told where nothing is left.
            look.state = match look.copies.is_empty() {
                true => VerificationState::Unfinished,
                false => VerificationState::AsWritten,
            };
        }
    }
}

/// What is known to be left of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remainder {
    /// Nothing: it is deleted.
    Nothing,
    /// A copy; its original is what was removed.
    Copy,
    /// Its original, or another copy.
    Another,
}

/// What one run has removed of a set on its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRemoval {
    /// The set.
    pub bk_id: BackupId,
    /// The machine.
    pub node: NodeName,
    /// The run.
    pub run_id: Option<RunId>,
    /// The folders.
    pub paths: Vec<String>,
    /// When.
    pub removed_at: DateTime<Utc>,
    /// As the set was marked before: see [`SetRemoval::mark`].
    pub why: String,
    /// What is left.
    pub remainder: Remainder,
    /// Of each destination that has nothing of it any more, a `clear` that has ended.
    pub cleared: Vec<Transfer>,
}

/// What stands before the folders in the reason of a mark.
const FOLDERS: &str = "; in ";
/// What stands behind them where the removal has failed.
const FAILED: &str = "; its removal failed: ";

impl SetRemoval {
    /// The reason with which the set was marked before it was removed: why, and the folders that are to go.
    pub fn mark(&self) -> String {
        mark_of_removal(&self.why, &self.paths)
    }
}

/// The reason with which a set is marked of which these folders go: `no rule keeps it; in ["/data/2026-11-22/<bk_id>"]`.
pub fn mark_of_removal(why: &str, paths: &[String]) -> String {
    format!("{why}{FOLDERS}{}", serde_json::json!(paths))
}

/// The same once the removal has failed, and why.
pub fn mark_of_failed_removal(mark: &str, reason: &str) -> String {
    format!("{mark}{FAILED}{reason}")
}

/// The folders that are to go as a mark has it; `None` where it does not say. What stands before them may be named by people,
/// and what is told behind them by whatever has failed: the list is the first that ends the mark, or its telling of a failure
/// follows.
pub fn folders_of_mark(mark: &str) -> Option<Vec<String>> {
    mark.match_indices(FOLDERS).find_map(|(at, before)| {
        let list = mark.get(at + before.len()..)?;
        let mut lists = serde_json::Deserializer::from_str(list).into_iter();
        let folders = lists.next()?.ok()?;
        let behind = list.get(lists.byte_offset()..)?;
        (behind.is_empty() || behind.starts_with(FAILED)).then_some(folders)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::Damage;
    use chrono::TimeDelta;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    #[test]
    fn what_was_known_of_a_folder_before_it_was_removed_speaks_for_nothing() {
        let node = || NodeName::new("a").unwrap();
        let intact = |path: &str, minutes| IntactCopy {
            node: node(),
            path: path.to_owned(),
            looked_at: at(minutes),
        };
        let mut looks = [Verification {
            bk_id: BackupId::generate(),
            node: node(),
            run_id: None,
            state: VerificationState::Differs,
            looked_at: at(9),
            copies: vec![LookedAtCopy::gone("/b".to_owned(), "x".to_owned())],
            unread: Vec::new(),
        }];
        let mut proven = vec![intact("/a", 9), intact("/c", 10)];
        let removal = |name: &str, path: &str, minutes| Removal {
            node: NodeName::new(name).unwrap(),
            path: path.to_owned(),
            removed_at: at(minutes),
        };
        // Of another machine, and before what lies there now.
        let others = [removal("z", "/a", 20), removal("a", "/a", 8)];
        forget_removed(&mut looks, &mut proven, &others);
        assert!(!Damage::of(&looks, &proven).unwrap().is_of_every_copy());
        forget_removed(&mut looks, &mut proven, &[removal("a", "/a", 9)]);
        assert_eq!(proven, [intact("/c", 10)]);
        forget_removed(&mut looks, &mut proven, &[removal("a", "/c", 11)]);
        assert!(Damage::of(&looks, &proven).unwrap().is_of_every_copy());
        forget_removed(&mut looks, &mut proven, &[removal("a", "/b", 9)]);
        assert_eq!(Damage::of(&looks, &proven), None);
        assert!(
            !looks[0].has_nothing_left(),
            "what else the node has is not known"
        );
    }

    #[test]
    fn a_mark_tells_its_folders_whatever_stands_behind_them() {
        let folders = vec!["/a b/; in [\"x".to_owned(), "/c".to_owned()];
        let mark = mark_of_removal("retention job prune on n1: no rule keeps it", &folders);
        assert_eq!(folders_of_mark(&mark), Some(folders.clone()));
        let failed = mark_of_failed_removal(&mark, "no access; in [\"/d\"]");
        assert_eq!(folders_of_mark(&failed), Some(folders.clone()));
        for job in ["all; in time", "all; in [\"/d\"]", "all; in ["] {
            let mark = mark_of_removal(&format!("retention job {job} on n1: no rule keeps it"), &folders);
            assert_eq!(folders_of_mark(&mark), Some(folders.clone()), "{job}");
            let failed = mark_of_failed_removal(&mark, "no access");
            assert_eq!(folders_of_mark(&failed), Some(folders.clone()), "{job}");
        }
        for older in ["", "older", "older; in part", "older; in ["] {
            assert_eq!(folders_of_mark(older), None, "{older}");
        }
    }
}
