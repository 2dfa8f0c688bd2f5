//! What went ahead of sets and nobody has removed, or looked at, since.

use super::{Findings, Grade};
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::jobs::{Fate, Leftover, noted_ahead};
use mykeeper_daemon::state_dir::StateDir;

/// Names each, but those of runs that go on, and of sets that have arrived or are still to be sent.
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
        let fate = match catalog {
            Some(catalog) => leftover.fate(catalog, None).await.ok(),
            None => None,
        };
        let is_known = settings.destinations.contains_key(&leftover.destination);
        if fate == Some(Fate::Forgotten) || is_known && fate == Some(Fate::InUse) && !leftover.has_strays() {
            continue;
        }
        let Leftover {
            bk_id,
            destination,
            relative,
            ..
        } = &leftover;
        if catalog.is_none() {
            let detail = format!(
                "files of set {bk_id} went ahead to {destination}, below {relative}; what is to become of them cannot be told \
                 without the catalog"
            );
            findings.add("sent ahead", Grade::Note, detail);
            continue;
        }
        let next = match (is_known, fate) {
            (false, _) => format!(
                "the destination is not configured any more: {}",
                leftover.by_hand(state)
            ),
            (true, Some(Fate::Unknown)) => format!(
                "the catalog does not know what became of the set, so nothing removes them: {}",
                leftover.by_hand(state)
            ),
            (true, _) => format!("the next run that sends to {destination} removes what is to be removed"),
        };
        findings.add(
            "sent ahead",
            Grade::Warning,
            format!("files of set {bk_id} went ahead to {destination}, below {relative}, in a run that is over; {next}"),
        );
    }
}
