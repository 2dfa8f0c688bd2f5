//! A backup set as the catalog knows it: one row of `user_backup`.

use crate::ids::{BackupId, DestinationName, JobName, NodeName, RunId};
use crate::job::Consistency;
use crate::run::words;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// `transfer_complete` and `remote_dest` when no transfer is asked for.
pub const LOCAL_BACKUP: &str = "N/A (local backup)";
/// `transfer_complete` and `remote_dest` when there is nothing to send.
pub const BACKUP_FAILED: &str = "Backup failed";

words! {
    /// `validate_status`.
    ValidateStatus {
        /// Not tried.
        NotTried = "N/A",
        /// Restored, and everything was there.
        Passed = "passed",
        /// Restored, and something was not.
        Failed = "failed",
    }
}

words! {
    /// How far its deletion has gone; `is_deleted` is `Y` for the last alone.
    Deletion {
        /// It is there.
        None = "none",
        /// Its removal has been decided and may have begun.
        Deleting = "deleting",
        /// It is gone.
        Deleted = "deleted",
    }
}

/// One set. Times are UTC here; the catalog turns them into its zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// `bk_id`.
    pub id: BackupId,
    /// The machine that made it; `None` for a row that pybackup wrote. So with every `Option` below.
    pub node: Option<NodeName>,
    /// The job that made it.
    pub job: Option<JobName>,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// `bk_server`: the server's address.
    pub bk_server: String,
    /// `tag`.
    pub tag: String,
    /// `start_time`.
    pub started_at: DateTime<Utc>,
    /// `end_time`, of the dump.
    pub finished_at: DateTime<Utc>,
    /// `elapsed_time`, seconds.
    pub elapsed_seconds: i64,
    /// `backuped_db`.
    pub databases: Vec<String>,
    /// What `backuped_db` says in place of them: the expression that chose them on pybackup's command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_by: Option<String>,
    /// `is_complete`: one for each database, or one for all.
    pub complete: Vec<bool>,
    /// Why it is not complete.
    pub reason: Option<String>,
    /// Exact size; `None` for a row that pybackup wrote.
    pub size_bytes: Option<u64>,
    /// `bk_size`, as `du -sh` would say.
    pub size_text: String,
    /// `bk_dir`: the set's own folder on the node that made it.
    pub dir: PathBuf,
    /// Over what one snapshot reaches, which is also how the set's folder is laid out.
    pub consistency: Option<Consistency>,
    /// Where it should be sent.
    pub transfer_to: Vec<DestinationName>,
    /// Where it has arrived, and was not found to differ when it was compared there last; also where a person has sent it.
    /// The catalog works it out of the transfers: it is not written with the row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrived: Vec<DestinationName>,
    /// Where it had arrived and retention has removed it: it is not sent there again. The catalog works it out, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_from: Vec<DestinationName>,
    /// `transfer_start`.
    pub transfer_started_at: Option<DateTime<Utc>>,
    /// `transfer_end`.
    pub transfer_finished_at: Option<DateTime<Utc>>,
    /// `transfer_complete`: `N,N,Y`, [`LOCAL_BACKUP`] or [`BACKUP_FAILED`]; empty before the first attempt.
    pub transfer_complete: String,
    /// `remote_dest`.
    pub remote_dest: String,
    /// `master_status`.
    pub master_status: String,
    /// `slave_status`.
    pub slave_status: String,
    /// `tool_version`.
    pub tool_version: String,
    /// `server_version`.
    pub server_version: String,
    /// `pybackup_version`: what made the row.
    pub pybackup_version: String,
    /// `bk_command`, secrets masked.
    pub command: String,
    /// See [`Deletion`].
    pub deletion: Deletion,
    /// Why it was marked or removed.
    pub deletion_reason: Option<String>,
    /// `validate_status`.
    pub validate_status: ValidateStatus,
    /// BLAKE3 of the manifest file, hexadecimal.
    pub manifest_blake3: Option<String>,
    /// For how long the dump waited for its locks, all parts together, in milliseconds.
    #[serde(default)]
    pub lock_waited_ms: Option<u64>,
    /// For how long it held them.
    #[serde(default)]
    pub lock_held_ms: Option<u64>,
    /// When its original was removed, or was found to be gone, while a copy of it lay at a destination. The set itself is
    /// not deleted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_gone_at: Option<DateTime<Utc>>,
    /// When its row was made again from the set's own record, which knows nothing of proofs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt_at: Option<DateTime<Utc>>,
    /// When it was begun by the catalog's clock, where that of its machine was an hour behind and more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by_catalog_at: Option<DateTime<Utc>>,
}

impl Backup {
    /// Every part of it is there.
    pub fn is_complete(&self) -> bool {
        !self.complete.is_empty() && self.complete.iter().all(|part| *part)
    }

    /// The set's own folder on the node that made it. `bk_dir` may be the folder above it, as pybackup writes it, or one
    /// within it, as some of its versions did.
    pub fn folder(&self) -> PathBuf {
        let id = self.id.to_string();
        let own = self
            .dir
            .ancestors()
            .find(|dir| dir.file_name().and_then(|name| name.to_str()) == Some(id.as_str()));
        own.map_or_else(|| self.dir.join(&id), PathBuf::from)
    }

    /// When it was begun, as retention takes it: a clock that was far behind does not make a set old.
    pub fn dated_at(&self) -> DateTime<Utc> {
        self.started_at
            .max(self.begun_by_catalog_at.unwrap_or(self.started_at))
    }

    /// It is at a destination, whichever that is.
    pub fn has_arrived(&self) -> bool {
        !self.arrived.is_empty() || self.is_transferred()
    }

    /// The destinations that it is still to be sent to. What is not complete is owed to none, nor what pybackup made.
    pub fn owed_to(&self) -> impl Iterator<Item = &DestinationName> {
        let is_sent = self.is_complete() && self.node.is_some() && self.deletion != Deletion::Deleted;
        let named = self.transfer_to.iter().filter(move |_| is_sent);
        named.filter(|name| !self.arrived.contains(name) && !self.removed_from.contains(name))
    }

    /// Its last transfer succeeded (`Y`, `N,N,Y`): of several destinations, that to the first.
    pub fn is_transferred(&self) -> bool {
        self.transfer_complete
            .rsplit(',')
            .next()
            .is_some_and(|last| last.trim() == "Y")
    }
}

/// A size as `du -sh` prints it: powers of 1024, rounded up, one decimal below ten.
pub fn du_size(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if bytes == 0 {
        return "0".to_owned();
    }
    let mut unit = 0;
    let mut divisor = 1024_u128;
    let bytes = u128::from(bytes);
    while bytes.div_ceil(divisor) >= 1024 && unit + 1 < UNITS.len() {
        unit += 1;
        divisor *= 1024;
    }
    let tenths = (bytes * 10).div_ceil(divisor);
    if tenths < 100 {
        format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{}{}", bytes.div_ceil(divisor), UNITS[unit])
    }
}

/// The bytes that a size stands for which `du -h` has printed (`480M`, `1.5G`, `0`); `None` for any other text.
pub fn du_bytes(text: &str) -> Option<u64> {
    const UNITS: &str = "KMGTPE";
    let text = text.trim();
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let power = UNITS.find(unit.to_ascii_uppercase())? + 1;
            (&text[..at], 1024_f64.powi(i32::try_from(power).ok()?))
        }
        _ => (text, 1.0),
    };
    // Some languages write a comma.
    let number: f64 = number.replace(',', ".").parse().ok()?;
    let bytes = number * factor;
    // Beyond that it is nobody's.
    (number >= 0.0 && bytes < 1e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_is_at_one_destination_has_arrived_and_is_owed_to_the_others() {
        let name = |text: &str| DestinationName::new(text).unwrap();
        let set = Backup {
            node: Some(NodeName::new("db1").unwrap()),
            transfer_to: vec![name("vault"), name("near")],
            transfer_complete: "N,N".into(),
            ..serde_json::from_str(include_str!("../fixtures/set.json")).unwrap()
        };
        let owed = |set: &Backup| set.owed_to().map(ToString::to_string).collect::<Vec<_>>();
        assert!(!set.has_arrived());
        assert_eq!(owed(&set), ["vault", "near"]);
        for (arrived, complete, left) in [
            (vec!["near"], true, vec!["vault"]),
            (vec!["near", "vault"], true, vec![]),
            // Sent by hand to where it was not meant to go.
            (vec!["attic"], true, vec!["vault", "near"]),
            (vec!["near"], false, vec![]),
        ] {
            let set = Backup {
                arrived: arrived.iter().copied().map(name).collect(),
                complete: vec![complete],
                ..set.clone()
            };
            assert!(set.has_arrived() && !set.is_transferred());
            assert_eq!(owed(&set), left, "{arrived:?}");
        }
        let removed = Backup {
            removed_from: vec![name("near")],
            ..set
        };
        assert_eq!(owed(&removed), ["vault"]);
    }

    #[test]
    fn what_du_prints_is_read_back() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("4.0K", Some(4096)),
            ("1,5G", Some(1_610_612_736)),
            (" 480M\n", Some(480 << 20)),
            ("unknown", None),
            ("", None),
            ("-1K", None),
            ("1e300E", None),
            ("NaN", None),
        ] {
            assert_eq!(du_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn sizes_read_as_du_prints_them() {
        for (bytes, text) in [
            (0, "0"),
            (1, "0.1K"),
            (4096, "4.0K"),
            (10_240, "10K"),
            (10_241, "11K"),
            (480 * 1024 * 1024, "480M"),
            (1024 * 1024, "1.0M"),
            (1_610_612_736, "1.5G"),
            (1024 * 1024 - 1, "1.0M"),
        ] {
            assert_eq!(du_size(bytes), text, "{bytes}");
        }
    }
}
