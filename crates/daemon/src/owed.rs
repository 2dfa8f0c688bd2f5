//! Sets that a destination still waits for, and who sends them. A backup job sends what it has just made, once: whatever does
//! not arrive then is a transfer job's, where there is one.

use chrono::{DateTime, Utc};
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::job::Task;
use mykeeper_domain::{BackupId, DestinationName, JobName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// More are not counted: so many say the same.
const MOST_COUNTED: u32 = 1_000;

/// What one destination waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The destination.
    pub destination: DestinationName,
    /// How many sets of this node; of more than a thousand a thousand.
    pub count: usize,
    /// When the oldest of them was started.
    pub oldest_at: DateTime<Utc>,
    /// The transfer job that sends them; `None` where nothing does.
    pub sender: Option<JobName>,
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = match self.count >= MOST_COUNTED as usize {
            true => " or more",
            false => "",
        };
        let sets = if self.count == 1 { "set waits" } else { "sets wait" };
        write!(f, "{}{more} {sets} for {}", self.count, self.destination)?;
        match &self.sender {
            Some(job) => write!(f, ": job {job} sends them"),
            None => write!(f, ", and {}", no_sender(&self.destination)),
        }
    }
}

/// That nothing sends there later, and what to do.
pub fn no_sender(destination: &DestinationName) -> String {
    format!(
        "no transfer job sends to {destination}: add a [transfer.NAME] with destination = \"{destination}\""
    )
}

/// The transfer job that sends what waits for `destination`.
pub fn sender<'a>(settings: &'a Settings, destination: &DestinationName) -> Option<&'a JobName> {
    let mut jobs = settings.jobs.values();
    let job =
        jobs.find(|job| matches!(&job.task, Task::Transfer(task) if task.destination == *destination))?;
    Some(&job.name)
}

/// The destinations that backup jobs send to and no transfer job does, with those backup jobs.
pub fn without_sender(settings: &Settings) -> BTreeMap<&DestinationName, Vec<&JobName>> {
    let served: BTreeSet<&DestinationName> = settings
        .jobs
        .values()
        .filter_map(|job| match &job.task {
            Task::Transfer(task) => Some(&task.destination),
            _ => None,
        })
        .collect();
    let mut found: BTreeMap<&DestinationName, Vec<&JobName>> = BTreeMap::new();
    for job in settings.jobs.values() {
        let Task::Backup(task) = &job.task else { continue };
        for destination in task.transfer_to.iter().filter(|to| !served.contains(to)) {
            found.entry(destination).or_default().push(&job.name);
        }
    }
    found
}

/// Who sends a set to where it did not arrive, if anyone does, in the words of its run.
pub(crate) fn left_to(settings: &Settings, unsent: &[&DestinationName]) -> String {
    let nobody = unsent.iter().filter(|to| sender(settings, to).is_none());
    let nobody: Vec<String> = nobody.map(|to| no_sender(to)).collect();
    match nobody.is_empty() {
        true => "and is left to a transfer job".to_owned(),
        false => format!("and nothing sends it later ({})", nobody.join("; ")),
    }
}

/// One sentence for each of [`without_sender`], for the log.
pub fn warnings(settings: &Settings) -> Vec<String> {
    let without = without_sender(settings);
    let sentence = |(to, jobs): (&DestinationName, Vec<&JobName>)| {
        let jobs: Vec<&str> = jobs.into_iter().map(JobName::as_str).collect();
        format!("{}; {}", no_second_try(&jobs), no_sender(to))
    };
    without.into_iter().map(sentence).collect()
}

/// What becomes of the sets of these jobs that do not arrive at once.
fn no_second_try(jobs: &[&str]) -> String {
    format!(
        "what {} makes and does not arrive right after its dump is never sent, and its original stays",
        jobs.join(", ")
    )
}

/// What the destinations of this node's files wait for. A set that is under way to one does not wait, nor one whose run goes on.
///
/// # Errors
/// The catalog does not answer.
pub async fn owed(catalog: &dyn Catalog, settings: &Settings) -> Result<Vec<Owed>, CatalogError> {
    owed_of(catalog, settings, |_| true).await
}

/// The same of one job's sets, at the destinations that it sends to.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn owed_by(
    catalog: &dyn Catalog,
    settings: &Settings,
    job: &JobName,
) -> Result<Vec<Owed>, CatalogError> {
    let mut found = owed_of(catalog, settings, |maker| maker == Some(job)).await?;
    if let Some(Task::Backup(task)) = settings.jobs.get(job).map(|job| &job.task) {
        found.retain(|owed| task.transfer_to.contains(&owed.destination));
    }
    Ok(found)
}

async fn owed_of(
    catalog: &dyn Catalog,
    settings: &Settings,
    is_asked_for: impl Fn(Option<&JobName>) -> bool,
) -> Result<Vec<Owed>, CatalogError> {
    if settings.destinations.is_empty() {
        return Ok(Vec::new());
    }
    let under_way = catalog.unfinished_transfers(&settings.node).await?;
    let under_way: BTreeSet<(BackupId, DestinationName)> = under_way
        .into_iter()
        .map(|transfer| (transfer.bk_id, transfer.destination))
        .collect();
    let unfinished = catalog.unfinished_runs(&settings.node).await?;
    let unfinished: BTreeSet<_> = unfinished.into_iter().map(|run| run.id).collect();
    let mut found = Vec::new();
    for name in settings.destinations.keys() {
        let waiting = catalog
            .pending_transfers(&settings.node, name, (None, MOST_COUNTED))
            .await?;
        let waits = waiting.sets.iter().filter(|set| {
            let is_made = set.run_id.is_none_or(|run| !unfinished.contains(&run));
            is_made && is_asked_for(set.job.as_ref()) && !under_way.contains(&(set.id, name.clone()))
        });
        let started: Vec<DateTime<Utc>> = waits.map(|set| set.started_at).collect();
        if let Some(oldest_at) = started.iter().min() {
            found.push(Owed {
                destination: name.clone(),
                count: started.len(),
                oldest_at: *oldest_at,
                sender: sender(settings, name).cloned(),
            });
        }
    }
    Ok(found)
}
