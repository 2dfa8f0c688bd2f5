//! Folders and destinations that get in each other's way, over all jobs.

use crate::document::complaint;
use crate::keeper::Keeper;
use crate::schedule::{Mentions, NamedFolder};
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
    let sent_to: HashSet<&str> = mentions.sends.iter().map(|(_, name)| name.as_str()).collect();
    for backup in &mentions.backups {
        check_backup_folder(backup, &folders, keeper);
    }
    // Another job may write there: what its folder is has to be mended first.
    for retention in mentions.retentions.iter().filter(|_| !mentions.lacks_folder) {
        if !written_below.contains(retention.path.as_path()) {
            warn_of_empty_folder(retention, &mentions.backups);
        }
    }
    for (folder, destination) in &mentions.sends {
        if let Some(folder) = folder {
            check_local_destination(folder, destination, keeper);
        }
    }
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

fn check_local_destination(folder: &NamedFolder<'_>, destination: &str, keeper: &Keeper) {
    let Some(DestinationUrl::Local { path }) = keeper.destinations.get(destination).map(|found| &found.url)
    else {
        return;
    };
    if path.starts_with(&folder.path) {
        folder.spot.mistake(
            complaint(format!(
                "the destination {destination:?}, {}, lies inside the directory of this job, {}",
                path.display(),
                folder.path.display()
            ))
            .help("a copy beside its original is lost with it: choose another disk or another host"),
        );
    }
}
