//! What a server says beside a definition that it takes, or against one that it does not.

use super::{Loaded, Outcome, Place, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// What the server adds to a definition whose definer has no account.
const NO_SUCH_DEFINER: u16 = 1449;

/// Keeps refusals, and counts the definers that are missing.
pub(super) fn note(
    units: &[Unit],
    outcome: &Outcome,
    (loaded, definers): (&mut Loaded, &mut BTreeMap<String, u64>),
) {
    for (unit, complaint) in &outcome.refused {
        if let Some(unit) = units.get(*unit) {
            loaded
                .complaints
                .entry(unit.database.clone())
                .or_default()
                .refusals
                .push(complaint.to_string());
        }
    }
    let named: BTreeSet<(Place, String)> = outcome
        .notes
        .iter()
        .filter(|(_, line)| note_code(line) == Some(NO_SUCH_DEFINER))
        .filter_map(|(place, line)| {
            Some((
                *place,
                line.split_once('(')?
                    .1
                    .split_once("('")?
                    .1
                    .split_once(')')?
                    .0
                    .to_owned(),
            ))
        })
        .collect();
    for (_, definer) in named {
        *definers.entry(format!("'{definer}")).or_default() += 1;
    }
}

/// The number in `Note (Code 1449): ...`.
pub(super) fn note_code(line: &str) -> Option<u16> {
    line.split_once("(Code ")?.1.split_once(')')?.0.parse().ok()
}
