//! `mykeeper validate`: proves one set now.

use super::run::{Shown, foreground};
use super::wanted_set::{WantedSet, find_in};
use crate::failure::Status;
use crate::surroundings::{environment, settings_said};
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::validation::prove_one;
use mykeeper_domain::JobName;
use mykeeper_domain::job::{Job, Missed, Overlap, Task, ValidationTask};
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_domain::schedule::Schedule;
use mykeeper_domain::selection::Select;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn run(config: &Path, bk_id: Option<&str>, json: bool) -> anyhow::Result<Status> {
    let wanted = bk_id.map(WantedSet::parse).transpose()?;
    let environment = environment(settings_said(config)?).await?;
    let id = find_in(&environment, wanted).await?;
    // What the schedule asks for holds for a proof by hand too.
    let settings = environment.settings();
    let scheduled = settings.jobs.values().filter_map(|job| match &job.task {
        Task::Validation(task) => Some(task),
        _ => None,
    });
    let task = ValidationTask {
        select: Select::Newest,
        within: None,
        tags: Vec::new(),
        asserts: scheduled.clone().flat_map(|task| task.asserts.clone()).collect(),
        max_restore_time: scheduled.filter_map(|task| task.max_restore_time).min(),
        verify_every: None,
    };
    let demands = task.clone();
    let job = by_hand("validate by hand", Task::Validation(task))?;
    let work = id.map(|id| -> Work {
        Box::new(move |context| Box::pin(async move { prove_one(context, id, &demands).await }))
    });
    foreground(environment, Arc::new(job), work, Shown { verbose: false, json }).await
}

/// The frame of a run that a person asks for and no job describes.
pub(crate) fn by_hand(name: &str, task: Task) -> anyhow::Result<Job> {
    Ok(Job {
        name: JobName::new(name)?,
        schedule: Schedule::parse("@yearly", chrono_tz::Tz::UTC)?,
        timeout: Some(Duration::from_secs(24 * 3600)),
        stall: Some(Duration::from_secs(1800)),
        retry: RetryPolicy::NONE,
        missed: Missed::Skip,
        overlap: Overlap::Skip,
        jitter: Duration::ZERO,
        task,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_asks_for_ends_where_a_tool_never_does() {
        let task = ValidationTask {
            select: Select::Newest,
            within: None,
            tags: Vec::new(),
            asserts: Vec::new(),
            max_restore_time: None,
            verify_every: None,
        };
        let job = by_hand("pybackup mydumper", Task::Validation(task)).unwrap();
        assert!(job.timeout.is_some() && job.stall < job.timeout && job.stall.is_some());
    }
}
