//! Proves a set: restored into a throwaway server, compared with its evidence.

mod elsewhere;
mod hindrance;
mod others;
pub(crate) mod queue;
mod set_here;
pub(crate) mod untried;
mod verdict;

use super::immediate::{Ready, left};
use super::verify::round::{Asked, read_due};
use super::{JobError, JobReport, JobResult, RunContext};
use crate::failed::failed_sets;
use crate::limits::Limited;
use crate::locate::places;
use crate::out_of_reach::out_of_reach_of;
use hindrance::{Untryable, check_statements};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, ValidateStatus};
use mykeeper_domain::immediate::Demands;
use mykeeper_domain::job::ValidationTask;
use mykeeper_domain::selection::Refusal;
use queue::Queue;
use set_here::{Found, SetHere, Wanted};
use std::collections::BTreeSet;
use untried::Untried;

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
    let paths = catalog.paths().await?;
    let mut untried = Untried::remembered(context).await?;
    let mut queue = Queue::new(context, (task.choice(), &paths), untried.remembered_last());
    let mut taken = 0;
    let mut is_checked = false;
    // Of these databases a statement could not be run, nor could it likely be in the next set.
    let mut hindering: BTreeSet<String> = BTreeSet::new();
    loop {
        let backup = match queue.next().await {
            Ok(Some(backup)) => backup,
            Ok(None) => break,
            Err(error) => return untried.join(Err(error)),
        };
        if !is_checked {
            check_statements(context, &task.asserts).await?;
            is_checked = true;
        }
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
            Found::Elsewhere => continue,
            Found::Taken => {
                taken += 1;
                continue;
            }
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
    let elsewhere = queue.elsewhere(taken).await?;
    let mut parts = Vec::new();
    let nothing = match elsewhere.as_deref() {
        None => "no set waits for its proof".to_owned(),
        Some(many) => {
            parts.extend(nowhere_named(context, task).await?);
            format!("no set on this machine waits for its proof; {many} lie elsewhere (see mykeeper paths)")
        }
    };
    parts.extend(what_failed(context, task).await?);
    Ok(match parts.is_empty() {
        true => JobReport::done(nothing, None),
        false => JobReport::warned(format!("{nothing}; {}", parts.join("; ")), None),
    })
}

/// The sets that wait for this job, have arrived, and of which nothing says in which folder they lie: no machine finds them.
/// What a row of `user_backup_path` names may be another machine's to prove.
async fn nowhere_named(context: &RunContext, task: &ValidationTask) -> Result<Option<String>, JobError> {
    let whereabouts = context.environment.whereabouts(&context.settings);
    let mut missing = out_of_reach_of(&whereabouts, (&context.job.name, task), context.clock().now()).await?;
    missing.retain(|missing| missing.looked_in.is_empty());
    let told: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Ok((!told.is_empty()).then(|| context.tell_first(&told)))
}

/// The sets that this job asks for and that have failed before, as long as none after them has passed: their verdict is no
/// reason to be content.
async fn what_failed(context: &RunContext, task: &ValidationTask) -> Result<Option<String>, JobError> {
    let choice = task.choice();
    let criteria = choice.criteria(context.clock().now());
    let is_asked_for = |backup: &Backup| {
        let untried = Backup {
            validate_status: ValidateStatus::NotTried,
            ..backup.clone()
        };
        !matches!(
            criteria.refusal(&untried),
            Some(Refusal::OtherTag | Refusal::TooOld)
        )
    };
    let failed = failed_sets(context.environment.catalog.as_ref(), is_asked_for).await?;
    let told: Vec<String> = failed
        .standing
        .iter()
        .map(|failed| {
            format!(
                "set {} of {} has failed, and none after it has passed: {}",
                failed.backup.id,
                failed.backup.tag,
                failed.why()
            )
        })
        .collect();
    Ok((!told.is_empty()).then(|| context.tell_first(&told)))
}

/// Proves a set where it was just made, in the server that lies ready, if one does. What cannot be tried is left to a
/// validation job.
pub(crate) async fn prove_made(
    context: &RunContext,
    (backup, demands): (Backup, Demands),
    ready: Option<Ready>,
) -> JobResult {
    let _permit = context.permit(&Limited::Validation).await?;
    let of = (&backup, &demands);
    let server = match ready {
        None => None,
        Some(ready) => match ready.server().await {
            Ok(server) => Some(server),
            Err(error) => return left(context, of, error.into()),
        },
    };
    match SetHere::made(context, backup.clone(), server).await {
        Ok(Found::Here(set)) => match set.prove(context, &demands.task).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(Untryable { error, .. })) | Err(error) => left(context, of, error),
        },
        Ok(Found::Unknown(error)) | Err(error) => left(context, of, error),
        Ok(Found::Taken | Found::Elsewhere) => Ok(JobReport::done(
            format!(
                "set {} is being proven by another run, or has its verdict",
                backup.id
            ),
            Some(backup.id),
        )),
    }
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
