//! Whether a second copy of what is dumped fits where it goes, when that is a folder on this machine: asked before anything
//! is written, since what goes ahead must neither take the dump's own room nor fill what the set does not fit into.

use crate::jobs::RunContext;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::job::BackupTask;
use mykeeper_domain::space::{Need, size_text};
use mykeeper_tools::room::room_of;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file systems of one dump, by the numbers of their devices, and what was promised of each.
pub(super) struct Rooms {
    /// What the dump needs; `None` where that is not known.
    need: Option<Need>,
    /// Stays free beside it.
    reserve: u64,
    directory: PathBuf,
    promised: BTreeMap<u64, Promised>,
}

#[derive(Clone, Copy, Default)]
struct Promised {
    bytes: u64,
    files: u64,
}

/// What a forerunner leaves free at each batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeptFree {
    reserve: u64,
    /// What the dump will have written to the same file system.
    dump: u64,
}

impl KeptFree {
    /// When so much of the dump lies there already.
    pub(super) fn beside(self, dumped: u64) -> u64 {
        self.reserve.saturating_add(self.dump.saturating_sub(dumped))
    }
}

impl Rooms {
    pub(super) fn new(task: &BackupTask, need: Option<&Need>) -> Self {
        Self {
            need: need.cloned(),
            reserve: task.reserve.unwrap_or_default(),
            directory: task.directory.clone(),
            promised: BTreeMap::new(),
        }
    }

    /// Promises the room for a copy at the destination. The error says why nothing is to go ahead there.
    pub(super) async fn promise(
        &mut self,
        context: &RunContext,
        destination: &Destination,
    ) -> Result<KeptFree, String> {
        let DestinationUrl::Local { path } = &destination.url else {
            return Ok(KeptFree::default());
        };
        let Some(need) = self.need.clone() else {
            return Err("what it needs there is not known".to_owned());
        };
        let (own, there) = (
            device(context, &self.directory).await?,
            device(context, path).await?,
        );
        let is_shared = own == there;
        let room = room_of(path).await.map_err(|error| error.to_string())?;
        let promised = self.promised.entry(there).or_insert(match is_shared {
            true => Promised {
                bytes: need.bytes,
                files: need.files,
            },
            false => Promised::default(),
        });
        let wanted = Need {
            bytes: promised.bytes.saturating_add(need.bytes),
            files: promised.files.saturating_add(need.files),
            because: match promised.bytes {
                0 => need.because.clone(),
                before => format!("{} of it for what is written there besides", size_text(before)),
            },
        };
        if let Some(shortage) = wanted.shortage(&room, self.reserve, path) {
            return Err(format!("there is no room for it: it {shortage}"));
        }
        *promised = Promised {
            bytes: wanted.bytes,
            files: wanted.files,
        };
        Ok(KeptFree {
            reserve: self.reserve,
            dump: if is_shared { need.bytes } else { 0 },
        })
    }
}

async fn device(context: &RunContext, folder: &Path) -> Result<u64, String> {
    let path = folder.to_owned();
    let asked = context
        .environment
        .disk
        .ask(("look at", folder), move || {
            path.metadata().map(|found| found.dev())
        })
        .await;
    match asked {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(format!("cannot look at {}: {error}", folder.display())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dump_has_still_to_write_stays_free() {
        let kept = KeptFree {
            reserve: 100,
            dump: 1_000,
        };
        assert_eq!(
            [0, 600, 1_000, 5_000].map(|dumped| kept.beside(dumped)),
            [1_100, 500, 100, 100]
        );
        assert_eq!(KeptFree::default().beside(7), 0);
    }
}
