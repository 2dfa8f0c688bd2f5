//! `mykeeper backups`

mod comeback;

use crate::args::{BackupState, BackupsArgs};
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, parse_since, print, print_json, say, table};
use crate::surroundings::{Look, local_zone, open_catalog_or_copy, settings_despite_schedule};
use anyhow::Context;
use chrono_tz::Tz;
use comeback::{Comeback, comebacks, with_comeback};
use mykeeper_catalog::{BackupFilter, Catalog, MOST_COUNTED, SetState};
use mykeeper_config::Settings;
use mykeeper_daemon::disk::Disk;
use mykeeper_daemon::promises::{describe, standings};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::unproven::{self, Inquiry};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::damage::Damage;
use mykeeper_domain::humane;
use mykeeper_domain::promise::{PromiseState, Standing};
use mykeeper_domain::unproven::Unproven;
use mykeeper_domain::{BackupId, Clock, ServerName, SystemClock, counted};
use std::collections::HashMap;
use std::path::Path;

pub(crate) async fn list(config: &Path, args: &BackupsArgs, json: bool) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
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
    let zone = local_zone();
    let wants_deleted = args.all || args.state == Some(BackupState::Deleted);
    let filter = BackupFilter {
        server: args.server.clone().filter(|_| named.is_none()),
        tag: args.tag.clone().or(named),
        since: args
            .since
            .as_deref()
            .map(|since| parse_since(since, SystemClock.now(), zone))
            .transpose()?,
        state: args.state.map(SetState::from),
        present_only: !wants_deleted,
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
    let catalog = look.catalog.as_ref();
    let backups = catalog.backups(&filter).await?;
    let hidden = match wants_deleted {
        true => 0,
        false => catalog.count_deleted(&filter).await?,
    };
    let ids: Vec<BackupId> = backups.iter().map(|backup| backup.id).collect();
    let beyond = match &look.away {
        None => Some(Beyond {
            comebacks: comebacks(catalog, &backups).await?,
            damages: catalog.damages(Some(&ids)).await?,
            // They are asked of the disks of sets, which may be slow to answer.
            reasons: match json || filter.state == Some(SetState::Unproven) {
                true => reasons(catalog, &settings, &backups).await?,
                false => HashMap::new(),
            },
        }),
        Some(_) => None,
    };
    let standings = broken_promises(&look, &settings).await?;
    look.catalog.close().await;
    let status = look.status(
        &settings.node,
        "that of other nodes, proofs and what is older than two weeks",
    );
    if json {
        let views = backups.iter().map(|backup| as_view(backup, beyond.as_ref()));
        print_json(&views.collect::<anyhow::Result<Vec<_>>>()?)?;
    } else {
        let tells_why = filter.state == Some(SetState::Unproven);
        print(&as_table(&backups, (beyond.as_ref(), tells_why), zone))?;
    }
    if hidden > 0 {
        let more = match hidden {
            MOST_COUNTED.. => " or more",
            _ => "",
        };
        say(&format!(
            "{}{more} not shown; --all shows them",
            counted(hidden, "deleted set is", "deleted sets are")
        ));
    }
    for standing in standings {
        say(&describe(&standing, zone));
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
        daemon_lives: StateDir::open(&settings.state_dir).is_ok_and(|state| state.daemon_lives()),
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

/// What a question asks that a node by itself cannot answer.
fn beyond_this_node(settings: &Settings, filter: &BackupFilter) -> Option<&'static str> {
    if matches!(
        filter.state,
        Some(SetState::Validated | SetState::Failed | SetState::Damaged | SetState::Unproven)
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
            BackupState::Damaged => Self::Damaged,
            BackupState::Unproven => Self::Unproven,
            BackupState::Deleted => Self::Deleted,
        }
    }
}

/// What the catalog alone knows of sets beyond their rows.
struct Beyond {
    comebacks: HashMap<BackupId, Comeback>,
    damages: HashMap<BackupId, Damage>,
    reasons: HashMap<BackupId, Unproven>,
}

fn as_view(backup: &Backup, beyond: Option<&Beyond>) -> anyhow::Result<serde_json::Value> {
    let value = as_json(backup, beyond.is_some())?;
    let value = with_comeback(value, beyond.and_then(|beyond| beyond.comebacks.get(&backup.id)))?;
    let value = with_damage(value, beyond.and_then(|beyond| beyond.damages.get(&backup.id)))?;
    with_reason(value, beyond.and_then(|beyond| beyond.reasons.get(&backup.id)))
}

/// Adds `damaged`, whether every copy that was looked at differs, and `damage`, which copies do; `null` where none does.
pub(super) fn with_damage(
    mut value: serde_json::Value,
    damage: Option<&Damage>,
) -> anyhow::Result<serde_json::Value> {
    let members = value.as_object_mut().context("a set is no JSON object")?;
    let is_damaged = damage.is_some_and(Damage::is_of_every_copy);
    members.insert("damaged".to_owned(), is_damaged.into());
    members.insert("damage".to_owned(), serde_json::to_value(damage)?);
    Ok(value)
}

/// The column VALIDATED: a set counts for nothing whose every copy differs.
pub(super) fn validity(backup: &Backup, damage: Option<&Damage>) -> String {
    match damage {
        Some(damage) if damage.is_of_every_copy() => coloured("damaged", false),
        Some(damage) => {
            let (one, many) = match damage.copies.iter().all(|copy| copy.is_gone) {
                true => ("copy missing", "copies missing"),
                false => ("copy differs", "copies differ"),
            };
            format!(
                "{} ({})",
                backup.validate_status,
                counted(damage.copies.len(), one, many)
            )
        }
        None => coloured(
            backup.validate_status.as_str(),
            backup.validate_status != ValidateStatus::Failed,
        ),
    }
}

/// Beside the set itself its identity says nothing new; in a command it stays.
pub(super) fn of_its_own(text: &str, id: BackupId) -> String {
    text.replace(&format!("set {id}"), "the set")
}

/// The column TRANSFER: how the last attempt at the first destination ended, of how many, and at how many of several
/// destinations the set has arrived, where that is not at all of them. The catalog has a letter for each attempt.
pub(super) fn arrival(backup: &Backup) -> String {
    let marks: Vec<&str> = backup.transfer_complete.split(',').collect();
    let (last, attempts) = match marks.as_slice() {
        [.., last] if marks.len() > 1 && marks.iter().all(|mark| matches!(*mark, "Y" | "N")) => {
            (*last, Some(format!("{} attempts", marks.len())))
        }
        _ => (backup.transfer_complete.as_str(), None),
    };
    let all = backup.transfer_to.len();
    let arrived = backup
        .transfer_to
        .iter()
        .filter(|name| backup.arrived.contains(name))
        .count();
    let copies = (all > 1 && arrived < all && !last.is_empty()).then(|| format!("{arrived} of {all}"));
    let notes: Vec<String> = attempts.into_iter().chain(copies).collect();
    match notes.is_empty() {
        true => last.to_owned(),
        false => format!("{last} ({})", notes.join(", ")),
    }
}

fn as_table(backups: &[Backup], (beyond, tells_why): (Option<&Beyond>, bool), zone: Tz) -> String {
    let rows = backups
        .iter()
        .map(|backup| {
            let took = (backup.finished_at - backup.started_at)
                .to_std()
                .unwrap_or_default();
            let comeback = beyond.and_then(|beyond| beyond.comebacks.get(&backup.id));
            let mut row = vec![
                backup.id.to_string(),
                backup.tag.clone(),
                backup.job.as_ref().map(ToString::to_string).unwrap_or_default(),
                local(backup.started_at, zone),
                humane(took),
                backup.size_text.clone(),
                match backup.is_complete() {
                    true => coloured("Y", true),
                    false => coloured("N", false),
                },
                arrival(backup),
                beyond.map_or_else(
                    || "?".to_owned(),
                    |beyond| validity(backup, beyond.damages.get(&backup.id)),
                ),
                comeback.map(Comeback::text).unwrap_or_default(),
                match backup.deletion {
                    Deletion::None => "N".to_owned(),
                    Deletion::Deleting => "deleting".to_owned(),
                    Deletion::Deleted => "Y".to_owned(),
                },
            ];
            if tells_why {
                let reason = beyond.and_then(|beyond| beyond.reasons.get(&backup.id));
                row.push(
                    reason
                        .map(|reason| of_its_own(&reason.shown(zone).to_string(), backup.id))
                        .unwrap_or_default(),
                );
            }
            row
        })
        .collect();
    let started = format!("STARTED ({zone})");
    let mut header = vec![
        "BK_ID",
        "TAG",
        "JOB",
        &started,
        "TOOK",
        "SIZE",
        "COMPLETE",
        "TRANSFER",
        "VALIDATED",
        "RESTORE",
        "DELETED",
    ];
    if tells_why {
        header.push("NOT PROVEN BECAUSE");
    }
    table(&header, rows)
}
