//! Whether what validation jobs assert can be run, and is of any set.

use super::nodes::Others;
use super::{Findings, Grade, backup_tasks};
use mykeeper_catalog::BackupFilter;
use mykeeper_config::{Settings, nearest};
use mykeeper_domain::JobName;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::counted;
use mykeeper_domain::ids::ServerName;
use mykeeper_domain::job::{Assertion, BackupTask, Task, ValidationTask};
use mykeeper_domain::server::Server;
use mykeeper_tools::ToolError;
use mykeeper_tools::probe::{Probe, Verdict};
use std::collections::BTreeMap;

/// So many of the newest sets are looked at.
const LOOKED_AT: u32 = 10_000;

/// The databases that an account sees on each server that answered.
pub(super) type Present = BTreeMap<ServerName, Vec<String>>;

fn validation_tasks(settings: &Settings) -> impl Iterator<Item = (&JobName, &ValidationTask)> {
    settings.jobs.values().filter_map(|job| match &job.task {
        Task::Validation(task) => Some((&job.name, task)),
        _ => None,
    })
}

fn asks_for(task: &ValidationTask, tag: &str) -> bool {
    task.tags.is_empty() || task.tags.iter().any(|asked| asked == tag)
}

/// Has a server look at the statements on databases that are backed up from it, of the jobs that prove its sets. None is
/// carried out. Where this host backs up none, every server that has the database is asked.
///
/// # Errors
/// The connection is gone.
pub(super) async fn try_statements(
    settings: &Settings,
    server: &Server,
    (present, probe): (&[String], &mut Probe),
    findings: &mut Findings,
) -> Result<(), ToolError> {
    for (job, task) in validation_tasks(settings).filter(|(_, task)| asks_for(task, &server.tag)) {
        let what = format!("job {job} on server {}", server.name);
        let mut fit = 0;
        for Assertion { database, sql } in task.asserts.iter().filter(|assertion| {
            present.contains(&assertion.database) && is_backed_up(settings, server, &assertion.database)
        }) {
            match probe.look_at_statement(database, sql).await? {
                Verdict::Fits => fit += 1,
                Verdict::Mistaken(said) => {
                    let detail = format!(
                        "its assert on {database} cannot be run there: {sql}: {said}; correct `assert` in the schedule"
                    );
                    // One slip is one finding, on however many servers it shows.
                    if !findings.has(&format!("job {job} on server "), &detail) {
                        findings.add(&what, Grade::Failed, detail);
                    }
                }
                Verdict::Forbidden => {}
                Verdict::Unknown(said) => findings.add(
                    &what,
                    Grade::Warning,
                    format!("whether its assert on {database} can be run is not known: {sql}: {said}"),
                ),
            }
        }
        if fit > 0 {
            let detail = format!("{} can be run", counted(fit, "assert", "asserts"));
            findings.add(&what, Grade::Ok, detail);
        }
    }
    Ok(())
}

/// Whether a backup job of this host takes the database from the server.
fn is_backed_up(settings: &Settings, server: &Server, database: &str) -> bool {
    let mut jobs = backup_tasks(settings).peekable();
    jobs.peek().is_none()
        || jobs.any(|(_, backup)| {
            backup.server == server.name && !backup.databases.select([database]).is_empty()
        })
}

/// Warns of tags that no server here has, nor any set: a job that asks for them proves nothing.
pub(super) async fn find_unknown_tags(settings: &Settings, others: Others<'_>, findings: &mut Findings) {
    let known: Vec<&str> = settings
        .servers
        .values()
        .map(|server| server.tag.as_str())
        .collect();
    for (job, task) in validation_tasks(settings) {
        for tag in task.tags.iter().filter(|tag| !known.contains(&tag.as_str())) {
            if matches!(others, Others::Unknown) {
                let detail = format!(
                    "no server here has the tag {tag:?}; whether any set has it cannot be told without the catalog"
                );
                findings.add(format!("job {job}"), Grade::Note, detail);
                continue;
            }
            if let Others::Told(catalog) = others {
                let filter = BackupFilter {
                    tag: Some(tag.clone()),
                    limit: 1,
                    ..BackupFilter::default()
                };
                // What is wrong with the catalog is said elsewhere.
                match catalog.backups(&filter).await {
                    Ok(sets) if sets.is_empty() => {}
                    Ok(_) | Err(_) => continue,
                }
            }
            let hint = nearest(tag, known.iter().copied()).map_or_else(
                || "correct `tags`".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            findings.add(
                format!("job {job}"),
                Grade::Warning,
                format!(
                    "no server here has the tag {tag:?}, nor has any set: it proves nothing for it; {hint}"
                ),
            );
        }
    }
}

/// Warns of statements on databases that no set of their job holds.
pub(super) async fn find_untried(
    settings: &Settings,
    present: &Present,
    others: Others<'_>,
    findings: &mut Findings,
) {
    let mut open: Vec<(&JobName, &ValidationTask, &Assertion)> = validation_tasks(settings)
        .flat_map(|(job, task)| task.asserts.iter().map(move |assertion| (job, task, assertion)))
        .filter(|(_, task, assertion)| !is_dumped(settings, task, (&assertion.database, present)))
        .collect();
    if open.is_empty() {
        return;
    }
    match others {
        Others::Told(catalog) => {
            let filter = BackupFilter {
                present_only: true,
                limit: LOOKED_AT,
                ..BackupFilter::default()
            };
            // What is wrong with the catalog is said elsewhere.
            let Ok(sets) = catalog.backups(&filter).await else {
                return;
            };
            open.retain(|(_, task, assertion)| !sets.iter().any(|set| holds(set, task, &assertion.database)));
        }
        Others::Unknown => {
            for (job, _, Assertion { database, .. }) in open {
                let detail = format!(
                    "its assert on {database}: whether any set holds that database cannot be told without the catalog"
                );
                findings.add(format!("job {job}"), Grade::Note, detail);
            }
            return;
        }
        // Sets may be made elsewhere.
        Others::Nobody if backup_tasks(settings).next().is_none() => return,
        Others::Nobody => {}
    }
    for (job, _, Assertion { database, sql }) in open {
        findings.add(
            format!("job {job}"),
            Grade::Warning,
            format!(
                "its assert on {database} is never tried, as none of the sets that it proves holds that database: {sql}; \
                 correct `database`, or the job's `tags`"
            ),
        );
    }
}

/// Whether a backup job of this machine dumps the database into sets that the validation job proves.
fn is_dumped(settings: &Settings, task: &ValidationTask, (database, present): (&str, &Present)) -> bool {
    let dumps = |backup: &BackupTask| {
        let is_asked = settings
            .servers
            .get(&backup.server)
            .is_some_and(|server| asks_for(task, &server.tag));
        let is_there = present
            .get(&backup.server)
            .is_none_or(|present| present.iter().any(|name| name == database));
        is_asked && is_there && !backup.databases.select([database]).is_empty()
    };
    backup_tasks(settings).any(|(_, backup)| dumps(backup))
}

fn holds(set: &Backup, task: &ValidationTask, database: &str) -> bool {
    asks_for(task, &set.tag) && set.databases.iter().any(|held| held == database)
}
