//! Brings sets to their destination, and looks again at those that are there.

use super::{JobError, JobReport, JobResult, RunContext};
use crate::limits::{Limited, Permit};
use crate::locate::{original, relative_path};
use crate::set_lease::SetLease;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::job::TransferTask;
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, BackupId, DestinationName};
use mykeeper_supervise::Limits;
use mykeeper_tools::rsync::{
    Comparison, Delivery, RsyncInfo, SendRequest, detect_rsync, send_set, verify_set,
};
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many sets one run of a transfer job takes from the catalog at a time.
const BATCH: u32 = 1_000;

/// One run of a transfer job: what has not arrived is sent; one copy that is due is looked at.
pub async fn run(context: &RunContext, task: &TransferTask) -> JobResult {
    let attempt = context.begin_attempt(context.first_attempt(), None).await?;
    let result = catch_up(context, task).await;
    context.end_attempt(attempt, &result, None).await;
    result
}

async fn catch_up(context: &RunContext, task: &TransferTask) -> JobResult {
    let environment = &context.environment;
    let mut failures = Vec::new();
    let mut notes = Vec::new();
    let mut sent = 0;
    if let Some(every) = task.verify_every {
        match verify_one(context, &task.destination, every).await {
            Ok(note) => notes.extend(note),
            Err(error) if error.state == RunState::Cancelled => return Err(error),
            // What waits to be sent is not held up by it.
            Err(error) => notes.push(format!("no copy was compared: {}", error.reason)),
        }
    }
    let pending = environment
        .catalog
        .pending_transfers(&environment.node, &task.destination, BATCH)
        .await?;
    let fetched = pending.len();
    // What is not there cannot be sent, now or later, and must not hold up what is.
    let (pending, lost) = part_lost(context, pending).await?;
    if let Some(first) = lost.first() {
        let all = lost.len();
        notes.push(format!(
            "{all} sets were never sent and their folders are gone, among them {}",
            first.id
        ));
    }
    let waiting = pending.len();
    for backup in pending {
        let id = backup.id;
        match send_with_retries(context, &backup, &task.destination).await {
            Ok(Sent::Arrived) => sent += 1,
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
    if let Some((id, error)) = failures.first() {
        let reason = format!(
            "{} of {waiting} sets were not sent; set {id}: {}",
            failures.len(),
            error.reason
        );
        return Err(JobError {
            reason,
            retry: false,
            ..error.clone()
        }
        .about(*id));
    }
    let summary = match sent {
        0 => format!("nothing waits to be sent to {}", task.destination),
        1 => format!("1 set sent to {}", task.destination),
        many => format!("{many} sets sent to {}", task.destination),
    };
    if fetched as u32 == BATCH && sent > 0 {
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

/// The set's own folder, where it is there.
async fn original_here(context: &RunContext, backup: &Backup) -> Result<Option<PathBuf>, JobError> {
    match original(backup, &context.environment.node) {
        Some(dir) if context.is_dir(&dir).await? => Ok(Some(dir)),
        _ => Ok(None),
    }
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

/// Compares the copy that has gone longest without it, when that is due. Gives what is worth a look.
async fn verify_one(
    context: &RunContext,
    destination: &DestinationName,
    every: std::time::Duration,
) -> Result<Option<String>, JobError> {
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
    let sending = Sending::prepare(context, &backup, destination, set_dir)?;
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
        Err(error) => {
            context.say(&error.reason);
            Ok(Some(error.reason))
        }
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
    if !backup.is_complete() {
        return Err(JobError::fatal(format!("set {id} is not complete; it is not sent")).about(id));
    }
    if !context.is_dir(dir).await? {
        return Err(JobError::fatal(format!("the set's folder {} is not there", dir.display())).about(id));
    }
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
    let set_dir = original_here(context, backup).await?.ok_or_else(|| {
        JobError::fatal(format!(
            "set {} cannot be sent: its folder {} is not there",
            backup.id,
            backup.dir.display()
        ))
    })?;
    let sending = Sending::prepare(context, backup, destination, set_dir)?;
    let Some(lease) = sending.lease(context).await? else {
        return Ok(Sent::ByAnother);
    };
    let result = sending.send(context).await;
    lease.release().await;
    result.map(|()| Sent::Arrived)
}

/// One set on its way to one destination.
struct Sending<'a> {
    backup: &'a Backup,
    destination: Arc<Destination>,
    password: Option<SecretString>,
    set_dir: PathBuf,
    relative: String,
}

impl<'a> Sending<'a> {
    fn prepare(
        context: &RunContext,
        backup: &'a Backup,
        destination: &DestinationName,
        set_dir: PathBuf,
    ) -> Result<Self, JobError> {
        let destination = context
            .settings
            .destinations
            .get(destination)
            .cloned()
            .ok_or_else(|| {
                JobError::fatal(format!("destination {destination} is not configured any more"))
            })?;
        let password = context.environment.secret(&destination.password)?;
        let relative = relative_path(backup, context.settings.catalog.timezone);
        Ok(Self {
            backup,
            destination,
            password,
            set_dir,
            relative,
        })
    }

    /// `None` when another run has the set, or when it is being removed.
    async fn lease(&self, context: &RunContext) -> Result<Option<SetLease>, JobError> {
        let purpose = format!("transfer:{}", self.destination.name);
        let Some(lease) =
            SetLease::acquire(&context.environment, self.backup.id, &purpose, context.run).await?
        else {
            return Ok(None);
        };
        let lease = lease.with_folder(&self.set_dir).await;
        // Read after the lease is ours: retention marks first and looks at leases then.
        let fresh = context.environment.catalog.backup(self.backup.id).await?;
        if fresh.is_some_and(|fresh| fresh.deletion != Deletion::None) {
            lease.release().await;
            return Err(JobError::fatal(format!(
                "set {} is being removed by a retention job",
                self.backup.id
            )));
        }
        Ok(Some(lease))
    }

    async fn permit(&self, context: &RunContext) -> Result<Permit, JobError> {
        let what = Limited::Destination(self.destination.name.clone());
        context.permit(&what).await
    }

    fn target(&self) -> String {
        match &self.destination.url {
            DestinationUrl::Local { path } => path.join(&self.relative).display().to_string(),
            url => format!("{}/{}", url.to_string().trim_end_matches('/'), self.relative),
        }
    }

    async fn send(&self, context: &RunContext) -> Result<(), JobError> {
        let info = detect_rsync(&context.supervisor, &context.settings.tools.rsync).await?;
        context
            .attempts(1, |number| Box::pin(self.send_once(context, &info, number)))
            .await
    }

    async fn send_once(&self, context: &RunContext, info: &RsyncInfo, number: u32) -> Result<(), JobError> {
        let _permit = self.permit(context).await?;
        let transfer = self.begin(context, TransferPurpose::Send, number).await?;
        context.say(format!("sending set {} to {}", self.backup.id, self.target()));
        let limits = context.limits();
        let request = self.request(context, info, &limits);
        let (result, sent_bytes) = match send_set(request, &context.tools()).await {
            Ok(Delivery::Arrived(outcome)) => (Ok(()), Some(outcome.sent_bytes)),
            Ok(Delivery::OriginalDamaged(problem)) => {
                let error = JobError::fatal(problem);
                // What has arrived before, here or elsewhere, is still there: the row must not cost the set that.
                let state = if self.backup.is_transferred() {
                    RunState::Skipped
                } else {
                    error.state
                };
                let row = JobError {
                    state,
                    ..error.clone()
                };
                self.end(context, transfer, &Err(row), None).await;
                return Err(error);
            }
            Err(error) => (Err(JobError::from(error)), None),
        };
        self.end(context, transfer, &result, sent_bytes).await;
        if result.is_ok() {
            context.say(format!(
                "set {} has arrived at {} and was verified there",
                self.backup.id,
                self.target()
            ));
        }
        result
    }

    async fn verify(&self, context: &RunContext) -> Result<(), JobError> {
        let info = detect_rsync(&context.supervisor, &context.settings.tools.rsync).await?;
        let _permit = self.permit(context).await?;
        let transfer = self.begin(context, TransferPurpose::Verify, 1).await?;
        let limits = context.limits();
        let result = match verify_set(self.request(context, &info, &limits), &context.tools()).await {
            Ok(Comparison::Equal) => Ok(()),
            Ok(Comparison::CopyDiffers(differing)) => Err(JobError::fatal(format!(
                "the copy of set {} at {} is damaged and will be sent again: {} differ",
                self.backup.id,
                self.target(),
                differing.join(", ")
            ))),
            // The copy may be the last good one: it is neither called damaged nor sent again.
            Ok(Comparison::OriginalDamaged(problem)) => Err(JobError {
                state: RunState::Warned,
                ..JobError::fatal(format!(
                    "the copy of set {} at {} was left alone: {problem}",
                    self.backup.id,
                    self.target()
                ))
            }),
            Err(error) => {
                let error = JobError::from(error);
                // Not compared is not the same as damaged: the row must not cost the set its arrival.
                let reason = format!(
                    "the copy of set {} at {} could not be compared: {}",
                    self.backup.id,
                    self.target(),
                    error.reason
                );
                let state = if error.state == RunState::Cancelled {
                    RunState::Cancelled
                } else {
                    RunState::Warned
                };
                Err(JobError {
                    state,
                    reason,
                    ..error
                })
            }
        };
        self.end(context, transfer, &result, None).await;
        result
    }

    fn request<'b>(
        &'b self,
        context: &'b RunContext,
        info: &'b RsyncInfo,
        limits: &'b Limits,
    ) -> SendRequest<'b> {
        SendRequest {
            info,
            ssh_program: &context.settings.tools.ssh,
            destination: &self.destination,
            password: self.password.as_ref(),
            set_dir: &self.set_dir,
            relative: &self.relative,
            private_dir: context.private.path(),
            limits,
        }
    }

    async fn begin(
        &self,
        context: &RunContext,
        purpose: TransferPurpose,
        number: u32,
    ) -> Result<AttemptId, JobError> {
        let transfer = Transfer {
            id: AttemptId::generate(),
            run_id: Some(context.run),
            bk_id: self.backup.id,
            node: context.environment.node.clone(),
            destination: self.destination.name.clone(),
            target: self.target(),
            number,
            purpose,
            state: RunState::Running,
            reason: None,
            sent_bytes: None,
            started_at: context.clock().now(),
            finished_at: None,
        };
        let remote_dest = self.destination.url.to_string();
        context
            .environment
            .persist("record a transfer", &context.cancel, |catalog| {
                let (transfer, remote_dest) = (transfer.clone(), remote_dest.clone());
                async move { catalog.start_transfer(&transfer, &remote_dest).await }
            })
            .await?;
        Ok(transfer.id)
    }

    async fn end(
        &self,
        context: &RunContext,
        id: AttemptId,
        result: &Result<(), JobError>,
        sent_bytes: Option<u64>,
    ) {
        let end = RunEnd {
            state: result
                .as_ref()
                .map_or_else(|error| context.state_of(error), |()| RunState::Succeeded),
            reason: result.as_ref().err().map(|error| error.reason.clone()),
            bk_id: Some(self.backup.id),
            finished_at: context.clock().now(),
        };
        let written = context
            .environment
            .persist("record the end of a transfer", &context.cancel, |catalog| {
                let end = end.clone();
                async move { catalog.finish_transfer(id, &end, sent_bytes).await }
            })
            .await;
        if let Err(error) = written {
            tracing::error!(transfer = %id, %error, "the end of a transfer is not recorded");
            context.say(format!("the end of this transfer is not recorded: {error}"));
        }
    }
}
