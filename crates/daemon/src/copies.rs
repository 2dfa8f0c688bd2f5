//! What the catalog knows of the copies of a set that nobody looks at just now: what was read of them, and what has
//! arrived where.

use crate::locate::{is_named, original, relative_path};
use chrono::{DateTime, Utc};
use mykeeper_catalog::{Catalog, CatalogError, RunFilter};
use mykeeper_config::Settings;
use mykeeper_domain::arrival::{Arrival, arrivals};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::{DOUBTED_FOR, DamagedCopy, KnownCopies};
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::removal::Removal;
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::verification::{Verification, VerificationState};
use mykeeper_domain::{BackupId, NodeName};
use std::path::{Path, PathBuf};

/// What is said of a copy that nobody is known to have written.
const READ_THERE: &str = "the copy that was read there";

/// Whether a copy should lie at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It should, and is this, for people.
    There(String),
    /// Whoever removes sets has removed it.
    Removed,
    /// Nobody is known to have written one there, nor read one that has not gone since.
    NotKnown,
}

/// What is known of one set's copies.
pub(crate) struct Known {
    /// The newest look of each node.
    pub(crate) looks: Vec<Verification>,
    /// What looks and proofs have come to.
    pub(crate) copies: KnownCopies,
    /// What has arrived, wherever that lies.
    pub(crate) arrivals: Vec<Arrival>,
    /// What was removed. What was read of it before is not among the looks.
    pub(crate) removals: Vec<Removal>,
    transfers: Vec<Transfer>,
}

/// The folder of this machine that it was sent to, as a destination that is configured here. Two machines may call
/// different destinations by one name.
pub(crate) fn root_here<'a>(arrival: &Arrival, settings: &'a Settings) -> Option<&'a Path> {
    let mut destinations = settings.destinations.values();
    let there =
        destinations.find(|there| arrival.is_in_a_folder() && there.name.as_str() == arrival.destination)?;
    match &there.url {
        DestinationUrl::Local { path } => Some(path),
        _ => None,
    }
}

/// Whether what was sent to an address may lie in a folder of this path there. The folder of a module is not known, nor one
/// that an account is kept to.
fn may_lie_at(target: &str, place: &Path) -> bool {
    let below = match target.parse() {
        Ok(DestinationUrl::Ssh { path, .. }) => path,
        Ok(DestinationUrl::Daemon { path, .. }) => path
            .split_once('/')
            .map_or_else(String::new, |(_, below)| below.to_owned()),
        _ => return true,
    };
    place.ends_with(below.trim_start_matches('/'))
}

impl Known {
    /// # Errors
    /// The catalog does not answer.
    pub(crate) async fn of(catalog: &dyn Catalog, backup: &Backup) -> Result<Self, CatalogError> {
        let looks = catalog.verifications(backup.id).await?;
        let copies = KnownCopies::of(&looks, &catalog.proven_copies(backup.id).await?);
        let transfers = catalog.transfers(backup.id).await?;
        Ok(Self {
            looks,
            copies,
            arrivals: arrivals(backup, &transfers),
            removals: catalog.removals(backup.id).await?,
            transfers,
        })
    }

    /// Whether no copy but this one is known to be whole, and one is known not to be, or to be missing. One that was sent
    /// again, or compared, since it was read is another.
    pub(crate) fn has_lost_others(&self, (node, place): (&NodeName, &Path)) -> bool {
        let is_this = |of: &NodeName, path: &str| of == node && Path::new(path) == place;
        let differing = self.copies.differing.iter();
        let others = differing.filter(|copy| !is_this(&copy.node, &copy.path));
        let lost: Vec<&DamagedCopy> = others.collect();
        let (mut intact, mut arrivals) = (self.copies.intact.iter(), self.arrivals.iter());
        let is_whole = |arrival: &Arrival, copy: &DamagedCopy| {
            let is_another = arrival.target.starts_with('/') && arrival.target != copy.path;
            is_another || arrival.seen_at >= copy.looked_at
        };
        !lost.is_empty()
            && intact.all(|copy| is_this(&copy.node, &copy.path))
            && !arrivals.any(|arrival| lost.iter().all(|copy| is_whole(arrival, copy)))
    }

    /// What was in a folder of this machine, for people: `the copy that arrived at vault on 2026-11-22 04:10 UTC`. `None`
    /// where nothing is known to have been there, or what was has been removed by whoever removes sets.
    pub(crate) fn was_at(&self, place: &Path, backup: &Backup, settings: &Settings) -> Option<String> {
        let missing = || {
            let shown = place.display().to_string();
            let mut gone = self.copies.differing.iter().filter(|copy| copy.is_gone);
            gone.any(|copy| copy.node == settings.node && copy.path == shown)
        };
        match self.should_lie_at(place, backup, settings) {
            Expected::There(what) => Some(what),
            // What was never whole there, nobody misses.
            Expected::NotKnown if missing() => Some(READ_THERE.to_owned()),
            Expected::NotKnown | Expected::Removed => None,
        }
    }

    /// Whether a folder of this path on two machines is one that both have mounted, as far as is known: no copy that has ever
    /// arrived at an address may lie in it, on a disk of that machine's own.
    pub(crate) fn is_one_folder(&self, place: &Path) -> bool {
        let sent = self.transfers.iter().filter(|one| {
            one.purpose == TransferPurpose::Send && one.state.is_success() && !one.target.starts_with('/')
        });
        let arrived = self.arrivals.iter().filter(|arrival| arrival.host().is_some());
        let mut targets = sent
            .map(|one| &one.target)
            .chain(arrived.map(|arrival| &arrival.target));
        !targets.any(|target| may_lie_at(target, place))
    }

    /// Whether a node has removed, or told of, what lay in a folder of its own, and nothing is known to have been sent since.
    /// What was told of lies about until another tool removes it.
    pub(crate) fn is_removed(&self, (node, place): (&NodeName, &Path)) -> bool {
        let removals = self.removals.iter();
        let removed = removals.filter(|one| one.node == *node && Path::new(&one.path) == place);
        let removed_at = removed.map(|removal| removal.removed_at).max();
        removed_at.is_some() && removed_at >= self.arrivals.iter().map(|one| one.written_at).max()
    }

    /// Whether a copy should lie in a folder of this machine, as far as anybody has written or read it there.
    pub(crate) fn should_lie_at(&self, place: &Path, backup: &Backup, settings: &Settings) -> Expected {
        let node = &settings.node;
        let own = original(backup, node);
        if own.as_deref() == Some(place) {
            if backup.original_gone_at.is_some() {
                return Expected::Removed;
            }
            // A name that many machines bear does not tell which of them made the set.
            if backup.node.is_some() && is_named(node, settings) {
                return Expected::There("the set's own folder".to_owned());
            }
        }
        // Whatever was read there since.
        if self.is_removed((node, place)) {
            return Expected::Removed;
        }
        let relative = relative_path(backup, settings.catalog.timezone);
        let is_place_of = |name: &str| {
            settings.destinations.values().any(|there| {
                there.name.as_str() == name
                    && matches!(&there.url, DestinationUrl::Local { path } if path.join(&relative) == place)
            })
        };
        // A folder of the same path on another machine is another folder.
        let is_here = |arrival: &&Arrival| {
            let is_sent_here = arrival.node.as_ref() == Some(node) && is_named(node, settings);
            is_sent_here && is_place_of(&arrival.destination)
        };
        let shown = place.display().to_string();
        // Two machines may have mounted one folder: whichever has removed what lay there.
        let is_one_folder = self.is_one_folder(place);
        let removed = self
            .removals
            .iter()
            .filter(|removal| removal.path == shown && (removal.node == *node || is_one_folder));
        let removed_at = removed.map(|removal| removal.removed_at).max();
        if let Some(arrival) = self.arrivals.iter().find(is_here) {
            if removed_at.is_some_and(|at| at >= arrival.written_at) {
                return Expected::Removed;
            }
            return Expected::There(format!(
                "the copy that arrived at {} on {}",
                arrival.destination,
                arrival.written_at.format("%Y-%m-%d %H:%M UTC")
            ));
        }
        // Nor is one there that was cleared at the destination that it is, from wherever.
        let is_cleared = |transfer: &&Transfer| {
            transfer.purpose == TransferPurpose::Clear
                && transfer.state.is_success()
                && is_place_of(transfer.destination.as_str())
        };
        let cleared = self.transfers.iter().filter(is_cleared);
        let cleared_at = cleared.filter_map(|transfer| transfer.finished_at).max();
        let removed_at = removed_at.max(cleared_at);
        let mut read = self.copies.intact.iter();
        if read.any(|copy| copy.node == *node && copy.path == shown && removed_at < Some(copy.looked_at)) {
            return Expected::There(READ_THERE.to_owned());
        }
        let differing = self.copies.differing.iter();
        let missed = differing.filter(|copy| copy.is_gone && copy.node == *node && copy.path == shown);
        let missed_at = missed.map(|copy| copy.looked_at).max();
        match removed_at.is_some() && removed_at >= missed_at {
            true => Expected::Removed,
            false => Expected::NotKnown,
        }
    }
}

/// Whether a node that has seen something at `seen_at` still speaks for it: it has shown itself of late.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn lives(
    catalog: &dyn Catalog,
    node: &NodeName,
    seen_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, CatalogError> {
    let since = now - DOUBTED_FOR;
    if seen_at >= since {
        return Ok(true);
    }
    let filter = RunFilter {
        node: Some(node.clone()),
        since: Some(since),
        limit: 1,
        ..RunFilter::default()
    };
    Ok(!catalog.runs(&filter).await?.is_empty())
}

/// Where a node has looked for a set without finding a copy of it.
pub(crate) struct Searched<'a> {
    /// All places that it knows.
    pub(crate) places: &'a [PathBuf],
    /// Those of them where a copy stays, or may lie that cannot be asked for now.
    pub(crate) left: &'a [PathBuf],
}

/// A look that tells that of a set nothing is left on this node elsewhere: what was known of the places that are left
/// stands, and for a while of those that it does not know any more; what was known of the others speaks for the set no
/// longer. With whether anything was known.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn seen_gone(
    catalog: &dyn Catalog,
    (node, id): (&NodeName, BackupId),
    searched: &Searched<'_>,
    now: DateTime<Utc>,
) -> Result<(Verification, bool), CatalogError> {
    let looks = catalog.verifications(id).await?;
    let known = KnownCopies::of(&looks, &catalog.proven_copies(id).await?);
    let differing = known.differing.iter().map(|copy| (&copy.node, &copy.path));
    let intact = known.intact.iter().map(|copy| (&copy.node, &copy.path));
    let own: Vec<&String> = differing
        .chain(intact)
        .filter(|(of, _)| *of == node)
        .map(|(_, path)| path)
        .collect();
    let may_be_there = |path: &&String| {
        let place = Path::new(path.as_str());
        searched.left.iter().any(|left| left == place) || !searched.places.iter().any(|known| known == place)
    };
    let mut left: Vec<String> = own.iter().copied().filter(may_be_there).cloned().collect();
    let removals = catalog.removals(id).await?;
    let is_told = |at: DateTime<Utc>| looks.iter().any(|look| look.node == *node && look.looked_at > at);
    let removed = removals.iter().filter(|removal| removal.node == *node);
    let had_some = !own.is_empty()
        || removed
            .map(|removal| removal.removed_at)
            .max()
            .is_some_and(|at| !is_told(at));
    // A place that stays, or may, without anybody having read it: no more is said than that the others are gone.
    left.extend(searched.left.iter().map(|place| place.display().to_string()));
    left.sort();
    left.dedup();
    let found = Verification {
        bk_id: id,
        node: node.clone(),
        run_id: None,
        state: match left.is_empty() {
            true => VerificationState::AsWritten,
            false => VerificationState::Unfinished,
        },
        looked_at: now,
        copies: Vec::new(),
        unread: left,
    };
    Ok((found, had_some))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_to_an_address_may_lie_in_any_folder_that_ends_as_it_does() {
        for (target, may) in [
            ("backup@far:/vault/2026-11-22/x", true),
            ("backup@far:/sets/2026-11-22/x", false),
            ("backup@far:/2026-11-22/x", true),
            ("rsync://far/sets/2026-11-22/x", true),
            ("rsync://far/sets/vault/2026-11-22/x", true),
            ("rsync://far/sets/other/2026-11-22/x", false),
            ("", true),
        ] {
            assert_eq!(
                may_lie_at(target, Path::new("/vault/2026-11-22/x")),
                may,
                "{target}"
            );
        }
    }
}
