//! How long sets took to come back, by the proofs of those before them.

use anyhow::Context;
use mykeeper_catalog::{Catalog, RestoreTime};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::humane;
use mykeeper_domain::{BackupId, JobName};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// How long the newest proven set of a job took to come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comeback {
    load: Duration,
    bytes: u64,
    /// By how many per cent that is longer than the proven sets before it took; `None` where there was none before.
    trend_percent: Option<i64>,
}

/// Of each job that has a set among `backups`: its newest proven set. Sets of other jobs of the same server hold other
/// databases; those that no job of ours made are held against others of the same databases.
pub(super) async fn comebacks(
    catalog: &dyn Catalog,
    backups: &[Backup],
) -> anyhow::Result<HashMap<BackupId, Comeback>> {
    /// Proofs of one job that are looked at.
    const LOOKED_AT: u32 = 50;
    let series: BTreeSet<(&str, Option<&JobName>)> = backups
        .iter()
        .map(|backup| (backup.tag.as_str(), backup.job.as_ref()))
        .collect();
    let mut found = HashMap::new();
    for (tag, job) in series {
        let times = catalog.restore_times(tag, job, LOOKED_AT).await?;
        let ids: Vec<BackupId> = times.iter().map(|time| time.bk_id).collect();
        let damages = catalog.damages(Some(&ids)).await?;
        let is_damaged = |id: BackupId| damages.get(&id).is_some_and(Damage::is_of_every_copy);
        if job.is_some() {
            found.extend(newest_comeback(times, is_damaged));
            continue;
        }
        let mut by_databases: BTreeMap<String, Vec<RestoreTime>> = BTreeMap::new();
        for time in times {
            by_databases.entry(time.databases.clone()).or_default().push(time);
        }
        let by_databases = by_databases.into_values();
        found.extend(by_databases.filter_map(|times| newest_comeback(times, is_damaged)));
    }
    Ok(found)
}

/// The newest set among the proofs of one job, beside the mean of the sets before it. One that is damaged comes back no
/// more; how long it took counts for those after it.
fn newest_comeback(
    mut times: Vec<RestoreTime>,
    is_damaged: impl Fn(BackupId) -> bool,
) -> Option<(BackupId, Comeback)> {
    /// Sets that the newest is held against.
    const BEFORE: usize = 5;
    // Of a set that was proven twice the later proof counts.
    times.sort_by_key(|time| std::cmp::Reverse((time.set_started_at, time.bk_id, time.proven_at)));
    times.dedup_by_key(|time| time.bk_id);
    let at = times.iter().position(|time| !is_damaged(time.bk_id))?;
    let (newest, before) = times.get(at..)?.split_first()?;
    let before: Vec<f64> = before
        .iter()
        .take(BEFORE)
        .map(|time| time.load.as_secs_f64())
        .collect();
    let mean = before.iter().sum::<f64>() / before.len() as f64;
    let trend = (newest.load.as_secs_f64() / mean - 1.0) * 100.0;
    let comeback = Comeback {
        load: newest.load,
        bytes: newest.bytes_loaded,
        trend_percent: trend.is_finite().then(|| trend.round() as i64),
    };
    Some((newest.bk_id, comeback))
}

impl Comeback {
    pub(super) fn text(&self) -> String {
        let trend = self.trend_percent.map(|percent| format!(" ({percent:+} %)"));
        // Milliseconds of minutes tell nothing.
        let load = match self.load.as_secs() {
            0 => self.load,
            seconds => Duration::from_secs(seconds),
        };
        format!("{}{}", humane(load), trend.unwrap_or_default())
    }
}

/// Adds `restore` to the newest proven set of each job; `null` in the others.
pub(super) fn with_comeback(
    mut value: serde_json::Value,
    comeback: Option<&Comeback>,
) -> anyhow::Result<serde_json::Value> {
    let members = value.as_object_mut().context("a set is no JSON object")?;
    let restore = comeback.map(|comeback| {
        serde_json::json!({
            "seconds": comeback.load.as_secs_f64(), "bytes": comeback.bytes, "trend_percent": comeback.trend_percent,
        })
    });
    members.insert("restore".to_owned(), restore.into());
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta};

    #[test]
    fn the_newest_set_is_held_against_those_before_it() {
        let time = |day: i64, minutes: u64| RestoreTime {
            bk_id: BackupId::generate(),
            load: Duration::from_secs(minutes * 60),
            bytes_loaded: 1,
            databases: "shop".into(),
            set_started_at: DateTime::UNIX_EPOCH + TimeDelta::days(day),
            proven_at: DateTime::UNIX_EPOCH + TimeDelta::days(100 - day),
        };
        let text =
            |times: Vec<RestoreTime>| newest_comeback(times, |_| false).map(|(_, comeback)| comeback.text());
        assert_eq!(text(vec![]), None);
        assert_eq!(text(vec![time(1, 41)]).as_deref(), Some("41m"));
        let older = [time(7, 36), time(9, 40)];
        let newest = time(10, 41);
        let again = RestoreTime {
            load: Duration::from_secs(900),
            proven_at: newest.proven_at - TimeDelta::hours(1),
            ..newest.clone()
        };
        let all = vec![older[0].clone(), newest.clone(), again, older[1].clone()];
        let of = |is_damaged: &dyn Fn(BackupId) -> bool| newest_comeback(all.clone(), is_damaged);
        assert_eq!(of(&|_| false).map(|(id, _)| id), Some(newest.bk_id));
        let whole = of(&|id| id == newest.bk_id).map(|(id, _)| id);
        assert_eq!(whole, Some(older[1].bk_id), "what is damaged comes back no more");
        assert_eq!(text(all).as_deref(), Some("41m (+8 %)"));
        assert_eq!(text(vec![time(1, 10), time(2, 9)]).as_deref(), Some("9m (-10 %)"));
    }
}
