//! What is said of sets that nobody else has and that are not where they were made.

use crate::output::when;
use crate::surroundings::local_zone;
use mykeeper_daemon::lost::{LOOKED_FOR, LostSet};
use mykeeper_domain::counted;

/// What there is to know and to do of one.
pub(super) fn told(lost: &LostSet) -> String {
    let LostSet { backup, folder } = lost;
    let (id, started) = (backup.id, when(backup.started_at, local_zone()));
    format!(
        "of {}, started at {started}: it is complete and nowhere else, and its folder {} is not there (or its disk is not \
         mounted); \"mykeeper verify --bk-id {id}\" records that, and \"mykeeper mark-deleted --bk-id {id}\" that it was \
         removed on purpose",
        backup.tag,
        folder.display()
    )
}

/// All of them in one sentence; `None` where there is none.
pub(super) fn told_together(lost: &[LostSet]) -> Option<String> {
    let first = lost.first()?;
    Some(format!(
        "{} not in place, of the newest {LOOKED_FOR} of this node: set {} {}",
        counted(
            lost.len(),
            "set that nobody else has is",
            "sets that nobody else has are"
        ),
        first.backup.id,
        told(first)
    ))
}
