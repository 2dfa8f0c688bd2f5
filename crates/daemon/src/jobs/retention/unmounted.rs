//! Sets that are not where they should be, and whose disk may not be there either: of these nothing is known, and a pass
//! neither judges them nor tells of them.

use crate::copies::{Expected, Known};
use crate::disk::Disk;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::verify::is_away;
use crate::mounted::{Absent, is_told, root_of, touch};
use crate::removal::Standing;
use mykeeper_config::Settings;
use mykeeper_domain::retention::{Decision, KeepReason, Verdict};
use mykeeper_domain::{BackupId, counted};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a pass has seen below its job's directory.
#[derive(Default)]
pub(super) struct Seen {
    /// The roots below whose days a set lies.
    with_sets: BTreeSet<PathBuf>,
    /// The places of each set that lies in none of its own.
    missing: BTreeMap<BackupId, Vec<PathBuf>>,
    /// Those where it does not lie, of each set that lies in another.
    partly: BTreeMap<BackupId, Vec<PathBuf>>,
    /// Whether the disk of a root may be away, as it was asked.
    is_away_at: BTreeMap<PathBuf, bool>,
}

/// What is known of no set.
pub(super) struct Away {
    /// The sets.
    pub(super) sets: BTreeSet<BackupId>,
    /// What is to be said of them, one sentence for each disk.
    pub(super) told: Vec<String>,
}

impl Seen {
    /// Takes a set, with each of its places and how that stands.
    pub(super) fn take(&mut self, id: BackupId, places: &[PathBuf], standing_of: &[Standing]) {
        let (gone, there): (Vec<_>, Vec<_>) = places
            .iter()
            .zip(standing_of)
            .partition(|(_, standing)| **standing == Standing::Gone);
        let gone = gone.into_iter().map(|(place, _)| place.clone()).collect();
        match there.is_empty() {
            true => drop(self.missing.insert(id, gone)),
            false => drop(self.partly.insert(id, gone)),
        }
        let roots = there.into_iter().filter_map(|(place, _)| root_of(place));
        self.with_sets.extend(roots.map(Path::to_owned));
    }

    /// Whether the disk of a place may be away: where the root of its days is not there or holds no sets, where it is marked
    /// as missed, and where none of those that the pass knows lies any more, unless a person has told that it is the right one.
    async fn may_be_away(&mut self, disk: &Disk, place: &Path) -> Result<bool, DaemonError> {
        let Some(root) = root_of(place) else {
            return Ok(false);
        };
        if let Some(known) = self.is_away_at.get(root) {
            return Ok(*known);
        }
        let is_silent = !self.with_sets.contains(root) && !is_told(disk, root).await?;
        let found = is_silent || is_away(disk, place).await;
        self.is_away_at.insert(root.to_owned(), found);
        Ok(found)
    }

    /// The sets whose disk may be away. So it is of those that a mount covers (`covered`).
    ///
    /// # Errors
    /// A file system does not answer in time.
    pub(super) async fn away(
        &mut self,
        disk: &Disk,
        covered: &BTreeSet<BackupId>,
    ) -> Result<Away, DaemonError> {
        let mut sets = BTreeSet::new();
        let mut sets_at: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut below: BTreeMap<PathBuf, Vec<(BackupId, PathBuf)>> = BTreeMap::new();
        for (id, places) in self.missing.clone() {
            for place in places {
                let Some(root) = root_of(&place).map(Path::to_owned) else {
                    continue;
                };
                if self.may_be_away(disk, &place).await? {
                    if sets.insert(id) {
                        *sets_at.entry(root).or_default() += 1;
                    }
                } else if covered.contains(&id) && sets.insert(id) {
                    below.entry(root).or_default().push((id, place));
                }
            }
        }
        let mut told = Vec::new();
        for (root, sets) in sets_at {
            let absent = Absent::of(disk, &root, sets).await?;
            told.push(format!("{absent}; none of them is removed, or marked"));
        }
        told.extend(below.iter().map(|(root, sets)| covered_by(root, sets)));
        Ok(Away { sets, told })
    }

    /// Keeps the sets that would go while one of their places, where they should lie as well, may only be unmounted: what
    /// lies there would be forgotten.
    ///
    /// # Errors
    /// A file system does not answer in time; the catalog does not.
    pub(super) async fn keep_for_places(
        &mut self,
        environment: &Environment,
        settings: &Settings,
        decisions: &mut [Decision],
    ) -> Result<Option<String>, DaemonError> {
        let mut kept = Vec::new();
        for decision in decisions {
            let (id, goes) = (
                decision.backup.id,
                matches!(decision.verdict, Verdict::Condemn(_)),
            );
            let Some(gone) = self.partly.get(&id).filter(|_| goes).cloned() else {
                continue;
            };
            for place in gone {
                if !self.may_be_away(&environment.disk, &place).await? {
                    continue;
                }
                let known = Known::of(environment.catalog.as_ref(), &decision.backup).await?;
                if let Expected::There(_) = known.should_lie_at(&place, &decision.backup, settings) {
                    decision.verdict = Verdict::Keep(vec![KeepReason::PlaceAway]);
                    kept.push(place);
                    break;
                }
            }
        }
        Ok(kept.first().map(|place| {
            format!(
                "{}, which no rule keeps, since another copy should lie where no disk may be mounted (the first: {}); mount \
                 it, or if that disk is gone for good: {}",
                counted(kept.len(), "set stays", "sets stay"),
                place.display(),
                touch(root_of(place).unwrap_or(place))
            )
        }))
    }
}

fn covered_by(root: &Path, sets: &[(BackupId, PathBuf)]) -> String {
    let (id, place) = match sets.first() {
        Some((id, place)) => (id.to_string(), place.display().to_string()),
        None => Default::default(),
    };
    format!(
        "{} while the disk of {root} was missed, and {} below its mount point: unmount it, move what is there ({place}) to \
         the disk, and mount it again, or give it up with \"mykeeper mark-deleted --bk-id {id}\"",
        counted(sets.len(), "set was made", "sets were made"),
        if sets.len() == 1 { "lies" } else { "lie" },
        root = root.display(),
    )
}
