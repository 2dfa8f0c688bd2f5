//! Copies that may be whole and that a run has not read: while there is one, its set has not failed for its files. Each
//! such doubt ends: by a command, which is told with it, or when the copy was last seen long ago.

use crate::copies::{Known, lives, root_here};
use crate::jobs::verify::Looked;
use crate::jobs::{JobError, RunContext};
use crate::locate::{copy_places, relative_path};
use chrono::{DateTime, Utc};
use mykeeper_domain::NodeName;
use mykeeper_domain::arrival::Arrival;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::{DOUBTED_FOR, IntactCopy};
use mykeeper_domain::destination::DestinationUrl;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Why the set may be whole somewhere, for people; empty: it is not.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn doubts(
    context: &RunContext,
    backup: &Backup,
    looked: &Looked,
) -> Result<Vec<String>, JobError> {
    let catalog = context.environment.catalog.as_ref();
    let known = Known::of(catalog, backup).await?;
    let paths = catalog.paths().await?;
    let doubt = Doubt {
        context,
        backup,
        looked,
        copy_places: copy_places(backup, &paths, &context.settings),
        relative: relative_path(backup, context.settings.catalog.timezone),
        since: context.clock().now() - DOUBTED_FOR,
    };
    let mut doubts = Vec::new();
    let copy = match doubt.intact(&known.copies.intact).await? {
        None => doubt.arrived(&known).await?,
        told => told,
    };
    doubts.extend(copy);
    doubts.extend(doubt.cut_off(&known));
    Ok(doubts)
}

struct Doubt<'a> {
    context: &'a RunContext,
    backup: &'a Backup,
    looked: &'a Looked,
    /// Where copies lie here, or may; not the original.
    copy_places: Vec<PathBuf>,
    relative: String,
    /// What was last seen before counts no more.
    since: DateTime<Utc>,
}

impl Doubt<'_> {
    /// What ends it, for people.
    fn end(&self, at: &str, seen_at: DateTime<Utc>) -> String {
        format!(
            "\"mykeeper verify --bk-id {}\" {at} tells; without that it counts until {}",
            self.backup.id,
            (seen_at + DOUBTED_FOR).format("%Y-%m-%d")
        )
    }

    fn is_read(&self, place: &str) -> bool {
        self.looked.found.copies.iter().any(|copy| copy.path == place)
    }

    /// A copy that was as written when it was read last, and that was not read now.
    async fn intact(&self, copies: &[IntactCopy]) -> Result<Option<String>, JobError> {
        let environment = &self.context.environment;
        for copy in copies {
            let (is_own, at) = (copy.node == environment.node, copy.looked_at);
            let counts = match is_own {
                true => at >= self.since && !self.is_read(&copy.path),
                false => {
                    let now = self.context.clock().now();
                    lives(environment.catalog.as_ref(), &copy.node, at, now).await?
                }
            };
            if !counts {
                continue;
            }
            let place = format!(
                "the copy in {} on {} was as written at {}",
                copy.path,
                copy.node,
                at.format("%Y-%m-%d %H:%M UTC")
            );
            return Ok(Some(match is_own {
                true => format!("{place}: {}", self.end("here", at)),
                // A node that lives is asked.
                false => format!(
                    "{place}: \"mykeeper verify --bk-id {}\" on {} tells whether it still is",
                    self.backup.id, copy.node
                ),
            }));
        }
        Ok(None)
    }

    /// What has arrived at a destination and was read by nobody since, as far as can be told.
    async fn arrived(&self, known: &Known) -> Result<Option<String>, JobError> {
        let mut far = Vec::new();
        for arrival in &known.arrivals {
            match self.place_here(arrival) {
                Some(place) => {
                    let told = self.not_read_here(arrival, place, known).await?;
                    if told.is_some() {
                        return Ok(told);
                    }
                }
                None if arrival.target.starts_with('/') => {
                    // A folder of the machine that sent it, or one that others mount as well.
                    let mut reads = self.reads(known);
                    let is_read = reads.any(|(path, at)| path == arrival.target && at >= arrival.written_at);
                    if !is_read && arrival.seen_at >= self.since {
                        return Ok(Some(self.nobody_read(arrival)));
                    }
                }
                None => far.push(arrival),
            }
        }
        // Which place of another node is which destination is not known: each is read where one of them was read since,
        // the newest first, which no older read can be of.
        let folders = self.local_places(known);
        let mut reads: Vec<DateTime<Utc>> = self
            .reads(known)
            .filter(|(path, _)| !folders.contains(*path))
            .map(|(_, at)| at)
            .collect();
        // The machine of a destination that has nothing of the set any more has removed it.
        let is_there = |node: &NodeName| far.iter().any(|arrival| arrival.is_at(node));
        let gone = known
            .looks
            .iter()
            .filter(|look| is_there(&look.node) && look.has_seen_nothing());
        reads.extend(gone.map(|look| look.looked_at));
        // Of what we have sent no removal counts: one that was of a destination has cleared it. pybackup's sets have one
        // destination, which nothing can clear.
        let of_pybackup = |node: &NodeName| {
            let mut far = far.iter();
            far.any(|arrival| arrival.target.is_empty() && arrival.is_at(node))
        };
        let removed = known.removals.iter();
        let removed = removed.filter(|one| of_pybackup(&one.node) && !folders.contains(&one.path));
        reads.extend(removed.map(|removal| removal.removed_at));
        reads.sort_unstable_by(|one, other| other.cmp(one));
        far.sort_by_key(|arrival| std::cmp::Reverse(arrival.written_at));
        let mut reads = reads.into_iter().peekable();
        for arrival in far {
            if reads.next_if(|at| *at >= arrival.written_at).is_none() && arrival.seen_at >= self.since {
                return Ok(Some(self.nobody_read(arrival)));
            }
        }
        Ok(None)
    }

    fn nobody_read(&self, arrival: &Arrival) -> String {
        format!(
            "what was sent to {} has arrived there, and nobody has read it since: {}",
            arrival.destination,
            self.end("on a node that has it", arrival.seen_at)
        )
    }

    /// Where a destination's copy lies, where that is a folder of this machine.
    fn place_here(&self, arrival: &Arrival) -> Option<PathBuf> {
        Some(root_here(arrival, &self.context.settings)?.join(&self.relative))
    }

    /// A place that was not read: it is not there any more, or cannot be read now.
    async fn not_read_here(
        &self,
        arrival: &Arrival,
        place: PathBuf,
        known: &Known,
    ) -> Result<Option<String>, JobError> {
        let shown = place.display().to_string();
        let seen_at = self.seen_at(&shown, known).max(Some(arrival.seen_at));
        let Some(seen_at) = seen_at.filter(|at| *at >= self.since && !self.is_read(&shown)) else {
            return Ok(None);
        };
        // A folder that is no copy yet: what was sent there last did not come through.
        let is_there = self.looked.found.unread.contains(&shown) || self.context.is_dir(&place).await?;
        Ok(is_there.then(|| {
            format!(
                "what was sent to {} has arrived there, and {shown} cannot be read now: {}",
                arrival.destination,
                self.end("here", seen_at)
            )
        }))
    }

    /// When a place of this machine was last seen to be as written.
    fn seen_at(&self, place: &str, known: &Known) -> Option<DateTime<Utc>> {
        let own = known.copies.intact.iter();
        own.filter(|copy| copy.node == self.context.environment.node && copy.path == place)
            .map(|copy| copy.looked_at)
            .max()
    }

    /// The copies that were read, each with its place and when: here just now, and by the others. An original is none.
    fn reads<'b>(&'b self, known: &'b Known) -> impl Iterator<Item = (&'b str, DateTime<Utc>)> + 'b {
        let node = &self.context.environment.node;
        let here = self.looked.found.copies.iter().map(move |copy| (node, copy));
        let here = here.map(|(node, copy)| (node, copy.path.as_str(), self.looked.found.looked_at));
        let others = known.looks.iter().filter(move |look| look.node != *node);
        let others = others.flat_map(|look| {
            let copies = look.copies.iter();
            copies.map(move |copy| (&look.node, copy.path.as_str(), look.read_at(copy)))
        });
        let own = self.backup.folder();
        here.chain(others)
            .filter(move |(node, path, _)| {
                // A row of pybackup's does not tell which machine's folder is the original.
                let may_be_made_there = self.backup.node.as_ref().is_none_or(|maker| maker == *node);
                let may_be_original = may_be_made_there && own.as_path() == Path::new(path);
                let is_copy = self
                    .copy_places
                    .iter()
                    .any(|place| place.as_path() == Path::new(path));
                is_copy || !may_be_original
            })
            .map(|(_, path, at)| (path, at))
    }

    /// Copies at destinations that are folders, of this machine or of the one that sent them: what was read there is not
    /// what lies at a destination that is none.
    fn local_places(&self, known: &Known) -> BTreeSet<String> {
        let destinations = self.context.settings.destinations.values();
        let here = destinations.filter_map(|there| match &there.url {
            DestinationUrl::Local { path } => Some(path.join(&self.relative).display().to_string()),
            _ => None,
        });
        let sent = known.arrivals.iter().map(|arrival| arrival.target.clone());
        here.chain(sent.filter(|target| target.starts_with('/')))
            .collect()
    }

    /// Why places could not be read: a reason where the run was ended, or where one may have the set.
    fn cut_off(&self, known: &Known) -> Option<String> {
        let error = self.looked.cut_off_by.as_ref()?;
        if self.context.cancel.is_cancelled() || self.looked.found.unread.is_empty() {
            return Some(error.reason.clone());
        }
        let seen_at = |place: &String| {
            let arrival = known.arrivals.iter().find(|arrival| {
                let here = self.place_here(arrival);
                here.is_some_and(|here| here.display().to_string() == *place)
            });
            // Of one of which nothing is known the set's own age is the measure.
            let known_at = self.seen_at(place, known).max(arrival.map(|one| one.seen_at));
            known_at.unwrap_or(self.backup.finished_at)
        };
        let seen_at = self.looked.found.unread.iter().map(seen_at).max()?;
        (seen_at >= self.since).then(|| format!("{}: {}", error.reason, self.end("here", seen_at)))
    }
}
