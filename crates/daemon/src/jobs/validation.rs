//! Proves a set: restored into a throwaway server, compared with its evidence.

mod elsewhere;
mod hindrance;
pub(crate) mod untried;

use super::verify::round::{Asked, read_due};
use super::verify::{Looked, kept, look_further};
use super::{JobError, JobReport, JobResult, RunContext, first_few};
use crate::error::DaemonError;
use crate::limits::Limited;
use crate::locate::places;
use crate::set_lease::{SetLease, keep_folder};
use chrono::{DateTime, Utc};
use elsewhere::unread_copy;
use hindrance::{Hindrance, Tried, Untryable, check_statements};
use mykeeper_catalog::BackupPath;
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::humane;
use mykeeper_domain::job::{Assertion, ValidationTask};
use mykeeper_domain::proof::{Proof, ProvenSet};
use mykeeper_domain::selection::Choice;
use mykeeper_domain::verification::LookedAtCopy;
use mykeeper_domain::{BackupId, JobName};
use mykeeper_tools::ToolError;
use mykeeper_tools::prove::{PlainFiles, ProveRequest, VerifiedCopy, prove_set};
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use untried::{Untried, forget};

/// How many rows are looked at for a candidate.
const LOOKED_AT: u32 = 10_000;

/// One run of a validation job: one set gets its verdict, and those that cannot be tried hold it up no more than they
/// must; then, where that is asked for, what is due is read.
pub async fn run(context: &RunContext, task: &ValidationTask) -> JobResult {
    let proven = context
        .recorded_attempts(|| Box::pin(prove_next(context, task)))
        .await;
    let Some(every) = task.verify_every.filter(|_| !context.cancel.is_cancelled()) else {
        return proven;
    };
    let asked = Asked {
        every,
        destination: None,
        within: task.within,
        tags: &task.tags,
    };
    read_due(context, &asked).await.join(proven)
}

async fn prove_next(context: &RunContext, task: &ValidationTask) -> JobResult {
    let _permit = context.permit(&Limited::Validation).await?;
    let catalog = &context.environment.catalog;
    let now = context.clock().now();
    let since = task
        .within
        .and_then(|within| chrono::TimeDelta::from_std(within).ok())
        .and_then(|within| now.checked_sub_signed(within));
    let rows = catalog.validation_candidates(since, LOOKED_AT).await?;
    let paths = catalog.paths().await?;
    let (mut here, mut elsewhere) =
        queue_here(rows, &task.choice(), (&context.settings, &paths), now, |below| {
            rand::random_range(0..below)
        });
    let mut untried = Untried::remembered(context).await?;
    untried.put_last(&mut here);
    if !here.is_empty() {
        check_statements(context, &task.asserts).await?;
    }
    // Of these databases a statement could not be run, nor could it likely be in the next set.
    let mut hindering: BTreeSet<String> = BTreeSet::new();
    for backup in here {
        let id = backup.id;
        if let Some(database) = backup.databases.iter().find(|name| hindering.contains(*name)) {
            context.say(format!(
                "set {id} is left for another run: it holds {database}, of which an assert could not be run"
            ));
            continue;
        }
        let tried = match SetHere::find(context, backup, (&paths, Wanted::Untried)).await? {
            Found::Here(set) => set.prove(context, task).await?,
            Found::Unknown(error) => Err(error.into()),
            Found::Elsewhere => {
                elsewhere += 1;
                continue;
            }
            Found::Taken => continue,
        };
        match tried {
            Ok(verdict) => return untried.join(verdict),
            Err(Untryable { error, asserted }) => {
                hindering.extend(asserted);
                untried.enter(context, id, error.about(id)).await?;
            }
        }
    }
    if let Some(error) = untried.take() {
        return Err(error);
    }
    Ok(JobReport::done(
        match elsewhere {
            0 => "no set waits for its proof".to_owned(),
            many => format!(
                "no set on this machine waits for its proof; {many} lie elsewhere (see mykeeper paths)"
            ),
        },
        None,
    ))
}

/// The sets that a job on this node tries, in that order, and how many it would try that lie elsewhere.
pub(crate) fn queue_here<B: Borrow<Backup>>(
    candidates: impl IntoIterator<Item = B>,
    choice: &Choice,
    (settings, paths): (&Settings, &[BackupPath]),
    now: DateTime<Utc>,
    random: impl FnMut(usize) -> usize,
) -> (Vec<B>, usize) {
    let queue = choice.queue(candidates, now, random);
    let (here, elsewhere): (Vec<B>, Vec<B>) = queue
        .into_iter()
        .partition(|backup| !places(backup.borrow(), paths, settings, &settings.node).is_empty());
    (here, elsewhere.len())
}

/// Proves one set by name, whatever was found before.
pub async fn prove_one(context: &RunContext, id: BackupId, task: &ValidationTask) -> JobResult {
    let _permit = context.permit(&Limited::Validation).await?;
    let catalog = &context.environment.catalog;
    let backup = catalog
        .backup(id)
        .await?
        .ok_or_else(|| JobError::fatal(format!("the catalog knows no set {id}")))?;
    let paths = catalog.paths().await?;
    let shown: Vec<String> = places(&backup, &paths, &context.settings, &context.environment.node)
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    check_statements(context, &task.asserts).await?;
    match SetHere::find(context, backup, (&paths, Wanted::ByName)).await? {
        Found::Here(set) => match set.prove(context, task).await? {
            Ok(verdict) => verdict,
            Err(Untryable { error, .. }) => Err(error),
        },
        Found::Unknown(error) => Err(error.about(id)),
        Found::Taken => Err(JobError::fatal(format!(
            "set {id} is being proven by another run, or removed"
        ))),
        Found::Elsewhere => Err(JobError::fatal(format!(
            "set {id} is not on this machine, or still on its way; looked at: {}; add its place with \"mykeeper paths add\"",
            if shown.is_empty() {
                "no place is known".to_owned()
            } else {
                shown.join(", ")
            }
        ))),
    }
}

enum Found {
    Here(Box<SetHere>),
    Elsewhere,
    /// Where it may lie does not answer.
    Unknown(JobError),
    Taken,
}

/// Which sets may be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// One that nobody has come to a verdict on.
    Untried,
    /// The one that was asked for, whatever was found before.
    ByName,
}

/// A set that lies on this machine and is ours to prove.
struct SetHere {
    backup: Backup,
    dir: PathBuf,
    lease: SetLease,
}

impl SetHere {
    async fn find(
        context: &RunContext,
        backup: Backup,
        (paths, wanted): (&[BackupPath], Wanted),
    ) -> Result<Found, JobError> {
        let environment = &context.environment;
        let places = places(&backup, paths, &context.settings, &environment.node);
        let whereabouts = environment.whereabouts(&context.settings);
        let dir = match whereabouts.first_whole(&backup, &places).await {
            Ok(Some(dir)) => dir.clone(),
            Ok(None) => return Ok(Found::Elsewhere),
            Err(DaemonError::Catalog(error)) => return Err(error.into()),
            Err(error) => return Ok(Found::Unknown(error.into())),
        };
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
            Ok(Some(backup)) if is_ours(&backup) => Ok(Found::Here(Box::new(Self { backup, dir, lease }))),
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
    async fn prove(self: Box<Self>, context: &RunContext, task: &ValidationTask) -> Result<Tried, JobError> {
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
        self.lease.release().await;
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
        let was_read = looked
            .found
            .copies
            .iter()
            .any(|copy| Path::new(&copy.path) == self.dir);
        let (mut proof, looked) = match (looked.intact().filter(|_| files > 0 || was_read), first) {
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
                (self.prove_in(context, &dir, asserts).await?, looked)
            }
            (None, Ok(proof)) => (proof, self.settle(context, looked).await?),
            (None, Err(error)) => return Err(Hindrance::OfSet(error)),
        };
        if proof.copy_differs && looked.intact().is_some() {
            return Err(Hindrance::OfSet(JobError::passing(format!(
                "the files in {} changed while they were read",
                proof.path
            ))));
        }
        for copy in looked.found.copies.iter().filter(|copy| !copy.is_intact()) {
            if copy.path != proof.path {
                let faults: Vec<String> = copy.differences.iter().map(ToString::to_string).collect();
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
        })
    }

    /// Whether the set has failed, as far as files go: not where another copy of it may be whole.
    async fn settle(&self, context: &RunContext, looked: Looked) -> Result<Looked, Hindrance> {
        let unread = unread_copy(context, &self.backup, &looked)
            .await
            .map_err(Hindrance::OfAll)?;
        let cut_off_by = looked.cut_off_by.as_ref().map(|error| error.reason.clone());
        let why: Vec<String> = unread.into_iter().chain(cut_off_by).collect();
        if why.is_empty() {
            return Ok(looked);
        }
        Err(Hindrance::OfSet(JobError::fatal(format!(
            "set {} is not as it was written: {}; {}; {}",
            self.backup.id,
            context.tell_first(&looked.found.faults()),
            why.join("; "),
            looked.next_step
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
            manifest_blake3: self.backup.manifest_blake3.as_deref(),
            databases: &self.backup.databases,
            sandbox: &context.settings.sandbox,
            myloader: &context.settings.tools.myloader,
            asserts,
            limits: &limits,
        };
        let proven = Box::pin(prove_set(request, &context.tools())).await;
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
        Ok(proof)
    }
}

/// What a proof has come to, and what the files of other copies are like where that was looked at.
struct Outcome {
    proof: Proof,
    looked: Option<Looked>,
    /// What made the set.
    job: Option<JobName>,
}

/// A run that has found a copy which is not as it was written has failed, whatever its set has come to.
fn verdict(context: &RunContext, task: &ValidationTask, outcome: &Outcome) -> JobResult {
    let Outcome { proof, looked, job } = outcome;
    let id = proof.bk_id;
    let slow = too_long(proof, task.max_restore_time);
    let damage = looked.as_ref().map(|looked| {
        let faults = looked.found.faults();
        let next = (!faults.is_empty()).then(|| looked.next_step.clone());
        let faults = (!faults.is_empty()).then(|| context.tell_first(&faults));
        let unread = looked.cut_off_by.as_ref().map(|error| error.reason.clone());
        let damage: Vec<String> = faults.into_iter().chain(unread).chain(next).collect();
        damage.join("; ")
    });
    let damage = damage.filter(|damage| !damage.is_empty());
    let reason = match (proof.passed(), damage) {
        (true, None) => {
            let summary = format!("set {id} is proven: {}", proof.summary());
            return Ok(match slow {
                None => JobReport::done(summary, Some(id)),
                Some(warning) => JobReport::warned(format!("{summary}; {warning}"), Some(id)),
            });
        }
        (true, Some(damage)) => {
            let slow = slow.map_or_else(String::new, |warning| format!("; {warning}"));
            format!(
                "set {id} is proven in {}, but not every copy of it {}: {damage}{slow}",
                proof.path,
                match looked
                    .as_ref()
                    .is_some_and(|looked| looked.found.faults().is_empty())
                {
                    true => "could be read",
                    false => "is as it was written",
                }
            )
        }
        (false, Some(damage)) if proof.copy_differs => {
            format!("set {id} has failed: no copy of it here is as it was written: {damage}")
        }
        (false, damage) => {
            let damage = damage.map_or_else(String::new, |damage| format!("; {damage}"));
            let summary = context.tell_first(&proof.faults());
            let differs = proof
                .databases
                .iter()
                .any(|database| !database.differences.is_empty());
            let next = match job {
                Some(job) if differs => {
                    format!("; keep the sets before it, and make another: mykeeper run {job}")
                }
                _ => String::new(),
            };
            let advice = proof
                .advice()
                .map_or_else(String::new, |advice| format!("; {advice}"));
            format!("set {id} did not come back as it was: {summary}{damage}{next}{advice}")
        }
    };
    Err(JobError::fatal(reason).about(id))
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
    };
    kept(context, Path::new(&proof.path), verified)
}

/// What is said of a set that took longer to come back than it may.
fn too_long(proof: &Proof, limit: Option<Duration>) -> Option<String> {
    let load = Duration::from_millis(proof.load_ms?);
    let limit = limit.filter(|limit| load > *limit)?;
    Some(format!(
        "it took {} to come back, longer than max_restore_time = {}",
        humane(load),
        humane(limit)
    ))
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
