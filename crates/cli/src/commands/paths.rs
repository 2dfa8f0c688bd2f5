//! `mykeeper paths list|add|remove`

use crate::args::PathsAction;
use crate::failure::{Failure, Status};
use crate::output::{print, print_json, say, table};
use crate::surroundings::{open_catalog, open_catalog_to_look, settings_despite_schedule};
use mykeeper_catalog::{BackupFilter, BackupPath, Catalog, CatalogError};
use mykeeper_config::{Settings, nearest};
use std::path::Path;

pub(crate) async fn run(config: &Path, action: PathsAction, json: bool) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let catalog = match &action {
        PathsAction::List => open_catalog_to_look(&settings).await?,
        _ => open_catalog(&settings).await?,
    };
    let mut status = Status::Done;
    let result = match action {
        PathsAction::List => {
            let paths = catalog.paths().await?;
            if json {
                print_json(&paths)
            } else {
                print(&as_table(&paths))
            }
        }
        PathsAction::Add {
            bk_server,
            remote_server,
            real_path,
            tag,
        } => {
            if !real_path.starts_with('/') {
                return Err(Failure::usage(format!(
                    "--real-path {real_path:?} must be an absolute path"
                )));
            }
            let path = BackupPath {
                id: 0,
                bk_server,
                remote_server,
                real_path,
                tag,
                is_offline: false,
            };
            let doubt = unknown_tag(&settings, catalog.as_ref(), &path.tag).await?;
            let id = catalog.add_path(&path).await?;
            if let Some(doubt) = doubt {
                say(&format!("warning: path {id}: {doubt}"));
                status = Status::Warnings;
            }
            if !Path::new(&path.real_path).is_dir() {
                say(&format!(
                    "path {id}: {} is no folder of this machine; that is right where it is one of another machine that has this \
                     catalog",
                    path.real_path
                ));
            }
            if json {
                print_json(&BackupPath { id, ..path })
            } else {
                print(&format!("path {id} is recorded"))
            }
        }
        PathsAction::Remove { id } => {
            if !catalog.remove_path(id).await? {
                return Err(Failure::usage(format!(
                    "there is no path {id}; \"mykeeper paths list\" shows them"
                )));
            }
            if json {
                print_json(&serde_json::json!({ "removed": id }))
            } else {
                print(&format!("path {id} is removed; no file was touched"))
            }
        }
    };
    catalog.close().await;
    result.map(|()| status)
}

/// That sets of this tag are nowhere, where there are others; where there is none yet, none can be missed.
async fn unknown_tag(
    settings: &Settings,
    catalog: &dyn Catalog,
    tag: &str,
) -> Result<Option<String>, CatalogError> {
    let known: Vec<&str> = settings
        .servers
        .values()
        .map(|server| server.tag.as_str())
        .collect();
    if known.contains(&tag) {
        return Ok(None);
    }
    let one_of = async |tag: Option<&str>| {
        let filter = BackupFilter {
            tag: tag.map(str::to_owned),
            limit: 1,
            ..BackupFilter::default()
        };
        catalog.backups(&filter).await.map(|sets| !sets.is_empty())
    };
    if one_of(Some(tag)).await? || !one_of(None).await? {
        return Ok(None);
    }
    let hint = nearest(tag, known.iter().copied()).map_or_else(
        || "\"mykeeper backups\" shows the tags of sets".to_owned(),
        |near| format!("did you mean {near:?}?"),
    );
    Ok(Some(format!(
        "no set has the tag {tag:?}, nor has a server here, so it names a folder of none; {hint}"
    )))
}

fn as_table(paths: &[BackupPath]) -> String {
    let rows = paths
        .iter()
        .map(|path| {
            vec![
                path.id.to_string(),
                path.bk_server.clone(),
                path.remote_server.clone(),
                path.real_path.clone(),
                path.tag.clone(),
                if path.is_offline {
                    "yes".into()
                } else {
                    "no".into()
                },
            ]
        })
        .collect();
    table(
        &["ID", "BK_SERVER", "REMOTE_SERVER", "REAL_PATH", "TAG", "OFFLINE"],
        rows,
    )
}
