//! Copies that may be whole and that a run has not read: while there is one, its set has not failed for its files.

use crate::jobs::verify::Looked;
use crate::jobs::{JobError, RunContext};
use crate::locate::{original, relative_path};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::RunFilter;
use mykeeper_domain::NodeName;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::{Damage, IntactCopy};
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::run::RunState;
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::verification::{LookedAtCopy, Verification};
use std::collections::BTreeMap;
use std::path::Path;

/// What a node has found does not keep a set from its verdict for ever: not once the node has run nothing for so long.
const SIGN_OF_LIFE: TimeDelta = TimeDelta::days(30);

/// A copy that may be whole, for people; `None`: there is none.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn unread_copy(
    context: &RunContext,
    backup: &Backup,
    looked: &Looked,
) -> Result<Option<String>, JobError> {
    let catalog = &context.environment.catalog;
    let looks = catalog.verifications(backup.id).await?;
    let proofs = catalog.proofs(backup.id).await?;
    let proven: Vec<IntactCopy> = proofs.iter().filter_map(IntactCopy::of_proof).collect();
    let intact = Damage::of(&looks, &proven).map_or_else(Vec::new, |damage| damage.intact);
    for copy in intact {
        let is_own = copy.node == context.environment.node;
        if is_own || lives(context, &copy.node, copy.looked_at).await? {
            return Ok(Some(format!(
                "the copy in {} on {} was as written at {}",
                copy.path,
                copy.node,
                copy.looked_at.format("%Y-%m-%d %H:%M UTC")
            )));
        }
    }
    let sent = catalog.transfers(backup.id).await?;
    Ok(arrived_unread(context, (backup, &sent), looked, &looks))
}

/// Whether a node has shown itself of late.
async fn lives(context: &RunContext, node: &NodeName, seen_at: DateTime<Utc>) -> Result<bool, JobError> {
    let since = context.clock().now() - SIGN_OF_LIFE;
    if seen_at >= since {
        return Ok(true);
    }
    let filter = RunFilter {
        node: Some(node.clone()),
        since: Some(since),
        limit: 1,
        ..RunFilter::default()
    };
    Ok(!context.environment.catalog.runs(&filter).await?.is_empty())
}

/// What has arrived at a destination and was read by nobody since, as far as can be told: which place of another node is
/// which destination is not known, and as many as were read there are taken for as many destinations.
fn arrived_unread(
    context: &RunContext,
    (backup, sent): (&Backup, &[Transfer]),
    looked: &Looked,
    looks: &[Verification],
) -> Option<String> {
    let settings = &context.settings;
    let relative = relative_path(backup, settings.catalog.timezone);
    let mut last: BTreeMap<&str, &Transfer> = BTreeMap::new();
    for transfer in sent.iter().filter(|transfer| transfer.purpose.tells_of_arrival()) {
        let counts = transfer.finished_at.is_some() && transfer.state != RunState::Skipped;
        let newest = last.entry(transfer.destination.as_str()).or_insert(transfer);
        if counts && newest.started_at <= transfer.started_at {
            *newest = transfer;
        }
    }
    let arrived = last
        .into_values()
        .filter(|transfer| transfer.state == RunState::Succeeded);
    let mut mounted = Vec::new();
    let mut far = Vec::new();
    for transfer in arrived {
        let told = format!("what was sent to {} has arrived there", transfer.destination);
        match settings
            .destinations
            .get(&transfer.destination)
            .map(|there| &there.url)
        {
            Some(DestinationUrl::Local { path }) => {
                let place = path.join(&relative).display().to_string();
                if looked.found.unread.contains(&place) {
                    return Some(format!("{told}, and {place} cannot be read now"));
                }
                mounted.push(place);
            }
            _ => far.push((transfer.finished_at, told)),
        }
    }
    let newest = far.iter().filter_map(|(at, _)| *at).max()?;
    let own = original(backup, &settings.node).map(|own| own.display().to_string());
    let is_sent = |copy: &&LookedAtCopy| Some(&copy.path) != own.as_ref() && !mounted.contains(&copy.path);
    let read_here = looked.found.copies.iter().filter(is_sent).count();
    let read_there: usize = looks
        .iter()
        .filter(|look| look.node != context.environment.node)
        .map(|look| {
            let made_there = backup.node.as_ref() == Some(&look.node);
            let is_copy = |copy: &&LookedAtCopy| {
                look.read_at(copy) >= newest && !(made_there && Path::new(&copy.path) == backup.folder())
            };
            look.copies.iter().filter(is_copy).count()
        })
        .sum();
    let unread = far.into_iter().nth(read_here + read_there);
    unread.map(|(_, told)| format!("{told}, and nobody has read it since"))
}
