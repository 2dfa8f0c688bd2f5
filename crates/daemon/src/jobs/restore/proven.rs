//! What a proof has counted, of a set without a manifest: nothing else says what its files held.

use super::Prepared;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::proof::{Difference, Proof};
use mykeeper_tools::restore::Scope;
use std::collections::BTreeMap;

/// Said where there is no proof either.
pub(crate) const READABLE: &str =
    "no manifest and no proof tell what was written: only that each file is readable was checked";

/// What a set took when it was made, where no manifest tells more.
pub(crate) fn recorded_size(backup: &Backup) -> Option<&str> {
    let has_none = backup.manifest_blake3.is_none();
    has_none.then_some(backup.size_text.as_str())
}

/// The newest proof that has passed.
pub(crate) fn newest_passed(proofs: Vec<Proof>) -> Option<Proof> {
    proofs.into_iter().find(Proof::passed)
}

/// Whether `proof` tells of each database that is wanted, and of all of its tables.
fn tells_of(proof: &Proof, scope: &Scope) -> bool {
    let is_known = |name: &String| proof.databases.iter().any(|one| one.database == *name);
    scope.tables.is_empty() && scope.databases.iter().all(is_known)
}

/// Databases whose files hold fewer rows than the proof has counted; `rows` by database of the set.
pub(super) fn fewer(proof: &Proof, scope: &Scope, rows: &BTreeMap<String, u64>) -> Vec<Difference> {
    let whole = proof
        .databases
        .iter()
        .filter(|one| scope.databases.contains(&one.database) && scope.tables_of(&one.database).is_none());
    let differences = whole.filter_map(|one| {
        let found = rows.get(&one.database).copied().unwrap_or(0);
        lacking(proof, &one.database, (one.rows_compared, found))
    });
    differences.collect()
}

/// The same of a whole copy, whose files hold so many rows; `None` too where the proof does not tell of all `databases`.
pub(crate) fn fewer_in_all(proof: &Proof, databases: &[String], found: u64) -> Option<Difference> {
    is_of_all(proof, databases).then_some(())?;
    let counted = proof.databases.iter().map(|one| one.rows_compared).sum();
    lacking(proof, "", (counted, found))
}

/// Whether the proof tells of all of them.
pub(crate) fn is_of_all(proof: &Proof, databases: &[String]) -> bool {
    let is_known = |name: &String| proof.databases.iter().any(|one| one.database == *name);
    databases.iter().all(is_known)
}

fn lacking(proof: &Proof, database: &str, (counted, found): (u64, u64)) -> Option<Difference> {
    (found < counted).then(|| Difference {
        database: database.to_owned(),
        object: "rows in the files".to_owned(),
        expected: format!(
            "{counted}, as its proof of {} has counted",
            proof.finished_at.format("%Y-%m-%d %H:%M UTC")
        ),
        found: found.to_string(),
    })
}

impl Prepared {
    /// What reading its files has shown of a set that may be loaded.
    pub fn is_as(&self) -> &'static str {
        match (self.files.is_empty(), self.proof_tells()) {
            (false, _) => "is as it was written",
            (true, Some(_)) => "is readable, and they hold no fewer rows than its proof has counted",
            (true, None) => "is readable; whether it is as it was written is not known",
        }
    }

    /// The proof of a set without a manifest, where it tells of all that is restored.
    pub(super) fn proof_tells(&self) -> Option<&Proof> {
        self.proof.as_ref().filter(|proof| tells_of(proof, &self.scope))
    }
}
