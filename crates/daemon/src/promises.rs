//! `proven_within`: how each server's promise stands, noticed whether anything runs or not.

use crate::environment::Environment;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mykeeper_catalog::{BackupFilter, Catalog, CatalogError, SetState};
use mykeeper_config::Settings;
use mykeeper_domain::JobName;
use mykeeper_domain::backup::Deletion;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::humane;
use mykeeper_domain::job::Task;
use mykeeper_domain::notice::NoticeKind;
use mykeeper_domain::promise::{JobProofs, LostProven, NewestProven, Promise, PromiseState, Standing};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at: another node may have proven a set.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(200);
/// Of a server's proven sets, so many are looked at for one that counts.
const NEWEST: u32 = 20;

/// How every promise of this node stands at `now`, by server; with none, nothing is asked.
///
/// # Errors
/// The catalog does not answer: then it is not known.
pub async fn standings(
    catalog: &dyn Catalog,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Vec<Standing>, CatalogError> {
    let promises: Vec<Promise> = promised(settings).collect();
    if promises.is_empty() {
        return Ok(Vec::new());
    }
    let noted: BTreeMap<String, DateTime<Utc>> = catalog
        .promises(&settings.node)
        .await?
        .into_iter()
        .map(|record| (record.tag, record.noted_at))
        .collect();
    let known = catalog.known_jobs(&settings.node).await?;
    let mut standings = Vec::new();
    for promise in promises {
        let mut proofs = Vec::new();
        for job in jobs_of(settings, &promise) {
            let known = known.iter().find(|record| Some(&record.job) == job);
            let newest = newest_proven(catalog, &promise.tag, job).await?;
            let lost = match newest {
                None => last_lost(catalog, &promise.tag, job).await?,
                Some(_) => None,
            };
            proofs.push(JobProofs {
                job: job.cloned(),
                newest,
                lost,
                known_since: known.map(|record| record.since),
            });
        }
        standings.push(promise.judge(&proofs, noted.get(&promise.tag).copied(), now));
    }
    Ok(standings)
}

/// One sentence about it, for people.
pub fn describe(standing: &Standing, zone: Tz) -> String {
    standing.sentence(&humane(Duration::from_secs(standing.within_seconds)), zone)
}

/// The promises of this node's servers.
pub fn promised(settings: &Settings) -> impl Iterator<Item = Promise> {
    settings.servers.values().filter_map(|server| server.promise())
}

/// The backup jobs of a server that the schedule has, each of which has its own databases; without one, `None` for all sets
/// of the server.
fn jobs_of<'a>(settings: &'a Settings, promise: &Promise) -> Vec<Option<&'a JobName>> {
    let jobs: Vec<_> = settings
        .jobs
        .values()
        .filter(|job| matches!(&job.task, Task::Backup(task) if task.server == promise.server))
        .map(|job| Some(&job.name))
        .collect();
    match jobs.is_empty() {
        true => vec![None],
        false => jobs,
    }
}

/// The newest proven set of a job, or of a server, that is there: one that is removed can give nothing back.
async fn newest_proven(
    catalog: &dyn Catalog,
    tag: &str,
    job: Option<&JobName>,
) -> Result<Option<NewestProven>, CatalogError> {
    let filter = BackupFilter {
        tag: Some(tag.to_owned()),
        job: job.cloned(),
        state: Some(SetState::Proven),
        present_only: true,
        limit: NEWEST,
        ..BackupFilter::default()
    };
    let proven = catalog.backups(&filter).await?;
    let newest = proven.iter().find(|backup| backup.deletion == Deletion::None);
    Ok(newest.map(|backup| NewestProven {
        bk_id: backup.id,
        started_at: backup.started_at,
    }))
}

/// The last set that was proven, where none counts any more.
async fn last_lost(
    catalog: &dyn Catalog,
    tag: &str,
    job: Option<&JobName>,
) -> Result<Option<LostProven>, CatalogError> {
    let filter = BackupFilter {
        tag: Some(tag.to_owned()),
        job: job.cloned(),
        state: Some(SetState::ProvenOnce),
        limit: 1,
        ..BackupFilter::default()
    };
    let sets = catalog.backups(&filter).await?;
    let Some(last) = sets.first() else {
        return Ok(None);
    };
    let damages = catalog.damages(Some(&[last.id])).await?;
    let damaged_at = damages.get(&last.id).and_then(Damage::since);
    let removals = catalog.removals(last.id).await?;
    let removed_at = removals.iter().map(|removal| removal.removed_at).max();
    Ok(Some(LostProven {
        bk_id: last.id,
        started_at: last.started_at,
        lost_at: damaged_at.or(removed_at),
    }))
}

/// Watches the promises of this node for as long as the daemon lives. One that is broken is logged and recorded when
/// that is noticed, and again when it is kept; never twice, whatever restarts in between. While the catalog is away
/// nothing is said: it cannot be told.
pub(crate) async fn watch(environment: Arc<Environment>) {
    let mut is_known = true;
    loop {
        let pause = match look(&environment).await {
            Ok(pause) => {
                is_known = true;
                pause
            }
            Err(error) => {
                if std::mem::take(&mut is_known) {
                    tracing::warn!(%error, "how the promises of servers stand cannot be told until the catalog answers");
                }
                LOOKED_AT_EVERY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Gives the time until the next look: one that breaks before is noticed then.
async fn look(environment: &Environment) -> Result<Duration, CatalogError> {
    let (catalog, node) = (environment.catalog.as_ref(), &environment.node);
    let settings = environment.settings();
    let now = environment.clock.now();
    let records = catalog.promises(node).await?;
    for promise in promised(&settings) {
        if !records.iter().any(|record| record.tag == promise.tag) {
            catalog.know_promise(node, &promise, now).await?;
        }
    }
    for record in &records {
        if !promised(&settings).any(|promise| promise.tag == record.tag) {
            catalog.forget_promise(node, &record.tag).await?;
        }
    }
    let mut pause = LOOKED_AT_EVERY;
    for standing in standings(catalog, &settings, now).await? {
        if let Ok(left) = (standing.breaks_at - now).to_std() {
            pause = pause.min(left.max(SHORTEST));
        }
        let before = records.iter().find(|record| record.tag == standing.tag);
        let topic = format!("server {}", standing.server);
        if before.map_or(PromiseState::Kept, |record| record.state) == standing.state {
            let message = describe(&standing, Tz::UTC);
            match standing.state {
                // Nobody could be told, if it was broken before anybody was to be.
                PromiseState::Broken => environment.tell_once(NoticeKind::Promise, &topic, &message),
                // Whoever noted that it is kept again has died before it was told.
                PromiseState::Kept => environment.tell_over(&topic, message),
            }
            continue;
        }
        let message = describe(&standing, Tz::UTC);
        let event = standing.event(node, &message, now);
        if !catalog.turn_promise(node, standing.state, &event).await? {
            continue;
        }
        match standing.state {
            PromiseState::Broken => {
                tracing::error!(server = %standing.server, "{message}");
                environment.tell(NoticeKind::Promise, topic, message);
            }
            PromiseState::Kept => {
                tracing::info!(server = %standing.server, "{message}");
                environment.tell_over(&topic, message);
            }
        }
    }
    Ok(pause)
}
