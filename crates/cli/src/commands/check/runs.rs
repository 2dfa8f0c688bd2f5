//! What the jobs have come to: those whose last run failed, and sets that a validation job waits for in vain.

use super::dropins::last_by_tag;
use super::{Findings, Grade};
use crate::output::when;
use crate::surroundings::local_zone;
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::out_of_reach::out_of_reach;
use mykeeper_domain::run::{Run, RunState};
use mykeeper_domain::{Clock, SystemClock};

const LONGEST_REASON: usize = 300;
/// What comes before the statements that mend missing rights.
const STATEMENTS: &str = "run there:";

/// Names each job whose last run did not do what it was for.
pub(super) async fn look_at_last_runs(settings: &Settings, catalog: &dyn Catalog, findings: &mut Findings) {
    let now = SystemClock.now();
    let runs = match catalog.last_runs(&settings.node, now).await {
        Ok(runs) => runs,
        Err(error) => {
            let detail = format!("how the last run of each job ended cannot be told: {error}");
            return findings.add("jobs", Grade::Warning, detail);
        }
    };
    let ours = runs.iter().filter(|run| settings.jobs.contains_key(&run.job));
    let mut last: Vec<(String, Run)> = ours.map(|run| (run.job.to_string(), run.clone())).collect();
    match last_by_tag(settings, catalog, (&runs, now)).await {
        Ok(by_tag) => last.extend(by_tag),
        Err(error) => {
            let detail =
                format!("how the last runs of pybackup's command line ended cannot be told: {error}");
            findings.add("jobs", Grade::Warning, detail);
        }
    }
    for (name, run) in last.iter().filter(|(_, run)| has_failed(run)) {
        let ended = when(run.finished_at.unwrap_or(run.requested_at), local_zone());
        let reason = in_short(run.reason.as_deref().unwrap_or_default());
        let detail = format!(
            "its last run {} at {ended}: {reason}. \"mykeeper show {}\" tells all of it",
            ended_as(run.state),
            run.id
        );
        findings.add(format!("job {name}"), Grade::Warning, detail);
    }
}

/// What is long is cut, and never within a statement that is to be copied.
fn in_short(reason: &str) -> String {
    let Some((end, _)) = reason.char_indices().nth(LONGEST_REASON) else {
        return reason.to_owned();
    };
    let kept = &reason[..end];
    let kept = kept
        .find(STATEMENTS)
        .map_or(kept, |statements| &kept[..statements]);
    format!("{}…", kept.trim_end_matches([' ', ';']))
}

fn has_failed(run: &Run) -> bool {
    let failed = [
        RunState::Failed,
        RunState::TimedOut,
        RunState::Stalled,
        RunState::Interrupted,
    ];
    failed.contains(&run.state)
}

fn ended_as(state: RunState) -> &'static str {
    match state {
        RunState::TimedOut => "ran out of time",
        RunState::Stalled => "stalled, and was ended",
        RunState::Interrupted => "was interrupted",
        _ => "failed",
    }
}

/// Names the tags whose sets this node is to prove and does not find.
pub(super) async fn look_for_sets_out_of_reach(
    settings: &Settings,
    catalog: &dyn Catalog,
    findings: &mut Findings,
) {
    match out_of_reach(catalog, settings, SystemClock.now()).await {
        Ok(found) => {
            for missing in found {
                findings.add(
                    format!("job {}", missing.job),
                    Grade::Warning,
                    missing.to_string(),
                );
            }
        }
        Err(error) => {
            let detail =
                format!("whether sets that wait for their proof are found here cannot be told: {error}");
            findings.add("paths", Grade::Warning, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_before_the_statements_that_it_has_no_room_for() {
        let lacks = "the account lacks EVENT on `mysql`; run there: ";
        let short = format!("{lacks}GRANT EVENT ON `mysql`.* TO 'b'@'h';");
        assert_eq!(in_short(&short), short);
        let long = format!("{lacks}{}", "GRANT EVENT ON `mysql`.* TO 'b'@'h'; ".repeat(20));
        assert_eq!(in_short(&long), "the account lacks EVENT on `mysql`…");
        assert_eq!(in_short(&"标".repeat(400)).chars().count(), LONGEST_REASON + 1);
    }
}
