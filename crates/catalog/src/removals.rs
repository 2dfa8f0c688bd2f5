//! `mk_removal`: what runs have removed of sets.

use crate::backups::{delete, forget_deliveries};
use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms};
use crate::transfers::{insert_transfer, set_removed};
use mykeeper_domain::BackupId;
use mykeeper_domain::removal::{Remainder, Removal, SetRemoval};
use sqlx::FromRow;

#[derive(FromRow)]
pub(crate) struct RemovalRow {
    pub(crate) bk_id: String,
    node: String,
    path: String,
    removed_ms: i64,
}

impl RemovalRow {
    pub(crate) fn into_removal(self) -> Result<Removal, CatalogError> {
        let place = Place {
            table: "mk_removal",
            id: &self.bk_id,
        };
        Ok(Removal {
            node: place.parse("node", &self.node)?,
            removed_at: place.instant("removed_ms", self.removed_ms)?,
            path: self.path,
        })
    }
}

pub(crate) async fn of_set(store: &Store, id: BackupId) -> Result<Vec<Removal>, CatalogError> {
    let rows: Vec<RemovalRow> = reading!(store, "list what was removed of a set", |conn| {
        sqlx::query_as("SELECT bk_id, node, path, removed_ms FROM mk_removal WHERE bk_id = ? ORDER BY id")
            .bind(id.to_string())
            .fetch_all(&mut *conn)
            .await?
    })?;
    rows.into_iter().map(RemovalRow::into_removal).collect()
}

pub(crate) async fn record(store: &Store, removal: &SetRemoval) -> Result<bool, CatalogError> {
    let (id, at, why) = (removal.bk_id, ms(removal.removed_at), &removal.why);
    writing!(store, "record what was removed of a set", |tx| {
        for path in &removal.paths {
            // Once, also where the first answer was lost on the way.
            sqlx::query(
                "INSERT INTO mk_removal (bk_id, node, path, removed_ms, run_id) SELECT ?, ?, ?, ?, ? FROM user_backup b \
                 WHERE b.bk_id = ? AND NOT EXISTS (SELECT 1 FROM mk_removal g WHERE g.bk_id = ? AND g.removed_ms = ? \
                 AND g.node = ? AND g.path = ?)",
            )
            .bind(id.to_string())
            .bind(removal.node.as_str())
            .bind(path.as_str())
            .bind(at)
            .bind(removal.run_id.map(|id| id.to_string()))
            .bind(id.to_string())
            .bind(id.to_string())
            .bind(at)
            .bind(removal.node.as_str())
            .bind(path.as_str())
            .execute(&mut *tx)
            .await?;
        }
        for transfer in &removal.cleared {
            match insert_transfer!(tx, transfer) {
                Err(error) if is_duplicate(&error) => {}
                written => {
                    written?;
                    set_removed!(tx, transfer);
                }
            }
        }
        match removal.remainder {
            Remainder::Nothing => delete!(tx, id, why, at),
            Remainder::Copy => {
                let told = format!("its original is gone: {why}");
                // Another run's mark stays; so with the next.
                sqlx::query(
                    "UPDATE user_backup SET deletion = 'none', deletion_reason = ? WHERE bk_id = ? AND is_deleted <> 'Y' \
                     AND (deletion = 'none' OR deletion = 'deleting' AND deletion_reason IN (?, ?))",
                )
                .bind(told)
                .bind(id.to_string())
                .bind(why.as_str())
                .bind(removal.mark())
                .execute(&mut *tx)
                .await?;
                sqlx::query(
                    "UPDATE user_backup SET original_gone_ms = COALESCE(original_gone_ms, ?) \
                     WHERE bk_id = ? AND is_deleted <> 'Y'",
                )
                .bind(at)
                .bind(id.to_string())
                .execute(&mut *tx)
                .await?
                .rows_affected()
                    > 0
            }
            Remainder::Another => {
                sqlx::query(
                    "UPDATE user_backup SET deletion = 'none', deletion_reason = NULL \
                     WHERE bk_id = ? AND is_deleted <> 'Y' AND deletion = 'deleting' AND deletion_reason IN (?, ?)",
                )
                .bind(id.to_string())
                .bind(why.as_str())
                .bind(removal.mark())
                .execute(&mut *tx)
                .await?
                .rows_affected()
                    > 0
            }
        }
    })
}
