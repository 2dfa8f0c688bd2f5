//! `mykeeper daemon`

use super::crontab::{self, Cron};
use crate::failure::Status;
use crate::surroundings::{assemble, gather, load_settings, open_catalog_or_journal, runtime_directory};
use mykeeper_daemon::control::SOCKET;
use mykeeper_daemon::lifecycle::{Refusal, serve, while_starting};
use mykeeper_daemon::owed;
use std::path::Path;

pub(crate) async fn run(config: &Path) -> anyhow::Result<Status> {
    let loaded = load_settings(config)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    for warning in owed::warnings(&loaded.settings) {
        tracing::warn!("{warning}");
    }
    match crontab::look(&loaded.settings) {
        Some(Cron::Has(told)) => tracing::warn!("{told}"),
        Some(Cron::Unseen(told)) => tracing::info!("{told}"),
        None => {}
    }
    let control = runtime_directory().unwrap_or_else(|| loaded.settings.state_dir.clone());
    // It may have to be brought up first.
    let starting = while_starting();
    let catalog = open_catalog_or_journal(&loaded.settings).await?;
    drop(starting);
    let environment = assemble(loaded.settings, catalog)?;
    let surroundings = gather();
    let config = config.to_path_buf();
    let reload = Box::new(move || {
        let loaded =
            mykeeper_config::load(&config, &surroundings).map_err(|errors| Refusal::from(&errors))?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        for warning in owed::warnings(&loaded.settings) {
            tracing::warn!("{warning}");
        }
        Ok(loaded.settings)
    });
    serve(environment, reload, &control.join(SOCKET)).await?;
    Ok(Status::Done)
}
