//! `mk_verification`: what each node found when it last read what it has of a set.

mod due;

use crate::contents::STATEMENT_BYTES;
use crate::db::{Fault, Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::proofs::try_again;
use crate::removals::{self, RemovalRow};
use crate::row::{Place, ms, to_json};
use chrono::{DateTime, Utc};
pub(crate) use due::due;
use mykeeper_domain::BackupId;
use mykeeper_domain::damage::{Damage, IntactCopy};
use mykeeper_domain::removal::{Removal, forget_removed};
use mykeeper_domain::verification::Verification;
use sqlx::{FromRow, QueryBuilder};
use std::collections::HashMap;

/// How many sets that differ somewhere are told of.
const MOST_DAMAGED: usize = 10_000;
/// Of so many sets it is asked whether they are there still, those that were looked at last first.
pub(crate) const MOST_DIFFERING: i64 = 100_000;
/// The sets of which some look has found a copy to differ.
pub(crate) const DIFFERING: &str = "SELECT bk_id FROM mk_verification WHERE state = 'differs' GROUP BY bk_id \
                                    ORDER BY MAX(looked_ms) DESC LIMIT ?";
/// Of so many at a time all looks are read: a hundred differences of each copy.
const AT_A_TIME: usize = 100;

#[derive(FromRow)]
pub(crate) struct VerificationRow {
    bk_id: String,
    node: String,
    run_id: Option<String>,
    state: String,
    looked_ms: i64,
    copies_json: String,
}

impl VerificationRow {
    fn into_verification(self) -> Result<Verification, CatalogError> {
        let place = Place {
            table: "mk_verification",
            id: &self.bk_id,
        };
        Ok(Verification {
            bk_id: place.parse("bk_id", &self.bk_id)?,
            node: place.parse("node", &self.node)?,
            run_id: place.parse_some("run_id", self.run_id.as_ref())?,
            state: place.parse("state", &self.state)?,
            looked_at: place.instant("looked_ms", self.looked_ms)?,
            copies: place.json("copies_json", &self.copies_json)?,
            unread: Vec::new(),
        })
    }
}

pub(crate) async fn record(store: &Store, found: &Verification) -> Result<(), CatalogError> {
    const ACTION: &str = "record a verification";
    writing!(store, ACTION, |tx| {
        let before: Option<VerificationRow> = sqlx::query_as(
            "SELECT bk_id, node, run_id, state, looked_ms, copies_json FROM mk_verification \
             WHERE bk_id = ? AND node = ? AND looked_ms <= ?",
        )
        .bind(found.bk_id.to_string())
        .bind(found.node.as_str())
        .bind(ms(found.looked_at))
        .fetch_optional(&mut *tx)
        .await?;
        let before = before.map(VerificationRow::into_verification).transpose()?;
        let mut found = found.clone();
        let proven: Vec<ProvenCopyRow> = match found.unread.is_empty() {
            true => Vec::new(),
            false => {
                sqlx::query_as(
                    "SELECT bk_id, node, path, finished_ms FROM mk_proof WHERE passed = 1 AND bk_id = ? AND node = ?",
                )
                .bind(found.bk_id.to_string())
                .bind(found.node.as_str())
                .fetch_all(&mut *tx)
                .await?
            }
        };
        let proven: Vec<IntactCopy> = proven
            .into_iter()
            .map(ProvenCopyRow::into_copy)
            .collect::<Result<_, _>>()?;
        found.keep_unread(before.as_ref(), &proven);
        found.date_differences(before.as_ref());
        let copies = to_json(ACTION, &found.copies)?;
        sqlx::query("DELETE FROM mk_verification WHERE bk_id = ? AND node = ? AND looked_ms <= ?")
            .bind(found.bk_id.to_string())
            .bind(found.node.as_str())
            .bind(ms(found.looked_at))
            .execute(&mut *tx)
            .await?;
        let written = sqlx::query(
            "INSERT INTO mk_verification (bk_id, node, run_id, state, looked_ms, copies_json, gone) VALUES (?, ?, ?, ?, ?, ?, \
             (SELECT COUNT(*) FROM user_backup b WHERE b.bk_id = ? AND +b.is_deleted = 'Y'))",
        )
        .bind(found.bk_id.to_string())
        .bind(found.node.as_str())
        .bind(found.run_id.map(|id| id.to_string()))
        .bind(found.state.as_str())
        .bind(ms(found.looked_at))
        .bind(copies.as_str())
        .bind(found.bk_id.to_string())
        .execute(&mut *tx)
        .await;
        match written {
            // A newer one is there.
            Err(error) if is_duplicate(&error) => {}
            written => {
                written.map_err(|error| Fault::of_large(error, STATEMENT_BYTES + copies.len()))?;
                if let Some(at) = found.intact_at() {
                    try_again!(tx, found.bk_id, at);
                }
            }
        }
    })
}

/// When the last of the copies was read that are as they were written.
pub(crate) fn last_intact(looks: Vec<VerificationRow>) -> Result<Option<DateTime<Utc>>, CatalogError> {
    let mut last = None;
    for row in looks {
        last = last.max(row.into_verification()?.intact_at());
    }
    Ok(last)
}

pub(crate) async fn of_set(store: &Store, id: BackupId) -> Result<Vec<Verification>, CatalogError> {
    let rows: Vec<VerificationRow> = reading!(store, "list the verifications of a set", |conn| {
        sqlx::query_as(
            "SELECT bk_id, node, run_id, state, looked_ms, copies_json FROM mk_verification WHERE bk_id = ? \
             ORDER BY looked_ms DESC, node",
        )
        .bind(id.to_string())
        .fetch_all(&mut *conn)
        .await?
    })?;
    let looks: Result<Vec<Verification>, CatalogError> =
        rows.into_iter().map(VerificationRow::into_verification).collect();
    let mut looks = looks?;
    forget_removed(&mut looks, &mut Vec::new(), &removals::of_set(store, id).await?);
    Ok(looks)
}

/// A proof that passed.
#[derive(FromRow)]
struct ProvenCopyRow {
    bk_id: String,
    node: String,
    path: String,
    finished_ms: i64,
}

impl ProvenCopyRow {
    fn into_copy(self) -> Result<IntactCopy, CatalogError> {
        let place = Place {
            table: "mk_proof",
            id: &self.bk_id,
        };
        Ok(IntactCopy {
            node: place.parse("node", &self.node)?,
            looked_at: place.instant("finished_ms", self.finished_ms)?,
            path: self.path,
        })
    }
}

/// Without their documents and differences: asked for by whoever goes through many sets.
pub(crate) async fn proven_copies(store: &Store, id: BackupId) -> Result<Vec<IntactCopy>, CatalogError> {
    let rows: Vec<ProvenCopyRow> = reading!(store, "list the proven copies of a set", |conn| {
        sqlx::query_as(
            "SELECT bk_id, node, path, finished_ms FROM mk_proof WHERE passed = 1 AND bk_id = ? \
             ORDER BY finished_ms DESC, id",
        )
        .bind(id.to_string())
        .fetch_all(&mut *conn)
        .await?
    })?;
    let proven: Result<Vec<IntactCopy>, CatalogError> =
        rows.into_iter().map(ProvenCopyRow::into_copy).collect();
    let mut proven = proven?;
    forget_removed(&mut [], &mut proven, &removals::of_set(store, id).await?);
    Ok(proven)
}

macro_rules! push_all {
    ($query:ident, $ids:expr) => {
        let mut list = $query.separated(", ");
        for id in $ids {
            list.push_bind(id.as_str());
        }
    };
}

pub(crate) async fn damages(
    store: &Store,
    of: Option<&[BackupId]>,
) -> Result<HashMap<BackupId, Damage>, CatalogError> {
    let of: Option<Vec<String>> = of.map(|ids| ids.iter().map(ToString::to_string).collect());
    reading!(store, "list sets that differ", |conn| {
        let asked = match &of {
            Some(of) => of.clone(),
            // Not joined: where the collations of the two tables are not alike, no index would serve.
            None => {
                sqlx::query_scalar(DIFFERING)
                    .bind(MOST_DIFFERING)
                    .fetch_all(&mut *conn)
                    .await?
            }
        };
        let mut present: Vec<(String, String, String)> = Vec::new();
        for some in asked.chunks(AT_A_TIME) {
            let mut query = QueryBuilder::new(
                "SELECT CAST(b.start_time AS CHAR), b.bk_id, b.is_deleted FROM user_backup b WHERE EXISTS (SELECT 1 FROM \
                 mk_verification v WHERE v.bk_id = b.bk_id AND +v.state = 'differs') AND b.bk_id IN (",
            );
            push_all!(query, some);
            query.push(")");
            // Of a set that somebody asks for by name it is told also where it is deleted: its proof stands for nothing.
            if of.is_none() {
                query.push(" AND +b.is_deleted = 'N'");
            }
            present.extend(
                query
                    .build_query_as::<(String, String, String)>()
                    .fetch_all(&mut *conn)
                    .await?,
            );
        }
        present.sort_unstable_by(|one, other| other.cmp(one));
        present.truncate(MOST_DAMAGED);
        let mut damages = HashMap::new();
        for some in present.chunks(AT_A_TIME) {
            let ids: Vec<&String> = some.iter().map(|(_, id, _)| id).collect();
            let mut query = QueryBuilder::new(
                "SELECT bk_id, node, run_id, state, looked_ms, copies_json FROM mk_verification WHERE bk_id IN (",
            );
            push_all!(query, &ids);
            query.push(") ORDER BY looked_ms DESC, node");
            let looks: Vec<VerificationRow> = query.build_query_as().fetch_all(&mut *conn).await?;
            let mut query = QueryBuilder::new(
                "SELECT bk_id, node, path, finished_ms FROM mk_proof WHERE passed = 1 AND bk_id IN (",
            );
            push_all!(query, &ids);
            query.push(") ORDER BY finished_ms DESC, id");
            let proven: Vec<ProvenCopyRow> = query.build_query_as().fetch_all(&mut *conn).await?;
            let mut query =
                QueryBuilder::new("SELECT bk_id, node, path, removed_ms FROM mk_removal WHERE bk_id IN (");
            push_all!(query, &ids);
            query.push(")");
            let mut removed: Vec<RemovalRow> = query.build_query_as().fetch_all(&mut *conn).await?;
            // What is left of one that is deleted is what was last known of it.
            let is_present = |row: &RemovalRow| {
                some.iter()
                    .any(|(_, id, deleted)| *id == row.bk_id && deleted != "Y")
            };
            removed.retain(is_present);
            damages.extend(damages_of(looks, proven, removed)?);
        }
        damages
    })
}

fn damages_of(
    looks: Vec<VerificationRow>,
    proven: Vec<ProvenCopyRow>,
    removed: Vec<RemovalRow>,
) -> Result<HashMap<BackupId, Damage>, CatalogError> {
    let mut looks_of: HashMap<BackupId, Vec<Verification>> = HashMap::new();
    for row in looks {
        let look = row.into_verification()?;
        looks_of.entry(look.bk_id).or_default().push(look);
    }
    let mut proven_of: HashMap<String, Vec<IntactCopy>> = HashMap::new();
    for row in proven {
        proven_of
            .entry(row.bk_id.clone())
            .or_default()
            .push(row.into_copy()?);
    }
    let mut removed_of: HashMap<String, Vec<Removal>> = HashMap::new();
    for row in removed {
        let id = row.bk_id.clone();
        removed_of.entry(id).or_default().push(row.into_removal()?);
    }
    let damages = looks_of.into_iter().filter_map(|(id, mut looks)| {
        let shown = id.to_string();
        let mut proven = proven_of.remove(&shown).unwrap_or_default();
        let removals = removed_of.remove(&shown).unwrap_or_default();
        forget_removed(&mut looks, &mut proven, &removals);
        Damage::of(&looks, &proven).map(|damage| (id, damage))
    });
    Ok(damages.collect())
}
