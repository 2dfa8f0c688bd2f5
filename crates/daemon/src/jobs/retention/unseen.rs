//! Originals that would go while none of their copies is to be seen: what was sent to a folder of this machine is looked
//! for there, file by file, since its disk may be away, or emptied, and nobody need have missed it yet.

use crate::copies::{Known, lives, root_here};
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::locate::relative_path;
use mykeeper_config::Settings;
use mykeeper_domain::arrival::Arrival;
use mykeeper_domain::backup::{Backup, du_size};
use mykeeper_domain::retention::{CondemnReason, Decision, KeepReason, Verdict};
use mykeeper_domain::{BackupId, counted};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Keeps of `originals`, which lie where that says, those that no rule keeps and whose copies are all away, missing or
/// damaged. A set that was sent nowhere has none. Gives, of those that go, what stays of them, for people.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn keep_for_unseen(
    environment: &Environment,
    settings: &Settings,
    originals: &BTreeMap<BackupId, PathBuf>,
    decisions: &mut [Decision],
) -> Result<BTreeMap<BackupId, String>, DaemonError> {
    let no_rule = Verdict::Condemn(CondemnReason::NoRuleKeepsIt);
    let mut staying = BTreeMap::new();
    for decision in decisions
        .iter_mut()
        .filter(|decision| decision.verdict == no_rule)
    {
        let Some(own) = originals.get(&decision.backup.id) else {
            continue;
        };
        let known = Known::of(environment.catalog.as_ref(), &decision.backup).await?;
        if known.has_lost_others((&environment.node, own)) {
            decision.verdict = Verdict::Keep(vec![KeepReason::OnlyWholeCopy]);
        } else if !known.arrivals.is_empty()
            && !is_seen(environment, settings, (&decision.backup, &known)).await?
        {
            decision.verdict = Verdict::Keep(vec![KeepReason::CopiesNotSeen]);
        } else {
            staying.insert(decision.backup.id, what_stays(&known));
        }
    }
    Ok(staying)
}

/// `the original alone goes: it has arrived at vault, where it was last seen on 2026-11-20 04:10 UTC`
fn what_stays(known: &Known) -> String {
    let arrivals = known.arrivals.iter().map(|arrival| {
        let seen_at = arrival.seen_at.format("%Y-%m-%d %H:%M UTC");
        format!("at {}, where it was last seen on {seen_at}", arrival.destination)
    });
    let arrivals: Vec<String> = arrivals.collect();
    match arrivals.is_empty() {
        true => "all of it goes: it was sent nowhere".to_owned(),
        false => format!(
            "the original alone goes: it has arrived {}",
            arrivals.join(", and ")
        ),
    }
}

/// Whether a copy is where it was sent, or another machine that lives has read it, or sent it, elsewhere than in a folder
/// where it is not to be seen from here. An address is not asked.
///
/// # Errors
/// The catalog does not answer.
async fn is_seen(
    environment: &Environment,
    settings: &Settings,
    (backup, known): (&Backup, &Known),
) -> Result<bool, DaemonError> {
    let (mut looked_at, mut elsewhere) = (BTreeSet::new(), Vec::new());
    for arrival in &known.arrivals {
        let Some(sent_to) = folder_of(arrival, backup, settings) else {
            return Ok(true);
        };
        if let Some(other) = arrival.node.as_ref().filter(|node| **node != environment.node) {
            elsewhere.push((other, sent_to, arrival.seen_at));
            continue;
        }
        // A destination that was renamed, or moved with its disk.
        let now = root_here(arrival, settings)
            .map(|root| root.join(relative_path(backup, settings.catalog.timezone)));
        for place in now.into_iter().chain([sent_to]) {
            if !looked_at.contains(&place)
                && environment
                    .whereabouts(settings)
                    .holds_all(backup, &place)
                    .await?
            {
                return Ok(true);
            }
            looked_at.insert(place);
        }
    }
    let intact = known.copies.intact.iter();
    let read = intact.filter(|copy| copy.node != environment.node);
    elsewhere.extend(read.map(|copy| (&copy.node, PathBuf::from(&copy.path), copy.looked_at)));
    let (catalog, now) = (environment.catalog.as_ref(), environment.clock.now());
    for (node, place, at) in elsewhere {
        // Two machines may have mounted one folder.
        if !looked_at.contains(&place) && lives(catalog, node, at, now).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The set's own folder where it was sent to one; `None` of an address, which is taken at its word.
fn folder_of(arrival: &Arrival, backup: &Backup, settings: &Settings) -> Option<PathBuf> {
    if arrival.target.starts_with('/') {
        return Some(PathBuf::from(&arrival.target));
    }
    // pybackup's sets have the destination alone.
    let root =
        Some(&arrival.destination).filter(|root| arrival.target.is_empty() && root.starts_with('/'))?;
    Some(Path::new(root).join(relative_path(backup, settings.catalog.timezone)))
}

/// A disk that stays away fills this one.
pub(super) fn kept_as_unseen(decisions: &[Decision]) -> Option<String> {
    let stay = decisions
        .iter()
        .filter(|decision| decision.verdict == Verdict::Keep(vec![KeepReason::CopiesNotSeen]));
    let (number, bytes) = stay.fold((0, 0_u64), |(number, bytes), decision| {
        let size = decision.backup.size_bytes.unwrap_or(0);
        (number + 1, bytes.saturating_add(size))
    });
    (number > 0).then(|| {
        format!(
            "{} ({}), which no rule keeps, since the copies are not to be seen in the folders that they were sent to: is a \
             disk unmounted? \"mykeeper check\" and \"mykeeper verify\" tell more",
            counted(number, "set stays", "sets stay"),
            du_size(bytes)
        )
    })
}
