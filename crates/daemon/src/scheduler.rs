//! When jobs are due. tokio-cron-scheduler gives the pulse; croner and chrono-tz give the truth; the slot's
//! unique row in the catalog makes each slot happen once.
//!
//! The pulse comes about once a second. Each time, everything that is due within the next two seconds is waited
//! for exactly. A pulse that stays away, or a wall clock that steps, makes the heap anew from the truth.

mod pulse;

use crate::engine::{Engine, JOB_REMOVED};
use crate::error::DaemonError;
use crate::missed::{Missed, definition, parse_definition};
use crate::missing::find_holes;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{CatalogError, JobDefinition, JobRecord};
use mykeeper_domain::JobName;
use mykeeper_domain::job::{Job, JobKind};
use mykeeper_domain::run::Trigger;
use mykeeper_domain::schedule::Schedule;
use pulse::Pulse;
use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A slot that is taken later than this was missed: the host slept, or its clock stepped.
const LATE: TimeDelta = TimeDelta::seconds(30);
/// How far ahead of a pulse slots are waited for exactly.
const HORIZON: Duration = Duration::from_secs(2);
/// Without a pulse for so long the pulse is made anew.
const PULSE_WITHIN: Duration = Duration::from_secs(3);
/// How far wall clock and monotonic clock may drift apart between two pulses before it counts as a step.
const STEP: TimeDelta = TimeDelta::seconds(2);

/// How long after a failure missed slots are looked for again.
const SWEEP_AGAIN: Duration = Duration::from_secs(30);
/// How long at least there is between two looks for slots that could not be taken; they hold back the later ones.
const DECIDED_AGAIN: Duration = Duration::from_secs(5);

/// The jobs in force.
pub type Jobs = BTreeMap<JobName, Arc<Job>>;

/// The jobs that are to be in force, numbered.
#[derive(Clone, Default)]
struct Wanted {
    number: u64,
    jobs: Jobs,
}

/// Tells the running scheduler about another set of jobs.
#[derive(Clone)]
pub struct SchedulerHandle {
    wanted: watch::Sender<Wanted>,
    adopted: watch::Receiver<u64>,
}

impl SchedulerHandle {
    /// Puts other jobs in force: the last ones given, when several are before the scheduler turns.
    ///
    /// What it gives ends when the scheduler goes by them, or has ended.
    pub fn replace_jobs(&self, jobs: Jobs) -> impl Future<Output = ()> + Send + 'static {
        let mut number = 0;
        self.wanted.send_modify(|wanted| {
            wanted.number += 1;
            wanted.jobs = jobs;
            number = wanted.number;
        });
        let mut adopted = self.adopted.clone();
        async move {
            drop(adopted.wait_for(|at| *at >= number).await);
        }
    }
}

/// The scheduler, before it runs.
pub struct Scheduler {
    engine: Engine,
    jobs: Jobs,
    changes: watch::Receiver<Wanted>,
    adopted: watch::Sender<u64>,
    heap: BinaryHeap<Reverse<(DateTime<Utc>, JobName)>>,
    /// Something is left to be decided though the catalog answers: a job has a row that cannot be read, say.
    is_behind: bool,
    /// Jobs that were removed while this process lives.
    removed: BTreeMap<JobName, (JobKind, Schedule)>,
    /// Beats of a scheduler that turns, for the watchdog.
    beat: watch::Sender<Instant>,
}

impl Scheduler {
    /// Makes it. The second value tells when it last turned.
    pub fn new(engine: Engine, jobs: Jobs) -> (Self, SchedulerHandle, watch::Receiver<Instant>) {
        let (wanted, changes) = watch::channel(Wanted::default());
        let (adopted, adopted_so_far) = watch::channel(0);
        let (beat, turned) = watch::channel(Instant::now());
        let scheduler = Self {
            engine,
            is_behind: false,
            removed: BTreeMap::new(),
            jobs,
            changes,
            adopted,
            heap: BinaryHeap::new(),
            beat,
        };
        let handle = SchedulerHandle {
            wanted,
            adopted: adopted_so_far,
        };
        (scheduler, handle, turned)
    }

    /// Looks for slots that were left out before the newest decided ones: they are to be decided with those that were
    /// missed. Where the catalog is away this machine's copy of it does not know them all, and nothing is looked for.
    pub async fn find_left_out(&self) -> Result<(), CatalogError> {
        let environment = self.engine.environment();
        let catalog = environment.catalog.as_ref();
        let backlog = catalog.backlog().await?;
        if backlog.waiting > 0 || backlog.away.is_some() {
            return Ok(());
        }
        for record in catalog.known_jobs(&environment.node).await? {
            let is_in_force = |job: &Arc<Job>| definition(job).schedule == record.schedule;
            if self.jobs.get(&record.job).is_some_and(is_in_force) {
                let holes = find_holes(catalog, &record, self.now()).await?;
                if !holes.is_empty() {
                    tracing::warn!(job = %record.job, slots = holes.len(), "slots were left out, and are decided now");
                }
                self.engine.give_back_undecided(&record.job, holes);
                self.beat.send_replace(Instant::now());
            }
        }
        Ok(())
    }

    /// Decides the slots that passed while nobody was there. Before the first tick, and after a gap. It may take a
    /// while, with many jobs and a catalog that is slow: what comes meanwhile is due, and fired between two jobs.
    ///
    /// # Errors
    /// The catalog cannot be asked. What is wrong with one job alone is logged, and looked at again later.
    pub async fn decide_missed(&mut self) -> Result<(), CatalogError> {
        let (now, began) = (self.now(), Instant::now());
        // What is due this instant is due, not missed.
        self.fire_due(now, LATE);
        self.heap.clear();
        self.is_behind = false;
        let mut outcome = match self.forget_removed(now).await {
            Err(error) if !error.is_away() => {
                tracing::error!(%error, retry_in = ?SWEEP_AGAIN, "jobs that were removed cannot be forgotten");
                self.is_behind = true;
                Ok(())
            }
            outcome => outcome,
        };
        let jobs: Vec<(Arc<Job>, JobDefinition)> = self
            .jobs
            .values()
            .map(|job| (Arc::clone(job), definition(job)))
            .collect();
        let mut known = match &outcome {
            Ok(()) => self.known_as_defined(&jobs, now).await,
            Err(_) => BTreeMap::new(),
        };
        for (job, definition) in jobs {
            let mut next = None;
            if outcome.is_ok() {
                next = known
                    .remove(&job.name)
                    .and_then(|record| self.next_of_unmissed(&job, (&record, &definition), now));
                let decided = match next {
                    Some(_) => Ok(()),
                    None => self.decide_missed_of(&job, &definition, now).await,
                };
                match decided {
                    Err(error) if error.is_away() => outcome = Err(error),
                    Err(error) => {
                        tracing::error!(job = %job.name, %error, retry_in = ?SWEEP_AGAIN, "missed slots of a job cannot be decided");
                        self.is_behind = true;
                        self.engine.hold_back_later(&job.name, false);
                    }
                    Ok(()) => self.engine.hold_back_later(&job.name, true),
                }
            }
            // Its later slots come only now: taken before, they would hide those that were missed.
            if let Some(next) = next.or_else(|| job.schedule.next_after(now)) {
                self.heap.push(Reverse((next, job.name.clone())));
            }
            // What came while this went on was not missed. The monotonic clock stands still while the host sleeps.
            let passed = TimeDelta::from_std(began.elapsed()).unwrap_or(TimeDelta::MAX);
            if self.fire_due(self.now(), LATE.checked_add(&passed).unwrap_or(TimeDelta::MAX)) {
                self.is_behind = true;
            }
            // Many jobs with much to record take a while: the watchdog sees that it goes on.
            self.beat.send_replace(Instant::now());
        }
        outcome
    }

    /// What the catalog knows of jobs that have not changed, in one question: there may be ten thousand. Where it cannot be
    /// asked so, each job is asked for by itself.
    async fn known_as_defined(
        &self,
        jobs: &[(Arc<Job>, JobDefinition)],
        now: DateTime<Utc>,
    ) -> BTreeMap<JobName, JobRecord> {
        let environment = self.engine.environment();
        let definitions: Vec<&JobDefinition> = jobs.iter().map(|(_, definition)| definition).collect();
        let known = environment
            .catalog
            .known_as_defined(&environment.node, &definitions, now)
            .await;
        known.unwrap_or_else(|error| {
            tracing::debug!(%error, "the known jobs cannot be asked for at once");
            BTreeMap::new()
        })
    }

    /// The next slot of a job of which none was missed; `None` where that is not certain: of what was read before, a slot
    /// that looks as if it were may have been taken since.
    fn next_of_unmissed(
        &self,
        job: &Job,
        (record, definition): (&JobRecord, &JobDefinition),
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if record.schedule != definition.schedule || self.engine.has_undecided_of(&job.name) {
            return None;
        }
        let from = record
            .last_slot_at
            .map_or(record.since, |last| last.max(record.since));
        job.schedule.next_after(from).filter(|next| *next > now)
    }

    async fn decide_missed_of(
        &self,
        job: &Arc<Job>,
        definition: &JobDefinition,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        let environment = self.engine.environment();
        let record = environment
            .catalog
            .know_job(&environment.node, definition, now)
            .await?;
        let from = record
            .last_slot_at
            .map_or(record.since, |last| last.max(record.since));
        if record.schedule == definition.schedule {
            let undecided = self.engine.take_undecided(&job.name);
            let decided = self
                .missed((&job.name, job.kind()), &job.schedule)
                .decide(job, (from, now), &undecided)
                .await;
            if decided.is_err() {
                self.engine.give_back_undecided(&job.name, undecided);
            }
            return decided;
        }
        // What was missed was missed under the schedule of then; the new one begins now.
        if let Some(before) = parse_definition(&record.schedule) {
            let missed = self.missed((&job.name, job.kind()), &before);
            missed.decide(job, (from, now), &BTreeSet::new()).await?;
        }
        environment
            .catalog
            .reschedule_job(&environment.node, definition, now)
            .await
    }

    /// Jobs that are known and no longer there are forgotten, once each of their slots until now has its row.
    async fn forget_removed(&mut self, now: DateTime<Utc>) -> Result<(), CatalogError> {
        let environment = Arc::clone(self.engine.environment());
        for record in environment.catalog.known_jobs(&environment.node).await? {
            if self.jobs.contains_key(&record.job) {
                continue;
            }
            let from = record.last_slot_at.max(Some(record.since)).unwrap_or(now);
            match parse_definition(&record.schedule) {
                Some(schedule) => {
                    self.skip_removed((&record.job, record.kind), &schedule, (from, now))
                        .await?;
                }
                None => {
                    tracing::warn!(job = %record.job, since = %from, "a job was removed whose schedule cannot be read: slots of it may have no row");
                }
            }
            environment
                .catalog
                .forget_job(&environment.node, &record.job, now)
                .await?;
            if let Some(schedule) = parse_definition(&record.schedule) {
                self.removed.insert(record.job, (record.kind, schedule));
            }
            self.beat.send_replace(Instant::now());
        }
        // What was being taken when its job was removed may have failed only since then.
        self.removed.retain(|job, _| !self.jobs.contains_key(job));
        for (job, (kind, schedule)) in &self.removed {
            self.skip_removed((job, *kind), schedule, (now, now)).await?;
        }
        Ok(())
    }

    /// Records what is open of a job that was removed.
    async fn skip_removed(
        &self,
        of: (&JobName, JobKind),
        schedule: &Schedule,
        span: (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<(), CatalogError> {
        let undecided = self.engine.take_undecided(of.0);
        let skipped = self
            .missed(of, schedule)
            .skip_all(span, &undecided, JOB_REMOVED)
            .await;
        if skipped.is_err() {
            self.engine.give_back_undecided(of.0, undecided);
        }
        skipped
    }

    fn missed<'a>(&'a self, of: (&'a JobName, JobKind), schedule: &'a Schedule) -> Missed<'a> {
        Missed {
            engine: &self.engine,
            of,
            schedule,
            // Many slots with much to record take a while: the watchdog sees that it goes on.
            turned: &self.beat,
        }
    }

    /// Runs until `stop`. Call [`Scheduler::decide_missed`] first.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), DaemonError> {
        let mut pulse = Pulse::start().await?;
        let mut last = (self.now(), Instant::now());
        let mut swept = None;
        // When missed slots are to be looked for again; the catalog may be away for a while.
        let mut sweep_at = self.is_behind.then(|| Instant::now() + SWEEP_AGAIN);
        loop {
            let next = self.next_exact();
            self.engine
                .note_next_slot(self.heap.peek().map(|Reverse(next)| next));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = pulse.beats.recv() => {}
                Ok(()) = self.changes.changed() => {
                    let Wanted { number, jobs } = self.changes.borrow_and_update().clone();
                    if let Some(wait) = self.adopt(jobs).await {
                        sweep_at = Some(Instant::now() + wait);
                    }
                    self.adopted.send_replace(number);
                    last = (self.now(), Instant::now());
                    continue;
                }
                () = sleep_until(next) => {}
                () = tokio::time::sleep_until(last.1 + PULSE_WITHIN) => pulse.renew().await,
            }
            let (now, instant) = (self.now(), Instant::now());
            self.beat.send_replace(instant);
            let passed = TimeDelta::from_std(instant - last.1).unwrap_or(TimeDelta::MAX);
            let step = (now - last.0) - passed;
            last = (now, instant);
            // A step of the wall clock, or a process that was stopped for longer than a slot may be late.
            if step.abs() > STEP || passed > LATE {
                tracing::warn!(
                    step_seconds = step.num_seconds(),
                    gap_seconds = passed.num_seconds(),
                    "the wall clock stepped, or this process or its host was stopped"
                );
                sweep_at = Some(instant);
            } else if sweep_at.is_none() && self.engine.has_undecided() {
                sweep_at = Some(swept.map_or(instant, |swept| instant.max(swept + DECIDED_AGAIN)));
            }
            if sweep_at.is_some_and(|at| at <= instant) {
                swept = Some(instant);
                sweep_at = self.recover_from_gap().await.map(|wait| Instant::now() + wait);
                last = (self.now(), Instant::now());
            }
            if self.fire_due(now, LATE) {
                sweep_at = self.recover_from_gap().await.map(|wait| Instant::now() + wait);
                last = (self.now(), Instant::now());
            }
        }
        if let Err(error) = pulse.scheduler.shutdown().await {
            tracing::debug!(%error, "the pulse did not stop cleanly");
        }
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        self.engine.environment().clock.now()
    }

    /// Decides what passed in a gap. Gives the wait before another try where the catalog cannot be asked.
    async fn recover_from_gap(&mut self) -> Option<Duration> {
        if let Err(error) = self.decide_missed().await {
            tracing::error!(%error, retry_in = ?SWEEP_AGAIN, "missed slots cannot be decided now");
            return Some(SWEEP_AGAIN);
        }
        self.is_behind.then_some(SWEEP_AGAIN)
    }

    /// Puts other jobs in force. Gives the wait before missed slots are looked for where the catalog cannot be asked:
    /// after the first failure it is not asked for each of a thousand jobs.
    async fn adopt(&mut self, jobs: Jobs) -> Option<Duration> {
        // What is due this instant is due, under the schedule of until now.
        self.fire_due(self.now(), LATE);
        self.jobs = jobs;
        self.heap.clear();
        self.recover_from_gap().await
    }

    /// The moment of the next slot, when it is near.
    fn next_exact(&self) -> Option<Instant> {
        let Reverse((slot, _)) = self.heap.peek()?;
        let wait = (*slot - self.now()).to_std().unwrap_or_default();
        (wait <= HORIZON).then(|| Instant::now() + wait)
    }

    /// Fires what is due. True where something is later than `late`, and so counts as missed: its job is left out of
    /// the heap until missed slots have been decided.
    fn fire_due(&mut self, now: DateTime<Utc>, late: TimeDelta) -> bool {
        let mut is_missed = false;
        let mut fired = Vec::new();
        loop {
            while let Some(due) = self.heap.peek_mut() {
                let Reverse((slot, _)) = *due;
                if slot > now {
                    break;
                }
                let Reverse((_, name)) = PeekMut::pop(due);
                let Some(job) = self.jobs.get(&name) else {
                    continue;
                };
                if now - slot > late {
                    is_missed = true;
                    continue;
                }
                self.engine.fire(Arc::clone(job), slot, Trigger::Schedule);
                fired.push((Arc::clone(job), slot));
            }
            if fired.is_empty() {
                return is_missed;
            }
            // When they come again is worked out once all have been fired: of a thousand the last must not wait for that.
            for (job, slot) in fired.drain(..) {
                if let Some(next) = job.schedule.next_after(slot) {
                    self.heap.push(Reverse((next, job.name.clone())));
                }
            }
        }
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
