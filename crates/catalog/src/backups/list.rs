//! Finding sets among all that ever were.
//!
//! Each question is led by one condition, for which there is an index in the order of the list; every other condition
//! on an indexed column bears a `+`, which SQLite takes as a word not to look for it by an index, and MariaDB as
//! nothing. Without statistics SQLite would take any index for as good as any other.

use super::{BackupRow, columns, into_list};
use crate::db::{Store, reading};
use crate::error::CatalogError;
use crate::row::{ms, signed};
use crate::zone::to_wall;
use crate::{BackupFilter, MOST_COUNTED, SetState, verifications};
use chrono::TimeDelta;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::{Backup, ValidateStatus};
use mykeeper_domain::damage::Damage;
use sqlx::QueryBuilder;

/// Rows that are fetched at a time where SQL does not narrow them to the end, at least and at most.
const LEAST_PAGE: i64 = 20;
const PAGE: i64 = 500;
/// Identities that one statement names.
const AT_A_TIME: usize = 100;

/// The condition whose index a question goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// Some sets by their identities, or their beginning.
    Id,
    Tag,
    Server,
    Job,
    State,
    Node,
    /// What is not deleted, or all in the order of time.
    Time,
}

impl Lead {
    fn of(filter: &BackupFilter) -> Self {
        if filter.id_prefix.is_some() {
            Self::Id
        } else if filter.tag.is_some() {
            Self::Tag
        } else if filter.server.is_some() {
            Self::Server
        } else if filter.job.is_some() {
            Self::Job
        } else if filter.state.is_some() {
            Self::State
        } else if filter.node.is_some() {
            Self::Node
        } else {
            Self::Time
        }
    }

    /// Before a column, with the word that joins its condition to the one before.
    fn and(self, wanted: &[Self]) -> &'static str {
        if wanted.contains(&self) {
            " AND b."
        } else {
            " AND +b."
        }
    }
}

/// Adds the condition on the start: exact where the instant is known, by the wall clock otherwise.
macro_rules! started_since {
    ($query:ident, $since:expr, $zone:expr) => {
        // For the index, an hour or two wide of it: the wall clock goes back once a year.
        $query
            .push(" AND b.start_time >= ")
            .push_bind(to_wall($since - TimeDelta::hours(3), $zone));
        $query.push(" AND (b.started_ms >= ").push_bind(ms($since));
        $query
            .push(" OR (b.started_ms IS NULL AND +b.start_time >= ")
            .push_bind(to_wall($since, $zone));
        $query.push("))");
    };
}

/// Adds the conditions of a filter but that on what is deleted.
macro_rules! narrowed {
    ($query:ident, $filter:ident, $lead:ident, $zone:expr) => {
        // The seed's columns take large letters for small ones and ignore spaces at the end; a filter does not.
        if let Some(tag) = &$filter.tag {
            $query.push($lead.and(&[Lead::Tag]));
            $query.push("tag = ").push_bind(tag.as_str());
            $query
                .push(" AND HEX(b.tag) = HEX(")
                .push_bind(tag.as_str())
                .push(")");
        }
        if let Some(server) = &$filter.server {
            $query.push($lead.and(&[Lead::Server]));
            $query.push("bk_server = ").push_bind(server.as_str());
            $query
                .push(" AND HEX(b.bk_server) = HEX(")
                .push_bind(server.as_str())
                .push(")");
        }
        if let Some(node) = &$filter.node {
            $query.push($lead.and(&[Lead::Node]));
            $query.push("node = ").push_bind(node.as_str());
        }
        if let Some(job) = &$filter.job {
            $query.push($lead.and(&[Lead::Job]));
            $query.push("job = ").push_bind(job.as_str());
        }
        if let Some(prefix) = &$filter.id_prefix {
            // Hexadecimal digits and dashes: all that begins so comes before the same with a letter beyond them.
            $query.push(" AND b.bk_id >= ").push_bind(prefix.as_str());
            $query.push(" AND b.bk_id < ").push_bind(format!("{prefix}g"));
        }
        if let Some(since) = $filter.since {
            started_since!($query, since, $zone);
        }
        if let Some(state) = $filter.state {
            $query.push(condition(state, $lead));
        }
    };
}

/// What a state asks of a row. `mk_whole`, `mk_sent` and `mk_passed` are made by the engine of what pybackup's columns
/// hold, whoever writes them.
fn condition(state: SetState, lead: Lead) -> String {
    let and = lead.and(&[Lead::State]);
    // Also of one server: its tag and the verdict have an index together.
    let and_verdict = lead.and(&[Lead::State, Lead::Tag]);
    match state {
        SetState::Complete => format!("{and}mk_whole = 1"),
        SetState::Incomplete => format!("{and}mk_whole = 0"),
        SetState::Transferred => format!("{and}mk_sent = 1"),
        SetState::Validated => format!("{and_verdict}validate_status = 'passed'"),
        SetState::Proven | SetState::ProvenOnce => format!(
            "{and_verdict}validate_status = 'passed' \
             AND EXISTS (SELECT 1 FROM mk_proof p WHERE p.bk_id = b.bk_id AND p.passed = 1)"
        ),
        SetState::Failed => format!("{and_verdict}validate_status = 'failed'"),
        SetState::Damaged => " AND +b.is_deleted = 'N'".to_owned(),
        SetState::Unproven => format!("{and}mk_passed = 0{and}is_deleted = 'N'"),
        SetState::Deleted => format!("{and}is_deleted = 'Y'"),
    }
}

/// What a state asks of a set besides its row: whether every copy of it differs. Whether another copy is intact is one
/// rule, and not SQL's.
fn must_be_damaged(state: Option<SetState>) -> Option<bool> {
    match state? {
        SetState::Damaged => Some(true),
        SetState::Validated | SetState::Proven => Some(false),
        _ => None,
    }
}

pub(crate) async fn list(store: &Store, filter: &BackupFilter) -> Result<Vec<Backup>, CatalogError> {
    let wanted = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let mut backups = if filter.state == Some(SetState::Damaged) {
        damaged(store, filter).await?
    } else {
        newest(store, filter, wanted).await?
    };
    if filter.state == Some(SetState::Unproven) {
        // Its proof stands for nothing that is there.
        let of_these = BackupFilter {
            state: Some(SetState::Damaged),
            ..filter.clone()
        };
        let mut lost = damaged(store, &of_these).await?;
        lost.retain(|backup| backup.validate_status == ValidateStatus::Passed);
        backups.append(&mut lost);
    }
    // Within the hour that the wall clock shows twice.
    backups.sort_by_key(|backup| std::cmp::Reverse(backup.started_at));
    backups.truncate(wanted);
    Ok(backups)
}

/// The newest that the filter finds, and a few more.
async fn newest(store: &Store, filter: &BackupFilter, wanted: usize) -> Result<Vec<Backup>, CatalogError> {
    let must_be_damaged = must_be_damaged(filter.state);
    // Where more than the rows decides, page by page: what was found of other sets is not read.
    let at_a_time = match must_be_damaged {
        Some(_) => i64::from(filter.limit).clamp(LEAST_PAGE, PAGE),
        None => i64::from(filter.limit),
    };
    let mut backups = Vec::new();
    let mut last: Option<(String, i64)> = None;
    loop {
        let rows = page(store, filter, (at_a_time, last.as_ref())).await?;
        let is_last = signed(rows.len() as u64) < at_a_time;
        last = rows.last().and_then(BackupRow::place_in_time);
        let mut listed = into_list(rows, store.zone);
        if let Some(must_be) = must_be_damaged {
            let ids: Vec<BackupId> = listed.iter().map(|backup| backup.id).collect();
            let damages = verifications::damages(store, Some(&ids)).await?;
            listed.retain(|backup| {
                let damage = damages.get(&backup.id);
                damage.is_some_and(Damage::is_of_every_copy) == must_be
            });
        }
        backups.append(&mut listed);
        if must_be_damaged.is_none() || backups.len() >= wanted || is_last || last.is_none() {
            return Ok(backups);
        }
    }
}

/// So many rows after `last`, the newest first.
async fn page(
    store: &Store,
    filter: &BackupFilter,
    (limit, last): (i64, Option<&(String, i64)>),
) -> Result<Vec<BackupRow>, CatalogError> {
    let lead = Lead::of(filter);
    reading!(store, "list sets", |conn| {
        let mut query = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM user_backup b WHERE 1 = 1"));
        narrowed!(query, filter, lead, store.zone);
        if filter.present_only {
            query
                .push(lead.and(&[Lead::Time, Lead::Node]))
                .push("is_deleted = 'N'");
        }
        if let Some((start, id)) = last {
            query.push(" AND b.start_time <= ").push_bind(start.as_str());
            query.push(" AND (+b.start_time < ").push_bind(start.as_str());
            query.push(" OR +b.id < ").push_bind(*id).push(")");
        }
        query.push(match (lead, filter.state) {
            // Whichever they are: by time MariaDB would go through all sets for them.
            (Lead::Id, None) => " ORDER BY b.bk_id LIMIT ",
            _ => " ORDER BY b.start_time DESC, b.id DESC LIMIT ",
        });
        query.push_bind(limit);
        query.build_query_as().fetch_all(&mut *conn).await?
    })
}

/// Of the few sets of which a copy is known to differ those that the filter finds, and of which every copy does.
async fn damaged(store: &Store, filter: &BackupFilter) -> Result<Vec<Backup>, CatalogError> {
    let damages = verifications::damages(store, None).await?;
    let ids: Vec<String> = damages
        .iter()
        .filter(|(_, damage)| damage.is_of_every_copy())
        .map(|(id, _)| id.to_string())
        .collect();
    let lead = Lead::Id;
    let mut rows: Vec<BackupRow> = Vec::new();
    for ids in ids.chunks(AT_A_TIME) {
        let some: Vec<BackupRow> = reading!(store, "list damaged sets", |conn| {
            let mut query = QueryBuilder::new(concat!(
                "SELECT ",
                columns!(),
                " FROM user_backup b WHERE b.bk_id IN ("
            ));
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(id.as_str());
            }
            query.push(")");
            narrowed!(query, filter, lead, store.zone);
            query.build_query_as().fetch_all(&mut *conn).await?
        })?;
        rows.extend(some);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.place_in_time()));
    Ok(into_list(rows, store.zone))
}

pub(crate) async fn count_deleted(store: &Store, filter: &BackupFilter) -> Result<u64, CatalogError> {
    let lead = Lead::of(filter);
    let count: i64 = reading!(store, "count deleted sets", |conn| {
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM (SELECT b.id FROM user_backup b WHERE 1 = 1");
        narrowed!(query, filter, lead, store.zone);
        query
            .push(lead.and(&[Lead::Time, Lead::Node]))
            .push("is_deleted = 'Y' LIMIT ")
            .push_bind(signed(MOST_COUNTED))
            .push(") counted");
        query.build_query_scalar().fetch_one(&mut *conn).await?
    })?;
    Ok(u64::try_from(count).unwrap_or(0))
}
