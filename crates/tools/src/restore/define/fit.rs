//! Statements of a set, fit for what is restored of it.

use super::{Definer, Unit};
use crate::prove::feed::trigger_id;
use std::collections::HashSet;

impl Definer<'_> {
    /// Leaves the triggers of tables that are written, and has those of a database of another name come into being
    /// there: each names its own as its author typed it.
    pub(super) fn fit(&self, unit: &mut Unit) {
        let (tables, is_renamed) = (
            self.scope.tables_of(&unit.database),
            self.scope.old_name(&unit.database).is_some(),
        );
        if tables.is_none() && !is_renamed {
            return;
        }
        let fitted = |statement: Vec<u8>| match self.naming.trigger(&statement) {
            Some(trigger) if tables.is_some_and(|tables| !tables.contains(&trigger.table)) => None,
            Some(trigger) if is_renamed => Some(trigger.bare),
            Some(_) => Some(statement),
            // One that cannot be read is missed afterwards; made as it is, it might be another database's.
            None => {
                let is_trigger = self
                    .written
                    .object(&statement)
                    .is_some_and(|object| object.starts_with("trigger "));
                let is_other = tables.is_some() && self.naming.drops_trigger(&statement);
                (!is_trigger && !is_other).then_some(statement)
            }
        };
        unit.statements = std::mem::take(&mut unit.statements)
            .into_iter()
            .filter_map(fitted)
            .collect();
    }

    /// Leaves each trigger once: mydumper 0.10 writes those of `t11` with those of `t_1`, too.
    pub(super) fn leave_doubles(&self, units: &mut [Unit]) {
        let mut seen = HashSet::new();
        for Unit {
            database, statements, ..
        } in units
        {
            statements.retain(|statement| {
                let is_trigger = self
                    .written
                    .object(statement)
                    .is_some_and(|object| object.starts_with("trigger "));
                !is_trigger || seen.insert(trigger_id(database, statement))
            });
        }
    }
}
