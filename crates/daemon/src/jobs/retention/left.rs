//! What is left of a set when a pass has removed its places: `is_deleted` says that it is nowhere any more, and those who
//! look after another copy, and prove it, leave sets alone that are.

use super::carry_out::Removal;
use crate::copies::{Known, lives, root_here};
use crate::jobs::verify::Here;
use crate::jobs::{JobError, RunContext};
use crate::locate::{is_named, original, relative_path};
use crate::machine::may_be_original;
use crate::seen_on;
use mykeeper_domain::NodeName;
use mykeeper_domain::arrival::Arrival;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::removal::Removal as Removed;
use mykeeper_domain::verification::VerificationState;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a removal leaves.
pub(super) struct Stays {
    /// What is known to stay.
    pub(super) left: Left,
    /// The arrivals that it removes.
    pub(super) removed: Vec<Arrival>,
}

/// What is known to stay.
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// A copy; what goes is the original.
    Copy,
    /// What this says, for people; what goes is a copy.
    Another {
        what: String,
        /// It has told so before, and has seen nothing of the set since.
        is_told: bool,
    },
}

/// Asked before anything is removed: whatever becomes of the catalog meanwhile, what stays is known.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn left_of(context: &RunContext, removal: &Removal<'_>) -> Result<Stays, JobError> {
    let (backup, environment) = (removal.backup, &context.environment);
    let catalog = environment.catalog.as_ref();
    let paths = catalog.paths().await?;
    let own = original(backup, &environment.node).filter(|own| {
        removal.places.contains(own) && may_be_original(backup, &paths, &context.settings, removal.machine)
    });
    let look = Look {
        context,
        removal,
        known: Known::of(catalog, backup).await?,
        here: Here::find(environment, backup).await?,
        is_original: own.is_some(),
    };
    let arrivals = look.known.arrivals.iter();
    let removed = arrivals
        .filter(|arrival| look.removes(arrival))
        .cloned()
        .collect();
    let on_another_disk = look.on_another_disk().await?;
    let is_another = on_another_disk.is_some();
    let stays = match on_another_disk {
        None => look.what_stays().await?,
        found => found,
    };
    let left = match stays {
        None => Left::Nothing,
        Some(_) if look.is_original && !is_another => Left::Copy,
        Some(what) => Left::Another {
            what,
            is_told: look.is_told(),
        },
    };
    Ok(Stays { left, removed })
}

struct Look<'a> {
    context: &'a RunContext,
    removal: &'a Removal<'a>,
    known: Known,
    here: Here,
    /// Whether what goes is the original, as far as that can be told.
    is_original: bool,
}

impl Look<'_> {
    fn backup(&self) -> &Backup {
        self.removal.backup
    }

    fn node(&self) -> &NodeName {
        &self.context.environment.node
    }

    fn is_told(&self) -> bool {
        let mut places = self
            .removal
            .places
            .iter()
            .map(|place| place.display().to_string());
        places.all(|place| {
            let mut removed = self.removed_here().filter(|removal| removal.path == place);
            let written_at = self.known.arrivals.iter().map(|arrival| arrival.written_at).max();
            let mut known = self.known_places();
            removed.any(|removal| Some(removal.removed_at) >= written_at)
                && known.all(|(node, path)| node != self.node() || path != place)
        })
    }

    fn removed_here(&self) -> impl Iterator<Item = &Removed> {
        let removals = self.known.removals.iter();
        removals.filter(|removal| removal.node == *self.node())
    }

    /// The places of this machine that stay, and have the set, or may.
    fn others_here(&self) -> Vec<PathBuf> {
        let all = self.here.copies.iter().chain(&self.here.unread);
        all.filter(|place| !self.removal.places.contains(place))
            .cloned()
            .collect()
    }

    async fn what_stays(&self) -> Result<Option<String>, JobError> {
        if let Some(place) = self.here_too() {
            return Ok(Some(format!("it lies in {} as well", place.display())));
        }
        if let Some(maker) = self.maker().await? {
            return Ok(Some(format!("its original lies on {maker}")));
        }
        if let Some(read) = self.read_elsewhere().await? {
            return Ok(Some(read));
        }
        Ok(self.arrived_elsewhere())
    }

    /// Disks that it was seen on, too, below what goes, and that are not there now: the set lies there under the same path.
    async fn on_another_disk(&self) -> Result<Option<String>, JobError> {
        let (environment, id) = (&self.context.environment, self.backup().id);
        let mut out = BTreeSet::new();
        for place in self.removal.places {
            out.extend(seen_on::out_of_reach(environment, id, place).await?);
        }
        let disks: Vec<String> = out.iter().map(ToString::to_string).collect();
        Ok((!disks.is_empty()).then(|| {
            format!(
                "it was seen on another disk, too, which is not there now ({})",
                disks.join(", ")
            )
        }))
    }

    /// Another place of this machine that has it, or has had it and is not mounted.
    fn here_too(&self) -> Option<&PathBuf> {
        let own = original(self.backup(), self.node());
        let stays = |place: &&PathBuf| {
            let is_gone = own.as_ref() == Some(*place) && self.backup().original_gone_at.is_some();
            !self.removal.places.contains(place) && !is_gone
        };
        let has_had = |place: &&PathBuf| {
            let arrivals = self.known.arrivals.iter();
            let mut here = arrivals.filter_map(|arrival| self.place_here(arrival));
            let mut known = self.known_places();
            here.any(|here| here == **place)
                || known.any(|(node, path)| node == self.node() && Path::new(path) == place.as_path())
        };
        let unread = self.here.unread.iter().filter(has_had);
        self.here.copies.iter().chain(unread).find(stays)
    }

    fn known_places(&self) -> impl Iterator<Item = (&NodeName, &str)> {
        let differing = self.known.copies.differing.iter();
        let differing = differing.map(|copy| (&copy.node, copy.path.as_str()));
        let intact = self.known.copies.intact.iter();
        differing.chain(intact.map(|copy| (&copy.node, copy.path.as_str())))
    }

    /// The machine that has the original, as far as is known: it lives, and has not told that it is gone.
    async fn maker(&self) -> Result<Option<NodeName>, JobError> {
        let backup = self.backup();
        let elsewhere = backup.node.as_ref().filter(|maker| {
            *maker != self.node()
                && is_named(maker, &self.context.settings)
                && backup.original_gone_at.is_none()
        });
        let Some(maker) = elsewhere else {
            return Ok(None);
        };
        let own = backup.folder();
        let mut removals = self.known.removals.iter();
        let is_removed = removals.any(|removal| removal.node == *maker && Path::new(&removal.path) == own);
        let is_seen_gone = self.known.looks.iter().any(|look| {
            let mut copies = look.copies.iter();
            let is_own = |path: &str| Path::new(path) == own;
            look.node == *maker
                && match look.state {
                    VerificationState::AsWritten => copies.all(|copy| !is_own(&copy.path)),
                    _ => copies.any(|copy| is_own(&copy.path) && copy.is_gone),
                }
        });
        let (catalog, now) = (&self.context.environment.catalog, self.context.clock().now());
        let lives = lives(catalog.as_ref(), maker, backup.finished_at, now).await?;
        Ok((lives && !is_seen_gone && !is_removed).then(|| maker.clone()))
    }

    /// What another machine that lives has read of it; not in a folder of the same name that both have mounted.
    async fn read_elsewhere(&self) -> Result<Option<String>, JobError> {
        let (catalog, now) = (&self.context.environment.catalog, self.context.clock().now());
        let differing = self.known.copies.differing.iter().filter(|copy| !copy.is_gone);
        let differing = differing.map(|copy| (&copy.node, &copy.path, copy.looked_at));
        let intact = self.known.copies.intact.iter();
        let intact = intact.map(|copy| (&copy.node, &copy.path, copy.looked_at));
        for (node, path, at) in differing.chain(intact) {
            let mut places = self.removal.places.iter();
            let is_removed =
                self.known.is_one_folder(Path::new(path)) && places.any(|place| place == Path::new(path));
            if node != self.node() && !is_removed && lives(catalog.as_ref(), node, at, now).await? {
                return Ok(Some(format!("{node} has read it in {path}")));
            }
        }
        Ok(None)
    }

    /// What has arrived elsewhere, unless it goes now, or its own machine has nothing of the set any more. Others say nothing
    /// of it: theirs was a copy of that copy.
    fn arrived_elsewhere(&self) -> Option<String> {
        let maker = self.backup().node.as_ref();
        let speaks = |node: &NodeName, arrival: &Arrival, at| {
            arrival.is_at(node) && Some(node) != maker && at >= arrival.written_at
        };
        let is_seen_gone = |arrival: &Arrival| {
            let is_looked_for = self.known.looks.iter().any(|look| {
                // It may know one of its folders alone.
                let sent = self.known.arrivals.iter().filter(|sent| sent.is_at(&look.node));
                speaks(&look.node, arrival, look.looked_at)
                    && look.has_nothing_left()
                    && sent.count() <= look.copies.len().max(1)
            });
            // pybackup's sets have one destination, which no transfer can tell to be cleared.
            let own = self.backup().folder();
            let mut removals = self.known.removals.iter();
            let mut is_removed = || {
                removals.any(|one| Path::new(&one.path) != own && speaks(&one.node, arrival, one.removed_at))
            };
            is_looked_for || arrival.target.is_empty() && is_removed()
        };
        let mut arrivals = self.known.arrivals.iter();
        let stays = arrivals.find(|arrival| {
            self.place_here(arrival).is_none() && !self.removes(arrival) && !is_seen_gone(arrival)
        })?;
        Some(format!(
            "what was sent to {} has arrived there",
            stays.destination
        ))
    }

    /// Whether what goes is the copy at this destination: a folder, or the last of this machine that it was sent to by
    /// address. Which of several that is, is not known: as many places have to go, now and before, as it was sent to.
    fn removes(&self, arrival: &Arrival) -> bool {
        let places = &self.removal.places;
        if let Some(here) = self.place_here(arrival) {
            return places.contains(&here);
        }
        // A folder that this machine does not know as a destination: its own of before, or one that another has mounted as well.
        let is_own = arrival.node.as_ref() == Some(self.node());
        if (is_own || self.known.is_one_folder(Path::new(&arrival.target)))
            && places.iter().any(|place| place == Path::new(&arrival.target))
        {
            return true;
        }
        let sent = self.known.arrivals.iter().filter(|sent| self.is_sent_here(sent));
        let written_at = sent.clone().map(|sent| sent.written_at).max();
        let before = self
            .removed_here()
            .filter(|removal| Some(removal.removed_at) >= written_at);
        let before = before.map(|removal| Path::new(&removal.path));
        let now = places.iter().map(PathBuf::as_path);
        let gone: BTreeSet<&Path> = before
            .chain(now.clone())
            .filter(|place| self.may_be_sent(place))
            .collect();
        self.is_sent_here(arrival)
            && now.clone().any(|place| self.may_be_sent(place))
            && !self.others_here().iter().any(|place| self.may_be_sent(place))
            && gone.len() >= sent.count()
    }

    /// Whether what lies, or lay, in a folder here may have been sent to an address of this machine.
    fn may_be_sent(&self, place: &Path) -> bool {
        let own = original(self.backup(), self.node());
        let own = own.filter(|own| self.is_original || !self.removal.places.contains(own));
        own.as_deref() != Some(place) && !self.destinations_here().any(|here| here == place)
    }

    /// Whether it was sent to an address of this machine.
    fn is_sent_here(&self, arrival: &Arrival) -> bool {
        let is_host = |host: String| self.removal.machine.is_host(&host);
        self.place_here(arrival).is_none()
            && (arrival.is_at(self.node()) || arrival.host().is_some_and(is_host))
    }

    fn place_here(&self, arrival: &Arrival) -> Option<PathBuf> {
        let root = root_here(arrival, &self.context.settings)?;
        Some(self.below(root))
    }

    fn destinations_here(&self) -> impl Iterator<Item = PathBuf> {
        let destinations = self.context.settings.destinations.values();
        destinations.filter_map(|there| match &there.url {
            DestinationUrl::Local { path } => Some(self.below(path)),
            _ => None,
        })
    }

    fn below(&self, root: &Path) -> PathBuf {
        root.join(relative_path(
            self.backup(),
            self.context.settings.catalog.timezone,
        ))
    }
}
