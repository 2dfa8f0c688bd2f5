//! Proofs that failed, as long as no newer set of the same job has passed: the set has its verdict and is not tried again, so
//! that nothing else tells of it.

use chrono::{DateTime, Utc};
use mykeeper_catalog::{BackupFilter, Catalog, CatalogError, SetState};
use mykeeper_domain::backup::{Backup, Deletion};
use std::collections::BTreeSet;

/// So many of the newest sets that failed, and are still there, are looked through.
pub const MOST_FAILED: u32 = 2_000;
/// Of the newest sets of a tag that passed so many are looked at for one that no job made: others of the tag may be of jobs.
const MOST_PASSED: u32 = 200;

/// A set that failed, the newest of its job that has a verdict.
#[derive(Clone, Debug)]
pub struct FailedSet {
    /// The set.
    pub backup: Backup,
    /// What its proof found, and what to do; `None` where there is no proof of ours.
    pub reason: Option<String>,
}

impl FailedSet {
    /// For people: `its proof failed on 2026-11-22: shop: ...`
    pub fn why(&self) -> String {
        match &self.reason {
            Some(reason) => format!("its proof failed: {reason}"),
            None => "it was validated, and failed".to_owned(),
        }
    }
}

/// What is known of proofs that failed.
#[derive(Clone, Debug, Default)]
pub struct FailedSets {
    /// The newest comes first.
    pub standing: Vec<FailedSet>,
    /// There are more sets that failed than are looked through: a job may be missing whose last failure is older than those.
    pub is_cut: bool,
}

/// Of each job of each node and server the newest set that has a verdict, where that is not `passed`. Those that were made
/// by no job of ours are held together by server. Of more than [`MOST_FAILED`] sets that failed and are still there the newest
/// are looked through.
///
/// # Errors
/// The catalog does not answer.
pub async fn failed_sets(
    catalog: &dyn Catalog,
    is_asked_for: impl Fn(&Backup) -> bool,
) -> Result<FailedSets, CatalogError> {
    let failed = BackupFilter {
        present_only: true,
        state: Some(SetState::Failed),
        limit: MOST_FAILED + 1,
        ..BackupFilter::default()
    };
    let mut failed = catalog.backups(&failed).await?;
    let most = usize::try_from(MOST_FAILED).unwrap_or(usize::MAX);
    let is_cut = failed.len() > most;
    failed.truncate(most);
    let (mut seen, mut standing) = (BTreeSet::new(), Vec::new());
    for backup in failed {
        let is_first = seen.insert(maker_of(&backup));
        if backup.deletion != Deletion::None || !is_first || !is_asked_for(&backup) {
            continue;
        }
        if has_passed_since(catalog, &backup, backup.started_at).await? {
            continue;
        }
        let proofs = catalog.proofs(backup.id).await?;
        let reason = proofs.first().map(|last| {
            let lines: Vec<String> = std::iter::once(last.summary()).chain(last.advice()).collect();
            lines.join("; ")
        });
        standing.push(FailedSet { backup, reason });
    }
    Ok(FailedSets { standing, is_cut })
}

fn maker_of(backup: &Backup) -> (Option<String>, Option<String>, String) {
    let text = |name: &dyn ToString| name.to_string();
    (
        backup.node.as_ref().map(|node| text(node)),
        backup.job.as_ref().map(|job| text(job)),
        backup.tag.clone(),
    )
}

async fn has_passed_since(
    catalog: &dyn Catalog,
    failed: &Backup,
    since: DateTime<Utc>,
) -> Result<bool, CatalogError> {
    let newer = BackupFilter {
        tag: Some(failed.tag.clone()),
        node: failed.node.clone(),
        job: failed.job.clone(),
        since: Some(since),
        present_only: true,
        state: Some(SetState::Validated),
        // The newest comes first: one of the same maker is enough.
        limit: match (&failed.node, &failed.job) {
            (Some(_), Some(_)) => 1,
            _ => MOST_PASSED,
        },
        ..BackupFilter::default()
    };
    let newer = catalog.backups(&newer).await?;
    let is_good = |other: &Backup| maker_of(other) == maker_of(failed) && other.started_at > since;
    Ok(newer.iter().any(is_good))
}
