//! Finished files on their way while the others are dumped: one task for each destination, each at its own pace.
//!
//! Nothing depends on it. What has not gone ahead is sent when the set is complete, and what has is found there then.

mod course;
mod leftover;

use crate::jobs::{JobError, RunContext};
use chrono::{DateTime, Utc};
use course::{Course, run_ahead};
use leftover::Leftover;
use mykeeper_catalog::CatalogError;
use mykeeper_domain::destination::Destination;
use mykeeper_domain::job::BackupTask;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, BackupId, DestinationName, counted};
use mykeeper_supervise::Limits;
use mykeeper_tools::pipeline::Finished;
use mykeeper_tools::rsync::{RsyncInfo, SendRequest, ahead_target, detect_rsync};
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long a task may take to end that was told to give up, beyond what its child is given.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(30);

/// One set, and where it goes.
pub(super) struct Route {
    set: BackupId,
    set_dir: PathBuf,
    /// `<YYYY-MM-DD>/<bk_id>`
    relative: String,
    destination: Arc<Destination>,
    password: Option<SecretString>,
    info: RsyncInfo,
}

impl Route {
    /// To where an earlier run sent.
    fn again(
        context: &RunContext,
        name: &DestinationName,
        (set, relative): (BackupId, &str),
        info: &RsyncInfo,
    ) -> Result<Self, JobError> {
        let destination = context.settings.destinations.get(name).cloned();
        let destination = destination
            .ok_or_else(|| JobError::fatal(format!("destination {name} is not configured any more")))?;
        Ok(Self {
            set,
            set_dir: PathBuf::new(),
            relative: relative.to_owned(),
            password: context.environment.secret(&destination.password)?,
            destination,
            info: info.clone(),
        })
    }

    fn target(&self) -> String {
        ahead_target(&self.destination, &self.relative)
    }

    fn request<'a>(&'a self, context: &'a RunContext, limits: &'a Limits) -> SendRequest<'a> {
        SendRequest {
            info: &self.info,
            ssh_program: &context.settings.tools.ssh,
            destination: &self.destination,
            password: self.password.as_ref(),
            set_dir: &self.set_dir,
            relative: &self.relative,
            private_dir: context.private.path(),
            limits,
        }
    }

    /// Begins a row. It may come before that of its set, which the run writes whatever becomes of the dump.
    async fn record(
        &self,
        context: &RunContext,
        (purpose, started_at): (TransferPurpose, DateTime<Utc>),
        until: &CancellationToken,
    ) -> Result<AttemptId, JobError> {
        let transfer = Transfer {
            id: AttemptId::generate(),
            run_id: Some(context.run),
            bk_id: self.set,
            node: context.environment.node.clone(),
            destination: self.destination.name.clone(),
            target: self.target(),
            number: 1,
            purpose,
            state: RunState::Running,
            reason: None,
            sent_bytes: None,
            started_at,
            finished_at: None,
        };
        let remote_dest = self.destination.remote_dest();
        context
            .environment
            .persist("record a transfer", until, |catalog| {
                let (transfer, remote_dest) = (transfer.clone(), remote_dest.clone());
                async move { catalog.start_transfer(&transfer, &remote_dest).await }
            })
            .await?;
        Ok(transfer.id)
    }

    async fn record_end(
        &self,
        context: &RunContext,
        id: AttemptId,
        (end, sent_bytes): (&RunEnd, Option<u64>),
    ) -> Result<(), JobError> {
        let recorded: Result<bool, CatalogError> = context
            .environment
            .persist("record the end of a transfer", &context.cancel, |catalog| {
                let end = end.clone();
                async move { catalog.finish_transfer(id, &end, sent_bytes).await }
            })
            .await;
        recorded?;
        Ok(())
    }
}

/// The tasks of one set.
pub(super) struct Ahead {
    finished: Arc<Finished>,
    /// The dump has ended: what is under way is brought to its end, and nothing more begun.
    over: CancellationToken,
    ways: BTreeMap<DestinationName, Way>,
}

/// One of them.
pub(super) struct Way {
    route: Arc<Route>,
    first_byte_at: Arc<OnceLock<DateTime<Utc>>>,
    finished: Arc<Finished>,
    /// Files that were told of and are not of the set.
    strays: BTreeSet<String>,
    stop: CancellationToken,
    task: AbortOnDropHandle<Course>,
}

impl Ahead {
    /// Begins to send what will be told of. What stands in the way is said in the run's log, and costs nothing but time.
    pub(super) async fn start(
        context: &RunContext,
        task: &BackupTask,
        (set, set_dir): (BackupId, &Path),
    ) -> Option<Self> {
        let day = set_dir.parent()?.file_name()?.to_str()?;
        let relative = format!("{day}/{set}");
        if !task.stream || task.transfer_to.is_empty() {
            return None;
        }
        let info = match detect_rsync(&context.supervisor, &context.settings.tools.rsync).await {
            Ok(info) => info,
            Err(error) => {
                context.say(format!("warning: nothing is sent while it is dumped: {error}"));
                return None;
            }
        };
        let mut ahead = Self {
            finished: Arc::default(),
            over: context.cancel.child_token(),
            ways: BTreeMap::new(),
        };
        for name in &task.transfer_to {
            match Route::again(context, name, (set, &relative), &info) {
                Ok(route) => ahead.begin(context, route, set_dir),
                Err(error) => context.say(format!(
                    "warning: nothing is sent to {name} while it is dumped: {}",
                    error.reason
                )),
            }
        }
        Some(ahead)
    }

    fn begin(&mut self, context: &RunContext, route: Route, set_dir: &Path) {
        let route = Arc::new(Route {
            set_dir: set_dir.to_owned(),
            ..route
        });
        let stop = context.cancel.child_token();
        let first_byte_at = Arc::new(OnceLock::new());
        let task = tokio::spawn(run_ahead(
            context.clone(),
            (Arc::clone(&route), Arc::clone(&self.finished)),
            (self.over.clone(), stop.clone()),
            Arc::clone(&first_byte_at),
        ));
        let way = Way {
            first_byte_at,
            finished: Arc::clone(&self.finished),
            strays: BTreeSet::new(),
            stop,
            task: AbortOnDropHandle::new(task),
            route: Arc::clone(&route),
        };
        self.ways.insert(route.destination.name.clone(), way);
    }

    /// Whom the dump tells of its files.
    pub(super) fn finished(&self) -> &Arc<Finished> {
        &self.finished
    }

    /// The dump has ended, and these are its files.
    pub(super) fn dump_ended(&mut self, files: &[FileEntry]) {
        self.over.cancel();
        let told = self.finished.since(0, u64::MAX);
        let kept: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let strays: BTreeSet<String> = told
            .into_iter()
            .map(|file| file.path)
            .filter(|path| !kept.contains(path.as_str()))
            .collect();
        for way in self.ways.values_mut() {
            way.strays.clone_from(&strays);
        }
    }

    /// When the first byte of the set went to this destination.
    pub(super) fn first_byte_at(&self, destination: &DestinationName) -> Option<DateTime<Utc>> {
        self.ways.get(destination)?.first_byte_at.get().copied()
    }

    /// The way to one destination.
    pub(super) fn take(&mut self, destination: &DestinationName) -> Option<Way> {
        self.ways.remove(destination)
    }

    /// The set is not complete: nothing more of it is sent, and what was is removed. A run that is being ended leaves the
    /// removal to the next that sends there.
    pub(super) async fn give_up(self, context: &RunContext) {
        self.over.cancel();
        let ways = self.ways.into_values();
        futures::future::join_all(ways.map(|way| way.give_up(context))).await;
    }
}

impl Way {
    /// The set is complete and recorded: waits until what is under way has been sent.
    pub(super) async fn finish(mut self, context: &RunContext) {
        let course = (&mut self.task).await.unwrap_or_default();
        let leftover = Leftover::of(context, &self.route);
        let sent = self.finished.since(0, u64::MAX).into_iter().take(course.tried);
        if sent.into_iter().any(|file| self.strays.contains(&file.path)) {
            // mydumper was started again, or has taken a file back: no copy may hold what its set does not.
            let why = "files of it are not of the set any more";
            leftover::clear(context, (&self.route, &leftover), why, &context.cancel).await;
        }
        let (state, reason) = match &course.failure {
            None => {
                let files = counted(course.sent, "file", "files");
                (
                    RunState::Succeeded,
                    format!("{files} went while others were dumped"),
                )
            }
            Some(failure) => (RunState::Failed, failure.clone()),
        };
        self.end(context, &course, (state, reason)).await;
        leftover.forget(&context.environment.state);
    }

    async fn give_up(mut self, context: &RunContext) {
        self.stop.cancel();
        let within = GIVEN_UP_WITHIN + context.settings.daemon.kill_grace;
        let course = match tokio::time::timeout(within, &mut self.task).await {
            Ok(course) => course.unwrap_or_default(),
            Err(_) => Course::default(),
        };
        if course.transfer.is_none() {
            return;
        }
        let reason = format!("set {} did not become complete", self.route.set);
        self.end(context, &course, (RunState::Failed, reason)).await;
        let leftover = Leftover::of(context, &self.route);
        if context.cancel.is_cancelled() {
            context.say(format!(
                "what went ahead of the set lies at {}; the next run that sends to {} removes it",
                self.route.target(),
                self.route.destination.name
            ));
        } else {
            let what = (&*self.route, &leftover);
            leftover::clear(context, what, leftover::NEVER_COMPLETE, &context.cancel).await;
        }
    }

    async fn end(&self, context: &RunContext, course: &Course, (state, reason): (RunState, String)) {
        let Some(transfer) = course.transfer else { return };
        let end = RunEnd {
            state,
            reason: Some(reason),
            bk_id: Some(self.route.set),
            finished_at: context.clock().now(),
        };
        let recorded = self
            .route
            .record_end(context, transfer, (&end, Some(course.sent_bytes)))
            .await;
        if let Err(error) = recorded {
            context.say(format!(
                "the end of this transfer is not recorded: {}",
                error.reason
            ));
        }
    }
}

/// Removes what earlier runs have left at a destination of sets that never became complete. Waits for the destination only
/// where there is something.
pub(super) async fn clear_leftovers(
    context: &RunContext,
    destination: &DestinationName,
) -> Result<(), JobError> {
    if leftover::noted(&context.environment.state, destination).is_empty() {
        return Ok(());
    }
    let info = detect_rsync(&context.supervisor, &context.settings.tools.rsync).await?;
    let what = crate::limits::Limited::Destination(destination.clone());
    let _permit = context.permit(&what).await?;
    leftover::clear_noted(context, (destination, &info), &context.cancel).await;
    Ok(())
}
