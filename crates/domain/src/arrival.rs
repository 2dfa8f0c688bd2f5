//! Which copies of a set have arrived at their destinations, as its transfers tell it.

use crate::backup::Backup;
use crate::destination::DestinationUrl;
use crate::ids::NodeName;
use crate::run::RunState;
use crate::transfer::{Transfer, TransferPurpose};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A copy that has arrived, and that nobody has found to differ at its destination since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The destination's name; its URL where pybackup has sent the set.
    pub destination: String,
    /// The set's own folder there, without secrets: of a destination that is a folder, its path. Empty where pybackup has
    /// sent the set.
    pub target: String,
    /// The machine that has sent it; `None` where pybackup has.
    pub node: Option<NodeName>,
    /// When it was last written to, also by a sending that did not come through: what was read there before is not what
    /// lies there now.
    pub written_at: DateTime<Utc>,
    /// When it was last seen there as the set was written: by a sending that succeeded, or a comparison.
    pub seen_at: DateTime<Utc>,
}

impl Arrival {
    /// The machine that it was sent to, as its address names it; `None` for a folder.
    pub fn host(&self) -> Option<String> {
        let text = match self.target.as_str() {
            "" => &self.destination,
            target => target,
        };
        // As pybackup writes the module of an rsync daemon.
        if let Some((authority, _)) = text.split_once("::")
            && !text.contains("://")
        {
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            return Some(host.to_owned());
        }
        match text.parse().ok()? {
            DestinationUrl::Daemon { host, .. } | DestinationUrl::Ssh { host, .. } => Some(host),
            DestinationUrl::Local { .. } => None,
        }
    }

    /// Whether it was sent to a folder, as far as is known; of another machine perhaps, and not by an address.
    pub fn is_in_a_folder(&self) -> bool {
        self.target.is_empty() || self.target.starts_with('/')
    }

    /// Whether it was sent to the machine that a node is called after: to `vault1` or `vault1.example.com` for `vault1`.
    pub fn is_at(&self, node: &NodeName) -> bool {
        let first = |name: &str| name.split('.').next().unwrap_or(name).to_ascii_lowercase();
        self.host().is_some_and(|host| {
            let is_short = !node.as_str().contains('.') || !host.contains('.');
            let is_address = host.parse::<IpAddr>().is_ok();
            host.eq_ignore_ascii_case(node.as_str())
                || is_short && !is_address && first(&host) == first(node.as_str())
        })
    }
}

/// Of the transfers of a set, oldest first. One that says nothing of what lies there (a comparison that was cut off or could
/// not be made, a sending that was not begun) leaves everything as it was.
pub fn arrivals(backup: &Backup, transfers: &[Transfer]) -> Vec<Arrival> {
    let mut arrived: BTreeMap<&str, Arrival> = BTreeMap::new();
    for transfer in transfers {
        let Some(at) = transfer.finished_at else {
            continue;
        };
        let destination = transfer.destination.as_str();
        match (transfer.purpose, transfer.state) {
            (TransferPurpose::Send, state) if state.is_success() => {
                let arrival = Arrival {
                    destination: destination.to_owned(),
                    target: transfer.target.clone(),
                    node: Some(transfer.node.clone()),
                    written_at: at,
                    seen_at: at,
                };
                arrived.insert(destination, arrival);
            }
            (TransferPurpose::Send, RunState::Skipped) => {}
            (TransferPurpose::Send, _) => {
                if let Some(arrival) = arrived.get_mut(destination) {
                    arrival.written_at = at;
                }
            }
            (TransferPurpose::Verify, RunState::Failed) => drop(arrived.remove(destination)),
            (TransferPurpose::Verify, RunState::Succeeded) => {
                if let Some(arrival) = arrived.get_mut(destination) {
                    arrival.seen_at = at;
                }
            }
            // Retention has removed it there.
            (TransferPurpose::Clear, state) if state.is_success() => drop(arrived.remove(destination)),
            // What went ahead is a set only once it was sent.
            (TransferPurpose::Verify | TransferPurpose::Ahead | TransferPurpose::Clear, _) => {}
        }
    }
    // pybackup has no rows of transfers.
    let is_sent_by_others = transfers
        .iter()
        .all(|transfer| transfer.purpose != TransferPurpose::Send);
    if is_sent_by_others && backup.is_transferred() {
        let at = backup.transfer_finished_at.unwrap_or(backup.finished_at);
        return vec![Arrival {
            destination: backup.remote_dest.clone(),
            target: String::new(),
            node: None,
            written_at: at,
            seen_at: at,
        }];
    }
    arrived.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AttemptId, DestinationName};
    use chrono::TimeDelta;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn backup(transfer_complete: &str) -> Backup {
        let text = format!(
            r#"{{"id": "bcd36dc6-c9e7-11e7-9e30-005056b15d9c", "node": null, "job": null, "run_id": null,
            "bk_server": "a", "tag": "shop", "started_at": "1970-01-01T00:00:00Z",
            "finished_at": "1970-01-01T00:01:00Z", "elapsed_seconds": 60, "databases": ["shop"],
            "complete": [true], "reason": null, "size_bytes": null, "size_text": "1K", "dir": "/d",
            "consistency": null, "transfer_to": [], "transfer_started_at": null,
            "transfer_finished_at": "1970-01-01T00:05:00Z", "transfer_complete": "{transfer_complete}",
            "remote_dest": "x@there::b", "master_status": "", "slave_status": "",
            "tool_version": "", "server_version": "", "pybackup_version": "", "command": "",
            "deletion": "none", "deletion_reason": null, "validate_status": "N/A", "manifest_blake3": null}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_copy_has_arrived_until_it_is_found_to_differ() {
        use RunState::*;
        use TransferPurpose::*;
        for (name, attempts, expected) in [
            ("sent", vec![(Send, Succeeded)], Some((0, 0))),
            (
                "never came through",
                vec![(Send, Failed), (Send, Interrupted)],
                None,
            ),
            (
                "a comparison that could not be made hides nothing",
                vec![(Send, Succeeded), (Verify, Warned), (Verify, Cancelled)],
                Some((0, 0)),
            ),
            (
                "nor does one that was cut off",
                vec![(Send, Succeeded), (Verify, Interrupted)],
                Some((0, 0)),
            ),
            (
                "a resend that failed has written there",
                vec![(Send, Succeeded), (Send, Failed)],
                Some((1, 0)),
            ),
            (
                "one that was not begun has not",
                vec![(Send, Succeeded), (Send, Skipped)],
                Some((0, 0)),
            ),
            (
                "seen again",
                vec![(Send, Succeeded), (Verify, Succeeded)],
                Some((0, 1)),
            ),
            (
                "differs",
                vec![(Send, Succeeded), (Verify, Failed), (Send, Failed)],
                None,
            ),
            ("removed there", vec![(Send, Succeeded), (Clear, Succeeded)], None),
            (
                "not removed there",
                vec![(Send, Succeeded), (Clear, Failed)],
                Some((0, 0)),
            ),
            (
                "sent after what went ahead was removed",
                vec![(Ahead, Succeeded), (Clear, Succeeded), (Send, Succeeded)],
                Some((2, 2)),
            ),
            (
                "sent again",
                vec![(Send, Succeeded), (Verify, Failed), (Send, Succeeded)],
                Some((2, 2)),
            ),
        ] {
            let transfers: Vec<Transfer> = attempts
                .into_iter()
                .zip(0..)
                .map(|((purpose, state), number)| Transfer {
                    id: AttemptId::generate(),
                    run_id: None,
                    bk_id: backup("").id,
                    node: NodeName::new("a").unwrap(),
                    destination: DestinationName::new("vault").unwrap(),
                    target: "/vault/x".to_owned(),
                    number: 1,
                    purpose,
                    state,
                    reason: None,
                    sent_bytes: None,
                    started_at: at(number),
                    finished_at: Some(at(number)),
                })
                .collect();
            let found = arrivals(&backup(""), &transfers);
            let times = found.first().map(|arrival| (arrival.written_at, arrival.seen_at));
            assert_eq!(
                times,
                expected.map(|(written, seen)| (at(written), at(seen))),
                "{name}"
            );
        }
    }

    #[test]
    fn what_pybackup_has_sent_has_arrived_as_its_row_says() {
        let [sent] = &arrivals(&backup("N,N,Y"), &[])[..] else {
            panic!("one copy");
        };
        assert_eq!((sent.destination.as_str(), sent.seen_at), ("x@there::b", at(5)));
        assert_eq!(sent.host().as_deref(), Some("there"));
        for (target, host, is_at) in [
            ("rsync://a@[2001:db8::7]:99/m/x", Some("2001:db8::7"), false),
            ("rsync://192.0.2.7/m/x", Some("192.0.2.7"), false),
            ("rsync://vault1/m/x", Some("vault1"), true),
            ("a@Vault1.example.com:/m/x", Some("Vault1.example.com"), true),
            ("a@vault2:/m/x", Some("vault2"), false),
            ("/m/x", None, false),
        ] {
            let target = target.to_owned();
            let arrival = Arrival {
                target,
                ..sent.clone()
            };
            assert_eq!(arrival.host().as_deref(), host);
            assert_eq!(
                arrival.is_at(&NodeName::new("vault1").unwrap()),
                is_at,
                "{host:?}"
            );
            assert!(!arrival.is_at(&NodeName::new("192").unwrap()));
            assert!(
                !arrival.is_at(&NodeName::new("vault1.example.net").unwrap())
                    || is_at && host == Some("vault1")
            );
        }
        assert_eq!(arrivals(&backup("Y,N"), &[]), []);
        assert_eq!(arrivals(&backup(crate::backup::LOCAL_BACKUP), &[]), []);
    }
}
