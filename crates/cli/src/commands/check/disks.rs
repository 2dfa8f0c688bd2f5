//! Folders of sets: whether their disks may not be mounted, and whether one can write there.

use super::{Findings, Grade, backup_tasks};
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::disk::Disk;
use mykeeper_daemon::locate::Whereabouts;
use mykeeper_domain::RunId;
use mykeeper_domain::destination::DestinationUrl;
use std::collections::BTreeSet;
use std::path::Path;

/// Warns of each folder in which sets should lie and none does, of a job or a destination. Gives what was found to be there
/// and empty, by its name among the findings: that one can write to it says nothing.
pub(super) async fn look_for_disks(
    settings: &Settings,
    catalog: &dyn Catalog,
    findings: &mut Findings,
) -> BTreeSet<String> {
    let disk = Disk::default();
    let whereabouts = Whereabouts {
        disk: &disk,
        catalog,
        settings,
    };
    let jobs = backup_tasks(settings).map(|(name, task)| (format!("job {name}"), task.directory.as_path()));
    let destinations = settings.destinations.values().filter_map(|to| match &to.url {
        DestinationUrl::Local { path } => Some((format!("destination {}", to.name), path.as_path())),
        _ => None,
    });
    let folders: Vec<(String, &Path)> = jobs.chain(destinations).collect();
    let mut empty = BTreeSet::new();
    for (what, root) in folders {
        match whereabouts.absent(root).await {
            Ok(None) => {}
            Ok(Some(absent)) => {
                findings.add(&what, Grade::Warning, absent.to_string());
                if disk.is_dir(root).await.unwrap_or(false) {
                    empty.insert(what);
                }
            }
            Err(error) => {
                let detail = format!(
                    "which sets should lie in {} cannot be told: {error}",
                    root.display()
                );
                findings.add(&what, Grade::Warning, detail);
            }
        }
    }
    match whereabouts.covered().await {
        Ok(covered) => {
            for (root, told) in covered {
                findings.add(format!("sets in {}", root.display()), Grade::Warning, told);
            }
        }
        Err(error) => {
            let detail = format!("whether a mount covers any cannot be told: {error}");
            findings.add("sets", Grade::Warning, detail);
        }
    }
    empty
}

/// Writes and removes a file, as a set would be written.
pub(super) fn try_directory(what: &str, directory: &Path, findings: &mut Findings) {
    if !directory.is_dir() {
        let detail = format!("{} is no folder; create it, or mount it", directory.display());
        return findings.add(what, Grade::Failed, detail);
    }
    let probe = directory.join(format!(".mykeeper-check-{}", RunId::generate()));
    let result = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .and_then(|_| std::fs::remove_file(&probe));
    match result {
        Ok(()) => findings.add(what, Grade::Ok, format!("{} is writable", directory.display())),
        Err(error) => findings.add(
            what,
            Grade::Failed,
            format!(
                "cannot write to {}: {error}; give this user the right to write there",
                directory.display()
            ),
        ),
    }
}
