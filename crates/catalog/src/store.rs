//! The trait over either engine: each method is one function of the module that owns its table.

use crate::db::{Db, Store};
use crate::{
    BackupFilter, BackupPath, Bookmark, Catalog, CatalogError, Claim, DecidedSlot, JobDefinition, JobRecord,
    Lease, LeaseClock, LeaseTerm, MigrationStatus, Page, PromiseRecord, Reach, RecordedProof, RestoreTime,
    RunFilter, Validator, VerificationScope, WaitingScope, attempts, backups, contents, jobs, leases,
    migrate, nodes, paths, promises, proofs, removals, runs, slots, transfers, verifications,
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
use std::time::Duration;

/// How long connections may take to say goodbye.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

#[async_trait]
impl Catalog for Store {
    async fn migrate(&self) -> Result<MigrationStatus, CatalogError> {
        migrate::migrate(self).await
    }

    async fn status(&self) -> Result<MigrationStatus, CatalogError> {
        migrate::status(self).await
    }

    fn other_way(&self) -> Option<String> {
        match &self.db {
            Db::Lite { .. } => None,
            Db::My { ways, .. } => ways.told(),
        }
    }

    async fn know_job(
        &self,
        node: &NodeName,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<JobRecord, CatalogError> {
        jobs::know(self, node, definition, now).await
    }

    async fn known_as_defined(
        &self,
        node: &NodeName,
        definitions: &[&JobDefinition],
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<JobName, JobRecord>, CatalogError> {
        jobs::known_as_defined(self, node, definitions, now).await
    }

    async fn reschedule_job(
        &self,
        node: &NodeName,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        jobs::reschedule(self, node, definition, now).await
    }

    async fn forget_job(
        &self,
        node: &NodeName,
        job: &JobName,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        jobs::forget(self, node, job, now).await
    }

    async fn known_jobs(&self, node: &NodeName) -> Result<Vec<JobRecord>, CatalogError> {
        jobs::known(self, node).await
    }

    async fn validators(&self) -> Result<Vec<Validator>, CatalogError> {
        jobs::validators(self).await
    }

    async fn claim_slot(&self, run: &Run) -> Result<Claim, CatalogError> {
        slots::claim(self, run).await
    }

    async fn skip_slots(&self, runs: &[Run]) -> Result<u64, CatalogError> {
        slots::skip(self, runs).await
    }

    async fn decided_slots(
        &self,
        of: (&NodeName, &JobName),
        span: (DateTime<Utc>, DateTime<Utc>),
        limit: u32,
    ) -> Result<Vec<DecidedSlot>, CatalogError> {
        slots::decided(self, of, span, limit).await
    }

    async fn note_run(&self, id: RunId, note: Option<&str>) -> Result<bool, CatalogError> {
        runs::note(self, id, note).await
    }

    async fn insert_run(&self, run: &Run) -> Result<(), CatalogError> {
        runs::insert(self, run).await
    }

    async fn start_run(
        &self,
        id: RunId,
        started_at: DateTime<Utc>,
        log_path: Option<PathBuf>,
    ) -> Result<bool, CatalogError> {
        runs::start(self, id, started_at, log_path.as_deref()).await
    }

    async fn finish_run(&self, id: RunId, end: &RunEnd) -> Result<bool, CatalogError> {
        runs::finish(self, id, end).await
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, CatalogError> {
        runs::one(self, id).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, CatalogError> {
        runs::list(self, filter).await
    }

    async fn unfinished_runs(&self, node: &NodeName) -> Result<Vec<Run>, CatalogError> {
        runs::unfinished(self, node).await
    }

    async fn runs_with_open_attempts(&self, node: &NodeName) -> Result<Vec<Run>, CatalogError> {
        runs::with_open_attempts(self, node).await
    }

    async fn last_runs(&self, node: &NodeName, now: DateTime<Utc>) -> Result<Vec<Run>, CatalogError> {
        runs::last_of_each_job(self, node, now).await
    }

    async fn start_attempt(&self, attempt: &Attempt) -> Result<(), CatalogError> {
        attempts::start(self, attempt).await
    }

    async fn finish_attempt(
        &self,
        id: AttemptId,
        end: &RunEnd,
        exit_status: Option<&str>,
    ) -> Result<bool, CatalogError> {
        attempts::finish(self, id, end, exit_status).await
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<Attempt>, CatalogError> {
        attempts::of_run(self, run).await
    }

    async fn insert_backup(
        &self,
        backup: &Backup,
        manifest: &Manifest,
        evidence: &Evidence,
    ) -> Result<bool, CatalogError> {
        backups::insert(self, backup, manifest, evidence).await
    }

    async fn backup(&self, id: BackupId) -> Result<Option<Backup>, CatalogError> {
        backups::one(self, id).await
    }

    async fn backups(&self, filter: &BackupFilter) -> Result<Vec<Backup>, CatalogError> {
        backups::list(self, filter).await
    }

    async fn sets_here(&self, reach: &Reach, after: Option<&Bookmark>) -> Result<Page, CatalogError> {
        backups::here(self, reach, after).await
    }

    async fn count_deleted(&self, filter: &BackupFilter) -> Result<u64, CatalogError> {
        backups::count_deleted(self, filter).await
    }

    async fn files(&self, id: BackupId) -> Result<Vec<FileEntry>, CatalogError> {
        contents::files(self, id).await
    }

    async fn evidence(&self, id: BackupId) -> Result<Option<Evidence>, CatalogError> {
        contents::evidence(self, id).await
    }

    async fn start_transfer(&self, transfer: &Transfer, remote_dest: &str) -> Result<(), CatalogError> {
        transfers::start(self, transfer, remote_dest).await
    }

    async fn finish_transfer(
        &self,
        id: AttemptId,
        end: &RunEnd,
        sent_bytes: Option<u64>,
    ) -> Result<bool, CatalogError> {
        transfers::finish(self, id, end, sent_bytes).await
    }

    async fn transfers(&self, id: BackupId) -> Result<Vec<Transfer>, CatalogError> {
        transfers::of_set(self, id).await
    }

    async fn unfinished_transfers(&self, node: &NodeName) -> Result<Vec<Transfer>, CatalogError> {
        transfers::unfinished(self, node).await
    }

    async fn pending_transfers(
        &self,
        node: &NodeName,
        destination: &DestinationName,
        page: (Option<&Bookmark>, u32),
    ) -> Result<Page, CatalogError> {
        transfers::pending(self, node, destination, page).await
    }

    async fn delivery_names(&self, node: &NodeName) -> Result<Vec<DestinationName>, CatalogError> {
        transfers::delivery_names(self, node).await
    }

    async fn due_verifications(
        &self,
        node: &NodeName,
        destination: &DestinationName,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Backup>, CatalogError> {
        transfers::due_verifications(self, node, destination, before, limit).await
    }

    async fn validation_candidates(
        &self,
        scope: &WaitingScope,
        after: Option<&Bookmark>,
        limit: u32,
    ) -> Result<Page, CatalogError> {
        backups::waiting(self, scope, after, limit).await
    }

    async fn record_proof(&self, proof: &Proof) -> Result<(), CatalogError> {
        proofs::record(self, proof).await
    }

    async fn proofs(&self, id: BackupId) -> Result<Vec<Proof>, CatalogError> {
        let proofs = proofs::of_set(self, id).await?;
        Ok(proofs.into_iter().map(|recorded| recorded.proof).collect())
    }

    async fn proven_copies(&self, id: BackupId) -> Result<Vec<IntactCopy>, CatalogError> {
        verifications::proven_copies(self, id).await
    }

    async fn proof_documents(&self, id: BackupId) -> Result<Vec<RecordedProof>, CatalogError> {
        proofs::of_set(self, id).await
    }

    async fn restore_times(
        &self,
        tag: &str,
        job: Option<&JobName>,
        limit: u32,
    ) -> Result<Vec<RestoreTime>, CatalogError> {
        proofs::restore_times(self, tag, job, limit).await
    }

    async fn neighbours(&self, tag: &str, number: u64) -> Result<Vec<Link>, CatalogError> {
        proofs::neighbours(self, tag, number).await
    }

    async fn record_verification(&self, found: &Verification) -> Result<(), CatalogError> {
        verifications::record(self, found).await
    }

    async fn verifications(&self, id: BackupId) -> Result<Vec<Verification>, CatalogError> {
        verifications::of_set(self, id).await
    }

    async fn damages(&self, of: Option<&[BackupId]>) -> Result<HashMap<BackupId, Damage>, CatalogError> {
        verifications::damages(self, of).await
    }

    async fn due_for_reading(
        &self,
        scope: &VerificationScope,
        after: Option<&Bookmark>,
        limit: u32,
    ) -> Result<Page, CatalogError> {
        verifications::due(self, scope, after, limit).await
    }

    async fn know_promise(
        &self,
        node: &NodeName,
        promise: &Promise,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        promises::know(self, node, promise, now).await
    }

    async fn promises(&self, node: &NodeName) -> Result<Vec<PromiseRecord>, CatalogError> {
        promises::list(self, node).await
    }

    async fn turn_promise(
        &self,
        node: &NodeName,
        state: PromiseState,
        event: &Event,
    ) -> Result<bool, CatalogError> {
        promises::turn(self, node, state, event).await
    }

    async fn forget_promise(&self, node: &NodeName, tag: &str) -> Result<(), CatalogError> {
        promises::forget(self, node, tag).await
    }

    async fn events(&self, since: DateTime<Utc>, limit: u32) -> Result<Vec<Event>, CatalogError> {
        promises::events(self, since, limit).await
    }

    async fn newest_events(&self, since: DateTime<Utc>, limit: u32) -> Result<Vec<Event>, CatalogError> {
        promises::newest_events(self, since, limit).await
    }

    async fn prune_events(&self, node: &NodeName, before: DateTime<Utc>) -> Result<u64, CatalogError> {
        promises::prune_events(self, node, before).await
    }

    async fn acquire_lease(&self, name: &str, holder: &str, term: LeaseTerm) -> Result<bool, CatalogError> {
        leases::acquire(self, name, holder, term).await
    }

    async fn report_node(&self, report: &NodeReport) -> Result<(), CatalogError> {
        nodes::report(self, report).await
    }

    async fn nodes(&self, now: DateTime<Utc>) -> Result<Vec<HeardNode>, CatalogError> {
        nodes::list(self, now).await
    }

    async fn shared_now(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, CatalogError> {
        crate::clock::now(self, now).await
    }

    async fn forget_node(&self, node: &NodeName, before: DateTime<Utc>) -> Result<u64, CatalogError> {
        nodes::forget(self, node, before).await
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), CatalogError> {
        leases::release(self, name, holder).await
    }

    async fn leases(
        &self,
        prefix: &str,
        at: (LeaseClock, DateTime<Utc>),
    ) -> Result<Vec<Lease>, CatalogError> {
        leases::list(self, prefix, at).await
    }

    async fn mark_deleting(&self, id: BackupId, reason: &str) -> Result<bool, CatalogError> {
        backups::mark_deleting(self, id, reason).await
    }

    async fn unmark_deleting(&self, id: BackupId) -> Result<bool, CatalogError> {
        backups::unmark_deleting(self, id).await
    }

    async fn record_removal(&self, removal: &SetRemoval) -> Result<bool, CatalogError> {
        removals::record(self, removal).await
    }

    async fn removals(&self, id: BackupId) -> Result<Vec<Removal>, CatalogError> {
        removals::of_set(self, id).await
    }

    async fn mark_deleted(
        &self,
        id: BackupId,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        backups::mark_deleted(self, id, reason, now).await
    }

    async fn paths(&self) -> Result<Vec<BackupPath>, CatalogError> {
        paths::list(self).await
    }

    async fn add_path(&self, path: &BackupPath) -> Result<i64, CatalogError> {
        paths::add(self, path).await
    }

    async fn remove_path(&self, id: i64) -> Result<bool, CatalogError> {
        paths::remove(self, id).await
    }

    async fn close(&self) {
        match &self.db {
            Db::Lite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            // A server that does not answer is not waited for.
            Db::My { pool, .. } => drop(tokio::time::timeout(CLOSE_WITHIN, pool.close()).await),
        }
    }
}
