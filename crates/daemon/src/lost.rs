//! Complete sets that nobody else has, and that are not where they were made: a script that removes the day's folder tells
//! nobody, and the catalog goes on calling them complete.

use crate::copies::Known;
use crate::locate::{Whereabouts, is_named, original};
use mykeeper_catalog::{BackupFilter, CatalogError, SetState};
use mykeeper_domain::backup::{Backup, Deletion};
use std::path::{Path, PathBuf};

/// The newest sets of this node that are looked for.
pub const LOOKED_FOR: u32 = 100;

/// One that is not there.
#[derive(Clone, Debug)]
pub struct LostSet {
    /// The set.
    pub backup: Backup,
    /// Where it should be.
    pub folder: PathBuf,
}

impl Whereabouts<'_> {
    /// Those of the newest [`LOOKED_FOR`] complete sets of this node that are known to be nowhere else, and that are not in
    /// their folders; the newest first. What a reading has told of already is left out. Where a disk does not answer, it ends
    /// there: that is told of elsewhere.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn lost_sets(&self) -> Result<Vec<LostSet>, CatalogError> {
        let node = &self.settings.node;
        // A name that many machines bear does not tell which of them made a set.
        if !is_named(node, self.settings) {
            return Ok(Vec::new());
        }
        let newest = BackupFilter {
            node: Some(node.clone()),
            present_only: true,
            state: Some(SetState::Complete),
            limit: LOOKED_FOR,
            ..BackupFilter::default()
        };
        let mut lost = Vec::new();
        for backup in self.catalog.backups(&newest).await? {
            let is_here_alone = !backup.has_arrived()
                && backup.deletion == Deletion::None
                && backup.original_gone_at.is_none();
            let Some(folder) = original(&backup, node).filter(|_| is_here_alone) else {
                continue;
            };
            let asked = folder.clone();
            match self
                .disk
                .ask(("look at", &folder), move || asked.try_exists())
                .await
            {
                Ok(Ok(false)) => {}
                // One that this user may not see is not known to be gone.
                Ok(Ok(true) | Err(_)) => continue,
                Err(_) => break,
            }
            let known = Known::of(self.catalog, &backup).await?;
            let is_this = |of: &str| Path::new(of) == folder;
            let is_elsewhere = !known.arrivals.is_empty()
                || known
                    .copies
                    .intact
                    .iter()
                    .any(|copy| copy.node != *node || !is_this(&copy.path));
            let mut differing = known.copies.differing.iter();
            let is_told = differing.any(|copy| copy.is_gone && copy.node == *node && is_this(&copy.path));
            if !is_elsewhere && !is_told {
                lost.push(LostSet { backup, folder });
            }
        }
        Ok(lost)
    }
}
