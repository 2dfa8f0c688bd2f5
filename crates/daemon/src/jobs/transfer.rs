//! Brings sets to their destination, and looks again at those that are there.

mod known_damage;
mod sending;

use super::ahead::{HandedOn, clear_leftovers, make_room};
use super::verify::round::{Asked, read_due};
use super::{JobError, JobReport, JobResult, RunContext};
use crate::limits::Limited;
use crate::locate::original;
use crate::mounted::{absent_at, holds_nothing};
use crate::owed::owed_to_nobody;
use known_damage::{mend_known, sent_again};
use mykeeper_domain::arrival::arrivals;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::job::TransferTask;
use mykeeper_domain::run::RunState;
use mykeeper_domain::{BackupId, DestinationName, counted};
use mykeeper_tools::rsync::{Delivery, SendRequest, detect_rsync, send_set};
use sending::Sending;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Said of a copy that is damaged.
const SENT_NEXT: &str = "the next run of this job sends it again";
/// How many sets one run of a transfer job takes from the catalog at a time.
const BATCH: u32 = 1_000;

/// One run of a transfer job: what has not arrived is sent; one copy that is due is looked at.
pub async fn run(context: &RunContext, task: &TransferTask) -> JobResult {
    // A set that cannot be sent has its own attempts; these are for what keeps the job from its sets.
    let sent = context
        .recorded_attempts(|| Box::pin(catch_up(context, task)))
        .await;
    let every = task
        .verify_every
        .filter(|_| task.verify && !context.cancel.is_cancelled());
    let Some(every) = every else { return sent };
    // Nothing lies there to be read.
    if refuse_unmounted(context, &task.destination).await.is_err() {
        return sent;
    }
    let asked = Asked {
        every,
        destination: Some(&task.destination),
        within: None,
        tags: &[],
    };
    let mut round = read_due(context, &asked).await;
    for damaged in &mut round.damaged {
        match compare_damaged(context, &damaged.backup, &task.destination).await {
            Ok(true) => SENT_NEXT.clone_into(&mut damaged.next_step),
            Ok(false) => {}
            // The run was ended: what has been found is told all the same.
            Err(error) => {
                round.ended_by.get_or_insert(error);
                break;
            }
        }
    }
    round.join(sent)
}

/// Where a copy of the set differs from it, rather than the set from its manifest, it is to be sent again: `true`.
async fn compare_damaged(
    context: &RunContext,
    backup: &Backup,
    destination: &DestinationName,
) -> Result<bool, JobError> {
    // Of several destinations: at this one.
    let transfers = context.environment.catalog.transfers(backup.id).await?;
    let has_arrived = arrivals(backup, &transfers)
        .iter()
        .any(|arrival| arrival.destination == destination.as_str());
    let Some(set_dir) = original_here(context, backup).await?.filter(|_| has_arrived) else {
        return Ok(false);
    };
    match compare_copy(context, backup, destination, set_dir).await {
        Err(error) if error.state == RunState::Cancelled => Err(error),
        // That the set is damaged is what the run fails with.
        Ok(found) => Ok(found.is_some_and(|error| error.state == RunState::Failed)),
        Err(_) => Ok(false),
    }
}

async fn catch_up(context: &RunContext, task: &TransferTask) -> JobResult {
    refuse_unmounted(context, &task.destination).await?;
    clear_leftovers(context, &task.destination).await?;
    let mut failures = Vec::new();
    let mut notes = Vec::new();
    let mut compared = None;
    let mut sent = BTreeSet::new();
    if let Some(every) = task.verify_every {
        match verify_one(context, &task.destination, every).await {
            Ok(found) => compared = found,
            Err(error) if error.state == RunState::Cancelled => return Err(error),
            // What waits to be sent is not held up by it.
            Err(error) => notes.push(format!("no copy was compared: {}", error.reason)),
        }
    }
    let Waiting {
        sets: pending,
        lost,
        more,
    } = waiting(context, &task.destination).await?;
    if let Some((first, all)) = lost {
        notes.push(format!(
            "{} never sent and their folders are gone, among them {first}",
            counted(all, "set was", "sets were")
        ));
    }
    let waiting = pending.len();
    for backup in pending {
        let id = backup.id;
        match send_with_retries(context, &backup, &task.destination).await {
            Ok(Sent::Arrived) => drop(sent.insert(id)),
            // The run that made it is sending it, most likely; that one answers for it.
            Ok(Sent::ByAnother) => {
                context.say(format!(
                    "set {id} is being sent to {} by another run",
                    task.destination
                ));
            }
            Err(error) if error.state == RunState::Cancelled => return Err(error.about(id)),
            Err(error) => {
                context.say(format!("set {id}: {}", error.reason));
                failures.push((id, error));
            }
        }
    }
    let mut mended = mend_known(context, task).await;
    let known = mended.differing;
    sent.append(&mut mended.sent);
    notes.append(&mut mended.notes);
    failures.append(&mut mended.failures);
    notes.extend(compared.map(|(id, found)| match found.state {
        RunState::Failed if sent.contains(&id) => format!("{}; {}", found.reason, sent_again(task, id)),
        RunState::Failed => format!("{}; {SENT_NEXT}", found.reason),
        _ => found.reason,
    }));
    if let Some(ended) = mended.ended_by {
        notes.extend(
            failures
                .iter()
                .map(|(id, error)| format!("set {id}: {}", error.reason)),
        );
        notes.insert(0, ended.reason.clone());
        return Err(JobError {
            reason: notes.join("; "),
            ..ended
        });
    }
    if let Some((id, error)) = failures.first() {
        let mut reason = format!(
            "{} of {} sets were not sent; set {id}: {}",
            failures.len(),
            waiting + known,
            error.reason
        );
        for note in notes {
            reason.push_str(&format!("; {note}"));
        }
        return Err(JobError {
            reason,
            retry: false,
            ..error.clone()
        }
        .about(*id));
    }
    let summary = match sent.len() {
        0 => format!("nothing waits to be sent to {}", task.destination),
        1 => format!("1 set sent to {}", task.destination),
        many => format!("{many} sets sent to {}", task.destination),
    };
    notes.extend(sent_by_nobody(context).await);
    if more && !sent.is_empty() {
        context.say("more sets may wait; the next run takes them");
    }
    if notes.is_empty() {
        return Ok(JobReport::done(summary, None));
    }
    Ok(JobReport::warned(
        format!("{summary}; {}", notes.join("; ")),
        None,
    ))
}

/// What waits for destinations that are not configured any more: whoever reads that nothing waits here is to know of it.
async fn sent_by_nobody(context: &RunContext) -> Vec<String> {
    let catalog = context.environment.catalog.as_ref();
    match owed_to_nobody(catalog, &context.settings, context.clock().now()).await {
        Ok(told) => told,
        Err(error) => {
            context.say(format!(
                "whether sets wait for destinations that are not configured any more cannot be told: {error}"
            ));
            Vec::new()
        }
    }
}

/// Before anything is written to a destination, removed there, or missed: its disk may be unmounted. What is to go there
/// stays owed.
///
/// # Errors
/// Its disk does not answer; sets should lie there, and it holds nothing; the catalog does not answer.
pub(in crate::jobs) async fn refuse_unmounted(
    context: &RunContext,
    destination: &DestinationName,
) -> Result<(), JobError> {
    let environment = &context.environment;
    let known = context.settings.destinations.get(destination);
    if let Some(DestinationUrl::Local { path }) = known.map(|known| &known.url) {
        // What does not answer is told here, where it holds up nobody for long: no tool is to hang on it.
        tokio::select! {
            looked = holds_nothing(&environment.disk, path) => drop(looked?),
            () = context.cancel.cancelled() => return Err(JobError::cancelled()),
        }
    }
    let absent = absent_at(environment, &context.settings, destination).await?;
    absent.map_or(Ok(()), |absent| Err(JobError::fatal(absent.to_string())))
}

/// The set's own folder, where it is there.
async fn original_here(context: &RunContext, backup: &Backup) -> Result<Option<PathBuf>, JobError> {
    match original(backup, &context.environment.node) {
        Some(dir) if context.is_dir(&dir).await? => Ok(Some(dir)),
        _ => Ok(None),
    }
}

/// What is to be sent.
struct Waiting {
    sets: Vec<Backup>,
    /// The first of those whose folders are gone, and how many these are.
    lost: Option<(BackupId, usize)>,
    /// There may be others.
    more: bool,
}

/// The oldest sets that wait to be sent. What is not there cannot be sent, now or later, and must not hold up what is.
async fn waiting(context: &RunContext, destination: &DestinationName) -> Result<Waiting, JobError> {
    let environment = &context.environment;
    let mut found = Waiting {
        sets: Vec::new(),
        lost: None,
        more: true,
    };
    let mut after = None;
    while found.more && found.sets.len() < BATCH as usize {
        let page = environment
            .catalog
            .pending_transfers(&environment.node, destination, (after.as_ref(), BATCH))
            .await?;
        found.more = page.next.is_some();
        after = page.next;
        let (mut here, gone) = part_lost(context, page.sets).await?;
        found.sets.append(&mut here);
        if let Some(first) = gone.first() {
            let (first, before) = found.lost.unwrap_or((first.id, 0));
            found.lost = Some((first, before + gone.len()));
        }
    }
    Ok(found)
}

/// Sets whose folders are there, or may be, and those whose folders are gone.
async fn part_lost(context: &RunContext, sets: Vec<Backup>) -> Result<(Vec<Backup>, Vec<Backup>), JobError> {
    let (mut here, mut lost) = (Vec::new(), Vec::new());
    for backup in sets {
        match original_here(context, &backup).await {
            Ok(None) => lost.push(backup),
            Err(error) if error.state == RunState::Cancelled => return Err(error),
            // Said where it is to be sent, if its file system does not answer then either.
            Ok(Some(_)) | Err(_) => here.push(backup),
        }
    }
    Ok((here, lost))
}

/// Compares the copy that has gone longest without it, when that is due. Gives what is worth a look, and of which set.
async fn verify_one(
    context: &RunContext,
    destination: &DestinationName,
    every: std::time::Duration,
) -> Result<Option<(BackupId, JobError)>, JobError> {
    let environment = &context.environment;
    let every = chrono::TimeDelta::from_std(every).unwrap_or(chrono::TimeDelta::MAX);
    let Some(before) = context.clock().now().checked_sub_signed(every) else {
        return Ok(None);
    };
    let due = environment
        .catalog
        .due_verifications(&environment.node, destination, before, BATCH)
        .await?;
    // A set whose original is gone from this machine cannot be compared here.
    let mut found = None;
    for backup in due {
        if let Some(dir) = original_here(context, &backup).await? {
            found = Some((backup, dir));
            break;
        }
    }
    let Some((backup, set_dir)) = found else {
        return Ok(None);
    };
    let found = compare_copy(context, &backup, destination, set_dir).await?;
    Ok(found.map(|error| (backup.id, error)))
}

/// Compares one copy with its set by checksum. Gives what is worth a look; a copy that differs (`Failed`) counts as not
/// arrived.
async fn compare_copy(
    context: &RunContext,
    backup: &Backup,
    destination: &DestinationName,
    set_dir: PathBuf,
) -> Result<Option<JobError>, JobError> {
    let sending = Sending::prepare(context, backup, destination, set_dir)?;
    let Some(lease) = sending.lease(context).await? else {
        return Ok(None);
    };
    let result = sending.verify(context).await;
    lease.release().await;
    match result {
        Ok(()) => {
            context.say(format!(
                "the copy of set {} at {destination} is as the set",
                backup.id
            ));
            Ok(None)
        }
        Err(error) if error.state == RunState::Cancelled => Err(error),
        Err(error) => Ok(Some(error)),
    }
}

/// Sends a folder that a person names. With an id the set's row is kept; without, nothing is recorded but the run.
pub async fn send_folder(
    context: &RunContext,
    dir: &Path,
    id: Option<BackupId>,
    destination: &DestinationName,
) -> JobResult {
    let Some(id) = id else {
        return send_unrecorded(context, dir, destination).await;
    };
    let backup = context
        .environment
        .catalog
        .backup(id)
        .await?
        .ok_or_else(|| JobError::fatal(format!("the catalog knows no set {id}")))?;
    // The databases of a set of pybackup's stand each for itself: what is whole of it goes its way.
    let is_pybackups = backup.dir != backup.folder();
    let may_go = backup.is_complete() || is_pybackups && backup.complete.contains(&true);
    if !may_go {
        return Err(JobError::fatal(format!("set {id} is not complete; it is not sent")).about(id));
    }
    if !context.is_dir(dir).await? {
        return Err(JobError::fatal(format!("the set's folder {} is not there", dir.display())).about(id));
    }
    make_room(context, destination).await;
    let sending = Sending::prepare(context, &backup, destination, dir.to_path_buf())?;
    let Some(lease) = sending.lease(context).await? else {
        return Err(
            JobError::fatal(format!("set {id} is being sent to {destination} by another run")).about(id),
        );
    };
    let result = sending.send(context).await;
    lease.release().await;
    result.map_err(|error| error.about(id))?;
    Ok(JobReport::done(
        format!("set {id} has arrived at {}", sending.target()),
        Some(id),
    ))
}

async fn send_unrecorded(context: &RunContext, dir: &Path, destination: &DestinationName) -> JobResult {
    let settings = &context.settings;
    let destination = settings
        .destinations
        .get(destination)
        .ok_or_else(|| JobError::fatal(format!("destination {destination} is not configured any more")))?;
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let own = name(dir).ok_or_else(|| JobError::fatal(format!("{} has no name", dir.display())))?;
    // A set keeps the day that it lies in, so that it is found again at the other end.
    let relative = match dir.parent().and_then(name) {
        Some(day) if own.parse::<BackupId>().is_ok() => format!("{day}/{own}"),
        _ => own,
    };
    let password = context.environment.secret(&destination.password)?;
    let info = detect_rsync(&context.supervisor, &settings.tools.rsync).await?;
    let send = async || {
        let what = Limited::Destination(destination.name.clone());
        let _permit = context.permit(&what).await?;
        refuse_unmounted(context, &destination.name).await?;
        let limits = context.limits();
        let request = SendRequest {
            info: &info,
            ssh_program: &settings.tools.ssh,
            destination,
            password: password.as_ref(),
            set_dir: dir,
            relative: &relative,
            private_dir: context.private.path(),
            limits: &limits,
        };
        match send_set(request, &context.tools()).await {
            Ok(Delivery::Arrived(outcome)) => Ok(JobReport::done(
                format!("{} has arrived at {}", dir.display(), outcome.target),
                None,
            )),
            Ok(Delivery::OriginalDamaged(problem)) => Err(JobError::fatal(problem)),
            Err(error) => Err(JobError::from(error)),
        }
    };
    context.recorded_attempts(|| Box::pin(send())).await
}

/// What became of a set that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is there, and was verified there.
    Arrived,
    /// Another run is sending it.
    ByAnother,
}

/// Sends one set, as often as the job's policy says, each attempt with its row.
pub async fn send_with_retries(
    context: &RunContext,
    backup: &Backup,
    destination: &DestinationName,
) -> Result<Sent, JobError> {
    send_holding(context, backup, destination, None).await
}

/// The same with the set's lease at the destination in hand, where this run has had it since before the set was complete.
pub(in crate::jobs) async fn send_holding(
    context: &RunContext,
    backup: &Backup,
    destination: &DestinationName,
    held: Option<HandedOn>,
) -> Result<Sent, JobError> {
    let prepared = async {
        let set_dir = original_here(context, backup).await?.ok_or_else(|| {
            JobError::fatal(format!(
                "set {} cannot be sent: its folder {} is not there",
                backup.id,
                backup.folder().display()
            ))
        })?;
        Sending::prepare(context, backup, destination, set_dir)
    };
    let sending = match prepared.await {
        Ok(sending) => sending,
        Err(error) => {
            if let Some(held) = held {
                held.lease.release().await;
            }
            return Err(error);
        }
    };
    let lease = match held {
        Some(held) => sending.take_over(context, held).await?,
        None => sending.lease(context).await?,
    };
    let Some(lease) = lease else {
        return Ok(Sent::ByAnother);
    };
    let result = sending.send(context).await;
    lease.release().await;
    result.map(|()| Sent::Arrived)
}
