//! What a server says beside a definition that it takes, or against one that it does not.

use super::{Complaint, Loaded, Place, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// What the server adds to a definition whose definer has no account.
const NO_SUCH_DEFINER: u16 = 1449;

/// What came of some units.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// By unit.
    pub(super) refused: Vec<(usize, Complaint)>,
    /// By unit, of what came or went while the set was made.
    pub(super) unsettled: Vec<(usize, Complaint)>,
    /// By statement.
    pub(super) notes: Vec<(Place, String)>,
}

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
    for (_, complaint) in &outcome.unsettled {
        loaded.warnings.push(format!(
            "{complaint}; what it was to create came or went while the set was made"
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_definers_are_counted_once_a_definition() {
        let unit = Unit {
            database: "shop".into(),
            view: None,
            path: "f".into(),
            statements: vec![],
        };
        let line = "Note (Code 1449): The user specified as a definer ('app'@'%') does not exist".to_owned();
        let outcome = Outcome {
            refused: vec![(
                0,
                Complaint {
                    path: "f".into(),
                    code: 1,
                    text: "no".into(),
                },
            )],
            notes: vec![((0, 1), line.clone()), ((0, 1), line.clone()), ((0, 2), line)],
            ..Outcome::default()
        };
        let (mut loaded, mut definers) = (Loaded::default(), BTreeMap::new());
        note(&[unit], &outcome, (&mut loaded, &mut definers));
        assert_eq!(definers, BTreeMap::from([("'app'@'%'".to_owned(), 2)]));
        assert_eq!(loaded.complaints["shop"].refusals, ["f: no"]);
    }
}
