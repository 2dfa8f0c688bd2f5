//! `mykeeper backups`

use crate::args::{BackupState, BackupsArgs};
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, parse_since, print, print_json, say, table};
use crate::surroundings::{Look, load_settings, open_catalog_or_copy};
use anyhow::Context;
use chrono_tz::Tz;
use mykeeper_catalog::{BackupFilter, Catalog, RestoreTime, SetState};
use mykeeper_config::Settings;
use mykeeper_daemon::disk::Disk;
use mykeeper_daemon::promises::{describe, standings};
use mykeeper_daemon::unproven::{self, Inquiry};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::humane;
use mykeeper_domain::promise::{PromiseState, Standing};
use mykeeper_domain::unproven::Unproven;
use mykeeper_domain::{BackupId, Clock, ServerName, SystemClock};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

pub(crate) async fn list(config: &Path, args: &BackupsArgs, json: bool) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    // A server is known by its name here, and by its tag in the catalog; an address does as well.
    let named = args.server.as_ref().and_then(|wanted| {
        let name = ServerName::new(wanted.as_str()).ok()?;
        settings.servers.get(&name).map(|server| server.tag.clone())
    });
    if let (Some(tag), Some(named)) = (&args.tag, &named)
        && tag != named
    {
        return Err(Failure::usage(format!(
            "--tag {tag:?} and --server contradict each other: that server's tag is {named:?}"
        )));
    }
    let filter = BackupFilter {
        server: args.server.clone().filter(|_| named.is_none()),
        tag: args.tag.clone().or(named),
        since: args
            .since
            .as_deref()
            .map(|since| parse_since(since, SystemClock.now()))
            .transpose()?,
        state: args.state.map(SetState::from),
        limit: args.limit,
        ..Default::default()
    };
    let look = open_catalog_or_copy(&settings).await?;
    if let Some(away) = &look.away
        && let Some(what) = beyond_this_node(&settings, &filter)
    {
        look.catalog.close().await;
        return Err(Failure::unavailable(format!("{what} cannot be told: {away}")));
    }
    let backups = look.catalog.backups(&filter).await?;
    let (comebacks, reasons) = match &look.away {
        None => (
            comebacks(look.catalog.as_ref(), &backups).await?,
            // They are asked of the disks of sets, which may be slow to answer.
            match json || filter.state == Some(SetState::Unproven) {
                true => reasons(look.catalog.as_ref(), &settings, &backups).await?,
                false => HashMap::new(),
            },
        ),
        Some(_) => Default::default(),
    };
    let standings = broken_promises(&look, &settings).await?;
    look.catalog.close().await;
    let status = look.status(
        &settings.node,
        "that of other nodes, proofs and what is older than two weeks",
    );
    let is_whole = look.away.is_none();
    if json {
        print_json(
            &backups
                .iter()
                .map(|backup| {
                    let value = with_comeback(as_json(backup, is_whole)?, comebacks.get(&backup.id))?;
                    with_reason(value, reasons.get(&backup.id))
                })
                .collect::<Result<Vec<_>, _>>()?,
        )?;
    } else {
        let told = filter.state == Some(SetState::Unproven);
        print(&as_table(
            &backups,
            (is_whole.then_some(&comebacks), told.then_some(&reasons)),
            settings.catalog.timezone,
        ))?;
    }
    for standing in standings {
        say(&describe(&standing));
    }
    Ok(status)
}

/// Why each that is not proven is not.
pub(super) async fn reasons(
    catalog: &dyn Catalog,
    settings: &Settings,
    backups: &[Backup],
) -> anyhow::Result<HashMap<BackupId, Unproven>> {
    let inquiry = Inquiry {
        catalog,
        settings,
        disk: &Disk::default(),
        now: SystemClock.now(),
    };
    Ok(unproven::reasons(&inquiry, backups).await?)
}

/// Adds `unproven`: the reason, for programs and, as `text`, for people; `null` where the set is proven or deleted.
pub(super) fn with_reason(
    mut value: serde_json::Value,
    reason: Option<&Unproven>,
) -> anyhow::Result<serde_json::Value> {
    let reason = match reason {
        None => serde_json::Value::Null,
        Some(reason) => {
            let mut shown = serde_json::to_value(reason)?;
            let members = shown.as_object_mut().context("a reason is no JSON object")?;
            members.insert("text".to_owned(), reason.to_string().into());
            shown
        }
    };
    let members = value.as_object_mut().context("a set is no JSON object")?;
    members.insert("unproven".to_owned(), reason);
    Ok(value)
}

/// The promises that are broken; none while that cannot be told.
async fn broken_promises(look: &Look, settings: &Settings) -> anyhow::Result<Vec<Standing>> {
    if look.away.is_some() {
        return Ok(Vec::new());
    }
    let standings = standings(look.catalog.as_ref(), settings, SystemClock.now()).await?;
    let is_broken = |standing: &Standing| standing.state == PromiseState::Broken;
    Ok(standings.into_iter().filter(is_broken).collect())
}

/// How long the newest proven set of a server took to come back.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Comeback {
    load: Duration,
    bytes: u64,
    /// By how many per cent that is longer than the proven sets before it took; `None` where there was none before.
    trend_percent: Option<i64>,
}

/// Of each server that has a set among `backups`: its newest proven set.
async fn comebacks(catalog: &dyn Catalog, backups: &[Backup]) -> anyhow::Result<HashMap<BackupId, Comeback>> {
    /// Proofs of one server that are looked at.
    const LOOKED_AT: u32 = 50;
    let tags: BTreeSet<&str> = backups.iter().map(|backup| backup.tag.as_str()).collect();
    let mut found = HashMap::new();
    for tag in tags {
        found.extend(newest_comeback(catalog.restore_times(tag, LOOKED_AT).await?));
    }
    Ok(found)
}

/// The newest set among the proofs of one server, beside the mean of the sets before it.
fn newest_comeback(mut times: Vec<RestoreTime>) -> Option<(BackupId, Comeback)> {
    /// Sets that the newest is held against.
    const BEFORE: usize = 5;
    // Of a set that was proven twice the later proof counts.
    times.sort_by_key(|time| std::cmp::Reverse((time.set_started_at, time.bk_id, time.proven_at)));
    times.dedup_by_key(|time| time.bk_id);
    let (newest, before) = times.split_first()?;
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
    fn text(&self) -> String {
        let trend = self.trend_percent.map(|percent| format!(" ({percent:+} %)"));
        // Milliseconds of minutes tell nothing.
        let load = match self.load.as_secs() {
            0 => self.load,
            seconds => Duration::from_secs(seconds),
        };
        format!("{}{}", humane(load), trend.unwrap_or_default())
    }
}

/// Adds `restore` to the newest proven set of each server; `null` in the others.
fn with_comeback(
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

/// What a question asks that a node by itself cannot answer.
fn beyond_this_node(settings: &Settings, filter: &BackupFilter) -> Option<&'static str> {
    if matches!(
        filter.state,
        Some(SetState::Validated | SetState::Failed | SetState::Unproven)
    ) {
        return Some("which sets are proven");
    }
    let is_ours = settings.servers.values().any(|server| {
        let is_like =
            |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|wanted| wanted == have);
        is_like(&filter.tag, &server.tag) && is_like(&filter.server, &server.address)
    });
    let is_narrowed = filter.tag.is_some() || filter.server.is_some();
    (is_narrowed && !is_ours).then_some("which sets other nodes have made")
}

/// Without what this machine's copy does not know: whether the set is proven.
pub(super) fn as_json(backup: &Backup, is_whole: bool) -> anyhow::Result<serde_json::Value> {
    let mut value = serde_json::to_value(backup)?;
    if !is_whole && let Some(status) = value.get_mut("validate_status") {
        *status = serde_json::Value::Null;
    }
    Ok(value)
}

impl From<BackupState> for SetState {
    fn from(state: BackupState) -> Self {
        match state {
            BackupState::Complete => Self::Complete,
            BackupState::Incomplete => Self::Incomplete,
            BackupState::Transferred => Self::Transferred,
            BackupState::Validated => Self::Validated,
            BackupState::Failed => Self::Failed,
            BackupState::Unproven => Self::Unproven,
            BackupState::Deleted => Self::Deleted,
        }
    }
}

/// What is known beyond the sets' rows. Without how long they take to come back, whether they are proven is not known
/// either; why they are not is told where it is asked for.
type Beyond<'a> = (
    Option<&'a HashMap<BackupId, Comeback>>,
    Option<&'a HashMap<BackupId, Unproven>>,
);

fn as_table(backups: &[Backup], (comebacks, reasons): Beyond<'_>, zone: Tz) -> String {
    let rows = backups
        .iter()
        .map(|backup| {
            let mut row = vec![
                backup.id.to_string(),
                backup.tag.clone(),
                local(backup.started_at, zone),
                humane(
                    (backup.finished_at - backup.started_at)
                        .to_std()
                        .unwrap_or_default(),
                ),
                backup.size_text.clone(),
                if backup.is_complete() {
                    coloured("Y", true)
                } else {
                    coloured("N", false)
                },
                backup.transfer_complete.clone(),
                if comebacks.is_some() {
                    coloured(
                        backup.validate_status.as_str(),
                        backup.validate_status != ValidateStatus::Failed,
                    )
                } else {
                    "?".to_owned()
                },
                comebacks
                    .and_then(|comebacks| comebacks.get(&backup.id))
                    .map(Comeback::text)
                    .unwrap_or_default(),
                match backup.deletion {
                    Deletion::None => "N".to_owned(),
                    Deletion::Deleting => "deleting".to_owned(),
                    Deletion::Deleted => "Y".to_owned(),
                },
            ];
            row.extend(reasons.map(|reasons| {
                let reason = reasons.get(&backup.id);
                reason.map(ToString::to_string).unwrap_or_default()
            }));
            row
        })
        .collect();
    let started = format!("STARTED ({zone})");
    let mut header = vec![
        "BK_ID",
        "TAG",
        &started,
        "TOOK",
        "SIZE",
        "COMPLETE",
        "TRANSFER",
        "VALIDATED",
        "RESTORE",
        "DELETED",
    ];
    header.extend(reasons.map(|_| "NOT PROVEN BECAUSE"));
    table(&header, rows)
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
            set_started_at: DateTime::UNIX_EPOCH + TimeDelta::days(day),
            proven_at: DateTime::UNIX_EPOCH + TimeDelta::days(100 - day),
        };
        let text = |times: Vec<RestoreTime>| newest_comeback(times).map(|(_, comeback)| comeback.text());
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
        assert_eq!(newest_comeback(all.clone()).map(|(id, _)| id), Some(newest.bk_id));
        assert_eq!(text(all).as_deref(), Some("41m (+8 %)"));
        assert_eq!(text(vec![time(1, 10), time(2, 9)]).as_deref(), Some("9m (-10 %)"));
    }
}
