//! Sets whose proof failed, and that nothing newer has made good.

use super::{Findings, Grade};
use crate::output::when;
use crate::surroundings::local_zone;
use mykeeper_catalog::Catalog;
use mykeeper_daemon::failed::{MOST_FAILED, failed_sets};

/// Names the newest set of each job that has a verdict, where it failed. One that is named as damaged already is not
/// named again.
pub(super) async fn look_for_failed_sets(catalog: &dyn Catalog, findings: &mut Findings) {
    let failed = match failed_sets(catalog, |_| true).await {
        Ok(failed) => failed,
        Err(error) => {
            let detail = format!("whether there are any cannot be told: {error}");
            return findings.add("failed proofs", Grade::Warning, detail);
        }
    };
    if failed.is_cut {
        let detail = format!(
            "more than {MOST_FAILED} sets that failed are still there, and the newest {MOST_FAILED} were looked through: of jobs \
             whose last failure is older nothing is said here; \"mykeeper backups --state failed\" lists them"
        );
        findings.add("failed proofs", Grade::Note, detail);
    }
    for failed in failed.standing {
        let (id, what) = (failed.backup.id, format!("set {}", failed.backup.id));
        if findings.0.iter().any(|finding| finding.what == what) {
            continue;
        }
        let of = match &failed.backup.job {
            Some(job) => format!("job {job}"),
            None => failed.backup.tag.clone(),
        };
        let started = when(failed.backup.started_at, local_zone());
        let detail = format!(
            "of {of}, started at {started}: {}; no set after it has passed. \"mykeeper show {id}\" tells all of it",
            failed.why()
        );
        findings.add(what, Grade::Warning, detail);
    }
}
