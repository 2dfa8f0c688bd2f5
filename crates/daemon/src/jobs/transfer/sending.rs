//! One set on its way to one destination, each attempt with its row.

use super::refuse_unmounted;
use crate::jobs::ahead::{self, HandedOn};
use crate::jobs::{JobError, RunContext};
use crate::limits::{Limited, Permit};
use crate::locate::relative_path;
use crate::seen_on;
use crate::set_lease::SetLease;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, DestinationName};
use mykeeper_supervise::Limits;
use mykeeper_tools::rsync::{
    Comparison, Delivery, RsyncInfo, SendRequest, detect_rsync, send_set, verify_set,
};
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What rsync calls the folder that it sends.
const WHOLE_FOLDER: &str = "./";

/// One set on its way to one destination.
pub(super) struct Sending<'a> {
    backup: &'a Backup,
    destination: Arc<Destination>,
    /// Or why there is none: an attempt that fails for that has its row, as any other.
    password: Result<Option<SecretString>, JobError>,
    set_dir: PathBuf,
    relative: String,
    /// Files went ahead that are not of the set, and are still there.
    has_strays: AtomicBool,
}

impl<'a> Sending<'a> {
    pub(super) fn prepare(
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
        let password = context
            .environment
            .secret(&destination.password)
            .map_err(JobError::from);
        let relative = relative_path(backup, context.settings.catalog.timezone);
        Ok(Self {
            backup,
            destination,
            password,
            set_dir,
            relative,
            has_strays: AtomicBool::new(false),
        })
    }

    /// `None` when another run has the set, or when it is being removed.
    pub(super) async fn lease(&self, context: &RunContext) -> Result<Option<SetLease>, JobError> {
        let purpose = format!("transfer:{}", self.destination.name);
        let Some(lease) =
            SetLease::acquire(&context.environment, self.backup.id, &purpose, context.run).await?
        else {
            return Ok(None);
        };
        self.keep(context, lease).await
    }

    /// The same of a lease that this run has had since before the set was complete.
    pub(super) async fn take_over(
        &self,
        context: &RunContext,
        HandedOn { lease, has_strays }: HandedOn,
    ) -> Result<Option<SetLease>, JobError> {
        self.has_strays.store(has_strays, Ordering::Relaxed);
        if lease.lost_token().is_cancelled() {
            drop(lease);
            return self.lease(context).await;
        }
        self.keep(context, lease).await
    }

    async fn keep(&self, context: &RunContext, lease: SetLease) -> Result<Option<SetLease>, JobError> {
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

    pub(super) fn target(&self) -> String {
        match &self.destination.url {
            DestinationUrl::Local { path } => path.join(&self.relative).display().to_string(),
            url => format!("{}/{}", url.to_string().trim_end_matches('/'), self.relative),
        }
    }

    pub(super) async fn send(&self, context: &RunContext) -> Result<(), JobError> {
        let info = match detect_rsync(&context.supervisor, &context.settings.tools.rsync).await {
            Ok(info) => info,
            Err(error) => return self.not_begun(context, error.into()).await,
        };
        if let Err(error) = &self.password {
            return self.not_begun(context, error.clone()).await;
        }
        context
            .attempts(1, |number| Box::pin(self.send_once(context, &info, number)))
            .await
    }

    /// An attempt that ends before rsync begins: its set's row says that it was not sent.
    async fn not_begun(&self, context: &RunContext, error: JobError) -> Result<(), JobError> {
        let transfer = self.begin(context, TransferPurpose::Send, 1).await?;
        let result = Err(error);
        self.end(context, transfer, &result, None).await;
        result
    }

    /// What to do about a damaged original; for people.
    fn original_mended(&self) -> String {
        format!(
            "\"mykeeper verify --bk-id {}\" names every file and what mends it",
            self.backup.id
        )
    }

    async fn send_once(&self, context: &RunContext, info: &RsyncInfo, number: u32) -> Result<(), JobError> {
        let _permit = self.permit(context).await?;
        refuse_unmounted(context, &self.destination.name).await?;
        let (set, destination) = (self.backup.id, &self.destination.name);
        let has_strays = self.has_strays.load(Ordering::Relaxed);
        ahead::clear_strays(context, (set, &self.relative), (destination, info), has_strays)
            .await
            .map_err(|error| JobError {
                reason: format!("set {set} is not sent to {destination} yet: {}", error.reason),
                ..error
            })?;
        self.has_strays.store(false, Ordering::Relaxed);
        let transfer = self.begin(context, TransferPurpose::Send, number).await?;
        context.say(format!("sending set {} to {}", self.backup.id, self.target()));
        let limits = context.limits();
        let request = self.request(context, info, &limits);
        let (result, sent_bytes) = match send_set(request, &context.tools()).await {
            Ok(Delivery::Arrived(outcome)) => (Ok(()), Some(outcome.sent_bytes)),
            Ok(Delivery::OriginalDamaged(problem)) => {
                let error = JobError::fatal(format!("{problem}; {}", self.original_mended()));
                // What has arrived before, here or elsewhere, is still there: the row must not cost the set that.
                let state = if self.backup.has_arrived() {
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
            ahead::forget(context, set, destination);
            if let DestinationUrl::Local { path } = &self.destination.url {
                seen_on::note_made(context, (set, &path.join(&self.relative))).await;
            }
            context.say(format!(
                "set {} has arrived at {} and was verified there",
                self.backup.id,
                self.target()
            ));
        }
        result
    }

    pub(super) async fn verify(&self, context: &RunContext) -> Result<(), JobError> {
        let info = detect_rsync(&context.supervisor, &context.settings.tools.rsync).await?;
        if let Err(error) = &self.password {
            return Err(self.not_compared(error.clone()));
        }
        let _permit = self.permit(context).await?;
        refuse_unmounted(context, &self.destination.name)
            .await
            .map_err(|error| self.not_compared(error))?;
        let transfer = self.begin(context, TransferPurpose::Verify, 1).await?;
        let limits = context.limits();
        let result = match verify_set(self.request(context, &info, &limits), &context.tools()).await {
            Ok(Comparison::Equal) => Ok(()),
            Ok(Comparison::CopyDiffers(differing)) => Err(JobError::fatal(self.differs(context, &differing))),
            // The copy may be the last good one: it is neither called damaged nor sent again.
            Ok(Comparison::OriginalDamaged(problem)) => Err(JobError {
                state: RunState::Warned,
                ..JobError::fatal(format!(
                    "the copy of set {} at {} was left alone: {problem}; {}",
                    self.backup.id,
                    self.target(),
                    self.original_mended()
                ))
            }),
            Err(error) => {
                let error = self.not_compared(JobError::from(error));
                let row = match error.state {
                    RunState::Cancelled => error.state,
                    // It has seen nothing: a copy that is last known to differ stays so.
                    _ => RunState::Skipped,
                };
                let row = JobError {
                    state: row,
                    ..error.clone()
                };
                self.end(context, transfer, &Err(row), None).await;
                return Err(error);
            }
        };
        self.end(context, transfer, &result, None).await;
        result
    }

    /// Not compared is not the same as damaged: it must not cost the set its arrival.
    fn not_compared(&self, error: JobError) -> JobError {
        JobError {
            state: match error.state {
                RunState::Cancelled => RunState::Cancelled,
                _ => RunState::Warned,
            },
            reason: format!(
                "the copy of set {} at {} could not be compared: {}",
                self.backup.id,
                self.target(),
                error.reason
            ),
            ..error
        }
    }

    /// What is said of a copy that differs.
    fn differs(&self, context: &RunContext, differing: &[String]) -> String {
        let (id, target) = (self.backup.id, self.target());
        // rsync lists the folder itself, beside all that is in it, where it would have to make it.
        if differing.iter().any(|name| name == WHOLE_FOLDER) {
            return format!("the copy of set {id} at {target} is not there any more");
        }
        format!(
            "the copy of set {id} at {target} is damaged: it differs from the set in {}",
            context.tell_first(differing)
        )
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
            password: self.password.as_ref().ok().and_then(Option::as_ref),
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
        let remote_dest = self.destination.remote_dest();
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
