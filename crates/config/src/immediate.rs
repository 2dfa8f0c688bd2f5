//! `prove = "immediately"`, held against the validation jobs.

use crate::document::{Spot, complaint};
use crate::keeper::Keeper;
use mykeeper_domain::immediate::Demands;
use mykeeper_domain::job::{Job, JobKind};
use mykeeper_domain::{JobName, ServerName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Refuses a proof that no validation job says anything of: it is that job's asserts that decide, and what cannot be tried
/// at once is left to it.
pub(crate) fn check(proofs: &[(Spot<'_>, ServerName)], keeper: &Keeper, jobs: &BTreeMap<JobName, Arc<Job>>) {
    let validations: Vec<&Job> = jobs
        .values()
        .map(Arc::as_ref)
        .filter(|job| job.kind() == JobKind::Validation)
        .collect();
    for (spot, server) in proofs {
        // A server that is not there, or has mistakes, is told of where it is named.
        let Some(server) = keeper.servers.get(server) else {
            continue;
        };
        if Demands::of(validations.iter().copied(), &server.tag).is_some() {
            continue;
        }
        let tag = &server.tag;
        let why = match validations.is_empty() {
            true => "there is no validation job in this file".to_owned(),
            false => format!("no validation job of this file has {tag:?} among its `tags`"),
        };
        spot.mistake(
            complaint(format!(
                "{why}: nothing says what a proof of these sets asks for, and what cannot be proven at once would be \
                 left to nobody"
            ))
            .help(format!(
                "add [validation.prove] with a `cron`, or add {tag:?} to the `tags` of one that is there"
            )),
        );
    }
}
