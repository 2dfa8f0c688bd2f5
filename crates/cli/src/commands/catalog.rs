//! `mykeeper catalog migrate|status`

use crate::failure::Status;
use crate::output::{print, print_json};
use crate::surroundings::{connect_catalog, load_settings};
use mykeeper_catalog::MigrationStatus;
use std::path::Path;

pub(crate) async fn migrate(config: &Path, json: bool) -> anyhow::Result<Status> {
    let catalog = connect_catalog(&load_settings(config)?.settings).await?;
    let status = catalog.migrate().await?;
    catalog.close().await;
    show(&status, json)?;
    Ok(Status::Done)
}

pub(crate) async fn status(config: &Path, json: bool) -> anyhow::Result<Status> {
    let catalog = connect_catalog(&load_settings(config)?.settings).await?;
    let status = catalog.status().await?;
    catalog.close().await;
    show(&status, json)?;
    Ok(if status.applied < status.latest {
        Status::Warnings
    } else {
        Status::Done
    })
}

fn show(status: &MigrationStatus, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(status);
    }
    let state = if status.applied < status.latest {
        format!(
            "version {} of {}: run \"mykeeper catalog migrate\"",
            status.applied, status.latest
        )
    } else {
        format!("version {}, up to date", status.applied)
    };
    let sets = status.backups.map_or_else(
        || "no user_backup table".to_owned(),
        |sets| format!("{sets} sets"),
    );
    print(&format!("{} ({}): {state}, {sets}", status.url, status.engine))
}
