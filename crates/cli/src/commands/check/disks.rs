//! Folders of sets whose disks may not be mounted.

use super::{Findings, Grade, backup_tasks};
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::disk::Disk;
use mykeeper_daemon::locate::Whereabouts;
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
    empty
}
