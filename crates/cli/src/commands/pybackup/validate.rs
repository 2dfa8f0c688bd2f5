//! `pybackup validate-backup`

use super::Call;
use super::dump::open_log;
use super::settings::{run_beside_others, settings};
use crate::commands::parse_bk_id;
use crate::commands::validate::by_hand;
use crate::failure::{Failure, Status};
use crate::output::{print, say};
use mykeeper_config::pybackup::{ConfPart, PybackupConf};
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::validation::prove_one;
use mykeeper_daemon::state_dir::{LockAttempt, StateDir};
use mykeeper_domain::JobName;
use mykeeper_domain::job::{Task, ValidationTask};
use mykeeper_domain::selection::Select;
use std::path::Path;
use std::time::Duration;

/// What its runs are called.
const NAME: &str = "pybackup validate-backup";
/// Sets that are older are not proven any more.
const WITHIN: Duration = Duration::from_secs(31 * 24 * 3600);

pub(super) async fn run(
    call: &Call,
    conf: impl Fn(&[ConfPart]) -> anyhow::Result<PybackupConf>,
    bk_id: Option<&str>,
    log_file: &Path,
) -> anyhow::Result<Status> {
    let id = bk_id.map(parse_bk_id).transpose()?;
    let mut needed = vec![ConfPart::Catalog];
    if id.is_none() {
        needed.push(ConfPart::Validate);
    }
    let conf = conf(&needed)?;
    let settings = settings(call, &conf, None, false)?;
    // A crontab asks every quarter of an hour, and one proof may take longer.
    let name = JobName::new(NAME)?;
    if let LockAttempt::Busy(_) = StateDir::open(&settings.state_dir)?.lock_job(&name)? {
        if let Some(id) = id {
            return Err(Failure::unavailable(format!(
                "set {id} is not tried: another validation goes on; give the command again when that has ended"
            )));
        }
        print("another validation goes on; none is begun")?;
        return Ok(Status::Done);
    }
    let log = open_log(log_file, &settings)?;
    let task = |tags: Vec<String>| ValidationTask {
        select: Select::Random,
        within: Some(WITHIN),
        tags,
        asserts: Vec::new(),
        max_restore_time: None,
        verify_every: None,
    };
    if let Some(id) = id {
        let task = task(Vec::new());
        let job = by_hand(NAME, Task::Validation(task.clone()))?;
        let work = move || -> Option<Work> {
            let demands = task.clone();
            Some(Box::new(move |context| {
                Box::pin(async move { prove_one(context, id, &demands).await })
            }))
        };
        return run_beside_others(settings, job, &work, Some(log)).await;
    }
    // One set of each tag, as pybackup does.
    let mut worst: anyhow::Result<Status> = Ok(Status::Done);
    for tag in &conf.validate {
        let job = by_hand(NAME, Task::Validation(task(vec![tag.value.clone()])))?;
        let ended = run_beside_others(settings.clone(), job, &|| None, Some(log.clone())).await;
        match ended {
            Ok(Status::Done) => {}
            // Who was stopped goes on with no other.
            Ok(stopped @ (Status::Interrupted | Status::Terminated)) => return Ok(stopped),
            Ok(status) => worst = worst.map(|_| status),
            Err(error) => {
                if let Err(before) = worst {
                    say(&format!("error: {before:#}"));
                }
                worst = Err(error);
            }
        }
    }
    worst
}
