//! Which places are a retention job's.

use chrono::NaiveDate;
use mykeeper_domain::NodeName;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::job::{RetentionDepth, RetentionTask};
use std::path::{Component, Path, PathBuf};

/// Whether what lies at `there`, this job's places on this machine, is known to differ from what was written: each as this
/// machine has read it. A place that nobody has read is not damaged for what was found elsewhere. Where nothing lies here,
/// every copy that anyone has read counts.
pub(super) fn is_damaged_here(damage: &Damage, there: &[&PathBuf], node: &NodeName) -> bool {
    let differs = |place: &PathBuf| {
        let mut copies = damage.copies.iter();
        copies.any(|copy| copy.node == *node && Path::new(&copy.path) == place)
    };
    match there {
        [] => damage.is_of_every_copy(),
        there => there.iter().all(|place| differs(place)),
    }
}

/// Whether `place` lies in the job's directory, as deep as the job looks, without `..`.
pub(super) fn lies_below(place: &Path, task: &RetentionTask) -> bool {
    let directory = &task.directory;
    place.starts_with(directory)
        && place != directory
        && !place
            .components()
            .any(|part| matches!(part, Component::ParentDir))
        && (task.depth == RetentionDepth::Any || day_of_place(place, directory).is_some())
}

/// The day whose folder all of `places` lie in.
pub(super) fn day_of(places: &[PathBuf], directory: &Path) -> Option<NaiveDate> {
    let mut days = places.iter().map(|place| day_of_place(place, directory));
    let first = days.next()??;
    days.all(|day| day == Some(first)).then_some(first)
}

/// `<directory>/<YYYY-MM-DD>/<bk_id>`
fn day_of_place(place: &Path, directory: &Path) -> Option<NaiveDate> {
    let folder = place.parent()?;
    let name = folder.file_name()?.to_str()?;
    // Ten letters: a day may be read from fewer.
    let is_in_directory = folder.parent() == Some(directory) && name.len() == 10;
    is_in_directory.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_directory_is_looked_at() {
        let task = |depth| RetentionTask {
            directory: "/data".into(),
            depth,
            keep: Default::default(),
            action: Default::default(),
            require: Default::default(),
        };
        for (place, any, day) in [
            ("/data/2026-11-22/x", true, true),
            ("/data/shop/2026-11-22/x", true, false),
            ("/data/2026-11-22/shop/x", true, false),
            ("/data/2026-13-22/x", true, false),
            ("/data/2026-1-2/x", true, false),
            ("/data/x", true, false),
            ("/data", false, false),
            ("/database/2026-11-22/x", false, false),
            ("/data/../etc/x", false, false),
        ] {
            let place = Path::new(place);
            assert_eq!(lies_below(place, &task(RetentionDepth::Any)), any, "{place:?}");
            assert_eq!(lies_below(place, &task(RetentionDepth::Day)), day, "{place:?}");
        }
    }
}
