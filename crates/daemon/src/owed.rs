//! Sets that a destination still waits for, and who sends them. A backup job sends what it has just made, once: whatever does
//! not arrive then is a transfer job's, where there is one.

use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::job::Task;
use mykeeper_domain::{BackupId, DestinationName, JobName};
use mykeeper_tools::rsync::shell_word;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// More are not counted: so many say the same.
const MOST_COUNTED: u32 = 1_000;

/// What waits for a destination that is not configured any more is a trouble for so long after the newest set was made. It
/// stays one for a set that is nowhere else.
const TOLD_FOR: TimeDelta = TimeDelta::days(30);

/// What one destination waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The destination.
    pub destination: DestinationName,
    /// How many sets of this node; of more than a thousand a thousand.
    pub count: usize,
    /// When the oldest of them was started.
    pub oldest_at: DateTime<Utc>,
    /// When the newest of them was.
    newest_at: DateTime<Utc>,
    /// The oldest of them, and its folder.
    oldest: (BackupId, PathBuf),
    /// The transfer job that sends them; `None` where nothing does.
    pub sender: Option<JobName>,
    /// Why nothing does.
    lack: Option<Lack>,
}

/// Why nothing sends what has not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lack {
    /// There is no such job.
    Job,
    /// pybackup's conf, by which this was asked, has no jobs.
    Jobs { conf: PathBuf },
    /// The destination is not configured any more. One of those that have arrived nowhere, and how many these are.
    Destination { nowhere: Option<(BackupId, usize)> },
}

impl Owed {
    /// Whether the destination is one that is configured.
    pub fn is_configured(&self) -> bool {
        !matches!(self.lack, Some(Lack::Destination { .. }))
    }

    /// Whether somebody has to do something.
    pub fn is_trouble(&self, now: DateTime<Utc>) -> bool {
        match &self.lack {
            None => false,
            Some(Lack::Job | Lack::Jobs { .. }) => true,
            Some(Lack::Destination { nowhere }) => nowhere.is_some() || now - self.newest_at < TOLD_FOR,
        }
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = match self.count >= MOST_COUNTED as usize {
            true => " or more",
            false => "",
        };
        let sets = if self.count == 1 { "set waits" } else { "sets wait" };
        write!(f, "{}{more} {sets} for {}", self.count, self.destination)?;
        if let Some(job) = &self.sender {
            return write!(f, ": job {job} sends them");
        }
        let nowhere = match &self.lack {
            None | Some(Lack::Job) => return write!(f, ", and {}", no_sender(&self.destination)),
            Some(Lack::Jobs { conf }) => {
                let (id, folder) = &self.oldest;
                let word = |path: &Path| shell_word(&path.display().to_string());
                return write!(
                    f,
                    ", and nothing sends them by itself: mykeeper pybackup only-rsync --backup-dir={} --bk-id={id} --conf={} \
                     sends the oldest",
                    word(folder),
                    word(conf)
                );
            }
            Some(Lack::Destination { nowhere }) => nowhere,
        };
        write!(
            f,
            ", which is not configured any more: nothing sends them there, and retention lets their originals go. If it has \
             another name now, give it that one again; if it was taken away on purpose, this is a warning for {} days after \
             the newest of them",
            TOLD_FOR.num_days()
        )?;
        let Some((id, count)) = nowhere else { return Ok(()) };
        let are = if *count == 1 { "is" } else { "are" };
        write!(
            f,
            ", and for as long as {count} of them {are} nowhere else: mykeeper transfer --backup-dir FOLDER --bk-id {id} \
             --to NAME sends one elsewhere"
        )
    }
}

/// That nothing sends there later, and what to do.
pub fn no_sender(destination: &DestinationName) -> String {
    format!(
        "no transfer job sends to {destination}: add a [transfer.NAME] with destination = \"{destination}\", or, where \
         nothing is to go there any more, take [destinations.{destination}] out, too: then no original waits for it"
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

/// What waits for destinations that are not configured any more, and is a trouble: one sentence each.
///
/// # Errors
/// The catalog does not answer.
pub(crate) async fn owed_to_nobody(
    catalog: &dyn Catalog,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Vec<String>, CatalogError> {
    let waiting = owed_of(catalog, settings, |_| true).await?;
    let lost = waiting
        .iter()
        .filter(|owed| !owed.is_configured() && owed.is_trouble(now));
    Ok(lost.map(Owed::to_string).collect())
}

async fn owed_of(
    catalog: &dyn Catalog,
    settings: &Settings,
    is_asked_for: impl Fn(Option<&JobName>) -> bool,
) -> Result<Vec<Owed>, CatalogError> {
    // A conf names one destination, and others may have files of their own for the same catalog.
    let named = match settings.is_by_conf() {
        true => Vec::new(),
        false => catalog.delivery_names(&settings.node).await?,
    };
    let names: BTreeSet<DestinationName> = settings.destinations.keys().cloned().chain(named).collect();
    if names.is_empty() {
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
    for name in names {
        let waiting = catalog
            .pending_transfers(&settings.node, &name, (None, MOST_COUNTED))
            .await?;
        let waits = waiting.sets.iter().filter(|set| {
            let is_made = set.run_id.is_none_or(|run| !unfinished.contains(&run));
            is_made && is_asked_for(set.job.as_ref()) && !under_way.contains(&(set.id, name.clone()))
        });
        let waits: Vec<&Backup> = waits.collect();
        let oldest = waits.iter().min_by_key(|set| set.started_at);
        let newest = waits.iter().map(|set| set.started_at).max();
        if let (Some(oldest), Some(newest_at)) = (oldest, newest) {
            let sender = sender(settings, &name).cloned();
            found.push(Owed {
                count: waits.len(),
                oldest_at: oldest.started_at,
                newest_at,
                oldest: (oldest.id, oldest.folder()),
                lack: match sender {
                    Some(_) => None,
                    None => Some(lack(settings, &name, &waits)),
                },
                sender,
                destination: name,
            });
        }
    }
    Ok(found)
}

fn lack(settings: &Settings, destination: &DestinationName, waits: &[&Backup]) -> Lack {
    if settings.is_by_conf() {
        return Lack::Jobs {
            conf: settings.keeper_file.clone(),
        };
    }
    if settings.destinations.contains_key(destination) {
        return Lack::Job;
    }
    let nowhere: Vec<&&Backup> = waits.iter().filter(|set| !set.has_arrived()).collect();
    Lack::Destination {
        nowhere: nowhere.first().map(|first| (first.id, nowhere.len())),
    }
}
