//! `mykeeper retention JOB [--dry-run]`

use super::find_job;
use super::run::{Shown, foreground};
use crate::failure::{Failure, Status, with_hint};
use crate::output::{coloured, local, print, print_json, say, table};
use crate::surroundings::{environment, environment_to_look, local_zone, settings_said};
use mykeeper_daemon::jobs::retention::{Plan, plan};
use mykeeper_domain::counted;
use mykeeper_domain::job::Task;
use mykeeper_domain::retention::Verdict;
use std::path::Path;

/// What to do when the catalog is away: this node alone does not know what may go.
const AWAY: &str = "which sets may go depends on what other nodes know of them: ask again when it is back; \
                    \"mykeeper catalog status\" tells what waits for it";

pub(crate) async fn run(config: &Path, name: &str, dry_run: bool, json: bool) -> anyhow::Result<Status> {
    let settings = settings_said(config)?;
    let job = find_job(&settings, name)?;
    let Task::Retention(task) = &job.task else {
        return Err(Failure::usage(format!(
            "job {name} is a {} job; name a retention job",
            job.kind()
        )));
    };
    let environment = match dry_run {
        true => environment_to_look(settings)
            .await
            .map_err(|error| with_hint(error, AWAY))?,
        false => environment(settings).await?,
    };
    let settings = environment.settings();
    if !dry_run {
        return foreground(
            environment,
            std::sync::Arc::clone(&job),
            None,
            Shown { verbose: false, json },
        )
        .await;
    }
    let plan = plan(&environment, &settings, &job, task)
        .await
        .map_err(|error| with_hint(error.into(), AWAY))?;
    environment.catalog.close().await;
    if json {
        print_json(
            &serde_json::json!({ "decisions": plan.decisions, "warnings": plan.warnings,
            "given_back": plan.given_back().map(|backup| backup.id).collect::<Vec<_>>() }),
        )?;
    } else {
        print(&as_table(&plan, local_zone()))?;
        let condemned = plan.condemned().count();
        print(&format!(
            "{}, {}; nothing was changed",
            counted(plan.decisions.len() - condemned, "set stays", "sets stay"),
            counted(condemned, "goes", "go")
        ))?;
    }
    for warning in &plan.warnings {
        say(&format!("warning: {warning}"));
    }
    Ok(if plan.warnings.is_empty() {
        Status::Done
    } else {
        Status::Warnings
    })
}

fn as_table(plan: &Plan, zone: chrono_tz::Tz) -> String {
    let rows = plan
        .decisions
        .iter()
        .map(|decision| {
            let backup = &decision.backup;
            let verdict = match &decision.verdict {
                Verdict::Keep(_) => coloured("keep", true),
                Verdict::Condemn(_) => coloured("remove", false),
            };
            vec![
                backup.id.to_string(),
                backup.tag.clone(),
                backup.job.as_ref().map(ToString::to_string).unwrap_or_default(),
                local(backup.started_at, zone),
                backup.size_text.clone(),
                verdict,
                plan.why(decision),
            ]
        })
        .collect();
    let started = format!("STARTED ({zone})");
    table(
        &["BK_ID", "TAG", "JOB", &started, "SIZE", "VERDICT", "BECAUSE"],
        rows,
    )
}
