//! `mykeeper run JOB`: one run in the foreground.

use super::find_job;
use crate::failure::{Failure, Status};
use crate::output::{print, print_json, say};
use crate::progress::TerminalLog;
use crate::surroundings::{environment_or_journal, settings_said};
use futures::StreamExt;
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::notices;
use mykeeper_daemon::recovery::recover_before_command;
use mykeeper_daemon::{DaemonError, Engine, Environment, FinishedRun};
use mykeeper_domain::job::Job;
use mykeeper_domain::run::RunState;
use mykeeper_tools::{Progress, RunLog};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the catalog's connections may take to close.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How long a command that is done may take to tell of it; what is not taken then waits for a daemon.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// How long a command lets what is left of others hold it up.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

pub(crate) async fn run(config: &Path, name: &str, verbose: bool, json: bool) -> anyhow::Result<Status> {
    let settings = settings_said(config)?;
    let job = find_job(&settings, name)?;
    let environment = environment_or_journal(settings).await?;
    foreground(environment, job, None, Shown { verbose, json }).await
}

/// How a foreground run is shown.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) verbose: bool,
    pub(crate) json: bool,
}

/// Runs a job, or `work` under its name, until its end or a signal; the exit status says how it ended.
pub(crate) async fn foreground(
    environment: Arc<Environment>,
    job: Arc<Job>,
    work: Option<Work>,
    shown: Shown,
) -> anyhow::Result<Status> {
    let told = "the tools are ended and the run is recorded as cancelled";
    let (finished, caught) = to_its_end(&environment, (job, work), (shown.verbose, told)).await?;
    conclude(&finished, caught, shown.json)
}

/// The same, with the signal that ended it. `told` says what a signal does.
pub(crate) async fn to_its_end(
    environment: &Arc<Environment>,
    work: (Arc<Job>, Option<Work>),
    shown: (bool, &str),
) -> anyhow::Result<(FinishedRun, Option<i32>)> {
    to_its_end_beside(environment, work, shown, None).await
}

/// Who is told of a run beside the terminal.
pub(crate) type Beside = Arc<dyn RunLog>;

/// The same, with another that is told of it.
pub(crate) async fn to_its_end_beside(
    environment: &Arc<Environment>,
    (job, work): (Arc<Job>, Option<Work>),
    (verbose, told): (bool, &str),
    beside: Option<Beside>,
) -> anyhow::Result<(FinishedRun, Option<i32>)> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(DaemonError::Signals)?;
    let log = Arc::new(TerminalLog::new(verbose));
    let observer: Arc<dyn RunLog> = match beside {
        Some(beside) => Arc::new(Both(log.clone(), beside)),
        None => log.clone(),
    };
    let engine = Engine::for_foreground(Arc::clone(environment), Some(observer));
    settle_first(&engine, &mut signals).await;
    let telling = tell_beside(environment);
    let mut running = Box::pin(async {
        match work {
            Some(work) => engine.do_now(job, work).await,
            None => engine.run_now(job).await,
        }
    });
    let mut caught = None;
    let result = loop {
        tokio::select! {
            result = &mut running => break result,
            Some(signal) = signals.next() => {
                if caught.is_none() {
                    say(&format!("stopping: {told}"));
                }
                caught = Some(signal);
                engine.end_runs();
            }
        }
    };
    log.finish();
    telling.end().await;
    // A connection that does not come back does not hold up the end.
    if tokio::time::timeout(CLOSED_WITHIN, environment.catalog.close())
        .await
        .is_err()
    {
        tracing::debug!("connections to the catalog are left open");
    }
    Ok((result?, caught))
}

/// Delivers what is to be told of a run, where no daemon does, while it goes on and for a moment after.
struct Telling {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn tell_beside(environment: &Arc<Environment>) -> Telling {
    let stop = CancellationToken::new();
    let task = tokio::spawn(notices::accompany(
        Arc::clone(environment),
        stop.clone(),
        TOLD_WITHIN,
    ));
    Telling { stop, task }
}

impl Telling {
    async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "a defect in mykeeper ended the deliveries");
        }
    }
}

/// The terminal, and whoever is told besides.
struct Both(Arc<TerminalLog>, Beside);

impl RunLog for Both {
    fn line(&self, source: &str, text: &str) {
        self.0.line(source, text);
        self.1.line(source, text);
    }

    fn progress(&self, progress: Progress) {
        self.1.progress(progress.clone());
        self.0.progress(progress);
    }
}

/// What a process before this one has left is settled, if nobody else does it. What cannot be is left to a daemon's
/// start; the run itself tells what is wrong with the catalog.
async fn settle_first(engine: &Engine, signals: &mut Signals) {
    tokio::select! {
        result = recover_before_command(engine) => {
            if let Err(error) = result {
                tracing::error!(%error, "what an earlier process has left is not settled");
            }
        }
        _ = signals.next() => engine.end_runs(),
        () = tokio::time::sleep(SETTLED_WITHIN) => say("what an earlier process has left is not settled yet"),
    }
}

pub(crate) fn conclude(finished: &FinishedRun, caught: Option<i32>, json: bool) -> anyhow::Result<Status> {
    conclude_with(
        finished,
        caught,
        json,
        &format!("mykeeper run-log {}", finished.id),
    )
}

/// The same; `look_at` names what tells more of a run that has failed.
pub(crate) fn conclude_with(
    finished: &FinishedRun,
    caught: Option<i32>,
    json: bool,
    look_at: &str,
) -> anyhow::Result<Status> {
    if json {
        let mut shown = as_json(finished);
        if let Some(members) = shown.as_object_mut() {
            let followed = finished.followed_by.iter().map(as_json).collect();
            members.insert("followed_by".to_owned(), followed);
        }
        print_json(&shown)?;
    }
    let mut status = status_of(finished, caught, (json, look_at));
    for next in &finished.followed_by {
        let look_at = format!("mykeeper run-log {}", next.id);
        let followed = status_of(next, caught, (json, &look_at));
        status = match (status, followed) {
            (Ok(Status::Done), followed) => followed,
            (Ok(_), Err(failed)) => Err(failed),
            (Err(first), Err(failed)) => {
                say(&format!("{failed:#}"));
                Err(first)
            }
            (status, _) => status,
        };
    }
    status
}

fn as_json(finished: &FinishedRun) -> serde_json::Value {
    serde_json::json!({
        "run": finished.id, "state": finished.state, "reason": finished.reason, "bk_id": finished.bk_id,
    })
}

fn status_of(
    finished: &FinishedRun,
    caught: Option<i32>,
    (json, look_at): (bool, &str),
) -> anyhow::Result<Status> {
    let text = format!("run {} {}: {}", finished.id, finished.state, finished.reason);
    match finished.state {
        RunState::Succeeded | RunState::Warned => {
            if !json {
                print(&text)?;
            }
            Ok(if finished.state == RunState::Warned {
                Status::Warnings
            } else {
                Status::Done
            })
        }
        RunState::Cancelled | RunState::Interrupted => {
            say(&text);
            Ok(if caught == Some(SIGTERM) {
                Status::Terminated
            } else {
                Status::Interrupted
            })
        }
        _ => Err(Failure::job(format!("{text}\n  look at: {look_at}"))),
    }
}
