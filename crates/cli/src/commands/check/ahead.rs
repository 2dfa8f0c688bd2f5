//! What went ahead of sets and nobody has removed, or looked at, since.

use super::{Findings, Grade};
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::jobs::{Leftover, noted_ahead};
use mykeeper_daemon::state_dir::StateDir;

/// Names each, but those of runs that go on.
pub(super) async fn look_for_leftovers(
    (settings, state): (&Settings, &StateDir),
    catalog: Option<&dyn Catalog>,
    findings: &mut Findings,
) {
    let (noted, unreadable) = noted_ahead(state);
    for path in unreadable {
        findings.add(
            "sent ahead",
            Grade::Warning,
            format!(
                "{} cannot be read: it names a set by its file's name, and what went ahead of that set may lie at the \
                 destination; look there, and remove the file",
                path.display()
            ),
        );
    }
    for leftover in noted {
        if goes_on(&leftover, catalog).await {
            continue;
        }
        let Leftover {
            bk_id,
            destination,
            relative,
            ..
        } = &leftover;
        let next = match settings.destinations.contains_key(destination) {
            true => format!("the next run that sends to {destination} removes what is to be removed"),
            false => "the destination is not configured any more: remove it there by hand".to_owned(),
        };
        findings.add(
            "sent ahead",
            Grade::Warning,
            format!("files of set {bk_id} went ahead to {destination}, below {relative}, in a run that is over; {next}"),
        );
    }
}

async fn goes_on(leftover: &Leftover, catalog: Option<&dyn Catalog>) -> bool {
    let Some(catalog) = catalog else { return false };
    matches!(catalog.run(leftover.run).await, Ok(Some(run)) if !run.state.is_final())
}
