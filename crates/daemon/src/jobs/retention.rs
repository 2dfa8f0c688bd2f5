//! Marks or removes what the policy condemns: planned, marked `deleting`, removed, marked deleted.

use super::{JobError, JobReport, JobResult, RunContext};
use crate::environment::Environment;
use crate::locate::{original, places};
use crate::set_lease::sets_in_use;
use chrono_tz::Tz;
use mykeeper_catalog::{BackupFilter, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::job::{RetentionAction, RetentionTask};
use mykeeper_domain::retention::{CondemnReason, Context, Decision, Verdict, plan_retention};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a pass would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One for each set in the job's directory.
    pub decisions: Vec<Decision>,
    /// Where each set lies in the directory, or would: the original and a copy may both lie there.
    pub places: BTreeMap<BackupId, Vec<PathBuf>>,
    /// What is worth a look.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The sets that go, with the rule that condemns each.
    pub fn condemned(&self) -> impl Iterator<Item = (&Backup, CondemnReason)> {
        self.decisions
            .iter()
            .filter_map(|decision| match &decision.verdict {
                Verdict::Condemn(reason) => Some((&decision.backup, *reason)),
                Verdict::Keep(_) => None,
            })
    }
}

/// Judges every set that the catalog knows in the job's directory. Changes nothing.
pub async fn plan(
    environment: &Environment,
    settings: &Settings,
    task: &RetentionTask,
    zone: Tz,
) -> Result<Plan, CatalogError> {
    let catalog = &environment.catalog;
    let filter = BackupFilter {
        present_only: true,
        limit: u32::MAX,
        ..Default::default()
    };
    let paths = catalog.paths().await?;
    let mut located = BTreeMap::new();
    let mut sets = Vec::new();
    for backup in catalog.backups(&filter).await? {
        let mut below = places(&backup, &paths, settings, &environment.node);
        below.retain(|place| lies_below(place, &task.directory));
        let is_there = below.iter().any(|place| !is_gone(place));
        // What should lie there and does not: the original, on the machine that made it. Of a place on a backup
        // host, and of a set that pybackup made, it is not known whether it is on this machine at all.
        let own = original(&backup, &environment.node).filter(|place| below.contains(place));
        let is_own = backup.node.is_some() || is_of_here(&backup, settings);
        if !is_there && (own.is_none() || !is_own) {
            continue;
        }
        located.insert(backup.id, below);
        sets.push(backup);
    }
    let mut warnings = Vec::new();
    let mut gone: BTreeSet<BackupId> = located
        .iter()
        .filter(|(_, places)| places.iter().all(|place| is_gone(place)))
        .map(|(id, _)| *id)
        .collect();
    // A directory that is not there, or in which nothing that should be is, is more likely not mounted than emptied.
    if !gone.is_empty() && gone.len() == located.len() {
        let what = match task.action {
            RetentionAction::Mark => "nothing is marked as gone",
            // Sets on a disk that is away cannot be removed, and must not be taken for removed.
            RetentionAction::Delete => {
                sets.clear();
                "nothing is removed, and nothing is marked"
            }
        };
        warnings.push(format!(
            "none of the {} sets that should lie in {} is there; is it mounted? {what}",
            gone.len(),
            task.directory.display()
        ));
        gone.clear();
    }
    let context = Context {
        now: environment.clock.now(),
        zone,
        require: task.require,
        busy: sets_in_use(environment).await?,
        gone,
    };
    Ok(Plan {
        decisions: plan_retention(sets, &task.keep, &context),
        places: located,
        warnings,
    })
}

fn is_gone(place: &Path) -> bool {
    place
        .symlink_metadata()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Whether a set is of a server that this machine backs up.
fn is_of_here(backup: &Backup, settings: &Settings) -> bool {
    settings
        .servers
        .values()
        .any(|server| server.tag == backup.tag || server.address == backup.bk_server)
}

/// Whether `place` is two folders below `directory`, or more, without `..`.
fn lies_below(place: &Path, directory: &Path) -> bool {
    place.starts_with(directory)
        && place != directory
        && !place
            .components()
            .any(|part| matches!(part, std::path::Component::ParentDir))
}

/// One run of a retention job.
pub async fn run(context: &RunContext, task: &RetentionTask) -> JobResult {
    context.recorded_attempts(|| Box::pin(pass(context, task))).await
}

async fn pass(context: &RunContext, task: &RetentionTask) -> JobResult {
    let zone = context.job.schedule.zone();
    let plan = plan(&context.environment, &context.settings, task, zone).await?;
    for decision in &plan.decisions {
        context.say(describe(decision));
    }
    let mut failures = Vec::new();
    let mut done = 0;
    let mut freed: u64 = 0;
    for (backup, reason) in plan.condemned() {
        if context.cancel.is_cancelled() {
            return Err(JobError::cancelled());
        }
        let Some(places) = plan.places.get(&backup.id) else {
            continue;
        };
        match condemn(context, task, backup, (reason, places)).await {
            Ok(true) => {
                done += 1;
                freed += backup.size_bytes.unwrap_or(0);
            }
            Ok(false) => context.say(format!(
                "set {} is in use now; it is left to the next pass",
                backup.id
            )),
            Err(error) => {
                context.say(format!("set {}: {}", backup.id, error.reason));
                failures.push((backup.id, error.reason));
            }
        }
    }
    let kept = plan.decisions.len() - plan.condemned().count();
    let verb = match task.action {
        RetentionAction::Mark => "marked as deleted",
        RetentionAction::Delete => "removed and marked as deleted",
    };
    if let Some((id, reason)) = failures.first() {
        return Err(JobError::passing(format!(
            "{} sets could not be {verb}; set {id}: {reason}",
            failures.len()
        ))
        .about(*id));
    }
    let mut summary = format!("{kept} sets kept, {done} {verb}");
    if task.action == RetentionAction::Delete && freed > 0 {
        summary.push_str(&format!(" ({})", mykeeper_domain::backup::du_size(freed)));
    }
    if plan.warnings.is_empty() {
        return Ok(JobReport::done(summary, None));
    }
    Ok(JobReport::warned(
        format!("{summary}; {}", plan.warnings.join("; ")),
        None,
    ))
}

/// One line of the plan.
pub fn describe(decision: &Decision) -> String {
    let backup = &decision.backup;
    let head = format!(
        "set {} of {} ({})",
        backup.id,
        backup.started_at.format("%Y-%m-%d %H:%M:%S UTC"),
        backup.tag
    );
    match &decision.verdict {
        Verdict::Keep(reasons) => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!("{head} is kept: {}", reasons.join(", "))
        }
        Verdict::Condemn(reason) => format!("{head} goes: {reason}"),
    }
}

/// Marks, removes where asked to, marks again. False when someone took the set up meanwhile.
async fn condemn(
    context: &RunContext,
    task: &RetentionTask,
    backup: &Backup,
    (reason, places): (CondemnReason, &[PathBuf]),
) -> Result<bool, JobError> {
    let environment = &context.environment;
    let why = format!("retention job {}: {reason}", context.job.name);
    // A mark that is not followed by a removal keeps everyone else away from the set.
    if sets_in_use(environment).await?.contains(&backup.id)
        || !environment.catalog.mark_deleting(backup.id, &why).await?
    {
        return Ok(false);
    }
    // Whoever takes the set up from here on sees the mark; who has taken it up before is seen here.
    if sets_in_use(environment).await?.contains(&backup.id) {
        return Ok(false);
    }
    if task.action == RetentionAction::Delete {
        let (directory, places, id) = (task.directory.clone(), places.to_vec(), backup.id);
        for place in &places {
            context.say(format!("removing {}", place.display()));
        }
        tokio::task::spawn_blocking(move || {
            places
                .iter()
                .try_for_each(|place| remove_set(&directory, place, id))
        })
        .await
        .map_err(|error| JobError::fatal(format!("the removal ended early: {error}")))?
        .map_err(JobError::passing)?;
    }
    let now = context.clock().now();
    environment
        .persist("mark a set as deleted", &context.cancel, |catalog| {
            let (id, why) = (backup.id, why.clone());
            async move { catalog.mark_deleted(id, &why, now).await }
        })
        .await?;
    Ok(true)
}

/// Removes a set's folder, after making sure that it is one, and the day's folder when that was the last in it.
fn remove_set(directory: &Path, place: &Path, id: BackupId) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("{} is not removed: {why}", place.display()));
    match place.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return refuse(&error.to_string()),
        Ok(metadata) if metadata.file_type().is_symlink() => return refuse("it is a link"),
        Ok(metadata) if !metadata.is_dir() => return refuse("it is no folder"),
        Ok(_) => {}
    }
    if place.file_name().and_then(|name| name.to_str()) != Some(id.to_string().as_str()) {
        return refuse("its name is not the set's");
    }
    let real_directory = directory
        .canonicalize()
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let real_place = place
        .canonicalize()
        .map_err(|error| format!("{}: {error}", place.display()))?;
    if !real_place.starts_with(&real_directory) || real_place == real_directory {
        return refuse("a link leads it out of the job's directory");
    }
    std::fs::remove_dir_all(&real_place)
        .map_err(|error| format!("cannot remove {}: {error}", place.display()))?;
    if let Some(day) = real_place.parent().filter(|day| *day != real_directory) {
        // Only an empty folder goes; that it is not empty is the usual case.
        drop(std::fs::remove_dir(day));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(root: &Path) -> (BackupId, PathBuf) {
        let id = BackupId::generate();
        let place = root.join("2026-11-22").join(id.to_string());
        std::fs::create_dir_all(place.join("shop")).unwrap();
        std::fs::write(place.join("shop/metadata"), "x").unwrap();
        (id, place)
    }

    #[test]
    fn a_set_goes_with_its_empty_day() {
        let root = tempfile::tempdir().unwrap();
        let (id, place) = set(root.path());
        remove_set(root.path(), &place, id).unwrap();
        assert!(!place.exists());
        assert!(!root.path().join("2026-11-22").exists());
        remove_set(root.path(), &place, id).unwrap();
    }

    #[test]
    fn a_link_is_never_followed() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (id, victim) = set(other.path());
        let day = root.path().join("2026-11-22");
        std::fs::create_dir(&day).unwrap();
        let link = day.join(id.to_string());
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(
            remove_set(root.path(), &link, id)
                .unwrap_err()
                .contains("it is a link")
        );
        std::fs::remove_file(&link).unwrap();
        std::fs::remove_dir(&day).unwrap();
        std::os::unix::fs::symlink(other.path().join("2026-11-22"), &day).unwrap();
        let error = remove_set(root.path(), &link, id).unwrap_err();
        assert!(error.contains("leads it out"), "{error}");
        assert!(victim.join("shop/metadata").exists());
    }

    #[test]
    fn a_folder_of_another_name_stays() {
        let root = tempfile::tempdir().unwrap();
        let (_, place) = set(root.path());
        assert!(
            remove_set(root.path(), &place, BackupId::generate())
                .unwrap_err()
                .contains("its name")
        );
        assert!(place.exists());
    }

    #[test]
    fn only_what_lies_below_the_directory_is_looked_at() {
        for (place, below) in [
            ("/data/2026-11-22/x", true),
            ("/data", false),
            ("/database/2026-11-22/x", false),
            ("/data/../etc/x", false),
        ] {
            assert_eq!(lies_below(Path::new(place), Path::new("/data")), below, "{place}");
        }
    }
}
