//! `mykeeper catalog migrate|status`

use crate::failure::Status;
use crate::output::{describe_backlog, print, print_json, say};
use crate::surroundings::{connect_catalog, load_settings};
use mykeeper_catalog::{Backlog, MigrationStatus, is_shared, journal_backlog};
use serde::Serialize;
use std::path::Path;

pub(crate) async fn migrate(config: &Path, json: bool) -> anyhow::Result<Status> {
    let catalog = connect_catalog(&load_settings(config)?.settings).await?;
    let status = catalog.migrate().await?;
    catalog.close().await;
    show(&status, json)?;
    Ok(Status::Done)
}

pub(crate) async fn status(config: &Path, json: bool) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    let journal = journal_backlog(&settings.state_dir).await?;
    let reached = async {
        let catalog = connect_catalog(&settings).await?;
        let status = catalog.status().await?;
        catalog.close().await;
        anyhow::Ok(status)
    };
    let status = match reached.await {
        Ok(status) => status,
        Err(error) => {
            // What waits is most of interest when the catalog cannot be had.
            if is_shared(&settings.catalog.url) {
                say(&describe_backlog(&journal));
            }
            return Err(error);
        }
    };
    if json {
        print_json(&StatusView {
            catalog: &status,
            journal: &journal,
        })?;
    } else {
        show(&status, json)?;
        if is_shared(&settings.catalog.url) {
            print(&describe_backlog(&journal))?;
        }
    }
    Ok(
        if status.applied < status.latest || journal.waiting + journal.refused > 0 {
            Status::Warnings
        } else {
            Status::Done
        },
    )
}

#[derive(Serialize)]
struct StatusView<'a> {
    #[serde(flatten)]
    catalog: &'a MigrationStatus,
    /// What waits on this machine.
    journal: &'a Backlog,
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
