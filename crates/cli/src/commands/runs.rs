//! `mykeeper runs`

use crate::args::RunsArgs;
use crate::failure::{Failure, Status};
use crate::liveness::Liveness;
use crate::output::{local, parse_since, print, print_json, table};
use crate::succession::Succession;
use crate::surroundings::{local_zone, open_catalog_or_copy, settings_despite_schedule};
use chrono_tz::Tz;
use mykeeper_catalog::{Catalog, RunFilter};
use mykeeper_config::Settings;
use mykeeper_daemon::missing::{Wanted, find_missing};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_domain::event::Event;
use mykeeper_domain::run::{Attempt, Run, RunState};
use mykeeper_domain::{Clock, JobName, RunId, SystemClock};
use serde::Serialize;
use std::path::Path;

/// `runs --json`: a run with its attempts and what people reckon from its times.
#[derive(Serialize)]
struct RunView {
    #[serde(flatten)]
    run: Run,
    late_seconds: Option<f64>,
    elapsed_seconds: Option<f64>,
    /// Of one that is `running`: whether its process lives. `null` where that is another node's to tell, or its daemon's.
    lives: Option<bool>,
    /// Of an interrupted run: the one that does it again, or the next of its job.
    followed_by: Option<RunId>,
    /// The other way round, where both are listed.
    follows: Option<RunId>,
    attempts: Vec<Attempt>,
}

async fn view(
    catalog: &dyn Catalog,
    (liveness, succession): (&Liveness, &Succession),
    run: Run,
) -> anyhow::Result<RunView> {
    let seconds = |from: chrono::DateTime<chrono::Utc>, to: chrono::DateTime<chrono::Utc>| {
        (to - from).num_milliseconds() as f64 / 1000.0
    };
    Ok(RunView {
        late_seconds: run.late().map(|late| late.num_milliseconds() as f64 / 1000.0),
        elapsed_seconds: run
            .started_at
            .zip(run.finished_at)
            .map(|(from, to)| seconds(from, to)),
        lives: liveness.lives(&run),
        followed_by: succession.after(&run),
        follows: succession.before(&run),
        attempts: catalog.attempts(run.id).await?,
        run,
    })
}

pub(crate) async fn list(config: &Path, args: &RunsArgs, json: bool) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let states = args
        .state
        .iter()
        .map(|state| state.parse::<RunState>().map_err(Failure::usage))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let filter = RunFilter {
        job: args
            .job
            .as_deref()
            .map(JobName::new)
            .transpose()
            .map_err(Failure::usage)?,
        states,
        since: args
            .since
            .as_deref()
            .map(|since| parse_since(since, SystemClock.now(), local_zone()))
            .transpose()?,
        limit: args.limit,
        ..Default::default()
    };
    let look = open_catalog_or_copy(&settings).await?;
    let catalog = &look.catalog;
    if args.missing {
        if let Some(away) = &look.away {
            catalog.close().await;
            return Err(Failure::unavailable(format!(
                "which slots are missing is for the catalog alone to say, and {away}"
            )));
        }
        let wanted = Wanted {
            job: filter.job,
            since: filter.since,
            now: SystemClock.now(),
            limit: usize::try_from(args.limit)?,
        };
        let status = missing(catalog.as_ref(), &settings, &wanted, json).await;
        catalog.close().await;
        return status;
    }
    if args.events {
        if let Some(away) = &look.away {
            catalog.close().await;
            return Err(Failure::unavailable(format!(
                "what has come of promises is for the catalog alone to say, and {away}"
            )));
        }
        let since = filter.since.unwrap_or(chrono::DateTime::UNIX_EPOCH);
        let events = catalog.newest_events(since, args.limit).await;
        catalog.close().await;
        return show_events(&events?, json);
    }
    let runs = catalog.runs(&filter).await?;
    let liveness = Liveness::look(&settings, &runs);
    let succession = Succession::of(catalog.as_ref(), &runs).await?;
    let looked = (&liveness, &succession);
    let status = look.status(
        &settings.node,
        "that of other nodes and what is older than two weeks",
    );
    if json {
        let mut views = Vec::with_capacity(runs.len());
        for run in runs {
            views.push(view(catalog.as_ref(), looked, run).await?);
        }
        print_json(&views)?;
    } else {
        print(&as_table(&runs, looked, local_zone()))?;
    }
    catalog.close().await;
    Ok(status)
}

fn show_events(events: &[Event], json: bool) -> anyhow::Result<Status> {
    if json {
        print_json(&events)?;
        return Ok(Status::Done);
    }
    let zone = local_zone();
    let rows = events.iter().map(|event| {
        vec![
            local(event.at, zone),
            event.node.to_string(),
            event.kind.to_string(),
            event.subject.clone(),
            event.message.clone(),
        ]
    });
    let at = format!("AT ({zone})");
    print(&table(
        &[&at, "NODE", "EVENT", "ABOUT", "MESSAGE"],
        rows.collect(),
    ))?;
    Ok(Status::Done)
}

async fn missing(
    catalog: &dyn Catalog,
    settings: &Settings,
    wanted: &Wanted,
    json: bool,
) -> anyhow::Result<Status> {
    let state = StateDir::open(&settings.state_dir)?;
    let found = find_missing(catalog, (settings, &state), wanted).await?;
    if json {
        print_json(&found)?;
    } else if found.total == 0 {
        print("no slot is missing")?;
    } else {
        let zone = local_zone();
        let rows = found
            .missing
            .iter()
            .map(|slot| vec![slot.job.to_string(), local(slot.slot_at, zone), slot.why.clone()])
            .collect();
        print(&table(&["JOB", &format!("SLOT ({zone})"), "WHY"], rows))?;
        let more = found.total - found.missing.len() as u64;
        if more > 0 {
            print(&format!("and {more} more; --limit shows more of them"))?;
        }
    }
    Ok(match found.total {
        0 => Status::Done,
        _ => Status::Warnings,
    })
}

fn as_table(runs: &[Run], (liveness, succession): (&Liveness, &Succession), zone: Tz) -> String {
    let rows = runs
        .iter()
        .map(|run| {
            let elapsed = run
                .started_at
                .zip(run.finished_at)
                .and_then(|(from, to)| (to - from).to_std().ok());
            let late = run
                .late()
                .and_then(|late| late.to_std().ok())
                .filter(|late| late.as_secs() > 0);
            let (state, reason) = liveness.state_and_reason(run);
            vec![
                run.id.to_string(),
                run.job.to_string(),
                run.kind.to_string(),
                local(run.started_at.unwrap_or(run.requested_at), zone),
                late.map(mykeeper_domain::humane).unwrap_or_default(),
                elapsed.map(mykeeper_domain::humane).unwrap_or_default(),
                state,
                succession.told(run, reason),
            ]
        })
        .collect();
    let started = format!("STARTED ({zone})");
    table(
        &["RUN", "JOB", "KIND", &started, "LATE", "TOOK", "STATE", "REASON"],
        rows,
    )
}
