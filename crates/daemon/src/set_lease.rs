//! Who works on a set: leases in the catalog, kept alive while the work goes on.

use crate::environment::Environment;
use crate::removal::{Hold, share};
use chrono::{DateTime, Utc};
use mykeeper_catalog::{CatalogError, LeaseClock, LeaseTerm, RunFilter};
use mykeeper_domain::job::JobKind;
use mykeeper_domain::run::RunState;
use mykeeper_domain::{BackupId, RunId};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A lease is renewed so many times while it holds.
const RENEWALS: u32 = 5;
/// After a failure, at the latest: the catalog must not come back with the lease run out.
const RENEWED_AGAIN: Duration = Duration::from_secs(5);
const PREFIX: &str = "set:";

/// A set that is being sent, proven or restored: retention leaves it alone.
pub struct SetLease {
    environment: Arc<Environment>,
    name: String,
    holder: String,
    renewal: AbortOnDropHandle<()>,
    lost: CancellationToken,
    _held: HeldMark,
    _folder_lock: Option<Hold>,
}

/// A lease that this process holds, whatever the wall's clock says: where that steps, one in the catalog lapses at once.
struct HeldMark {
    environment: Arc<Environment>,
    name: String,
}

impl HeldMark {
    /// `None` when another run of this process holds it.
    fn set(environment: &Arc<Environment>, name: &str) -> Option<Self> {
        held(environment).insert(name.to_owned()).then(|| Self {
            environment: Arc::clone(environment),
            name: name.to_owned(),
        })
    }
}

impl Drop for HeldMark {
    fn drop(&mut self) {
        held(&self.environment).remove(&self.name);
    }
}

fn held(environment: &Environment) -> MutexGuard<'_, BTreeSet<String>> {
    environment
        .held_leases
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

impl SetLease {
    /// Takes the lease for `purpose` (`transfer:vault`, `validate`); `None` when another run has it.
    pub async fn acquire(
        environment: &Arc<Environment>,
        set: BackupId,
        purpose: &str,
        run: RunId,
    ) -> Result<Option<Self>, CatalogError> {
        let name = format!("{PREFIX}{set}:{purpose}");
        let holder = holder(environment, run);
        let Some(held) = HeldMark::set(environment, &name) else {
            return Ok(None);
        };
        // How long it lasts is what its holder says; a change takes effect with the next lease.
        let lasts = environment.settings().daemon.lease;
        if !renew(environment, &name, &holder, lasts).await? {
            return Ok(None);
        }
        let lost = CancellationToken::new();
        let renewal = tokio::spawn({
            let (environment, name, holder) = (Arc::clone(environment), name.clone(), holder.clone());
            let lost = lost.clone();
            async move {
                let mut wait = lasts / RENEWALS;
                loop {
                    tokio::time::sleep(wait).await;
                    wait = lasts / RENEWALS;
                    match renew(&environment, &name, &holder, lasts).await {
                        Ok(true) => {}
                        Ok(false) => {
                            tracing::warn!(%name, "the lease on a set was taken by another run");
                            lost.cancel();
                            return;
                        }
                        Err(error) => {
                            tracing::warn!(%name, %error, "cannot renew the lease on a set");
                            wait = wait.min(RENEWED_AGAIN);
                        }
                    }
                }
            }
        });
        Ok(Some(Self {
            lost,
            environment: Arc::clone(environment),
            name,
            holder,
            renewal: AbortOnDropHandle::new(renewal),
            _held: held,
            _folder_lock: None,
        }))
    }

    /// Holds the set's folder on this machine as well. A lease goes by the wall's clock, and lapses while the host
    /// sleeps: a retention job that is awake before its holder is must not find the set free. Where a retention job
    /// has the folder just now, the lease and its mark tell who goes on.
    pub async fn with_folder(mut self, folder: &Path) -> Self {
        self._folder_lock = keep_folder(&self.environment, folder).await;
        self
    }

    /// Returns once another run has taken it, after it had run out: this machine slept, or could not reach the catalog
    /// for so long.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// What is cancelled then; for who cannot wait for it.
    pub fn lost_token(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Gives it back. A lease that is merely dropped runs out by itself.
    pub async fn release(mut self) {
        // A renewal that is just due would take it again.
        self.renewal.abort();
        if let Err(error) = (&mut self.renewal).await
            && !error.is_cancelled()
        {
            tracing::warn!(name = %self.name, %error, "the renewal of a lease had ended by a defect");
        }
        let stop = CancellationToken::new();
        stop.cancel();
        let result = self
            .environment
            .persist("give back the lease on a set", &stop, |catalog| {
                let (name, holder) = (self.name.clone(), self.holder.clone());
                async move { catalog.release_lease(&name, &holder).await }
            })
            .await;
        if let Err(error) = result {
            tracing::warn!(name = %self.name, %error, "cannot give back the lease on a set; it runs out by itself");
        }
    }
}

/// What [`SetLease::with_folder`] holds, for who learns only later where the set lies.
pub async fn keep_folder(environment: &Environment, folder: &Path) -> Option<Hold> {
    let shared = folder.to_path_buf();
    match environment
        .disk
        .ask(("lock", folder), move || share(&shared))
        .await
    {
        Ok(held) => held,
        Err(error) => {
            tracing::warn!(%error, "the folder of a set is not held");
            None
        }
    }
}

fn holder(environment: &Environment, run: RunId) -> String {
    format!("{} {run}", environment.node)
}

/// The machine and the run that hold a lease, by its holder's name.
pub(crate) fn holder_of(holder: &str) -> (&str, Option<RunId>) {
    match holder.rsplit_once(' ') {
        Some((node, run)) => (node, run.parse().ok()),
        None => (holder, None),
    }
}

/// The set that a lease of this name holds for `purpose`.
pub(crate) fn set_of_lease(name: &str, purpose: &str) -> Option<BackupId> {
    let (set, of) = name.strip_prefix(PREFIX)?.split_once(':')?;
    (of == purpose).then(|| set.parse().ok()).flatten()
}

/// The set that a run was proving when its process went; `None` where that cannot be told any more.
pub(crate) async fn set_proven_by(environment: &Environment, run: RunId) -> Option<BackupId> {
    let holder = holder(environment, run);
    // One that has run out meanwhile tells as well.
    let ever = (LeaseClock::Own, DateTime::<Utc>::UNIX_EPOCH);
    let leases = environment.catalog.leases(PREFIX, ever).await.ok()?;
    leases
        .iter()
        .filter(|lease| lease.holder == holder)
        .find_map(|lease| set_of_lease(&lease.name, "validate"))
}

/// Gives back what a run holds whose process is gone: nobody has to wait until it runs out.
pub async fn release_all_of(environment: &Environment, run: RunId) {
    let holder = holder(environment, run);
    let release = async {
        let at = (LeaseClock::Shared, environment.clock.now());
        for lease in environment.catalog.leases(PREFIX, at).await? {
            if lease.holder == holder {
                environment.catalog.release_lease(&lease.name, &holder).await?;
            }
        }
        Ok::<(), CatalogError>(())
    };
    if let Err(error) = release.await {
        tracing::warn!(%run, %error, "the leases of a run that is over are not given back; they run out by themselves");
    }
}

async fn renew(
    environment: &Environment,
    name: &str,
    holder: &str,
    lasts: Duration,
) -> Result<bool, CatalogError> {
    let term = LeaseTerm::shared(environment.clock.now(), lasts);
    environment.catalog.acquire_lease(name, holder, term).await
}

/// The sets that some run, on any node, is working on: those with a lease, and those of backup runs that have not
/// ended, which write a set before it has a row, and send it after it has one.
pub async fn sets_in_use(environment: &Environment) -> Result<BTreeSet<BackupId>, CatalogError> {
    let catalog = &environment.catalog;
    let running = RunFilter {
        kind: Some(JobKind::Backup),
        states: vec![RunState::Running],
        limit: u32::MAX,
        ..Default::default()
    };
    let mut sets = BTreeSet::new();
    for run in catalog.runs(&running).await? {
        let attempts = catalog.attempts(run.id).await?;
        sets.extend(attempts.into_iter().filter_map(|attempt| attempt.bk_id));
    }
    // After the runs: one that has ended meanwhile may have handed its set on to another that has a lease.
    let at = (LeaseClock::Shared, environment.clock.now());
    let leases = catalog.leases(PREFIX, at).await?;
    let mut names: Vec<String> = leases.into_iter().map(|lease| lease.name).collect();
    names.extend(held(environment).iter().cloned());
    sets.extend(names.iter().filter_map(|name| {
        name.strip_prefix(PREFIX)?
            .split(':')
            .next()?
            .parse::<BackupId>()
            .ok()
    }));
    Ok(sets)
}
