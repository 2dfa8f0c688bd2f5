//! The reasons with which passes mark sets as being deleted: they tell whose removal it is.

use mykeeper_domain::NodeName;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::Job;

/// How the reasons begin that passes mark sets with.
const MARK: &str = "retention job ";

/// How it begins of this job's.
pub(super) fn mark_of(job: &Job, node: &NodeName) -> String {
    format!("{MARK}{} on {node}:", job.name)
}

/// The machine whose pass has marked a set as being deleted.
pub(super) fn marker_of(backup: &Backup) -> Option<NodeName> {
    let reason = backup.deletion_reason.as_deref()?.strip_prefix(MARK)?;
    let (_, marker) = reason.split_once(" on ")?;
    let (node, _) = marker.split_once(':')?;
    node.parse()
        .ok()
        .filter(|_| backup.deletion == Deletion::Deleting)
}

pub(super) fn is_marked_by(backup: &Backup, mark: &str) -> bool {
    let reason = backup.deletion_reason.as_ref();
    backup.deletion == Deletion::Deleting && reason.is_some_and(|reason| reason.starts_with(mark))
}
