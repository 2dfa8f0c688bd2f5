//! A shared catalog that may go away: what is to be written meanwhile is kept on this machine.
//!
//! Two stores: the shared one, and a file of this machine's own (`journal.db`) that holds the journal and a copy of
//! what this node has written lately. A write goes to the shared catalog and is copied. When the shared catalog is
//! away, the write is noted in the journal, synced, and carried out on the copy alone, whose answer counts; from then
//! on every write goes that way until the journal has been carried out in order and is empty. What a node asks about
//! its own jobs and runs is answered from the copy meanwhile. What concerns other nodes, too (which sets there are,
//! who works on them), is not: who asks is told that the catalog is away.
//!
//! Writes of one run come one after another, so that none of them overtakes the one before it; each can be carried
//! out twice without harm, because the answer to the first may have been lost on its way.

mod catalog;
mod drain;
mod entry;
mod keeper;
mod log;
mod prune;
mod writes;

use crate::db::Store;
use crate::error::CatalogError;
use crate::open::{OpenCatalog, connect, mysql, sqlite};
use crate::probe::Cause;
use crate::ways::Known;
use crate::{Backlog, Catalog, migrate};
use drain::Drainer;
use entry::Entry;
use mykeeper_domain::Clock;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// A shared catalog is taken to be away when it has not answered for so long; the journal is at hand.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// For so long after it was found to be away, a shared catalog is not tried again by everyone who asks: a thousand jobs
/// would wait one after the other.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a start waits for the shared catalog's tables to be brought up, which goes on behind it.
const MIGRATED_WITHIN: Duration = Duration::from_secs(20);
/// How long the end of a process waits for the journal to be carried out.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, CatalogError>> + Send + 'a>>;

/// Opens a shared catalog with a journal in `folder` for the time when it is away, which may be now.
///
/// # Errors
/// The URL is wrong, the catalog was migrated by a newer program, or the journal's file cannot be had.
pub async fn open_journaled(
    settings: &OpenCatalog,
    folder: &Path,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Catalog>, CatalogError> {
    let keeper = Some(keeper::identity(folder).await?);
    let remote = Store {
        limit: ANSWERS_WITHIN,
        keeper: keeper.clone(),
        ..mysql(settings, Some(Known::Kept(folder)))?
    };
    let journal = folder.join("journal.db");
    let local = sqlite(&OpenCatalog {
        url: format!("sqlite:{}", journal.display()),
        password: None,
        timezone: settings.timezone,
        create: true,
    })
    .await?;
    let local = Store { keeper, ..local };
    migrate::migrate(&local).await?;
    log::create(&local).await?;
    let journaled = Arc::new(Shared {
        remote,
        local,
        clock,
        lock_path: folder.join("journal.lock"),
        is_away: AtomicBool::new(false),
        is_migrated: AtomicBool::new(false),
        waited: AtomicBool::new(true),
        deferred: Notify::new(),
        last_error: Mutex::new(None),
    });
    let looked = match connect(&journaled.remote).await {
        Ok(()) => migrate::refuse_newer(&journaled.remote).await,
        Err(error) => Err(error),
    };
    match looked {
        Err(error @ CatalogError::Unreachable { .. }) => journaled.note_away(&error),
        looked => looked?,
    }
    log::forgive(&journaled.local).await?;
    journaled.settle_held().await?;
    journaled.copy_journal().await?;
    let drainer = Drainer::new(Arc::clone(&journaled));
    let drainer = AbortOnDropHandle::new(tokio::spawn(drainer.run()));
    Ok(Arc::new(Journaled {
        shared: journaled,
        drainer: Mutex::new(Some(drainer)),
    }))
}

/// A shared catalog with its journal.
struct Journaled {
    shared: Arc<Shared>,
    drainer: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Shared {
    /// The shared catalog.
    remote: Store,
    /// The journal, and the copy.
    local: Store,
    clock: Arc<dyn Clock>,
    /// Held by whoever carries out the journal.
    lock_path: PathBuf,
    /// As last seen; so that its going and coming is said once.
    is_away: AtomicBool,
    /// Whether the shared catalog's tables are known to be up to date.
    is_migrated: AtomicBool,
    /// Whether something waited when the journal was last looked into.
    waited: AtomicBool,
    /// Something was noted in the journal.
    deferred: Notify,
    /// Why the shared catalog is away, and when it was found so.
    last_error: Mutex<Option<(Cause, Instant)>>,
}

/// What came of a write.
struct Written<T> {
    answer: T,
    /// Whether the answer is the copy's.
    is_deferred: bool,
}

impl Shared {
    /// Carries out a write on the shared catalog and the copy; notes it and carries it out on the copy alone while the
    /// shared one is away.
    async fn write<'a, T>(
        &'a self,
        apply: impl Fn(&'a Store) -> Answer<'a, T> + Send + Sync,
        entry: impl FnOnce() -> Entry + Send,
    ) -> Result<Written<T>, CatalogError> {
        self.write_kept(apply, entry, |_| true).await
    }

    /// The same; neither copied nor noted where the answer says that nothing of ours was written.
    async fn write_kept<'a, T>(
        &'a self,
        apply: impl Fn(&'a Store) -> Answer<'a, T> + Send + Sync,
        entry: impl FnOnce() -> Entry + Send,
        is_kept: impl Fn(&T) -> bool + Send + Sync,
    ) -> Result<Written<T>, CatalogError> {
        if !self.waits().await {
            let applied = match self.reached().await {
                Ok(remote) => apply(remote).await,
                Err(error) => Err(error),
            };
            match applied {
                Ok(answer) => {
                    self.note_back();
                    if is_kept(&answer)
                        && let Err(error) = apply(&self.local).await
                    {
                        tracing::warn!(%error, "this machine's copy of its records in the catalog lacks one");
                    }
                    return Ok(Written {
                        answer,
                        is_deferred: false,
                    });
                }
                Err(error) if error.is_away() => self.note_away(&error),
                Err(error) => return Err(error),
            }
        }
        let entry = entry();
        let answer = self.defer(&entry, || apply(&self.local), is_kept).await?;
        Ok(Written {
            answer,
            is_deferred: true,
        })
    }

    /// Notes a write in the journal and carries it out on the copy, whose answer says whether it is to be kept.
    ///
    /// The entry is held until the copy has it: a process may end, or the disk be full, between the two. Where nothing
    /// can be noted, the catalog is told to be away, with both causes.
    async fn defer<'a, T>(
        &'a self,
        entry: &Entry,
        apply: impl FnOnce() -> Answer<'a, T> + Send,
        is_kept: impl FnOnce(&T) -> bool + Send,
    ) -> Result<T, CatalogError> {
        let now = self.clock.now();
        let seq = log::append(&self.local, entry, true, now)
            .await
            .map_err(|error| self.nothing_kept(&error))?;
        let answer = match apply().await {
            Ok(answer) => answer,
            Err(error) => {
                // Where even that fails, it stays held, and the next start looks whether the copy has it.
                if let Err(error) = log::strike(&self.local, seq).await {
                    tracing::warn!(%error, "an entry of the journal that came to nothing stays there");
                }
                return Err(self.nothing_kept(&error));
            }
        };
        if !is_kept(&answer) {
            log::strike(&self.local, seq).await?;
            return Ok(answer);
        }
        // Another process that starts just now may have taken it for left behind.
        if !log::release(&self.local, seq).await? {
            log::append(&self.local, entry, false, now).await?;
        }
        self.deferred.notify_one();
        Ok(answer)
    }

    fn nothing_kept(&self, error: &CatalogError) -> CatalogError {
        let away = self.last_error();
        let away = away.map_or_else(|| "it is away".to_owned(), |cause| cause.words);
        self.remote
            .unreachable(format!("{away}; and nothing can be kept for it: {error}"))
    }

    /// Decides about entries that an ended process has left held: a slot that the copy does not know as taken was not
    /// taken; all else does no harm when it is carried out.
    async fn settle_held(&self) -> Result<(), CatalogError> {
        for noted in log::held(&self.local).await? {
            let is_void = match &noted.entry {
                Ok(Entry::ClaimSlot { run }) => self.local.run(run.id).await?.is_none(),
                _ => false,
            };
            if is_void {
                log::strike(&self.local, noted.seq).await?;
            } else {
                log::release(&self.local, noted.seq).await?;
            }
        }
        Ok(())
    }

    /// The shared catalog. Where it was away the last time, it is tried with one connection first: the pool would go on
    /// trying for as long as it may.
    async fn reached(&self) -> Result<&Store, CatalogError> {
        if !self.is_away.load(Ordering::Relaxed) {
            return Ok(&self.remote);
        }
        if let Some(cause) = self.found_away_lately() {
            return Err(self.remote.unreachable(cause));
        }
        connect(&self.remote).await?;
        Ok(&self.remote)
    }

    /// Asks about what is this node's own: the copy knows it while the catalog is away or behind.
    async fn ask_own<'a, T>(
        &'a self,
        ask: impl Fn(&'a Store) -> Answer<'a, T> + Send + Sync,
    ) -> Result<T, CatalogError> {
        if self.waits().await {
            return ask(&self.local).await;
        }
        let answer = match self.reached().await {
            Ok(remote) => ask(remote).await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if error.is_away() => {
                self.note_away(&error);
                ask(&self.local).await
            }
            answer => answer,
        }
    }

    /// The same for one thing that the copy may not have.
    async fn ask_one<'a, T>(
        &'a self,
        ask: impl Fn(&'a Store) -> Answer<'a, Option<T>> + Send + Sync,
    ) -> Result<Option<T>, CatalogError> {
        if self.waits().await
            && let Some(found) = ask(&self.local).await?
        {
            return Ok(Some(found));
        }
        let answer = match self.reached().await {
            Ok(remote) => ask(remote).await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if error.is_away() => {
                self.note_away(&error);
                ask(&self.local)
                    .await?
                    .map_or(Err(error), |found| Ok(Some(found)))
            }
            answer => answer,
        }
    }

    /// Whether something is in the journal. Where it cannot be looked into, what it was the last time: nothing may
    /// overtake what waits.
    async fn waits(&self) -> bool {
        match log::waits(&self.local).await {
            Ok(waits) => {
                self.waited.store(waits, Ordering::Relaxed);
                waits
            }
            Err(error) => {
                tracing::warn!(%error, "the journal cannot be looked into");
                self.waited.load(Ordering::Relaxed)
            }
        }
    }

    /// Whether a store is the copy, which does without what is only ever asked of the shared catalog.
    fn is_copy(&self, store: &Store) -> bool {
        std::ptr::eq(store, &raw const self.local)
    }

    /// Brings the copy up to the journal: a process may have ended between the two.
    async fn copy_journal(&self) -> Result<(), CatalogError> {
        let mut last = 0;
        loop {
            let batch = log::oldest(&self.local, last).await?;
            let Some(newest) = batch.last() else {
                return Ok(());
            };
            last = newest.seq;
            for noted in &batch {
                if let Ok(entry) = &noted.entry
                    && let Err(error) = entry.replay(&self.local).await
                {
                    tracing::warn!(%error, "this machine's copy of its records in the catalog lacks one");
                }
            }
        }
    }

    fn note_away(&self, error: &CatalogError) {
        if self.found_away_lately().is_none() {
            let words = match error {
                CatalogError::Unreachable { cause, .. } => cause.clone(),
                error => error.to_string(),
            };
            let is_shut_out = error.is_shut_out();
            let cause = Cause {
                is_shut_out,
                ..Cause::from(words)
            };
            *self.lock_last_error() = Some((cause, Instant::now()));
        }
        if self.is_away.swap(true, Ordering::Relaxed) {
            return;
        }
        if error.is_shut_out() {
            tracing::warn!(
                %error,
                "the catalog refuses the account, which does not pass by itself: work goes on, and what is to be written \
                 is kept on this machine until it lets it in"
            );
        } else {
            tracing::warn!(
                %error,
                "the catalog is away: work goes on, and what is to be written is kept on this machine until it is back"
            );
        }
    }

    fn note_back(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            *self.lock_last_error() = None;
            tracing::info!(url = %self.remote.url, "the catalog is back");
        }
    }

    fn last_error(&self) -> Option<Cause> {
        self.lock_last_error().as_ref().map(|(cause, _)| cause.clone())
    }

    fn found_away_lately(&self) -> Option<Cause> {
        let last = self.lock_last_error();
        let (cause, at) = last.as_ref()?;
        (at.elapsed() < TRIED_AGAIN_AFTER).then(|| cause.clone())
    }

    fn lock_last_error(&self) -> MutexGuard<'_, Option<(Cause, Instant)>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a while for the drainer, which brings the tables up: it may take as long as a large table takes to be copied,
    /// and what is to be written is kept meanwhile.
    async fn migrated(&self) -> Result<(), CatalogError> {
        let began = Instant::now();
        while !self.is_migrated.load(Ordering::Relaxed) {
            if let Some(cause) = self.last_error() {
                return Err(self.remote.unreachable(cause));
            }
            if began.elapsed() >= MIGRATED_WITHIN {
                let cause = "its tables are being brought up, by this process or another".to_owned();
                return Err(self.remote.unreachable(cause));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, CatalogError> {
        let mut backlog = log::backlog(&self.local).await?;
        let is_away = self.is_away.load(Ordering::Relaxed);
        if let Some(cause) = self.last_error().filter(|_| is_away) {
            backlog.is_shut_out = cause.is_shut_out;
            backlog.away = Some(cause.words);
        }
        Ok(backlog)
    }
}

/// What this machine's copy in `folder` holds of what it has written to a shared catalog lately: for a look while that
/// one is away. It knows no contents of sets, no proofs, and nothing of other nodes. `None` where there is no copy.
///
/// # Errors
/// The file is there and cannot be read.
pub async fn open_copy(
    folder: &Path,
    timezone: chrono_tz::Tz,
) -> Result<Option<Arc<dyn Catalog>>, CatalogError> {
    let Some(local) = existing(folder, timezone).await? else {
        return Ok(None);
    };
    migrate::migrate(&local).await?;
    Ok(Some(Arc::new(local)))
}

async fn existing(folder: &Path, timezone: chrono_tz::Tz) -> Result<Option<Store>, CatalogError> {
    let journal = folder.join("journal.db");
    if !journal.exists() {
        return Ok(None);
    }
    let settings = OpenCatalog {
        url: format!("sqlite:{}", journal.display()),
        password: None,
        timezone,
        create: false,
    };
    sqlite(&settings).await.map(Some)
}

/// What waits in the journal that lies in `folder`; nothing where there is none.
///
/// # Errors
/// The file is there and cannot be read.
pub async fn journal_backlog(folder: &Path) -> Result<Backlog, CatalogError> {
    let Some(local) = existing(folder, chrono_tz::UTC).await? else {
        return Ok(Backlog::default());
    };
    let backlog = log::backlog(&local).await;
    local.close().await;
    backlog
}
