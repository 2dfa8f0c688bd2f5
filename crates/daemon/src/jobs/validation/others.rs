//! The other sets of the job whose set has failed. Only a piece of advice depends on them.

use crate::jobs::RunContext;
use mykeeper_catalog::{BackupFilter, Catalog, CatalogError, SetState};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::damage::Damage;
use mykeeper_domain::notice::essence;
use mykeeper_domain::proof::Proof;

/// So many of a job's newest sets are looked through.
const LOOKED_THROUGH: u32 = 200;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// An older one is there that may be whole.
    pub(super) has_earlier: bool,
    /// The newest of them that has a verdict has failed, and with what this one has failed with.
    pub(super) failed_alike: Option<BackupId>,
}

impl Others {
    /// Those of the set that `proof` has failed.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub(super) async fn of(
        context: &RunContext,
        backup: &Backup,
        proof: &Proof,
    ) -> Result<Self, CatalogError> {
        let catalog = context.environment.catalog.as_ref();
        let filter = BackupFilter {
            job: backup.job.clone(),
            tag: Some(backup.tag.clone()),
            present_only: true,
            state: Some(SetState::Complete),
            limit: LOOKED_THROUGH,
            ..BackupFilter::default()
        };
        let mut sets = catalog.backups(&filter).await?;
        sets.retain(|set| set.id != backup.id);
        let failed_alike = failed_alike(catalog, &sets, proof).await?;
        sets.retain(|set| {
            let is_good = set.validate_status != ValidateStatus::Failed && set.deletion == Deletion::None;
            is_good && set.started_at < backup.started_at
        });
        let ids: Vec<BackupId> = sets.iter().map(|set| set.id).collect();
        let damages = catalog.damages(Some(&ids)).await?;
        let is_whole = |id: &BackupId| !damages.get(id).is_some_and(Damage::is_of_every_copy);
        Ok(Self {
            has_earlier: ids.iter().any(is_whole),
            failed_alike,
        })
    }
}

/// Of `sets`, newest first, the newest with a verdict, if it has failed with the same.
async fn failed_alike(
    catalog: &dyn Catalog,
    sets: &[Backup],
    proof: &Proof,
) -> Result<Option<BackupId>, CatalogError> {
    let has_verdict = |set: &&Backup| {
        matches!(
            set.validate_status,
            ValidateStatus::Failed | ValidateStatus::Passed
        )
    };
    let newest = sets.iter().find(has_verdict);
    let Some(newest) = newest.filter(|set| set.validate_status == ValidateStatus::Failed) else {
        return Ok(None);
    };
    // The last one comes first.
    let last = catalog.proofs(newest.id).await?.into_iter().next();
    let first_fault = |proof: &Proof| proof.faults().first().map(|fault| essence(fault));
    let fault = first_fault(proof);
    let is_alike = fault.is_some() && last.as_ref().and_then(first_fault) == fault;
    Ok(is_alike.then_some(newest.id))
}
