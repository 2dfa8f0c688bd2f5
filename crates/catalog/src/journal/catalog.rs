//! The trait over a shared catalog with its journal.

use super::{Entry, Journaled};
use crate::{
    Backlog, BackupFilter, BackupPath, Bookmark, Catalog, CatalogError, Claim, DecidedSlot, JobDefinition,
    JobRecord, Lease, LeaseClock, LeaseTerm, MigrationStatus, Page, PromiseRecord, Reach, RecordedProof,
    RestoreTime, RunFilter, Validator, VerificationScope, WaitingScope,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::{Damage, IntactCopy};
use mykeeper_domain::event::Event;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{FileEntry, Manifest};
use mykeeper_domain::node::{HeardNode, NodeReport};
use mykeeper_domain::promise::{Promise, PromiseState};
use mykeeper_domain::proof::{Link, Proof};
use mykeeper_domain::removal::{Removal, SetRemoval};
use mykeeper_domain::run::{Attempt, Run, RunEnd};
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::verification::Verification;
use mykeeper_domain::{AttemptId, BackupId, DestinationName, JobName, NodeName, RunId};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

#[async_trait]
impl Catalog for Journaled {
    async fn migrate(&self) -> Result<MigrationStatus, CatalogError> {
        self.shared.migrated().await?;
        self.shared.remote.status().await
    }

    async fn status(&self) -> Result<MigrationStatus, CatalogError> {
        self.remote().await?.status().await
    }

    fn other_way(&self) -> Option<String> {
        self.shared.remote.other_way()
    }

    async fn backlog(&self) -> Result<Backlog, CatalogError> {
        self.shared.backlog().await
    }

    async fn know_job(
        &self,
        node: &NodeName,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<JobRecord, CatalogError> {
        self.write_job(node, definition, now).await
    }

    async fn known_as_defined(
        &self,
        node: &NodeName,
        definitions: &[&JobDefinition],
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<JobName, JobRecord>, CatalogError> {
        self.jobs_as_defined(node, definitions, now).await
    }

    async fn reschedule_job(
        &self,
        node: &NodeName,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        let entry = || Entry::RescheduleJob {
            node: node.clone(),
            definition: definition.clone(),
            now,
        };
        self.note(|store| store.reschedule_job(node, definition, now), entry)
            .await
    }

    async fn forget_job(
        &self,
        node: &NodeName,
        job: &JobName,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        let entry = || Entry::ForgetJob {
            node: node.clone(),
            job: job.clone(),
            now,
        };
        self.note(|store| store.forget_job(node, job, now), entry).await
    }

    async fn known_jobs(&self, node: &NodeName) -> Result<Vec<JobRecord>, CatalogError> {
        self.shared.ask_own(|store| store.known_jobs(node)).await
    }

    async fn validators(&self) -> Result<Vec<Validator>, CatalogError> {
        self.remote().await?.validators().await
    }

    async fn claim_slot(&self, run: &Run) -> Result<Claim, CatalogError> {
        self.write_claim(run).await
    }

    async fn skip_slots(&self, runs: &[Run]) -> Result<u64, CatalogError> {
        let entry = || Entry::SkipSlots { runs: runs.to_vec() };
        let written = self.shared.write(|store| store.skip_slots(runs), entry).await?;
        Ok(written.answer)
    }

    async fn decided_slots(
        &self,
        of: (&NodeName, &JobName),
        span: (DateTime<Utc>, DateTime<Utc>),
        limit: u32,
    ) -> Result<Vec<DecidedSlot>, CatalogError> {
        self.remote().await?.decided_slots(of, span, limit).await
    }

    async fn note_run(&self, id: RunId, note: Option<&str>) -> Result<bool, CatalogError> {
        self.write_note(id, note).await
    }

    async fn insert_run(&self, run: &Run) -> Result<(), CatalogError> {
        let entry = || Entry::InsertRun { run: run.clone() };
        self.note(|store| store.insert_run(run), entry).await
    }

    async fn start_run(
        &self,
        id: RunId,
        started_at: DateTime<Utc>,
        log_path: Option<PathBuf>,
    ) -> Result<bool, CatalogError> {
        let entry = || Entry::StartRun {
            id,
            started_at,
            log_path: log_path.clone(),
        };
        let written = self
            .shared
            .write(|store| store.start_run(id, started_at, log_path.clone()), entry)
            .await?;
        // A run that the copy does not know was written before there was one.
        let is_unknown = written.is_deferred && self.shared.local.run(id).await?.is_none();
        Ok(written.answer || is_unknown)
    }

    async fn finish_run(&self, id: RunId, end: &RunEnd) -> Result<bool, CatalogError> {
        let entry = || Entry::FinishRun { id, end: end.clone() };
        let written = self
            .shared
            .write(|store| store.finish_run(id, end), entry)
            .await?;
        Ok(written.answer)
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, CatalogError> {
        self.shared.ask_one(|store| store.run(id)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, CatalogError> {
        self.remote().await?.runs(filter).await
    }

    async fn unfinished_runs(&self, node: &NodeName) -> Result<Vec<Run>, CatalogError> {
        self.shared.ask_own(|store| store.unfinished_runs(node)).await
    }

    async fn runs_with_open_attempts(&self, node: &NodeName) -> Result<Vec<Run>, CatalogError> {
        self.shared
            .ask_own(|store| store.runs_with_open_attempts(node))
            .await
    }

    async fn last_runs(&self, node: &NodeName, now: DateTime<Utc>) -> Result<Vec<Run>, CatalogError> {
        self.shared.ask_own(|store| store.last_runs(node, now)).await
    }

    async fn start_attempt(&self, attempt: &Attempt) -> Result<(), CatalogError> {
        let entry = || Entry::StartAttempt {
            attempt: attempt.clone(),
        };
        self.note(|store| store.start_attempt(attempt), entry).await
    }

    async fn finish_attempt(
        &self,
        id: AttemptId,
        end: &RunEnd,
        exit_status: Option<&str>,
    ) -> Result<bool, CatalogError> {
        let entry = || Entry::FinishAttempt {
            id,
            end: end.clone(),
            exit_status: exit_status.map(str::to_owned),
        };
        let written = self
            .shared
            .write(|store| store.finish_attempt(id, end, exit_status), entry)
            .await?;
        Ok(written.answer)
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<Attempt>, CatalogError> {
        self.shared.ask_own(|store| store.attempts(run)).await
    }

    async fn insert_backup(
        &self,
        backup: &Backup,
        manifest: &Manifest,
        evidence: &Evidence,
    ) -> Result<bool, CatalogError> {
        self.write_set(backup, manifest, evidence).await
    }

    async fn backup(&self, id: BackupId) -> Result<Option<Backup>, CatalogError> {
        self.shared.ask_one(|store| store.backup(id)).await
    }

    async fn shared_backup(&self, id: BackupId) -> Result<Option<Backup>, CatalogError> {
        self.remote().await?.backup(id).await
    }

    async fn backups(&self, filter: &BackupFilter) -> Result<Vec<Backup>, CatalogError> {
        self.remote().await?.backups(filter).await
    }

    async fn sets_here(&self, reach: &Reach, after: Option<&Bookmark>) -> Result<Page, CatalogError> {
        self.remote().await?.sets_here(reach, after).await
    }

    async fn count_deleted(&self, filter: &BackupFilter) -> Result<u64, CatalogError> {
        self.remote().await?.count_deleted(filter).await
    }

    async fn files(&self, id: BackupId) -> Result<Vec<FileEntry>, CatalogError> {
        self.remote().await?.files(id).await
    }

    async fn evidence(&self, id: BackupId) -> Result<Option<Evidence>, CatalogError> {
        self.remote().await?.evidence(id).await
    }

    async fn start_transfer(&self, transfer: &Transfer, remote_dest: &str) -> Result<(), CatalogError> {
        let entry = || Entry::StartTransfer {
            transfer: transfer.clone(),
            remote_dest: remote_dest.to_owned(),
        };
        self.note(|store| store.start_transfer(transfer, remote_dest), entry)
            .await
    }

    async fn finish_transfer(
        &self,
        id: AttemptId,
        end: &RunEnd,
        sent_bytes: Option<u64>,
    ) -> Result<bool, CatalogError> {
        let entry = || Entry::FinishTransfer {
            id,
            end: end.clone(),
            sent_bytes,
        };
        let written = self
            .shared
            .write(|store| store.finish_transfer(id, end, sent_bytes), entry)
            .await?;
        Ok(written.answer)
    }

    async fn transfers(&self, id: BackupId) -> Result<Vec<Transfer>, CatalogError> {
        self.remote().await?.transfers(id).await
    }

    async fn unfinished_transfers(&self, node: &NodeName) -> Result<Vec<Transfer>, CatalogError> {
        self.shared
            .ask_own(|store| store.unfinished_transfers(node))
            .await
    }

    async fn pending_transfers(
        &self,
        node: &NodeName,
        destination: &DestinationName,
        page: (Option<&Bookmark>, u32),
    ) -> Result<Page, CatalogError> {
        let remote = self.remote().await?;
        remote.pending_transfers(node, destination, page).await
    }

    async fn delivery_names(&self, node: &NodeName) -> Result<Vec<DestinationName>, CatalogError> {
        self.remote().await?.delivery_names(node).await
    }

    async fn due_verifications(
        &self,
        node: &NodeName,
        destination: &DestinationName,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Backup>, CatalogError> {
        let remote = self.remote().await?;
        remote.due_verifications(node, destination, before, limit).await
    }

    async fn validation_candidates(
        &self,
        scope: &WaitingScope,
        after: Option<&Bookmark>,
        limit: u32,
    ) -> Result<Page, CatalogError> {
        let remote = self.remote().await?;
        remote.validation_candidates(scope, after, limit).await
    }

    async fn record_proof(&self, proof: &Proof) -> Result<(), CatalogError> {
        self.write_proof(proof).await
    }

    async fn proofs(&self, id: BackupId) -> Result<Vec<Proof>, CatalogError> {
        self.remote().await?.proofs(id).await
    }

    async fn proven_copies(&self, id: BackupId) -> Result<Vec<IntactCopy>, CatalogError> {
        self.remote().await?.proven_copies(id).await
    }

    async fn proof_documents(&self, id: BackupId) -> Result<Vec<RecordedProof>, CatalogError> {
        self.remote().await?.proof_documents(id).await
    }

    async fn restore_times(
        &self,
        tag: &str,
        job: Option<&JobName>,
        limit: u32,
    ) -> Result<Vec<RestoreTime>, CatalogError> {
        self.remote().await?.restore_times(tag, job, limit).await
    }

    async fn neighbours(&self, tag: &str, number: u64) -> Result<Vec<Link>, CatalogError> {
        self.remote().await?.neighbours(tag, number).await
    }

    async fn record_verification(&self, found: &Verification) -> Result<(), CatalogError> {
        self.write_verification(found).await
    }

    async fn verifications(&self, id: BackupId) -> Result<Vec<Verification>, CatalogError> {
        self.remote().await?.verifications(id).await
    }

    async fn damages(&self, of: Option<&[BackupId]>) -> Result<HashMap<BackupId, Damage>, CatalogError> {
        self.remote().await?.damages(of).await
    }

    async fn due_for_reading(
        &self,
        scope: &VerificationScope,
        after: Option<&Bookmark>,
        limit: u32,
    ) -> Result<Page, CatalogError> {
        self.remote().await?.due_for_reading(scope, after, limit).await
    }

    /// Never noted, as all about promises: how they stand is known only where every node's proofs are.
    async fn know_promise(
        &self,
        node: &NodeName,
        promise: &Promise,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        self.remote().await?.know_promise(node, promise, now).await
    }

    async fn promises(&self, node: &NodeName) -> Result<Vec<PromiseRecord>, CatalogError> {
        self.remote().await?.promises(node).await
    }

    async fn turn_promise(
        &self,
        node: &NodeName,
        state: PromiseState,
        event: &Event,
    ) -> Result<bool, CatalogError> {
        self.remote().await?.turn_promise(node, state, event).await
    }

    async fn forget_promise(&self, node: &NodeName, tag: &str) -> Result<(), CatalogError> {
        self.remote().await?.forget_promise(node, tag).await
    }

    async fn events(&self, since: DateTime<Utc>, limit: u32) -> Result<Vec<Event>, CatalogError> {
        self.remote().await?.events(since, limit).await
    }

    async fn newest_events(&self, since: DateTime<Utc>, limit: u32) -> Result<Vec<Event>, CatalogError> {
        self.remote().await?.newest_events(since, limit).await
    }

    async fn prune_events(&self, node: &NodeName, before: DateTime<Utc>) -> Result<u64, CatalogError> {
        self.remote().await?.prune_events(node, before).await
    }

    async fn acquire_lease(&self, name: &str, holder: &str, term: LeaseTerm) -> Result<bool, CatalogError> {
        self.write_lease((name, holder), term).await
    }

    async fn report_node(&self, report: &NodeReport) -> Result<(), CatalogError> {
        self.remote().await?.report_node(report).await
    }

    async fn nodes(&self, now: DateTime<Utc>) -> Result<Vec<HeardNode>, CatalogError> {
        self.remote().await?.nodes(now).await
    }

    async fn shared_now(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, CatalogError> {
        self.remote().await?.shared_now(now).await
    }

    async fn forget_node(&self, node: &NodeName, before: DateTime<Utc>) -> Result<u64, CatalogError> {
        self.remote().await?.forget_node(node, before).await
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), CatalogError> {
        let entry = || Entry::ReleaseLease {
            name: name.to_owned(),
            holder: holder.to_owned(),
        };
        self.note(|store| store.release_lease(name, holder), entry).await
    }

    async fn leases(
        &self,
        prefix: &str,
        at: (LeaseClock, DateTime<Utc>),
    ) -> Result<Vec<Lease>, CatalogError> {
        self.all_leases(prefix, at).await
    }

    async fn mark_deleting(&self, id: BackupId, reason: &str) -> Result<bool, CatalogError> {
        self.write_mark(id, Some(reason)).await
    }

    async fn unmark_deleting(&self, id: BackupId) -> Result<bool, CatalogError> {
        self.write_mark(id, None).await
    }

    async fn record_removal(&self, removal: &SetRemoval) -> Result<bool, CatalogError> {
        self.write_removal(removal).await
    }

    async fn removals(&self, id: BackupId) -> Result<Vec<Removal>, CatalogError> {
        self.remote().await?.removals(id).await
    }

    async fn mark_deleted(
        &self,
        id: BackupId,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        let entry = || Entry::MarkDeleted {
            id,
            reason: reason.to_owned(),
            now,
        };
        let written = self
            .shared
            .write(|store| store.mark_deleted(id, reason, now), entry)
            .await?;
        // The copy may not know a set of another node.
        Ok(written.answer || written.is_deferred)
    }

    async fn paths(&self) -> Result<Vec<BackupPath>, CatalogError> {
        self.remote().await?.paths().await
    }

    async fn add_path(&self, path: &BackupPath) -> Result<i64, CatalogError> {
        self.remote().await?.add_path(path).await
    }

    async fn remove_path(&self, id: i64) -> Result<bool, CatalogError> {
        self.remote().await?.remove_path(id).await
    }

    async fn close(&self) {
        self.close_both().await;
    }
}
