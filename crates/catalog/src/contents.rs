//! `mk_file` and `mk_evidence`: what is in a set.

use crate::db::{Store, read};
use crate::error::CatalogError;
use crate::row::Place;
use mykeeper_domain::BackupId;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::FileEntry;
use sqlx::FromRow;

#[derive(FromRow)]
struct FileRow {
    path: String,
    size_bytes: i64,
    blake3: String,
    plain_bytes: i64,
    data_rows: Option<i64>,
}

pub(crate) async fn files(store: &Store, id: BackupId) -> Result<Vec<FileEntry>, CatalogError> {
    let key = id.to_string();
    let rows: Vec<FileRow> = read!(store, "list the files of a set", |conn| {
        sqlx::query_as(
            "SELECT path, size_bytes, blake3, plain_bytes, data_rows FROM mk_file WHERE bk_id = ? ORDER BY number",
        )
        .bind(key.as_str())
        .fetch_all(&mut *conn)
        .await?
    })?;
    let place = Place { table: "mk_file", id: &key };
    let mut files = rows
        .into_iter()
        .map(|row| {
            Ok(FileEntry {
                size_bytes: place.count("size_bytes", row.size_bytes)?,
                plain_bytes: place.count("plain_bytes", row.plain_bytes)?,
                rows: row.data_rows.map(|rows| place.count("data_rows", rows)).transpose()?,
                path: row.path,
                blake3: row.blake3,
            })
        })
        .collect::<Result<Vec<_>, CatalogError>>()?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

pub(crate) async fn evidence(store: &Store, id: BackupId) -> Result<Option<Evidence>, CatalogError> {
    let key = id.to_string();
    let parts: Vec<String> = read!(store, "read the evidence of a set", |conn| {
        sqlx::query_scalar("SELECT json FROM mk_evidence WHERE bk_id = ? ORDER BY part")
            .bind(key.as_str())
            .fetch_all(&mut *conn)
            .await?
    })?;
    if parts.is_empty() {
        return Ok(None);
    }
    Place { table: "mk_evidence", id: &key }.json("json", &parts.concat()).map(Some)
}
