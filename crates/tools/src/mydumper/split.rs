//! A set of one mydumper over several databases, laid out as if each had had its own: a folder for each, with a copy of
//! `metadata`, which is what pybackup's users have and what myloader takes one database at a time.
//!
//! Whose a file is, is told by the evidence and not by how its name begins: `shop.eu.orders.sql` may be of `shop` or of
//! `shop.eu`.

use super::run::DumpResult;
use crate::error::ToolError;
use crate::prove::expect::created_database;
use crate::prove::layout::{DatabaseFiles, Known, SetFile, sort_files};
use crate::prove::{foreign_creates, learn_names};
use mykeeper_domain::manifest::FileEntry;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const METADATA: &str = "metadata";
/// What it is called while folders are made, where one of them has its name.
const METADATA_ASIDE: &str = ".metadata.aside";

/// Moves each file into its database's folder and enters that into `dump`. `metadata` is copied into each and stays,
/// unless a database is called so.
///
/// # Errors
/// [`ToolError::Io`]: a folder cannot be made, or a file not be moved. `dump` tells where each file is then.
pub async fn split_by_database(set_dir: &Path, dump: &mut DumpResult) -> Result<(), ToolError> {
    let mut databases: Vec<String> = dump.inventory.databases.keys().cloned().collect();
    databases.extend(dump.parts.iter().flat_map(|part| part.databases.iter().cloned()));
    databases.sort();
    databases.dedup();
    let (set_dir, files, inventory) = (set_dir.to_owned(), dump.files.clone(), dump.inventory.clone());
    let moving = tokio::task::spawn_blocking(move || {
        let listed: Vec<SetFile> = files.iter().map(|file| set_file(&set_dir, file)).collect();
        let mut known = Known {
            databases: databases.iter().cloned().collect(),
            inventory: Some(&inventory),
            folders: BTreeMap::from([(String::new(), databases)]),
            ..Known::default()
        };
        let creates = foreign_creates(&listed, &known).into_iter();
        let creates = creates.filter_map(|(prefix, file)| Some((prefix, created_database(&file)?, file)));
        let creates = creates.collect();
        learn_names(creates, &mut known);
        let layout = sort_files(&listed, &known);
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for (database, files) in &layout.databases {
            for path in paths_of(files) {
                owners.insert(path, database.clone());
            }
        }
        move_files(
            &set_dir,
            files,
            (&owners, layout.databases.keys().cloned().collect()),
        )
    });
    let (files, result) = moving.await.map_err(|error| ToolError::Failed {
        message: format!("cannot lay the set out: {error}"),
        passing: true,
    })?;
    dump.files = files;
    result
}

fn set_file(set_dir: &Path, file: &FileEntry) -> SetFile {
    SetFile {
        path: file.path.clone(),
        real: set_dir.join(&file.path),
        plain_bytes: file.plain_bytes,
        rows: file.rows,
    }
}

fn paths_of(files: &DatabaseFiles) -> Vec<String> {
    let named = files.schemas.iter().chain(&files.data).chain(&files.views);
    let others = files.create.iter().chain(&files.triggers).chain(&files.post);
    named
        .map(|(_, file)| file)
        .chain(others)
        .map(|file| file.path.clone())
        .collect()
}

/// The files as they lie then, and how far that went.
fn move_files(
    set_dir: &Path,
    mut files: Vec<FileEntry>,
    (owners, databases): (&BTreeMap<String, String>, Vec<String>),
) -> (Vec<FileEntry>, Result<(), ToolError>) {
    let result = carry_out(set_dir, &mut files, owners, &databases);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    (files, result)
}

fn carry_out(
    set_dir: &Path,
    files: &mut Vec<FileEntry>,
    owners: &BTreeMap<String, String>,
    databases: &[String],
) -> Result<(), ToolError> {
    let io = |action: &'static str, path: PathBuf| move |source| ToolError::Io { action, path, source };
    // A folder for a database of that name and the file cannot lie side by side: the copies take its place.
    let is_in_the_way = databases.iter().any(|database| database == METADATA);
    let original = match is_in_the_way && files.iter().any(|file| file.path == METADATA) {
        true => {
            let (from, aside) = (set_dir.join(METADATA), set_dir.join(METADATA_ASIDE));
            std::fs::rename(&from, &aside).map_err(io("move", from))?;
            aside
        }
        false => set_dir.join(METADATA),
    };
    for database in databases {
        let folder = set_dir.join(database);
        DirBuilder::new()
            .mode(0o750)
            .create(&folder)
            .map_err(io("create", folder.clone()))?;
    }
    for file in files.iter_mut() {
        let Some(database) = owners.get(&file.path) else {
            continue;
        };
        let (from, path) = (set_dir.join(&file.path), format!("{database}/{}", file.path));
        std::fs::rename(&from, set_dir.join(&path)).map_err(io("move", from))?;
        file.path = path;
    }
    let Some(metadata) = files.iter().find(|file| file.path == METADATA).cloned() else {
        return Ok(());
    };
    for database in databases {
        let path = format!("{database}/{METADATA}");
        let copy = set_dir.join(&path);
        std::fs::copy(&original, &copy).map_err(io("write", copy))?;
        files.push(FileEntry {
            path,
            ..metadata.clone()
        });
    }
    if is_in_the_way {
        files.retain(|file| file.path != METADATA);
        std::fs::remove_file(&original).map_err(io("remove", original))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::inventory::{Coverage, DatabaseInventory, Inventory, TableInventory};

    fn entry(path: &str) -> FileEntry {
        FileEntry {
            path: path.to_owned(),
            size_bytes: 1,
            blake3: "x".to_owned(),
            plain_bytes: 1,
            rows: None,
        }
    }

    #[tokio::test]
    async fn no_database_takes_the_files_of_another_whose_name_begins_so() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "metadata",
            "shop-schema-create.sql",
            "shop.eu-schema-create.sql",
            "shop.eu.orders-schema.sql",
            "shop.eu.orders.sql",
            "shop.orders-schema.sql",
            "shop.orders.sql",
            "shop_eu-schema-create.sql",
            "shop_eu.orders-schema.sql",
            "日志 库-1-schema-create.sql",
        ];
        let mut inventory = Inventory::default();
        for (database, tables) in [
            ("shop", vec!["orders"]),
            ("shop.eu", vec!["orders"]),
            ("shop_eu", vec!["orders"]),
            ("日志 库-1", vec![]),
        ] {
            let mut found = DatabaseInventory::default();
            for table in tables {
                found.tables.insert(table.to_owned(), TableInventory::default());
            }
            inventory.databases.insert(database.to_owned(), found);
        }
        for name in names {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let mut dump = DumpResult {
            files: names.iter().map(|name| entry(name)).collect(),
            parts: Vec::new(),
            complete: vec![true],
            inventory,
            coverage: Coverage::ALL,
            master_status: String::new(),
            slave_status: String::new(),
            server_version: String::new(),
            binary_log: None,
            command: String::new(),
            ended: None,
            warnings: Vec::new(),
        };
        split_by_database(folder.path(), &mut dump).await.unwrap();
        let paths: Vec<&str> = dump.files.iter().map(|file| file.path.as_str()).collect();
        let expected = [
            "metadata",
            "shop.eu/metadata",
            "shop.eu/shop.eu-schema-create.sql",
            "shop.eu/shop.eu.orders-schema.sql",
            "shop.eu/shop.eu.orders.sql",
            "shop/metadata",
            "shop/shop-schema-create.sql",
            "shop/shop.orders-schema.sql",
            "shop/shop.orders.sql",
            "shop_eu/metadata",
            "shop_eu/shop_eu-schema-create.sql",
            "shop_eu/shop_eu.orders-schema.sql",
            "日志 库-1/metadata",
            "日志 库-1/日志 库-1-schema-create.sql",
        ];
        assert_eq!(paths, expected);
        for path in expected {
            let name = path.rsplit('/').next().unwrap();
            assert_eq!(std::fs::read_to_string(folder.path().join(path)).unwrap(), name);
        }
    }
}
