//! The places of this machine where a set lies, or may lie.

use crate::copies::{Known, Searched, seen_gone};
use crate::covered;
use crate::disk::Disk;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::JobError;
use crate::locate::{original, places};
use crate::mounted::{holds_nothing, root_of};
use crate::seen_on::is_elsewhere;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::verification::LookedAtCopy;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where a set lies on this machine: the copies first, its own folder last. A copy that is on its way is none yet: its
/// manifest comes last.
#[derive(Debug, Default)]
pub struct Here {
    /// All places where it may lie.
    pub places: Vec<PathBuf>,
    /// That can be read, as far as that shows.
    pub copies: Vec<PathBuf>,
    /// Copies that are known to have been here and are not, each with what it was; their disks are there.
    pub gone: Vec<LookedAtCopy>,
    /// The same of places whose disks are not there, for people.
    away: Vec<String>,
    /// Where one may lie that cannot be asked for now: no file system answers, or none is mounted.
    pub(in crate::jobs) unread: Vec<PathBuf>,
    /// Why the first of those does not answer.
    pub(in crate::jobs) error: Option<JobError>,
}

/// Where the set lies on this machine, and where it should.
///
/// # Errors
/// The catalog does not answer, or nothing is found and a file system does not.
pub async fn look_here(environment: &Environment, backup: &Backup) -> Result<Here, JobError> {
    let mut here = Here::find(environment, backup).await?;
    let is_found = here.is_found();
    match here.error.take_if(|_| !is_found) {
        Some(error) => Err(error),
        None => Ok(here),
    }
}

/// Where no copy of a set is on this machine, and none is missing, what it has read or proven of one speaks for the set no longer; of what
/// cannot be asked for now it does for a while. Whether that was noted.
///
/// # Errors
/// The catalog does not answer.
pub async fn note_none_here(environment: &Environment, backup: &Backup) -> Result<bool, JobError> {
    let here = Here::find(environment, backup).await?;
    match here.is_found() {
        true => Ok(false),
        false => here.note_none(environment, backup).await,
    }
}

impl Here {
    /// Whether a copy is here, or known to have been.
    pub fn is_found(&self) -> bool {
        !self.copies.is_empty() || !self.gone.is_empty()
    }

    /// What is to be said of places that could not be looked at, each in a line.
    pub fn away(&self) -> Vec<String> {
        let told = self.away.iter();
        told.map(|what| format!("{what} could not be looked at: is its disk mounted?"))
            .collect()
    }

    /// # Errors
    /// The catalog does not answer.
    pub(in crate::jobs) async fn find(environment: &Environment, backup: &Backup) -> Result<Self, JobError> {
        let paths = environment.catalog.paths().await?;
        let settings = environment.settings();
        let whereabouts = environment.whereabouts(&settings);
        let own = original(backup, &environment.node);
        let mut known = None;
        let removals = environment.catalog.removals(backup.id).await?;
        let mut here = Self::default();
        for place in places(backup, &paths, &settings, &environment.node) {
            here.places.push(place.clone());
            let is_own = own.as_ref() == Some(&place);
            let shown = place.display().to_string();
            if removals
                .iter()
                .any(|one| one.node == environment.node && one.path == shown)
            {
                let known = known_of(&mut known, environment, backup).await?;
                // Told to go, it may lie there until another tool removes it. An original that lies there was brought back.
                let is_original = is_own && backup.node.is_some();
                if !is_original && known.is_removed((&environment.node, &place)) {
                    continue;
                }
            }
            match whereabouts.is_copy(backup, &place).await {
                Ok(true) => here.copies.push(place),
                Ok(false) => {
                    let may_be_there = !is_own || backup.original_gone_at.is_none();
                    if !may_be_there {
                        continue;
                    }
                    let known = known_of(&mut known, environment, backup).await?;
                    let was = known.was_at(&place, backup, &settings);
                    let is_covered = is_own && covered::is_noted(&environment.state, backup.id);
                    let is_away = is_covered
                        || is_away(&environment.disk, &place).await
                        || was.is_some() && is_elsewhere(environment, backup.id, &place).await;
                    if is_away {
                        here.away
                            .extend(was.map(|what| format!("{}: {what}", place.display())));
                        here.unread.push(place);
                    } else if let Some(what) = was
                        && is_nothing(&environment.disk, &place).await
                    {
                        here.gone.push(LookedAtCopy::gone(shown, what));
                    }
                }
                Err(DaemonError::Catalog(error)) => return Err(error.into()),
                Err(error) => {
                    here.unread.push(place);
                    here.error.get_or_insert(error.into());
                }
            }
        }
        Ok(here)
    }

    /// [`note_none_here`], where that has been seen.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub(in crate::jobs) async fn note_none(
        &self,
        environment: &Environment,
        backup: &Backup,
    ) -> Result<bool, JobError> {
        let searched = Searched {
            places: &self.places,
            left: &self.unread,
        };
        let (catalog, node) = (environment.catalog.as_ref(), &environment.node);
        let now = environment.clock.now();
        let (found, had_some) = seen_gone(catalog, (node, backup.id), &searched, now).await?;
        if had_some {
            catalog.record_verification(&found).await?;
        }
        Ok(had_some)
    }
}

/// What is known of the set's copies, asked for once.
async fn known_of<'a>(
    known: &'a mut Option<Known>,
    environment: &Environment,
    backup: &Backup,
) -> Result<&'a Known, JobError> {
    match known {
        Some(known) => Ok(known),
        None => Ok(known.insert(Known::of(environment.catalog.as_ref(), backup).await?)),
    }
}

/// Whether nothing bears the place's name. What does and is no copy may be on its way.
async fn is_nothing(disk: &Disk, place: &Path) -> bool {
    let asked = place.to_owned();
    let answer = disk.ask(("look at", place), move || {
        asked
            .symlink_metadata()
            .is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
    answer.await.unwrap_or(false)
}

/// Whether a place that is not there may only be unmounted: the root of its days is missing, holds nothing of sets, or is
/// marked as that of a disk that was missed.
pub(in crate::jobs) async fn is_away(disk: &Disk, place: &Path) -> bool {
    let Some(root) = root_of(place) else {
        return false;
    };
    match holds_nothing(disk, root).await {
        Ok(Ok(is_nothing)) => is_nothing,
        // One that cannot be read says nothing of what is in it.
        Ok(Err(_)) => is_nothing(disk, place).await,
        Err(_) => true,
    }
}
