//! `mykeeper paths list|add|remove`

use crate::args::PathsAction;
use crate::failure::{Failure, Status};
use crate::output::{print, print_json, table};
use crate::surroundings::{open_catalog, open_catalog_to_look, settings_despite_schedule};
use mykeeper_catalog::BackupPath;
use std::path::Path;

pub(crate) async fn run(config: &Path, action: PathsAction, json: bool) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let catalog = match &action {
        PathsAction::List => open_catalog_to_look(&settings).await?,
        _ => open_catalog(&settings).await?,
    };
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
            let id = catalog.add_path(&path).await?;
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
    result.map(|()| Status::Done)
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
