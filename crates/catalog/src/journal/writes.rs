//! What is written otherwise to a shared catalog than to its copy, and what is not copied at all.

use super::{CLOSE_WITHIN, Entry, Journaled};
use crate::db::Store;
use crate::{Catalog, CatalogError, Claim, JobDefinition, JobRecord, Lease, LeaseClock, LeaseTerm, jobs};
use chrono::{DateTime, Utc};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::Inventory;
use mykeeper_domain::manifest::Manifest;
use mykeeper_domain::proof::Proof;
use mykeeper_domain::removal::SetRemoval;
use mykeeper_domain::run::Run;
use mykeeper_domain::verification::Verification;
use mykeeper_domain::{BackupId, JobName, NodeName, RunId};
use std::collections::BTreeMap;
use std::sync::PoisonError;

impl Journaled {
    /// The shared catalog, for what no copy can answer.
    pub(super) async fn remote(&self) -> Result<&Store, CatalogError> {
        self.shared.reached().await
    }

    /// A write whose answer is nothing.
    pub(super) async fn note<'a>(
        &'a self,
        apply: impl Fn(&'a Store) -> super::Answer<'a, ()> + Send + Sync,
        entry: impl FnOnce() -> Entry + Send,
    ) -> Result<(), CatalogError> {
        self.shared
            .write(apply, entry)
            .await
            .map(|written| written.answer)
    }

    /// What is known already, as it is defined now, needs no note: there may be a thousand jobs.
    pub(super) async fn write_job(
        &self,
        node: &NodeName,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<JobRecord, CatalogError> {
        let shared = &self.shared;
        if !shared.waits().await {
            let known = match shared.reached().await {
                Ok(remote) => remote.know_job(node, definition, now).await,
                Err(error) => Err(error),
            };
            match known {
                Ok(record) => {
                    shared.note_back();
                    if let Err(error) = jobs::adopt(&shared.local, (&record, definition), now).await {
                        tracing::warn!(%error, job = %record.job, "this machine's copy of the catalog lacks a job");
                    }
                    return Ok(record);
                }
                Err(error) if error.is_away() => shared.note_away(&error),
                Err(error) => return Err(error),
            }
        }
        let known = jobs::known_as(&shared.local, node, definition).await?;
        let is_told = |record: &JobRecord| {
            record.kind == definition.kind && record.last_slot_at.max(Some(record.since)) <= Some(now)
        };
        if let Some(record) = known.filter(is_told) {
            return Ok(record);
        }
        let entry = Entry::KnowJob {
            node: node.clone(),
            definition: definition.clone(),
            now,
        };
        shared
            .defer(&entry, || shared.local.know_job(node, definition, now), |_| true)
            .await
    }

    /// Those that the copy knows alike, and those that it knows where the catalog does not answer: the others are asked for,
    /// and copied, one by one.
    pub(super) async fn jobs_as_defined(
        &self,
        node: &NodeName,
        definitions: &[&JobDefinition],
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<JobName, JobRecord>, CatalogError> {
        let shared = &self.shared;
        let mut copied = jobs::known_as_defined(&shared.local, node, definitions, now).await?;
        if shared.waits().await {
            return Ok(copied);
        }
        let known = match shared.reached().await {
            Ok(remote) => remote.known_as_defined(node, definitions, now).await,
            Err(error) => Err(error),
        };
        match known {
            Ok(known) => {
                shared.note_back();
                copied.retain(|job, record| known.get(job) == Some(record));
                Ok(copied)
            }
            Err(error) if error.is_away() => {
                shared.note_away(&error);
                Ok(copied)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn write_removal(&self, removal: &SetRemoval) -> Result<bool, CatalogError> {
        let entry = || Entry::RecordRemoval {
            removal: Box::new(removal.clone()),
        };
        let written = self
            .shared
            .write(|store| store.record_removal(removal), entry)
            .await?;
        // The copy may not know a set of another node.
        Ok(written.answer || written.is_deferred)
    }

    /// Only what is ours is copied: the run of another would never end here.
    pub(super) async fn write_claim(&self, run: &Run) -> Result<Claim, CatalogError> {
        let entry = || Entry::ClaimSlot { run: run.clone() };
        let is_ours = |claim: &Claim| *claim == Claim::Won;
        let written = self
            .shared
            .write_kept(|store| store.claim_slot(run), entry, is_ours)
            .await?;
        Ok(written.answer)
    }

    /// One that was refused is neither copied nor noted: it is another's.
    pub(super) async fn write_lease(
        &self,
        (name, holder): (&str, &str),
        term: LeaseTerm,
    ) -> Result<bool, CatalogError> {
        let entry = || Entry::AcquireLease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            now: term.from,
            until: term.until,
            clock: term.clock,
        };
        let acquire = |store| Store::acquire_lease(store, name, holder, term);
        let written = self.shared.write_kept(acquire, entry, |is_ours| *is_ours).await?;
        Ok(written.answer)
    }

    pub(super) async fn all_leases(
        &self,
        prefix: &str,
        at: (LeaseClock, DateTime<Utc>),
    ) -> Result<Vec<Lease>, CatalogError> {
        let mut leases = self.remote().await?.leases(prefix, at).await?;
        // One that was taken while the catalog was away may still wait in the journal: the copy knows it.
        leases.extend(self.shared.local.leases(prefix, at).await?);
        leases.sort_unstable();
        leases.dedup_by(|one, other| one.name == other.name);
        Ok(leases)
    }

    /// Never noted: it is only worth a look while it is true.
    pub(super) async fn write_note(&self, id: RunId, note: Option<&str>) -> Result<bool, CatalogError> {
        let shared = &self.shared;
        if !shared.waits().await {
            let noted = match shared.reached().await {
                Ok(remote) => remote.note_run(id, note).await,
                Err(error) => Err(error),
            };
            match noted {
                Err(error) if error.is_away() => shared.note_away(&error),
                answer => return answer,
            }
        }
        shared.local.note_run(id, note).await
    }

    /// The copy does without the contents of sets.
    pub(super) async fn write_set(
        &self,
        backup: &Backup,
        manifest: &Manifest,
        evidence: &Evidence,
    ) -> Result<bool, CatalogError> {
        let entry = || Entry::InsertBackup {
            backup: Box::new(backup.clone()),
            manifest: manifest.clone(),
            evidence: Box::new(evidence.clone()),
        };
        let (no_files, no_objects) = (
            Manifest {
                files: Vec::new(),
                ..manifest.clone()
            },
            Evidence {
                inventory: Inventory::default(),
                ..evidence.clone()
            },
        );
        let apply = |store| {
            if self.shared.is_copy(store) {
                store.insert_backup(backup, &no_files, &no_objects)
            } else {
                store.insert_backup(backup, manifest, evidence)
            }
        };
        let written = self.shared.write(apply, entry).await?;
        Ok(written.answer)
    }

    pub(super) async fn write_proof(&self, proof: &Proof) -> Result<(), CatalogError> {
        let entry = || Entry::RecordProof {
            proof: Box::new(proof.clone()),
        };
        self.note(
            |store| {
                if self.shared.is_copy(store) {
                    Box::pin(std::future::ready(Ok(())))
                } else {
                    store.record_proof(proof)
                }
            },
            entry,
        )
        .await
    }

    pub(super) async fn write_verification(&self, found: &Verification) -> Result<(), CatalogError> {
        let entry = || Entry::RecordVerification { found: found.clone() };
        self.note(
            |store| {
                if self.shared.is_copy(store) {
                    Box::pin(std::future::ready(Ok(())))
                } else {
                    store.record_verification(found)
                }
            },
            entry,
        )
        .await
    }

    /// Marks a set for deletion, or with no reason takes that back. Never noted: a set is removed only after every node
    /// can see that it is. Whoever takes a lease while the journal waits looks at the copy for the mark.
    pub(super) async fn write_mark(&self, id: BackupId, reason: Option<&str>) -> Result<bool, CatalogError> {
        let mark = async |store: &Store| match reason {
            Some(reason) => store.mark_deleting(id, reason).await,
            None => store.unmark_deleting(id).await,
        };
        let is_changed = mark(self.remote().await?).await?;
        if is_changed && let Err(error) = mark(&self.shared.local).await {
            tracing::warn!(%error, "this machine's copy of its records in the catalog lacks one");
        }
        Ok(is_changed)
    }

    pub(super) async fn close_both(&self) {
        let drainer = self.drainer.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(drainer);
        if self.shared.waits().await {
            let drained = tokio::time::timeout(CLOSE_WITHIN, self.shared.drain()).await;
            if !matches!(drained, Ok(Ok(super::drain::Drained::Empty))) {
                tracing::warn!(
                    "records wait in the journal for the catalog; the next start carries them out"
                );
            }
        }
        self.shared.remote.close().await;
        self.shared.local.close().await;
    }
}
