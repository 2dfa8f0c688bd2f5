//! Sets that are not where they should be, and whose disk may not be there either: of these nothing is known, and a pass
//! neither judges them nor tells of them. One that was seen on a disk is judged while that disk is there, and no other is
//! asked; of one that was not, what else lies there has to tell.

use super::marks::places_of_mark;
use crate::copies::{Expected, Known};
use crate::covered;
use crate::disk::Disk;
use crate::disk_id::{DISK_FILE, DiskIds};
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::verify::is_away;
use crate::mounted::{Absent, is_told, root_of, touch};
use crate::removal::Standing;
use crate::seen_on::{self, SeenOn};
use mykeeper_catalog::CatalogError;
use mykeeper_config::Settings;
use mykeeper_domain::backup::Deletion;
use mykeeper_domain::retention::{CondemnReason, Decision, KeepReason, Verdict};
use mykeeper_domain::{BackupId, counted};
use mykeeper_tools::rsync::shell_word;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Sets that are noted, and that a pass has not met, of which the catalog is asked in one pass.
const MOST_ASKED: usize = 1000;

/// What a pass has seen below its job's directory.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The roots below whose days a set lies.
    with_sets: BTreeSet<PathBuf>,
    /// The places of each set that lies in none of its own.
    missing: BTreeMap<BackupId, Vec<PathBuf>>,
    /// Those where it does not lie, of each set that lies in another.
    partly: BTreeMap<BackupId, Vec<PathBuf>>,
    /// Where each set lies.
    pub(super) lying: Vec<(BackupId, PathBuf)>,
    /// What was asked of each root.
    roots: BTreeMap<PathBuf, Root>,
    /// Of each day's folder whether it leads to where none of its sets lies.
    linked_away: BTreeMap<PathBuf, bool>,
}

/// What is known of a root.
#[derive(Debug)]
struct Root {
    /// The disk that is there, if it says which it is.
    here: Option<DiskIds>,
    seen: SeenOn,
    /// Whether it holds no set of the job, and no person has told that it is the right one; or it is marked as missed.
    is_silent: bool,
}

/// Why the disk of a place may not be there.
#[derive(Debug, PartialEq, Eq)]
enum Missed {
    /// Nothing there tells that it is.
    Silent,
    /// It is another, and the set may lie on these.
    Other(BTreeSet<Uuid>),
    /// This folder, of its day, is a link to where none of its sets lies.
    Linked(PathBuf),
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
        for (place, _) in there {
            self.with_sets.extend(root_of(place).map(Path::to_owned));
            self.lying.push((id, place.clone()));
        }
    }

    /// Whether the disk of a place may be away: where it is known not to be the one that the set was seen on; and of a set that was
    /// seen on none where the root of its days is not there or holds no sets, where it is marked as missed, and where none of those
    /// that the pass knows lies any more, unless a person has told that it is the right one.
    async fn may_be_away(
        &mut self,
        environment: &Environment,
        (id, place): (BackupId, &Path),
    ) -> Result<Option<Missed>, DaemonError> {
        let Some(path) = root_of(place) else {
            return Ok(None);
        };
        let disk = &environment.disk;
        if let Some(day) = self.linked_away_of(disk, (place, path)).await? {
            return Ok(Some(Missed::Linked(day)));
        }
        if !self.roots.contains_key(path) {
            let asked = path.to_owned();
            // One that cannot be read does not tell which disk it is on.
            let here = disk.ask(("look at", path), move || {
                DiskIds::read(&asked).unwrap_or_default()
            });
            let found = Root {
                here: here.await?,
                seen: SeenOn::at(&environment.state, path)?,
                is_silent: !self.with_sets.contains(path) && !is_told(disk, path).await?
                    || is_away(disk, place).await,
            };
            self.roots.insert(path.to_owned(), found);
        }
        let Some(root) = self.roots.get(path) else {
            return Ok(None);
        };
        let elsewhere = root.seen.elsewhere(id, root.here.as_ref());
        Ok(match (elsewhere.is_empty(), root.is_silent) {
            (_, true) if root.here.is_none() => Some(Missed::Silent),
            (false, _) => Some(Missed::Other(elsewhere)),
            (true, true) if !root.seen.is_of(id, root.here.as_ref()) => Some(Missed::Silent),
            (true, _) => None,
        })
    }

    /// The folder of a place's day, where that is a link to where nothing of sets is: another disk than the root's, which may be
    /// away. A root that is a link itself is judged as a root.
    async fn linked_away_of(
        &mut self,
        disk: &Disk,
        (place, root): (&Path, &Path),
    ) -> Result<Option<PathBuf>, DaemonError> {
        let Some(day) = place.parent().filter(|day| *day != root) else {
            return Ok(None);
        };
        if let Some(known) = self.linked_away.get(day) {
            return Ok(known.then(|| day.to_owned()));
        }
        let asked = day.to_owned();
        let is_link = disk.ask(("look at", day), move || {
            asked.symlink_metadata().is_ok_and(|found| found.is_symlink())
        });
        let is_away = is_link.await? && !self.lying.iter().any(|(_, lying)| lying.parent() == Some(day));
        self.linked_away.insert(day.to_owned(), is_away);
        Ok(is_away.then(|| day.to_owned()))
    }

    /// The sets whose disk may be away. So it is of those that a mount covers (`covered`).
    ///
    /// # Errors
    /// A file system does not answer in time.
    pub(super) async fn away(
        &mut self,
        environment: &Environment,
        covered: &BTreeSet<BackupId>,
    ) -> Result<Away, DaemonError> {
        let mut sets = BTreeSet::new();
        let mut sets_at: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut below: BTreeMap<PathBuf, Vec<(BackupId, PathBuf)>> = BTreeMap::new();
        let mut others: BTreeMap<PathBuf, OtherDisks> = BTreeMap::new();
        let mut linked: BTreeMap<PathBuf, Vec<BackupId>> = BTreeMap::new();
        for (id, places) in self.missing.clone() {
            for place in places {
                let Some(root) = root_of(&place).map(Path::to_owned) else {
                    continue;
                };
                match self.may_be_away(environment, (id, &place)).await? {
                    Some(Missed::Silent) if sets.insert(id) => *sets_at.entry(root).or_default() += 1,
                    Some(Missed::Linked(day)) if sets.insert(id) => linked.entry(day).or_default().push(id),
                    None | Some(Missed::Other(_)) if covered.contains(&id) && sets.insert(id) => {
                        below.entry(root).or_default().push((id, place));
                    }
                    Some(Missed::Other(disks)) if sets.insert(id) => {
                        let others = others.entry(root).or_default();
                        others.sets.push(id);
                        others.disks.extend(disks);
                    }
                    _ => {}
                }
            }
        }
        let mut told = Vec::new();
        for (root, sets) in sets_at {
            let absent = Absent::of(&environment.disk, &root, sets).await?;
            told.push(format!("{absent}; none of them is removed, or marked"));
        }
        told.extend(others.iter().map(|(root, others)| others.told(root)));
        told.extend(linked.iter().map(|(day, sets)| linked_away(day, sets)));
        told.extend(below.iter().map(|(root, sets)| covered::told(root, sets)));
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
            let is_begun = decision.verdict == Verdict::Condemn(CondemnReason::RemovalBegun);
            let emptied = match is_begun {
                true => places_of_mark(&decision.backup).unwrap_or_default(),
                false => Vec::new(),
            };
            for place in gone {
                let Some(missed) = self.may_be_away(environment, (id, &place)).await? else {
                    continue;
                };
                // What the removal that is to be finished has taken from there is not missed, unless nothing at all is there.
                if missed == Missed::Silent
                    && emptied.contains(&place)
                    && !is_away(&environment.disk, &place).await
                {
                    continue;
                }
                let known = Known::of(environment.catalog.as_ref(), &decision.backup).await?;
                if let Expected::There(_) = known.should_lie_at(&place, &decision.backup, settings) {
                    decision.verdict = Verdict::Keep(vec![KeepReason::PlaceAway]);
                    kept.push((place, missed));
                    break;
                }
            }
        }
        Ok(kept.first().map(|(place, missed)| {
            let root = root_of(place).unwrap_or(place);
            format!(
                "{}, which no rule keeps, since another copy should lie where no disk may be mounted (the first: {}); mount \
                 it, or if that {} is gone for good: {}",
                counted(kept.len(), "set stays", "sets stay"),
                place.display(),
                match missed {
                    Missed::Linked(_) => "which the folder of its day is a link to",
                    Missed::Silent | Missed::Other(_) => "disk",
                },
                match missed {
                    Missed::Linked(day) => format!("remove the link {}", day.display()),
                    Missed::Silent => touch(root),
                    Missed::Other(disks) => stand_for(root, disks),
                }
            )
        }))
    }

    /// The sets that are noted as seen below the pass's roots and are none any more, by their roots.
    ///
    /// # Errors
    /// The notes cannot be read; the catalog does not answer.
    pub(super) async fn over(
        &self,
        environment: &Environment,
    ) -> Result<BTreeMap<PathBuf, BTreeSet<BackupId>>, DaemonError> {
        let met: BTreeSet<BackupId> = self.lying.iter().map(|(id, _)| *id).collect();
        let mut over: BTreeMap<PathBuf, BTreeSet<BackupId>> = BTreeMap::new();
        for root in &self.with_sets {
            let seen = SeenOn::at(&environment.state, root)?;
            let not_met = seen.sets().filter(|id| !met.contains(id));
            for id in not_met.take(MOST_ASKED) {
                if is_over(environment, id).await? {
                    over.entry(root.clone()).or_default().insert(id);
                }
            }
        }
        Ok(over)
    }
}

/// Notes on which disks the pass has seen sets, and forgets those that are none any more.
///
/// # Errors
/// A file system does not answer in time; the catalog does not; `state_dir` does not take it.
pub(super) async fn note_seen(environment: &Environment, seen: &Seen) -> Result<(), DaemonError> {
    seen_on::note(environment, seen.lying.clone()).await?;
    for (root, over) in seen.over(environment).await? {
        seen_on::forget(environment, root, over).await?;
    }
    Ok(())
}

async fn is_over(environment: &Environment, id: BackupId) -> Result<bool, CatalogError> {
    let found = environment.catalog.backup(id).await?;
    Ok(found.is_none_or(|found| found.deletion == Deletion::Deleted))
}

/// Sets that lie below one root, on other disks than the one that is there.
#[derive(Default)]
struct OtherDisks {
    sets: Vec<BackupId>,
    disks: BTreeSet<Uuid>,
}

impl OtherDisks {
    fn told(&self, root: &Path) -> String {
        format!(
            "{} that should lie in {root} {are} not on the disk that is there, but on another, as far as is known: mount \
             that, or, if it is gone for good, or its sets were moved, give up what is not here: {}; none of them is \
             removed, or marked",
            counted(self.sets.len(), "set", "sets"),
            stand_for(root, &self.disks),
            root = root.display(),
            are = if self.sets.len() == 1 { "is" } else { "are" },
        )
    }
}

/// The command that says that the disk that is there stands for others.
fn stand_for(root: &Path, disks: &BTreeSet<Uuid>) -> String {
    let ids: Vec<String> = disks.iter().map(Uuid::to_string).collect();
    let file = root.join(DISK_FILE).display().to_string();
    format!("printf '%s\\n' {} >> {}", ids.join(" "), shell_word(&file))
}

/// Nobody says of a day's folder that it is the right one.
fn linked_away(day: &Path, sets: &[BackupId]) -> String {
    let id = sets.first().map(ToString::to_string).unwrap_or_default();
    format!(
        "{} that should lie in {} {} not there, which is a link to another place: mount what it leads to, or, if {} removed on \
         purpose, \"mykeeper mark-deleted --bk-id {id}\" for each; none of them is removed, or marked",
        counted(sets.len(), "set", "sets"),
        day.display(),
        if sets.len() == 1 { "is" } else { "are" },
        if sets.len() == 1 { "it was" } else { "they were" },
    )
}
