//! Originals that destinations still wait for: once they have gone, nobody sends them.

use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, du_size};
use mykeeper_domain::retention::{Decision, KeepReason, Verdict};
use mykeeper_domain::{BackupId, DestinationName, counted};
use std::collections::{BTreeMap, BTreeSet};

/// What has not arrived everywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed {
    /// Still to be sent.
    pub(super) waiting: BTreeMap<BackupId, Vec<DestinationName>>,
    /// To what is no destination here any more: nobody will send it there, and nothing waits for that.
    dropped: BTreeMap<BackupId, Vec<DestinationName>>,
}

impl Owed {
    /// Takes a set whose original lies on this machine.
    pub(super) fn take(&mut self, backup: &Backup, settings: &Settings) {
        for name in backup.owed_to() {
            let list = match settings.destinations.contains_key(name) {
                true => &mut self.waiting,
                false => &mut self.dropped,
            };
            list.entry(backup.id).or_default().push(name.clone());
        }
    }

    /// What goes in this pass without having arrived where it was to go, which nothing holds back any more.
    pub(super) fn told_of_dropped(&self, decisions: &[Decision]) -> Option<String> {
        let mut destinations = BTreeSet::new();
        let mut going = Vec::new();
        for decision in decisions {
            let names = self.dropped.get(&decision.backup.id);
            if let (Some(names), Verdict::Condemn(_)) = (names, &decision.verdict) {
                destinations.extend(names);
                going.push(decision);
            }
        }
        let nowhere = going
            .iter()
            .filter(|decision| !decision.backup.has_arrived())
            .count();
        let nowhere = match nowhere {
            0 => String::new(),
            some => format!("; {some} of them arrived nowhere else"),
        };
        (!going.is_empty()).then(|| {
            format!(
                "{} that never arrived at {}, which the configuration does not name any more{nowhere}",
                counted(going.len(), "set goes", "sets go"),
                listed(destinations)
            )
        })
    }

    /// Where a set that goes has not arrived; empty where it has arrived everywhere.
    pub(super) fn gone_without(&self, decision: &Decision) -> String {
        match (self.dropped.get(&decision.backup.id), &decision.verdict) {
            (Some(names), Verdict::Condemn(_)) => format!(
                "it never arrived at {}, which the configuration does not name any more",
                listed(names)
            ),
            _ => String::new(),
        }
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a DestinationName>) -> String {
    let names: Vec<&str> = names.into_iter().map(DestinationName::as_str).collect();
    names.join(", ")
}

/// A copy that nobody mends fills the disk as well.
pub(super) fn kept_as_only_whole(decisions: &[Decision]) -> Option<String> {
    let (number, bytes) = decisions
        .iter()
        .filter(|decision| decision.verdict == Verdict::Keep(vec![KeepReason::OnlyWholeCopy]))
        .fold((0, 0_u64), |(number, bytes), decision| {
            let size = decision.backup.size_bytes.unwrap_or(0);
            (number + 1, bytes.saturating_add(size))
        });
    (number > 0).then(|| {
        format!(
            "{} ({}), which no rule keeps, since the other copies differ or are missing; \"mykeeper check\" tells what mends them",
            counted(number, "set stays", "sets stay"),
            du_size(bytes)
        )
    })
}

/// A destination that is away for long fills the disk.
pub(super) fn kept_as_owed(decisions: &[Decision]) -> Option<String> {
    let mut destinations = BTreeSet::new();
    let (mut number, mut bytes) = (0, 0_u64);
    for decision in decisions {
        if decision.verdict == Verdict::Keep(vec![KeepReason::NotArrivedEverywhere]) {
            destinations.extend(&decision.owed_to);
            number += 1;
            bytes = bytes.saturating_add(decision.backup.size_bytes.unwrap_or(0));
        }
    }
    (number > 0).then(|| {
        format!(
            "{} ({}), which no rule keeps, until sent to {}; a transfer job sends what waits there, and a destination \
             that is taken out of the configuration holds nothing back",
            counted(number, "set stays", "sets stay"),
            du_size(bytes),
            listed(destinations)
        )
    })
}
