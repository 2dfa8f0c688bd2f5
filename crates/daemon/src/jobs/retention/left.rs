//! What is left of a set when a pass has removed its places: `is_deleted` says that it is nowhere any more, and those who
//! look after another copy, and prove it, leave sets alone that are.

use super::carry_out::Removal;
use super::places::may_be_original;
use crate::copies::{Known, lives};
use crate::jobs::verify::Here;
use crate::jobs::{JobError, RunContext};
use crate::locate::{is_named, original, relative_path};
use mykeeper_domain::NodeName;
use mykeeper_domain::arrival::Arrival;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::verification::VerificationState;
use std::path::{Path, PathBuf};

/// What is known to stay.
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// A copy; what goes is the original.
    Copy,
    /// What this says, for people; what goes is a copy.
    Another {
        what: String,
        /// All places of this machine.
        places: Vec<PathBuf>,
        /// Those of them that stay.
        here: Vec<PathBuf>,
        /// This machine has said so before, and has seen nothing of the set since.
        is_told: bool,
    },
}

/// # Errors
/// The catalog does not answer.
pub(super) async fn left_of(context: &RunContext, removal: &Removal<'_>) -> Result<Left, JobError> {
    let (backup, environment) = (removal.backup, &context.environment);
    let catalog = environment.catalog.as_ref();
    let paths = catalog.paths().await?;
    let own = original(backup, &environment.node)
        .filter(|own| removal.places.contains(own) && may_be_original(backup, &paths, &context.settings));
    let look = Look {
        context,
        removal,
        known: Known::of(catalog, backup).await?,
        here: Here::find(environment, backup).await?,
        is_original: own.is_some(),
    };
    let Some(what) = look.what_stays().await? else {
        return Ok(Left::Nothing);
    };
    if look.is_original {
        return Ok(Left::Copy);
    }
    let is_told = look.known.looks.iter().any(|found| {
        let mut arrivals = look.known.arrivals.iter();
        found.node == environment.node
            && found.has_seen_nothing()
            && arrivals.all(|arrival| found.looked_at >= arrival.written_at)
    });
    let stay = look.here.copies.iter().chain(&look.here.unread);
    let here = stay.filter(|place| !removal.places.contains(place)).cloned();
    let places = look.here.places.iter().chain(removal.places);
    Ok(Left::Another {
        what,
        places: places.cloned().collect(),
        here: here.collect(),
        is_told,
    })
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
        Ok((lives && !is_seen_gone).then(|| maker.clone()))
    }

    /// What another machine that lives has read of it; not in a folder of the same name, which both may mount.
    async fn read_elsewhere(&self) -> Result<Option<String>, JobError> {
        let (catalog, now) = (&self.context.environment.catalog, self.context.clock().now());
        let differing = self.known.copies.differing.iter().filter(|copy| !copy.is_gone);
        let differing = differing.map(|copy| (&copy.node, &copy.path, copy.looked_at));
        let intact = self.known.copies.intact.iter();
        let intact = intact.map(|copy| (&copy.node, &copy.path, copy.looked_at));
        for (node, path, at) in differing.chain(intact) {
            let is_removed = self.removal.places.iter().any(|place| place == Path::new(path));
            if node != self.node() && !is_removed && lives(catalog.as_ref(), node, at, now).await? {
                return Ok(Some(format!("{node} has read it in {path}")));
            }
        }
        Ok(None)
    }

    /// What has arrived elsewhere. Which node has which destination's copy is not known: each that has nothing of the set
    /// any more takes one of them away.
    fn arrived_elsewhere(&self) -> Option<String> {
        let places = &self.removal.places;
        let is_removed = |arrival: &Arrival| places.iter().any(|place| place == Path::new(&arrival.target));
        let far: Vec<&Arrival> = self
            .known
            .arrivals
            .iter()
            .filter(|arrival| self.place_here(arrival).is_none() && !is_removed(arrival))
            .collect();
        let maker = self.backup().node.as_ref();
        let gone_there = self.known.looks.iter().filter(|look| {
            look.node != *self.node()
                && Some(&look.node) != maker
                && look.has_nothing_left()
                && far.iter().all(|arrival| look.looked_at >= arrival.written_at)
        });
        let local: Vec<PathBuf> = self.destinations_here().collect();
        let own = original(self.backup(), self.node()).filter(|_| self.is_original);
        let is_of_far = |place: &PathBuf| !local.contains(place) && own.as_ref() != Some(place);
        let gone_here = usize::from(places.iter().any(is_of_far));
        let stays = far.get(gone_there.count() + gone_here)?;
        Some(format!(
            "what was sent to {} has arrived there",
            stays.destination
        ))
    }

    fn place_here(&self, arrival: &Arrival) -> Option<PathBuf> {
        let mut destinations = self.context.settings.destinations.values();
        let there = destinations.find(|there| there.name.as_str() == arrival.destination)?;
        self.place_of(&there.url)
    }

    fn destinations_here(&self) -> impl Iterator<Item = PathBuf> {
        let destinations = self.context.settings.destinations.values();
        destinations.filter_map(|there| self.place_of(&there.url))
    }

    fn place_of(&self, url: &DestinationUrl) -> Option<PathBuf> {
        match url {
            DestinationUrl::Local { path } => {
                let zone = self.context.settings.catalog.timezone;
                Some(path.join(relative_path(self.backup(), zone)))
            }
            _ => None,
        }
    }
}
