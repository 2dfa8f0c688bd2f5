//! Folders and destinations that get in each other's way, over all jobs.

use crate::document::complaint;
use crate::keeper::Keeper;
use crate::schedule::{Mentions, NamedFolder, Send};
use mykeeper_domain::destination::DestinationUrl;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Looks at what the jobs say of each other's things.
pub(crate) fn check(mentions: &Mentions<'_>, keeper: &Keeper) {
    // Looked up, since there may be thousands of each.
    let folders: HashMap<&Path, &NamedFolder<'_>> = mentions
        .backups
        .iter()
        .rev()
        .map(|backup| (backup.path.as_path(), backup))
        .collect();
    let written_below: HashSet<&Path> = folders.keys().flat_map(|folder| folder.ancestors()).collect();
    let sent_to: HashSet<&str> = mentions
        .sends
        .iter()
        .map(|send| send.destination.as_str())
        .collect();
    for backup in &mentions.backups {
        check_backup_folder(backup, &folders, keeper);
    }
    // Another job may write there: what its folder is has to be mended first.
    for retention in mentions.retentions.iter().filter(|_| !mentions.lacks_folder) {
        if !written_below.contains(retention.path.as_path()) {
            warn_of_empty_folder(retention, &mentions.backups);
        }
    }
    for send in &mentions.sends {
        check_local_destination(send, keeper);
    }
    check_places(mentions, keeper);
    for (spot, destination) in &mentions.transfers {
        if !sent_to.contains(destination.as_str()) {
            spot.warning(
                complaint(format!("no backup job of this file sends to {destination:?}")).help(format!(
                    "add transfer_to = \"{destination}\" to the jobs whose sets are to go there"
                )),
            );
        }
    }
}

fn check_backup_folder(
    backup: &NamedFolder<'_>,
    folders: &HashMap<&Path, &NamedFolder<'_>>,
    keeper: &Keeper,
) {
    let directory = backup.path.as_path();
    for day in directory.ancestors().filter(|folder| is_day_folder(folder)) {
        if let Some(other) = day.parent().and_then(|parent| folders.get(parent)) {
            backup.spot.mistake(
                complaint(format!(
                    "this folder lies among the sets of the backup job {:?}: {}",
                    other.job,
                    day.display()
                ))
                .help("choose a folder outside of it"),
            );
        }
    }
    let sandbox = keeper.sandbox.directory.as_path();
    let ours = [
        ("state_dir", keeper.state_dir.as_deref()),
        ("[sandbox] directory", Some(sandbox)),
    ];
    for (name, path) in ours {
        let Some(path) = path.filter(|path| path.starts_with(directory)) else {
            continue;
        };
        backup.spot.mistake(
            complaint(format!(
                "{name}, {}, lies inside this backup directory",
                path.display()
            ))
            .help("a backup directory holds nothing but sets: move one of the two"),
        );
    }
}

/// Whether it is called as the folder of one day's sets.
fn is_day_folder(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.len() == 10 && chrono::NaiveDate::parse_from_str(name, "%Y-%m-%d").is_ok())
}

fn warn_of_empty_folder(retention: &NamedFolder<'_>, backups: &[NamedFolder<'_>]) {
    // A backup host, where sets only arrive, has no backup jobs of its own.
    if backups.is_empty() {
        return;
    }
    let folders: Vec<_> = backups
        .iter()
        .map(|backup| backup.path.display().to_string())
        .collect();
    let nearest = crate::nearest(
        &retention.path.display().to_string(),
        folders.iter().map(String::as_str),
    );
    retention.spot.warning(
        complaint(format!(
            "no backup job of this file writes where the retention job {:?} looks",
            retention.job
        ))
        .help(match nearest {
            Some(folder) => {
                format!("did you mean \"{folder}\"? On a host that only receives sets all is well")
            }
            None => format!("backup directories: {}", folders.join(", ")),
        }),
    );
}

fn check_local_destination(send: &Send<'_>, keeper: &Keeper) {
    let destination = &send.destination;
    let found = keeper.destinations.get(destination.as_str());
    let (Some(DestinationUrl::Local { path }), Some(directory)) =
        (found.map(|found| &found.url), &send.directory)
    else {
        return;
    };
    if path.starts_with(directory) {
        send.spot.mistake(
            complaint(format!(
                "the destination {destination:?}, {}, lies inside the directory of this job, {}",
                path.display(),
                directory.display()
            ))
            .help("a copy beside its original is lost with it: choose another disk or another host"),
        );
    }
}

/// Two names of one place: no lease, no limit and no note of one is heeded by the other. Of one job, each would send the set
/// into the folder that the other sends it to, and one would fail each time.
fn check_places(mentions: &Mentions<'_>, keeper: &Keeper) {
    let places: HashMap<&str, String> = keeper
        .destinations
        .iter()
        .map(|(name, destination)| (name.as_str(), destination.place()))
        .collect();
    let sends = mentions
        .sends
        .iter()
        .map(|send| (&send.spot, &send.destination, Some(&send.job)));
    let transfers = mentions
        .transfers
        .iter()
        .map(|(spot, destination)| (spot, destination, None));
    // The first of each place in a job, and in the file.
    let (mut of_job, mut of_file) = (HashMap::new(), HashMap::new());
    let mut warned = HashSet::new();
    for (spot, destination, job) in sends.chain(transfers) {
        let Some(place) = places.get(destination.as_str()) else {
            continue;
        };
        let url = &keeper.destinations[destination.as_str()].url;
        let first_of_job = job.map(|job| *of_job.entry((job, place)).or_insert(destination));
        let first_of_file = *of_file.entry(place).or_insert(destination);
        if let Some(first) = first_of_job.filter(|first| *first != destination) {
            spot.mistake(
                complaint(format!("{destination:?} and {first:?} are one place: {url}")).help(
                    "a set goes there once: keep one of the two, or give the other a folder of its own",
                ),
            );
        } else if first_of_file != destination && warned.insert(destination) {
            spot.warning(
                complaint(format!(
                    "{destination:?} and {first_of_file:?}, which another job names, are one place: {url}"
                ))
                .help("name it alike in all jobs, or limits of one do not hold for the other"),
            );
        }
    }
}
