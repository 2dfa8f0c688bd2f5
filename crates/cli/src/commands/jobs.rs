//! `mykeeper jobs`

use crate::failure::{Failure, Status};
use crate::liveness::Liveness;
use crate::output::{describe_backlog, local, print, print_json, say, table, when};
use crate::surroundings::{load_both, local_zone, open_catalog_or_copy};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mykeeper_catalog::{Backlog, is_shared};
use mykeeper_config::{ConfigErrors, Settings};
use mykeeper_daemon::promises::{describe, standings};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::status::DaemonStatus;
use mykeeper_domain::job::Job;
use mykeeper_domain::promise::{PromiseState, Standing};
use mykeeper_domain::run::Run;
use mykeeper_domain::{Clock, SystemClock};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct JobsView {
    /// `null` when no daemon runs.
    daemon: Option<DaemonStatus>,
    jobs: Vec<JobView>,
    /// How each server's `proven_within` stands; `null` while the catalog is away.
    promises: Option<Vec<Standing>>,
}

#[derive(Serialize)]
struct JobView {
    name: String,
    kind: String,
    cron: String,
    timezone: String,
    describes: String,
    next: Vec<DateTime<Utc>>,
    last_run: Option<Run>,
    /// Of a last run that is `running`: whether its process lives. `null` where the daemon has yet to tell.
    last_run_lives: Option<bool>,
}

pub(crate) async fn run(config: &Path, next: usize, json: bool) -> anyhow::Result<Status> {
    let settings = match load_both(config) {
        Ok(loaded) => loaded.settings,
        Err(errors) => return with_mistakes(&errors, json),
    };
    let state = StateDir::open(&settings.state_dir)?;
    let daemon = DaemonStatus::read(&state);
    // Which jobs there are, and when, is known without the catalog.
    let (known, away) = match look(&settings).await {
        Err(error) if is_shared(&settings.catalog.url) => (Known::default(), Some(error)),
        known => (known?, None),
    };
    let Known {
        last_runs,
        promises,
        status,
    } = known;
    let liveness = Liveness::look(&settings, &last_runs);
    let (now, zone) = (SystemClock.now(), local_zone());
    let jobs: Vec<JobView> = settings
        .jobs
        .values()
        .map(|job| {
            let last_run = last_runs.iter().find(|run| run.job == job.name).cloned();
            JobView {
                name: job.name.to_string(),
                kind: job.kind().to_string(),
                cron: job.schedule.expression().to_owned(),
                timezone: job.schedule.zone().name().to_owned(),
                describes: job.schedule.describe(),
                next: firings(job, now, next),
                last_run_lives: last_run.as_ref().and_then(|run| liveness.lives(run)),
                last_run,
            }
        })
        .collect();
    let refused = daemon
        .as_ref()
        .and_then(|daemon| daemon.last_reload.as_ref())
        .is_some_and(|r| !r.accepted);
    if json {
        print_json(&JobsView {
            daemon,
            jobs,
            promises: promises.clone(),
        })?;
    } else {
        let rows = jobs
            .iter()
            .map(|job| {
                let unknown = if away.is_none() { "never" } else { "unknown" };
                row(job, zone, (&liveness, unknown))
            })
            .collect();
        let next = match &daemon {
            Some(_) => format!("NEXT ({zone})"),
            None => format!("NEXT, IF A DAEMON RUNS ({zone})"),
        };
        let last = format!("LAST RUN ({zone})");
        let header = ["JOB", "KIND", "CRON", "CRON'S ZONE", &next, &last, "REASON"];
        print(&table(&header, rows))?;
        match &daemon {
            None => print(&no_daemon(&settings))?,
            Some(daemon) => print(&describe_daemon(daemon, zone))?,
        }
        for standing in promises.iter().flatten() {
            print(&describe(standing, zone))?;
        }
    }
    let is_broken = |standing: &Standing| standing.state == PromiseState::Broken;
    if let Some(away) = away {
        say("the last run of each job is not shown:");
        return Err(away);
    }
    Ok(match status {
        Status::Done if has_ended(&settings, &state) => Status::Warnings,
        Status::Done if refused || promises.iter().flatten().any(is_broken) => Status::Warnings,
        status => status,
    })
}

fn firings(job: &Job, now: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    std::iter::successors(job.schedule.next_after(now), |slot| {
        job.schedule.next_after(*slot)
    })
    .take(count)
    .collect()
}

fn row(job: &JobView, zone: chrono_tz::Tz, (liveness, unknown): (&Liveness, &str)) -> Vec<String> {
    let next: Vec<String> = job.next.iter().map(|slot| local(*slot, zone)).collect();
    let (last, reason) = match &job.last_run {
        Some(run) => {
            let (state, reason) = liveness.state_and_reason(run);
            let began = local(run.started_at.unwrap_or(run.requested_at), zone);
            (format!("{began} {state}"), reason)
        }
        None => (unknown.to_owned(), String::new()),
    };
    vec![
        job.name.clone(),
        job.kind.clone(),
        job.cron.clone(),
        job.timezone.clone(),
        next.join("\n"),
        last,
        reason,
    ]
}

/// What the catalog knows of jobs and promises.
struct Known {
    last_runs: Vec<Run>,
    promises: Option<Vec<Standing>>,
    /// Goes with how much of it is known.
    status: Status,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            last_runs: Vec::new(),
            promises: None,
            status: Status::Unavailable,
        }
    }
}

async fn look(settings: &Settings) -> anyhow::Result<Known> {
    let look = open_catalog_or_copy(settings).await?;
    let now = SystemClock.now();
    let last_runs = look.catalog.last_runs(&settings.node, now).await?;
    let promises = match &look.away {
        None => Some(standings(look.catalog.as_ref(), settings, now).await?),
        Some(_) => None,
    };
    look.catalog.close().await;
    Ok(Known {
        last_runs,
        promises,
        status: look.status(&settings.node, "what is older than two weeks"),
    })
}

/// Whether a daemon has run here, fires no more, and should: nothing happens by itself, however it ended.
pub(crate) fn has_ended(settings: &Settings, state: &StateDir) -> bool {
    let has_run =
        || state.status_file().exists() || state.daemon_was_killed() || state.daemon_stopped_at().is_some();
    !settings.jobs.is_empty() && !state.daemon_lives() && has_run()
}

/// That nothing happens by itself; or, where a daemon lives all the same, that it has not told how it is.
pub(crate) fn no_daemon(settings: &Settings) -> String {
    if StateDir::at(&settings.state_dir).daemon_lives() {
        return format!(
            "a daemon lives on {}, and has not said how it is: it starts, or cannot write there; its log says which",
            settings.state_dir.display()
        );
    }
    format!(
        "no daemon runs on {}: nothing will fire until \"mykeeper daemon\" does",
        settings.state_dir.display()
    )
}

fn describe_daemon(daemon: &DaemonStatus, zone: Tz) -> String {
    let head = format!(
        "daemon {} (pid {}) {} since {}",
        daemon.version,
        daemon.pid,
        daemon.state,
        when(daemon.since(), zone)
    );
    let head = if daemon.journal == Backlog::default() {
        head
    } else {
        format!("{head}\n{}", describe_backlog(&daemon.journal, zone))
    };
    match &daemon.last_reload {
        Some(reload) if !reload.accepted => format!(
            "{head}\nthe reload at {} was refused; the daemon goes on with the files it had:\n{}",
            when(reload.at, zone),
            reload.message
        ),
        _ => head,
    }
}

/// The files have mistakes: what they are, and what the daemon does that runs on the files as they were.
pub(super) fn with_mistakes(errors: &ConfigErrors, json: bool) -> anyhow::Result<Status> {
    let state = errors
        .state_dir
        .as_deref()
        .filter(|dir| dir.is_dir())
        .map(StateDir::at);
    let daemon = state.as_ref().and_then(DaemonStatus::read);
    if json {
        print_json(&serde_json::json!({ "daemon": daemon, "jobs": [], "mistakes": errors.mistakes }))?;
    } else if let Some(daemon) = &daemon {
        let rows = daemon
            .jobs
            .iter()
            .map(|job| {
                vec![
                    job.name.clone(),
                    job.kind.clone(),
                    job.cron.clone(),
                    job.timezone.clone(),
                ]
            })
            .collect();
        print(&table(&["JOB", "KIND", "CRON", "ZONE"], rows))?;
        print(&describe_daemon(daemon, local_zone()))?;
        print("it goes on by the files as they were when it read them last; what is in them now:")?;
    }
    Err(Failure::usage(errors))
}
