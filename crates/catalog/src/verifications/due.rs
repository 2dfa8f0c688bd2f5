//! Which sets a node reads again, page by page: those that were found to differ, and are another copy by now or were looked at
//! by a person; then those that it never looked at, by their start; then those whose last look is longest ago. One that
//! differs and is due as well comes twice.

use crate::backups::{self, Narrow, Order, Walk};
use crate::db::{Store, reading};
use crate::error::CatalogError;
use crate::filter::{Bookmark, Mark, Page, VerificationScope};
use crate::row::ms;
use crate::zone::to_wall;
use chrono::TimeDelta;
use sqlx::FromRow;
use std::sync::Arc;

/// Complete and there.
const PRESENT: &str = " AND +b.is_deleted = 'N' AND b.deletion = 'none' AND b.is_complete LIKE '%Y%' \
                       AND b.is_complete NOT LIKE '%N%'";

pub(crate) async fn due(
    store: &Store,
    scope: &VerificationScope,
    after: Option<&Bookmark>,
    limit: u32,
) -> Result<Page, CatalogError> {
    match after.map(|Bookmark(mark)| mark) {
        Some(Mark::NeverLooked | Mark::Time { .. } | Mark::Pending { .. }) => {
            never_looked_at(store, scope, after, limit).await
        }
        Some(Mark::Looked { looked_ms, bk_id }) => {
            let looks = looked_before(store, scope, (*looked_ms, bk_id), limit).await?;
            let next = end_of(&looks, limit).map(|last| Mark::Looked {
                looked_ms: last.looked_ms,
                bk_id: last.bk_id.clone(),
            });
            read(store, scope, looks, next).await
        }
        None | Some(Mark::Differing { .. }) => {
            let after = match after {
                Some(Bookmark(Mark::Differing { looked_ms, bk_id })) => (*looked_ms, bk_id.as_str()),
                _ => (i64::MIN, ""),
            };
            let looks = differing(store, scope, after, limit).await?;
            let next = end_of(&looks, limit).map_or(Mark::NeverLooked, |last| Mark::Differing {
                looked_ms: last.looked_ms,
                bk_id: last.bk_id.clone(),
            });
            read(store, scope, looks, Some(next)).await
        }
    }
}

/// The last look at a set.
#[derive(FromRow)]
struct Look {
    bk_id: String,
    looked_ms: i64,
}

/// The last of a page that may not be the last page.
fn end_of(looks: &[Look], limit: u32) -> Option<&Look> {
    looks.last().filter(|_| looks.len() as u64 >= u64::from(limit))
}

fn narrowed(store: &Store, scope: &VerificationScope) -> Narrow {
    let mut narrow = Narrow::default();
    narrow
        .sql(PRESENT)
        .tagged(&scope.tags)
        .may_lie_on(&scope.reach, true);
    if let Some(since) = scope.since {
        // An hour or two wide: the caller narrows further.
        let since = to_wall(since - TimeDelta::hours(3), store.zone);
        narrow.sql(" AND +b.start_time >= ").value(since);
    }
    narrow
}

async fn never_looked_at(
    store: &Store,
    scope: &VerificationScope,
    after: Option<&Bookmark>,
    limit: u32,
) -> Result<Page, CatalogError> {
    let (streams, after) = match after {
        Some(Bookmark(Mark::Time { start, id, streams })) => {
            (Arc::clone(streams), Some((start.as_str(), *id)))
        }
        _ => {
            let streams = backups::streams_of(store, Some(&scope.reach), &scope.tags, Order::Present);
            (streams.await?, None)
        }
    };
    let walk = Walk {
        streams,
        order: Order::Present,
        since: scope.since,
    };
    let stretch = walk.stretch(store, after, limit).await?;
    let mut narrow = narrowed(store, scope);
    narrow
        .sql(" AND NOT EXISTS (SELECT 1 FROM mk_verification v WHERE v.bk_id = b.bk_id AND +v.gone = 0 AND v.node = ")
        .value(scope.reach.node.as_str())
        .sql(")");
    let rows = backups::rows(store, &stretch.ids, &narrow).await?;
    Ok(Page {
        sets: backups::into_list(rows, store.zone),
        next: Some(Bookmark(stretch.end.unwrap_or_else(|| Mark::Looked {
            looked_ms: i64::MIN,
            bk_id: String::new(),
        }))),
    })
}

async fn looked_before(
    store: &Store,
    scope: &VerificationScope,
    (looked_ms, bk_id): (i64, &str),
    limit: u32,
) -> Result<Vec<Look>, CatalogError> {
    reading!(store, "list sets to verify", |conn| {
        sqlx::query_as(
            "SELECT bk_id, looked_ms FROM mk_verification WHERE node = ? AND gone = 0 AND looked_ms < ? \
             AND looked_ms >= ? AND (+looked_ms > ? OR +bk_id > ?) ORDER BY looked_ms, bk_id LIMIT ?",
        )
        .bind(scope.reach.node.as_str())
        .bind(ms(scope.before))
        .bind(looked_ms)
        .bind(looked_ms)
        .bind(bk_id)
        .bind(i64::from(limit))
        .fetch_all(&mut *conn)
        .await?
    })
}

/// What a person has found to differ puts off no job's own look, and a copy that was sent anew is another.
async fn differing(
    store: &Store,
    scope: &VerificationScope,
    (looked_ms, bk_id): (i64, &str),
    limit: u32,
) -> Result<Vec<Look>, CatalogError> {
    reading!(store, "list sets that were found to differ", |conn| {
        sqlx::query_as(
            "SELECT v.bk_id, v.looked_ms FROM mk_verification v WHERE v.node = ? AND v.gone = 0 AND v.state = 'differs' \
             AND v.looked_ms >= ? AND (+v.looked_ms > ? OR +v.bk_id > ?) \
             AND (EXISTS (SELECT 1 FROM mk_run r WHERE r.id = v.run_id AND r.trigger_kind = 'manual') \
             OR EXISTS (SELECT 1 FROM mk_transfer t WHERE t.bk_id = v.bk_id AND t.purpose = 'send' \
             AND +t.state = 'succeeded' AND t.finished_ms > v.looked_ms)) ORDER BY v.looked_ms, v.bk_id LIMIT ?",
        )
        .bind(scope.reach.node.as_str())
        .bind(looked_ms)
        .bind(looked_ms)
        .bind(bk_id)
        .bind(i64::from(limit))
        .fetch_all(&mut *conn)
        .await?
    })
}

async fn read(
    store: &Store,
    scope: &VerificationScope,
    looks: Vec<Look>,
    next: Option<Mark>,
) -> Result<Page, CatalogError> {
    let names: Vec<String> = looks.into_iter().map(|look| look.bk_id).collect();
    let rows = backups::rows_by_name(store, &names, &narrowed(store, scope)).await?;
    Ok(Page {
        sets: backups::into_list(rows, store.zone),
        next: next.map(Bookmark),
    })
}
