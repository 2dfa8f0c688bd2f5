//! The life of a run: asked for, gated, recorded, executed, ended, recorded.

mod execute;
mod foreground;
mod marks;
mod slot;
mod taken;

use crate::environment::Environment;
use crate::jobs::{JobResult, RunContext, run_job};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use marks::{Claiming, OwnMark, SettlingMark, WaitingMark};
use mykeeper_catalog::CatalogError;
use mykeeper_domain::job::{Job, JobKind};
use mykeeper_domain::run::{Run, RunState, Trigger};
use mykeeper_domain::{BackupId, JobName, RunId};
use mykeeper_tools::RunLog;
use slot::Due;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a cancelled run may take, beyond its tools' grace, to end them and write its record before it is left.
const END_WITHIN: Duration = Duration::from_secs(90);

/// A run that begins this long after its planned time is late.
const LATE: Duration = Duration::from_secs(30);
/// Why a run that waited does not begin.
pub(crate) const JOB_REMOVED: &str = "its job was removed before it began";

/// The target of the events that say how a run begins and ends; a run in the foreground tells of them itself.
pub const RUN_EVENTS: &str = "mykeeper::runs";
/// How the last line of a run's log begins.
pub const LAST_LINE: &str = "run ends: ";

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRun {
    /// The run.
    pub id: RunId,
    /// A final state.
    pub state: RunState,
    /// What was done, or why not.
    pub reason: String,
    /// The set concerned.
    pub bk_id: Option<BackupId>,
    /// The runs that it had begin, in the foreground.
    pub followed_by: Vec<FinishedRun>,
}

/// What a run does: a job's own work, or what a command asks for.
pub type Work = Box<dyn for<'a> FnOnce(&'a RunContext) -> BoxFuture<'a, JobResult> + Send>;

/// The work that a job describes.
fn work_of_job() -> Work {
    Box::new(|context| Box::pin(run_job(context)))
}

/// Runs jobs. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    environment: Arc<Environment>,
    observer: Option<Arc<dyn RunLog>>,
    is_foreground: bool,
    tracker: TaskTracker,
    /// Nothing new starts once this is cancelled.
    stopping: CancellationToken,
    /// Running jobs end once this is cancelled.
    ending: CancellationToken,
    /// What a run is called that `ending` has ended.
    ended_as: (RunState, &'static str),
    /// Jobs of which a run waits for the one before it.
    waiting: Mutex<HashSet<JobName>>,
    /// Slots that are being taken: they are not missed, though the catalog does not know them yet.
    claiming: Arc<Claiming>,
    /// Slots that could not be taken, whatever has been decided since: they are to be decided as missed.
    undecided: Mutex<BTreeMap<JobName, BTreeSet<DateTime<Utc>>>>,
    /// Jobs whose undecided slots hold back no later ones.
    passed: Mutex<HashSet<JobName>>,
    /// The runs that this engine answers for, from before they are recorded until their end is.
    own: Mutex<HashMap<RunId, JobName>>,
    /// What the scheduler waits for.
    next_slot: Mutex<Option<(DateTime<Utc>, JobName)>>,
    /// Jobs whose lock is held for a moment, to settle a run that is over: no run is under way.
    settling: Mutex<HashSet<JobName>>,
    /// What runs in the foreground have had begin, as it ends.
    followed: Mutex<Vec<FinishedRun>>,
}

impl Engine {
    /// The daemon's engine: what it ends is interrupted.
    pub fn for_daemon(environment: Arc<Environment>) -> Self {
        Self::new(
            environment,
            None,
            (RunState::Interrupted, "the daemon was stopped"),
        )
    }

    /// An engine for one run in the foreground: what it ends is cancelled. `observer` sees the run's log as it grows.
    pub fn for_foreground(environment: Arc<Environment>, observer: Option<Arc<dyn RunLog>>) -> Self {
        Self::new(
            environment,
            observer,
            (RunState::Cancelled, "it was stopped by the person who started it"),
        )
    }

    fn new(
        environment: Arc<Environment>,
        observer: Option<Arc<dyn RunLog>>,
        ended_as: (RunState, &'static str),
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                environment,
                observer,
                is_foreground: ended_as.0 == RunState::Cancelled,
                tracker: TaskTracker::new(),
                stopping: CancellationToken::new(),
                ending: CancellationToken::new(),
                ended_as,
                waiting: Mutex::new(HashSet::new()),
                claiming: Arc::default(),
                undecided: Mutex::new(BTreeMap::new()),
                passed: Mutex::new(HashSet::new()),
                own: Mutex::new(HashMap::new()),
                next_slot: Mutex::new(None),
                settling: Mutex::new(HashSet::new()),
                followed: Mutex::default(),
            }),
        }
    }

    /// Outside systems.
    pub fn environment(&self) -> &Arc<Environment> {
        &self.shared.environment
    }

    /// Cancelled when nothing new may start.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Cancelled when running jobs must end.
    pub(crate) fn ending(&self) -> &CancellationToken {
        &self.shared.ending
    }

    /// The slot that comes next, as the scheduler last said; `None` where there is none.
    pub(crate) fn next_slot(&self) -> Option<(DateTime<Utc>, JobName)> {
        self.lock_next_slot().clone()
    }

    /// The scheduler says what it waits for.
    pub(crate) fn note_next_slot(&self, next: Option<&(DateTime<Utc>, JobName)>) {
        let mut noted = self.lock_next_slot();
        if noted.as_ref() != next {
            *noted = next.cloned();
        }
    }

    fn lock_next_slot(&self) -> std::sync::MutexGuard<'_, Option<(DateTime<Utc>, JobName)>> {
        self.shared
            .next_slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are slots of this job that could not be taken.
    pub(crate) fn has_undecided_of(&self, job: &JobName) -> bool {
        self.lock_undecided().contains_key(job)
    }

    /// Whether there are slots that could not be taken.
    pub fn has_undecided(&self) -> bool {
        !self.lock_undecided().is_empty()
    }

    /// The slots of a job that could not be taken; they are the caller's to decide, or to give back.
    pub fn take_undecided(&self, job: &JobName) -> BTreeSet<DateTime<Utc>> {
        self.lock_undecided().remove(job).unwrap_or_default()
    }

    /// Slots that could not be decided either.
    pub fn give_back_undecided(&self, job: &JobName, slots: BTreeSet<DateTime<Utc>>) {
        if !slots.is_empty() {
            self.lock_undecided()
                .entry(job.clone())
                .or_default()
                .extend(slots);
        }
    }

    /// Whether the slots of a job that could not be taken hold back its later ones: not once they could not be decided
    /// either, though the catalog answers.
    pub(crate) fn hold_back_later(&self, job: &JobName, holds_back: bool) {
        let mut passed = self.shared.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if holds_back {
            passed.remove(job);
        } else {
            passed.insert(job.clone());
        }
    }

    fn is_held_back(&self, job: &JobName, slot_at: DateTime<Utc>) -> bool {
        let passed = self.shared.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.contains(job) {
            return false;
        }
        drop(passed);
        self.lock_undecided()
            .get(job)
            .is_some_and(|slots| slots.range(..slot_at).next().is_some())
    }

    fn lock_undecided(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobName, BTreeSet<DateTime<Utc>>>> {
        self.shared
            .undecided
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this slot is being taken at this moment.
    pub fn is_claiming(&self, job: &JobName, slot_at: DateTime<Utc>) -> bool {
        self.shared.claiming.has(job, slot_at)
    }

    /// Whether it is that of one run in the foreground.
    pub fn is_foreground(&self) -> bool {
        self.shared.is_foreground
    }

    /// Whether this engine answers for a run.
    pub fn is_own(&self, run: RunId) -> bool {
        self.lock_own().contains_key(&run)
    }

    /// The jobs of which a run is under way here, waits, or is being recorded.
    pub fn busy_jobs(&self) -> HashSet<JobName> {
        let mut jobs = self.shared.claiming.jobs();
        jobs.extend(self.lock_own().values().cloned());
        jobs
    }

    fn lock_own(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, JobName>> {
        self.shared.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the lock of a job for as long as it takes to settle a run that is over. A slot that is due meanwhile
    /// waits for that instead of taking it for a run.
    pub(crate) fn begin_settling(&self, job: &JobName) -> SettlingMark {
        SettlingMark::set(&self.shared, job)
    }

    fn lock_settling(&self) -> std::sync::MutexGuard<'_, HashSet<JobName>> {
        self.shared
            .settling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many runs are under way.
    pub fn running(&self) -> usize {
        self.shared.tracker.len()
    }

    /// A slot is due: takes it and runs the job, in the background.
    pub fn fire(&self, job: Arc<Job>, slot_at: DateTime<Utc>, trigger: Trigger) {
        if self.shared.stopping.is_cancelled() {
            return;
        }
        let engine = self.clone();
        // However long it takes until its turn comes, where a thousand are due at once.
        let due = Due {
            slot_at,
            trigger,
            asked_at: self.shared.environment.clock.now(),
        };
        let claiming = Claiming::begin(&self.shared.claiming, &job.name, slot_at);
        self.shared.tracker.spawn(async move {
            // A start looks for what was missed after the last slot that has a row.
            claiming.turn().await;
            if engine.is_held_back(&job.name, slot_at) {
                engine.give_back_undecided(&job.name, BTreeSet::from([slot_at]));
                return;
            }
            let mut claiming = Some(claiming);
            let taken = engine.take_slot(Arc::clone(&job), due, &mut claiming);
            if let Err(error) = taken.await {
                engine.give_back_undecided(&job.name, BTreeSet::from([slot_at]));
                tracing::error!(job = %job.name, slot = %slot_at, %error, "a slot could not be taken; it will be decided as missed");
            }
        });
    }

    /// A run that was recorded as queued before the daemon ended: runs it now, in the background.
    pub fn resume(&self, job: Arc<Job>, run: Run) {
        if self.shared.stopping.is_cancelled() {
            return;
        }
        let engine = self.clone();
        let own = OwnMark::set(&self.shared, &run);
        let waiting = WaitingMark::set(&self.shared, &job.name);
        self.shared.tracker.spawn(async move {
            engine.wait_and_execute(job, run, waiting).await;
            drop(own);
        });
    }

    /// Does an interrupted run again, in the background: a run of its own, which stands for no slot. Its slot was
    /// decided when the first one took it. Nothing runs where another process was faster: one run is done again once.
    pub async fn retry(&self, job: &Arc<Job>, interrupted: &Run) -> Result<(), CatalogError> {
        let run = Run {
            retry_of: Some(interrupted.id),
            reason: Some(format!("does run {} again", interrupted.id)),
            ..self.new_run(job, None, Trigger::Retry, RunState::Queued)
        };
        let catalog = &self.shared.environment.catalog;
        catalog.insert_run(&run).await?;
        if catalog.run(run.id).await?.is_none() {
            tracing::info!(job = %job.name, run = %interrupted.id, "an interrupted run is done again elsewhere already");
            return Ok(());
        }
        self.resume(Arc::clone(job), run);
        Ok(())
    }

    /// A row for a slot that passes without a run.
    pub fn skipped(&self, of: (&JobName, JobKind), slot_at: DateTime<Utc>, reason: &str) -> Run {
        let mut run = self.run_of(of, Some(slot_at), Trigger::CatchUp, RunState::Skipped);
        run.reason = Some(reason.to_owned());
        run.finished_at = Some(run.requested_at);
        run
    }

    /// Nothing new starts from now on.
    pub fn stop_taking(&self) {
        self.shared.stopping.cancel();
        self.shared.tracker.close();
    }

    /// Ends what runs, each with its record.
    pub fn end_runs(&self) {
        self.shared.stopping.cancel();
        self.shared.ending.cancel();
    }

    /// Returns when nothing runs any more. Call [`Engine::stop_taking`] first.
    pub async fn idle(&self) {
        self.shared.tracker.wait().await;
    }

    fn new_run(&self, job: &Job, slot_at: Option<DateTime<Utc>>, trigger: Trigger, state: RunState) -> Run {
        self.run_of((&job.name, job.kind()), slot_at, trigger, state)
    }

    fn run_of(
        &self,
        (job, kind): (&JobName, JobKind),
        slot_at: Option<DateTime<Utc>>,
        trigger: Trigger,
        state: RunState,
    ) -> Run {
        Run {
            id: RunId::generate(),
            node: self.shared.environment.node.clone(),
            job: job.clone(),
            kind,
            trigger,
            slot_at,
            state,
            reason: None,
            bk_id: None,
            requested_at: self.shared.environment.clock.now(),
            started_at: None,
            finished_at: None,
            log_path: None,
            planned_at: None,
            covers: None,
            retry_of: None,
        }
    }

    fn lock_waiting(&self) -> std::sync::MutexGuard<'_, HashSet<JobName>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
