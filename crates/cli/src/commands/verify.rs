//! `mykeeper verify`: reads the copies of a set that lie on this machine.

use super::run::{Shown, foreground};
use super::validate::by_hand;
use super::wanted_set::{WantedSet, find_in};
use crate::failure::{Failure, Status};
use crate::surroundings::{environment, settings_said};
use mykeeper_catalog::{BackupFilter, SetState};
use mykeeper_daemon::Environment;
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::verify::{BY_HAND, copies_here, note_none_here, verify};
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::{Task, ValidationTask};
use mykeeper_domain::selection::Select;
use std::path::Path;
use std::sync::Arc;

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
    let Some(backup) = first_here(&environment, &candidates).await? else {
        if let Some(backup) = candidates.first().filter(|_| wanted.is_some()) {
            note_none_here(&environment, backup)
                .await
                .map_err(|error| Failure::unavailable(error.reason))?;
        }
        return Err(Failure::unavailable(match wanted {
            Some(id) => format!(
                "set {id} is not in the catalog, or not on this machine; \"mykeeper show {id}\" tells what is known of it, \
                 \"mykeeper paths add\" where its copies lie"
            ),
            None => "no complete set lies on this machine".to_owned(),
        }));
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
    let work: Work = Box::new(move |context| Box::pin(async move { verify(context, id).await }));
    foreground(
        environment,
        Arc::new(job),
        Some(work),
        Shown { verbose: false, json },
    )
    .await
}

async fn first_here(environment: &Environment, candidates: &[Backup]) -> anyhow::Result<Option<Backup>> {
    for backup in candidates {
        if backup.deletion != Deletion::None {
            continue;
        }
        let copies = copies_here(environment, backup).await;
        if !copies
            .map_err(|error| Failure::unavailable(error.reason))?
            .is_empty()
        {
            return Ok(Some(backup.clone()));
        }
    }
    Ok(None)
}
