//! The seed's `user_backup_path`: where the sets of a server lie on a backup host.

use crate::BackupPath;
use crate::db::{Store, reading, writing};
use crate::error::CatalogError;
use sqlx::FromRow;

/// Whatever a site lets be NULL is optional here.
#[derive(FromRow)]
struct PathRow {
    id: i64,
    bk_server: Option<String>,
    remote_server: Option<String>,
    real_path: Option<String>,
    tag: Option<String>,
    is_offline: Option<String>,
}

impl From<PathRow> for BackupPath {
    fn from(row: PathRow) -> Self {
        Self {
            id: row.id,
            bk_server: row.bk_server.unwrap_or_default(),
            remote_server: row.remote_server.unwrap_or_default(),
            real_path: row.real_path.unwrap_or_default(),
            tag: row.tag.unwrap_or_default(),
            // Some sites made it a number.
            is_offline: matches!(row.is_offline.as_deref().map(str::trim), Some("Y" | "y" | "1")),
        }
    }
}

macro_rules! select {
    () => {
        "SELECT CAST(p.id AS SIGNED) AS id, p.bk_server, p.remote_server, p.real_path, p.tag, \
         CAST(p.is_offline AS CHAR) AS is_offline FROM user_backup_path p ORDER BY p.id"
    };
}

pub(crate) async fn list(store: &Store) -> Result<Vec<BackupPath>, CatalogError> {
    let rows: Vec<PathRow> = reading!(store, "list the backup paths", |conn| sqlx::query_as(select!())
        .fetch_all(&mut *conn)
        .await?)?;
    Ok(rows.into_iter().map(BackupPath::from).collect())
}

pub(crate) async fn add(store: &Store, path: &BackupPath) -> Result<i64, CatalogError> {
    const ACTION: &str = "add a backup path";
    let equal = |rows: Vec<PathRow>| {
        rows.into_iter().map(BackupPath::from).find(|row| {
            BackupPath {
                id: path.id,
                ..row.clone()
            } == *path
        })
    };
    writing!(store, ACTION, |tx| {
        let before: Vec<PathRow> = sqlx::query_as(select!()).fetch_all(&mut *tx).await?;
        if let Some(row) = equal(before) {
            row.id
        } else {
            sqlx::query(
                "INSERT INTO user_backup_path (bk_server, remote_server, real_path, tag, is_offline) \
                 VALUES (?, ?, ?, ?, ?)",
            )
            .bind(path.bk_server.as_str())
            .bind(path.remote_server.as_str())
            .bind(path.real_path.as_str())
            .bind(path.tag.as_str())
            .bind(if path.is_offline { "Y" } else { "N" })
            .execute(&mut *tx)
            .await?;
            let after: Vec<PathRow> = sqlx::query_as(select!()).fetch_all(&mut *tx).await?;
            equal(after)
                .map(|row| row.id)
                .ok_or_else(|| CatalogError::Statement {
                    action: ACTION,
                    cause: "the row that was written reads otherwise".to_owned(),
                })?
        }
    })
}

pub(crate) async fn remove(store: &Store, id: i64) -> Result<bool, CatalogError> {
    writing!(store, "remove a backup path", |tx| {
        sqlx::query("DELETE FROM user_backup_path WHERE id = ?")
            .bind(id)
            .execute(&mut *tx)
            .await?
            .rows_affected()
            > 0
    })
}
