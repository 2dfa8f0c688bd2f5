//! What the nodes' looks at a set's copies come to: which copies differ from what was written, and whether one is left
//! that does not.
//!
//! A look is the newest verification of a node, or a proof that passed, which reads every file of the copy that it
//! restores. A proof stands for its copy until its node has read the set again; a look that could not read a copy keeps
//! what was known of it.

use crate::counted;
use crate::ids::NodeName;
use crate::verification::{LookedAtCopy, Verification};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

/// For so long what was seen of a copy speaks for it, though nobody can read it: a copy that is never seen again must not
/// keep a set from its verdict for ever.
pub const DOUBTED_FOR: TimeDelta = TimeDelta::days(30);

/// A copy that was as the set was written when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IntactCopy {
    /// The machine that read it.
    pub node: NodeName,
    /// Its folder.
    pub path: String,
    /// When.
    pub looked_at: DateTime<Utc>,
}

/// A copy that differed when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedCopy {
    /// The machine that read it.
    pub node: NodeName,
    /// Its folder.
    pub path: String,
    /// When the first look ended that found it so.
    pub since: DateTime<Utc>,
    /// When the newest did.
    pub looked_at: DateTime<Utc>,
    /// The first difference, which names a file.
    pub difference: String,
    /// How many more there are.
    pub more_differences: u64,
    /// Nothing of it is where it was.
    pub is_gone: bool,
}

impl DamagedCopy {
    fn of(look: &Verification, copy: &LookedAtCopy) -> Option<Self> {
        let first = copy.sentences().next()?;
        Some(Self {
            node: look.node.clone(),
            path: copy.path.clone(),
            since: copy.differs_since.unwrap_or(look.read_at(copy)),
            looked_at: look.read_at(copy),
            difference: first,
            more_differences: copy.differences.len() as u64 - 1 + copy.more_differences,
            is_gone: copy.is_gone,
        })
    }
}

/// The copies of a set that anyone has read, as each was when it was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownCopies {
    /// Those that differ.
    pub differing: Vec<DamagedCopy>,
    /// Those that do not.
    pub intact: Vec<IntactCopy>,
}

impl KnownCopies {
    /// Of the newest looks of each node, and the copies that proofs of the set have restored. A look tells of every copy
    /// that its node knows: one that it leaves out was seen to be gone.
    pub fn of(looks: &[Verification], proven: &[IntactCopy]) -> Self {
        let still_proven: Vec<&IntactCopy> = proven
            .iter()
            .filter(|copy| {
                let mut newer = looks.iter().filter(|look| {
                    let is_old = copy.looked_at < look.looked_at - DOUBTED_FOR;
                    look.node == copy.node
                        && look.looked_at >= copy.looked_at
                        && (look.tells_of_all() || is_old)
                });
                newer.next().is_none()
            })
            .collect();
        let mut differing = Vec::new();
        let mut intact: Vec<IntactCopy> = Vec::new();
        for look in looks {
            for copy in &look.copies {
                let is_proven_since = still_proven
                    .iter()
                    .any(|proven| proven.node == look.node && proven.path == copy.path);
                match DamagedCopy::of(look, copy) {
                    Some(damaged) if !is_proven_since => differing.push(damaged),
                    Some(_) => {}
                    None => intact.push(IntactCopy {
                        node: look.node.clone(),
                        path: copy.path.clone(),
                        looked_at: look.read_at(copy),
                    }),
                }
            }
        }
        for proven in still_proven {
            let is_known = |copy: &IntactCopy| copy.node == proven.node && copy.path == proven.path;
            if !intact.iter().any(is_known) {
                intact.push(proven.clone());
            }
        }
        Self { differing, intact }
    }
}

/// A set of which at least one copy differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The copies that differ; never empty.
    pub copies: Vec<DamagedCopy>,
    /// Those that do not.
    pub intact: Vec<IntactCopy>,
}

impl Damage {
    /// Of the newest looks of each node, and the copies that proofs of the set have restored. `None` where no copy is
    /// known to differ.
    pub fn of(looks: &[Verification], proven: &[IntactCopy]) -> Option<Self> {
        let KnownCopies { differing, intact } = KnownCopies::of(looks, proven);
        (!differing.is_empty()).then_some(Self {
            copies: differing,
            intact,
        })
    }

    /// Whether every copy that anyone has looked at differs: such a set counts for nothing, whatever was proven of it.
    pub fn is_of_every_copy(&self) -> bool {
        self.intact.is_empty()
    }

    /// When the first of the copies was found to differ.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.copies.iter().map(|copy| copy.since).min()
    }

    /// One line for each copy that differs, then one for each that does not, for people.
    pub fn lines(&self, zone: Tz) -> Vec<String> {
        let differ = self.copies.iter().map(|copy| {
            let more = match copy.more_differences {
                0 => String::new(),
                more => format!("; and {} more", counted(more, "difference", "differences")),
            };
            let verb = if copy.is_gone { "is missing" } else { "differs" };
            format!(
                "{} on {} {verb} since {}: {}{more}",
                copy.path,
                copy.node,
                time(copy.since, zone),
                copy.difference
            )
        });
        let intact = self.intact.iter().map(|copy| {
            format!(
                "{} on {} was as written at {}",
                copy.path,
                copy.node,
                time(copy.looked_at, zone)
            )
        });
        differ.chain(intact).collect()
    }
}

fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BackupId;
    use crate::proof::Difference;
    use crate::verification::VerificationState;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn look(node: &str, minutes: i64, copies: &[(&str, bool)]) -> Verification {
        let differs = copies.iter().any(|(_, is_intact)| !is_intact);
        Verification {
            bk_id: BackupId::generate(),
            node: NodeName::new(node).unwrap(),
            run_id: None,
            state: if differs {
                VerificationState::Differs
            } else {
                VerificationState::AsWritten
            },
            looked_at: at(minutes),
            copies: copies
                .iter()
                .map(|(path, is_intact)| LookedAtCopy {
                    path: (*path).to_owned(),
                    files: 3,
                    bytes: 4,
                    differences: (!is_intact)
                        .then(|| Difference {
                            database: String::new(),
                            object: "file shop.sql".into(),
                            expected: "present".into(),
                            found: "missing".into(),
                        })
                        .into_iter()
                        .collect(),
                    more_differences: 0,
                    strangers: Vec::new(),
                    differs_since: None,
                    read_at: None,
                    is_gone: false,
                })
                .collect(),
            unread: Vec::new(),
        }
    }

    fn proven(node: &str, path: &str, minutes: i64) -> IntactCopy {
        IntactCopy {
            node: NodeName::new(node).unwrap(),
            path: path.to_owned(),
            looked_at: at(minutes),
        }
    }

    #[test]
    fn a_set_is_damaged_when_no_copy_is_left_that_was_seen_to_be_whole() {
        let unfinished = Verification {
            state: VerificationState::Unfinished,
            ..look("b", 30, &[])
        };
        let rest = Verification {
            state: VerificationState::Unfinished,
            ..look("b", 30, &[("/w", false)])
        };
        for (name, looks, proofs, expected) in [
            ("nobody looked", vec![], vec![], None),
            ("as written", vec![look("a", 9, &[("/a", true)])], vec![], None),
            (
                "the only copy",
                vec![look("a", 9, &[("/a", false)])],
                vec![],
                Some(true),
            ),
            (
                "one of two",
                vec![look("a", 9, &[("/a", false), ("/b", true)])],
                vec![],
                Some(false),
            ),
            (
                "proven before",
                vec![look("a", 9, &[("/a", false)])],
                vec![proven("a", "/a", 5)],
                Some(true),
            ),
            (
                "proven since",
                vec![look("a", 9, &[("/a", false)])],
                vec![proven("a", "/a", 10)],
                None,
            ),
            (
                "another was proven since",
                vec![look("a", 9, &[("/a", false)])],
                vec![proven("a", "/b", 10)],
                Some(false),
            ),
            (
                "proven elsewhere, where nobody has read it since",
                vec![look("a", 9, &[("/a", false)])],
                vec![proven("b", "/a", 5)],
                Some(false),
            ),
            (
                "proven elsewhere, where it differs by now",
                vec![look("a", 9, &[("/a", false)]), look("b", 8, &[("/v", false)])],
                vec![proven("b", "/v", 5)],
                Some(true),
            ),
            (
                "proven elsewhere, where it could not be read to its end",
                vec![look("a", 9, &[("/a", false)]), unfinished],
                vec![proven("b", "/v", 5)],
                Some(false),
            ),
            (
                "proven elsewhere, where it is gone by now, and another copy was not read to its end",
                vec![look("a", 9, &[("/a", false)]), rest],
                vec![proven("b", "/v", 5)],
                Some(true),
            ),
            (
                "proven elsewhere, where nothing is left",
                vec![look("a", 9, &[("/a", false)]), look("b", 9, &[])],
                vec![proven("b", "/v", 5)],
                Some(true),
            ),
        ] {
            let damage = Damage::of(&looks, &proofs);
            assert_eq!(
                damage.as_ref().map(Damage::is_of_every_copy),
                expected,
                "{name}: {damage:?}"
            );
        }
    }

    #[test]
    fn what_is_known_of_a_copy_stands_until_that_copy_is_read_again() {
        let first = look("a", 10, &[("/a", false), ("/b", true)]);
        let partly = |minutes, proofs: &[IntactCopy], unread: &[&str]| {
            let mut partly = look("a", minutes, &[("/a", false)]);
            partly.unread = unread.iter().map(ToString::to_string).collect();
            partly.keep_unread(Some(&first), proofs);
            Damage::of(&[partly], proofs).unwrap()
        };
        let of_look = partly(20, &[], &["/b", "/c"]);
        assert_eq!(of_look.intact, [proven("a", "/b", 10)], "as it was read then");
        let proofs = [
            proven("a", "/b", 15),
            proven("b", "/b", 18),
            proven("a", "/b", 12),
            proven("a", "/c", 11),
            proven("a", "/d", 5),
        ];
        let of_proof = partly(20, &proofs, &["/b", "/c", "/d"]);
        assert_eq!(
            of_proof.intact,
            [
                proven("a", "/b", 15),
                proven("a", "/c", 11),
                proven("b", "/b", 18)
            ],
            "/d was seen to be gone after its proof"
        );
        assert!(
            partly(20, &[], &[]).is_of_every_copy(),
            "one that is no longer there stands for nothing"
        );
        let long_after = partly(20 + DOUBTED_FOR.num_minutes(), &proofs, &["/b", "/c"]);
        assert_eq!(
            long_after.intact,
            [proven("b", "/b", 18)],
            "what nobody could read for so long speaks for nothing"
        );
        // Nothing was read at all.
        let mut nothing = look("a", 30, &[]);
        nothing.state = VerificationState::Unfinished;
        nothing.unread = vec!["/a".to_owned(), "/b".to_owned()];
        nothing.keep_unread(Some(&first), &[]);
        assert_eq!(nothing.state, VerificationState::Differs);
        let damage = Damage::of(&[nothing], &[]).unwrap();
        assert_eq!((damage.copies[0].looked_at, damage.intact.len()), (at(10), 1));
    }

    #[test]
    fn a_copy_that_is_missing_counts_against_the_set_like_one_that_differs() {
        let mut found = look("a", 9, &[("/a", true)]);
        let gone = LookedAtCopy::gone("/b".to_owned(), "the copy that arrived at vault".to_owned());
        found.copies.push(gone.clone());
        assert!(found.lacks_copies_alone());
        assert_eq!(
            found.faults(),
            ["/b: the copy that arrived at vault is not there"]
        );
        let damage = Damage::of(std::slice::from_ref(&found), &[proven("a", "/b", 5)]).unwrap();
        assert!(!damage.is_of_every_copy());
        let line =
            "/b on a is missing since 1970-01-01T00:09:00Z: the copy that arrived at vault is not there";
        assert_eq!(damage.lines(Tz::UTC)[0], line);
        found.copies.remove(0);
        assert!(!found.lacks_copies_alone() && found.has_nothing_left());
        let damage = Damage::of(&[found], &[proven("a", "/b", 5)]).unwrap();
        assert!(
            damage.is_of_every_copy(),
            "a proof restores nothing that is missing"
        );
    }

    #[test]
    fn a_copy_is_named_with_its_place_and_its_time() {
        let damage = Damage::of(&[look("a", 9, &[("/a", false), ("/b", true)])], &[]).unwrap();
        assert_eq!(
            damage.lines(Tz::Asia__Shanghai),
            [
                "/a on a differs since 1970-01-01T08:09:00+08:00: file shop.sql: expected present, found missing",
                "/b on a was as written at 1970-01-01T08:09:00+08:00"
            ]
        );
    }
}
