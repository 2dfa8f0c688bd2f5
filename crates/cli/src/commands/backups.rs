//! `mykeeper backups`

use crate::args::{BackupState, BackupsArgs};
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, parse_since, print, print_json, table};
use crate::surroundings::{load_settings, open_catalog_or_copy};
use chrono_tz::Tz;
use mykeeper_catalog::{BackupFilter, SetState};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::{Clock, ServerName, SystemClock};
use std::path::Path;

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
                .map(|backup| as_json(backup, is_whole))
                .collect::<Result<Vec<_>, _>>()?,
        )?;
    } else {
        print(&as_table(&backups, is_whole, settings.catalog.timezone))?;
    }
    Ok(status)
}

/// What a question asks that a node by itself cannot answer.
fn beyond_this_node(settings: &Settings, filter: &BackupFilter) -> Option<&'static str> {
    if matches!(filter.state, Some(SetState::Validated | SetState::Failed)) {
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
            BackupState::Deleted => Self::Deleted,
        }
    }
}

fn as_table(backups: &[Backup], is_whole: bool, zone: Tz) -> String {
    let rows = backups
        .iter()
        .map(|backup| {
            vec![
                backup.id.to_string(),
                backup.tag.clone(),
                local(backup.started_at, zone),
                mykeeper_daemon::jobs::humane(
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
                if is_whole {
                    coloured(
                        backup.validate_status.as_str(),
                        backup.validate_status != ValidateStatus::Failed,
                    )
                } else {
                    "?".to_owned()
                },
                match backup.deletion {
                    Deletion::None => "N".to_owned(),
                    Deletion::Deleting => "deleting".to_owned(),
                    Deletion::Deleted => "Y".to_owned(),
                },
            ]
        })
        .collect();
    let started = format!("STARTED ({zone})");
    table(
        &[
            "BK_ID",
            "TAG",
            &started,
            "TOOK",
            "SIZE",
            "COMPLETE",
            "TRANSFER",
            "VALIDATED",
            "DELETED",
        ],
        rows,
    )
}
