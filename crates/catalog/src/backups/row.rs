//! A row of `user_backup` as it is read.

use crate::error::CatalogError;
use crate::row::Place;
use crate::zone::from_wall;
use chrono::DateTime;
use chrono_tz::Tz;
use mykeeper_domain::DestinationName;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::job::Consistency;
use sqlx::FromRow;
use std::path::PathBuf;

/// DATETIME columns are read as text: a zero date, which lax servers store, is none that a driver could decode.
/// The seed's integers are cast: a site may have made them UNSIGNED, which the driver takes for another type.
macro_rules! columns {
    () => {
        "CAST(b.id AS SIGNED) AS id, b.bk_id, b.bk_server, CAST(b.start_time AS CHAR) AS start_wall, CAST(b.end_time AS CHAR) AS end_wall, \
         CAST(b.elapsed_time AS SIGNED) AS elapsed_time, b.backuped_db, b.is_complete, b.bk_size, b.bk_dir, \
         CAST(b.transfer_start AS CHAR) AS transfer_start_wall, CAST(b.transfer_end AS CHAR) AS transfer_end_wall, \
         b.transfer_complete, b.remote_dest, b.master_status, b.slave_status, b.tool_version, b.server_version, \
         b.pybackup_version, b.bk_command, b.tag, b.is_deleted, b.validate_status, b.node, b.job, b.run_id, \
         b.bk_bytes, b.databases_json, b.reason, b.consistency, b.transfer_to, b.started_ms, b.finished_ms, \
         b.transfer_started_ms, b.transfer_finished_ms, b.deletion, b.deletion_reason, b.manifest_blake3, b.lock_waited_ms, \
         b.lock_held_ms, b.rebuilt_ms, b.original_gone_ms, \
         (SELECT c.begun_ms FROM mk_set_clock c WHERE c.bk_id = b.bk_id) AS catalog_begun_ms, \
         (SELECT GROUP_CONCAT('/' || d.destination) FROM mk_delivery d WHERE d.bk_id = b.bk_id AND d.arrived = 1) AS arrived, \
         (SELECT GROUP_CONCAT('/' || d.destination) FROM mk_delivery d WHERE d.bk_id = b.bk_id AND d.arrived = 2) AS removed_from"
    };
}
pub(crate) use columns;

const TABLE: &str = "user_backup";

/// Whatever pybackup may have left out is optional here.
#[derive(FromRow)]
pub(crate) struct BackupRow {
    id: i64,
    bk_id: String,
    bk_server: Option<String>,
    start_wall: Option<String>,
    end_wall: Option<String>,
    elapsed_time: Option<i64>,
    backuped_db: Option<String>,
    is_complete: Option<String>,
    bk_size: Option<String>,
    bk_dir: Option<String>,
    transfer_start_wall: Option<String>,
    transfer_end_wall: Option<String>,
    transfer_complete: Option<String>,
    remote_dest: Option<String>,
    master_status: Option<String>,
    slave_status: Option<String>,
    tool_version: Option<String>,
    server_version: Option<String>,
    pybackup_version: Option<String>,
    bk_command: Option<String>,
    tag: Option<String>,
    is_deleted: Option<String>,
    validate_status: Option<String>,
    node: Option<String>,
    job: Option<String>,
    run_id: Option<String>,
    bk_bytes: Option<i64>,
    databases_json: Option<String>,
    reason: Option<String>,
    consistency: Option<String>,
    transfer_to: Option<String>,
    started_ms: Option<i64>,
    finished_ms: Option<i64>,
    transfer_started_ms: Option<i64>,
    transfer_finished_ms: Option<i64>,
    deletion: Option<String>,
    deletion_reason: Option<String>,
    manifest_blake3: Option<String>,
    lock_waited_ms: Option<i64>,
    lock_held_ms: Option<i64>,
    rebuilt_ms: Option<i64>,
    original_gone_ms: Option<i64>,
    catalog_begun_ms: Option<i64>,
    /// `/vault,/near`: no name has a slash in it.
    arrived: Option<String>,
    removed_from: Option<String>,
}

pub(super) fn consistency_word(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::All => "all",
        Consistency::PerDatabase => "per-database",
    }
}

/// The comma list of pybackup.
fn comma_list(text: Option<&str>) -> Vec<&str> {
    match text.map(str::trim) {
        None | Some("") => Vec::new(),
        Some(text) => text.split(',').map(str::trim).collect(),
    }
}

impl BackupRow {
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.bk_id
    }

    /// Where it stands in the order of lists; `None` where it has no start.
    pub(crate) fn place_in_time(&self) -> Option<(String, i64)> {
        Some((self.start_wall.clone()?, self.id))
    }

    pub(crate) fn into_backup(self, zone: Tz) -> Result<Backup, CatalogError> {
        let place = Place {
            table: TABLE,
            id: &self.bk_id,
        };
        // Our own columns hold the instant itself, which a wall clock shows twice once a year.
        let instant = |column, exact: Option<i64>, wall: Option<&String>| {
            Ok::<_, CatalogError>(
                place
                    .instant_some(column, exact)?
                    .or_else(|| wall.and_then(|wall| from_wall(wall, zone))),
            )
        };
        let started = instant("started_ms", self.started_ms, self.start_wall.as_ref())?;
        let finished = instant("finished_ms", self.finished_ms, self.end_wall.as_ref())?;
        let databases: Vec<String> = match &self.databases_json {
            Some(json) => place.json("databases_json", json)?,
            None => comma_list(self.backuped_db.as_deref())
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        let selected_by = self
            .backuped_db
            .filter(|list| self.databases_json.is_some() && *list != databases.join(","));
        let consistency = match self.consistency.as_deref() {
            None => None,
            Some("all") => Some(Consistency::All),
            Some("per-database") => Some(Consistency::PerDatabase),
            Some(other) => return Err(place.error("consistency", format!("{other:?} is no consistency"))),
        };
        let transfer_to: Vec<DestinationName> = match &self.transfer_to {
            Some(json) => place.json("transfer_to", json)?,
            None => Vec::new(),
        };
        let names = |list: Option<&str>| {
            let list = list.and_then(|list| list.strip_prefix('/')).unwrap_or_default();
            let names = list.split(",/").filter(|name| !name.is_empty());
            let mut names = names
                .map(|name| place.parse("arrived", name))
                .collect::<Result<Vec<DestinationName>, _>>()?;
            names.sort();
            Ok::<_, CatalogError>(names)
        };
        let arrived = names(self.arrived.as_deref())?;
        let removed_from = names(self.removed_from.as_deref())?;
        let is_deleted = self
            .is_deleted
            .as_deref()
            .is_some_and(|word| word.eq_ignore_ascii_case("Y"));
        let deletion = if is_deleted {
            Deletion::Deleted
        } else if self.deletion.as_deref() == Some(Deletion::Deleting.as_str()) {
            Deletion::Deleting
        } else {
            Deletion::None
        };
        Ok(Backup {
            id: place.parse("bk_id", self.bk_id.trim())?,
            node: place.parse_some("node", self.node.as_ref())?,
            job: place.parse_some("job", self.job.as_ref())?,
            run_id: place.parse_some("run_id", self.run_id.as_ref())?,
            // A row without any time is older than all others.
            started_at: started.or(finished).unwrap_or(DateTime::UNIX_EPOCH),
            finished_at: finished.or(started).unwrap_or(DateTime::UNIX_EPOCH),
            elapsed_seconds: self.elapsed_time.unwrap_or(0),
            databases,
            selected_by,
            complete: comma_list(self.is_complete.as_deref())
                .into_iter()
                .map(|part| part == "Y")
                .collect(),
            reason: self.reason,
            size_bytes: self
                .bk_bytes
                .map(|bytes| place.count("bk_bytes", bytes))
                .transpose()?,
            size_text: self.bk_size.unwrap_or_default(),
            dir: PathBuf::from(self.bk_dir.unwrap_or_default()),
            consistency,
            transfer_to,
            arrived,
            removed_from,
            transfer_started_at: instant(
                "transfer_started_ms",
                self.transfer_started_ms,
                self.transfer_start_wall.as_ref(),
            )?,
            transfer_finished_at: instant(
                "transfer_finished_ms",
                self.transfer_finished_ms,
                self.transfer_end_wall.as_ref(),
            )?,
            transfer_complete: self.transfer_complete.unwrap_or_default(),
            remote_dest: self.remote_dest.unwrap_or_default(),
            master_status: self.master_status.unwrap_or_default(),
            slave_status: self.slave_status.unwrap_or_default(),
            tool_version: self.tool_version.unwrap_or_default(),
            server_version: self.server_version.unwrap_or_default(),
            pybackup_version: self.pybackup_version.unwrap_or_default(),
            command: self.bk_command.unwrap_or_default(),
            deletion,
            deletion_reason: self.deletion_reason,
            validate_status: match self.validate_status.as_deref() {
                Some("passed") => ValidateStatus::Passed,
                Some("failed") => ValidateStatus::Failed,
                _ => ValidateStatus::NotTried,
            },
            manifest_blake3: self.manifest_blake3,
            lock_waited_ms: self
                .lock_waited_ms
                .map(|waited| place.count("lock_waited_ms", waited))
                .transpose()?,
            lock_held_ms: self
                .lock_held_ms
                .map(|held| place.count("lock_held_ms", held))
                .transpose()?,
            rebuilt_at: place.instant_some("rebuilt_ms", self.rebuilt_ms)?,
            original_gone_at: place.instant_some("original_gone_ms", self.original_gone_ms)?,
            begun_by_catalog_at: place.instant_some("catalog_begun_ms", self.catalog_begun_ms)?,
            bk_server: self.bk_server.unwrap_or_default(),
            tag: self.tag.unwrap_or_default(),
        })
    }
}

/// A row that cannot be read is told in the log and left out: it must not hide all others.
pub(crate) fn into_list(rows: Vec<BackupRow>, zone: Tz) -> Vec<Backup> {
    rows.into_iter()
        .filter_map(|row| {
            let id = row.id;
            row.into_backup(zone)
                .inspect_err(|error| tracing::warn!(row = id, %error, "a set is left out of a list"))
                .ok()
        })
        .collect()
}
