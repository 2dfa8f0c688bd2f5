//! The reasons with which passes mark sets as being deleted: they tell whose removal it is, and of which folders.

use crate::copies::lives;
use crate::environment::Environment;
use crate::error::DaemonError;
use chrono::{DateTime, Utc};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::Job;
use mykeeper_domain::removal::folders_of_mark;
use mykeeper_domain::{BackupId, NodeName};
use std::path::PathBuf;

/// How the reasons begin that passes mark sets with.
const MARK: &str = "retention job ";
/// How it begins of this job's.
pub(super) fn mark_of(job: &Job, node: &NodeName) -> String {
    format!("{MARK}{} on {node}:", job.name)
}

/// The folders that a mark is for; `None` where it does not say: which those are is not known then.
pub(super) fn places_of_mark(backup: &Backup) -> Option<Vec<PathBuf>> {
    let folders = folders_of_mark(backup.deletion_reason.as_deref()?)?;
    let places: Vec<PathBuf> = folders.into_iter().map(PathBuf::from).collect();
    (!places.is_empty()).then_some(places)
}

/// The machines whose pass may have marked a set as being deleted: names of jobs and machines may hold what stands
/// between them.
fn markers_of(backup: &Backup) -> Vec<NodeName> {
    let reason = backup
        .deletion_reason
        .as_deref()
        .filter(|_| backup.deletion == Deletion::Deleting);
    let Some(marker) = reason.and_then(|reason| reason.strip_prefix(MARK)) else {
        return Vec::new();
    };
    let mut found: Vec<NodeName> = Vec::new();
    for (end, _) in marker.match_indices(':') {
        let head = marker.get(..end).unwrap_or_default();
        let names = head
            .match_indices(" on ")
            .filter_map(|(at, on)| head.get(at + on.len()..));
        found.extend(names.filter_map(|name| name.parse().ok()));
    }
    found.sort();
    found.dedup();
    found
}

/// Whether another machine that lives may be about to remove its own copy of a set, as its mark says.
pub(super) async fn is_marked_elsewhere(
    environment: &Environment,
    settings: &Settings,
    backup: &Backup,
) -> Result<bool, DaemonError> {
    let mut jobs = settings.jobs.values();
    if jobs.any(|job| is_marked_by(backup, &mark_of(job, &environment.node))) {
        return Ok(false);
    }
    let (catalog, now) = (environment.catalog.as_ref(), environment.clock.now());
    let markers = markers_of(backup);
    for other in markers.iter().filter(|other| **other != environment.node) {
        if lives(catalog, other, DateTime::<Utc>::MIN_UTC, now).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn is_marked_by(backup: &Backup, mark: &str) -> bool {
    let reason = backup.deletion_reason.as_ref();
    backup.deletion == Deletion::Deleting && reason.is_some_and(|reason| reason.starts_with(mark))
}

/// What is said of a set that a pass of this job has marked for folders of which one is none of the job's any more, or none is
/// known.
pub(super) fn told_of_stray(id: BackupId, places: Option<&[PathBuf]>) -> String {
    let Some(places) = places else {
        return format!(
            "the removal of set {id} was begun, and its mark does not say from which folders: whether it came through is not \
             known; look where its copies lay, remove what is left there, and \"mykeeper mark-deleted --bk-id {id}\" gives \
             the set up"
        );
    };
    let shown: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    format!(
        "the removal of set {id} from {} was begun, and this job does not look there any more: whether it came through is \
         not known; name the folder again (the job's \"directory\", \"mykeeper paths\", the destination's url) and the next \
         pass knows, or \"mykeeper mark-deleted --bk-id {id}\" gives the set up",
        shown.join(" and ")
    )
}
