//! Originals that would go while none of their copies is to be seen: what was sent to a folder of this machine is looked
//! for there, since its disk may be away and nobody need have missed it yet.

use crate::copies::{Known, root_here};
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::locate::relative_path;
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, du_size};
use mykeeper_domain::retention::{CondemnReason, Decision, KeepReason, Verdict};
use mykeeper_domain::{BackupId, counted};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Keeps of `originals`, which lie where that says, those that no rule keeps and whose copies are all away, missing or
/// damaged. A set that was sent nowhere has none.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn keep_for_unseen(
    environment: &Environment,
    settings: &Settings,
    originals: &BTreeMap<BackupId, PathBuf>,
    decisions: &mut [Decision],
) -> Result<(), DaemonError> {
    let no_rule = Verdict::Condemn(CondemnReason::NoRuleKeepsIt);
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
            && !is_seen(environment, settings, (&decision.backup, &known)).await
        {
            decision.verdict = Verdict::Keep(vec![KeepReason::CopiesNotSeen]);
        }
    }
    Ok(())
}

/// Whether a copy may still be where it was sent, or read by another machine. An address is not asked.
async fn is_seen(environment: &Environment, settings: &Settings, (backup, known): (&Backup, &Known)) -> bool {
    let mut intact = known.copies.intact.iter();
    if intact.any(|copy| copy.node != environment.node) {
        return true;
    }
    for arrival in &known.arrivals {
        let Some(root) = root_here(arrival, settings) else {
            return true;
        };
        let place = root.join(relative_path(backup, settings.catalog.timezone));
        // In doubt it is not: a disk that does not answer shows nothing.
        if environment.disk.is_dir(&place).await.unwrap_or(false) {
            return true;
        }
    }
    false
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
