//! The sets that wait for their proof, and those that may lie on a node.

use super::into_list;
use super::pages::{Narrow, Order, Walk, rows, streams_of};
use crate::db::Store;
use crate::error::CatalogError;
use crate::filter::{Bookmark, Mark, Page, Reach, WaitingScope};
use std::sync::Arc;

/// What the row says besides `mk_waits`; which is asked again, since it may be another by now.
const STILL_WAITS: &str = " AND +b.mk_waits = 1 AND (RTRIM(b.transfer_complete) LIKE '%Y' OR b.transfer_complete = \
                           'N/A (local backup)' OR EXISTS (SELECT 1 FROM mk_delivery d WHERE d.bk_id = b.bk_id AND \
                           +d.arrived = 1))";

pub(crate) async fn waiting(
    store: &Store,
    scope: &WaitingScope,
    after: Option<&Bookmark>,
    limit: u32,
) -> Result<Page, CatalogError> {
    let order = Order::Waiting {
        newest_first: scope.newest_first,
    };
    let (streams, after) = match after {
        Some(Bookmark(Mark::Time { start, id, streams })) => {
            (Arc::clone(streams), Some((start.as_str(), *id)))
        }
        _ => {
            let streams = streams_of(store, scope.reach.as_ref(), &scope.tags, order);
            (streams.await?, None)
        }
    };
    let walk = Walk {
        streams,
        order,
        since: scope.since,
    };
    let stretch = walk.stretch(store, after, limit).await?;
    let mut narrow = Narrow::default();
    narrow.sql(STILL_WAITS).tagged(&scope.tags);
    if let Some(reach) = &scope.reach {
        narrow.may_lie_on(reach, false);
    }
    let rows = rows(store, &stretch.ids, &narrow).await?;
    Ok(Page {
        sets: into_list(rows, store.zone),
        next: stretch.end.map(Bookmark),
    })
}

/// Entries that are looked at for a page of what may lie on a node.
const LOOKED_AT: u32 = 500;

/// Those that are not deleted and may lie on a node. What is about to be deleted is among them wherever it lies: who has marked
/// it may have gone by another file then.
pub(crate) async fn here(
    store: &Store,
    reach: &Reach,
    after: Option<&Bookmark>,
) -> Result<Page, CatalogError> {
    let after = match after {
        Some(Bookmark(Mark::Time { start, id, .. })) => Some((start.as_str(), *id)),
        _ => None,
    };
    let walk = Walk {
        // All of them: of what never became complete no delivery tells who sent it.
        streams: Order::Present.everything(),
        order: Order::Present,
        since: None,
    };
    let stretch = walk.stretch(store, after, LOOKED_AT).await?;
    let mut narrow = Narrow::default();
    narrow.sql(" AND +b.is_deleted = 'N' AND (b.deletion = 'deleting' OR (1 = 1");
    narrow.may_lie_on(reach, false).sql("))");
    let rows = rows(store, &stretch.ids, &narrow).await?;
    Ok(Page {
        sets: into_list(rows, store.zone),
        next: stretch.end.map(Bookmark),
    })
}

#[cfg(test)]
mod tests {
    use super::STILL_WAITS;

    #[test]
    fn a_local_set_is_called_as_the_seed_calls_it() {
        assert!(STILL_WAITS.contains(&format!("'{}'", mykeeper_domain::backup::LOCAL_BACKUP)));
    }
}
