//! The sets that a pass judges, out of all that there are.

use super::marks::is_marked_by;
use super::places::lies_below;
use crate::environment::Environment;
use crate::locate::{places, reach};
use mykeeper_catalog::{BackupPath, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::job::RetentionTask;
use std::collections::HashMap;
use std::path::PathBuf;

/// A set that lies in a job's directory, or would, or that an earlier pass of the job has marked.
pub(super) struct SetHere {
    pub(super) backup: Backup,
    /// Its places below the directory.
    pub(super) below: Vec<PathBuf>,
}

/// All of them, the oldest first, and what is known to differ of them: what lies elsewhere is not kept in memory.
pub(super) async fn sets_here(
    environment: &Environment,
    (settings, paths): (&Settings, &[BackupPath]),
    (task, mark): (&RetentionTask, &str),
) -> Result<(Vec<SetHere>, HashMap<BackupId, Damage>), CatalogError> {
    let catalog = &environment.catalog;
    let reach = reach(paths, settings);
    let (mut sets, mut damages) = (Vec::new(), HashMap::new());
    let mut after = None;
    loop {
        let page = catalog.sets_here(&reach, after.as_ref()).await?;
        let mut ids = Vec::new();
        for backup in page.sets {
            let mut below = places(&backup, paths, settings, &environment.node);
            below.retain(|place| lies_below(place, task));
            if !below.is_empty() || is_marked_by(&backup, mark) {
                ids.push(backup.id);
                sets.push(SetHere { backup, below });
            }
        }
        if !ids.is_empty() {
            damages.extend(catalog.damages(Some(&ids)).await?);
        }
        after = page.next;
        if after.is_none() {
            return Ok((sets, damages));
        }
    }
}
