//! One write, as the journal keeps it. Each can be carried out again without harm.

use crate::{Catalog, CatalogError, Claim, JobDefinition, LeaseClock, LeaseTerm};
use chrono::{DateTime, Utc};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::Manifest;
use mykeeper_domain::proof::Proof;
use mykeeper_domain::removal::SetRemoval;
use mykeeper_domain::run::{Attempt, Run, RunEnd};
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::verification::Verification;
use mykeeper_domain::{AttemptId, BackupId, JobName, NodeName, RunId};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A method of [`Catalog`] and its arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "write", rename_all = "kebab-case")]
pub(super) enum Entry {
    KnowJob {
        node: NodeName,
        definition: JobDefinition,
        now: DateTime<Utc>,
    },
    RescheduleJob {
        node: NodeName,
        definition: JobDefinition,
        now: DateTime<Utc>,
    },
    ForgetJob {
        node: NodeName,
        job: JobName,
        now: DateTime<Utc>,
    },
    ClaimSlot {
        run: Run,
    },
    SkipSlots {
        runs: Vec<Run>,
    },
    InsertRun {
        run: Run,
    },
    StartRun {
        id: RunId,
        started_at: DateTime<Utc>,
        log_path: Option<PathBuf>,
    },
    FinishRun {
        id: RunId,
        end: RunEnd,
    },
    StartAttempt {
        attempt: Attempt,
    },
    FinishAttempt {
        id: AttemptId,
        end: RunEnd,
        exit_status: Option<String>,
    },
    InsertBackup {
        backup: Box<Backup>,
        manifest: Manifest,
        evidence: Box<Evidence>,
    },
    StartTransfer {
        transfer: Transfer,
        remote_dest: String,
    },
    FinishTransfer {
        id: AttemptId,
        end: RunEnd,
        sent_bytes: Option<u64>,
    },
    RecordProof {
        proof: Box<Proof>,
    },
    RecordVerification {
        found: Verification,
    },
    AcquireLease {
        name: String,
        holder: String,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        /// By the shared clock it lasts from when it is carried out.
        #[serde(default)]
        clock: LeaseClock,
    },
    ReleaseLease {
        name: String,
        holder: String,
    },
    MarkDeleted {
        id: BackupId,
        reason: String,
        now: DateTime<Utc>,
    },
    RecordRemoval {
        removal: Box<SetRemoval>,
    },
}

impl Entry {
    /// Carries it out. What it answers was answered when it was noted.
    pub(super) async fn replay(&self, catalog: &dyn Catalog) -> Result<(), CatalogError> {
        match self {
            Self::KnowJob {
                node,
                definition,
                now,
            } => catalog.know_job(node, definition, *now).await.map(drop)?,
            Self::RescheduleJob {
                node,
                definition,
                now,
            } => catalog.reschedule_job(node, definition, *now).await?,
            Self::ForgetJob { node, job, now } => catalog.forget_job(node, job, *now).await?,
            Self::ClaimSlot { run } => claim(catalog, run).await?,
            Self::SkipSlots { runs } => catalog.skip_slots(runs).await.map(drop)?,
            Self::InsertRun { run } => catalog.insert_run(run).await?,
            Self::StartRun {
                id,
                started_at,
                log_path,
            } => catalog
                .start_run(*id, *started_at, log_path.clone())
                .await
                .map(drop)?,
            Self::FinishRun { id, end } => catalog.finish_run(*id, end).await.map(drop)?,
            Self::StartAttempt { attempt } => catalog.start_attempt(attempt).await?,
            Self::FinishAttempt { id, end, exit_status } => catalog
                .finish_attempt(*id, end, exit_status.as_deref())
                .await
                .map(drop)?,
            Self::InsertBackup {
                backup,
                manifest,
                evidence,
            } => catalog
                .insert_backup(backup, manifest, evidence)
                .await
                .map(drop)?,
            Self::StartTransfer {
                transfer,
                remote_dest,
            } => catalog.start_transfer(transfer, remote_dest).await?,
            Self::FinishTransfer { id, end, sent_bytes } => {
                catalog.finish_transfer(*id, end, *sent_bytes).await.map(drop)?;
            }
            Self::RecordProof { proof } => catalog.record_proof(proof).await?,
            Self::RecordVerification { found } => catalog.record_verification(found).await?,
            Self::AcquireLease {
                name,
                holder,
                now,
                until,
                clock,
            } => {
                let (clock, from, until) = (*clock, *now, *until);
                let term = LeaseTerm { clock, from, until };
                catalog.acquire_lease(name, holder, term).await.map(drop)?;
            }
            Self::ReleaseLease { name, holder } => catalog.release_lease(name, holder).await?,
            Self::RecordRemoval { removal } => catalog.record_removal(removal).await.map(drop)?,
            Self::MarkDeleted { id, reason, now } => {
                catalog.mark_deleted(*id, reason, *now).await.map(drop)?;
            }
        }
        Ok(())
    }
}

/// A slot that the catalog knows as taken by another run: two daemons under one node's name, or a `state_dir` that was
/// lost. The run has been, and its record stays, without the slot.
async fn claim(catalog: &dyn Catalog, run: &Run) -> Result<(), CatalogError> {
    if catalog.claim_slot(run).await? == Claim::Won {
        return Ok(());
    }
    tracing::error!(
        job = %run.job, run = %run.id, slot = ?run.slot_at,
        "the slot was taken by another run while the catalog was away: it has been run twice"
    );
    let without_slot = Run {
        slot_at: None,
        ..run.clone()
    };
    catalog.insert_run(&without_slot).await
}
