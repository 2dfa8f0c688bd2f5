//! Views, in whatever order they stand upon each other.

use super::{Complaint, Definer, Loaded, Outcome, Unit, is_excused, note, unsettled_bases};
use crate::error::ToolError;
use std::collections::{BTreeMap, BTreeSet};

impl Definer<'_> {
    /// Round by round, as long as one more can be created: a view may stand on one that comes later.
    pub(super) async fn define_views(
        &self,
        (loaded, definers): (&mut Loaded, &mut BTreeMap<String, u64>),
    ) -> Result<(), ToolError> {
        let files = self.layout.databases.iter().flat_map(|(database, files)| {
            let views = files.views.iter();
            views.map(move |(view, file)| (database.clone(), Some(view.clone()), file.clone()))
        });
        let mut waiting = self.read_units(files.collect(), |_| true).await?;
        let mut failed: Vec<(Unit, Complaint)> = Vec::new();
        while !waiting.is_empty() {
            let before = waiting.len();
            let outcome = self.define(&waiting).await?;
            let views = Outcome {
                notes: outcome.notes,
                ..Outcome::default()
            };
            note(&waiting, &views, (loaded, definers));
            let mut first: BTreeMap<usize, Complaint> = BTreeMap::new();
            for (unit, complaint) in outcome.refused {
                first.entry(unit).or_insert(complaint);
            }
            failed = waiting
                .into_iter()
                .enumerate()
                .filter_map(|(index, unit)| first.remove(&index).map(|complaint| (unit, complaint)))
                .collect();
            if failed.len() == before {
                break;
            }
            waiting = failed.iter().map(|(unit, _)| unit.clone()).collect();
        }
        self.judge_views(&failed, loaded);
        Ok(())
    }

    /// Tells a view that stands on what was not asked for from one that should be there.
    pub(super) fn judge_views(&self, failed: &[(Unit, Complaint)], loaded: &mut Loaded) {
        let name = |unit: &'_ Unit| unit.view.clone().unwrap_or_default();
        let unsettled = self.known.map_or_else(BTreeSet::new, unsettled_bases);
        let mut excused: BTreeSet<(String, String)> = unsettled
            .into_iter()
            .map(|(database, base)| (database.to_owned(), base.to_owned()))
            .collect();
        loop {
            let before = excused.len();
            for (unit, complaint) in failed {
                let known = excused
                    .iter()
                    .map(|(database, view)| (self.scope.there(database), view.as_str()))
                    .collect();
                if is_excused(complaint, &|name| self.scope.makes(name), &known) {
                    excused.insert((unit.database.clone(), name(unit)));
                }
            }
            if excused.len() == before {
                break;
            }
        }
        for (unit, complaint) in failed {
            let state = loaded.complaints.entry(unit.database.clone()).or_default();
            if excused.contains(&(unit.database.clone(), name(unit))) {
                state.excused_views.insert(name(unit));
                loaded.warnings.push(format!(
                    "{}: view {} is left out: it stands on what is neither restored nor in the server: {}",
                    self.scope.there(&unit.database),
                    name(unit),
                    complaint.text
                ));
            } else {
                state.refusals.push(complaint.to_string());
            }
        }
    }
}
