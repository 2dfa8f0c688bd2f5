//! Carries out the journal, in order, once the shared catalog is back.

use super::{Shared, log};
use crate::error::CatalogError;
use crate::journal::prune;
use crate::migrate;
use crate::open::connect;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The wait after a first failure; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often the journal is looked into where nothing is known to wait: another process may have noted something.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often the copy is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// The right to carry out the journal: one process at a time, or the order would be lost. It goes with the process.
pub(super) struct DrainLock {
    _file: File,
}

impl DrainLock {
    /// `None` while another process has it.
    pub(super) fn acquire(path: &Path) -> Result<Option<Self>, String> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", path.display())),
        }
    }
}

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing waits.
    Empty,
    /// Another process is at it.
    Elsewhere,
    /// The catalog is still away.
    Away,
}

/// The task that watches the journal.
pub(super) struct Drainer {
    shared: Arc<Shared>,
}

impl Drainer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Until it is aborted.
    pub(super) async fn run(self) {
        let mut wait = FIRST_WAIT;
        let mut pruned_at: Option<Instant> = None;
        loop {
            let pause = match self.shared.drain().await {
                Ok(Drained::Empty) => {
                    wait = FIRST_WAIT;
                    if pruned_at.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                        pruned_at = Some(Instant::now());
                        self.shared.prune().await;
                    }
                    LOOK_EVERY
                }
                Ok(Drained::Elsewhere) => LONGEST_WAIT,
                Ok(Drained::Away) => {
                    wait = (wait * 2).min(LONGEST_WAIT);
                    wait
                }
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be carried out");
                    wait = (wait * 2).min(LONGEST_WAIT);
                    wait
                }
            };
            if pause == LOOK_EVERY {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.shared.deferred.notified() => tokio::time::sleep(FIRST_WAIT).await,
                }
            } else {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

impl Shared {
    /// The shared catalog's tables. A look comes first: it is bounded far closer than a migration is.
    async fn bring_up(&self) -> Result<(), CatalogError> {
        connect(&self.remote).await?;
        migrate::refuse_newer(&self.remote).await?;
        let status = migrate::status(&self.remote).await?;
        if status.applied < status.latest {
            migrate::migrate(&self.remote).await?;
        }
        Ok(())
    }

    async fn prune(&self) {
        if let Err(error) = prune::prune(&self.local, self.clock.now()).await {
            tracing::warn!(%error, "this machine's copy of its records in the catalog cannot be pruned");
        }
    }

    /// Carries out what waits, as far as the catalog takes it.
    pub(super) async fn drain(&self) -> Result<Drained, CatalogError> {
        if !log::waits(&self.local).await? && self.is_migrated.load(Ordering::Relaxed) {
            if self.is_away.load(Ordering::Relaxed) {
                // Only a look was refused: nothing waits that would find out when it is back.
                if let Err(error) = connect(&self.remote).await {
                    self.note_away(&error);
                    return Ok(Drained::Away);
                }
                self.note_back();
            }
            return Ok(Drained::Empty);
        }
        let lock = DrainLock::acquire(&self.lock_path).map_err(|cause| CatalogError::Statement {
            action: "carry out the journal",
            cause,
        })?;
        let Some(_lock) = lock else {
            return Ok(Drained::Elsewhere);
        };
        if !self.is_migrated.load(Ordering::Relaxed) {
            match self.bring_up().await {
                Ok(()) => self.is_migrated.store(true, Ordering::Relaxed),
                Err(error) => {
                    self.note_away(&error);
                    return Ok(Drained::Away);
                }
            }
        }
        let mut count = 0_u64;
        let mut last = 0;
        loop {
            let batch = log::oldest(&self.local, last).await?;
            if batch.is_empty() {
                break;
            }
            for noted in batch {
                let outcome = match &noted.entry {
                    Ok(entry) => entry.replay(&self.remote).await,
                    Err(cause) => Err(CatalogError::Row {
                        table: "journal",
                        column: "entry",
                        id: noted.seq.to_string(),
                        cause: cause.clone(),
                    }),
                };
                match outcome {
                    Ok(()) => {
                        log::strike(&self.local, noted.seq).await?;
                        last = noted.seq;
                        count += 1;
                    }
                    Err(error) if error.is_away() => {
                        self.note_away(&error);
                        return Ok(Drained::Away);
                    }
                    Err(error) => {
                        if log::refused(&self.local, noted.seq, &error.to_string()).await? {
                            tracing::warn!(%error, "the catalog refused what was kept for it; it is tried again");
                            return Ok(Drained::Away);
                        }
                        tracing::error!(
                            %error, entry = noted.seq,
                            "the catalog refuses what was kept for it; it stays in journal.db, and the rest goes on"
                        );
                        last = noted.seq;
                    }
                }
            }
        }
        self.note_back();
        if count > 0 {
            tracing::info!(
                records = count,
                "what was kept while the catalog was away is in it now"
            );
        }
        Ok(Drained::Empty)
    }
}
