//! What pybackup's command line has come to. Its runs share one name, under a number where two went on at once, and the
//! crontab's lines have no names at all: what tells them apart is the tag of the sets that they make.

use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_catalog::{BackupFilter, Catalog, CatalogError, RunFilter};
use mykeeper_config::Settings;
use mykeeper_domain::job::JobKind;
use mykeeper_domain::run::{Run, RunState};
use mykeeper_domain::{BackupId, JobName};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What has failed is told of for so long: the line that did it may not be there any more.
const TOLD_FOR: TimeDelta = TimeDelta::days(30);
/// No host makes more in that time that is worth a look.
const MOST: u32 = 1_000;

/// The last run for each name without its number and each tag, as far as runs ended in the time that they are told of.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn last_by_tag(
    settings: &Settings,
    catalog: &dyn Catalog,
    (last, now): (&[Run], DateTime<Utc>),
) -> Result<Vec<(String, Run)>, CatalogError> {
    let is_drop_in = |run: &&Run| {
        let is_recent = now - run.finished_at.unwrap_or(run.requested_at) < TOLD_FOR;
        !settings.jobs.contains_key(&run.job) && run.kind == JobKind::Backup && is_recent
    };
    let names: BTreeSet<&JobName> = last.iter().filter(is_drop_in).map(|run| &run.job).collect();
    let (mut runs, mut tags) = (Vec::new(), HashMap::new());
    for name in names {
        let filter = RunFilter {
            job: Some(name.clone()),
            node: Some(settings.node.clone()),
            since: Some(now - TOLD_FOR),
            limit: MOST,
            ..RunFilter::default()
        };
        runs.extend(catalog.runs(&filter).await?);
        let filter = BackupFilter {
            job: Some(name.clone()),
            node: Some(settings.node.clone()),
            since: Some(now - TOLD_FOR - TimeDelta::days(1)),
            limit: MOST,
            ..BackupFilter::default()
        };
        let sets = catalog.backups(&filter).await?;
        tags.extend(sets.into_iter().map(|set| (set.id, set.tag)));
    }
    Ok(newest(runs, &tags))
}

fn newest(mut runs: Vec<Run>, tags: &HashMap<BackupId, String>) -> Vec<(String, Run)> {
    let says_nothing =
        |run: &Run| !run.state.is_final() || matches!(run.state, RunState::Skipped | RunState::Cancelled);
    runs.retain(|run| !says_nothing(run));
    runs.sort_by_key(|run| std::cmp::Reverse(run.requested_at));
    let mut found: BTreeMap<(String, Option<String>), Run> = BTreeMap::new();
    for run in runs {
        let name = without_number(run.job.as_str()).to_owned();
        let tag = run.bk_id.and_then(|id| tags.get(&id).cloned());
        // One that left no row may have been for any: whatever came after it stands for it.
        let is_answered = tag.is_none() && found.keys().any(|(other, _)| *other == name);
        if !is_answered {
            found.entry((name, tag)).or_insert(run);
        }
    }
    let shown = |((name, tag), run): ((String, Option<String>), Run)| match tag {
        Some(tag) => (format!("{name} (tag {tag})"), run),
        None => (name, run),
    };
    found.into_iter().map(shown).collect()
}

/// `pybackup mydumper 2` is `pybackup mydumper`; a job of a schedule, which may have gone from it, is called as it is.
fn without_number(name: &str) -> &str {
    match name.rsplit_once(' ') {
        Some((bare, number))
            if bare.starts_with("pybackup ") && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            bare
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_has_its_last_run_whatever_its_number() {
        let run = |minute: i64, job: &str, set: Option<BackupId>, state: RunState| {
            let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
            Run {
                id: mykeeper_domain::RunId::generate(),
                node: mykeeper_domain::NodeName::new("n").unwrap(),
                job: JobName::new(job).unwrap(),
                kind: JobKind::Backup,
                trigger: mykeeper_domain::run::Trigger::Manual,
                slot_at: None,
                planned_at: None,
                covers: None,
                retry_of: None,
                state,
                reason: None,
                bk_id: set,
                requested_at: at,
                started_at: Some(at),
                finished_at: Some(at),
                log_path: None,
            }
        };
        let sets = [BackupId::generate(), BackupId::generate(), BackupId::generate()];
        let tags = HashMap::from([
            (sets[0], "a".to_owned()),
            (sets[1], "b".to_owned()),
            (sets[2], "a".to_owned()),
        ]);
        use RunState::{Cancelled, Failed, Succeeded};
        let told = |runs: Vec<Run>| -> Vec<(String, RunState)> {
            let newest = newest(runs, &tags).into_iter();
            newest.map(|(name, run)| (name, run.state)).collect()
        };
        let (failed, other) = (
            run(1, "pybackup mydumper 2", Some(sets[0]), Failed),
            run(2, "pybackup mydumper", Some(sets[1]), Succeeded),
        );
        let (a, b) = ("pybackup mydumper (tag a)", "pybackup mydumper (tag b)");
        assert_eq!(
            told(vec![failed.clone(), other.clone()]),
            [(a.to_owned(), Failed), (b.to_owned(), Succeeded)]
        );
        let later = run(3, "pybackup mydumper", Some(sets[2]), Succeeded);
        let ended = run(4, "pybackup mydumper", Some(sets[2]), Cancelled);
        assert_eq!(
            told(vec![failed, other, later, ended]),
            [(a.to_owned(), Succeeded), (b.to_owned(), Succeeded)]
        );
        let unknown = || run(1, "pybackup mydumper", None, Failed);
        assert_eq!(told(vec![unknown()]), [("pybackup mydumper".to_owned(), Failed)]);
        let after = run(2, "pybackup mydumper 3", Some(sets[1]), Succeeded);
        assert_eq!(told(vec![unknown(), after]), [(b.to_owned(), Succeeded)]);
    }
}
