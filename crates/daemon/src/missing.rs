//! Slots that have passed and have no row: there should be none, and this says which there are and why.

use crate::missed::parse_definition;
use crate::state_dir::StateDir;
use crate::status::DaemonStatus;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mykeeper_catalog::{Catalog, CatalogError, DecidedSlot, JobRecord};
use mykeeper_config::Settings;
use mykeeper_domain::{JobName, NodeName, counted};
use serde::Serialize;
use std::collections::BTreeSet;

/// How far back a start looks for slots that were left out.
const LOOKED_BACK: TimeDelta = TimeDelta::days(3);
/// How many decided slots are read at a time.
const PAGE: u32 = 5_000;
/// A daemon that lives takes its slots within so long; until then none is missing.
const TAKEN_WITHIN: TimeDelta = TimeDelta::seconds(5);
/// Until then it may still be at it, on a machine or with a catalog that is slow.
const TAKEN_SLOWLY: TimeDelta = TimeDelta::seconds(60);

/// A slot that has passed and has no row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingSlot {
    /// Its job.
    pub job: JobName,
    /// When it was.
    pub slot_at: DateTime<Utc>,
    /// Why it has none, as far as can be told.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The oldest of each job, as many as were asked for.
    pub missing: Vec<MissingSlot>,
    /// How many there are in all.
    pub total: u64,
}

/// Which slots to look at.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Only of this job.
    pub job: Option<JobName>,
    /// Only after this instant; `None`: since each job is known.
    pub since: Option<DateTime<Utc>>,
    /// Until then.
    pub now: DateTime<Utc>,
    /// How many are told one by one.
    pub limit: usize,
}

/// Goes through every slot of the jobs that this node is known to have, under the schedule that is in force, and
/// looks for its row.
///
/// # Errors
/// The catalog cannot be asked.
pub async fn find_missing(
    catalog: &dyn Catalog,
    (settings, state): (&Settings, &StateDir),
    wanted: &Wanted,
) -> Result<Missing, CatalogError> {
    let reasons = Reasons {
        daemon: DaemonStatus::read(state),
        stopped_at: state.daemon_stopped_at(),
        settings,
        now: wanted.now,
    };
    let until = match &reasons.daemon {
        Some(_) => wanted.now - TAKEN_WITHIN,
        None => wanted.now,
    };
    let mut found = Missing::default();
    for record in catalog.known_jobs(&settings.node).await? {
        if wanted.job.as_ref().is_some_and(|job| *job != record.job) {
            continue;
        }
        let from = wanted.since.map_or(record.since, |since| since.max(record.since));
        let noted = parse_definition(&record.schedule);
        let Some(schedule) = noted.or_else(|| settings.jobs.get(&record.job).map(|job| job.schedule.clone()))
        else {
            continue;
        };
        let mut decided = Decided::new(catalog, (&settings.node, &record.job), until);
        for slot in schedule.slots_between(from, until) {
            if decided.has(slot).await? {
                continue;
            }
            found.total += 1;
            if found.missing.len() < wanted.limit {
                found.missing.push(MissingSlot {
                    job: record.job.clone(),
                    slot_at: slot,
                    why: reasons.why(&record, slot),
                });
            }
        }
    }
    Ok(found)
}

/// The slots of a job up to the newest decided one that have no row, of these last days. There are some where a daemon
/// was killed between failing to take one and deciding it as missed. None after `now`, whatever a clock that was ahead
/// has noted.
pub(crate) async fn find_holes(
    catalog: &dyn Catalog,
    record: &JobRecord,
    now: DateTime<Utc>,
) -> Result<BTreeSet<DateTime<Utc>>, CatalogError> {
    let (Some(newest), Some(schedule)) = (record.last_slot_at, parse_definition(&record.schedule)) else {
        return Ok(BTreeSet::new());
    };
    let newest = newest.min(now);
    let from = record.since.max(newest - LOOKED_BACK);
    let mut decided = Decided::new(catalog, (&record.node, &record.job), newest);
    let mut holes = BTreeSet::new();
    for slot in schedule.slots_between(from, newest) {
        if !decided.has(slot).await? {
            holes.insert(slot);
        }
    }
    Ok(holes)
}

/// The decided slots of one job, read a page at a time while its slots are gone through in order.
struct Decided<'a> {
    catalog: &'a dyn Catalog,
    of: (&'a NodeName, &'a JobName),
    until: DateTime<Utc>,
    page: std::collections::VecDeque<DecidedSlot>,
    is_last: bool,
}

impl<'a> Decided<'a> {
    fn new(catalog: &'a dyn Catalog, of: (&'a NodeName, &'a JobName), until: DateTime<Utc>) -> Self {
        Self {
            catalog,
            of,
            until,
            page: std::collections::VecDeque::new(),
            is_last: false,
        }
    }

    async fn has(&mut self, slot: DateTime<Utc>) -> Result<bool, CatalogError> {
        while self.page.front().is_some_and(|decided| decided.slot_at < slot) {
            self.page.pop_front();
        }
        if self.page.is_empty() && !self.is_last {
            let after = slot - TimeDelta::milliseconds(1);
            let page = self
                .catalog
                .decided_slots(self.of, (after, self.until), PAGE)
                .await?;
            self.is_last = (page.len() as u64) < u64::from(PAGE);
            self.page = page.into();
        }
        if self.page.front().is_some_and(|decided| decided.slot_at == slot) {
            return Ok(true);
        }
        Ok(self
            .page
            .iter()
            .any(|decided| decided.covers_after.is_some_and(|after| after < slot)))
    }
}

/// What there is to tell why a slot has no row.
struct Reasons<'a> {
    daemon: Option<DaemonStatus>,
    stopped_at: Option<DateTime<Utc>>,
    settings: &'a Settings,
    now: DateTime<Utc>,
}

impl Reasons<'_> {
    fn why(&self, record: &JobRecord, slot: DateTime<Utc>) -> String {
        let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let Some(daemon) = &self.daemon else {
            let since = self
                .stopped_at
                .map_or_else(String::new, |at| format!(" since {}", text(at)));
            let next = match self.settings.jobs.get(&record.job) {
                Some(_) => "its next start decides it",
                None => "the job is no longer in the schedule file, which its next start notes",
            };
            return format!("no daemon runs on this state_dir{since}; {next}");
        };
        if let (waiting @ 1.., Some(since)) = (daemon.journal.waiting, daemon.journal.since) {
            return format!(
                "its row may be among what waits for the catalog since {} ({})",
                text(since),
                counted(waiting, "record", "records")
            );
        }
        if self.now - slot < TAKEN_SLOWLY {
            return "the daemon is taking it now".to_owned();
        }
        format!(
            "not known: the daemon (pid {}) runs since {}; look into its log",
            daemon.pid,
            text(daemon.started_at)
        )
    }
}
