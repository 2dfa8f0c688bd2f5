//! `mykeeper verify`: reads the copies of a set that lie on this machine.

use super::run::{Shown, foreground};
use super::validate::by_hand;
use super::wanted_set::{WantedSet, find_in};
use crate::failure::{Failure, Status};
use crate::output::{print, say};
use crate::surroundings::{environment, settings_said};
use mykeeper_catalog::{BackupFilter, SetState};
use mykeeper_daemon::Environment;
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::JobError;
use mykeeper_daemon::jobs::verify::{BY_HAND, Told, look_here, note_none_here, verify};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::{Task, ValidationTask};
use mykeeper_domain::selection::Select;
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// How many of the newest sets are looked at for one that lies here.
const LOOKED_AT: u32 = 100;

pub(crate) async fn run(config: &Path, bk_id: Option<&str>, json: bool) -> anyhow::Result<Status> {
    let wanted = bk_id.map(WantedSet::parse).transpose()?;
    let environment = environment(settings_said(config)?).await?;
    let catalog = &environment.catalog;
    let wanted = find_in(&environment, wanted).await?;
    let candidates = match wanted {
        Some(id) => Vec::from_iter(catalog.backup(id).await?),
        None => {
            let filter = BackupFilter {
                present_only: true,
                state: Some(SetState::Complete),
                limit: LOOKED_AT,
                ..BackupFilter::default()
            };
            catalog.backups(&filter).await?
        }
    };
    let Some(backup) = first_here(&environment, &candidates, wanted.is_none()).await? else {
        return Err(match wanted {
            Some(id) => nothing_here(&environment, id, candidates.first()).await?,
            None => Failure::unavailable("no complete set lies on this machine"),
        });
    };
    // The frame is that of a proof; what is done in it is its first step alone.
    let task = ValidationTask {
        select: Select::Newest,
        within: None,
        tags: Vec::new(),
        asserts: Vec::new(),
        max_restore_time: None,
        verify_every: None,
    };
    let job = by_hand(BY_HAND, Task::Validation(task))?;
    let id = backup.id;
    let told = Told::default();
    let of_run = Arc::clone(&told);
    let work: Work = Box::new(move |context| Box::pin(async move { verify(context, id, &of_run).await }));
    let ended = foreground(
        environment,
        Arc::new(job),
        Some(work),
        Shown { verbose: false, json },
    )
    .await;
    let next = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if next.commands.is_empty() {
        return ended;
    }
    let mending = next.shown("  ");
    match ended {
        Ok(status) if json => Ok(status),
        Ok(status) => {
            print(&format!("  {mending}"))?;
            Ok(status)
        }
        Err(error) => Err(match error.downcast::<Failure>() {
            Ok(failure) => Failure {
                message: format!("{}\n  {mending}", failure.message),
                ..failure
            }
            .into(),
            Err(error) => error,
        }),
    }
}

/// The first of which a copy is here, or should be. `tells_away` says of those that are passed by why.
async fn first_here(
    environment: &Environment,
    candidates: &[Backup],
    tells_away: bool,
) -> anyhow::Result<Option<Backup>> {
    for backup in candidates {
        if backup.deletion != Deletion::None {
            continue;
        }
        let here = look_here(environment, backup)
            .await
            .map_err(|error| Failure::unavailable(error.reason))?;
        if here.is_found() {
            return Ok(Some(backup.clone()));
        }
        for away in here.away().iter().filter(|_| tells_away) {
            say(&format!("set {} is passed by: {away}", backup.id));
        }
    }
    Ok(None)
}

/// Why a set that was asked for cannot be read, with the folders that were looked at.
async fn nothing_here(
    environment: &Environment,
    id: BackupId,
    backup: Option<&Backup>,
) -> anyhow::Result<anyhow::Error> {
    let Some(backup) = backup else {
        return Ok(Failure::unavailable(format!(
            "the catalog knows no set {id}; \"mykeeper backups --all\" lists those that it knows"
        )));
    };
    if backup.deletion != Deletion::None {
        return Ok(Failure::unavailable(format!(
            "set {id} is marked as {}, and is not read; \"mykeeper show {id}\" tells why",
            backup.deletion
        )));
    }
    let unavailable = |error: JobError| Failure::unavailable(error.reason);
    let here = look_here(environment, backup).await.map_err(unavailable)?;
    note_none_here(environment, backup).await.map_err(unavailable)?;
    let away = here.away();
    let places: Vec<String> = here
        .places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    let looked = match (away.is_empty(), places.is_empty()) {
        (false, _) => away.join("; "),
        (true, false) => format!("no copy of it lies in {}", places.join(", ")),
        (true, true) => "no folder of this machine is known to be its own, or a copy's".to_owned(),
    };
    Ok(Failure::unavailable(format!(
        "set {id} is in the catalog, and not on this machine: {looked}; \"mykeeper show {id}\" tells what is known of it, \
         \"mykeeper paths add\" where its copies lie"
    )))
}
