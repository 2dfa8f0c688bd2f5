//! Sets that are not where they should be, and whose disk may not be there either: of these nothing is known, and a pass
//! neither judges them nor tells of them.

use crate::disk::Disk;
use crate::error::DaemonError;
use crate::jobs::verify::is_away;
use crate::mounted::{Absent, is_told};
use crate::removal::Standing;
use mykeeper_domain::BackupId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a pass has seen below its job's directory.
#[derive(Default)]
pub(super) struct Seen {
    /// The roots below whose days a set lies.
    with_sets: BTreeSet<PathBuf>,
    /// The places of each set that lies in none of its own.
    missing: BTreeMap<BackupId, Vec<PathBuf>>,
}

impl Seen {
    /// Takes a set, with each of its places and how that stands.
    pub(super) fn take(&mut self, id: BackupId, places: &[PathBuf], standing_of: &[Standing]) {
        let there = places.iter().zip(standing_of);
        let there: Vec<&PathBuf> = there
            .filter(|(_, standing)| **standing != Standing::Gone)
            .map(|(place, _)| place)
            .collect();
        if there.is_empty() {
            self.missing.insert(id, places.to_vec());
        }
        let roots = there.into_iter().filter_map(|place| root(place));
        self.with_sets.extend(roots.map(Path::to_owned));
    }

    /// The sets whose disk may be away, with what is to be said of them, one sentence for each disk. It may be where the
    /// root of their days is not there or empty, where it is marked as missed, and where no set lies any more: unless a
    /// person has told that it is the right one.
    ///
    /// # Errors
    /// A file system does not answer in time.
    pub(super) async fn away(self, disk: &Disk) -> Result<(BTreeSet<BackupId>, Vec<String>), DaemonError> {
        let mut is_away_at: BTreeMap<PathBuf, bool> = BTreeMap::new();
        let mut away = BTreeSet::new();
        let mut sets_at: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for (id, places) in &self.missing {
            for place in places {
                let Some(root) = root(place) else { continue };
                let is_away = match is_away_at.get(root) {
                    Some(known) => *known,
                    None => {
                        let is_silent = !self.with_sets.contains(root) && !is_told(disk, root).await?;
                        is_silent || is_away(disk, place).await
                    }
                };
                is_away_at.insert(root.to_owned(), is_away);
                if is_away && away.insert(*id) {
                    *sets_at.entry(root.to_owned()).or_default() += 1;
                }
            }
        }
        let mut told = Vec::new();
        for (root, sets) in sets_at {
            let absent = Absent::of(disk, &root, sets).await?;
            told.push(format!("{absent}; none of them is removed, or marked"));
        }
        Ok((away, told))
    }
}

/// Of `<root>/<YYYY-MM-DD>/<bk_id>`.
fn root(place: &Path) -> Option<&Path> {
    place.parent()?.parent()
}
