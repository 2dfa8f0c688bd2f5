//! Slots that passed while nobody was there to take them: each gets its row.

use crate::engine::Engine;
use crate::notices::slots_topic;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mykeeper_catalog::{CatalogError, JobDefinition};
use mykeeper_domain::job::{self, Job, JobKind, Task};
use mykeeper_domain::notice::NoticeKind;
use mykeeper_domain::run::{CoveredSlots, Run, Trigger};
use mykeeper_domain::schedule::Schedule;
use mykeeper_domain::{JobName, counted};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Slots of one job that are recorded one by one when many were missed at once: ten weeks of one a minute, eleven
/// years of one an hour. The row of the oldest of them tells how many came before it, and since when.
const MISSED_ROWS: usize = 100_000;
/// How many rows are written in one transaction.
const BATCH: usize = 500;
/// After how many slots others get their turn.
const BREATH: u64 = 2_000;

/// What was missed of one job, under one schedule.
pub(crate) struct Missed<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) of: (&'a JobName, JobKind),
    pub(crate) schedule: &'a Schedule,
    /// Told now and then that it goes on.
    pub(crate) turned: &'a watch::Sender<Instant>,
}

/// The newest of the slots that were found, at most so many, and what came before them.
struct Newest {
    most: usize,
    slots: VecDeque<DateTime<Utc>>,
    earlier: Option<CoveredSlots>,
}

impl Newest {
    fn new(most: usize) -> Self {
        Self {
            most,
            slots: VecDeque::new(),
            earlier: None,
        }
    }

    /// Takes slots in order.
    fn push(&mut self, slot: DateTime<Utc>) {
        self.slots.push_back(slot);
        if self.slots.len() > self.most
            && let Some(oldest) = self.slots.pop_front()
        {
            let earlier = self.earlier.get_or_insert(CoveredSlots {
                after: oldest - TimeDelta::milliseconds(1),
                slots: 0,
            });
            earlier.slots += 1;
        }
    }
}

impl Missed<'_> {
    /// Decides each slot in `(from, now]`, and of `undecided` those before: the newest is run or skipped as the job
    /// says, the others are recorded.
    pub(crate) async fn decide(
        &self,
        job: &Arc<Job>,
        (from, now): (DateTime<Utc>, DateTime<Utc>),
        undecided: &BTreeSet<DateTime<Utc>>,
    ) -> Result<(), CatalogError> {
        let mut missed = self.find((from, now), undecided).await;
        let Some(newest) = missed.slots.pop_back() else {
            return Ok(());
        };
        let earlier = missed.earlier.map_or(0, |earlier| earlier.slots);
        tracing::warn!(
            job = %job.name, slots = missed.slots.len() as u64 + 1 + earlier, since = %from, policy = ?job.missed,
            "slots passed while nobody was there"
        );
        let reason = match job.missed {
            job::Missed::RunOnce => format!("merged into the run for the slot of {}", newest.to_rfc3339()),
            job::Missed::Skip => "missed while nobody was there to take it, and missed = \"skip\"".to_owned(),
        };
        let is_run = job.missed == job::Missed::RunOnce;
        let count = missed.slots.len() as u64 + 1 + earlier;
        let recorded = missed.slots.into_iter().chain((!is_run).then_some(newest));
        self.record(recorded, &reason, missed.earlier).await?;
        self.tell(count, (from, newest), is_run);
        if is_run {
            self.engine.fire(Arc::clone(job), newest, Trigger::CatchUp);
        }
        Ok(())
    }

    /// Tells people.
    fn tell(&self, count: u64, (from, newest): (DateTime<Utc>, DateTime<Utc>), is_run: bool) {
        let at = |instant: DateTime<Utc>| instant.to_rfc3339_opts(SecondsFormat::Secs, true);
        let message = format!(
            "{} passed while nobody was there to take them, after {} and up to {}: {}",
            counted(count, "slot", "slots"),
            at(from),
            at(newest),
            if is_run {
                "the job runs once for all of them"
            } else {
                "they are skipped, as the job says"
            }
        );
        let environment = self.engine.environment();
        environment.tell(NoticeKind::Missed, slots_topic(self.of.0), message);
    }

    /// Records each of those slots as skipped for `reason`.
    pub(crate) async fn skip_all(
        &self,
        span: (DateTime<Utc>, DateTime<Utc>),
        undecided: &BTreeSet<DateTime<Utc>>,
        reason: &str,
    ) -> Result<(), CatalogError> {
        let open = self.find(span, undecided).await;
        self.record(open.slots.into_iter(), reason, open.earlier).await
    }

    async fn find(
        &self,
        (from, now): (DateTime<Utc>, DateTime<Utc>),
        undecided: &BTreeSet<DateTime<Utc>>,
    ) -> Newest {
        // One more than is recorded: the newest may be run.
        let mut found = Newest::new(MISSED_ROWS + 1);
        // What could not be taken before is older than what came after it and was.
        let earlier = undecided.iter().copied().filter(|slot| *slot <= from);
        let mut looked_at = 0_u64;
        for slot in earlier.chain(self.schedule.slots_between(from, now)) {
            if !self.engine.is_claiming(self.of.0, slot) {
                found.push(slot);
            }
            looked_at += 1;
            if looked_at.is_multiple_of(BREATH) {
                self.turned.send_replace(Instant::now());
                tokio::task::yield_now().await;
            }
        }
        found
    }

    /// Writes the rows, oldest first: what is cut off is found again from where it ended.
    async fn record(
        &self,
        slots: impl Iterator<Item = DateTime<Utc>>,
        reason: &str,
        mut earlier: Option<CoveredSlots>,
    ) -> Result<(), CatalogError> {
        let catalog = &self.engine.environment().catalog;
        let mut batch: Vec<Run> = Vec::with_capacity(BATCH);
        let mut slots = slots.peekable();
        while let Some(slot) = slots.next() {
            let mut run = self.engine.skipped(self.of, slot, reason);
            if let Some(covers) = earlier.take() {
                run.reason = Some(format!(
                    "{reason}; so were {} earlier slots since {}",
                    covers.slots,
                    covers.after.to_rfc3339()
                ));
                run.covers = Some(covers);
            }
            batch.push(run);
            if batch.len() == BATCH || slots.peek().is_none() {
                catalog.skip_slots(&batch).await?;
                batch.clear();
                self.turned.send_replace(Instant::now());
            }
        }
        Ok(())
    }
}

/// What the catalog keeps of a job: its schedule as `cron expression zone`.
pub(crate) fn definition(job: &Job) -> JobDefinition {
    let schedule = format!("{} {}", job.schedule.expression(), job.schedule.zone().name());
    JobDefinition {
        job: job.name.clone(),
        kind: job.kind(),
        schedule: schedule.chars().take(1000).collect(),
        choice: match &job.task {
            Task::Validation(task) => Some(task.choice()),
            _ => None,
        },
    }
}

/// The way back; `None` for what was cut, or written by another version.
pub fn parse_definition(text: &str) -> Option<Schedule> {
    let (expression, zone) = text.rsplit_once(' ')?;
    Schedule::parse(expression, zone.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_from_its_beginning() {
        let noon: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let slots: Vec<DateTime<Utc>> = (0..10).map(|hour| noon + TimeDelta::hours(hour)).collect();
        let mut few = Newest::new(10);
        slots.iter().for_each(|slot| few.push(*slot));
        assert_eq!((few.slots.len(), few.earlier), (10, None));
        let mut many = Newest::new(4);
        slots.iter().for_each(|slot| many.push(*slot));
        assert!(many.slots.iter().eq(&slots[6..]));
        let earlier = many.earlier.unwrap();
        assert_eq!(earlier.slots, 6);
        assert!(earlier.after < slots[0], "the first is among them");
    }
}
