//! Pages of sets in the order of time, out of many millions.
//!
//! A walk is led by an index alone, or by a few places of one at once: so many entries are looked at, whatever else is asked
//! of them, and only those rows are fetched. A statement that had to find so many sets which fit, and not look at so many,
//! would go on for as long as nothing fits.

use super::{BackupRow, columns};
use crate::db::{Db, Store, reading};
use crate::error::CatalogError;
use crate::filter::{Mark, Reach};
use crate::row::signed;
use crate::zone::to_wall;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_domain::DestinationName;
use sqlx::{FromRow, QueryBuilder};
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Entries of each place that one statement looks at, at least.
const LEAST: i64 = 10;
/// Places that one statement looks at: SQLite joins no more than 500.
const AT_A_TIME: usize = 100;
/// Of more senders not each is a place of its own: all sets are gone through, and those that are not theirs passed by. A
/// statement with hundreds of places takes longer to be understood than to be answered.
const MOST_SENDERS: usize = 32;
/// Rows that one statement fetches.
const ROWS: usize = 500;

/// One place of an index: all sets that begin so there stand in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// All sets.
    All,
    /// Those that are proven, or those that are not: both are all of them, and in the order of time.
    Passed(bool),
    /// Those that a node made; `None`: that pybackup did.
    Node(Option<String>),
    /// Those with this tag.
    Tag(String),
}

/// Which sets of each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those that wait for their proof, as far as their row says.
    Waiting { newest_first: bool },
    /// Those that are not deleted, the oldest first.
    Present,
}

impl Order {
    fn newest_first(self) -> bool {
        self == Self::Waiting { newest_first: true }
    }

    /// The places that have all sets, in the index for this order.
    pub(super) fn everything(self) -> Arc<[Stream]> {
        match self {
            Self::Waiting { .. } => Arc::new([Stream::All]),
            Self::Present => Arc::new([Stream::Passed(false), Stream::Passed(true)]),
        }
    }
}

/// What is gone through.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// Found out once: each page goes through the same.
    pub(crate) streams: Arc<[Stream]>,
    pub(crate) order: Order,
    /// Started at or after, or a few hours before.
    pub(crate) since: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, FromRow)]
struct Key {
    /// The place in the statement that it was found at.
    place: i64,
    id: i64,
    start_wall: String,
}

impl Key {
    fn compare(&self, other: &Self, order: Order) -> Ordering {
        let by_time = (&self.start_wall, self.id).cmp(&(&other.start_wall, other.id));
        if order.newest_first() {
            by_time.reverse()
        } else {
            by_time
        }
    }
}

/// The rows that a stretch of a walk came by, by their `id` and in their order.
pub(crate) struct Stretch {
    pub(crate) ids: Vec<i64>,
    /// Where it ended; `None` where nothing comes after.
    pub(crate) end: Option<Mark>,
}

impl Walk {
    /// About so many entries after `after`.
    pub(crate) async fn stretch(
        &self,
        store: &Store,
        after: Option<(&str, i64)>,
        limit: u32,
    ) -> Result<Stretch, CatalogError> {
        let streams = i64::try_from(self.streams.len()).unwrap_or(i64::MAX).max(1);
        let each = (i64::from(limit) / streams).max(LEAST);
        let mut keys: Vec<Key> = Vec::new();
        // The nearest end of those of which more may come: beyond it nobody knows what lies between.
        let mut end: Option<Key> = None;
        for some in self.streams.chunks(AT_A_TIME) {
            let found = self.keys(store, some, after, each).await?;
            let mut last: HashMap<i64, (i64, &Key)> = HashMap::new();
            for key in &found {
                let (count, furthest) = last.entry(key.place).or_insert((0, key));
                *count += 1;
                if key.compare(furthest, self.order).is_gt() {
                    *furthest = key;
                }
            }
            for (count, furthest) in last.into_values() {
                let is_nearer = end
                    .as_ref()
                    .is_none_or(|end| furthest.compare(end, self.order).is_lt());
                if count >= each && is_nearer {
                    end = Some(furthest.clone());
                }
            }
            keys.extend(found);
        }
        if let Some(end) = &end {
            keys.retain(|key| !key.compare(end, self.order).is_gt());
        }
        keys.sort_by(|one, other| one.compare(other, self.order));
        // One set may stand at several places.
        keys.dedup_by_key(|key| key.id);
        Ok(Stretch {
            ids: keys.iter().map(|key| key.id).collect(),
            end: end.map(|end| Mark::Time {
                start: end.start_wall,
                id: end.id,
                streams: Arc::clone(&self.streams),
            }),
        })
    }

    async fn keys(
        &self,
        store: &Store,
        streams: &[Stream],
        after: Option<(&str, i64)>,
        each: i64,
    ) -> Result<Vec<Key>, CatalogError> {
        let newest_first = self.order.newest_first();
        let since = self
            .since
            .map(|since| to_wall(since - TimeDelta::hours(3), store.zone));
        reading!(store, "list sets page by page", |conn| {
            let mut query = QueryBuilder::new("");
            for (place, stream) in streams.iter().enumerate() {
                query.push(if place > 0 {
                    " UNION ALL SELECT "
                } else {
                    "SELECT "
                });
                query.push(place);
                query.push(
                    " AS place, page.id, page.start_wall FROM (SELECT CAST(b.id AS SIGNED) AS id, \
                     COALESCE(CAST(b.start_time AS CHAR), '0000-00-00 00:00:00') AS start_wall FROM user_backup b WHERE ",
                );
                match stream {
                    Stream::All => {}
                    Stream::Passed(passed) => {
                        query.push(if *passed {
                            "b.mk_passed = 1 AND "
                        } else {
                            "b.mk_passed = 0 AND "
                        });
                    }
                    Stream::Node(None) => {
                        query.push("b.node IS NULL AND ");
                    }
                    Stream::Node(Some(node)) => {
                        query.push("b.node = ").push_bind(node.as_str()).push(" AND ");
                    }
                    Stream::Tag(tag) => {
                        query.push("b.tag = ").push_bind(tag.as_str()).push(" AND ");
                    }
                }
                query.push(match self.order {
                    Order::Waiting { .. } => "b.mk_waits = 1",
                    Order::Present => "b.is_deleted = 'N'",
                });
                if let Some(since) = &since {
                    query.push(" AND b.start_time >= ").push_bind(since.as_str());
                }
                if let Some((start, id)) = after {
                    let (at, beyond) = if newest_first { ("<=", "<") } else { (">=", ">") };
                    query.push(format_args!(" AND b.start_time {at} "));
                    query.push_bind(start);
                    query.push(format_args!(" AND (+b.start_time {beyond} "));
                    query.push_bind(start);
                    query.push(format_args!(" OR +b.id {beyond} "));
                    query.push_bind(id).push(")");
                }
                query.push(if newest_first {
                    " ORDER BY b.start_time DESC, b.id DESC LIMIT "
                } else {
                    " ORDER BY b.start_time, b.id LIMIT "
                });
                query.push_bind(each).push(") page");
            }
            // As many statements as there are numbers of places: none of them is worth keeping.
            let found: Vec<Key> = query
                .build_query_as()
                .persistent(streams.len() <= 2)
                .fetch_all(&mut *conn)
                .await?;
            found
        })
    }
}

/// What is asked of a row besides its place: text, and values in it. Columns that have an index bear a `+`: the rows are found
/// by their identities.
#[derive(Clone, Debug, Default)]
pub(crate) struct Narrow(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Sql(&'static str),
    Value(String),
}

impl Narrow {
    pub(crate) fn sql(&mut self, sql: &'static str) -> &mut Self {
        self.0.push(Part::Sql(sql));
        self
    }

    pub(crate) fn value(&mut self, value: impl Into<String>) -> &mut Self {
        self.0.push(Part::Value(value.into()));
        self
    }

    /// `a, b, c)`
    fn values<'a>(&mut self, values: impl Iterator<Item = &'a str>) -> &mut Self {
        for (number, value) in values.enumerate() {
            if number > 0 {
                self.sql(", ");
            }
            self.value(value);
        }
        self.sql(")")
    }

    /// One of these tags, or any.
    pub(crate) fn tagged(&mut self, tags: &[String]) -> &mut Self {
        if tags.is_empty() {
            return self;
        }
        self.sql(" AND +b.tag IN (")
            .values(tags.iter().map(String::as_str))
    }

    /// A node made it, or pybackup did, or a copy may lie there: it is to be sent there, or, with `arrived`, has been.
    pub(crate) fn may_lie_on(&mut self, reach: &Reach, arrived: bool) -> &mut Self {
        self.sql(" AND (+b.node IS NULL OR +b.node = ")
            .value(reach.node.as_str());
        if !reach.tags_here.is_empty() {
            let tags = reach.tags_here.iter().map(String::as_str);
            self.sql(" OR +b.tag IN (").values(tags);
        }
        let names = reach.destinations.iter().map(DestinationName::as_str);
        if !arrived {
            // As it stands in the list, which is JSON.
            for name in names {
                let quoted = serde_json::Value::from(name).to_string();
                self.sql(" OR INSTR(b.transfer_to, ").value(quoted).sql(") > 0");
            }
        } else if !reach.destinations.is_empty() {
            self.sql(
                " OR EXISTS (SELECT 1 FROM mk_delivery d WHERE d.bk_id = b.bk_id AND +d.arrived = 1 \
                 AND d.destination IN (",
            );
            self.values(names).sql(")");
        }
        self.sql(")")
    }
}

/// Adds what is asked of a row.
macro_rules! push_narrow {
    ($query:ident, $narrow:expr) => {
        for part in &$narrow.0 {
            match part {
                Part::Sql(sql) => $query.push(*sql),
                Part::Value(value) => $query.push_bind(value.as_str()),
            };
        }
    };
}

/// The rows of these sets that fit, in the order of `ids`.
pub(crate) async fn rows(
    store: &Store,
    ids: &[i64],
    narrow: &Narrow,
) -> Result<Vec<BackupRow>, CatalogError> {
    let mut rows: Vec<BackupRow> = Vec::with_capacity(ids.len());
    for some in ids.chunks(ROWS) {
        let found: Vec<BackupRow> = reading!(store, "read the sets of a page", |conn| {
            let mut query = QueryBuilder::new(concat!(
                "SELECT ",
                columns!(),
                " FROM user_backup b WHERE b.id IN ("
            ));
            let mut list = query.separated(", ");
            for id in some {
                list.push_bind(*id);
            }
            query.push(")");
            push_narrow!(query, narrow);
            query
                .build_query_as()
                .persistent(false)
                .fetch_all(&mut *conn)
                .await?
        })?;
        rows.extend(found);
    }
    let order: HashMap<i64, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    rows.sort_by_key(|row| order.get(&row.id()).copied());
    Ok(rows)
}

/// The rows of these sets that fit, by `bk_id`, in that order.
pub(crate) async fn rows_by_name(
    store: &Store,
    names: &[String],
    narrow: &Narrow,
) -> Result<Vec<BackupRow>, CatalogError> {
    let mut rows: Vec<BackupRow> = Vec::with_capacity(names.len());
    for some in names.chunks(ROWS) {
        let found: Vec<BackupRow> = reading!(store, "read the sets of a page", |conn| {
            let mut query = QueryBuilder::new(concat!(
                "SELECT ",
                columns!(),
                " FROM user_backup b WHERE b.bk_id IN ("
            ));
            let mut list = query.separated(", ");
            for name in some {
                list.push_bind(name.as_str());
            }
            query.push(")");
            push_narrow!(query, narrow);
            query
                .build_query_as()
                .persistent(false)
                .fetch_all(&mut *conn)
                .await?
        })?;
        rows.extend(found);
    }
    let order: HashMap<&str, usize> = names
        .iter()
        .enumerate()
        .map(|(at, name)| (name.as_str(), at))
        .collect();
    rows.sort_by_key(|row| order.get(row.name()).copied());
    Ok(rows)
}

/// Where in the index what is asked for stands.
pub(crate) async fn streams_of(
    store: &Store,
    reach: Option<&Reach>,
    tags: &[String],
    order: Order,
) -> Result<Arc<[Stream]>, CatalogError> {
    if !tags.is_empty() {
        // A tag is that of few nodes: what else a node has is not gone through for it.
        return Ok(tags.iter().cloned().map(Stream::Tag).collect());
    }
    let Some(reach) = reach else {
        return Ok(order.everything());
    };
    let own = reach.node.to_string();
    let mut streams = vec![Stream::Node(None)];
    let mut nodes = senders(store, &reach.destinations).await?;
    if nodes.len() > MOST_SENDERS {
        return Ok(order.everything());
    }
    nodes.retain(|node| *node != own);
    nodes.push(own);
    streams.extend(nodes.into_iter().map(|node| Stream::Node(Some(node))));
    streams.extend(reach.tags_here.iter().cloned().map(Stream::Tag));
    Ok(streams.into())
}

/// The nodes that have sent a set, or are to send one, to one of these destinations, or some of them where they are more than
/// [`MOST_SENDERS`]: one step through the index for each. SQLite takes all steps in one statement; MySQL's servers would go through all entries for each.
async fn senders(store: &Store, destinations: &[DestinationName]) -> Result<Vec<String>, CatalogError> {
    const ALL: &str = "WITH RECURSIVE maker (node) AS (SELECT MIN(node) FROM mk_delivery WHERE destination = ?1 UNION ALL \
                       SELECT (SELECT MIN(d.node) FROM mk_delivery d WHERE d.destination = ?1 AND d.node > maker.node) \
                       FROM maker WHERE maker.node IS NOT NULL) SELECT node FROM maker WHERE node IS NOT NULL LIMIT ?2";
    const NEXT: &str = "SELECT MIN(node) FROM mk_delivery WHERE destination = ? AND node > ?";
    let is_lite = matches!(store.db, Db::Lite { .. });
    let mut senders = BTreeSet::new();
    for destination in destinations {
        let nodes: Vec<String> = reading!(store, "list who sends to a destination", |conn| {
            if is_lite {
                sqlx::query_scalar(ALL)
                    .bind(destination.as_str())
                    .bind(signed(MOST_SENDERS as u64 + 1))
                    .fetch_all(&mut *conn)
                    .await?
            } else {
                let mut nodes: Vec<String> = Vec::new();
                loop {
                    let next: Option<String> = sqlx::query_scalar(NEXT)
                        .bind(destination.as_str())
                        .bind(nodes.last().map_or("", String::as_str))
                        .fetch_one(&mut *conn)
                        .await?;
                    match next {
                        Some(node) if nodes.len() <= MOST_SENDERS => nodes.push(node),
                        _ => break nodes,
                    }
                }
            }
        })?;
        senders.extend(nodes);
    }
    Ok(senders.into_iter().collect())
}
