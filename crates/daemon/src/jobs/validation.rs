//! Proves a set: restored into a throwaway server, compared with its evidence.

mod untried;

use super::verify::round::{Asked, read_due};
use super::{JobError, JobReport, JobResult, RunContext, humane};
use crate::error::DaemonError;
use crate::limits::Limited;
use crate::locate::places;
use crate::set_lease::SetLease;
use chrono::{DateTime, Utc};
use mykeeper_catalog::{BackupPath, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::job::{Assertion, ValidationTask};
use mykeeper_domain::proof::{Proof, ProvenSet};
use mykeeper_domain::run::RunState;
use mykeeper_domain::selection::Choice;
use mykeeper_tools::ToolError;
use mykeeper_tools::prove::{ProveRequest, prove_set};
use std::borrow::Borrow;
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
    for backup in here {
        let id = backup.id;
        let tried = match SetHere::find(context, backup, (&paths, Wanted::Untried)).await? {
            Found::Here(set) => set.prove(context, task).await?,
            Found::Unknown(error) => Err(error),
            Found::Elsewhere => {
                elsewhere += 1;
                continue;
            }
            Found::Taken => continue,
        };
        match tried {
            Ok(verdict) => return untried.join(verdict),
            Err(error) => untried.enter(context, id, error.about(id)).await?,
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
    match SetHere::find(context, backup, (&paths, Wanted::ByName)).await? {
        Found::Here(set) => set.prove(context, task).await??,
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

/// What came of the proof of one set, or why it could not be tried.
type Tried = Result<JobResult, JobError>;

/// Why a proof did not come to a verdict.
enum Hindrance {
    /// In the set, or in what it takes: another set may do.
    OfSet(JobError),
    /// In what every set takes.
    OfAll(JobError),
}

impl From<CatalogError> for Hindrance {
    fn from(error: CatalogError) -> Self {
        match error.is_away() {
            true => Self::OfAll(error.into()),
            false => Self::OfSet(error.into()),
        }
    }
}

impl From<ToolError> for Hindrance {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::NotInstalled { .. }
            | ToolError::Run { .. }
            | ToolError::Assertion { is_for_all: true, .. } => Self::OfAll(error.into()),
            _ => Self::OfSet(error.into()),
        }
    }
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
            result = Box::pin(self.restore_and_compare(context, &task.asserts)) => result,
            // Whoever took it proves the set: the throwaway server goes with the future.
            () = self.lease.lost() => Err(Hindrance::OfSet(JobError::fatal(format!(
                "the proof of set {id} is given up: its lease ran out, and another run has taken the set"
            )))),
        };
        let outcome = match result {
            Ok(proof) => record(context, &proof)
                .await
                .map(|()| proof)
                .map_err(Hindrance::OfAll),
            Err(hindrance) => Err(hindrance),
        };
        self.lease.release().await;
        let proof = match outcome {
            Ok(proof) => proof,
            Err(Hindrance::OfSet(error)) => return Ok(Err(error.about(id))),
            Err(Hindrance::OfAll(error)) => return Err(error.about(id)),
        };
        forget(context, id).await;
        Ok(Ok(Self::verdict(context, task, &proof)))
    }

    fn verdict(context: &RunContext, task: &ValidationTask, proof: &Proof) -> JobResult {
        let id = proof.bk_id;
        if proof.passed() {
            let summary = format!("set {id} is proven: {}", proof.summary());
            return Ok(match too_long(proof, task.max_restore_time) {
                None => JobReport::done(summary, Some(id)),
                Some(warning) => JobReport::warned(format!("{summary}; {warning}"), Some(id)),
            });
        }
        for difference in proof.databases.iter().flat_map(|database| &database.differences) {
            context.say(difference.to_string());
        }
        let reason = format!("set {id} did not come back as it was: {}", proof.summary());
        Err(JobError {
            state: RunState::Failed,
            reason,
            retry: false,
            bk_id: Some(id),
        })
    }

    async fn restore_and_compare(
        &self,
        context: &RunContext,
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
            set_dir: Path::new(&self.dir),
            evidence: evidence.as_ref(),
            files: &files,
            manifest_blake3: self.backup.manifest_blake3.as_deref(),
            databases: &self.backup.databases,
            sandbox: &context.settings.sandbox,
            myloader: &context.settings.tools.myloader,
            asserts,
            limits: &limits,
        };
        let mut proof = Box::pin(prove_set(request, &context.tools())).await?;
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
