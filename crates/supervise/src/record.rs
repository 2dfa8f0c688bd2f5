//! One small file for each living child, for whoever comes after a crash.
//!
//! The shim ends its tree when its daemon dies. Where the shim is gone too, or was stopped, the file is what is left
//! to go by. It is not synced: it means something to processes of the same boot alone, and those see it at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::identity::ProcessIdentity;

/// How long a child's record may hold up its child.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
/// Beyond the grace, how long one tree may take to end before the next start goes on without it.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// What is kept of a living child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRecord {
    /// The child.
    pub child: ProcessIdentity,
    /// The shim that watches over it.
    pub shim: Option<ProcessIdentity>,
    /// The process that started it: while that lives, the child is its business.
    pub keeper: ProcessIdentity,
    /// On whose behalf: a run.
    pub owner: Option<String>,
    /// The child's program.
    pub program: PathBuf,
}

/// A tree that a process before this one had left.
#[derive(Debug)]
pub struct Leftover {
    /// What was known of it.
    pub record: ChildRecord,
    /// How many processes were signalled: 0 is what it should be. An error: something survives, or nothing could be
    /// found out.
    pub ended: io::Result<u32>,
}

/// Where records are written, and on whose behalf.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) folder: Option<Arc<Path>>,
    pub(crate) owner: Option<Arc<str>>,
}

/// The record of one child, until it is known to be gone.
#[derive(Debug)]
pub(crate) struct Recorded {
    path: PathBuf,
}

impl Recorder {
    /// Writes down a child. One that cannot be written down runs nonetheless.
    pub(crate) async fn record(
        &self,
        child: &ProcessIdentity,
        shim: Option<u32>,
        program: &Path,
    ) -> Option<Recorded> {
        let folder = self.folder.clone()?;
        let (child, program) = (child.clone(), program.to_owned());
        let owner = self.owner.as_deref().map(str::to_owned);
        let writing = tokio::task::spawn_blocking(move || {
            let path = folder.join(format!("{}-{}.json", child.pid, child.start_time_ticks));
            let record = ChildRecord {
                keeper: ProcessIdentity::of(std::process::id())?,
                shim: shim.and_then(|pid| ProcessIdentity::of(pid).ok()),
                child,
                owner,
                program,
            };
            // Under another name first: whoever reads it finds it whole.
            let draft = path.with_extension("new");
            fs::write(&draft, serde_json::to_vec(&record)?)?;
            fs::rename(&draft, &path)?;
            Ok::<_, io::Error>(Recorded { path })
        });
        match timeout(WRITTEN_WITHIN, writing).await {
            Ok(Ok(Ok(recorded))) => Some(recorded),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a child is not written down");
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a child is not written down");
                None
            }
            Err(_) => {
                tracing::warn!("a child is not written down in time");
                None
            }
        }
    }
}

impl Recorded {
    /// Nothing of the child is left.
    pub(crate) fn forget(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the record of a child that has ended");
        }
    }
}

/// Ends what is left of the children that are written down in `folder` and whose keeper is gone: SIGTERM, `grace`,
/// SIGKILL, all of them at the same time. What has ended is forgotten.
///
/// # Errors
/// The folder cannot be read.
pub async fn end_leftovers(folder: &Path, grace: Duration) -> io::Result<Vec<Leftover>> {
    let mut ending = JoinSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_left_draft(&path) {
            Recorded { path }.forget();
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(record) = read(&path) else { continue };
        ending.spawn(async move {
            let ended = timeout(grace + ENDED_WITHIN, end(&record, grace))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if ended.is_ok() {
                Recorded { path }.forget();
            }
            Leftover { record, ended }
        });
    }
    let mut leftovers = Vec::new();
    while let Some(ended) = ending.join_next().await {
        leftovers.extend(ended.inspect_err(|error| tracing::error!(%error, "a child was not looked for")));
    }
    Ok(leftovers)
}

/// Whether it is a record that was never finished, of a child that is gone.
fn is_left_draft(path: &Path) -> bool {
    let is_draft = path.extension().is_some_and(|extension| extension == "new");
    let child = path
        .file_stem()
        .and_then(|name| name.to_str()?.split_once('-'))
        .and_then(|(pid, ticks)| Some((pid.parse().ok()?, ticks.parse::<u64>().ok()?)));
    let lives = child.is_some_and(|(pid, ticks)| {
        ProcessIdentity::of(pid).is_ok_and(|child| child.start_time_ticks == ticks && child.is_alive())
    });
    is_draft && !lives
}

/// `None` for a record whose keeper lives, and for one that cannot be read.
fn read(path: &Path) -> Option<ChildRecord> {
    let text = fs::read(path).ok()?;
    match serde_json::from_slice::<ChildRecord>(&text) {
        Ok(record) => (!record.keeper.is_alive()).then_some(record),
        Err(error) => {
            // A full disk, or a machine that was lost: it is of no use to any later start either.
            tracing::warn!(%error, path = %path.display(), "the record of a child cannot be understood and is removed");
            Recorded {
                path: path.to_owned(),
            }
            .forget();
            None
        }
    }
}

async fn end(record: &ChildRecord, grace: Duration) -> io::Result<u32> {
    let mut signalled = record.child.kill_tree(grace).await?;
    // A shim that was stopped has not noticed anything.
    if let Some(shim) = &record.shim {
        signalled += shim.kill_tree(grace).await?;
    }
    Ok(signalled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drafts_of_the_gone_and_records_that_cannot_be_understood_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let own = ProcessIdentity::of(std::process::id()).unwrap();
        let kept = format!("{}-{}.new", own.pid, own.start_time_ticks);
        let gone = format!("{}-{}.new", own.pid, own.start_time_ticks + 1);
        for name in [&kept, &gone, "1-2.json"] {
            fs::write(folder.path().join(name), "{").unwrap();
        }
        assert!(
            end_leftovers(folder.path(), Duration::ZERO)
                .await
                .unwrap()
                .is_empty()
        );
        let left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [kept.as_str()]);
    }
}
