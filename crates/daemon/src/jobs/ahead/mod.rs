//! Finished files on their way while the others are dumped: one task for each destination, each at its own pace.
//!
//! Nothing depends on it. What has not gone ahead is sent when the set is complete, and what has is found there then.

mod course;
mod ending;
mod leftover;
mod room;

use crate::jobs::{JobError, RunContext};
use crate::limits::Limited;
use crate::set_lease::SetLease;
use chrono::{DateTime, Utc};
use course::{Course, run_ahead};
use ending::{FINISHED_WITHIN, GIVEN_UP_WITHIN, RECORDED_WITHIN, REMOVED_WITHIN, ended, within};
pub use leftover::{Fate, Leftover, noted as noted_ahead};
use mykeeper_catalog::CatalogError;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::job::BackupTask;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::space::Need;
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, BackupId, DestinationName, counted};
use mykeeper_supervise::Limits;
use mykeeper_tools::pipeline::Finished;
use mykeeper_tools::rsync::{RsyncInfo, SendRequest, ahead_target, detect_rsync};
use room::{KeptFree, Rooms};
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// One set, and where it goes.
pub(super) struct Route {
    set: BackupId,
    set_dir: PathBuf,
    /// `<YYYY-MM-DD>/<bk_id>`
    relative: String,
    destination: Arc<Destination>,
    password: Option<SecretString>,
    info: RsyncInfo,
    kept_free: KeptFree,
    noted: Mutex<Noted>,
}

/// What `state_dir/ahead` has of it.
#[derive(Debug, Default)]
struct Noted {
    is_there: bool,
    has_strays: bool,
}

/// What was begun, and when.
#[derive(Clone, Copy, Debug)]
struct Begun {
    transfer: AttemptId,
    at: DateTime<Utc>,
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
            kept_free: KeptFree::default(),
            noted: Mutex::default(),
        })
    }

    /// Notes it before anything goes.
    fn note(&self, context: &RunContext) -> io::Result<()> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_there = true;
        Leftover::of(context, self, noted.has_strays).note(&context.environment.state)
    }

    /// Nothing went.
    fn forget(&self, context: &RunContext) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_there = false;
        leftover::forget(&context.environment.state, self.set, &self.destination.name);
    }

    /// Notes whether files may have gone that are not of the set. To be called before the set is recorded as complete: from
    /// then on nothing else tells of them.
    fn note_strays(&self, context: &RunContext, has_strays: bool) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.has_strays = has_strays;
        if !noted.is_there {
            return;
        }
        if let Err(error) = Leftover::of(context, self, has_strays).note(&context.environment.state) {
            context.say(format!(
                "warning: cannot note below state_dir that files of set {} at {} are not of it: {error}",
                self.set, self.destination.name
            ));
        }
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
        until: &CancellationToken,
    ) -> Result<(), JobError> {
        let recorded: Result<bool, CatalogError> = context
            .environment
            .persist("record the end of a transfer", until, |catalog| {
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

/// What a way leaves to whoever sends the rest of the set.
pub(super) struct HandedOn {
    pub(super) lease: SetLease,
    /// Files are there that are not of the set, whatever could be noted of that.
    pub(super) has_strays: bool,
}

/// One of them.
pub(super) struct Way {
    route: Arc<Route>,
    begun: Arc<OnceLock<Begun>>,
    finished: Arc<Finished>,
    /// Files that were told of and are not of the set.
    strays: BTreeSet<String>,
    stop: CancellationToken,
    task: AbortOnDropHandle<Course>,
    /// The set is this run's at the destination, from before its first byte until it is sent, or removed.
    lease: SetLease,
}

impl Ahead {
    /// Begins to send what will be told of. What stands in the way is said in the run's log, and costs nothing but time.
    pub(super) async fn start(
        context: &RunContext,
        task: &BackupTask,
        (set, set_dir): (BackupId, &Path),
        need: Option<&Need>,
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
        let mut rooms = Rooms::new(task, need);
        for name in &task.transfer_to {
            let url = context.settings.destinations.get(name).map(|known| &known.url);
            if let Some(DestinationUrl::Local { .. }) = url {
                make_room(context, name).await;
            }
            let began = async {
                let mut route = Route::again(context, name, (set, &relative), &info)?;
                let promised = rooms.promise(context, &route.destination).await;
                route.kept_free = promised.map_err(JobError::fatal)?;
                set_dir.clone_into(&mut route.set_dir);
                ahead.begin(context, route).await
            };
            if let Err(error) = began.await {
                context.say(format!(
                    "warning: nothing is sent to {name} while it is dumped: {}",
                    error.reason
                ));
            }
        }
        Some(ahead)
    }

    async fn begin(&mut self, context: &RunContext, route: Route) -> Result<(), JobError> {
        let purpose = leftover::purpose(&route.destination.name);
        let lease = SetLease::acquire(&context.environment, route.set, &purpose, context.run).await?;
        let lease = lease.ok_or_else(|| JobError::fatal("another run has the set"))?;
        let route = Arc::new(route);
        let stop = context.cancel.child_token();
        let begun = Arc::new(OnceLock::new());
        let task = tokio::spawn(run_ahead(
            context.clone(),
            (Arc::clone(&route), Arc::clone(&self.finished)),
            (self.over.clone(), stop.clone()),
            (Arc::clone(&begun), lease.lost_token()),
        ));
        let way = Way {
            begun,
            finished: Arc::clone(&self.finished),
            strays: BTreeSet::new(),
            stop,
            task: AbortOnDropHandle::new(task),
            route: Arc::clone(&route),
            lease,
        };
        self.ways.insert(route.destination.name.clone(), way);
        Ok(())
    }

    /// Whom the dump tells of its files.
    pub(super) fn finished(&self) -> &Arc<Finished> {
        &self.finished
    }

    /// The dump has ended, and these are its files.
    pub(super) fn dump_ended(&mut self, context: &RunContext, files: &[FileEntry]) {
        self.over.cancel();
        let told = self.finished.since(0, u64::MAX);
        let kept: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let strays: BTreeSet<String> = told
            .into_iter()
            .map(|file| file.path)
            .filter(|path| !kept.contains(path.as_str()))
            .collect();
        if strays.is_empty() {
            return;
        }
        for way in self.ways.values_mut() {
            way.strays.clone_from(&strays);
            way.route.note_strays(context, true);
        }
    }

    /// When the first byte of the set went to this destination.
    pub(super) fn first_byte_at(&self, destination: &DestinationName) -> Option<DateTime<Utc>> {
        Some(self.ways.get(destination)?.begun.get()?.at)
    }

    /// The way to one destination.
    pub(super) fn take(&mut self, destination: &DestinationName) -> Option<Way> {
        self.ways.remove(destination)
    }

    /// The set is not complete: nothing more of it is sent, and what was is removed. What takes long, and a run that is being
    /// ended, leaves the removal to the next that sends there.
    pub(super) async fn give_up(self, context: &RunContext) {
        self.over.cancel();
        let ways = self.ways.into_values();
        futures::future::join_all(ways.map(|way| way.give_up(context))).await;
    }
}

impl Way {
    /// The set is complete and recorded: waits until what is under way has been sent, if not for long.
    pub(super) async fn finish(mut self, context: &RunContext) -> HandedOn {
        let grace = GIVEN_UP_WITHIN + context.settings.daemon.kill_grace;
        let course = ended(&mut self.task, &self.stop, (FINISHED_WITHIN, grace)).await;
        // mydumper was started again, or has taken a file back: no copy may hold what its set does not. Whoever sends the
        // set removes it first.
        let tried = course.as_ref().map_or(usize::MAX, |course| course.tried);
        let told = self.finished.since(0, u64::MAX).into_iter().take(tried);
        let has_strays =
            !self.strays.is_empty() && told.into_iter().any(|file| self.strays.contains(&file.path));
        let course = course.unwrap_or_else(|| Course {
            failure: Some("what was under way did not end in time and was given up".to_owned()),
            ..Course::default()
        });
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
        if has_strays {
            context.say(format!(
                "files went ahead to {} that are not of the set any more: what lies there is removed first",
                self.route.destination.name
            ));
        }
        HandedOn {
            lease: self.lease,
            has_strays,
        }
    }

    async fn give_up(mut self, context: &RunContext) {
        self.stop.cancel();
        let grace = GIVEN_UP_WITHIN + context.settings.daemon.kill_grace;
        let course = ended(&mut self.task, &self.stop, (Duration::ZERO, grace)).await;
        let reason = format!("set {} did not become complete", self.route.set);
        let course = course.unwrap_or_default();
        self.end(context, &course, (RunState::Failed, reason)).await;
        Box::pin(self.clear(context)).await;
        self.lease.release().await;
    }

    /// Removes what went ahead, in a short time or not at all.
    async fn clear(&self, context: &RunContext) {
        let (state, destination) = (&context.environment.state, &self.route.destination.name);
        let Ok(Some(leftover)) = leftover::noted_of(state, self.route.set, destination) else {
            return;
        };
        let left = || {
            context.say(format!(
                "what went ahead of the set lies at {}; the next run that sends to {destination} removes it",
                self.route.target()
            ));
        };
        if context.cancel.is_cancelled() {
            left();
            return;
        }
        let until = context.cancel.child_token();
        let clearing = async {
            let what = Limited::Destination(destination.clone());
            let Ok(Some(_permit)) = context.permit_until(&what, &until).await else {
                left();
                return;
            };
            // What it fails with it has told.
            let what = (&*self.route, &leftover);
            drop(leftover::clear(context, what, leftover::NEVER_COMPLETE, &until).await);
        };
        within(REMOVED_WITHIN, &until, Box::pin(clearing)).await;
    }

    async fn end(&self, context: &RunContext, course: &Course, (state, reason): (RunState, String)) {
        let Some(begun) = self.begun.get() else { return };
        let end = RunEnd {
            state,
            reason: Some(reason),
            bk_id: Some(self.route.set),
            finished_at: context.clock().now(),
        };
        // One try: the row of a run that is over is settled all the same.
        let once = CancellationToken::new();
        once.cancel();
        let sent = (&end, Some(course.sent_bytes));
        let recording = self.route.record_end(context, begun.transfer, sent, &once);
        let problem = match tokio::time::timeout(RECORDED_WITHIN, recording).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.reason,
            Err(_) => "the catalog does not answer".to_owned(),
        };
        context.say(format!("the end of this transfer is not recorded: {problem}"));
    }
}

/// Removes what earlier runs have left at a destination of sets that never became complete. Waits for the destination only
/// where there is something.
pub(super) async fn clear_leftovers(
    context: &RunContext,
    destination: &DestinationName,
) -> Result<(), JobError> {
    if leftover::noted_for(&context.environment.state, destination).is_empty() {
        return Ok(());
    }
    let info = detect_rsync(&context.supervisor, &context.settings.tools.rsync).await?;
    let what = Limited::Destination(destination.clone());
    let _permit = context.permit(&what).await?;
    leftover::clear_noted(context, (destination, &info), &context.cancel).await;
    Ok(())
}

/// The same in a short time or not at all: what was left there may take the room of what is to come.
pub(super) async fn make_room(context: &RunContext, destination: &DestinationName) {
    if leftover::noted_for(&context.environment.state, destination).is_empty() {
        return;
    }
    let Ok(info) = detect_rsync(&context.supervisor, &context.settings.tools.rsync).await else {
        return;
    };
    let until = context.cancel.child_token();
    let clearing = async {
        let what = Limited::Destination(destination.clone());
        if let Ok(Some(_permit)) = context.permit_until(&what, &until).await {
            leftover::clear_noted(context, (destination, &info), &until).await;
        }
    };
    within(REMOVED_WITHIN, &until, Box::pin(clearing)).await;
}

/// Removes what went ahead of a complete set, where files are among it that are not of the set: by its note, or where the
/// caller knows so. The caller has the set's lease and the destination's permit.
///
/// # Errors
/// It could not be removed: the set is not to be sent on top of it.
pub(super) async fn clear_strays(
    context: &RunContext,
    (set, relative): (BackupId, &str),
    (destination, info): (&DestinationName, &RsyncInfo),
    has_strays: bool,
) -> Result<(), JobError> {
    let noted = match leftover::noted_of(&context.environment.state, set, destination) {
        Ok(noted) if has_strays => noted,
        Ok(Some(leftover)) if leftover.has_strays => Some(leftover),
        Ok(_) => return Ok(()),
        Err(error) => {
            return Err(JobError::fatal(format!(
                "cannot read below state_dir what went ahead of set {set} to {destination}: {error}; remove the set's \
                 folder there, and its file in state_dir/ahead, by hand"
            )));
        }
    };
    let route = Route::again(context, destination, (set, relative), info)?;
    let leftover = noted.unwrap_or_else(|| Leftover::of(context, &route, true));
    let why = "files of it are not of the set any more";
    leftover::clear(context, (&route, &leftover), why, &context.cancel).await
}

/// A set has arrived at the destination: what went ahead of it is its copy.
pub(super) fn forget(context: &RunContext, set: BackupId, destination: &DestinationName) {
    leftover::forget(&context.environment.state, set, destination);
}
