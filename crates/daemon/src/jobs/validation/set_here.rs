//! One set that lies on this machine, and its proof: in the first place that is as the set was written.

use super::elsewhere::doubts;
use super::hindrance::{Hindrance, Tried, Untryable};
use super::others::Others;
use super::untried::forget;
use super::verdict::{Outcome, verdict};
use crate::error::DaemonError;
use crate::jobs::restore::proven::recorded_size;
use crate::jobs::verify::{Here, Looked, kept, look_further};
use crate::jobs::{JobError, RunContext, first_few};
use crate::locate::places;
use crate::set_lease::{SetLease, keep_folder};
use mykeeper_catalog::BackupPath;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::job::{Assertion, ValidationTask};
use mykeeper_domain::proof::{Proof, ProvenSet};
use mykeeper_domain::verification::LookedAtCopy;
use mykeeper_tools::ToolError;
use mykeeper_tools::prove::{PlainFiles, ProveRequest, VerifiedCopy, prove_set_in, read_plain};
use mykeeper_tools::sandbox::ThrowawayServer;
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;

/// What came of looking for a set.
pub(super) enum Found {
    Here(Box<SetHere>),
    Elsewhere,
    /// Where it may lie does not answer.
    Unknown(JobError),
    Taken,
}

/// Which sets may be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One that nobody has come to a verdict on.
    Untried,
    /// The one that was asked for, whatever was found before.
    ByName,
}

/// The files of other places.
type Beside = Vec<(PathBuf, PlainFiles)>;

/// A set that lies on this machine and is ours to prove.
pub(super) struct SetHere {
    backup: Backup,
    dir: PathBuf,
    lease: SetLease,
    /// A throwaway server that was started for it.
    ready: Mutex<Option<ThrowawayServer>>,
}

impl SetHere {
    pub(super) async fn find(
        context: &RunContext,
        backup: Backup,
        (paths, wanted): (&[BackupPath], Wanted),
    ) -> Result<Found, JobError> {
        let environment = &context.environment;
        let places = places(&backup, paths, &context.settings, &environment.node);
        let whereabouts = environment.whereabouts(&context.settings);
        let dir = match whereabouts.first_copy(&backup, &places).await {
            Ok(Some(dir)) => dir.clone(),
            Ok(None) => return Ok(Found::Elsewhere),
            Err(DaemonError::Catalog(error)) => return Err(error.into()),
            Err(error) => return Ok(Found::Unknown(error.into())),
        };
        Self::take(context, (backup, dir), (wanted, None)).await
    }

    /// The set in the folder that it was just made in.
    pub(super) async fn made(
        context: &RunContext,
        backup: Backup,
        ready: Option<ThrowawayServer>,
    ) -> Result<Found, JobError> {
        let dir = backup.folder();
        Self::take(context, (backup, dir), (Wanted::Untried, ready)).await
    }

    async fn take(
        context: &RunContext,
        (backup, dir): (Backup, PathBuf),
        (wanted, ready): (Wanted, Option<ThrowawayServer>),
    ) -> Result<Found, JobError> {
        let environment = &context.environment;
        let Some(lease) = SetLease::acquire(environment, backup.id, "validate", context.run).await? else {
            return Ok(Found::Taken);
        };
        let lease = lease.with_folder(&dir).await;
        // Read after the lease is ours: retention marks first and looks at leases then, and another may have proven it
        // between our look and the lease. This machine's copy knows of neither.
        let fresh = environment.catalog.shared_backup(backup.id).await;
        let is_ours = |backup: &Backup| {
            let is_wanted = wanted == Wanted::ByName || backup.validate_status == ValidateStatus::NotTried;
            backup.deletion == Deletion::None && is_wanted
        };
        match fresh {
            Ok(Some(backup)) if is_ours(&backup) => Ok(Found::Here(Box::new(Self {
                backup,
                dir,
                lease,
                ready: Mutex::new(ready),
            }))),
            Err(error) => {
                lease.release().await;
                Err(error.into())
            }
            Ok(_) => {
                lease.release().await;
                Ok(Found::Taken)
            }
        }
    }

    /// # Errors
    /// Something is in the way of every set.
    pub(super) async fn prove(
        self: Box<Self>,
        context: &RunContext,
        task: &ValidationTask,
    ) -> Result<Tried, JobError> {
        let id = self.backup.id;
        context.say(format!(
            "proving set {id} ({}) in {}",
            self.backup.tag,
            self.dir.display()
        ));
        let result = tokio::select! {
            result = Box::pin(self.prove_somewhere(context, &task.asserts)) => result,
            // Whoever took it proves the set: the throwaway server goes with the future.
            () = self.lease.lost() => Err(Hindrance::OfSet(JobError::fatal(format!(
                "the proof of set {id} is given up: its lease ran out, and another run has taken the set"
            )))),
        };
        let outcome = match result {
            Ok(outcome) => record(context, &outcome.proof)
                .await
                .map(|()| outcome)
                .map_err(Hindrance::OfAll),
            Err(hindrance) => Err(hindrance),
        };
        let Self { lease, ready, .. } = *self;
        if let Some(server) = ready.into_inner() {
            server.stop().await;
        }
        lease.release().await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(Hindrance::OfSet(error) | Hindrance::OfCopy(error)) => {
                return Ok(Err(error.about(id).into()));
            }
            Err(Hindrance::Asserted(error, database)) => {
                return Ok(Err(Untryable {
                    error: error.about(id),
                    asserted: Some(database),
                }));
            }
            Err(Hindrance::OfAll(error)) => return Err(error.about(id)),
        };
        forget(context, id).await;
        let others = match outcome.proof.passed() {
            true => Others::default(),
            false => Others::of(context, &self.backup, &outcome.proof)
                .await
                .unwrap_or_default(),
        };
        let outcome = Outcome { others, ..outcome };
        Ok(Ok(verdict(context, task, &outcome)))
    }

    /// Proves the set in the first place that has it; where the files there are not those that were written, or cannot be
    /// read, in the next one that has them all.
    async fn prove_somewhere(
        &self,
        context: &RunContext,
        asserts: &[Assertion],
    ) -> Result<Outcome, Hindrance> {
        let first = match self.prove_in(context, &self.dir, asserts).await {
            Ok(proof) if !proof.copy_differs => {
                return Ok(Outcome {
                    proof,
                    looked: None,
                    job: self.backup.job.clone(),
                    others: Others::default(),
                });
            }
            Err(Hindrance::OfCopy(error)) => Err(error),
            proof => Ok(proof?),
        };
        let files = context.environment.catalog.files(self.backup.id).await?.len() as u64;
        let manifest = u64::from(self.backup.manifest_blake3.is_some());
        // Without a manifest the copies are held against each other, also what is left of this one.
        let known = first.as_ref().ok().filter(|_| files > 0);
        let known = known.map(|proof| read_by(context, proof, files + manifest));
        let looked = look_further(context, &self.backup, known, context.cancel.clone())
            .await
            .map_err(Hindrance::OfSet)?;
        let (mut proof, looked) = match (looked.intact(), first) {
            (Some(dir), first) => {
                let why = match &first {
                    Ok(_) => "is not as it was written",
                    Err(_) => "cannot be read",
                };
                context.say(format!(
                    "set {} {why} in {}: going on in {}",
                    self.backup.id,
                    self.dir.display(),
                    dir.display()
                ));
                let _folder_lock = keep_folder(&context.environment, &dir).await;
                let proof = self.prove_in(context, &dir, asserts).await?;
                // No set fails for the files of a place that was just found whole.
                if proof.copy_differs {
                    return Err(self.changed(context, &proof, looked).await);
                }
                (proof, looked)
            }
            (None, Ok(proof)) => (proof, self.settle(context, looked).await?),
            (None, Err(error)) => match looked.found.copies.iter().find(|copy| !copy.is_gone) {
                // All others differ: it is their proof, unless the one that cannot be read may be whole.
                Some(copy) => {
                    let dir = PathBuf::from(&copy.path);
                    let looked = self.settle(context, looked).await?;
                    let proof = self.prove_in(context, &dir, asserts).await?;
                    if !proof.copy_differs {
                        return Err(Hindrance::OfSet(error));
                    }
                    (proof, looked)
                }
                None => return Err(Hindrance::OfSet(error)),
            },
        };
        for copy in looked.found.copies.iter().filter(|copy| !copy.is_intact()) {
            if copy.path != proof.path {
                let faults: Vec<String> = copy.sentences().collect();
                proof.warnings.push(format!(
                    "the copy in {} is not as the set was written, and was not restored: {}",
                    copy.path,
                    first_few(&faults)
                ));
            }
        }
        if let Some(error) = &looked.cut_off_by {
            proof
                .warnings
                .push(format!("not every copy could be read: {}", error.reason));
        }
        Ok(Outcome {
            proof,
            looked: Some(looked),
            job: self.backup.job.clone(),
            others: Others::default(),
        })
    }

    /// Of a place that was read as whole, and that a proof has found to differ at once: what lies elsewhere and cannot be
    /// read may tell why.
    async fn changed(&self, context: &RunContext, proof: &Proof, looked: Looked) -> Hindrance {
        if let Err(doubt) = self.settle(context, looked).await {
            return doubt;
        }
        let differences = proof.databases.iter().flat_map(|database| &database.differences);
        let faults: Vec<String> = differences.map(ToString::to_string).collect();
        Hindrance::OfSet(JobError::passing(format!(
            "the files in {} changed while they were read, or another place that cannot be read has more: {}; \"mykeeper \
             verify --bk-id {}\" tells",
            proof.path,
            first_few(&faults),
            self.backup.id
        )))
    }

    /// Whether the set has failed, as far as files go: not where another copy of it may be whole.
    async fn settle(&self, context: &RunContext, looked: Looked) -> Result<Looked, Hindrance> {
        let why = doubts(context, &self.backup, &looked)
            .await
            .map_err(Hindrance::OfAll)?;
        if why.is_empty() {
            return Ok(looked);
        }
        Err(Hindrance::OfSet(JobError::fatal(format!(
            "set {} is not as it was written: {}; {}; {}",
            self.backup.id,
            context.tell_first(&looked.found.faults()),
            why.join("; "),
            looked.next_step.line
        ))))
    }

    async fn prove_in(
        &self,
        context: &RunContext,
        dir: &Path,
        asserts: &[Assertion],
    ) -> Result<Proof, Hindrance> {
        let catalog = &context.environment.catalog;
        let files = catalog.files(self.backup.id).await?;
        let evidence = catalog.evidence(self.backup.id).await?;
        let limits = context.limits();
        let request = ProveRequest {
            bk_id: self.backup.id,
            run_id: Some(context.run),
            node: &context.environment.node,
            set_dir: dir,
            evidence: evidence.as_ref(),
            files: &files,
            beside: &[],
            recorded_size: recorded_size(&self.backup),
            manifest_blake3: self.backup.manifest_blake3.as_deref(),
            databases: &self.backup.databases,
            sandbox: &context.settings.sandbox,
            myloader: &context.settings.tools.myloader,
            asserts,
            limits: &limits,
        };
        let (beside, unlisted) = match files.is_empty() {
            true => self.beside(context, &request).await?,
            false => (Vec::new(), Vec::new()),
        };
        let request = ProveRequest {
            beside: &beside,
            ..request
        };
        let mut ready = self.ready.lock().await;
        let proven = Box::pin(prove_set_in(&mut ready, request, &context.tools())).await;
        drop(ready);
        let mut proof = proven.map_err(|error| match error {
            ToolError::Io { ref path, .. } if path.starts_with(dir) => Hindrance::OfCopy(error.into()),
            error => error.into(),
        })?;
        let set = ProvenSet::of(&self.backup, evidence.as_ref());
        proof
            .dumper_version
            .get_or_insert_with(|| set.tool_version.clone());
        proof
            .source_version
            .get_or_insert_with(|| set.server_version.clone());
        proof.set = Some(set);
        proof.warnings.extend(unlisted);
        Ok(proof)
    }

    /// What the other places of this machine have of a set without a manifest: nothing else shows what one of them lacks.
    /// With the places whose files could not be listed, for people.
    async fn beside(
        &self,
        context: &RunContext,
        request: &ProveRequest<'_>,
    ) -> Result<(Beside, Vec<String>), Hindrance> {
        let dir = request.set_dir;
        let here = Here::find(&context.environment, &self.backup)
            .await
            .map_err(Hindrance::OfSet)?;
        let unknown = |place: &Path, why: &str| {
            let place = place.display();
            format!("what this copy lacks of the one in {place} is not known: {why}")
        };
        let away = here.unread.iter().filter(|place| place.as_path() != dir);
        let mut unlisted: Vec<String> = away
            .map(|place| unknown(place, "it does not answer, or is not mounted"))
            .collect();
        let mut beside = Vec::new();
        for place in here.copies.into_iter().filter(|place| place != dir) {
            let there = ProveRequest {
                set_dir: &place,
                ..*request
            };
            match read_plain(&there, &context.tools()).await {
                Ok(files) => beside.push((place, files)),
                Err(error) if context.cancel.is_cancelled() => return Err(error.into()),
                Err(error) => unlisted.push(unknown(&place, &error.to_string())),
            }
        }
        Ok((beside, unlisted))
    }
}

/// What a proof has read of the files at its place, which differ.
fn read_by(context: &RunContext, proof: &Proof, files: u64) -> LookedAtCopy {
    let differences = proof.databases.iter().flat_map(|database| &database.differences);
    let verified = VerifiedCopy {
        differences: differences.cloned().collect(),
        strangers: Vec::new(),
        files,
        bytes: proof.bytes_checked,
        plain: PlainFiles::default(),
        rows: 0,
        untold: Vec::new(),
    };
    kept(context, Path::new(&proof.path), verified)
}

async fn record(context: &RunContext, proof: &Proof) -> Result<(), JobError> {
    context
        .environment
        .persist("record a proof", &context.cancel, |catalog| {
            let proof = proof.clone();
            async move { catalog.record_proof(&proof).await }
        })
        .await?;
    Ok(())
}
